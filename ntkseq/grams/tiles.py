"""Which tiles of a Gram matrix are computed, how large are they, and in which batches?"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntkseq import _devices, _vectors
from ntkseq._types import AnyArray, AnyKernel, PyTree

_TILE_ENTRIES = 1 << 16  # state entries of a tile on a CPU: 256 KiB per float32 array stays in the second-level cache
_BATCH_ENTRIES = 1 << 14  # of a batch of tiles, where a tile holds fewer: more are no faster, and each gathers its rows
_LEAST_ROWS = 32  # of a tile that is made smaller for many devices: what depends on one input is made for each tile
_DEVICE_ENTRIES = 1 << 24  # on an accelerator: enough parallel work to hide the launch of one step


@dataclasses.dataclass(frozen=True)
class Plan:
    """Square tiles of `size` rows, `batch` of them per call; `pairs` (k, 2) lists block indices."""

    size: int
    batch: int
    pairs: np.ndarray

    @property
    def calls(self) -> int:
        """The number of batches."""
        return -(-len(self.pairs) // self.batch)

    def batches(self) -> Iterator[np.ndarray]:
        """Block index pairs, `batch` at a time, the last batch filled up by repeating its last pair."""
        for start in range(0, len(self.pairs), self.batch):
            chunk = self.pairs[start : start + self.batch]
            short = self.batch - len(chunk)
            yield np.concatenate([chunk, np.repeat(chunk[-1:], short, axis=0)]) if short else chunk


@lru_cache(maxsize=8)
def plan(
    n: int, m: int, *, symmetric: bool, entries: int, on_cpu: bool, size: int | None = None, workers: int = 1
) -> Plan:
    """Choose tiles for an n x m Gram.

    The triangle with its diagonal costs (1 + 1/blocks) / 2 of the square, so a tile is at most an eighth of n; it is
    at most 64 rows on a CPU, so that a batch of tiles stays in cache through all time steps.

    Args:
        symmetric: only blocks on and above the diagonal.
        entries: numbers that the kernel holds per pair of examples while it works.
        on_cpu: cache-sized batches, or device-sized ones.
        size: rows of a tile, if the caller decides.
        workers: calls that run at once; each gets two batches or more, where there are so many tiles.
    """
    budget, together = (_TILE_ENTRIES, _BATCH_ENTRIES) if on_cpu else (_DEVICE_ENTRIES, _DEVICE_ENTRIES)
    if size is None:
        size = 64 if on_cpu else 512
        while size > 8 and (8 * size > max(n, m) or size * size * entries > budget):
            size //= 2
    pairs = indices(n, m, size, symmetric)
    share = len(pairs) if workers == 1 else -(-len(pairs) // (2 * workers))
    batch = max(1, min(share, together // (size * size * entries)))
    return Plan(size, batch, pairs)


def indices(n: int, m: int, size: int, symmetric: bool) -> np.ndarray:
    """The block index pairs (k, 2) of all tiles; of a symmetric matrix, of those on and above the diagonal."""
    rows, columns = -(-n // size), -(-m // size)
    i, j = np.triu_indices(rows) if symmetric else (index.ravel() for index in np.indices((rows, columns)))
    pairs = np.stack([i, j], axis=1).astype(np.int32)
    pairs.flags.writeable = False  # plans are remembered
    return pairs


def even(rows: int | None, n: int, m: int, symmetric: bool = True, devices: int = 1) -> int | None:
    """No more rows of a tile than that, so that the tiles of an n x m Gram are full: 2400 of 4096 for 4800.

    For several devices so few that there are four tiles for each, but no fewer than `_LEAST_ROWS`.
    """
    if rows is None:
        return None
    largest = max(n, m)
    blocks = -(-largest // rows)
    while devices > 1 and _count(n, m, -(-largest // blocks), symmetric) < 4 * devices:
        if -(-largest // (blocks + 1)) < _LEAST_ROWS:
            break
        blocks += 1
    return -(-largest // blocks)


def _count(n: int, m: int, size: int, symmetric: bool) -> int:
    rows, columns = -(-n // size), -(-m // size)
    return rows * (rows + 1) // 2 if symmetric else rows * columns


@dataclasses.dataclass(frozen=True)
class Task:
    """A Gram matrix to be computed: prepared sides, which tiles, and the exact diagonal."""

    kernel: Any
    left: Any
    right: Any
    plan: Plan
    shape: tuple[int, int]
    diagonal: jax.Array
    symmetric: bool

    def compute(self, pairs: np.ndarray) -> jax.Array:
        """The tiles (batch, size, size) at the block index pairs (batch, 2)."""
        program = compute if _devices.on_cpu(self.diagonal) else compute.plain
        return program(self.kernel, self.left, self.right, pairs, self.plan.size)


def tiles_of_pairs(kernel: AnyKernel, left: AnyArray, right: AnyArray, pairs: jax.Array, size: int) -> jax.Array:
    """The tiles (batch, size, size) at block index pairs (batch, 2); beyond the end, the last example is repeated."""

    def rows(side: PyTree, block: jax.Array) -> Any:
        index = block[:, None] * size + jnp.arange(size, dtype=block.dtype)[None, :]
        return jax.tree.map(lambda leaf: leaf[jnp.minimum(index, leaf.shape[0] - 1)], side)

    return jax.vmap(kernel.tile)(rows(left, pairs[:, 0]), rows(right, pairs[:, 1]))


compute = _vectors.Wide(tiles_of_pairs, static_argnums=4)
"""`tiles_of_pairs`, compiled: for a CPU; `compute.plain` for an accelerator."""


def finite(block: np.ndarray) -> bool:
    """Whether all values are finite, by the largest and the least of them."""
    return bool(np.isfinite(block.max()) and np.isfinite(block.min()))


def place(
    values: np.ndarray, window: tuple[slice, slice], pairs: np.ndarray, block: np.ndarray, symmetric: bool
) -> None:
    """Put tiles (k, size, size) at block index pairs (k, 2) of a matrix where they belong in a part of it.

    Args:
        values: the part, at least as large as the window.
        window: its rows and columns; in one on the diagonal, rows and columns alike, a symmetric matrix mirrors tiles.
        symmetric: of a tile on the diagonal, computed whole, the upper half counts: they may differ in the last digit.
    """
    size, (rows, columns) = block.shape[1], window
    for (i, j), part in zip(pairs, block, strict=True):
        if symmetric and i == j:
            part = np.triu(part) + np.triu(part, 1).T
        part = part[: rows.stop - i * size, : columns.stop - j * size]
        above, left = i * size - rows.start, j * size - columns.start
        here, there = slice(above, above + part.shape[0]), slice(left, left + part.shape[1])
        values[here, there] = part
        if symmetric and i != j and rows == columns:
            values[there, here] = part.T
