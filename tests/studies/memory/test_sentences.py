"""Do the sentences on forgetting follow the curves?"""

from __future__ import annotations

import numpy as np

from ntkseq.studies.memory import Memory
from ntkseq.studies.memory.curves import Curve
from ntkseq.studies.memory.sentences import findings, law

LAGS = np.arange(16.0)
GEOMETRIC, POWER = Curve(0.5**LAGS, np.zeros(16)), Curve(np.maximum(LAGS, 1.0) ** -1.5, np.zeros(16))
GROWING, LEVEL = Curve(np.maximum(LAGS, 1.0) ** 0.3, np.zeros(16)), Curve(np.ones(16), np.zeros(16))
SHORT = Curve(0.5**LAGS, np.full(16, 0.2))
BETWEEN = Curve(np.exp(-(np.maximum(LAGS, 1.0) ** 0.5)), np.zeros(16))


def test_each_law_is_named_where_it_is_told_from_the_other():
    kinds = [law(curve) for curve in (GEOMETRIC, POWER, GROWING, LEVEL)]
    assert kinds == [("geometric", "0.5 per step"), ("power", "p^-1.5"), ("growth", "p^0.3"), ("level", "")]
    curves = {"a": GEOMETRIC, "b": POWER, "c": GROWING, "d": LEVEL}
    first, second, seen, after = findings(
        Memory(), {"ntk": curves, "nngp": curves}, {8: {n: [c, c] for n, c in curves.items()}}
    )
    assert first == (
        "The tangent kernel forgets geometrically in a (0.5 per step). It forgets like a power of the lag p in b "
        "(p^-1.5). It counts old tokens more than new ones in c (p^0.3). It counts all lags alike in d."
    )
    assert second.startswith("The covariance") and seen.endswith("agrees with infinite width for all 4 networks.")
    assert after == "Next: twice the seeds of networks: ntkseq study memory --out memory-report-next --seeds 8"


def test_laws_that_are_not_told_apart_and_lags_that_are_not_told_from_zero_are_said():
    assert law(SHORT) == ("", "3 of 16 lags are told from zero") and law(BETWEEN)[0] == ""
    limits = {"ntk": {"a": SHORT, "b": BETWEEN}, "nngp": {"a": GEOMETRIC}}
    first, _, untold, _ = findings(Memory(), limits, {})
    assert first == "The tangent kernel follows no law that is told from the other."
    assert untold.startswith("No law is told from the other for a (3 of 16 lags are told from zero); b (misfits")


def test_networks_that_scatter_or_are_off_are_said():
    limits = {"ntk": {"a": GEOMETRIC, "b": LEVEL}, "nngp": {"a": GEOMETRIC}}
    off = [Curve(np.full(16, value), np.zeros(16)) for value in (0.5, 0.51)]
    wild = [Curve(np.full(16, value), np.zeros(16)) for value in (0.5, -0.5)]
    said = findings(Memory(), limits, {8: {"a": wild, "b": off}})[2]
    assert "At width 8 and lag 8 it is off infinite width for b (0.5" in said
    assert "seeds scatter by more than the value itself, which says nothing, for a." in said
