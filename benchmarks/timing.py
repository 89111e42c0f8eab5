"""How long does a call take, and how much memory does it need beyond what was there?"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import gc
import statistics
import threading
import time
from collections.abc import Callable
from typing import Any

import jax

SETTLE = 0.05
"""Seconds between two timed calls of different kinds."""


@dataclasses.dataclass(frozen=True)
class Timing:
    """Seconds: the first call (compile included), and median, least and greatest of the others."""

    first: float
    median: float
    least: float
    greatest: float
    repeats: int


def measure(call: Callable[[], Any], *, repeats: int = 7, seconds: float = 20.0) -> Timing:
    """Time a call, blocked until its result is there; fewer repeats where `seconds` are used up."""
    first = _once(call)
    times: list[float] = []
    while len(times) < repeats and (len(times) < 3 or sum(times) < seconds):
        times.append(_once(call))
    return Timing(first, statistics.median(times), min(times), max(times), len(times))


def measure_in_turn(calls: dict[str, Callable[[], Any]], *, repeats: int = 7) -> dict[str, Timing]:
    """Time several calls A B A B ...: their ratio holds while the machine's speed drifts.

    Each waits a moment first: a call that takes a gigabyte is still giving it back, on another core, when its result is
    there, and the one after it was measured 30 percent slower.
    """
    first = {name: _once(call) for name, call in calls.items()}
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            time.sleep(SETTLE)
            times[name].append(_once(call))
    return {n: Timing(first[n], statistics.median(s), min(s), max(s), len(s)) for n, s in times.items()}


def _once(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    result = call()
    jax.block_until_ready(getattr(result, "array", result))
    return time.perf_counter() - start


def peak_memory(call: Callable[[], Any], *, interval: float = 0.0005) -> int:
    """Bytes of resident memory that a call adds at its peak, its result included (sampled)."""
    import psutil

    process = psutil.Process()
    gc.collect()
    _give_back()
    before = process.memory_info().rss
    peak, stop = [before], threading.Event()

    def sample() -> None:
        while not stop.is_set():
            peak[0] = max(peak[0], process.memory_info().rss)
            time.sleep(interval)

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    result = call()
    jax.block_until_ready(getattr(result, "array", result))
    stop.set()
    thread.join()
    return max(peak[0], process.memory_info().rss) - before


def _give_back() -> None:
    """Return freed memory to the system, where the C library can: what is reused would not be seen as added."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
