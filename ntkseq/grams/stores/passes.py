"""How is a stored matrix multiplied with vectors? In one pass over its chunks, each read once and used twice."""

from __future__ import annotations

import collections
import os
import queue
from collections.abc import Iterable
from concurrent.futures import Future

import numpy as np

from ntkseq.grams import host
from ntkseq.grams.stores.chunks import Chunks
from ntkseq.grams.sweep import Swept

_CALL = 1 << 18
"""Multiplications of one call of BLAS: OpenBLAS keeps such a one on the thread that asks, and each thread asks here."""
_ROWS = 128  # of a chunk that are read and multiplied at a time, so that they stay in the second-level cache
_AHEAD = 2  # chunks beyond one for each thread

_Part = tuple[np.ndarray | None, np.ndarray | None, float]


def run(chunks: Chunks, V: np.ndarray, *, turned: bool = False, squares: bool = True) -> Swept:
    """The matrix times V (m, k), in float64, summed chunk by chunk in their order: no timing changes a bit.

    Threads read some chunks ahead, look at their checksums and multiply them, some rows in float64 at a time.

    Args:
        chunks: all of them there.
        V: in float64.
        turned: the transpose of the matrix.
        squares: sum the squares of all entries as well.

    Raises:
        ValueError: a chunk is missing.
        OSError: a chunk is damaged.
    """
    layout, workers = chunks.layout, host.cores()
    free: queue.SimpleQueue[tuple[np.ndarray, np.ndarray]] = queue.SimpleQueue()
    for _ in range(workers + _AHEAD):  # used again and again: fresh memory costs as much as the product
        free.put((chunks.buffer(_ROWS), np.empty(_ROWS * layout.chunk)))

    def work(i: int, j: int) -> _Part:
        slot = free.get()
        try:
            rows, columns = layout.part(i, j)
            there = None if turned else V[columns]
            here = V[rows] if turned or (layout.symmetric and i != j) else None
            return _products(chunks.strips(i, j, slot[0]), slot[1], there, here, squares)
        finally:
            free.put(slot)

    out, total = np.zeros((layout.shape[1 if turned else 0], V.shape[1])), 0.0
    pool, ahead = host.pool(workers, os.getpid()), collections.deque[Future[_Part]]()
    waiting = iter(layout.chunks.tolist())
    try:
        for i, j in layout.chunks.tolist():
            while len(ahead) < workers + _AHEAD and (one := next(waiting, None)) is not None:
                ahead.append(pool.submit(work, *one))
            top, low, square = ahead.popleft().result()
            rows, columns = layout.part(i, j)
            if top is not None:
                out[rows] += top
            if low is not None:
                out[columns] += low
            total += 2.0 * square if layout.symmetric and i != j else square
        return Swept(out, total)
    finally:
        for one in ahead:
            one.cancel()


def _products(
    strips: Iterable[np.ndarray], room: np.ndarray, there: np.ndarray | None, here: np.ndarray | None, squares: bool
) -> _Part:
    """A chunk (a, b) times `there` (b, k), its transpose times `here` (a, k), and the sum of its squares.

    Args:
        strips: the chunk, some rows after the other.
        room: for these rows in float64.
        there, here: None: that product is not wanted.
        squares: sum them.
    """
    tops: list[np.ndarray] = []
    low, square, start = None, 0.0, 0
    for values in strips:
        part = room[: values.size].reshape(values.shape)
        np.copyto(part, values)
        if squares:
            square += float(np.einsum("ij,ij->", part, part))
        if there is not None:
            tops.append(_times(part, there))
        if here is not None:
            more = _times(part.T, here[start : start + len(part)])
            low = more if low is None else np.add(low, more, out=low)
        start += len(part)
    return np.concatenate(tops) if tops else None, low, square


def _times(A: np.ndarray, V: np.ndarray) -> np.ndarray:
    """A V, in calls that BLAS does not share among threads."""
    (a, b), k = A.shape, V.shape[1]
    wide = max(1, _CALL // (a * b))
    if k <= wide:
        return A @ V
    return np.concatenate([A @ V[:, first : first + wide] for first in range(0, k, wide)], axis=1)
