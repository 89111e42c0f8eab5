"""How does a long command show what it is doing?"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from ntkseq import _interrupts, _printed

MINUTE = 60.0
"""Seconds between two lines on something that is counted, where there is no terminal."""


LEAST_COMPILING = 0.5
"""Seconds of compilation in a stage from which on they are said."""


class _Compiling:
    """Seconds that JAX has compiled for in this process, since the first look at it."""

    seconds = 0.0
    watched = False

    def look(self) -> float:
        """So many until now."""
        if not self.watched:
            import jax

            jax.monitoring.register_event_duration_secs_listener(self._add)
            self.watched = True
        return self.seconds

    def _add(self, event: str, duration_secs: float, **kwargs: str | int) -> None:
        if event.endswith(("backend_compile_duration", "jaxpr_to_mlir_module_duration")):
            self.seconds += duration_secs


_compiling = _Compiling()


class Progress:
    """The stages on standard error: a spinner on a terminal, plain lines elsewhere.

    Args:
        quiet: say nothing.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet

    def __enter__(self) -> Progress:
        from rich.console import Console

        self._console = Console(stderr=True, highlight=False, soft_wrap=True, quiet=self.quiet)
        return self

    def __exit__(self, *error: object) -> None:
        return None

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Say what is going on, and afterwards how long it took.

        Raises:
            KeyboardInterrupt: it was asked for in the stage before, and swallowed there.
        """
        _interrupts.look()
        name = _printed.plain(name)
        start, compiled = time.perf_counter(), _compiling.look()
        # a Gram matrix brings a bar of its own when it is long; two of them would write over each other
        spin = self._console.is_terminal and not name.startswith(("kernel", "stored"))
        if self._console.is_terminal and not spin:
            self._console.print(f"  {name}, compiling first where it is new ...", markup=False, style="dim")
        with self._console.status(name) if spin else contextlib.nullcontext():
            yield
        took = time.perf_counter() - start
        compiled = min(took, _compiling.look() - compiled)  # threads compile at once
        which = f", {compiled:.1f} s of it compiling" if compiled >= LEAST_COMPILING else ""
        self._console.print(f"  {name}: {took:.1f} s{which}", markup=False)

    def say(self, line: str) -> None:
        """One line, at once."""
        self._console.print(f"  {_printed.plain(line)}", markup=False)

    @contextlib.contextmanager
    def counting(self, look: Callable[[], tuple[int, int] | None], unit: str) -> Iterator[None]:
        """Show how far something is that others may do: a bar on a terminal, elsewhere a line each `MINUTE`.

        Args:
            look: (done, of how many), now; None: it has not begun. Called from a thread of its own.
            unit: what is counted.
        """
        end = threading.Event()
        show = self._bar if self._console.is_terminal else self._lines
        thread = threading.Thread(target=show, args=(look, unit, end), daemon=True)
        thread.start()
        try:
            yield
        finally:
            end.set()
            thread.join()

    def _lines(self, look: Callable[[], tuple[int, int] | None], unit: str, end: threading.Event) -> None:
        first: tuple[float, int] | None = None
        while not end.wait(MINUTE if first is not None else min(1.0, MINUTE)):
            if (found := look()) is None:
                continue
            (done, total), now = found, time.perf_counter()
            if first is None:
                first = now, done
                self.say(f"{done} of {total} {unit} are there")
                continue
            rate = (done - first[1]) / (now - first[0])
            left = f", {ago((total - done) / rate)} left" if rate > 0 else ""
            self.say(f"{done} of {total} {unit} ({100 * done / total:.1f} %), {rate:.3g} per second{left}")

    def _bar(self, look: Callable[[], tuple[int, int] | None], unit: str, end: threading.Event) -> None:
        from rich import progress

        columns: tuple[Any, ...] = (
            progress.TextColumn("  {task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TimeRemainingColumn(),
        )
        with progress.Progress(*columns, console=self._console, transient=True) as bar:
            task = None
            while not end.wait(0.5):
                if (found := look()) is None:
                    continue
                if task is None:
                    task = bar.add_task(unit, total=found[1])
                bar.update(task, completed=found[0], total=found[1])


def ago(seconds: float) -> str:
    """A time in one unit or two: 45 s, 12 min, 3 h 20 min, 4 d 7 h."""
    seconds = max(0.0, seconds)
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h"
