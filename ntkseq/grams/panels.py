"""What of the prepared examples does each device of a mesh hold? All, or the rows and columns it is working on."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from ntkseq import _memory, _meshes
from ntkseq._types import PyTree
from ntkseq.grams import tiles

SHARE = 0.25
"""Of the memory that a device has free, what prepared examples may take on it."""


@dataclasses.dataclass(frozen=True)
class Panel:
    """Tiles of some rows with some columns, whose prepared examples lie on every device of a mesh.

    `pairs` (k, 2) are block indices of the whole matrix; `origin` (2,) is the pair at which the panel begins.
    """

    kernel: Any
    left: PyTree
    right: PyTree
    origin: np.ndarray
    pairs: np.ndarray


def of(task: tiles.Task, mesh: Mesh, pairs: np.ndarray) -> Iterator[Panel]:
    """The tiles at some block index pairs (k, 2) in panels, each of the same shape: they are one program."""
    kernel = _meshes.on_all(task.kernel, mesh)
    same = task.left is task.right
    if (rows := _rows(task, mesh)) is None:
        left = _meshes.on_all(task.left, mesh)
        right = left if same else _meshes.on_all(task.right, mesh)
        yield Panel(kernel, left, right, np.zeros(2, np.int32), pairs)
        return
    held: dict[tuple[bool, int], PyTree] = {}
    where = pairs // rows
    for one in np.unique(where, axis=0):
        wanted = [(same or side == 0, int(block)) for side, block in enumerate(one)]
        held = {key: side for key, side in held.items() if key in wanted}  # what goes makes room for what comes
        for side, key in zip((task.left, task.right), wanted, strict=True):
            if key not in held:
                held[key] = _meshes.on_all(_cut(side, key[1] * rows, rows, task.plan.size), mesh)
        mine = pairs[(where == one).all(axis=1)]
        yield Panel(kernel, held[wanted[0]], held[wanted[1]], (one * rows).astype(np.int32), mine)


def budget(mesh: Mesh) -> int:
    """Bytes that prepared examples may take on each device of a mesh; devices of the host share its memory."""
    free = int(SHARE * min(_memory.available(one) for one in mesh.devices.flat))
    return free // mesh.size if _meshes.is_cpu(mesh) else free


def home(mesh: Mesh, inputs: PyTree) -> Any:
    """Where examples are prepared: on the first device of a mesh, or, if they might fill it, on one of the host."""
    first = _meshes.first(mesh)
    if size(inputs) <= SHARE * _memory.available(first) or first.platform == "cpu":
        return first
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:  # JAX_PLATFORMS names none
        return first


def size(side: PyTree) -> int:
    """Bytes of a prepared batch."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(side) if hasattr(leaf, "dtype"))


def _rows(task: tiles.Task, mesh: Mesh) -> int | None:
    """Row blocks of a panel; None: all examples may lie on each device."""
    left, right = size(task.left), 0 if task.left is task.right else size(task.right)
    if left + right <= (most := budget(mesh)):
        return None
    rows = task.plan.size
    counts = [jax.tree.leaves(side)[0].shape[0] for side in (task.left, task.right)]
    block = rows * max(-(-size(side) // count) for side, count in zip((task.left, task.right), counts, strict=True))
    return max(1, min(most // (2 * block), -(-max(counts) // rows)))


def _cut(side: PyTree, first: int, blocks: int, size: int) -> PyTree:
    """The examples of some row blocks, on the host; beyond the end the last one is repeated."""
    index = np.arange(first * size, (first + blocks) * size)
    return jax.tree.map(lambda leaf: np.asarray(leaf)[np.minimum(index, leaf.shape[0] - 1)], side)
