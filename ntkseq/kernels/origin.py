"""What is remembered of an array of kernel values: which kernel made it, from which inputs?"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ntkseq import _checks, _precision, _provenance
from ntkseq._types import AnyArray, AnyKernel, PyTree

_BYTES = 1 << 26
"""Of prepared inputs that may wait beside an array for somebody to ask for its rounding."""


class Origin:
    """Where an array of kernel values comes from. Its rounding is found when somebody asks, and what was kept let go.

    Args:
        entrywise: finds e with |error_ij| <= e sqrt(K_ii K_jj).
        traces: finds tr K of the rows and of the columns; None: the array is of one set of inputs with itself.
        kept: prepared inputs that these two hold.
        size: bytes of the array. Where `kept` is much larger, both are found at once.
        estimated: why the rounding is an estimate; empty if it is a bound.
        sampled: whether the kernel is a Monte Carlo estimate, whose error `entrywise` then holds.
    """

    def __init__(
        self,
        entrywise: Callable[[], float],
        traces: Callable[[], tuple[float, float]] | None,
        kept: PyTree,
        size: int,
        estimated: str = "",
        sampled: bool = False,
    ) -> None:
        self.estimated, self.sampled = estimated, sampled
        self.symmetric = traces is None
        self.x64 = _precision.x64()
        self._ask: Callable[[], float] | None = entrywise
        self._traces = traces
        self._known: tuple[float, tuple[float, float] | None] | None = None
        self._lock = threading.Lock()
        if sum(getattr(leaf, "nbytes", 0) for leaf in jax.tree.leaves(kept)) > max(_BYTES, 4 * size):
            self.facts()

    @classmethod
    def known(cls, e: float, traces: tuple[float, float] | None, estimated: str = "", sampled: bool = False) -> Origin:
        """Of an array whose e, and traces if it is a cross kernel, were found with it."""
        return cls(lambda: e, None if traces is None else lambda: traces, (), 0, estimated, sampled)

    def facts(self) -> tuple[float, tuple[float, float] | None]:
        """e, and the traces of a cross kernel."""
        with self._lock:
            if self._known is None:
                assert self._ask is not None
                with _precision.setting(self.x64):  # under which the array was made
                    self._known = float(self._ask()), None if self._traces is None else self._traces()
                self._ask = self._traces = None
            return self._known


def note(
    kernel: AnyKernel, values: AnyArray, left: AnyArray, right: AnyArray | None = None, entrywise: Any = None
) -> None:
    """Remember that `kernel` made these values from prepared inputs; does nothing under a trace.

    Args:
        values: (n, m), or (n, m, o, o).
        left, right: its sides; None: the left with itself.
        entrywise: of a side, in place of `kernel.entry_rounding`.
    """
    if values.ndim not in (2, 4) or not _checks.is_concrete(values):
        return
    sides = tuple(kernel.kept(side) for side in ((left,) if right is None else (left, right)))

    def ask() -> float:
        if right is not None and entrywise is None:
            return kernel.cross_rounding(*sides)
        return max(map(entrywise or kernel.entry_rounding, sides))

    def traces() -> tuple[float, float]:
        own = [np.asarray(kernel.diag_side(side), np.float64) for side in sides]
        if values.ndim == 4 and own[0].ndim == 3:  # (n, o, o) of all outputs
            own = [np.einsum("noo->no", block) for block in own]
        return float(np.sum(own[0])), float(np.sum(own[1]))

    found = Origin(
        ask,
        None if right is None else traces,
        sides,
        values.nbytes,
        kernel.estimated,
        kernel.sampled,
    )
    _provenance.remember(values, found)
