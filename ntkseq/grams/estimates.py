"""How long a Gram matrix will take: a few of its tiles are timed, by the program that computes the rest."""

from __future__ import annotations

import concurrent.futures
import itertools
import statistics
import time

import jax

from ntkseq import _precision
from ntkseq._types import Inputs, Lengths
from ntkseq.grams import host, meta, sides
from ntkseq.kernels.base import Kernel

WORTH = 2e9
"""Pair-steps, about a second of one core, from which on tiles are timed."""
FACTOR = 3.0
"""The time lies within this factor of the estimate, either way, while the machine stays as busy as it was: `tests`."""
ROUNDS = 5
LONG_ENOUGH = 0.5
"""Seconds of rounds that are enough."""


def seconds(
    kernel: Kernel,
    x: Inputs,
    lengths: Lengths = None,
    *,
    tile: int | None = None,
    workers: int | None = None,
    worth: float = WORTH,
) -> float | None:
    """Seconds that `gram(kernel, x)` takes once compiled, measured on the first tiles; None where that says nothing.

    As many batches of tiles as run at once are computed a few times, and the median counts for all of them. What this
    compiles is the program of `gram`, which then has it. Not measured: less work than `worth` (pair-steps), kernels
    that ask for all pairs in one piece, between tasks or between all outputs, accelerators.
    """
    if meta.between_tasks(kernel):
        return None
    pair = sides.prepare(kernel, x, None, lengths, None, full=True, wanted="a Gram matrix")
    if not pair.on_cpu or pair.outputs is not None or pair.in_one_piece(tile):
        return None
    task, calls = pair.task(tile, workers)
    if pair.work(task) < worth or task.plan.calls < 4 * calls:
        return None
    batches = list(itertools.islice(task.plan.batches(), calls))

    def work(which: int) -> None:
        with _precision.setting(pair.x64):
            jax.block_until_ready(task.compute(batches[which]))

    work(0)  # compiles
    times: list[float] = []
    with concurrent.futures.ThreadPoolExecutor(calls) as pool:
        while len(times) < ROUNDS and (len(times) < 2 or sum(times) < LONG_ENOUGH):
            start = time.perf_counter()
            list(pool.map(work, range(calls)))
            times.append(time.perf_counter() - start)
    host.program_of(task.kernel, task.left, task.right, (task.plan.size, task.plan.batch, pair.x64)).empty = False
    return statistics.median(times) * task.plan.calls / calls
