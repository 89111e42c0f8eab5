"""Do comparisons of two kernels hold the exact numbers within what rounding leaves open?"""

from __future__ import annotations

import sys

import jax
import numpy as np
import pytest
import scipy.linalg

import ntkseq
from ntkseq import kernels
from ntkseq.grams import DenseGram
from ntkseq.spectra import compare


def cosine(A: np.ndarray, B: np.ndarray) -> float:
    return float(np.sum(A * B) / (np.linalg.norm(A) * np.linalg.norm(B)))


def test_cka_is_that_of_explicit_features_and_ignores_rotation_and_scale():
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((30, 5)) + 1, rng.standard_normal((30, 8))
    Xc, Yc = X - X.mean(0), Y - Y.mean(0)
    linear = np.linalg.norm(Yc.T @ Xc) ** 2 / (np.linalg.norm(Xc.T @ Xc) * np.linalg.norm(Yc.T @ Yc))
    found = compare(X @ X.T, Y @ Y.T, k=3)
    assert linear in found.cka and found.cka.estimate == pytest.approx(linear)
    Q = np.linalg.qr(rng.standard_normal((5, 5)))[0]
    turned = 3.0 * X @ Q + 7.0  # a shift of all features is removed as well
    assert compare(turned @ turned.T, Y @ Y.T, k=3).cka.estimate == pytest.approx(linear)


def test_a_kernel_is_itself():
    X = np.random.default_rng(1).standard_normal((12, 15))
    found = compare(X @ X.T, X @ X.T, k=4)
    assert 1.0 in found.alignment and 1.0 in found.cka and 0.0 in found.frobenius and 0.0 in found.spectral
    assert 0.0 in found.log_eigenvalues and found.resolved == 12
    assert found.angles.max() <= found.angle_error < 1e-5


def test_every_interval_holds_the_exact_number_in_two_hundred_cases():
    rng = np.random.default_rng(2)
    told = 0
    for _ in range(200):
        n = int(rng.integers(2, 12))
        exact, held = [], []
        X = rng.standard_normal((n, n + 2))
        for _ in range(2):
            Y = X + 10.0 ** rng.uniform(-3, 1) * rng.standard_normal(X.shape)
            A = Y @ Y.T
            E = rng.standard_normal((n, n))
            E = E + E.T
            size = 10.0 ** rng.uniform(-9, -1) * np.linalg.norm(A, 2)
            exact.append(A)
            held.append(DenseGram(A + size * E / np.linalg.norm(E, 2), rounding=1.0001 * size))  # pyright: ignore
        A, B = exact
        k = int(rng.integers(1, n))
        found = compare(*held, k=k)
        H = np.eye(n) - 1 / n
        assert cosine(A, B) in found.alignment
        assert cosine(H @ A @ H, H @ B @ H) in found.cka
        assert np.linalg.norm(A - B) / np.linalg.norm(B) in found.frobenius
        assert np.linalg.norm(A - B, 2) in found.spectral
        values = [np.linalg.eigvalsh(M)[::-1] for M in exact]
        if found.resolved == n:
            assert np.abs(np.log(values[0] / values[1])).max() in found.log_eigenvalues
        spaces = [np.linalg.eigh(M)[1][:, ::-1][:, :k] for M in exact]
        angles = np.sort(scipy.linalg.subspace_angles(*spaces))
        assert np.abs(angles - found.angles).max() <= found.angle_error
        told += found.angle_error < 0.1
    assert told > 60


@pytest.mark.slow
def test_a_finite_network_comes_near_its_limit_and_the_table_reads():
    x = jax.random.normal(jax.random.key(0), (16, 4, 2))
    kernel = kernels.Recurrent(sigma_w=1.2)
    found = compare(ntkseq.lazy(kernel, x), ntkseq.gram(1.0001 * kernel, x), k=3)
    assert found.alignment.estimate > 0.999999
    assert found.log_eigenvalues.estimate == pytest.approx(np.log(1.0001), rel=0.3)
    assert "CKA" in str(found) and "largest angle" in str(found)


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ((np.eye(2), np.eye(3)), "must be of the same examples"),
        ((np.zeros((2, 2)), np.eye(2)), "must not be zero"),
        ((np.full((2, 2), np.nan), np.eye(2)), "must be finite"),
    ],
)
def test_bad_pairs_are_turned_away(pair, message: str):
    with pytest.raises(ValueError, match=message):
        compare(*pair)


@pytest.mark.slow
def test_k_is_cut_to_n_and_a_large_lazy_gram_is_not_computed_by_surprise(monkeypatch):
    assert compare(np.eye(3), np.eye(3), k=10).angles.size == 3
    monkeypatch.setattr(sys.modules["ntkseq.spectra.comparison"], "MOST", 10)
    with pytest.raises(ValueError, match="needs all entries, and n = 12 is more than 10"):
        compare(ntkseq.lazy(kernels.Recurrent(), jax.random.normal(jax.random.key(0), (12, 4, 2))), np.eye(12))
