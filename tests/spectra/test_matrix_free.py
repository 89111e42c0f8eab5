"""Are spectra from products alone right, sharp where they can be, and clear about what they do not know?"""

from __future__ import annotations

import jax
import numpy as np
import pytest

import ntkseq
from ntkseq import kernels
from ntkseq.grams import DenseGram, Operator
from ntkseq.spectra import MatrixFree, spectrum
from ntkseq.spectra.ranks import Dimension


def matrix(lam: np.ndarray, seed: int = 0) -> np.ndarray:
    Q = np.linalg.qr(np.random.default_rng(seed).standard_normal((lam.size, lam.size)))[0]
    A = Q * lam @ Q.T
    return (A + A.T) / 2


POWER = np.arange(1, 301.0) ** -1.5 + 1e-4


def free(A: np.ndarray, vectors: bool = True, **options):
    return spectrum(A, MatrixFree(**options), vectors=vectors)


def test_leading_values_are_sharp_and_the_largest_needs_few_products():
    s = free(matrix(POWER), k=10)
    assert (np.abs(s.values - POWER[:10]) <= s.errors).all() and s.converged
    assert s.errors.max() < 1e-9 and len(s.values) == 10
    assert "22 products" in s.method or int(s.method.split()[-2]) < 30


def test_vectors_are_those_of_the_values():
    A = matrix(POWER)
    s = free(A, k=5, tol=1e-9)
    np.testing.assert_allclose(A @ s.vectors, s.vectors * s.values, atol=1e-9)
    np.testing.assert_allclose(s.vectors.T @ s.vectors, np.eye(5), atol=1e-12)
    y = s.vectors[:, 1]
    np.testing.assert_allclose(s.alignment_curve(y), [0, 1, 1, 1, 1], atol=1e-9)
    with pytest.raises(ValueError, match="vectors=True"):
        free(A, vectors=False).alignment_curve(y)


def test_the_least_eigenvalue_is_found_on_request_and_bounded_without():
    lam = np.append(POWER[:-1], 1e-4)
    A = matrix(lam)
    bounded, found = free(A), free(A, k_smallest=2, steps=60, max_iterations=200)
    assert lam[-1] in bounded.min_eigenvalue
    assert lam[-1] in found.min_eigenvalue and found.min_eigenvalue.resolved and found.converged
    assert found.min_eigenvalue.upper - found.min_eigenvalue.lower < 1e-3 * lam[-1]
    assert abs(found.min_eigenvalue.estimate / lam[-1] - 1) < 1e-5
    assert lam[0] / lam[-1] == pytest.approx(found.condition.estimate, rel=1e-4)


def test_no_convergence_is_a_status_with_honest_errors():
    lam = 1 + np.linspace(0, 1e-3, 200)[::-1]  # no gaps
    s = free(matrix(lam), k=5, tol=1e-12, max_iterations=2)
    assert not s.converged and "NOT converged" in str(s)
    assert (np.abs(s.values - lam[:5]) <= s.errors).all()


def test_sums_narrow_with_probes_and_hold_the_truth():
    widths = []
    truth = float(np.sum(POWER / (POWER + 0.01)))
    for probes in (4, 64):
        interval = free(matrix(POWER), k=5, probes=probes).effective_rank_interval(Dimension(0.01))
        assert truth in interval
        widths.append(interval.upper - interval.lower)
    assert widths[1] < 0.4 * widths[0]


def test_when_all_pairs_are_taken_nothing_is_left_to_chance():
    lam = np.array([3.0, 2.0, 1.0])
    s = free(matrix(lam), k=20)
    np.testing.assert_allclose(s.values, lam, rtol=1e-14)
    assert s.n == 3 and 1.0 in s.min_eigenvalue and s.min_eigenvalue.resolved
    rank = s.effective_rank_interval("stable")
    assert 14 / 9 in rank and rank.upper - rank.lower < 1e-12
    assert s.count(1.5).lower == s.count(1.5).upper == 2
    assert "none left" in str(s)


@pytest.mark.parametrize("n", [1, 2, 40])
def test_the_zero_matrix_has_rank_zero(n: int):
    s = free(np.zeros((n, n)), k=1)
    assert s.values[0] == 0 and 0.0 in s.max_eigenvalue and 0.0 in s.min_eigenvalue and not s.min_eigenvalue.resolved
    assert s.effective_rank_interval("stable").lower == 0.0 and s.count(1e-3).upper == 0


def test_duplicates_leave_the_least_eigenvalue_unresolved():
    X = np.random.default_rng(0).standard_normal((50, 80))
    X[7] = X[3]
    s = free(X @ X.T, k_smallest=1, steps=50, max_iterations=100)
    assert 0.0 in s.min_eigenvalue and not s.min_eigenvalue.resolved


def test_an_indefinite_matrix_is_said_to_be_one():
    lam = POWER.copy()
    lam[-1] = -0.2
    s = free(matrix(-np.sort(-lam)))
    assert not s.semidefinite
    with pytest.raises(ValueError, match=r"matrices; this one has an eigenvalue below -0\.2"):
        s.effective_rank()
    assert "not defined" in str(s)


def test_the_same_seed_gives_the_same_numbers():
    a, b, c = (free(matrix(POWER), seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(a.values, b.values)
    assert a.effective_rank() == b.effective_rank() != c.effective_rank()


@pytest.mark.slow
def test_a_lazy_gram_agrees_with_the_held_one():
    x = jax.random.normal(jax.random.key(0), (150, 6, 2))
    kernel = kernels.Recurrent(sigma_w=1.2, sigma_b=0.1)
    dense = spectrum(ntkseq.gram(kernel, x), method="dense")
    lazy = free(ntkseq.lazy(kernel, x), k=8, k_smallest=1, steps=40, max_iterations=100)
    assert (np.abs(lazy.values - dense.values[:8]) <= lazy.errors + dense.errors[:8]).all()
    a, b = lazy.min_eigenvalue, dense.min_eigenvalue
    assert a.lower <= b.upper and b.lower <= a.upper
    for kind in ("entropy", "stable", "intrinsic", "participation"):
        a, b = lazy.effective_rank_interval(kind), dense.effective_rank_interval(kind)
        assert a.lower <= b.upper and b.lower <= a.upper, kind


def test_what_an_operator_does_not_know_is_said():
    A = matrix(POWER)
    unknown = spectrum(Operator(lambda V: A @ V, 300, rounding=0.0, dtype=np.float64), method="matrix-free")
    assert (np.abs(unknown.values - POWER[:20]) <= unknown.errors).all()
    with pytest.raises(ValueError, match=r"trace, which is not known\. Pass diagonal="):
        unknown.effective_rank("intrinsic")
    with pytest.raises(ValueError, match="Frobenius norm, which an Operator"):
        unknown.effective_rank("stable")
    assert float(np.sum(POWER / (POWER + 0.1))) in unknown.effective_rank_interval(Dimension(0.1))
    assert "not known" in str(unknown)


def test_definitions_that_need_every_value_are_refused():
    with pytest.raises(ValueError, match=r"'energy_entropy' needs every eigenvalue"):
        free(matrix(POWER)).effective_rank("energy_entropy")


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.zeros((3, 2)), "K must be square"),
        (np.array([[1.0, np.nan], [np.nan, 1.0]]), "K must be finite"),
        (np.array([[1.0, 1.0], [0.0, 1.0]]), "K must be symmetric"),
        (np.zeros((0, 0)), "at least one row"),
        (1e200 * np.eye(3), r"largest entry of K is 1e\+200"),
        (1e-200 * np.eye(3), "largest entry of K is 1e-200"),
    ],
)
def test_bad_matrices_are_turned_away(bad, message: str):
    with pytest.raises(ValueError, match=message):
        free(bad)


def test_a_cross_gram_has_no_spectrum():
    x = jax.random.normal(jax.random.key(0), (8, 4, 2))
    with pytest.raises(ValueError, match="square and symmetric"):
        spectrum(ntkseq.lazy(kernels.Recurrent(), x, x), method="matrix-free")
    assert DenseGram(np.eye(2)).norm_fro() == pytest.approx(np.sqrt(2))
