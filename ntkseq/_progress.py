"""When is a progress bar shown?"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

LONG_WORK = 2e10
"""Pair-steps of a kernel (about ten seconds on one core) from which a bar is shown without being asked for."""


def bar(wanted: bool | None, work: float, total: int, *, unit: str, name: str) -> Any:
    """A tqdm bar, or a context that holds nothing.

    Args:
        wanted: whether to show it; None: on a terminal, for long work, where tqdm is installed.
        work: pair-steps of the kernel in all.
        total, unit, name: of the bar.

    Raises:
        ImportError: `wanted`, and tqdm is not installed.
    """
    if wanted is False or (wanted is None and work < LONG_WORK):
        return nullcontext()
    try:
        from tqdm.auto import tqdm
    except ImportError:
        if wanted:
            raise ImportError('progress=True needs tqdm; install it with pip install "ntkseq[study]".') from None
        return nullcontext()
    return tqdm(total=total, unit=unit, desc=name, disable=None if wanted is None else False)
