"""How does a long command show what it is doing?"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from ntkseq import _interrupts, _printed


class Progress:
    """The stages on standard error: a spinner on a terminal, plain lines elsewhere."""

    def __enter__(self) -> Progress:
        from rich.console import Console

        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
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
        start = time.perf_counter()
        # the Gram matrix brings a bar of its own when it is long; two of them would write over each other
        spin = self._console.is_terminal and not name.startswith("kernel")
        if self._console.is_terminal and not spin:
            self._console.print(f"  {name} ...", markup=False, style="dim")
        with self._console.status(name) if spin else contextlib.nullcontext():
            yield
        self._console.print(f"  {name}: {time.perf_counter() - start:.1f} s", markup=False)

    def say(self, line: str) -> None:
        """One line, at once."""
        self._console.print(f"  {_printed.plain(line)}", markup=False)
