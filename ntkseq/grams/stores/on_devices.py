"""How do the devices of a mesh fill a store? By rounds of tiles; a chunk is written when its last one comes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from jax.sharding import Mesh

from ntkseq import _precision
from ntkseq.grams import meshes, tiles
from ntkseq.grams.sides import Sides
from ntkseq.grams.stores import filling
from ntkseq.grams.stores import layout as layouts
from ntkseq.grams.stores.chunks import Chunks

_ROUND = 64
"""Chunks whose tiles are dealt together: no more are open, and devices wait for each other no more often."""


def fill(
    chunks: Chunks,
    pair: Sides,
    which: np.ndarray,
    workers: int | None,
    tick: Callable[[int], Any],
    *,
    mesh: Mesh,
) -> None:
    """Compute and write the chunks `which` (k, 2), in this order, by all devices of a mesh; not those that are there.

    Args:
        chunks, pair, which, tick: as of `filling.fill`.
        workers: plays no role.
        mesh: of one axis, see `_meshes.flat`.

    Raises:
        ValueError: values that overflow the dtype; that chunk is not written.
        OSError: a chunk cannot be written; those before it are there.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="ntkseq-store") as writer, _precision.setting(pair.x64):
        for start in range(0, len(which), _ROUND):
            written: list[Future[None]] = []
            some = [one for one in which[start : start + _ROUND].tolist() if not chunks.file(*one).exists()]
            for i, j, values in _computed(chunks, pair, some, mesh):
                written.append(writer.submit(filling.put, chunks, pair, i, j, values, tick))
            for one in written:
                one.result()


def _computed(chunks: Chunks, pair: Sides, which: list[list[int]], mesh: Mesh) -> Iterator[tuple[int, int, np.ndarray]]:
    """Chunk after chunk, (i, j, values), as their last tiles come."""
    if not which:
        return
    layout = chunks.layout
    own = [(i, j, layout.tiles(i, j)) for i, j in which]
    lacking = {(i, j): len(pairs) for i, j, pairs in own}
    values: dict[tuple[int, int], np.ndarray] = {}
    every = np.concatenate([pairs for _, _, pairs in own])
    plan = tiles.Plan(layout.tile, layout.batch, every)
    task = tiles.Task(pair.kernel, pair.left, pair.right, plan, pair.shape, pair.diagonal, pair.symmetric)
    per_chunk = layout.chunk // layout.tile
    for pairs, block in meshes.blocks(task, mesh, every):
        for where, tile in zip(pairs, block, strict=True):
            i, j = (int(at) // per_chunk for at in where)
            if (i, j) not in values:
                values[i, j] = np.empty((layout.chunk, layout.chunk), layout.dtype)
            layouts.place(layout, i, j, where[None], tile[None], values[i, j])
            lacking[i, j] -= 1
            if not lacking[i, j]:
                yield i, j, values.pop((i, j))
