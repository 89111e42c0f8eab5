"""What if a device has no memory left after all? The same for half of the examples at a time, said aloud."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import jax

from ntkseq._checks import is_concrete


def halving(run: Callable[[int | None], Any], block: int | None, n: int) -> Any:
    """run(block), and while the device says that its memory is exhausted, run with half as many examples at a time.

    Args:
        run: takes the number of examples that may be held at once, None for all n of them.
        block: what to begin with.
        n: how many there are.

    Raises:
        RuntimeError, MemoryError: of the device, where not even one example at a time fits, or about something else.
    """
    while True:
        try:
            found = run(block)
            # a device works on after it answers: only a finished result is known to have fitted
            return jax.block_until_ready(found) if all(map(is_concrete, jax.tree.leaves(found))) else found
        except (RuntimeError, MemoryError) as error:
            half = (n if block is None else block) // 2
            if half == 0 or not exhausted(error):
                raise
            block = 1 << (half.bit_length() - 1)
            warnings.warn(
                f"the memory of the device is exhausted; the kernel is computed for {block} of {n} examples at a time "
                "instead, which makes them again for every block. method=Cheapest(memory=...), in bytes, says how much "
                "may be used.",
                RuntimeWarning,
                stacklevel=2,
            )


def exhausted(error: Exception) -> bool:
    """Whether an error says that memory has run out, as XLA and NumPy word it."""
    return isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error) or "Out of memory" in str(error)
