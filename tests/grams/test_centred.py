"""Is the centred Gram matrix that of features without their mean, held or not?"""

from __future__ import annotations

import jax
import numpy as np
import pytest

import ntkseq
from ntkseq import kernels
from ntkseq.grams import DenseGram, Operator
from ntkseq.spectra import MatrixFree, centred, spectrum


def features(n: int = 20, d: int = 6) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((n, d)) + 2.0


class LazyLike(Operator):
    """Products and the norm of a matrix, as a lazy Gram knows them."""

    def __init__(self, A: np.ndarray) -> None:
        rounding = 1e-15 * float(np.trace(A))
        super().__init__(lambda V: A @ V, len(A), rounding=rounding, diagonal=np.diagonal(A), dtype=np.float64)
        self.A = A

    def norm_fro(self) -> float:
        return float(np.linalg.norm(self.A))


def test_centring_is_removing_the_mean_of_the_features():
    X = features()
    Z = X - X.mean(axis=0)
    found = centred(DenseGram(X @ X.T, rounding=1e-6))  # pyright: ignore[reportArgumentType]
    np.testing.assert_allclose(found.dense(), Z @ Z.T, atol=1e-12)
    assert 1e-6 <= found.rounding < 1.001e-6


@pytest.mark.parametrize("frobenius", [False, True])
def test_the_error_stays_one_of_the_norm_in_which_it_was_stated(frobenius: bool):
    X = features()
    assert centred(DenseGram(X @ X.T, rounding=1e-6, frobenius=frobenius)).frobenius is frobenius  # pyright: ignore[reportArgumentType]


def test_a_matrix_that_is_not_held_is_centred_in_its_products(x64):
    X = features()
    Z, A = X - X.mean(axis=0), X @ X.T
    lazy = centred(Operator(lambda V: A @ V, 20, rounding=1e-6, diagonal=np.diagonal(A), dtype=np.float64))
    np.testing.assert_allclose(lazy.times(np.eye(20)), Z @ Z.T, atol=1e-12)
    np.testing.assert_allclose(lazy.diag(), np.diagonal(Z @ Z.T), atol=1e-12)
    np.testing.assert_allclose(lazy.rows([4, 2]), (Z @ Z.T)[[4, 2]], atol=1e-12)
    assert lazy.rounding == 1e-6


@pytest.mark.slow
def test_a_lazy_gram_has_a_centred_spectrum():
    x = jax.random.normal(jax.random.key(0), (40, 5, 2))
    kernel = kernels.Recurrent()
    held, lazy = centred(ntkseq.gram(kernel, x)), centred(ntkseq.lazy(kernel, x))
    assert lazy.norm_fro() == pytest.approx(held.norm_fro(), rel=1e-6)
    a, b = spectrum(held), spectrum(lazy, MatrixFree(k=4))
    assert (np.abs(a.values[:4] - b.values) <= a.errors[:4] + b.errors).all()
    with pytest.raises(ValueError, match="square and symmetric"):
        centred(ntkseq.lazy(kernel, x, x))


@pytest.mark.parametrize("offset", [1.0, 100.0, 1e4])
def test_sums_of_squares_that_cancel_widen_what_is_said_of_the_spectrum(offset: float):
    X = np.random.default_rng(0).standard_normal((60, 20)) + offset
    A, Z = X @ X.T, X - X.mean(axis=0)
    exact = np.linalg.eigvalsh(Z @ Z.T)
    K = centred(LazyLike(A))
    assert abs(K.norm_fro() - np.linalg.norm(exact)) <= K.norm_error()
    rank = spectrum(K, MatrixFree(k=3)).effective_rank_interval("participation")
    assert rank.lower <= exact.sum() ** 2 / np.sum(exact**2) <= rank.upper
