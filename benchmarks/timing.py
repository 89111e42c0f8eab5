"""How long does a call take, and how much memory does it need beyond what was there?"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import gc
import statistics
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import scipy.stats

from benchmarks import progress

SETTLE, SHORT = 0.05, 0.02
"""Seconds between two timed calls of different kinds, and up to which a call is short and leaves nothing behind."""
ENOUGH, MOST = 0.5, 30
"""Short calls are repeated until they took so many seconds together, but no more often than so."""


@dataclasses.dataclass(frozen=True)
class Timing:
    """Seconds: the first call (compile included), and median, least and greatest of the others."""

    first: float
    median: float
    least: float
    greatest: float
    repeats: int

    @property
    def compile(self) -> float:
        """Seconds that the first call took longer than a usual one: tracing, compiling, loading."""
        return max(0.0, self.first - self.median)

    @property
    def spread(self) -> float:
        """(greatest - least) / median."""
        return (self.greatest - self.least) / self.median if self.median else 0.0


def measure(call: Callable[[], Any], *, repeats: int = 7, seconds: float = 20.0) -> Timing:
    """Time a call, blocked until its result is there; fewer repeats where `seconds` are used up."""
    first = _once(call)
    times: list[float] = []
    while (
        len(times) < 3 or (len(times) < repeats and sum(times) < seconds) or (len(times) < MOST and sum(times) < ENOUGH)
    ):
        progress.doing(f"call {len(times) + 1} of {repeats}")
        times.append(_once(call))
    return _timing(first, times)


def measure_in_turn(calls: Mapping[str, Callable[[], Any]], *, repeats: int = 7) -> dict[str, Timing]:
    """Time several calls A B A B ...: their ratio holds while the machine's speed drifts.

    Each waits a moment first: a call that takes a gigabyte is still giving it back, on another core, when its result is
    there, and the one after it was measured 30 percent slower.
    """
    first = {}
    for name, call in calls.items():
        progress.doing(f"first call of {name}")
        first[name] = _once(call)
    times: dict[str, list[float]] = {name: [] for name in calls}
    turn = 0
    while turn < repeats or (turn < MOST and sum(map(sum, times.values())) < ENOUGH):
        turn += 1
        for name, call in calls.items():
            progress.doing(f"{name}, {turn} of {repeats}")
            if turn == 1 or max(taken[-1] for taken in times.values() if taken) > SHORT:
                time.sleep(SETTLE)
            times[name].append(_once(call))
    return {name: _timing(first[name], taken) for name, taken in times.items()}


def _timing(first: float, times: list[float]) -> Timing:
    return Timing(first, statistics.median(times), min(times), max(times), len(times))


def _once(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    result = call()
    jax.block_until_ready(getattr(result, "array", result))
    return time.perf_counter() - start


def growth(sizes: list[float], seconds: list[float]) -> tuple[float, float]:
    """The exponent p of seconds ~ size^p by least squares of the logarithms, and its standard error (nan for two)."""
    x, y = np.log(np.asarray(sizes, float)), np.log(np.asarray(seconds, float))
    if len(x) < 2 or np.ptp(x) == 0:
        raise ValueError(f"an exponent needs times at two sizes or more; got the sizes {sizes}.")
    fit: Any = scipy.stats.linregress(x, y)
    return float(fit.slope), float(fit.stderr) if len(x) > 2 else float("nan")


def peak_memory(call: Callable[[], Any], *, interval: float = 0.0005) -> float:
    """Bytes of memory that a call adds at its peak, its result included, by looking often.

    Of the device, where it keeps count; else of this process, by psutil; nan where that is not installed.
    """
    gauge = _gauge()
    if gauge is None:
        return float("nan")
    gc.collect()
    _give_back()
    before = gauge()
    peak, stop = [before], threading.Event()

    def sample() -> None:
        while not stop.is_set():
            peak[0] = max(peak[0], gauge())
            time.sleep(interval)

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        result = call()
        jax.block_until_ready(getattr(result, "array", result))
    finally:
        stop.set()
        thread.join()
    return max(peak[0], gauge()) - before


def _gauge() -> Callable[[], int] | None:
    """Bytes in use on the device that JAX computes on, or by this process."""
    device = jax.devices()[0]
    if (device.memory_stats() or {}).get("bytes_in_use") is not None:
        return lambda: device.memory_stats()["bytes_in_use"]
    try:
        import psutil
    except ImportError:
        return None
    process = psutil.Process()
    return lambda: process.memory_info().rss


def _give_back() -> None:
    """Return freed memory to the system, where the C library can: what is reused would not be seen as added."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
