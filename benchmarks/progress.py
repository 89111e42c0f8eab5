"""What is being measured at this moment? One line on a terminal that the next one replaces; nothing elsewhere."""

from __future__ import annotations

import sys

_WIDTH = 100
_shown = False


def doing(what: str) -> None:
    """Show it on standard error, if a person looks."""
    global _shown
    if sys.stderr.isatty():
        print(f"\r... {what[:_WIDTH]:<{_WIDTH}}", end="", file=sys.stderr, flush=True)
        _shown = True


def done() -> None:
    """Take the line away."""
    global _shown
    if _shown:
        print(f"\r{'':<{_WIDTH + 4}}\r", end="", file=sys.stderr, flush=True)
        _shown = False


def duration(seconds: float) -> str:
    """A length of time as a person says it."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"
