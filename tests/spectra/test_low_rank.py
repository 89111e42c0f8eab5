"""Are products, solutions and dimensions of a low rank those of its matrix, within what it says it misses?"""

from __future__ import annotations

import numpy as np
import pytest

from ntkseq.grams import Operator
from ntkseq.spectra import LowRank, nystrom

LAM = np.arange(1, 121.0) ** -2.0


def matrix(lam: np.ndarray) -> np.ndarray:
    Q = np.linalg.qr(np.random.default_rng(0).standard_normal((lam.size, lam.size)))[0]
    A = Q * lam @ Q.T
    return (A + A.T) / 2


A = matrix(LAM)
FOUND = nystrom(A, 20)


def test_products_and_solutions_are_those_of_the_dense_matrix():
    N = FOUND.vectors @ np.diag(FOUND.values) @ FOUND.vectors.T
    V = np.random.default_rng(1).standard_normal((120, 3))
    np.testing.assert_allclose(FOUND.times(V), N @ V, atol=1e-12)
    np.testing.assert_allclose(FOUND.times(V[:, 0]), N @ V[:, 0], atol=1e-12)
    for ridge in (1e-3, 10.0):
        np.testing.assert_allclose(FOUND.solve(V, ridge), np.linalg.solve(N + ridge * np.eye(120), V), rtol=1e-8)
    np.testing.assert_allclose(FOUND.solve(V[:, 1], 0.1), np.linalg.solve(N + 0.1 * np.eye(120), V[:, 1]), rtol=1e-9)


def test_both_differ_from_those_of_the_matrix_by_no_more_than_stated():
    v = np.random.default_rng(2).standard_normal(120)
    assert np.linalg.norm(A @ v - FOUND.times(v)) <= FOUND.error * np.linalg.norm(v)
    for ridge in (1e-3, 0.1):
        exact = np.linalg.solve(A + ridge * np.eye(120), v)
        assert np.linalg.norm(exact - FOUND.solve(v, ridge)) <= np.linalg.norm(v) * FOUND.error / ridge**2


@pytest.mark.parametrize("ridge", [1e-4, 1e-2, 1.0, 1e3])
def test_the_effective_dimension_is_enclosed_and_sharp_where_the_ridge_is_large(ridge: float):
    truth = float(np.sum(LAM / (LAM + ridge)))
    interval = FOUND.effective_dimension(ridge)
    assert truth in interval
    assert interval.upper - interval.lower < {1e-4: 100.0, 1e-2: 8.0, 1.0: 0.1, 1e3: 1e-4}[ridge]


def test_all_pairs_leave_the_dimension_in_no_doubt():
    interval = nystrom(A, 120).effective_dimension(1e-2)
    assert float(np.sum(LAM / (LAM + 1e-2))) in interval and interval.upper - interval.lower < 1e-7


def test_each_bound_of_the_error_is_the_one_that_counts_somewhere():
    def tail(lam: np.ndarray, **options) -> LowRank:
        return nystrom(matrix(lam), 4, oversample=0, **options)

    one = np.append(np.full(4, 1.0), [1e-2, *np.zeros(95)])  # the trace of what is left is its norm
    found = tail(one, power=2)
    assert found.error < 1.01 * found.nuclear.estimate
    flat = np.append(np.full(4, 1e2), np.full(196, 1e-2))  # its Frobenius norm is far less than its trace
    found = tail(flat, power=3)
    assert found.error < 0.2 * found.nuclear.lower
    B = matrix(flat)
    known = nystrom(B, 4, oversample=0, power=3, probes=0).error
    unknown = nystrom(Operator(lambda V: B @ V, 200, rounding=0.0, dtype=np.float64), 4, oversample=0, power=3)
    assert 1e-2 <= known < 0.16 and 1e-2 <= unknown.error < 1.0  # the norm of K; the probes alone


def test_a_number_beyond_the_rank_lies_between_nothing_and_the_error():
    beyond = FOUND.eigenvalue(50)
    assert beyond.estimate == 0.0 and not beyond.resolved and LAM[50] in beyond
    assert LAM[0] in FOUND.max_eigenvalue and FOUND.max_eigenvalue.resolved
    with pytest.raises(ValueError, match=r"i must lie in 0\.\.119"):
        FOUND.eigenvalue(120)


def test_bad_arguments_are_turned_away_and_it_prints_in_a_line():
    with pytest.raises(ValueError, match="reg must be a finite number > 0"):
        FOUND.solve(np.ones(120), 0.0)
    with pytest.raises(ValueError, match="reg must be a finite number > 0"):
        FOUND.effective_dimension(-1.0)
    with pytest.raises(ValueError, match=r"V must be a vector \(120,\)"):
        FOUND.times(np.ones(119))
    assert repr(FOUND).startswith("LowRank(n=120, rank 20, largest 0.9986, error ")
