"""How do the devices of a mesh multiply a Gram matrix with vectors? Strip by strip, one for each device in a round."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from ntkseq import _meshes, _vectors
from ntkseq._types import AnyArray, AnyKernel, PyTree
from ntkseq.grams import meshes, panels, sweep, tiles
from ntkseq.grams.sweep import Swept


@dataclasses.dataclass(frozen=True)
class _Strip:
    """Tiles (i, first) to (i, last) of a matrix, side by side."""

    i: int
    first: int
    last: int


def run(task: tiles.Task, V: np.ndarray, mesh: Mesh, tick: Callable[[int], Any]) -> Swept:
    """The matrix times V (m, k). The host adds what the devices found in the order of the strips, in float64.

    So the sums do not depend on timing, nor on the number of devices.
    """
    size, (n, m) = task.plan.size, task.shape
    batch, wide, columns = sweep.widths(task, _meshes.is_cpu(mesh))
    padded = np.zeros(((columns + wide) * size, V.shape[1]))
    padded[:m] = V
    with jax.enable_x64(True):
        vectors = _meshes.on_all(padded, mesh)
    diagonal = np.asarray(task.diagonal)
    out, squares = np.zeros((max(n, m) + (wide + 1) * size, V.shape[1])), 0.0
    waiting: deque[tuple[list[_Strip], tuple[Any, ...]]] = deque()

    def add(strips: list[_Strip], found: tuple[Any, ...]) -> None:
        nonlocal squares
        top, low, sums = jax.tree.map(np.asarray, found)  # low is None without a mirrored half
        for k, strip in enumerate(strips):
            out[strip.i * size : (strip.i + 1) * size] += top[k]
            if low is not None:
                out[strip.first * size : (strip.first + wide) * size] += low[k]
            squares += float(sums[k])
            tick(strip.last + 1 - strip.first)

    for panel in panels.of(task, mesh, task.plan.pairs):
        strips = list(_strips(panel.pairs, wide))
        for start in range(0, len(strips), mesh.size):
            some = strips[start : start + mesh.size]
            filled = some + some[-1:] * (mesh.size - len(some))
            made = _computed(task, panel, filled, diagonal, (batch, wide), mesh)
            waiting.append((some, _multiplied(task, filled, made, vectors, mesh)))
            if len(waiting) > meshes.AHEAD:
                add(*waiting.popleft())
    while waiting:
        add(*waiting.popleft())
    return Swept(out[:n], squares)


def _strips(pairs: np.ndarray, wide: int) -> Iterator[_Strip]:
    """The tiles at some block index pairs (k, 2), whose columns follow each other in every row, `wide` at a time."""
    for i in np.unique(pairs[:, 0]):
        columns = pairs[pairs[:, 0] == i, 1]
        first, last = int(columns.min()), int(columns.max())
        for j in range(first, last + 1, wide):
            yield _Strip(int(i), j, min(j + wide - 1, last))


def _computed(
    task: tiles.Task,
    panel: panels.Panel,
    strips: list[_Strip],
    diagonal: np.ndarray,
    sizes: tuple[int, int],
    mesh: Mesh,
) -> jax.Array:
    """The values of one strip for each device, (devices, size, wide size), in the dtype of the data."""
    size, (batch, wide) = task.plan.size, sizes
    rows, starts, lasts = (np.asarray([getattr(one, name) for one in strips]) for name in ("i", "first", "last"))
    columns = np.minimum(starts[:, None] + np.arange(wide), lasts[:, None])
    exact = diagonal[np.minimum(rows[:, None] * size + np.arange(size), len(diagonal) - 1)]
    own = (rows == starts) & task.symmetric
    dealt = [rows - panel.origin[0], columns - panel.origin[1]]
    arrays = [_meshes.split(one, mesh) for one in (*(one.astype(np.int32) for one in dealt), exact, own)]
    with jax.set_mesh(mesh):  # that of the caller, if any, is another one
        program = _tiles if _meshes.is_cpu(mesh) else _tiles.plain
        return program(panel.kernel, panel.left, panel.right, *arrays, size, batch, task.symmetric, mesh)


def _multiplied(
    task: tiles.Task, strips: list[_Strip], made: jax.Array, vectors: jax.Array, mesh: Mesh
) -> tuple[Any, ...]:
    """Strip times the vectors of its columns, transposed with those of its rows, and sums of squares, for each."""
    size, (n, m) = task.plan.size, task.shape
    numbers = [
        (one.i * size, one.first * size, n - one.i * size, min(m, (one.last + 1) * size) - one.first * size,
         size if task.symmetric and one.i == one.first else 0)
        for one in strips
    ]  # fmt: skip
    with jax.enable_x64(True), jax.set_mesh(mesh):
        return _products(made, vectors, _meshes.split(np.asarray(numbers, np.int64), mesh), task.symmetric, mesh)


def _strips_beside(
    kernel: AnyKernel, left: PyTree, right: PyTree, i: jax.Array, js: jax.Array, exact: jax.Array, own: jax.Array,
    size: int, batch: int, symmetric: bool, mesh: Mesh,
) -> Any:  # fmt: skip
    def mine(
        kernel: AnyKernel, left: PyTree, right: PyTree, i: AnyArray, js: AnyArray, exact: AnyArray, own: AnyArray
    ) -> AnyArray:
        strip = sweep.tiles_beside(kernel, left, right, i[0], js[0], size, batch)
        if symmetric:
            strip = jnp.where(own[0], sweep.mirrored(strip, exact[0], size), strip)
        return strip[None]

    all_, some = PartitionSpec(), PartitionSpec(mesh.axis_names)
    specs = (all_, all_, all_, some, some, some, some)
    return jax.shard_map(mine, mesh=mesh, in_specs=specs, out_specs=some, check_vma=False)(
        kernel, left, right, i, js, exact, own
    )


_tiles = _vectors.Wide(_strips_beside, static_argnums=(7, 8, 9, 10))


@partial(jax.jit, static_argnames=("symmetric", "mesh"))
def _products(strips: jax.Array, vectors: jax.Array, numbers: jax.Array, symmetric: bool, mesh: Mesh) -> Any:
    def mine(strips: AnyArray, vectors: AnyArray, numbers: AnyArray) -> Any:
        strip, (row, column, n, m, own) = strips[0], numbers[0]
        size, wide = strip.shape
        there = jax.lax.dynamic_slice_in_dim(vectors, column, wide)
        here = jax.lax.dynamic_slice_in_dim(vectors, row, size) if symmetric else None
        return jax.tree.map(lambda one: one[None], sweep.products(strip, there, here, n, m, own))

    all_, some = PartitionSpec(), PartitionSpec(mesh.axis_names)
    return jax.shard_map(mine, mesh=mesh, in_specs=(some, all_, some), out_specs=some, check_vma=False)(
        strips, vectors, numbers
    )
