"""Was the command asked to stop? A flag beside the exception, which callbacks of the runtime may swallow."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

AGAIN = 0.05
"""Seconds after which an interruption that was swallowed is tried again."""

_asked = False
_leave: tuple[bytes, int] | None = None


def asked() -> bool:
    """Whether Ctrl-C or SIGTERM came within `watched`."""
    return _asked


def look() -> None:
    """Stop here if that was asked for.

    Raises:
        KeyboardInterrupt: it was.
    """
    if _asked:
        raise KeyboardInterrupt


@contextlib.contextmanager
def leaving(line: str, code: int) -> Iterator[None]:
    """An interruption that is watched for ends the process here: one line on standard error, and an exit code.

    For the time while modules load and nothing is open: an extension in C prints what is raised while it loads.
    """
    global _leave
    _leave = f"{line}\n".encode(), code
    try:
        yield
    finally:
        _leave = None


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Ctrl-C and SIGTERM raise KeyboardInterrupt and are remembered; only where signals may be set.

    Python drops an exception raised within a callback of the garbage collector, of which JAX has one, and JAX makes
    another of one raised within a callback of a program. The first is raised again a moment later; for the second, and
    for both between stages, there are `asked` and `look`.
    """
    global _asked
    _asked = False

    def stop(number: int, frame: object) -> None:
        global _asked
        if _leave is not None:
            os.write(2, _leave[0])
            os._exit(_leave[1])
        _asked = True
        raise KeyboardInterrupt

    before: dict[int, Any] = {}
    dropped = sys.unraisablehook

    def again(lost: Any) -> None:
        if not isinstance(lost.exc_value, KeyboardInterrupt):
            dropped(lost)
            return
        timer = threading.Timer(AGAIN, _interrupt_main)
        timer.daemon = True
        timer.start()

    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, stop)
    except ValueError:  # not in the main thread
        yield
        return
    sys.unraisablehook = again
    try:
        yield
    finally:
        sys.unraisablehook = dropped
        for number, handler in before.items():
            signal.signal(number, handler)
        _asked = False


def _interrupt_main() -> None:
    """Ctrl-C for the main thread, which may sleep or wait: only a signal of its own wakes it."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    else:
        signal.raise_signal(signal.SIGINT)
