import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import grams


def matrix(n: int = 5, dtype: str = "float32") -> np.ndarray:
    a = np.random.default_rng(0).standard_normal((n, n + 2))
    return (a @ a.T).astype(dtype)


def test_a_dense_gram_goes_wherever_an_array_goes():
    K = grams.Dense(jnp.asarray(matrix()))
    assert K.shape == (5, 5) and len(K) == 5 and K.ndim == 2
    np.testing.assert_array_equal(np.asarray(K), matrix())
    np.testing.assert_allclose(jnp.trace(jnp.asarray(K)), np.trace(matrix()), rtol=1e-6)
    np.testing.assert_allclose(jnp.sin(K), np.sin(matrix()), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(K[1:3, 0], matrix()[1:3, 0])


def test_rows_diagonal_and_product_are_those_of_the_matrix():
    K, v = grams.Dense(jnp.asarray(matrix())), jnp.arange(5.0)
    np.testing.assert_allclose(K.mv(v), matrix() @ np.arange(5.0), rtol=1e-5)
    np.testing.assert_array_equal(K.diag(), np.diag(matrix()))
    np.testing.assert_array_equal(K.rows(jnp.array([3, 0])), matrix()[[3, 0]])


def test_a_dense_gram_is_a_pytree_that_keeps_its_symmetry():
    K = jax.tree.map(lambda leaf: leaf, grams.Dense(jnp.asarray(matrix()), rounding=0.5, symmetric=False))
    assert not K.symmetric and K.rounding == 0.5
    assert "5 x 5" in repr(K)


def test_a_float64_array_of_numpy_stays_float64():
    K = grams.as_gram(matrix(dtype="float64"))
    assert np.asarray(K).dtype == np.float64
    assert K.rows(slice(0, 2)).shape == (2, 5)


def test_an_array_becomes_a_gram_rounded_once_per_entry():
    K = grams.as_gram(matrix())
    exact = matrix(dtype="float64")
    assert K.symmetric
    assert np.linalg.norm(np.asarray(K, np.float64) - exact, 2) <= K.rounding < 1e-5
    lopsided = matrix()
    lopsided[0, 1] += 1
    assert not grams.as_gram(lopsided).symmetric


@pytest.mark.parametrize("bad", [np.zeros(3), np.zeros((2, 2, 2)), np.zeros((2, 2), int), [[1, 2], [3, 4]]])
def test_what_is_no_matrix_of_floats_is_refused(bad):
    with pytest.raises(ValueError, match="matrix of floats"):
        grams.as_gram(bad)
