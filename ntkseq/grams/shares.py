"""Which tiles of a Gram matrix does each of several processes compute? Even shares that have none in common."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import numpy as np
from jax.sharding import Mesh

from ntkseq import _checks, _meshes, _precision
from ntkseq.grams import meshes
from ntkseq.grams.sides import Sides


def share(pairs: np.ndarray, index: int, count: int) -> np.ndarray:
    """The share (k, 2) of process `index` among `count` of the block index pairs (all, 2) of a plan.

    A piece of the list, which goes along the rows: neighbours share their examples. Of two shares one is longer by one
    tile at most; all processes that have the same plan agree without a word.

    Raises:
        ValueError: no process of that number.
    """
    count = _checks.positive_int("process_count", count)
    index = _checks.integer("process_index", index, 0, count - 1)
    start, stop = (len(pairs) * k // count for k in (index, index + 1))
    return pairs[start:stop]


def blocks(
    pair: Sides, index: int | None = None, count: int | None = None, *, tile: int | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The tiles of this process, by its own devices, as they come: block index pairs (k, 2), values (k, size, size).

    Processes do not wait for each other and exchange nothing. As in `meshes.blocks` the tiles are not mirrored.

    Args:
        pair: the prepared examples, all of them in every process.
        index: the number of this process, and `count` of all of them; None: as `jax.distributed` says.
        tile: rows of a tile; if None it may depend on the number of a process' devices, which then must be the same.
    """
    index = jax.process_index() if index is None else index
    count = jax.process_count() if count is None else count
    mesh = _meshes.flat(Mesh(np.array(jax.local_devices()), ("devices",))) if pair.mesh is None else pair.mesh
    task, _ = pair.on(mesh).task(tile, None)
    parts = meshes.blocks(task, mesh, share(task.plan.pairs, index, count))
    while True:
        with _precision.setting(pair.x64):
            part = next(parts, None)
        if part is None:
            return
        yield part
