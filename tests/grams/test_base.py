import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import grams, kernels
from ntkseq._notices import PrecisionWarning


def matrix(n: int = 5, dtype: str = "float32") -> np.ndarray:
    a = np.random.default_rng(0).standard_normal((n, n + 2))
    return (a @ a.T).astype(dtype)


def test_a_dense_gram_goes_wherever_an_array_goes():
    K = grams.DenseGram(jnp.asarray(matrix()), rounding=1e-6)
    assert K.shape == (5, 5) and len(K) == 5 and K.ndim == 2
    np.testing.assert_array_equal(np.asarray(K), matrix())
    np.testing.assert_allclose(jnp.trace(jnp.asarray(K)), np.trace(matrix()), rtol=1e-6)
    np.testing.assert_allclose(jnp.sin(K), np.sin(matrix()), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(K[1:3, 0], matrix()[1:3, 0])


def test_rows_diagonal_and_product_are_those_of_the_matrix():
    K, v = grams.DenseGram(jnp.asarray(matrix()), rounding=1e-6), jnp.arange(5.0)
    np.testing.assert_allclose(K.mv(v), matrix() @ np.arange(5.0), rtol=1e-5)
    np.testing.assert_array_equal(K.diag(), np.diag(matrix()))
    np.testing.assert_array_equal(K.rows(jnp.array([3, 0])), matrix()[[3, 0]])


def test_a_dense_gram_is_a_pytree_that_keeps_its_symmetry():
    K = jax.tree.map(lambda leaf: leaf, grams.DenseGram(jnp.asarray(matrix()), rounding=0.5, symmetric=False))
    assert not K.symmetric and K.rounding == 0.5
    assert "5 x 5" in repr(K)


def test_a_float64_array_of_numpy_stays_float64():
    K = grams.as_gram(matrix(dtype="float64"))
    assert np.asarray(K).dtype == np.float64
    assert K.rows(slice(0, 2)).shape == (2, 5)


def test_an_array_becomes_a_gram_rounded_once_per_entry():
    with pytest.warns(PrecisionWarning, match="K holds float32 numbers of unknown rounding"):
        K = grams.as_gram(matrix())
    exact = matrix(dtype="float64")
    assert K.symmetric and not K.stated
    assert np.linalg.norm(np.asarray(K, np.float64) - exact, 2) <= K.rounding < 1e-5
    lopsided = matrix(dtype="float64")
    assert grams.as_gram(lopsided).stated
    lopsided[0, 1] += 1
    assert not grams.as_gram(lopsided).symmetric


@pytest.mark.parametrize("bad", [np.zeros(3), np.zeros((2, 2, 2)), np.zeros((2, 2), int), [[1, 2], [3, 4]]])
def test_what_is_no_matrix_of_floats_is_refused(bad):
    with pytest.raises(ValueError, match="matrix of floats"):
        grams.as_gram(bad)


KERNEL = kernels.Recurrent(activation="erf", sigma_w=1.4)


def sequences(n: int = 6) -> np.ndarray:
    x = np.random.default_rng(1).standard_normal((n, 4, 2))
    x[1] = x[0] + 1e-3 * x[2]
    return x.astype(np.float32)


@pytest.mark.slow
def test_what_a_kernel_returns_states_what_its_gram_states():
    x = sequences()
    K, G = grams.as_gram(KERNEL(x)), grams.gram(KERNEL, x)
    assert K.entrywise == G.entrywise and K.stated and K.symmetric and K.rounding == pytest.approx(G.rounding)
    cross, wanted = grams.as_gram(KERNEL(x, x[:2])), grams.gram(KERNEL, x, x[:2])
    assert not cross.symmetric and cross.rounding == pytest.approx(wanted.rounding)
    held = grams.as_gram(G.array)  # and so does the array inside a Gram, and a block on its diagonal
    assert held.entrywise == G.entrywise == grams.as_gram(G[1:4, 1:4]).entrywise


@pytest.mark.slow(cases=["NumPy", "float64 of float32", "jit"])
@pytest.mark.parametrize(
    "made",
    [
        lambda K, x: np.asarray(K),
        lambda K, x: np.asarray(K, np.float64),
        lambda K, x: K[:3, :3],
        lambda K, x: (K + K.T) / 2,
        lambda K, x: jax.jit(KERNEL)(x),
        lambda K, x: np.asarray(K).astype(np.float16),
        lambda K, x: K.astype(jnp.bfloat16),
        lambda K, x: grams.DenseGram(np.asarray(K)),
    ],
    ids=["NumPy", "float64 of float32", "a block", "made symmetric", "jit", "float16", "bfloat16", "Dense"],
)
def test_an_array_whose_origin_is_lost_says_so(made):
    x = sequences()
    K = KERNEL(x)
    with pytest.warns(PrecisionWarning, match="unknown rounding, which count as rounded once") as caught:
        gram = grams.as_gram(made(K, x))
    assert not gram.stated and len(caught) == 1 and caught[0].filename == __file__


@pytest.mark.slow
def test_numbers_of_float64_are_not_taken_for_those_of_float32():
    x = sequences()
    for exact in (np.eye(4), np.array([[2.0, 1.0], [1.0, 2.0]]), np.arange(9.0).reshape(3, 3), np.full((3, 3), 0.1)):
        assert grams.as_gram(exact).stated
    with jax.enable_x64(True):
        assert grams.as_gram(np.asarray(KERNEL(x.astype(np.float64)))).stated


def test_numbers_below_the_normal_range_are_known_to_no_digit():
    K = 1e-40 * np.eye(3)
    with pytest.warns(PrecisionWarning):
        low = grams.as_gram(K.astype(np.float32))
    assert low.rounding >= 1e-38 and low.entrywise is None


def test_some_examples_keep_the_rounding_of_their_entries():
    K = grams.gram(KERNEL, sequences())
    part = K.take([4, 0, 2])
    assert part.entrywise == K.entrywise and 0 < part.rounding < K.rounding and part.stated
    np.testing.assert_array_equal(part, np.asarray(K)[np.ix_([4, 0, 2], [4, 0, 2])])
    with pytest.raises(ValueError, match="different examples"):
        K.take([1, 1])


@pytest.mark.parametrize("copy", [lambda K: K, lambda K: pickle.loads(pickle.dumps(K))], ids=["itself", "pickled"])
def test_a_float64_gram_stays_float64_outside_the_64_bit_mode(copy):
    with jax.enable_x64(True):
        K = grams.DenseGram(jnp.asarray(matrix(dtype="float64")), rounding=1e-15)
        there = copy(K)
    exact, here = matrix(dtype="float64"), copy(K)
    for held in (there, here):
        np.testing.assert_array_equal(held.times(np.eye(5)), exact)
        for got, wanted in ((held.diag(), exact.diagonal()), (held.rows([3, 0]), exact[[3, 0]]), (held.array, exact)):
            assert got.dtype == np.float64
            np.testing.assert_array_equal(np.asarray(got), wanted)
        np.testing.assert_array_equal(held[:2, 1:], exact[:2, 1:])
        assert held.mv(jnp.ones(5)).dtype == np.float32


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rounding": -1.0}, r"^rounding must be a number >= 0; got -1"),
        ({"rounding": float("nan")}, r"^rounding must be a number >= 0; got nan"),
        ({"entrywise": float("nan")}, r"^entrywise must be a number >= 0; got nan"),
        ({"array": np.array([[1.0, np.nan], [np.nan, 1.0]])}, r"^array must be finite; got 2 NaN"),
        ({"array": np.ma.masked_array(np.eye(2), mask=np.eye(2))}, r"^array must have no masked entries; got 2"),
    ],
)
def test_a_gram_of_what_is_no_matrix_is_refused_when_it_is_made(changes: dict, message: str):
    with pytest.raises(ValueError, match=message):
        grams.DenseGram(**({"array": np.eye(2), "rounding": 0.0} | changes))
