"""Do the sentences on additive targets follow the numbers?"""

from __future__ import annotations

import math

from ntkseq.spectra import Interval
from ntkseq.studies.rnn_additive import RnnAdditive
from ntkseq.studies.rnn_additive.sentences import findings

STUDY = RnnAdditive(steps=(4, 16), functions=("linear",), places=("late", "early"), examples=(32, 64))
KEYS = [(t, "linear", place) for place in ("late", "early") for t in (4, 16)]


def test_what_is_learnt_and_what_short_tokens_change():
    slopes = dict.fromkeys(KEYS, Interval(-1.3, -1.2, -1.1))
    errors, short = dict.fromkeys(KEYS, Interval(0.18, 0.2, 0.22)), dict.fromkeys(KEYS, Interval(0.08, 0.1, 0.12))
    short |= {KEYS[3]: Interval(0.1, 0.15, 0.2)}
    first, learnt, shortened, after = findings(
        STUDY, beyond=0, checks=36, slopes=slopes, errors=errors, short=short, risks=[("a", 0.5, 0.2, True)], trained=[]
    )
    assert first.startswith("None of 36 norms and errors is beyond its bound. Before any label the error is proved")
    assert learnt.startswith("The kernel's test error of linear targets falls as n^-1.2 [-1.3, -1.1] (late, t = 4), ")
    assert "norm t^-1.5, by: late 0.2 [0.18, 0.22] and 0.1 [0.08, 0.12]; early 0.2" in shortened
    assert shortened.endswith("Told apart are those of late.")
    assert (
        after.startswith("Next: more draws, for narrower intervals: ntkseq study rnn-additive") and "--draws 6" in after
    )


def test_what_is_not_told_to_be_learnt_and_bounds_that_broke_or_say_nothing():
    slopes = dict.fromkeys(KEYS, Interval(-1.3, -1.2, -1.1)) | {KEYS[3]: Interval(-0.2, 0.0, 0.2)}
    slopes |= {KEYS[1]: Interval(-math.inf, -0.4, math.inf)}  # one draw
    first, learnt, _ = findings(STUDY, beyond=1, checks=36, slopes=slopes, errors={}, short={}, risks=[], trained=[])
    assert (
        first.startswith("1 of 36 norms and errors is beyond its bound: each may fail") and "says nothing at n" in first
    )
    assert learnt.endswith("For late, t = 16 (-0.4 (no interval)) and early, t = 16 (0 [-0.2, 0.2]) no change is told.")
