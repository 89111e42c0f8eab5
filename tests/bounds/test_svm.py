"""Is the hard-margin problem solved, and is its interval honest?"""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import scipy.optimize

from ntkseq.bounds.svm import hard_margin


def problem(seed, n, rank_floor=1e-2):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, max(2, n // 3)))
    K = features @ features.T / features.shape[1] + rank_floor * np.eye(n)
    return K, rng.choice([-1.0, 1.0], size=n)


def nonnegative_least_squares(K, y):
    """The same maximum by Lawson and Hanson's method on |L'a - L^-1 1|, L L' = Q."""
    L = np.linalg.cholesky(y[:, None] * K * y[None])
    a, _ = scipy.optimize.nnls(L.T, scipy.linalg.solve_triangular(L, np.ones(len(y)), lower=True))
    return a.sum(), a


@pytest.mark.parametrize("n", [2, 5, 30, 80])
def test_the_value_is_that_of_nonnegative_least_squares(n):
    for seed in range(5):
        K, y = problem(seed, n)
        value, a = nonnegative_least_squares(K, y)
        solved = hard_margin(K, y)
        np.testing.assert_allclose([solved.lower, solved.upper], value, rtol=1e-9)
        np.testing.assert_allclose(solved.dual * y, a, atol=1e-8 * a.max())
        assert solved.lower <= solved.upper
        assert solved.support == np.count_nonzero(a)


def test_some_examples_are_no_support_vectors():
    K, y = problem(0, 80)
    assert 0 < hard_margin(K, y).support < 80


def test_the_function_has_margin_one_everywhere():
    K, y = problem(1, 40)
    margins = y * (K @ hard_margin(K, y).dual)
    assert margins.min() > 1 - 1e-9


def test_the_infimum_is_at_most_the_norm_of_the_interpolant():
    for seed in range(5):
        K, y = problem(seed, 20)
        assert hard_margin(K, y).upper <= y @ np.linalg.solve(K, y) * (1 + 1e-9)


def test_the_interval_holds_the_value_of_every_matrix_within_the_rounding():
    K, y = problem(2, 12, rank_floor=0.5)
    rounding, rng = 0.02, np.random.default_rng(0)
    solved = hard_margin(K, y, rounding=rounding)
    values = []
    for _ in range(50):
        E = rng.normal(size=K.shape)
        E = E + E.T
        values.append(nonnegative_least_squares(K + rounding * E / np.linalg.norm(E, 2), y)[0])
    assert solved.lower <= min(values) and max(values) <= solved.upper
    assert solved.upper / solved.lower < 2
    assert hard_margin(K, y).upper < max(values), "without the rounding the interval would be too narrow"


def test_the_upper_end_allows_for_margins_that_rounding_hides():
    rounding, y = 0.1, np.ones(6)
    exact, _ = nonnegative_least_squares((1 - rounding) * np.eye(6), y)
    assert exact == pytest.approx(6 / 0.9)
    assert hard_margin(np.eye(6), y, rounding=rounding).upper >= exact


@pytest.mark.parametrize("gap", [1e-3, 1e-6, 1e-9, 1e-12])
@pytest.mark.parametrize("rounding", [0.0, 1e-12])
def test_the_interval_of_an_ill_conditioned_matrix_holds_its_value_and_says_something_where_it_can(gap, rounding):
    """Two examples of unlike labels at similarity 1 - gap: a = 1 / gap each, of the gap as it is in binary."""
    K = np.array([[1.0, 1.0 - gap], [1.0 - gap, 1.0]])
    exact = 2 / (1.0 - K[0, 1])
    solved = hard_margin(K, np.array([1.0, -1.0]), rounding=rounding)
    assert solved.lower <= exact <= solved.upper
    if gap > 1e3 * rounding and gap > 1e-10:
        assert solved.upper < 1.01 * solved.lower
    elif rounding >= gap:
        assert solved.upper == np.inf  # a matrix within the rounding is singular


def test_a_ridge_makes_the_margin_soft():
    K, y = problem(4, 30)
    hard, soft = hard_margin(K, y), hard_margin(K, y, reg=1.0)
    assert soft.dual @ K @ soft.dual < 0.9 * (hard.dual @ K @ hard.dual)
