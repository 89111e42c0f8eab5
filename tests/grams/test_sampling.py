"""Does the Gram matrix of a sampled kernel carry its batches, and say why where it cannot?"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import ntkseq
from ntkseq import cells, empirical, kernels
from ntkseq.blocks import Attention, Linear
from ntkseq.grams import sampling, sides

X = np.random.default_rng(3).normal(size=(3, 2, 1)).astype(np.float32)
GATED = kernels.Gated(cells.GRU(sigma_b=0.2), particles=64, batches=4)
EXACT = kernels.Recurrent(sigma_w=1.2)


@pytest.mark.slow
def test_the_gram_of_a_gated_network_is_the_mean_of_its_batches_and_holds_them() -> None:
    K = ntkseq.gram(GATED, X)
    held = K.sampling
    assert held.batches.shape == (4, 3, 3) and (held.samples, held.noun) == (64, "particles")
    np.testing.assert_allclose(np.asarray(K), held.batches.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(np.asarray(K), GATED(X), rtol=1e-5)
    side = GATED.prepare(X)
    error = np.asarray(GATED.standard_error(side, side))
    np.testing.assert_allclose(held.batches.std(axis=0, ddof=1) / 2, error, rtol=1e-3)
    assert "sampling error" in repr(K) and "rounding" not in repr(K)
    double = ntkseq.gram(0.25 * GATED + EXACT, X)
    np.testing.assert_allclose(double.sampling.batches, 0.25 * held.batches + np.asarray(EXACT(X)), rtol=1e-5)
    np.testing.assert_allclose(np.asarray(double), 0.25 * np.asarray(K) + np.asarray(EXACT(X)), rtol=1e-5)


@pytest.mark.slow(cases=["kernel2"])
@pytest.mark.parametrize("kernel", [GATED, 2.0 * GATED, GATED + EXACT, EXACT + GATED, GATED + GATED])
def test_a_sum_and_a_multiple_of_a_sampled_kernel_have_its_batches(kernel: Any) -> None:
    side = kernel.prepare(X)
    parts = kernel.parts(side)
    assert kernel.sampled and len(parts.kernels) == len(parts.sides) == 4 and parts.noun == "particles"
    assert parts.entrywise < 2e-5


def test_batches_that_do_not_pair_are_not_paired() -> None:
    other = GATED + GATED.with_(batches=8)
    assert other.sampled and other.parts(other.prepare(X)) is None
    assert not EXACT.sampled and EXACT.parts(EXACT.prepare(X)) is None


def test_exact_kernels_carry_no_sampling() -> None:
    assert ntkseq.gram(EXACT, X).sampling is None and ntkseq.lazy(EXACT, X).sampling is None


@pytest.mark.slow
def test_what_is_too_large_to_hold_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = sides.prepare(GATED, X, None, None, None)
    assert sampling.held(pair)[0] is not None
    monkeypatch.setattr(sampling, "HELD", 100)
    parts, known = sampling.held(pair)
    assert (
        parts is None
        and known is not None
        and known.batches is None
        and known.why == "the matrices of all batches take too much"
    )
    assert "sampling error" in repr(ntkseq.lazy(GATED, X))


@pytest.mark.slow
def test_the_groups_of_sampled_attention_have_the_spread_of_its_standard_error() -> None:
    kernel = kernels.Serial(Linear(), Attention(scaling="root", samples=64), Linear(2**0.5), "relu")
    K = ntkseq.gram(kernel, X)
    side = kernel.prepare(X)
    error = np.asarray(kernel.standard_error(side, side))
    np.testing.assert_allclose(K.sampling.batches.std(axis=0, ddof=1) / 8**0.5, error, rtol=0.02, atol=1e-5)
    assert (K.sampling.samples, K.sampling.noun) == (64, "draws")


@pytest.mark.slow
def test_the_batches_of_a_sum_that_is_computed_in_tiles_have_a_diagonal(monkeypatch):
    monkeypatch.setattr(empirical.ntk, "ONE_PIECE", 4)
    x = np.random.default_rng(0).normal(size=(6, 3, 2)).astype(np.float32)
    kernel = kernels.Gated("gru", particles=64) + empirical.NTK(lambda w, x: jnp.tanh(w @ x[-1]), jnp.ones((1, 2)))
    np.testing.assert_allclose(np.diag(ntkseq.gram(kernel, x)), kernel.diag(x), rtol=1e-5)
