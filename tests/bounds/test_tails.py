"""Is the inverted binomial tail on its safe side, and near the exact one?"""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
import scipy.stats

from ntkseq.bounds.tails import binomial_upper, log_choose, log_tail


def exact_tail(k: int, m: int, p: float) -> Fraction:
    """P(Binomial(m, p) <= k) of the float p, without rounding."""
    hit, miss = Fraction(p), 1 - Fraction(p)
    return sum((math.comb(m, j) * hit**j * miss ** (m - j) for j in range(k + 1)), Fraction(0))


@pytest.mark.parametrize(("k", "m"), [(0, 1), (0, 40), (3, 40), (39, 40), (17, 120)])
@pytest.mark.parametrize("log_delta", [-0.1, -3.0, -30.0])
def test_the_tail_at_the_inverted_probability_is_at_most_delta_in_exact_arithmetic(k, m, log_delta):
    p = binomial_upper(k, m, log_delta)
    assert p == 1.0 or exact_tail(k, m, p) <= Fraction(math.exp(log_delta)) * (1 + Fraction(1, 10**12))
    assert exact_tail(k, m, p * (1 - 1e-9)) > Fraction(math.exp(log_delta)), "it should not be larger than it must"


@pytest.mark.parametrize(("k", "m"), [(0, 50), (5, 50), (120, 1000)])
def test_it_is_the_upper_end_of_clopper_and_pearson(k, m):
    assert binomial_upper(k, m, math.log(0.025)) == pytest.approx(scipy.stats.beta.ppf(0.975, k + 1, m - k), rel=1e-9)


def test_without_errors_it_has_a_closed_form_down_to_the_smallest_delta():
    for log_delta in (-1.0, -100.0, -5000.0):  # exp(-5000) is no float
        assert binomial_upper(0, 2000, log_delta) == pytest.approx(-math.expm1(log_delta / 2000), rel=1e-9)


def test_the_logarithm_of_the_tail_is_an_upper_one():
    for k, m, p in ((2, 30, 0.3), (50, 300, 0.4), (0, 5, 1e-3)):
        tail = exact_tail(k, m, p)
        logarithm = math.log(tail.numerator) - math.log(tail.denominator)
        assert logarithm - 1e-14 <= log_tail(k, m, p) <= logarithm + 1e-9


def test_all_errors_or_no_trials_say_nothing():
    assert binomial_upper(7, 7, -1.0) == binomial_upper(0, 0, -1.0) == binomial_upper(0, 9, -math.inf) == 1.0


def test_the_number_of_sets_is_that_of_the_integer():
    assert log_choose(5000, 2500) == pytest.approx(math.lgamma(5001) - 2 * math.lgamma(2501), rel=1e-12)
    assert math.exp(log_choose(6, 2)) >= 15
