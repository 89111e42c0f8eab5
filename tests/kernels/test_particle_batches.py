"""Do the batches of a gated kernel, put together by chunks and blocks, have the kernel as their mean?"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq.cells import GRU
from ntkseq.kernels import particle_batches as module
from ntkseq.kernels.gated import Gated

X = np.random.default_rng(3).normal(size=(19, 2, 1)).astype(np.float32)


@pytest.mark.parametrize("most", [1, 2, 3, 4, 7])
def test_chunks_put_together_are_the_whole(most) -> None:
    side = {"x": jnp.arange(24.0).reshape(4, 3, 2), "read": jnp.arange(12.0).reshape(4, 3)}
    rows = lambda part: part["x"].sum(axis=(1, 2))[:, None] + part["read"]  # noqa: E731
    np.testing.assert_array_equal(module._chunked(rows, side, most), rows(side))


@pytest.mark.slow
def test_the_mean_of_the_batches_is_the_kernel_and_their_spread_its_standard_error() -> None:
    kernel = Gated(GRU(sigma_b=0.2), particles=64, batches=4)
    side = kernel.prepare(X)
    parts = kernel.parts(side)
    # 19 sequences: two blocks of rows from the upper triangle
    each = np.stack([np.asarray(k.square_side(s)) for k, s in zip(parts.kernels, parts.sides, strict=True)])
    K, error = (np.asarray(a) for a in (kernel.tile(side, side), kernel.standard_error(side, side)))
    size = np.sqrt(np.outer(np.diagonal(K), np.diagonal(K)))
    np.testing.assert_array_equal(each, np.swapaxes(each, 1, 2))
    assert np.max(np.abs(each.mean(0) - K) / size) < 4e-7  # a few roundings
    np.testing.assert_allclose(each.std(0, ddof=1) / 2, error, rtol=1e-4, atol=1e-6)
    assert (parts.samples, parts.noun, parts.whole, parts.bias) == (64, "particles", True, 1 / 16)
    assert parts.entrywise < 1e-5 < kernel.entry_rounding(side)


@pytest.mark.slow
def test_where_the_features_of_all_do_not_fit_the_square_comes_by_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Gated(GRU(sigma_b=0.2), particles=64, batches=4)
    part = kernel.parts(kernel.prepare(X)).kernels[2]
    side = part.prepare(X)
    whole = np.asarray(part.square_side(side))
    monkeypatch.setattr(module, "_HELD", 5 * 2 * 16 * 7)  # seven sequences of 19
    module._square.clear_cache()
    np.testing.assert_allclose(part.square_side(side), whole, rtol=1e-5, atol=1e-7)
    module._square.clear_cache()
