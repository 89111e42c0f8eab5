"""Are shares of the targets in eigenvectors, known from products alone, within their bounds, and do these close in?"""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest

import ntkseq
from ntkseq import kernels
from ntkseq.grams import DenseGram, Operator
from ntkseq.spectra import MatrixFree, spectrum

N = 120
LAM = np.arange(1, N + 1.0) ** -1.5
Q = np.linalg.qr(np.random.default_rng(0).standard_normal((N, N)))[0]
Y = Q @ (LAM**0.5 * np.random.default_rng(1).standard_normal(N))
SHARES = (Q.T @ Y) ** 2 / (Y @ Y)


def part(lam: np.ndarray = LAM, rounding: float = 0.0, seed: int = 0, vectors: bool = True, **options):
    A = Q * lam @ Q.T
    if rounding:
        E = np.random.default_rng(seed).standard_normal((N, N))
        A = A + rounding * (E + E.T) / np.linalg.norm(E + E.T, 2)
    K = DenseGram((A + A.T) / 2, rounding=rounding + 1e-14)  # pyright: ignore[reportArgumentType]
    return spectrum(K, MatrixFree(**{"k": 8, "tol": 1e-9, **options}), vectors=vectors)


def test_alignment_is_that_of_the_dense_spectrum():
    truth = float(SHARES @ LAM / np.linalg.norm(LAM))
    interval = part().alignment(Y)
    assert truth in interval and interval.resolved and interval.upper - interval.lower < 1e-11
    assert interval.estimate == pytest.approx(spectrum(Q * LAM @ Q.T).alignment(Y), rel=1e-10)
    assert part().alignment(1e200 * Y).estimate == pytest.approx(truth, rel=1e-10)
    for seed in range(5):
        assert truth in part(rounding=1e-2, seed=seed).alignment(Y)


def test_shares_of_the_leading_vectors_are_enclosed_sharply_where_they_are_apart():
    curve = part().alignment_curve_interval(Y)
    truth = np.cumsum(SHARES)[:8]
    assert (curve.lower <= truth).all() and (truth <= curve.upper).all()
    assert (curve.upper - curve.lower < 1e-4).all() and curve.at.tolist() == list(range(1, 9))
    np.testing.assert_allclose(curve.estimate, part().alignment_curve(Y), atol=1e-12)


@pytest.mark.parametrize("rounding", [1e-5, 1e-3, 1e-2])
def test_rounding_turns_the_vectors_and_the_bounds_say_so(rounding: float):
    for seed in range(8):
        curve = part(rounding=rounding, seed=seed).alignment_curve_interval(Y)
        truth = np.cumsum(SHARES)[:8]
        assert (curve.lower <= truth).all() and (truth <= curve.upper).all()
        assert curve.upper[0] - curve.lower[0] > 0.5 * rounding  # how far a rotation by rounding / gap moves a share


def test_within_a_cluster_a_share_is_open_and_behind_it_is_not():
    lam = LAM.copy()
    lam[1:4] = lam[1]  # any basis of three is as good
    curve = part(lam).alignment_curve_interval(Y)
    total = np.cumsum(SHARES)
    assert curve.lower[1] <= total[0] + 1e-9 and curve.upper[1] >= total[3] - 1e-9
    assert curve.upper[3] - curve.lower[3] < 1e-4 and curve.lower[3] <= total[3] <= curve.upper[3]


@pytest.mark.parametrize("steps", [1, 4, 16, 60])
def test_the_share_above_a_level_is_enclosed_over_the_whole_spectrum(steps: int):
    levels = np.sqrt(LAM[:-1] * LAM[1:])[::4]  # between the eigenvalues
    curve = part().share_above(Y, levels, steps=steps)
    truth = np.cumsum(SHARES)[:-1:4]
    assert (curve.lower <= truth + 1e-12).all() and (truth <= curve.upper + 1e-12).all()
    assert np.median(curve.upper - curve.lower) < {1: 0.7, 4: 0.3, 16: 0.05, 60: 0.004}[steps]
    assert (curve.lower <= curve.estimate).all() and (curve.estimate <= curve.upper).all()


@pytest.mark.parametrize("rounding", [1e-6, 1e-3, 3e-2])
def test_shares_of_the_exact_matrix_are_meant_and_not_of_the_rounded_one(rounding: float):
    levels = np.concatenate([LAM[:20] - 0.5 * rounding, LAM[:20] + 0.5 * rounding])
    truth = np.array([SHARES[level <= LAM].sum() for level in levels])
    for seed in range(6):
        curve = part(rounding=rounding, seed=seed).share_above(Y, levels, steps=N)
        assert (curve.lower <= truth + 1e-12).all() and (truth <= curve.upper + 1e-12).all()


def test_levels_are_chosen_from_the_largest_down_and_nothing_lies_beyond_the_ends():
    s = part()
    curve = s.share_above(Y)
    assert curve.at.size == 25 and curve.at[0] == pytest.approx(1.0) and curve.at[-1] == pytest.approx(1e-6)
    assert curve.lower[-1] > 1 - 1e-12
    ends = s.share_above(Y, [2.0, -1.0])
    assert ends.upper[0] < 1e-12 and ends.lower[1] > 1 - 1e-12
    one = spectrum(np.eye(5), MatrixFree(k=1)).share_above(np.ones(5), [1.1, 0.9])  # a spectrum of no width
    assert one.lower.tolist() == [0.0, 1.0] == one.upper.tolist()
    assert repr(curve).startswith("AlignmentCurve(25 shares, widest ")


@pytest.mark.slow
def test_a_lazy_gram_agrees_with_the_held_one():
    x = jax.random.normal(jax.random.key(0), (60, 5, 2))
    kernel, y = kernels.Recurrent(sigma_w=1.2, sigma_b=0.1), np.sign(np.asarray(x[:, 0, 0], np.float64))
    dense = spectrum(ntkseq.gram(kernel, x), method="dense")
    lazy = spectrum(ntkseq.lazy(kernel, x), MatrixFree(k=6))
    assert dense.alignment(y) in lazy.alignment(y)
    curve, truth = lazy.alignment_curve_interval(y), dense.alignment_curve(y)
    assert (curve.lower <= truth[:6]).all() and (truth[:6] <= curve.upper).all()
    level = float(np.sqrt(dense.values[9] * dense.values[10]))
    found = lazy.share_above(y, [level], steps=30)
    assert found.lower[0] <= truth[9] <= found.upper[0] and found.upper[0] - found.lower[0] < 0.05


def test_what_is_missing_or_wrong_is_said():
    A = Q * LAM @ Q.T
    unknown = spectrum(Operator(lambda V: A @ V, N, rounding=0.0, dtype=np.float64), method="matrix-free")
    with pytest.raises(ValueError, match="alignment needs the Frobenius norm"):
        unknown.alignment(Y)
    assert unknown.share_above(Y, [0.1]).upper[0] <= 1.0
    s = part()
    with pytest.raises(ValueError, match="y must not be all zero"):
        s.alignment(np.zeros(N))
    with pytest.raises(ValueError, match=r"y must have shape \(120,\)"):
        s.share_above(np.ones(3))
    with pytest.raises(ValueError, match="levels must be finite"):
        s.share_above(Y, [np.nan])
    with pytest.raises(ValueError, match="levels must hold at least one"):
        s.share_above(Y, [])
    with pytest.raises(ValueError, match="this PartialSpectrum has none"):
        dataclasses.replace(s, K=None).alignment(Y)
    with pytest.raises(ValueError, match="vectors=True"):
        part(vectors=False).alignment_curve_interval(Y)
    zero = spectrum(np.zeros((5, 5)), MatrixFree(k=1))
    assert np.isnan(zero.alignment(np.ones(5)).estimate) and not zero.alignment(np.ones(5)).resolved
