"""How is a stored matrix multiplied with vectors? In one pass over its chunks, each read once and used twice."""

from __future__ import annotations

import collections
import os
import queue
from concurrent.futures import Future
from typing import Any

import numpy as np

from ntkseq.grams import host
from ntkseq.grams.stores.chunks import Chunks
from ntkseq.grams.sweep import Swept

_Part = tuple[int, int, np.ndarray, Any, float]


def run(chunks: Chunks, V: np.ndarray, *, turned: bool = False, squares: bool = True) -> Swept:
    """The matrix times V (m, k), in float64, summed chunk by chunk in their order: no timing changes a bit.

    Threads read and multiply some chunks ahead. Memory: of each the bytes, and its numbers in float64.

    Args:
        chunks: all of them there.
        V: in float64, C order.
        turned: the transpose of the matrix.
        squares: sum the squares of all entries as well.

    Raises:
        MissingChunk, DamagedChunk: one of them is not what it was.
    """
    layout, workers = chunks.layout, host.cores()
    c, symmetric = layout.chunk, layout.symmetric
    n = layout.shape[1 if turned else 0]
    free: queue.SimpleQueue[tuple[np.ndarray, np.ndarray]] = queue.SimpleQueue()
    for _ in range(workers + 1):
        free.put((chunks.buffer(), np.empty(c * c)))

    def work(i: int, j: int) -> _Part:
        raw, room = free.get()
        try:
            values = chunks.read(i, j, raw)
            wide = room[: values.size].reshape(values.shape)
            np.copyto(wide, values)
            rows, columns = layout.part(i, j)
            square = float(np.vdot(wide, wide)) if squares else 0.0
            own = not symmetric or i == j
            top = wide.T @ V[rows] if turned else wide @ V[columns]
            return i, j, top, None if own else wide.T @ V[rows], square if own else 2.0 * square
        finally:
            free.put((raw, room))

    out, total = np.zeros((n, V.shape[1])), 0.0
    pool, ahead = host.pool(workers, os.getpid()), collections.deque[Future[_Part]]()
    waiting = iter(layout.chunks.tolist())
    try:
        while True:
            while len(ahead) < 2 * workers and (one := next(waiting, None)) is not None:
                ahead.append(pool.submit(work, *one))
            if not ahead:
                return Swept(out, total)
            i, j, top, low, square = ahead.popleft().result()
            rows, columns = layout.part(i, j)
            out[columns if turned else rows] += top
            if low is not None:
                out[columns] += low
            total += square
    finally:
        for one in ahead:
            one.cancel()
