"""How many directions does a ridge leave?"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkseq import _checks, _display
from ntkseq._struct import fill
from ntkseq._types import AnyArray
from ntkseq.spectra import density
from ntkseq.spectra.interval import Interval
from ntkseq.spectra.ranks.base import EffectiveRank, check_power, clipped, ends, word

if TYPE_CHECKING:
    from ntkseq.spectra.partial import PartialSpectrum


@dataclasses.dataclass(frozen=True)
class Dimension(EffectiveRank):
    """tr K (K + reg I)^-1 = sum s / (s + reg): the effective dimension; with power=2 tr (K (K + reg I)^-1)^2.

    Between 0 and the rank.

    Attributes:
        reg: the number > 0 added to the diagonal of K as it stands. A theorem that normalises the kernel by n wants
            values / n.
        power: 1 or 2.

    Raises:
        ValueError: reg is not a finite number > 0.

    Reference: zhang2005.

    Example:
        >>> from ntkseq import effective_rank, spectra
        >>> round(effective_rank([4.0, 2.0, 1.0, 0.0], spectra.ranks.Dimension(1.0)), 4)
        1.9667
    """

    reg: float
    power: int = 1

    __repr__ = _display.record

    def __post_init__(self) -> None:
        fill(self, reg=_checks.nonnegative("reg", self.reg, positive=True))
        check_power(self.power)

    @property
    def name(self) -> str:
        return word("dimension" if self.power == 1 else "dimension2", self.reg)

    @property
    def formula(self) -> str:
        return f"{'sum s/(s + reg)' if self.power == 1 else 'sum (s/(s + reg))^2'}, reg = {self.reg:.3g}"

    def of(self, s: Float[np.ndarray, " n"]) -> float:
        return float(np.sum(_shrunk(s[s > 0], self.reg) ** self.power))

    def bounds(self, s: Float[np.ndarray, " n"], errors: Float[np.ndarray, " n"]) -> tuple[float, float]:
        n, (low, high) = s.size, ends(s, errors)
        if s[0] + errors[0] == 0:
            return 0.0, 0.0
        if not np.isfinite(s[0] + errors[0]):
            return 0.0, float(n)
        lower, upper = (float(np.sum(_shrunk(side, self.reg) ** self.power)) for side in (low, high))
        tiny = n * float(np.finfo(np.float64).tiny)  # what falls below the range is rounded to 0
        slack = 8.0 * n * np.finfo(np.float64).eps
        lower, upper = lower - tiny, upper + tiny * (high[0] > 0)
        return float(max(0.0, lower * (1.0 - slack))), float(min(n, upper * (1.0 + slack)))

    def of_partial(self, part: PartialSpectrum) -> Interval:
        return clipped(part, self._of_partial(part), 0.0)

    def _of_partial(self, part: PartialSpectrum) -> tuple[float, float, float]:
        reg, power = self.reg, self.power
        density.check_reg(part, reg)

        def f(x: AnyArray) -> Any:  # a power of 2 is monotone only
            return x / (x + reg) if power == 1 else (np.maximum(x, 0.0) / (np.maximum(x, 0.0) + reg)) ** 2

        change = power * density.moved(part, lambda x: x / (x + reg))
        lower, estimate, upper = density.total(part, f, bernstein=power == 1, change=change)
        if power == 1:  # Jensen, both ways, from the trace and the norm of the rest
            known, rest = float(np.sum(f(np.concatenate([part.values, part.bottom])))), part.tail
            if math.isfinite(rest.trace):
                high = rest.trace + rest.trace_error
                upper = min(upper, known + rest.n * high / (high + rest.n * reg) + change if rest.n else upper)
                low = rest.trace - rest.trace_error
                if math.isfinite(rest.squares) and low > 0 and rest.lower >= 0:
                    lower = max(lower, known + low**2 / (rest.squares + rest.squares_error + reg * low) - change)
        return lower, estimate, upper

    def batched(self, s: Float[Array, "... n"]) -> Float[Array, "..."]:
        return jnp.sum((s / (s + self.reg)) ** self.power, axis=-1)


def _shrunk(s: Float[np.ndarray, " n"], reg: float) -> Float[np.ndarray, " n"]:
    """s / (s + reg) for s >= 0; neither the sum nor a quotient leaves the range."""
    with np.errstate(under="ignore"):
        ratio = np.minimum(s, reg) / np.maximum(s, reg)
    return np.where(s >= reg, 1.0, ratio) / (1.0 + ratio)
