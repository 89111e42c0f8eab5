"""Programs for a CPU with loops as wide as its vector registers.

XLA compiles loops for 256 bits on processors that have 512, for the sake of old ones that slowed down with them. The
recursions of kernels are such loops and nothing else. A processor without wide registers is not asked for any.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

WIDEST = {"xla_cpu_prefer_vector_width": 512}
"""What is asked of XLA, program by program."""


class Wide:
    """`jax.jit(f, ...)` for arguments in the memory of the host; not to be called inside another traced function."""

    def __init__(self, f: Callable[..., Any], **options: Any) -> None:
        self.plain = jax.jit(f, **options)
        self.wide = jax.jit(f, compiler_options=WIDEST, **options)
        self.known = True

    def compiled(self, *args: Any) -> Any:
        """The program for arguments of these shapes, which says what memory it takes."""
        return self._widest(lambda program: program.lower(*args).compile())

    def __call__(self, *args: Any) -> Any:
        return self._widest(lambda program: program(*args))

    def _widest(self, use: Callable[[Any], Any]) -> Any:
        """What `use` makes of the wide program, or of the plain one where XLA does not know the option."""
        if self.known:
            try:
                return use(self.wide)
            except jax.errors.JaxRuntimeError as error:
                if "No such compile option" not in str(error):
                    raise
                self.known = False  # a jaxlib that calls it otherwise: jaxlib 0.10 to 0.12 know it
        return use(self.plain)
