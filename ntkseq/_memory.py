"""How much memory is there to work in?"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pathlib
import threading
from collections.abc import Iterator
from typing import Any

ASSUMED = 4 << 30
"""Bytes where nothing can be learnt."""
_LARGE, _MOST = 1 << 17, 32 << 20
"""Bytes from which an array is mapped by itself: what glibc begins with, and the most that it comes to."""
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # names of options in malloc.h
_lock = threading.Lock()
_inside = 0  # calls that are within `returned`


def available(device: Any) -> int:
    """Bytes that a device can still give, as it or the operating system says."""
    stats = device.memory_stats() if device.platform != "cpu" else None
    if stats and "bytes_limit" in stats:
        return max(0, stats["bytes_limit"] - stats.get("bytes_in_use", 0))
    return _host()


def _host() -> int:
    try:
        for line in pathlib.Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, OSError, ValueError):
        return ASSUMED


@contextlib.contextmanager
def returned() -> Iterator[None]:
    """A `with` in which the system gets back at once what large arrays were in, whatever thread made them.

    The allocator of glibc keeps that for later ones of the same thread, and XLA computes one program in as many threads
    as there are cores. Within, each array of `_LARGE` bytes is mapped by itself, in the whole process; that costs time.
    Afterwards arrays up to `_MOST` are kept, as in a process that has freed one of that size. What a user has set in
    the environment stays; other allocators are left alone.
    """
    global _inside
    with _lock:
        _inside += 1
        if _inside == 1:
            _keep(_LARGE)
    _glibc("malloc_trim", 0)
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                _keep(_MOST)


def _keep(size: int) -> None:
    """Let arrays of at least so many bytes be mapped by themselves, and twice as much at the end of a heap go back."""
    if "MALLOC_MMAP_THRESHOLD_" in os.environ or "glibc.malloc.mmap_threshold" in os.environ.get("GLIBC_TUNABLES", ""):
        return
    _glibc("mallopt", _MMAP_THRESHOLD, size)
    _glibc("mallopt", _TRIM_THRESHOLD, 2 * size)


def _glibc(name: str, *given: int) -> None:
    with contextlib.suppress(OSError, AttributeError, TypeError):  # no such function, or no way to ask for it
        getattr(ctypes.CDLL(None), name)(*given)


def text(count: float) -> str:
    """Bytes for a reader."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError
