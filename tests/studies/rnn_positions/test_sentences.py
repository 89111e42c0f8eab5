"""Do the sentences on position-to-position targets follow the numbers?"""

from __future__ import annotations

import math

from ntkseq.spectra import Interval
from ntkseq.studies.rnn_positions import RnnPositions
from ntkseq.studies.rnn_positions.sentences import Summary, findings
from tests.studies.recurrent.test_sentences import run

FIRST = Interval(0.01, 0.014, 0.018)
FAR = Summary("sin, far", FIRST, Interval(0.22, 0.24, 0.26), 0.45, 0.24, 0.21, 7.0, 0.875, True, 0.15, 7012.3)
NEAR = Summary("sin, near", FIRST, Interval(0.33, 0.39, 0.44), 0.45, 0.39, 0.13, 12.0, 1.5, True, 0.2, 36000.0)


def test_steps_their_price_and_the_networks():
    first, steps, price, nets, after = findings(
        RnnPositions(), [FAR, NEAR], beyond=0, checks=40, trained=[run(512, 0.2, 0.1)]
    )
    assert (
        first.startswith("None of 40 norms and errors")
        and "at best <= 0.875 where 0.15 was measured (sin, far)" in first
    )
    assert first.endswith("certified from 7,100 sequences on (sin, far), at worst from 36,000 on (sin, near).")
    assert "sin, far 0.014 [0.01, 0.018] and 0.24 [0.22, 0.26] (answering 0: 0.45); sin, near 0.014" in steps
    assert "costs 7 to 12 times the squared norm" in price and "learnt better for 2 of 2 targets" in price
    assert (
        nets.startswith("Trained by SGD, networks of width 512 err 2 times")
        and "--examples 16 32 64 128 256 512" in after
    )


def test_a_step_that_is_not_learnt_and_bounds_without_an_end_are_said():
    lost = Summary(
        "geometric, all", FIRST, Interval(0.4, 0.43, 0.46), 0.45, 0.5, 0.5, 1.0, math.inf, False, 0.3, math.inf
    )
    first, steps, price, nets, _ = findings(
        RnnPositions(quick=True), [lost], beyond=2, checks=4, trained=[run(256, math.nan, 0.1, 3)]
    )
    assert first.startswith("2 of 4 norms and errors are beyond its bound") and "From no number of sequences" in first
    assert steps.endswith("At the last step that is not told from answering 0 for geometric, all.")
    assert price.endswith("the last step by itself is learnt no better.") and nets.startswith("No network of width 256")
