"""Multiples, sums and transposes of Grams: is the rounding that they state no less than that they have?"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntkseq
from ntkseq import grams, kernels
from ntkseq._notices import PrecisionWarning


def inputs() -> np.ndarray:
    x = np.random.default_rng(3).standard_normal((6, 4))
    x[1] = x[0] + 1e-3 * x[2]
    return x.astype(np.float32)


KERNEL, OTHER = kernels.Dense(depth=2), kernels.Dense(activation="erf")


@functools.cache
def both(which: str = "K", cross: bool = False):
    """A float32 Gram and the float64 matrix."""
    x, kernel = inputs(), {"K": KERNEL, "L": OTHER}[which]
    x2 = x[:3] if cross else None
    K = grams.gram(kernel, x, x2)
    with jax.enable_x64(True):
        wide = grams.gram(kernel, x.astype(np.float64), None if x2 is None else x2.astype(np.float64))
        exact = np.asarray(wide.array)
        own = np.asarray(kernel.diag(x.astype(np.float64)))
    return K, exact, own


def holds(made: grams.DenseGram, exact: np.ndarray, entry: bool = True) -> None:
    error = np.asarray(made.array, np.float64) - exact
    assert np.linalg.norm(error) <= made.rounding < 1e-3 * np.linalg.norm(exact)
    assert made.frobenius and made.stated
    assert (made.entrywise is not None) == entry
    if entry:
        size = np.sqrt(np.abs(np.diagonal(exact)))
        assert (np.abs(error) <= made.entrywise * np.outer(size, size)).all()


SLOW = pytest.mark.slow
FACTORS = (
    *(0.1, np.float64(7), jnp.float32(0.3)),
    *(pytest.param(c, marks=SLOW) for c in (2.0, 1 / 3, 1e-3, 7, np.float32(0.3), 1e20, True)),
)


@pytest.mark.slow
@pytest.mark.parametrize("c", FACTORS, ids=repr)
def test_multiples_carry_the_rounding_of_norm_and_entries(c):
    K, exact, _ = both()
    if isinstance(c, jax.Array):  # an array of JAX decides for itself, on its left
        assert isinstance(c * K, jax.Array)
    else:
        holds(c * K, float(c) * exact)
    holds(K * c, float(c) * exact)
    holds(K / c, exact / float(c))
    holds(-c * K if not isinstance(c, (jax.Array, bool)) else K * -float(c), -float(c) * exact, entry=False)


@pytest.mark.slow
def test_a_power_of_two_and_a_transpose_add_nothing():
    K, _, _ = both()
    assert (0.5 * K).entrywise == K.entrywise and (0.5 * K).rounding == pytest.approx(0.5 * K.rounding, rel=1e-9)
    assert K.T is K
    cross = both(cross=True)[0]
    assert cross.T.shape == (3, 6) and cross.T.rounding == cross.rounding and cross.T.entrywise == cross.entrywise
    assert (2 * grams.DenseGram(np.eye(3), rounding=0.0)).rounding == 0.0


@pytest.mark.slow
def test_sums_and_differences_carry_both_roundings():
    (K, one, _), (L, two, _) = both(), both("L")
    holds(K + L, one + two)
    holds(K - L, one - two, entry=False)
    assert (K + L).rounding <= 1.05 * (K.rounding + L.rounding)
    (K, one, _), (L, two, _) = both(cross=True), both("L", cross=True)
    made = 0.3 * K + L
    assert not made.symmetric and np.linalg.norm(np.asarray(made, np.float64) - (0.3 * one + two)) <= made.rounding


@pytest.mark.parametrize("c", [0.3, *(pytest.param(c, marks=SLOW) for c in (1, 0, -0.25, 1e-3))], ids=repr)
def test_a_gram_plus_a_number_on_every_entry(c):
    K, exact, _ = both()
    holds(K + c, exact + c, entry=c >= 0)
    holds(K - c, exact - c, entry=c <= 0)
    holds(c - K, c - exact, entry=False)


def test_a_ridge_as_an_exact_gram_keeps_what_is_known_of_the_entries():
    K, exact, _ = both()
    ridge = grams.DenseGram(np.float32(0.3) * np.eye(6, dtype=np.float32), rounding=0.0)
    holds(K + ridge, exact + np.float64(np.float32(0.3)) * np.eye(6))
    wide = K + grams.DenseGram(0.3 * np.eye(6), rounding=0.0)  # in float64, as NumPy has it
    assert np.asarray(wide.array).dtype == np.float64
    holds(wide, exact + 0.3 * np.eye(6))


def test_an_exact_matrix_that_is_no_kernel_does_not_lend_its_diagonal():
    K, _, _ = both()
    odd = grams.DenseGram(np.asarray([[-1.0, 3.0], [3.0, 1.0]], np.float32), rounding=0.0)
    assert (K.take([0, 1]) + odd).entrywise is None and (odd + odd).entrywise is None


def test_what_leaves_the_range_of_the_dtype_is_not_given_a_rounding():
    K, exact, _ = both()
    with np.errstate(over="ignore"):  # JAX casts the number with NumPy, which may say so
        assert not isinstance(K * 1e300, grams.Gram)
    assert not isinstance(K / 0, grams.Gram)
    assert not isinstance(K * 3e38, grams.Gram)  # some entries overflow
    low = K * 1.2e-38
    error = np.asarray(low.array, np.float64) - 1.2e-38 * exact
    assert np.linalg.norm(error) <= low.rounding and low.entrywise is None
    assert (0.0 * K).rounding == 0.0


def test_what_is_said_of_the_parts_is_said_of_what_is_made_of_them():
    K, _, _ = both()
    guess = grams.DenseGram(np.asarray(K), rounding=1e-3, estimated="measured")
    assert (K + guess).estimated == (2 * guess).estimated == (guess - 1).estimated == "measured"
    with pytest.warns(PrecisionWarning):
        bare = grams.as_gram(np.asarray(K))
    assert not (K + bare).stated and not (bare / 3).stated


def test_a_multiple_of_a_sampled_gram_keeps_its_batches_and_a_sum_says_why_it_has_none():
    batches = np.stack([np.eye(2), 3 * np.eye(2)]).astype(np.float32)
    of = grams.sampling.Sampling(batches, samples=10)
    K = grams.DenseGram(2 * np.eye(2, dtype=np.float32), rounding=0.5, entrywise=0.2, frobenius=True, sampling=of)
    np.testing.assert_array_equal((0.5 * K).sampling.batches, 0.5 * batches)
    assert (0.5 * K).sampling.samples == 10
    for made in (K + K, -K, K + 1):
        assert made.sampling.batches is None and made.sampling.why


@pytest.mark.slow
def test_the_rounding_of_a_multiple_reaches_the_spectrum():
    K, exact, _ = both()
    found = ntkseq.spectrum(0.7 * K + both("L")[0]).min_eigenvalue
    wanted = np.linalg.eigvalsh(0.7 * exact + both("L")[1])[0]
    assert found.lower <= wanted <= found.upper


def test_an_audit_is_not_taken_for_a_bound():
    x = inputs()
    K = grams.gram(KERNEL, x)
    audited = grams.audit(K, KERNEL, x, pairs=2000, delta=0.1)
    assert audited.rounding < K.rounding
    assert (2 * audited).rounding >= 2 * K.rounding * (1 - 1e-6) and type(2 * audited) is grams.DenseGram


@pytest.mark.slow
def test_multiples_of_lazy_grams_are_lazy():
    x = inputs()
    K, (_, exact, _) = grams.lazy(KERNEL, x), both()
    made = K / 3
    assert isinstance(made, grams.LazyGram) and isinstance(0.1 * K, grams.LazyGram)
    error = np.asarray(made, np.float64) - exact / 3
    assert np.linalg.norm(error) <= made.rounding < 1e-3
    assert (np.abs(error) <= made.entrywise * np.sqrt(np.outer(*[exact.diagonal() / 3] * 2))).all()
    assert made.norm_fro() == pytest.approx(np.linalg.norm(exact) / 3, rel=1e-5)
    cross = grams.lazy(KERNEL, x, x[:3])
    np.testing.assert_allclose(cross.T.times(np.ones(6)), np.asarray(cross, np.float64).sum(0), rtol=1e-6)
    assert not isinstance(K * 1e-40, grams.LazyGram)  # would underflow without a word


def test_what_the_operation_itself_rounds_is_in_the_rounding():
    """Of exact matrices nothing else is: a margin that a kernel leaves does not hide it."""
    a, b = np.random.default_rng(5).standard_normal((2, 6, 9))
    one, two = ((m @ m.T).astype(np.float32) for m in (a, b))
    K, L = (grams.DenseGram(jnp.asarray(m), rounding=0.0, frobenius=True, entrywise=0.0) for m in (one, two))
    one, two = (m.astype(np.float64) for m in (one, two))
    for made, exact in (
        *((c * K, c * one) for c in (0.1, 3.0, 1 / 3)),
        *((K / c, one / c) for c in (0.1, 3.0, 7.0)),
        *((K + L, one + two), (K + 0.1, one + 0.1), (K + 1e3, one + 1e3)),
    ):
        holds(made, exact)
        assert 0.0 < made.rounding < 1e-6 * np.linalg.norm(exact) and made.entrywise < 4e-7
    holds(K - L, one - two, entry=False)
    assert (K - L).rounding > 0.0
