"""Is the decay exponent the one that is there, with errors that cover it?"""

from __future__ import annotations

import math

import numpy as np
import pytest

from ntkseq.spectra.decay import decay


def test_the_decay_exponent_of_a_power_law_is_found():
    values = 7.0 * np.arange(1, 51) ** -1.25
    fit = decay(values)
    assert fit.exponent == pytest.approx(1.25, rel=1e-12) and fit.standard_error < 1e-12 and fit.error == 0
    assert (fit.first, fit.last) == (1, 50)
    bent = values.copy()
    bent[:5] = 7.0
    part = decay(bent, first=6, last=30)
    assert part.exponent == pytest.approx(1.25) and (part.first, part.last) == (6, 30)
    assert decay(bent).standard_error > 0.01


def test_the_standard_error_equals_that_of_a_linear_regression():
    rng = np.random.default_rng(0)
    values = -np.sort(-(np.arange(1, 31) ** -1.0) * np.exp(0.2 * rng.standard_normal(30)))
    x = np.log(np.arange(3, 21))
    (slope, _), covariance = np.polyfit(x, np.log(values[2:20]), 1, cov=True)  # scaled by chi^2 / (m - 2)
    fit = decay(values, first=3, last=20)
    assert fit.exponent == pytest.approx(-slope) and fit.standard_error == pytest.approx(np.sqrt(covariance[0, 0]))


def test_the_standard_error_covers_the_true_exponent_under_independent_noise():
    rng = np.random.default_rng(1)
    index, inside = np.arange(1, 41), 0
    for _ in range(200):
        values = index**-1.5 * np.exp(0.01 * rng.standard_normal(40))  # order is kept where it matters
        fit = decay(values, first=1, last=12)
        inside += abs(fit.exponent - 1.5) <= 2.23 * fit.standard_error  # Student's t with 10 degrees, 95 %
    assert 180 <= inside <= 199


def test_the_error_of_the_decay_bounds_what_the_errors_of_the_values_do():
    rng = np.random.default_rng(2)
    values = np.arange(1, 21) ** -1.0
    error = 0.2 * values[-1]
    fit = decay(values, np.full(20, error), last=20)
    for _ in range(100):
        moved = decay(values + error * rng.choice([-1, 1], 20), np.zeros(20), last=20)
        assert abs(moved.exponent - fit.exponent) <= fit.error
    tilted = values + error * np.where(np.arange(20) < 8, 1, -1)  # close to the worst case
    assert abs(decay(tilted, np.zeros(20), last=20).exponent - fit.exponent) > 0.8 * fit.error


def test_a_decay_over_too_few_values_is_nan_and_says_so():
    fit = decay([3.0, 1.0, 0.0, 0.0])
    assert math.isnan(fit.exponent) and str(fit) == "not fitted: 2 usable eigenvalue(s), 3 are needed"
    assert str(decay([0.0, 0.0])) == "not fitted: 0 usable eigenvalue(s), 3 are needed"
    assert str(decay([4.0, 2.0, 1.0])).endswith("(k = 1..3)")


def test_a_decay_range_in_the_noise_or_outside_the_spectrum_raises():
    values, errors = [1.0, 0.5, 0.25, 1e-9], np.full(4, 1e-6)
    assert decay(values, errors).last == 3
    with pytest.raises(ValueError, match=r"the range 1..4, where only the first 3 values"):
        decay(values, errors, last=4)
    with pytest.raises(ValueError, match=r"must lie in 1..4; got first=1, last=5"):
        decay(values, last=5)
    with pytest.raises(ValueError, match="first must be an integer >= 1"):
        decay(values, first=0)
