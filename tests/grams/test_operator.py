"""Is a matrix that is known by its products only taken for what it is?"""

from __future__ import annotations

import numpy as np
import pytest

from ntkseq.grams import Operator
from ntkseq.spectra import Full, spectrum


def matrix(n: int = 12, seed: int = 0) -> np.ndarray:
    X = np.random.default_rng(seed).standard_normal((n, n + 3))
    return X @ X.T


@pytest.mark.parametrize("block", [True, False])
def test_products_rows_and_entries_are_those_of_the_matrix(block: bool, x64):
    A = matrix()
    K = Operator(lambda V: A @ V, 12, block=block)
    np.testing.assert_allclose(K.times(np.eye(12)[:, :3]), A[:, :3], rtol=1e-14)
    np.testing.assert_allclose(K.times(np.ones(12)), A.sum(1), rtol=1e-13)
    np.testing.assert_allclose(K.rows([3, 1]), A[[3, 1]], rtol=1e-14)
    np.testing.assert_allclose(K.dense(), A, rtol=1e-14)
    assert K.times(np.ones((12, 0))).shape == (12, 0)


@pytest.mark.parametrize("n", [12, 200])
def test_its_rounding_is_at_least_the_error_of_its_products(n: int):
    A = matrix(n)
    rng = np.random.default_rng(1)
    for eps in (1e-7, 1e-6, 1e-5):
        noise = eps * np.linalg.norm(A, 2) * rng.standard_normal((n, n)) / np.sqrt(n)
        K = Operator(lambda V, noise=noise: (A + noise) @ V.astype(np.float64), n)
        error = np.linalg.norm(noise, 2)
        assert error <= K.rounding <= 100 * max(error, 1e-6 * np.linalg.norm(A, 2))


def test_vectors_come_in_the_dtype_asked_for():
    seen = []
    Operator(lambda V: (seen.append(V.dtype), V)[1], 4, dtype=np.float32)
    assert set(seen) == {np.dtype(np.float32)}


@pytest.mark.parametrize(
    ("product", "arguments", "message"),
    [
        (lambda V: np.triu(matrix()) @ V, {}, "not that of a symmetric matrix"),
        (lambda V: V[0], {}, r"block of the shape of its argument, \(12, 4\); got \(4,\)"),
        (lambda V: V * np.nan, {}, "what product returned must be finite"),
        (lambda V: V, {"rounding": -1.0}, "rounding must be"),
        (lambda V: V, {"diagonal": np.ones(3)}, r"diagonal must have shape \(12,\)"),
    ],
)
def test_bad_products_are_turned_away(product, arguments, message: str):
    with pytest.raises(ValueError, match=message):
        Operator(product, 12, **arguments)


def test_an_unknown_diagonal_is_said():
    with pytest.raises(ValueError, match="Pass diagonal="):
        Operator(lambda V: V, 4).diag()
    assert Operator(lambda V: V, 4, diagonal=np.ones(4)).diag().tolist() == [1.0] * 4


def test_an_operator_that_is_held_is_off_by_the_error_of_every_column():
    """Each product may be off on its own: the matrix of n of them is off by up to sqrt(n) times as much."""
    n, rounding = 16, 1e-3
    direction = np.ones(n) / np.sqrt(n)

    def product(V):  # off by `rounding` times |v|, in a direction that is no linear map's
        return 2 * V + rounding * direction[:, None] * np.linalg.norm(V, axis=0)

    K = Operator(product, n, rounding, dtype=np.float64)
    held = K.hold()
    off = np.linalg.norm(np.asarray(held.array, np.float64) - 2 * np.eye(n), 2)
    assert 3.9 * rounding < off <= held.rounding <= 4.1 * rounding
    largest = spectrum(K, Full()).max_eigenvalue
    assert largest.lower <= 2.0 <= largest.upper
