"""Is the interval of every eigenvalue of a sampled Gram honest, and narrow enough to be of use?"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

import ntkseq
from ntkseq import bounds, cells, kernels, spectra
from ntkseq._struct import replace
from ntkseq.blocks import Attention, Linear
from ntkseq.grams.base import DenseGram
from ntkseq.grams.sampling import Sampling
from ntkseq.spectra import ranks, sampling_error

X = np.random.default_rng(0).normal(size=(6, 3, 2)).astype(np.float32)


def batches(root: np.ndarray, count: int, each: int, seed: Any) -> np.ndarray:
    """Means of `each` products h h' of Gaussian h whose covariance is root root'."""
    h = np.random.default_rng(seed).normal(size=(count, each, root.shape[1])) @ root.T
    return np.einsum("bpi,bpj->bij", h, h) / each


def sampled(found: np.ndarray, *, bias: float = 0.0, samples: int = 64, entrywise: float = 1e-15) -> DenseGram:
    """A Gram whose additive error says nothing."""
    known = Sampling(found, samples, "particles", entrywise, bias)
    return DenseGram(found.mean(axis=0), rounding=1e3, frobenius=True, entrywise=1e3, sampling=known)


def covariance(n: int, seed: int) -> np.ndarray:
    """A root of a covariance with condition 1e8."""
    q = np.linalg.qr(np.random.default_rng(seed).normal(size=(n, n)))[0]
    return q * np.logspace(0, -4, n)


@pytest.mark.parametrize("count", [4, 8, 32])
def test_every_eigenvalue_is_inside_however_small(count: int) -> None:
    ratios = []
    for seed in range(15):
        root = covariance(6, seed)
        truth = np.linalg.eigvalsh(root @ root.T)[::-1]
        found = spectra.spectrum(sampled(batches(root, count, 32, seed)))
        off = np.abs(found.values - truth)
        assert (off <= found.errors).all()
        ratios.append(float(np.max(found.errors / truth) / np.max(off / truth)))
        if count == 32:
            assert found.resolved == 6 and found.min_eigenvalue.resolved
            entropy = found.effective_rank_interval("entropy")
            assert entropy.within(2.0) and spectra.effective_rank(truth) in entropy
    assert np.median(ratios) < (12 if count > 4 else np.inf)


def test_too_few_samples_for_the_rank_leave_the_additive_interval() -> None:
    root = covariance(12, 3)
    found = spectra.spectrum(sampled(batches(root, 4, 2, 0)))  # rank 8 at most
    assert (found.errors[-4:] >= 1e3).all() and not found.min_eigenvalue.resolved
    assert "unknown (64 particles in 4 batches, too few for the least eigenvalue" in str(found)
    assert found.sampling.samples_for() == np.inf


def test_duplicates_leave_the_others_resolved() -> None:
    root = np.vstack([covariance(5, 1), covariance(5, 1)[:1]])
    found = spectra.spectrum(sampled(batches(root, 16, 64, 0)))
    assert found.resolved == 5 and not found.min_eigenvalue.resolved
    assert found.errors[-1] < 1e-12 and found.pair == (0, 5)


def test_an_eigenvalue_that_is_negative_beyond_rounding_is_not_given_a_share() -> None:
    found = batches(covariance(3, 0), 8, 32, 0) - 1e-3 * np.eye(3)
    shares = spectra.spectrum(sampled(found)).sampling.relative
    assert np.isinf(shares[-1]) and np.isfinite(shares[0])


def test_few_eigenvalues_are_pooled_as_few() -> None:
    assert sampling_error.factor(8, 1) == pytest.approx(11.2, abs=0.1)
    assert sampling_error.factor(8, 2) > sampling_error.factor(8, 3) == sampling_error.factor(8, 300)
    assert sampling_error.factor(8, 3) == pytest.approx(5.8, abs=0.1)


def test_a_bias_that_all_batches_share_is_in_the_error() -> None:
    found = batches(covariance(3, 0), 8, 32, 0)
    with_bias, without = (spectra.spectrum(sampled(found, bias=bias)) for bias in (0.125, 0.0))
    np.testing.assert_allclose(with_bias.sampling.relative, without.sampling.relative + 0.125, rtol=1e-12)


def test_the_answer_says_how_many_particles_give_ten_percent() -> None:
    found = spectra.spectrum(sampled(batches(covariance(4, 0), 8, 256, 0), samples=2048))
    share = found.sampling.relative[-1]
    assert 0.1 < share < 1
    assert found.sampling.samples_for() == pytest.approx(2048 * (share / 0.1) ** 2)
    text = str(found)
    assert "sampling error" in text and "2048 particles in 8 batches; 10 % takes about" in text
    assert "calibrated, not proved" in text and "rounding of K" not in text


@pytest.mark.slow
def test_a_gru_of_six_sequences_is_resolved_and_a_bound_on_it_is_not_certified() -> None:
    K = ntkseq.gram(kernels.Gated(particles=1024, batches=16), X)
    found = spectra.spectrum(K)
    assert found.min_eigenvalue.resolved and found.effective_rank_interval().within(2.0)
    assert found.sampling.relative.max() < 0.5
    bound = bounds.rademacher(K, np.arange(6.0) / 6, reg=0.1)
    assert not bound.certified and "sampling: unresolved" in str(bound)


def test_a_matrix_without_batches_says_why_its_error_is_the_worst() -> None:
    why = Sampling(why="this kernel is not a sum of its batches")
    found = spectra.spectrum(DenseGram(np.eye(3), rounding=0.5, entrywise=0.2, sampling=why))
    assert found.sampling.relative is None and found.sampling.samples_for() == np.inf
    assert "sampling error    as large as the worst entry has it: this kernel is not a sum of its batches" in str(found)


def test_a_spectrum_in_part_calls_the_error_by_its_name() -> None:
    K = DenseGram(np.diag(np.arange(1.0, 41)), rounding=0.5, sampling=Sampling(why="a lazy Gram holds no batches"))
    assert "sampling error of K 0.5" in str(spectra.spectrum(K, spectra.MatrixFree(k=3)))


# -------------------------------------------------------------------------------------------------- many known truths


def cases(kernel: Any, x: np.ndarray, count: int, truth: Any) -> tuple[np.ndarray, np.ndarray, float]:
    """Matrices of independent batches of a sampled kernel, the mean of those of `truth`, and the bias it states."""

    def all_of(which: Any) -> tuple[np.ndarray, Any]:
        parts = which.parts(which.prepare(x))
        one, side = parts.kernels[0], parts.sides[0]

        @jax.jit
        def run(keys: Any) -> Any:
            return jax.vmap(lambda k: replace(one, key=k).square_side(side))(keys)

        keys = jax.random.split(jax.random.key(which.seed), which.batches)
        groups = keys.reshape(-1, min(64, which.batches))
        return np.concatenate([np.asarray(run(group), np.float64) for group in groups]), parts

    found, parts = all_of(kernel.with_(particles=count * kernel.particles // kernel.batches, batches=count))
    return found, all_of(truth)[0].mean(axis=0), parts.bias


@pytest.mark.slow
@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize(("n", "t", "each"), [(4, 2, 8), (8, 3, 16), (12, 4, 32)])
def test_no_eigenvalue_of_a_gated_network_leaves_its_interval(cell: str, n: int, t: int, each: int) -> None:
    """200 seeds each, 1,200 in all; the whole calibration, 5,000 and more, is in docs/theory/numerics.md."""
    rng = np.random.default_rng(n)
    x = rng.normal(size=(n, t, 2)).astype(np.float32)
    x[1] = x[0] + 1e-2 * rng.normal(size=(t, 2))
    kernel = kernels.Gated({"gru": cells.GRU, "lstm": cells.LSTM}[cell](sigma_w=1.5, sigma_b=0.3), particles=8 * each)
    pool, truth, bias = cases(kernel, x, 3072, kernel.with_(particles=2**16, batches=256, seed=7))
    wanted = np.linalg.eigvalsh(truth)[::-1]
    at, widths = 0, []
    for count in (4, 8, 16, 32):
        for _ in range(50):
            found = pool[at : at + count]
            at += count
            eigen = spectra.spectrum(sampled(found, bias=bias, entrywise=5e-6))
            off = np.abs(eigen.values - wanted)
            assert (off <= eigen.errors).all()
            if eigen.sampling.relative[-1] < 1:  # else the additive interval stays, 1e3 here
                widths.append(eigen.errors[-1] / off[-1])
            for rank in (ranks.Entropy(), ranks.Stable()):
                low, high = rank.bounds(eigen.values, eigen.errors)
                assert low <= rank.of(wanted) <= high
    # 16 and 14 (P = 8), 25 and 23 (P = 16), GRU and LSTM: above the 12 aimed at, as 1/P counts in batches so small
    assert len(widths) > 100 and np.median(widths) < 30


@pytest.mark.slow
def test_no_eigenvalue_of_sampled_attention_leaves_its_interval() -> None:
    x = np.random.default_rng(1).normal(size=(5, 3, 2)).astype(np.float32)
    x[1] = x[0] + 0.1
    kernel = lambda samples, seed: kernels.Serial(  # noqa: E731
        Linear(), Attention(1.3, scaling="root", samples=samples, seed=seed), Linear(2**0.5), "relu", read="mean"
    )
    truth = np.linalg.eigvalsh(np.asarray(ntkseq.gram(kernel(2**15, 99), x), np.float64))[::-1]
    for seed in range(20):
        found = spectra.spectrum(ntkseq.gram(kernel(256, seed), x))
        assert (np.abs(found.values - truth) <= found.errors).all()
        assert found.sampling.relative is not None
