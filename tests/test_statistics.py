"""Do the intervals hold the truth as often as they say, and are they those of the textbook?"""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

from ntkseq import _statistics

rng = np.random.default_rng(0)


@pytest.mark.slow
def test_the_interval_of_a_mean_holds_it_as_often_as_it_says():
    held = 0
    for values in rng.standard_normal((2000, 5)):
        middle, half = _statistics.mean(values, 0.9)
        held += abs(middle) <= half
    assert abs(held / 2000 - 0.9) < 4 * math.sqrt(0.09 / 2000)


def test_the_interval_of_a_slope_and_of_a_level_hold_them_as_often_as_they_say():
    x, slopes, levels = np.array([0.0, 1.0, 3.0, 4.0, 7.0]), 0, 0
    for noise in rng.standard_normal((1000, 5)):
        fit = _statistics.line(x, 2.0 - 0.5 * x + noise, 0.9)
        slopes += abs(fit.slope + 0.5) <= fit.slope_half
        levels += abs(fit.intercept - 2.0) <= fit.intercept_half
    for held in (slopes, levels):
        assert abs(held / 1000 - 0.9) < 4 * math.sqrt(0.09 / 1000)


def test_a_line_is_that_of_the_normal_equations():
    x, y = rng.standard_normal((2, 9))
    A = np.stack([np.ones(9), x], axis=1)
    beta = np.linalg.solve(A.T @ A, A.T @ y)
    left = y - A @ beta
    errors = np.sqrt(np.diag(np.linalg.inv(A.T @ A)) * (left @ left) / 7) * scipy.stats.t.ppf(0.975, 7)
    fit = _statistics.line(x, y)
    np.testing.assert_allclose([fit.intercept, fit.slope], beta, rtol=1e-10)
    np.testing.assert_allclose([fit.intercept_half, fit.slope_half], errors, rtol=1e-10)
    assert fit.misfit == pytest.approx(math.sqrt(left @ left / 9))


def test_one_number_and_two_points_have_no_interval():
    assert _statistics.mean([3.0]) == (3.0, math.inf)
    fit = _statistics.line([1.0, 2.0], [1.0, 3.0])
    assert fit.slope == 2.0 and fit.slope_half == fit.intercept_half == math.inf


@pytest.mark.parametrize(("wrong", "m"), [(0, 7), (3, 7), (7, 7)])
def test_the_interval_of_a_proportion_is_exact(wrong: int, m: int):
    low, high = _statistics.proportion(wrong, m)
    if wrong:
        assert scipy.stats.binom.sf(wrong - 1, m, low) == pytest.approx(0.025)
    if wrong < m:
        assert scipy.stats.binom.cdf(wrong, m, high) == pytest.approx(0.025)
    assert (wrong > 0 or low == 0.0) and (wrong < m or high == 1.0)


def test_the_interval_of_a_quantile_is_that_of_order_statistics() -> None:
    assert _statistics.quantile([5.0, 1.0, 3.0], 0.5) == (3.0, -np.inf, np.inf)
    rng = np.random.default_rng(0)
    for m, q in ((6, 0.5), (24, 0.5), (36, 0.9), (60, 0.9)):
        truth = -np.log1p(-q)  # of the exponential law
        ends = np.array([_statistics.quantile(rng.exponential(size=m), q)[1:] for _ in range(400)])
        held = np.mean((ends[:, 0] <= truth) & (truth <= ends[:, 1]))
        assert held > 0.95 - 2 * (0.05 * 0.95 / 400) ** 0.5 and np.isfinite(ends[:, 1]).all()
