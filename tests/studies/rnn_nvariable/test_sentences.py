"""Do the sentences on functions of N tokens follow the numbers?"""

from __future__ import annotations

import math

from ntkseq.spectra import Interval
from ntkseq.studies.rnn_nvariable import RnnNVariable
from ntkseq.studies.rnn_nvariable.sentences import findings

LATE = Interval(1.72, 1.82, 1.91)


def test_growth_prices_and_the_memory_law():
    needed, late = [(9600.0, Interval(50, 60, 70)), (12000.0, Interval(90, 120, 150))], {"late": LATE}
    laws = [(0.0, Interval(1.0, 1.05, 1.1), 1.009)]
    held, price, growth, law, after = findings(
        RnnNVariable(),
        beyond=0,
        checks=12,
        needed=needed,
        certified=late,
        local={"late": (1.8, 1.9)},
        measured=late,
        laws=laws,
    )
    assert held.startswith("None of 12 norms, errors and sample sizes")
    assert price == (
        "For an error of 0.2 60 to 120 examples are enough in 2 of 2 settings; certified are 100 to 160 times as many."
    )
    assert "as t^1.82 [1.72, 1.91] where the tokens stand late (locally from t^1.8 to t^1.9)" in growth
    assert growth.endswith("What is measured grows as t^1.82 [1.72, 1.91] (late).")
    assert "a = 1.05 [1, 1.1] for c = 0 (derived 1.01). The derived constants are inside." in law
    assert "--examples 16 32 64 128 256 512 1024 2048" in after


def test_errors_that_were_not_reached_and_constants_outside_are_said():
    needed = [(math.inf, Interval(50, 60, 70)), (9600.0, Interval(256, 256, math.inf))]
    laws = [(0.75, Interval(0.5, 0.54, 0.58), 0.635)]
    held, price, growth, law, after = findings(
        RnnNVariable(quick=True), beyond=1, checks=12, needed=needed, certified={}, local={}, measured={}, laws=laws
    )
    assert held.startswith("1 of 12 norms") and "no number is certified. In 1 settings not all draws got there" in price
    assert growth == "How what is measured grows is not told: not all draws reached the error at every length."
    assert "For c = 0.75 the derived constant is outside" in law and after.startswith("Next: longer sequences")
    never = findings(
        RnnNVariable(), beyond=0, checks=0, needed=needed[1:], certified={}, local={}, measured={}, laws=laws
    )[1]
    assert never.startswith("In no setting do all draws reach the error 0.2")
