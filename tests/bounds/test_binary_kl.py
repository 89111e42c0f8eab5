"""Is the inverse of the relative entropy outwards, and Maurer's constant the sum that it is?"""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest

from ntkseq.bounds.binary_kl import kl_inverse, log_xi
from ntkseq.bounds.tails import binomial_upper


def exact(q: float, p: float) -> float:
    with localcontext() as precise:
        precise.prec = 60
        a, b = Decimal(q), Decimal(p)
        first = a * (a / b).ln() if a else Decimal(0)
        return float(first + ((1 - a) * ((1 - a) / (1 - b)).ln() if a != 1 else Decimal(0)))


@pytest.mark.parametrize("q", [0.0, 1e-12, 1e-6, 0.01, 0.3, 0.99, 1 - 1e-9])
@pytest.mark.parametrize("budget", [1e-14, 1e-6, 0.01, 0.5, 5.0, 40.0])
def test_the_inverse_lies_outside_and_near(q: float, budget: float):
    p = kl_inverse(q, budget)
    assert q < p <= 1.0
    assert p == 1.0 or exact(q, p) >= budget
    assert exact(q, q + 0.999 * (p - q)) <= budget + 1e-14


def test_without_budget_the_mean_stays_to_the_square_root_of_rounding():
    assert 0.3 <= kl_inverse(0.3, 0.0) <= 0.3 + 1e-7
    assert kl_inverse(1.0, 0.0) == kl_inverse(0.2, math.inf) == 1.0


@pytest.mark.parametrize("bad", [(-0.1, 1.0), (1.1, 1.0), (0.5, -1.0), (0.5, math.nan)])
def test_what_is_no_mean_or_no_budget_is_refused(bad: tuple[float, float]):
    with pytest.raises(ValueError, match=r"q must be in \[0, 1\]"):
        kl_inverse(*bad)


@pytest.mark.parametrize("n", [1, 2, 3, 7, 40, 151])
def test_maurers_constant_is_the_sum_over_binomial_counts(n: int):
    terms = [math.comb(n, k) * Fraction(k, n) ** k * Fraction(n - k, n) ** (n - k) for k in range(n + 1)]
    assert 0 <= log_xi(n) - math.log(sum(terms)) <= 1e-12
    assert log_xi(n) <= math.log(2 * math.sqrt(n)) + 1e-12


def test_maurers_constant_grows_like_the_root_of_n():
    n = 10**6
    assert log_xi(n) == pytest.approx(math.log(math.sqrt(math.pi * n / 2) + 2 / 3), abs=1e-6)


def test_the_binomial_inverse_is_sharper_than_the_relative_entropy():
    assert binomial_upper(0, 100, -3.0) == pytest.approx(kl_inverse(0.0, 3.0 / 100), rel=1e-10)
    for wrong in (1, 5, 30):
        assert binomial_upper(wrong, 100, -3.0) < kl_inverse(wrong / 100, 3.0 / 100)


def test_shares_of_a_coin_stay_below_with_the_probability_promised():
    rng, n, price = np.random.default_rng(0), 40, math.log(10)
    for p in (0.05, 0.5):
        wrong = rng.binomial(n, p, size=4000)
        above = np.array([kl_inverse(one / n, price / n) for one in range(n + 1)])[wrong] < p
        assert above.mean() <= 0.1
