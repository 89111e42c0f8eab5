import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import kernels
from ntkseq.grams import tiles


@pytest.mark.slow(cases=["True-1000-5000"])
@pytest.mark.parametrize("n", [1, 7, 64, 500, 5000])
@pytest.mark.parametrize("entries", [1, 64, 1000])
@pytest.mark.parametrize("on_cpu", [True, False])
def test_the_triangle_visits_every_block_pair_once(n, entries, on_cpu):
    plan = tiles.plan(n, n, symmetric=True, entries=entries, on_cpu=on_cpu)
    blocks = -(-n // plan.size)
    assert len(plan.pairs) == blocks * (blocks + 1) // 2
    seen = {(int(i), int(j)) for batch in plan.batches() for i, j in batch}
    assert seen == {(i, j) for i in range(blocks) for j in range(i, blocks)}
    assert all(len(batch) == plan.batch for batch in plan.batches())


def test_a_cross_gram_visits_the_whole_rectangle():
    plan = tiles.plan(100, 30, symmetric=False, entries=1, on_cpu=True, size=32)
    assert {(int(i), int(j)) for i, j in plan.pairs} == {(i, 0) for i in range(4)}


def test_tiles_shrink_with_what_a_pair_holds():
    small = tiles.plan(4096, 4096, symmetric=True, entries=512, on_cpu=True)
    large = tiles.plan(4096, 4096, symmetric=True, entries=1, on_cpu=True)
    assert small.size < large.size
    assert small.size**2 * 512 * small.batch <= 1 << 16


@pytest.mark.parametrize(("n", "m", "symmetric"), [(4800, 4800, True), (500, 500, True), (300, 900, False)])
@pytest.mark.parametrize("devices", [2, 8])
def test_a_kernel_that_prefers_large_tiles_gets_four_for_each_device(n, m, symmetric, devices):
    alone, size = (tiles.even(4096, n, m, symmetric, count) for count in (1, devices))
    plan = tiles.plan(n, m, symmetric=symmetric, entries=1, on_cpu=True, size=size)
    assert len(plan.pairs) >= 4 * devices and 32 <= size <= alone
    assert tiles.even(4096, 40, 40, True, devices) >= 32 and tiles.even(None, n, m, symmetric, devices) is None


@pytest.mark.slow
def test_the_last_block_is_filled_with_the_last_example():
    kernel = kernels.Dense(sigma_w=1.3)
    x = jax.random.normal(jax.random.key(0), (5, 3))
    side = kernel.prepare(x)
    tile = tiles.compute(kernel, side, side, jnp.array([[0, 1]]), 4)
    assert tile.shape == (1, 4, 4)
    np.testing.assert_allclose(tile[0], np.tile(kernel(x)[:4, 4:], (1, 4)), rtol=1e-6, atol=1e-6)


@pytest.mark.slow
def test_computed_tiles_are_those_of_the_kernel():
    kernel = kernels.Dense(sigma_w=1.3)
    x = jax.random.normal(jax.random.key(0), (6, 3))
    side = kernel.prepare(x)
    tile = tiles.compute(kernel, side, side, jnp.array([[0, 1], [1, 1]]), 3)
    np.testing.assert_allclose(tile[0], kernel(x)[:3, 3:], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(tile[1], kernel(x)[3:, 3:], rtol=1e-6, atol=1e-6)
