"""Does the bound of a solver's error hold for exactly known spectra, and stay close to the truth?"""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg

from ntkseq.spectra.residuals import _leading_bits, _norm2, _sharp_norm2, eigenvalue_error
from tests.spectra.truths import brownian, holds, inertia, reflected, second_difference

EPS = float(np.finfo(np.float64).eps)


def solved(A: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return scipy.linalg.eigh(A, driver="evd")


def family(name: str, n: int, rng: np.random.Generator) -> np.ndarray:
    X = rng.standard_normal((n, n))
    if name == "gram":
        A = X @ X.T
    elif name == "low rank":
        A = X[:, : max(1, n // 3)] @ X[:, : max(1, n // 3)].T
    elif name == "indefinite":
        A = X + X.T
    elif name == "graded":
        d = 10.0 ** -np.linspace(0, 25, n)
        A = d[:, None] * (X @ X.T) * d
    elif name == "near duplicates":
        X[-1] = X[0] * (1 + 3 * EPS)
        A = X @ X.T
    elif name == "integers":
        A = np.rint(2 * X)
        A = A + A.T
    else:
        A = np.ones((n, n)) + 1e-9 * (X + X.T)  # one eigenvalue of size n, the others tiny
    return (A + A.T) / 2


FAMILIES = ["gram", "low rank", "indefinite", "graded", "near duplicates", "integers", "one large"]


@pytest.mark.slow(but=["gram", "integers", "one large"])
@pytest.mark.parametrize("name", FAMILIES)
def test_the_exact_eigenvalues_lie_within_the_bound_by_exact_inertia_counts(name: str):
    rng = np.random.default_rng(FAMILIES.index(name))
    for trial in range(30):
        A = family(name, 1 + trial % 6, rng)
        values, vectors = solved(A)
        for enough in (0.0, np.inf):  # the refined evaluation, and the first one
            error = eigenvalue_error(A, values, vectors, enough=enough)
            assert holds(A, values[::-1], np.full(values.size, error)), (trial, enough)


def test_the_inertia_oracle_is_not_satisfied_by_a_wrong_value():
    A = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])  # eigenvalues 1, 0, -1: every pivot is 0
    assert inertia(A, 0.0) == (1, 1)
    assert holds(A, np.array([1.0, 0.0, -1.0]), np.zeros(3))
    assert not holds(A, np.array([1.0, 2 * EPS, -1.0]), np.full(3, EPS))
    assert not holds(A, np.array([1.0, 0.0, -1.0 + 2 * EPS]), np.full(3, EPS))


@pytest.mark.parametrize("n", [1, 2, 8, 32])
@pytest.mark.parametrize("name", ["range", "clusters", "graded", "duplicates"])
def test_reflected_integer_spectra_lie_within_the_bound(n: int, name: str):
    rng = np.random.default_rng(n)
    exact = {
        "range": np.arange(n, 0, -1.0),
        "clusters": 3.0 + np.arange(n) % 2 * 2.0**-30,
        "graded": 2.0 ** -np.arange(n),
        "duplicates": np.where(np.arange(n) < n // 2, 1.0, 0.0),
    }[name]
    exact = np.sort(exact)
    times = 1 if name == "graded" else 2
    for _ in range(5):
        A = reflected(exact, rng, times)
        values, vectors = solved(A)
        error = eigenvalue_error(A, values, vectors)
        assert np.abs(values - exact).max() <= error
        assert error <= 60 * EPS * np.sqrt(n) * max(exact.max(), 1e-300)  # of use as well as true


@pytest.mark.parametrize("matrix", [second_difference, brownian])
@pytest.mark.parametrize("n", [3, 64, 257])
def test_matrices_with_trigonometric_spectra_lie_within_the_bound(matrix, n: int):
    A, exact = matrix(n)
    values, vectors = solved(A)
    reference = 16 * EPS * exact[0]  # the sine is rounded too
    assert np.abs(values[::-1] - exact).max() <= eigenvalue_error(A, values, vectors) + reference


def test_the_refined_bound_is_near_the_true_size_and_far_below_the_first_one():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 300))
    A = X @ X.T / 300 / 4
    values, vectors = solved(A)
    first, refined = (eigenvalue_error(A, values, vectors, enough=e) for e in (np.inf, 0.0))
    assert refined < 60 * EPS * values.max()
    assert refined < first / 20


@pytest.mark.parametrize("enough", [0.0, np.inf])
def test_wrong_pairs_are_found_out(enough: float):
    rng = np.random.default_rng(1)
    X = rng.standard_normal((20, 20))
    A = (X + X.T) / 8
    values, vectors = solved(A)
    moved = values.copy()
    moved[3] += 1e-6
    assert eigenvalue_error(A, moved, vectors, enough=enough) >= 1e-6
    turned = vectors.copy()
    turned[:, 0] += 1e-6 * turned[:, 1]  # not orthogonal
    assert 1e-7 < eigenvalue_error(A, values, turned, enough=enough) < 1e-4
    # pairs that satisfy A v = lambda v to rounding but name one eigenvalue twice
    twice = vectors.copy()
    twice[:, 0] = twice[:, 1]
    assert eigenvalue_error(A, values[[1, 1, *range(2, 20)]], twice, enough=enough) == np.inf
    assert eigenvalue_error(A, values, np.full((20, 20), np.nan), enough=enough) == np.inf


def test_the_bound_holds_for_vectors_far_from_orthogonal():
    rng = np.random.default_rng(2)
    finite = 0
    for _ in range(200):
        n = int(rng.integers(2, 7))
        X = rng.standard_normal((n, n))
        A = (X + X.T) / 8
        values, vectors = solved(A)
        size = 10.0 ** rng.uniform(-4, -0.5)
        V = vectors + size * rng.standard_normal((n, n))
        wrong = np.sort(values + size * rng.standard_normal(n))
        error = eigenvalue_error(A, wrong, V)
        assert np.abs(wrong - values).max() <= error
        finite += error < np.inf
    assert finite > 100


@pytest.mark.parametrize("enough", [0.0, np.inf])
def test_short_vectors_do_not_make_the_residual_look_small(enough: float):
    A, values, V = np.eye(4) / 2, np.full(4, 0.25), 0.3 * np.eye(4)  # |R| = 0.075, and the error is 0.25
    assert 0.25 <= eigenvalue_error(A, values, V, enough=enough) < 0.2500001


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("n", [1, 5, 300])
def test_leading_bits_split_exactly_and_multiply_exactly(n: int, axis: int):
    rng = np.random.default_rng(n)
    x = rng.standard_normal((n, n)) * 10.0 ** rng.uniform(-9, 0, (n, n))
    high, low = _leading_bits(x, axis)
    np.testing.assert_array_equal(high + low, x)
    assert np.abs(low).max() <= 2.0**-18 * np.abs(x).max()
    if axis == 1:
        product = high @ _leading_bits(x, 0)[0]
        columns = _leading_bits(x, 0)[0]
        exact = high.astype(np.longdouble)[:3] @ columns.astype(np.longdouble)  # 64 bits
        np.testing.assert_array_equal(product[:3].astype(np.longdouble), exact)


def test_norm_bounds_are_above_the_spectral_norm_and_below_the_frobenius_norm():
    rng = np.random.default_rng(3)
    for shape in ((1, 1), (5, 5), (40, 40)):
        for x in (rng.standard_normal(shape), np.outer(rng.standard_normal(shape[0]), rng.standard_normal(shape[1]))):
            exact = np.linalg.norm(x, 2)
            for bound in (_norm2(x), _sharp_norm2(x)):
                assert exact * (1 - 4 * EPS) <= bound <= np.linalg.norm(x) * (1 + 1e-12)
    assert _sharp_norm2(np.zeros((3, 3))) == 0
    x = rng.standard_normal((100, 100))
    assert _sharp_norm2(x) < 0.6 * _norm2(x)
