"""Do the sentences that studies share say what is told, what is not, and which command comes next?"""

from __future__ import annotations

import math
import shlex

from ntkseq.spectra import Interval
from ntkseq.studies.memory import Memory
from ntkseq.studies.rnn_additive import RnnAdditive
from ntkseq.studies.sentences import again, falling, full, held, lost, more, opening, reach, spelled


def test_the_next_command_is_one_that_the_command_line_reads_and_has_a_folder_of_its_own():
    quick = Memory(quick=True, widths=(8, 16), out="a b/report", overwrite=True)
    words = shlex.split(full(quick))
    assert words == ["ntkseq", "study", "memory", "--out", "a b/report-next", "--widths", "8", "16"]
    assert again(quick, seeds=3).endswith("--seeds 3 --quick")
    assert "--quick" not in again(quick, seeds=4)  # the default, which --quick would change
    assert full(RnnAdditive(quick=True, seed=3)) == "ntkseq study rnn-additive --out rnn-additive-report-next --seed 3"
    assert more(quick, "a", "b", seeds=8) == f"Next: a in full: {full(quick)}"
    assert more(Memory(), "a", "b", seeds=8) == f"Next: b: {again(Memory(), seeds=8)}"


def test_a_fall_a_rise_and_neither_are_told_apart():
    slopes = [("a", Interval(-1.2, -1, -0.8)), ("b", Interval(-0.1, 0.2, 0.5)), ("c", Interval(0.5, 1, 1.5)),
              ("d", Interval(-math.inf, -1, math.inf))]  # fmt: skip
    assert falling(slopes, "The error", "n") == (
        "The error falls as n^-1 [-1.2, -0.8] (a). It grows as n^1 [0.5, 1.5] (c). "
        "For b (0.2 [-0.1, 0.5]) and d (-1 (no interval)) no change is told."
    )
    assert falling(slopes[1:2], "The error", "n") == "For b (0.2 [-0.1, 0.5]) no change of the error is told."


def test_a_bound_that_was_broken_is_said():
    assert held(0, 5, "bounds", "below").startswith("None of 5 bounds is below")
    assert held(2, 5, "bounds", "below").startswith("2 of 5 bounds are below: each may fail")
    assert held(0, 0, "bounds", "below") == "There were no bounds to check."


def test_ends_are_rounded_outwards_and_what_is_no_number_is_left_out():
    assert spelled(Interval(-1.2251, -1.006, -0.78689)) == "-1.01 [-1.23, -0.786]"
    assert reach([math.nan, 3.0, 1.0, math.inf]) == "1 to 3" and reach([math.nan]) == "no number"
    assert (
        lost(0, 4, "runs", "wait") == "" and lost(1, 4, "runs", "wait") == "1 of 4 runs diverged and is left out; wait."
    )


def test_a_report_opens_with_five_sentences_at_most_and_the_last_says_what_to_do():
    assert opening(("a", "", "b", "c", "d", "e"), "next") == ("a", "b", "c", "d", "next")
