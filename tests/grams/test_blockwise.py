"""Are examples cut into blocks of one size, and is what a block takes counted?"""

from __future__ import annotations

import pickle

import jax
import jax.numpy as jnp
import numpy as np

from ntkseq import kernels
from ntkseq.grams import blockwise, tiles

X = np.random.default_rng(0).standard_normal((10, 5, 2))
KERNEL = kernels.Dense()


def test_the_last_block_is_filled_with_the_last_example() -> None:
    blocks = blockwise.Blocks({"x": X, "n": jax.random.split(jax.random.key(0), 10)}, np.arange(10), 4)
    x, lengths = blocks.at(2)
    assert (blocks.n, blocks.count, [blocks.inside(k) for k in range(3)]) == (10, 3, [4, 4, 2])
    assert lengths.tolist() == [8, 9, 9, 9] and np.array_equal(x["x"], X[[8, 9, 9, 9]].astype(np.float32))
    assert jax.random.key_data(x["n"]).shape[0] == 4


def test_a_tile_of_two_blocks_is_that_of_the_whole_and_its_memory_is_said() -> None:
    x = X[:, 0].astype(np.float32)
    blocks = blockwise.Blocks(x, None, 4)
    programs = blockwise.Programs(KERNEL, blocks)
    one, two = (programs.prepared(*blocks.at(k)) for k in (0, 1))
    side = KERNEL.prepare(x)
    wanted = tiles.compute(KERNEL, side, side, np.array([[0, 1]], np.int32), 4)[0]
    assert np.array_equal(programs.tile(one, two), wanted)
    held = sum(leaf.nbytes for leaf in jax.tree.leaves(one))
    assert programs.bytes == held and programs.making >= held and programs.meeting >= 2 * held + wanted.nbytes
    again = pickle.loads(pickle.dumps(programs))
    assert np.array_equal(again.tile(one, two), wanted) and isinstance(jnp.asarray(again.own(one)), jax.Array)


def test_kernels_that_hold_little_are_prepared_at_once() -> None:
    assert blockwise.whole(KERNEL, X[:, 0], None, 4) is None
