"""Is a matrix cut into chunks of whole tiles, and does each come out the same whoever computes it?"""

from __future__ import annotations

import dataclasses
import pathlib
import pickle
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntkseq
from ntkseq import kernels
from ntkseq.grams import sides
from ntkseq.grams.stores import filling, layout
from ntkseq.grams.stores.chunks import Chunks

KERNEL = kernels.Recurrent(sigma_w=1.3)
X = np.random.default_rng(0).standard_normal((200, 4, 2)).astype(np.float32)


def prepared(n: int = 200) -> sides.Sides:
    return sides.prepare(KERNEL, np.resize(X, (n, 4, 2)), None, None, None)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "tile", "chunk"),
    [(9, None, 64), (200, None, 64), (1100, None, 256), (3000, None, 512), (3000, 200, 400), (70_000, None, 1024)],
)
def test_chunks_are_whole_tiles_and_larger_for_more_examples(n: int, tile: int | None, chunk: int) -> None:
    found = layout.chosen(prepared(n), tile, 2)
    assert found.chunk == chunk and found.chunk % found.tile == 0
    assert found.tile == (tile or prepared(n).task(None, 2)[0].plan.size)


def test_every_tile_is_in_one_batch_of_one_chunk() -> None:
    plan = layout.chosen(prepared(), None, 2)
    tiles = -(-200 // plan.tile)
    found = {tuple(pair) for i, j in plan.chunks.tolist() for batch in plan.batches(i, j) for pair in batch.tolist()}
    assert found == {(i, j) for i in range(tiles) for j in range(i, tiles)}


def test_a_chunk_is_the_same_from_pickled_sides_and_from_any_number_of_threads(tmp_path: pathlib.Path) -> None:
    pair, wanted = prepared(), np.asarray(ntkseq.gram(KERNEL, X))
    plan = layout.chosen(pair, None, 2)
    for workers in (1, 3):
        chunks = Chunks(tmp_path / str(workers), plan).create()
        done: list[int] = []
        filling.fill(chunks, pair, chunks.missing(), workers, done.append)
        assert sum(done) == len(plan.chunks) == 10
    for i, j in plan.chunks.tolist():
        rows, columns = plan.part(i, j)
        alone = layout.chunk(*pickle.loads(pickle.dumps((pair, plan, i, j))))
        block = alone[: rows.stop - rows.start, : columns.stop - columns.start]
        np.testing.assert_array_equal(block, wanted[rows, columns])
        np.testing.assert_array_equal(chunks.read(i, j), block)
        assert (tmp_path / f"1/c/{i}/{j}").read_bytes() == (tmp_path / f"3/c/{i}/{j}").read_bytes()
        assert np.isnan(alone).sum() == alone.size - block.size


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Lopsided(kernels.Kernel):
    """Tiles that are not symmetric, and a diagonal of its own: what `gram` makes of them shows."""

    def prepare(self, x: Any, lengths: Any = None) -> Any:
        return jnp.asarray(x)

    def tile(self, left: Any, right: Any) -> Any:
        return left[:, :1] + 2.0 * right[None, :, 0]

    def diag_side(self, side: Any) -> Any:
        return 50.0 + side[:, 0]

    def entry_rounding(self, side: Any) -> float:
        return 0.0


def test_the_upper_half_counts_and_the_diagonal_is_that_of_the_kernel(tmp_path: pathlib.Path) -> None:
    x = X[:, 0]
    wanted = np.asarray(ntkseq.gram(Lopsided(), x))
    np.testing.assert_array_equal(np.asarray(ntkseq.gram(Lopsided(), x, store=tmp_path / "K")), wanted)
    np.testing.assert_array_equal(wanted.diagonal(), 50.0 + x[:, 0])
    assert np.array_equal(wanted, wanted.T) and wanted[1, 2] == x[1, 0] + 2.0 * x[2, 0]
