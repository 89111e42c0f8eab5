"""Do overlaps of eigenspaces with features hold the exact ones, and is their noise floor that of random subspaces?"""

from __future__ import annotations

import numpy as np
import pytest

from ntkseq import spectra
from ntkseq.grams import DenseGram
from ntkseq.spectra import feature_overlap, random_subspaces

ANGLE = 2 * np.pi * np.arange(16) / 16
RING = np.exp(np.cos(ANGLE[:, None] - ANGLE))  # circulant: its eigenspaces are Fourier pairs, the lowest first


def wave(*frequencies: int) -> np.ndarray:
    return np.concatenate([[np.cos(f * ANGLE), np.sin(f * ANGLE)] for f in frequencies]).T


def exact(V: np.ndarray, F: np.ndarray) -> np.ndarray:
    """Cosines between the span of orthonormal V and that of F."""
    U, s, _ = np.linalg.svd(F, full_matrices=False)
    return np.linalg.svd(U[:, s > 1e-10 * s[0]].T @ V, compute_uv=False)


@pytest.mark.parametrize(
    ("k", "features", "overlap", "resolved"),
    [
        (2, wave(1), 1.0, True), (2, wave(2), 0.0, True), (4, wave(2), 1.0, True), (4, wave(1, 3), 0.5, True),
        (3, wave(2), 0.5, False),  # in the middle of a pair: any of its waves, one of two cosines
        (2, wave(1)[:, :1], 1.0, True),
        (6, 3.0 + wave(3), 1.0, True),  # a constant counts nowhere
        (2, np.concatenate([wave(1), wave(1) @ [[1.0, 2.0], [0.0, 3.0]], 0 * wave(1)], axis=1), 1.0, True),
    ],
)  # fmt: skip
def test_a_circulant_kernel_holds_its_fourier_modes_and_no_others(k: int, features, overlap: float, resolved: bool):
    found = feature_overlap(RING, features, k=k, centre=True)
    assert found.overlap.lower <= overlap <= found.overlap.upper < found.overlap.lower + 1e-9
    assert found.resolved == resolved and found.n == 15
    single = feature_overlap(RING, features.astype(np.float32), k=k, centre=True)
    assert single.r == found.r and abs(single.overlap.estimate - overlap) < 1e-5


def test_where_no_gap_is_told_every_choice_of_eigenvectors_is_held():
    found = feature_overlap(RING, wave(2)[:, :1], k=3, centre=True)  # the third may be this wave, or the other one
    assert not found.resolved and found.overlap.lower == 0.0 and found.overlap.upper > 1 - 1e-9
    assert "eigenvalue 3 is not told from the next one" in str(found)


def test_float32_kernels_and_partial_spectra_hold_the_exact_overlap():
    gram = DenseGram(RING.astype(np.float32), rounding=16 * 3.0 * 2.0**-24)  # pyright: ignore[reportArgumentType]
    found = feature_overlap(gram, wave(1, 4), k=4, centre=True)
    assert found.resolved and found.overlap.lower <= 0.5 <= found.overlap.upper < found.overlap.lower + 1e-2
    part = spectra.spectrum(spectra.centred(RING), spectra.MatrixFree(k=5, probes=3, steps=6))
    some = feature_overlap(part, wave(1, 4), k=4)
    assert some.n == 16 and some.overlap.lower <= 0.5 <= some.overlap.upper < some.overlap.lower + 1e-2


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 8))])
def test_intervals_hold_the_exact_overlap_of_perturbed_kernels(seed: int):
    rng, told = np.random.default_rng(seed), 0
    for _ in range(40):
        n, centre = int(rng.integers(3, 12)), bool(rng.integers(2))
        k, r = int(rng.integers(1, n - centre + 1)), int(rng.integers(1, n))
        V = np.linalg.qr(np.column_stack([np.ones(n), rng.standard_normal((n, n - 1))]))[0]
        V = np.roll(V, -1, axis=1)  # the constant is the last
        values = np.repeat(10.0 ** rng.uniform(-2, 1, n), rng.integers(1, 3))[:n]  # some of them in pairs
        values = np.sort(values * (1 + 1e-3 * rng.random(n) * rng.integers(2)))[::-1].copy()
        values[-1] = 0.0 if centre else values[-1]
        E = rng.standard_normal((n, n))
        size = 10.0 ** rng.uniform(-9, -1)
        E = (E + E.T) * size / np.linalg.norm(E + E.T, 2)
        F = rng.standard_normal((n, r))
        if rng.random() < 0.5:  # features near the eigenspaces
            F = V[:, : max(1, k - 1)] @ rng.standard_normal((max(1, k - 1), r)) + 1e-3 * rng.integers(2) * F
        gram = DenseGram((V * values) @ V.T + E, rounding=1.0001 * size)  # pyright: ignore[reportArgumentType]
        found = feature_overlap(gram, F, k=k, centre=centre)
        cosines = exact(V[:, :k], F - F.mean(axis=0) if centre else F)
        assert (found.lower - 1e-12 <= cosines).all() and (cosines <= found.upper + 1e-12).all()
        assert found.overlap.lower - 1e-12 <= np.mean(cosines**2) <= found.overlap.upper + 1e-12
        told += found.overlap.upper - found.overlap.lower < 0.1
    assert told > 8


@pytest.mark.parametrize(("n", "k", "r"), [(7, 5, 4), pytest.param(10, 4, 4, marks=pytest.mark.slow)])
def test_the_law_at_random_has_the_moments_of_random_subspaces(n: int, k: int, r: int):
    rng = np.random.default_rng(0)
    Q = np.linalg.qr(rng.standard_normal((20_000, n, k)))[0]
    drawn, fast = np.sum(Q[:, :r] ** 2, axis=(1, 2)), random_subspaces.traces(n, k, r, 20_000, rng)
    # means of 20,000 values that lie within min(k, r) < 5: four standard errors of each moment
    assert abs(fast.mean() - k * r / n) < 4 * fast.std() / 141 and abs(drawn.mean() - k * r / n) < 4 * fast.std() / 141
    assert fast.var() == pytest.approx(drawn.var(), rel=0.06)
    level = random_subspaces.quantile(n, k, r, 0.9)
    below = float(np.mean(drawn / min(k, r) <= level.estimate))
    assert abs(below - 0.9) < 0.012 and level.lower < level.estimate < level.upper


def test_the_floor_of_one_dimension_is_the_beta_law_and_of_the_whole_space_it_is_one(monkeypatch):
    one = random_subspaces.quantile(3, 1, 1, 0.5)  # in three dimensions a cosine is uniform: its square has median 1/4
    assert one.lower <= 0.25 <= one.upper
    assert random_subspaces.quantile(4, 4, 2, 0.9).lower == 1.0
    assert random_subspaces.quantile(4, 3, 3, 0.9).lower > 2 / 3  # two of three cosines are 1
    monkeypatch.setattr(random_subspaces, "MOST", 20_000)
    assert random_subspaces.quantile(50, 5, 5, 1 - 1e-9).upper == 1.0  # so few draws do not tell it


def test_one_example_and_equal_eigenvalues_have_true_answers():
    assert feature_overlap(np.eye(1), [2.0], k=1).overlap.lower == pytest.approx(1.0)
    equal = feature_overlap(np.eye(4), np.arange(4.0), k=2)
    assert not equal.resolved and equal.overlap.lower == 0.0 and equal.overlap.upper == 1.0 and not equal.above
    assert feature_overlap(RING[:6, :6], np.arange(6), k=6).overlap.lower > 1 - 1e-9  # all eigenvectors hold everything


@pytest.mark.parametrize(
    ("K", "features", "given", "message"),
    [
        (RING, np.ones(16), {"k": 1, "centre": True}, "span something; all of them are zero, constants"),
        (RING, np.zeros((16, 2)), {"k": 1}, "span something"),
        (RING, np.ones(5), {"k": 1}, r"features must have shape \(16,\)"),
        (RING, np.arange(16), {"k": 16, "centre": True}, "k must be at most 15, 16 examples without their mean"),
        (RING, np.full(16, np.nan), {"k": 1}, "features must be finite"),
        (np.eye(1), [2.0], {"k": 1, "centre": True}, "span something"),
        (spectra.spectrum(RING), np.arange(16), {"k": 1, "centre": True}, "centre=True needs K"),
        (spectra.spectrum(RING, vectors=False), np.arange(16), {"k": 1}, "must have its vectors"),
        (spectra.spectrum(RING, spectra.MatrixFree(k=2, probes=2, steps=3)), np.arange(16), {"k": 3}, "holds 2; got 3"),
    ],
)
def test_bad_features_are_turned_away(K, features, given, message: str):
    with pytest.raises(ValueError, match=message):
        feature_overlap(K, features, **given)
