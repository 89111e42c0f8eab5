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
from ntkseq._types import AnyKernel, DType, Key, PyTree
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
    compiled = program_of(task.kernel, task.left, task.right, (task.plan.size, task.plan.batch, x64))
    if compiled.empty:
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

    def write(self, pairs: np.ndarray, block: np.ndarray) -> None:
        """Put the tiles (k, size, size) at the block index pairs (k, 2), and where they are mirrored."""
        if not tiles.finite(block):
            self.overflow.set()
        n, m = self.task.shape
        tiles.place(self.array, (slice(0, n), slice(0, m)), pairs, block, self.task.symmetric)

    def complete(self) -> tuple[jax.Array, bool]:
        """The matrix, its exact diagonal put in, beside that, and whether all its values are finite."""
        if self.task.symmetric:
            np.fill_diagonal(self.array, np.asarray(self.task.diagonal))
        return _devices.placed(self.array, self.task.diagonal), not self.overflow.is_set()  # jnp.asarray would copy


@dataclasses.dataclass
class Program:
    """Whether the tiles of one kernel, shape and dtype still have to be compiled."""

    empty: bool = True


def program_of(kernel: AnyKernel, left: PyTree, right: PyTree, sizes: tuple[int, int, bool]) -> Program:
    """That of the tiles of these sides, by structure, shapes and dtypes; sizes: rows of a tile, batch, 64-bit mode."""
    shapes = tuple((np.shape(a), getattr(a, "dtype", None)) for a in jax.tree.leaves((kernel, left, right)))
    return _program((jax.tree.structure((kernel, left, right)), shapes, *sizes))


@lru_cache(maxsize=256)
def _program(key: Key) -> Program:
    """The same object for the same key; where that was long not asked for a new one, so that memory stays bounded."""
    return Program()


@lru_cache(maxsize=4)
def pool(workers: int, process: int) -> ThreadPoolExecutor:
    """Threads that stay: starting them takes longer than a small Gram matrix. A forked process gets its own."""
    return ThreadPoolExecutor(workers, thread_name_prefix="ntkseq")


def aligned(shape: tuple[int, int], dtype: DType) -> np.ndarray:
    """An empty array that JAX can take over on a CPU without a copy (64-byte boundary)."""
    dtype = np.dtype(dtype)
    count = shape[0] * shape[1] * dtype.itemsize
    buffer = np.empty(count + 64, np.uint8)
    offset = -buffer.ctypes.data % 64
    return buffer[offset : offset + count].view(dtype).reshape(shape)
