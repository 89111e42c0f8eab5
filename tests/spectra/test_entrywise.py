"""Do bounds from errors entry by entry hold for the worst of such errors, and are they sharp for near-duplicates?"""

from __future__ import annotations

import numpy as np
import pytest

import ntkseq
from ntkseq import kernels
from ntkseq.grams import DenseGram
from ntkseq.spectra import entrywise, spectrum


def errors(rng: np.random.Generator, d: np.ndarray, e: float, along: np.ndarray) -> np.ndarray:
    """Symmetric, |E_ij| <= e d_i d_j: random, or of the signs that move the eigenvalue of `along` the most."""
    n = d.size
    kind = rng.integers(4)
    if kind == 0:
        E = rng.uniform(-1, 1, (n, n))
    elif kind == 1:
        E = np.sign(np.outer(along, along)) * rng.choice([-1, 1])
    elif kind == 2:
        E = rng.choice([-1.0, 1.0], (n, n))
    else:
        E = np.outer(rng.choice([-1, 1], n), np.ones(n))
    E = np.triu(E) + np.triu(E, 1).T
    return e * np.outer(d, d) * E


@pytest.mark.slow
@pytest.mark.parametrize("near", [False, True])
def test_every_exact_eigenvalue_lies_within_its_bounds(near: bool):
    rng = np.random.default_rng(0)
    for trial in range(400):
        n = int(rng.integers(1, 25))
        X = rng.standard_normal((n, n + 5)) * 10.0 ** rng.uniform(-2, 1, (n, 1))
        if near and n > 3:
            X[1] = X[0] + 10.0 ** rng.uniform(-6, -1) * rng.standard_normal(n + 5)
            X[3] = X[2]
        exact = X @ X.T
        exact = (exact + exact.T) / 2
        truth, V = np.linalg.eigh(exact)
        e = 10.0 ** rng.uniform(-8, -2)
        held = exact + errors(rng, np.sqrt(np.diagonal(exact)), e, V[:, int(rng.integers(n))])
        own = np.diagonal(held)
        stated = e / (1 - e)  # the diagonal is rounded as well
        low, high = entrywise.bounds(*np.linalg.eigh(held), own, stated)
        slack = 1e-13 * n * truth[-1]
        assert (low - slack <= truth).all() and (truth <= high + slack).all(), trial
        s = spectrum(DenseGram(held, rounding=stated * own.sum(), entrywise=stated))  # pyright: ignore[reportArgumentType]
        assert (np.abs(s.values[::-1] - truth) <= s.errors[::-1] + slack).all(), trial


def test_two_near_duplicates_are_resolved_far_below_the_norm_of_the_error():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((64, 16, 1)).astype(np.float32)
    x[1] = x[0] + 1e-3 * rng.standard_normal((16, 1))
    K = ntkseq.gram(kernels.Recurrent(sigma_w=2**0.5), x)
    s = spectrum(K)
    assert s.errors[-1] < 0.2 * K.rounding < s.errors[0] * 1.01
    assert s.errors[0] <= 1.02 * K.rounding


def test_one_example_and_the_norm_itself_are_the_ends():
    low, high = entrywise.bounds(np.array([2.0]), np.eye(1), np.array([2.0]), 1e-3)
    assert (low, high) == (2.0 - 2e-3, 2.0 + 2e-3)
    flat = np.linalg.qr(np.random.default_rng(0).standard_normal((50, 50)))[0]
    low, high = entrywise.bounds(np.ones(50), flat, np.ones(50), 1e-3)
    np.testing.assert_allclose(np.sort(high - 1)[1:], 0.05)  # nothing is localised: all of e tr K


def test_a_gram_that_states_nothing_is_bounded_by_its_norm():
    A = np.diag([3.0, 2.0, 1.0])
    np.testing.assert_allclose(spectrum(DenseGram(A, rounding=0.1)).errors, 0.1, rtol=1e-9)  # pyright: ignore
    assert (spectrum(DenseGram(A, rounding=0.6, entrywise=0.1)).errors[-1] < 0.21).all()  # pyright: ignore
