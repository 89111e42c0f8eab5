"""Tests of `ntkseq.studies.exponents`."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ntkseq.spectra import Interval
from ntkseq.studies.exponents import cell, exponent, span


@pytest.mark.slow
def test_the_exponent_is_that_of_a_power_law_and_its_interval_covers():
    sizes = [8, 16, 64]
    exact = exponent(sizes, [[3 * n**-0.7 for n in sizes]] * 2)
    assert math.isclose(exact.estimate, -0.7) and exact.resolved and exact.upper - exact.lower < 1e-12
    rng = np.random.default_rng(0)
    laws = -0.7 * np.log(sizes) + rng.normal(0, 0.3, (400, 3, 1)) + rng.normal(0, 0.3, (400, 3, 3)).cumsum(axis=2)
    found = [exponent(sizes, np.exp(one)) for one in laws]  # errors of one draw hang together
    assert abs(np.mean([one.lower <= -0.7 <= one.upper for one in found]) - 0.95) < 0.033  # 3 standard errors
    alone = exponent(sizes, np.exp(laws[0][:1]))
    assert math.isinf(alone.lower) and math.isinf(alone.upper) and not alone.resolved


@pytest.mark.parametrize(
    ("sizes", "values", "message"),
    [([8], [[1.0]], "two different"), ([8, 8], [[1.0, 1.0]], "two different"), ([8, 9], [[1.0, 0.0]], "must be > 0"),
     ([8, 9], [1.0, 2.0], "two different")],
)  # fmt: skip
def test_exponents_of_nothing_are_turned_away(sizes, values, message):
    with pytest.raises(ValueError, match=message):
        exponent(sizes, values)


def test_a_slope_without_an_interval_stands_alone():
    one, alone = Interval(-1.25, -1.0, -0.75), Interval(-math.inf, -1.0, math.inf)
    assert (cell(one), cell(alone)) == (one, -1.0)
    assert (span(one), span(alone)) == ("-1.00 [-1.25, -0.75]", "-1.00")
