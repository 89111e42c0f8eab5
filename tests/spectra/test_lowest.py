"""Do bounds of the least eigenvalues hold for inexact pairs and the worst roundings, and see near-duplicates alone?"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

import ntkseq
from ntkseq import kernels
from ntkseq.grams import DenseGram
from ntkseq.spectra import MatrixFree, lowest, spectrum
from ntkseq.spectra.matrix_free import matrix_free


def near_duplicates(rng: np.random.Generator, n: int) -> np.ndarray:
    X = rng.standard_normal((n, n + 20))
    for i in range(int(rng.integers(0, 3))):
        X[2 * i + 1] = X[2 * i] + 10.0 ** rng.uniform(-4, -1) * rng.standard_normal(n + 20)
    return X @ X.T / n


def rounded(rng: np.random.Generator, A: np.ndarray, e: float, v: np.ndarray) -> np.ndarray:
    """A + E with |E_ij| <= e sqrt(A_ii A_jj): random signs, or those that move the eigenvalue of v the most."""
    d = np.sqrt(np.diagonal(A))
    signs = rng.choice([-1.0, 1.0], A.shape) if rng.random() < 0.5 else np.sign(np.outer(v, v)) * rng.choice([-1, 1])
    return A + e * np.outer(d, d) * (np.triu(signs) + np.triu(signs, 1).T)


@pytest.mark.slow(but=["0"])
@pytest.mark.parametrize("part", range(2))
def test_the_least_eigenvalues_lie_within_their_bounds(part: int):
    for seed in range(60 * part, 60 * part + 60):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(2, 40))
        A = near_duplicates(rng, n) if n > 5 else np.diag(rng.random(n))
        truth, V = np.linalg.eigh(A)
        e = 10.0 ** rng.uniform(-8, -3)
        held = rounded(rng, A, e, V[:, 0])
        stated = e / (1 - e)
        K = DenseGram(held, rounding=stated * np.trace(held), frobenius=True, entrywise=stated)  # pyright: ignore
        k, least, most, steps = (int(rng.integers(*ends)) for ends in ((1, 5), (1, 4), (2, 80), (4, 30)))
        s = matrix_free(K, k=k, k_smallest=least, max_iterations=most, steps=steps, seed=seed)
        slack = 1e-14 * n * truth[-1]
        assert truth[0] >= s.least.lower - slack and truth[0] <= s.least.upper + slack, seed
        found = np.abs(s.bottom - truth[: s.bottom.size])
        assert (found <= s.bottom_errors + slack).all(), seed


def test_exact_pairs_give_the_norm_or_what_the_vectors_see_whichever_is_less():
    K = DenseGram(np.diag([1e-3, 1.0, 2.0, 4.0]), rounding=7e-3, entrywise=1e-3)  # pyright: ignore
    low, high = lowest.bounds(K, np.array([1e-3]), np.eye(4)[:, :1], residual=0.0, edge=1.0, product=0.0)
    # the vector sits on an example of size 1e-3: e a^2 = 1e-6
    assert high[0] == pytest.approx(1e-3 + 1e-6) and low[0] == pytest.approx(1e-3 - 1e-6 / 0.99)
    spread = np.full((4, 1), 0.5)
    low, high = lowest.bounds(K, np.array([1e-3]), spread, residual=0.0, edge=1.0, product=0.0)
    seen = 1e-3 * (0.5 * (1e-3**0.5 + 1 + 2**0.5 + 2)) ** 2
    assert (low[0], high[0]) == pytest.approx((1e-3 - seen / 0.99, 1e-3 + seen))
    coupled, _ = lowest.bounds(K, np.array([1e-3]), np.eye(4)[:, :1], residual=0.1, edge=1.0, product=0.0)
    assert coupled[0] < 1e-3 - 0.1**2  # (numerics.10)


@pytest.mark.slow
def test_near_duplicates_of_a_lazy_float32_gram_are_resolved_below_the_norm_of_its_rounding():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((64, 16, 1)).astype(np.float32)
    x[1] = x[0] + 2e-3 * rng.standard_normal((16, 1))
    K = ntkseq.lazy(kernels.Recurrent(sigma_w=2**0.5), jnp.asarray(x))
    s = spectrum(K, MatrixFree(k=10, k_smallest=1, steps=30, max_iterations=100))
    dense = spectrum(ntkseq.gram(kernels.Recurrent(sigma_w=2**0.5), jnp.asarray(x)))
    assert s.bottom_errors[0] < 0.2 * K.rounding
    assert s.least.upper - s.least.lower < 0.5 * K.rounding
    a, b = s.min_eigenvalue, dense.min_eigenvalue
    assert a.lower <= b.upper and b.lower <= a.upper and a.resolved
