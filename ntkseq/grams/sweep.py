"""How is a Gram matrix multiplied with vectors without being held? One pass over its tiles, row block by row block.

A strip is some tiles side by side, of one row block. It is computed in the dtype of the data, as `gram` would, and
multiplied in float64: with the vectors of its columns, and, for a symmetric matrix, transposed with those of its rows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntkseq import _devices, _vectors
from ntkseq._types import AnyArray, AnyKernel, PyTree
from ntkseq.grams import tiles

STRIP_ENTRIES = 1 << 18
"""Entries of a strip on a CPU: enough for a matrix product, and two megabytes in float64."""
DEVICE_ENTRIES = 1 << 24
"""On an accelerator."""


@dataclasses.dataclass(frozen=True)
class Swept:
    """The product (n, k), and the sum of the squares of all entries of the matrix."""

    product: np.ndarray
    squares: float


def run(task: tiles.Task, V: np.ndarray, workers: int, tick: Callable[[int], Any]) -> Swept:
    """The matrix times V (m, k), summed in float64 in an order that does not depend on timing."""
    size, (n, m) = task.plan.size, task.shape
    on_cpu = _devices.on_cpu(task.diagonal)
    batch, wide, columns = widths(task, on_cpu)
    padded = np.zeros(((columns + wide) * size, V.shape[1]))
    padded[:m] = V
    strips = [(i, j) for i in range(-(-n // size)) for j in range(i if task.symmetric else 0, columns, wide)]
    x64 = jnp.result_type(float) == jnp.float64

    def work(which: list[tuple[int, int]]) -> Swept:
        out, squares = np.zeros((max(n, m) + (wide + 1) * size, V.shape[1])), 0.0
        for i, j in which:
            here = slice(i * size, (i + 1) * size)
            there = slice(j * size, (j + wide) * size)
            with jax.enable_x64(x64):
                pairs = np.minimum(np.arange(j, j + wide), columns - 1).astype(np.int32)
                strip = (strip_of if on_cpu else strip_of.plain)(
                    task.kernel, task.left, task.right, np.int32(i), pairs, size, batch
                )
                if task.symmetric and i == j:
                    strip = mirrored(strip, diagonal_rows(task.diagonal, np.int32(i), size), size)
            with jax.enable_x64(True):
                top, low, sums = products(
                    strip,
                    padded[there],
                    padded[here] if task.symmetric else None,
                    np.int64(n - i * size),
                    np.int64(m - j * size),
                    np.int64(size if i == j else 0),
                )
            out[here] += np.asarray(top)
            if low is not None:
                out[there] += np.asarray(low)
            squares += float(sums)
            tick(min(wide, columns - j))
        return Swept(out[:n], squares)

    shares = [strips[w::workers] for w in range(min(workers, len(strips)))]
    if len(shares) == 1:
        return work(shares[0])
    with ThreadPoolExecutor(len(shares), thread_name_prefix="ntkseq") as pool:
        parts = list(pool.map(work, shares))
    return Swept(sum(part.product for part in parts), sum(part.squares for part in parts))  # pyright: ignore


def widths(task: tiles.Task, on_cpu: bool) -> tuple[int, int, int]:
    """Tiles of a strip that are computed at once, tiles of a strip, and column blocks of the matrix."""
    size, columns = task.plan.size, -(-task.shape[1] // task.plan.size)
    wide = max(1, (STRIP_ENTRIES if on_cpu else DEVICE_ENTRIES) // size**2)
    batch = min(task.plan.batch, wide)
    return batch, min(max(batch, wide // batch * batch), -(-columns // batch) * batch), columns


def tiles_beside(
    kernel: AnyKernel, left: PyTree, right: PyTree, i: jax.Array, js: jax.Array, size: int, batch: int
) -> jax.Array:
    """The tiles (i, j) for all j side by side: (size, count size). Beyond the end the last example is repeated."""

    def rows(side: PyTree, block: jax.Array) -> Any:
        index = jnp.expand_dims(block * size, -1) + jnp.arange(size, dtype=block.dtype).reshape(
            (1,) * block.ndim + (-1,)
        )
        return jax.tree.map(lambda leaf: leaf[jnp.minimum(index, leaf.shape[0] - 1)], side)

    mine = rows(left, i)
    blocks = jax.lax.map(
        lambda some: jax.vmap(kernel.tile, in_axes=(None, 0))(mine, rows(right, some)), js.reshape(-1, batch)
    )
    return jnp.moveaxis(blocks, 2, 0).reshape(size, -1)


strip_of = _vectors.Wide(tiles_beside, static_argnums=(5, 6))
"""`tiles_beside`, compiled: for a CPU; `strip_of.plain` for an accelerator."""


@partial(jax.jit, static_argnames="size")
def diagonal_rows(diagonal: jax.Array, i: jax.Array, size: int) -> jax.Array:
    """The exact diagonal of a row block, its last entry repeated beyond the end."""
    return diagonal[jnp.minimum(i * size + jnp.arange(size, dtype=jnp.int32), diagonal.shape[0] - 1)]


@partial(jax.jit, static_argnames="size")
def mirrored(strip: jax.Array, diagonal: jax.Array, size: int) -> jax.Array:
    """The first tile with its upper half on both sides, and the exact diagonal, as `gram` holds it."""
    first = strip[:, :size]
    first = jnp.triu(first, 1) + jnp.triu(first, 1).T + jnp.diag(diagonal)
    return strip.at[:, :size].set(first)


@jax.jit
def products(
    strip: AnyArray, there: AnyArray, here: AnyArray | None, n: AnyArray, m: AnyArray, own: AnyArray
) -> tuple[Any, Any, Any]:
    """Strip times `there`; strip^T times `here`, without the first `own` columns, and the sum of squares."""
    rows, columns = jnp.arange(strip.shape[0]), jnp.arange(strip.shape[1])
    inside = (rows < n)[:, None] & (columns < m)[None, :]
    strip = jnp.where(inside, strip.astype(jnp.float64), 0.0)
    squares = jnp.sum(strip**2, axis=0)
    top = jnp.matmul(strip, there, precision="highest")
    if here is None:
        return top, None, jnp.sum(squares)
    beside = columns >= own
    low = jnp.where(beside[:, None], jnp.matmul(strip.T, here, precision="highest"), 0.0)
    return top, low, jnp.sum(jnp.where(beside, 2.0, 1.0) * squares)
