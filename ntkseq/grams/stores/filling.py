"""How are the missing chunks of a store computed? Their tiles by one thread per core, and written by one more."""

from __future__ import annotations

import collections
import dataclasses
import os
import queue
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from ntkseq.grams import host
from ntkseq.grams.sides import Sides
from ntkseq.grams.stores import journal
from ntkseq.grams.stores import layout as layouts
from ntkseq.grams.stores.chunks import Chunks

Fill = Callable[[Chunks, Sides, np.ndarray, int | None, Callable[[int], Any]], None]
"""fill(chunks, pair, which, workers, tick): compute and write the chunks `which` (k, 2); tick(1) after each."""


@dataclasses.dataclass
class _Open:
    """A chunk at work: where its tiles go, and which of them are awaited."""

    i: int
    j: int
    values: np.ndarray
    running: list[Future[None]]


def fill(chunks: Chunks, pair: Sides, which: np.ndarray, workers: int | None, tick: Callable[[int], Any]) -> None:
    """Compute and write the chunks `which` (k, 2), in this order, by threads of this process; not those that are there.

    The next chunks are at work while one is written, so that a disk that is slow for a moment holds up nobody. Memory
    beyond the sides: some chunks for each thread.

    Raises:
        ValueError: values that overflow the dtype; that chunk is not written.
        OSError: a chunk cannot be written; those before it are there.
    """
    calls = (workers or host.cores()) if pair.on_cpu else 1
    layout, pool = chunks.layout, host.pool(calls, os.getpid())
    free: queue.SimpleQueue[np.ndarray] = queue.SimpleQueue()
    at_work: collections.deque[_Open] = collections.deque()
    made, waiting = 0, 0
    if len(which):
        _compile(chunks, pair, *which[0].tolist())
    with pair.sparing(), ThreadPoolExecutor(1, thread_name_prefix="ntkseq-store") as writer:
        written: collections.deque[Future[None]] = collections.deque()

        def placed(one: _Open) -> None:
            try:
                put(chunks, pair, one.i, one.j, one.values, tick)
            finally:
                free.put(one.values)

        def oldest() -> None:
            nonlocal waiting
            one = at_work[0]
            for future in one.running:
                future.result()
            waiting -= len(at_work.popleft().running)
            written.append(writer.submit(placed, one))
            while written and written[0].done():
                written.popleft().result()

        try:
            for i, j in which.tolist():
                if chunks.file(i, j).exists():  # another process was here meanwhile
                    tick(1)
                    continue
                if free.empty() and made < calls + 4:
                    values, made = np.empty((layout.chunk, layout.chunk), layout.dtype), made + 1
                else:
                    while free.empty() and at_work:
                        oldest()
                    values = free.get()
                running = [
                    pool.submit(layouts.batch_into, pair, layout, i, j, pairs, values)
                    for pairs in layout.batches(i, j, pair.order)
                ]
                at_work.append(_Open(i, j, values, running))
                waiting += len(running)
                while len(at_work) > 1 and waiting > 4 * calls:
                    oldest()
            while at_work:
                oldest()
            while written:
                written.popleft().result()
        finally:
            for one in at_work:
                for future in one.running:
                    future.cancel()


def put(chunks: Chunks, pair: Sides, i: int, j: int, values: np.ndarray, tick: Callable[[int], Any]) -> None:
    """Finish chunk (i, j), all of whose tiles are there, write it, and note who did."""
    chunks.write(i, j, layouts.finished(pair, chunks.layout, i, j, values))
    journal.note(chunks.path, i, j)
    tick(1)


def _compile(chunks: Chunks, pair: Sides, i: int, j: int) -> None:
    """One batch of tiles, where they are not compiled yet: threads that start together would compile them each."""
    layout = chunks.layout
    if pair.ready:
        return
    program = host.program_of(pair.kernel, pair.left, pair.right, (layout.tile, layout.batch, pair.x64))
    if program.empty:
        spare = np.empty((layout.chunk, layout.chunk), layout.dtype)
        layouts.batch_into(pair, layout, i, j, next(layout.batches(i, j)), spare)
        program.empty = False
