"""How are the tiles of a Gram matrix computed on a CPU? In batches, from one thread per core, into one host array."""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntkseq import _devices
from ntkseq._types import DType, Key, PyTree
from ntkseq.grams import tiles


def cores() -> int:
    """The number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(task: tiles.Task, workers: int, tick: Callable[[int], Any]) -> tuple[jax.Array, bool]:
    """The Gram matrix, and whether all its values are finite.

    XLA leaves loops of the size of a tile on one core, so several batches run at once, each in a thread of its own.
    """
    values = Values(task)
    x64 = jnp.result_type(float) == jnp.float64  # a setting of the calling thread, which its helpers do not see

    def work(pairs: np.ndarray) -> None:
        with jax.enable_x64(x64):
            block = np.asarray(task.compute(pairs))
        values.write(pairs, block)
        tick(1)

    batches = task.plan.batches()
    shapes = _shapes((task.kernel, task.left, task.right))
    key = (jax.tree.structure(task.kernel), shapes, task.plan.size, task.plan.batch, x64)
    if (compiled := program(key)).empty:
        work(next(batches))  # compiles; threads that start together would compile the same program each
        compiled.empty = False
    running = [pool(workers, os.getpid()).submit(work, pairs) for pairs in batches]
    try:
        for one in running:
            one.result()
    finally:
        for one in running:
            one.cancel()
    return values.complete()


class Values:
    """A Gram matrix in the memory of the host, filled tile by tile, by one thread or by several."""

    def __init__(self, task: tiles.Task) -> None:
        self.task = task
        self.array = aligned(task.shape, task.diagonal.dtype)
        self.overflow = threading.Event()
        self.below = np.tril_indices(task.plan.size, -1)

    def write(self, pairs: np.ndarray, block: np.ndarray) -> None:
        """Put the tiles (k, size, size) at the block index pairs (k, 2), and where they are mirrored."""
        (n, m), size, symmetric = self.task.shape, self.task.plan.size, self.task.symmetric
        if not (np.isfinite(block.max()) and np.isfinite(block.min())):
            self.overflow.set()
        for (i, j), part in zip(pairs, block, strict=True):
            if symmetric and i == j:  # computed whole; its halves may differ in the last digit: keep the upper one
                part = part.copy()
                part[self.below] = part.T[self.below]
            rows, columns = slice(i * size, min((i + 1) * size, n)), slice(j * size, min((j + 1) * size, m))
            part = part[: rows.stop - rows.start, : columns.stop - columns.start]
            self.array[rows, columns] = part
            if symmetric and i != j:
                self.array[columns, rows] = part.T

    def complete(self) -> tuple[jax.Array, bool]:
        """The matrix, its exact diagonal put in, beside that, and whether all its values are finite."""
        if self.task.symmetric:
            np.fill_diagonal(self.array, np.asarray(self.task.diagonal))
        return _devices.placed(self.array, self.task.diagonal), not self.overflow.is_set()  # jnp.asarray would copy


@dataclasses.dataclass
class Program:
    """Whether the tiles of one kernel, shape and dtype still have to be compiled."""

    empty: bool = True


@lru_cache(maxsize=256)
def program(key: Key) -> Program:
    """The same object for the same key; where that was long not asked for a new one, so that memory stays bounded."""
    return Program()


@lru_cache(maxsize=4)
def pool(workers: int, process: int) -> ThreadPoolExecutor:
    """Threads that stay: starting them takes longer than a small Gram matrix. A forked process gets its own."""
    return ThreadPoolExecutor(workers, thread_name_prefix="ntkseq")


def _shapes(tree: PyTree) -> tuple[Any, ...]:
    return tuple((np.shape(leaf), str(getattr(leaf, "dtype", ""))) for leaf in jax.tree.leaves(tree))


def aligned(shape: tuple[int, int], dtype: DType) -> np.ndarray:
    """An empty array that JAX can take over on a CPU without a copy (64-byte boundary)."""
    dtype = np.dtype(dtype)
    count = shape[0] * shape[1] * dtype.itemsize
    buffer = np.empty(count + 64, np.uint8)
    offset = -buffer.ctypes.data % 64
    return buffer[offset : offset + count].view(dtype).reshape(shape)
