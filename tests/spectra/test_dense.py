"""Are the errors of a dense spectrum honest, and are bad matrices turned away at the door?"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntkseq.grams.base import DenseGram
from ntkseq.spectra import spectrum
from tests.spectra.truths import brownian, declared, holds, reflected, second_difference

EPS = float(np.finfo(np.float64).eps)


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1.0, 1e30, 1e150])
def test_exact_eigenvalues_lie_within_the_errors_at_every_scale(scale: float):
    rng = np.random.default_rng(0)
    scale = 2.0 ** round(np.log2(scale))
    for trial in range(40):
        n = 1 + trial % 5
        X = rng.standard_normal((n, n + trial % 3))
        A = X @ X.T * scale
        A = (A + A.T) / 2
        s = spectrum(declared(A, 0.0))  # the solver alone
        assert holds(A, s.values, s.errors)
        assert s.errors.max() < 100 * EPS * np.linalg.norm(A) or scale < 1e-290
        assert s.rounding == 0.0


def test_a_subnormal_matrix_has_honest_errors():
    for A in (np.array([[2.0, 1.0], [1.0, 2.0]]), np.array([[1.0, 1.0], [1.0, 2.0]])):  # the second: sqrt(5)
        s = spectrum(declared(A * 5e-324, 0.0))
        assert holds(A * 5e-324, s.values, s.errors)


@pytest.mark.filterwarnings("ignore:K holds float32 numbers")
@pytest.mark.parametrize("matrix", [second_difference, brownian])
def test_a_float32_array_carries_the_rounding_of_its_entries(matrix):
    A, exact = matrix(100)
    A, exact = A / 3, exact / 3  # no longer exact in float32
    for array in (A.astype(np.float32), jnp.asarray(A, jnp.float32)):
        s = spectrum(array)
        assert np.abs(s.values - exact).max() <= s.errors.max()
        assert s.rounding == pytest.approx(np.finfo(np.float32).eps / 2 * np.linalg.norm(A), rel=1e-6)
        assert s.errors.max() <= 1.02 * s.rounding  # a solver in float64 adds next to nothing
    assert np.abs(spectrum(A.astype(np.float32)).values - exact).max() > 1e3 * spectrum(A).errors.max()


@pytest.mark.filterwarnings("ignore:K holds float32 numbers")
def test_reflected_spectra_rounded_to_float32_lie_within_the_errors():
    rng = np.random.default_rng(1)
    for trial in range(60):
        n = 2 ** (1 + trial % 5)
        exact = -np.sort(-rng.integers(0, 50, n).astype(np.float64))
        A = reflected(exact, rng)
        third = (A / 3.0).astype(np.float32)
        s = spectrum(third)
        assert (np.abs(s.values - exact / 3.0) <= s.errors).all()


def test_float64_entries_are_not_rounded_to_float32_when_x64_is_off():
    assert not jax.config.jax_enable_x64  # pyright: ignore[reportAttributeAccessIssue]
    A, exact = second_difference(20)
    held = declared(A / 3, 0.0)
    object.__setattr__(held, "array", A / 3)  # by NumPy, as as_gram leaves it
    for K in (A / 3, declared(A / 3, 0.0), held):
        assert np.abs(spectrum(K).values - exact / 3).max() < 1e-14


@pytest.mark.usefixtures("x64")
def test_a_jax_float64_gram_keeps_its_declared_rounding():
    A, exact = second_difference(20)
    s = spectrum(DenseGram(jnp.asarray(A), rounding=jnp.asarray(1e-9)))
    assert s.rounding == pytest.approx(1e-9)
    assert ((s.errors >= 1e-9) & (s.errors <= 1.02e-9)).all()
    assert np.abs(s.values - exact).max() < 1e-14


@pytest.mark.filterwarnings("ignore:K holds float32 numbers")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_duplicated_inputs_leave_zero_inside_the_interval_and_unresolved(dtype: type):
    rng = np.random.default_rng(2)
    for trial in range(30):
        X = rng.standard_normal((12, 40)).astype(dtype)
        X[trial % 11 + 1] = X[0]
        K = X @ X.T
        K = (K + K.T) / 2
        i = trial % 11 + 1
        K[i], K[:, i] = K[0], K[:, 0]
        K[i, i] = K[0, 0]
        least = spectrum(K).min_eigenvalue
        assert 0.0 in least and not least.resolved


def test_the_least_eigenvalue_is_not_clipped():
    K = np.diag([1.0, 0.5, -1e-9])
    s = spectrum(declared(K, 1e-6))
    assert s.min_eigenvalue.lower < -1e-9 and s.min_eigenvalue.estimate == pytest.approx(-1e-9)


def test_vectors_are_orthonormal_eigenvectors_in_the_order_of_the_values():
    rng = np.random.default_rng(3)
    X = rng.standard_normal((30, 50))
    A = X @ X.T
    s = spectrum(A)
    assert s.vectors is not None and (np.diff(s.values) <= 0).all()
    np.testing.assert_allclose(A @ s.vectors, s.vectors * s.values, atol=1e-12 * s.values[0])
    np.testing.assert_allclose(s.vectors.T @ s.vectors, np.eye(30), atol=1e-13)
    assert s.trace == pytest.approx(np.trace(A), rel=1e-14)
    assert s.norm_fro == pytest.approx(np.linalg.norm(A), rel=1e-14)


def test_without_vectors_the_values_and_errors_are_the_same():
    A, _ = brownian(15)
    kept, dropped = spectrum(A), spectrum(A, vectors=False)
    assert dropped.vectors is None
    np.testing.assert_array_equal(kept.values, dropped.values)
    np.testing.assert_array_equal(kept.errors, dropped.errors)


@pytest.mark.parametrize("value", [3.0, 0.0, -2.0])
def test_one_by_one_and_zero_matrices_work(value: float):
    s = spectrum(np.array([[value]]))
    assert s.values.tolist() == [value] and value in s.min_eigenvalue
    zero = spectrum(np.zeros((4, 4)))
    assert zero.values.tolist() == [0.0] * 4 and 0.0 in zero.max_eigenvalue
    assert zero.errors.max() < 1e-320


@given(st.integers(1, 12), st.integers(0, 10**6))
def test_the_order_of_the_inputs_does_not_matter(n: int, seed: int):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, n))
    K = X @ X.T
    order = rng.permutation(n)
    a, b = spectrum(K), spectrum(K[np.ix_(order, order)])
    assert (np.abs(a.values - b.values) <= a.errors + b.errors).all()


@given(st.integers(-60, 60), st.integers(0, 10**6))
def test_scaling_by_a_power_of_two_scales_everything(power: int, seed: int):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((7, 9))
    K = X @ X.T
    a, b = spectrum(K), spectrum(2.0**power * K)
    np.testing.assert_array_equal(a.values * 2.0**power, b.values)
    np.testing.assert_allclose(a.errors * 2.0**power, b.errors, rtol=1e-12)
    assert a.effective_rank() == b.effective_rank()


def test_asymmetry_within_rounding_is_symmetrised_and_widens_the_errors():
    rng = np.random.default_rng(4)
    X = rng.standard_normal((20, 30))
    K = X @ X.T
    noisy = K * (1 + EPS * rng.integers(-4, 5, K.shape))
    s = spectrum(noisy)
    assert (np.abs(s.values - spectrum(K).values) <= s.errors + spectrum(K).errors).all()
    assert s.rounding >= 0.5 * np.linalg.norm(noisy - noisy.T)


def test_an_asymmetric_matrix_is_turned_away_unless_its_rounding_explains_it():
    K = np.eye(5)
    K[1, 3] = 1e-6
    with pytest.raises(ValueError, match=r"K must be symmetric; got .*between entries \((1, 3|3, 1)\)"):
        spectrum(K)
    s = spectrum(declared(K, 1e-6))
    assert s.rounding == pytest.approx(1e-6)
    with pytest.raises(ValueError, match="symmetric"):
        spectrum(declared(K, 1e-8))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.zeros((3, 2)), r"K must be square .* got shape \(3, 2\)"),
        (np.zeros((0, 0)), r"at least one row; got shape \(0, 0\)"),
        (np.zeros(3), r"matrix of floats, shape \(n, m\); got shape \(3,\)"),
        (np.array([[1.0, np.nan], [np.nan, 1.0]]), r"K must be finite; got 2 NaN or infinite"),
        (np.array([[np.inf]]), r"K must be finite"),
        (np.eye(2, dtype=complex), r"matrix of floats"),
    ],
)
def test_bad_matrices_are_turned_away_at_the_door(bad, message: str):
    with pytest.raises(ValueError, match=message):
        spectrum(bad)


def test_a_traced_gram_is_turned_away():
    with pytest.raises(ValueError, match="K is needed as numbers on the host; got a tracer"):
        jax.jit(lambda x: spectrum(DenseGram(x)).values)(jnp.eye(2))


def test_a_matrix_of_unknown_rounding_has_a_spectrum_that_says_so():
    s = spectrum(DenseGram(np.diag([3.0, 2.0, 1.0]), rounding=float("inf")))
    assert "not resolved: 1 in [-inf, inf]" in str(s) and "condition         at least 1\n" in str(s)
    assert s.condition.lower == 1.0 and s.condition.upper == float("inf") and "+- inf" in repr(s)
