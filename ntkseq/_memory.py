"""How much memory is there to work in?"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pathlib
from typing import Any

ASSUMED = 4 << 30
"""Bytes where nothing can be learnt."""


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


def release() -> None:
    """Let the system have what the allocator of this process holds free.

    That of glibc keeps what large arrays were in for later ones of the same thread: what one program has used lies idle
    beside what the next one takes. Other allocators are left alone.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):  # no such function, or no way to ask for it
        ctypes.CDLL(None).malloc_trim(0)


def text(count: float) -> str:
    """Bytes for a reader."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError
