"""How many values are not small, and how many hold a share of the energy?"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkseq import _checks, _display, _precision
from ntkseq._struct import fill
from ntkseq.spectra import counting, density
from ntkseq.spectra.interval import Interval
from ntkseq.spectra.ranks.base import EffectiveRank, clipped, ends, resolved, unresolved, word

if TYPE_CHECKING:
    from ntkseq.spectra.partial import PartialSpectrum


@dataclasses.dataclass(frozen=True)
class Numerical(EffectiveRank):
    """#{i : s_i > tol s_1}: the numerical rank, decided in exact arithmetic. With tol >= 1 it is 0.

    Attributes:
        tol: relative to the largest value. None: n eps of the dtype; of a Gram or a spectrum the error of each
            eigenvalue, so that the resolved ones are counted.

    Raises:
        ValueError: tol is not a finite number >= 0.

    Example:
        >>> from ntkseq import effective_rank, spectra
        >>> effective_rank([4.0, 2.0, 1.0, 0.0], spectra.ranks.Numerical(0.3))
        2.0
    """

    tol: float | None = None

    __repr__ = _display.record

    def __post_init__(self) -> None:
        if self.tol is not None:
            fill(self, tol=_checks.nonnegative("tol, relative to the largest value,", self.tol))

    @property
    def formula(self) -> str:
        return "number of eigenvalues above their error" if self.tol is None else f"#(s_i > {self.tol:g} s_1)"

    def of(self, s: Float[np.ndarray, " n"]) -> float:
        tol = s.size * np.finfo(np.float64).eps if self.tol is None else self.tol
        return float(counting.above(s[s > 0], tol, s[0])) if s[0] > 0 else 0.0

    def estimate(self, s: Float[np.ndarray, " n"], errors: Float[np.ndarray, " n"]) -> float:
        return float(resolved(s, errors)) if self.tol is None else self.of(s)

    def bounds(self, s: Float[np.ndarray, " n"], errors: Float[np.ndarray, " n"]) -> tuple[float, float]:
        n, (low, high) = s.size, ends(s, errors)
        if s[0] + errors[0] == 0:
            return 0.0, 0.0
        if low[0] == 0 or not np.isfinite(high[0]):
            return 0.0, float(n)
        if self.tol is None:
            return float(np.sum(low > 0)), float(n)
        if self.tol >= 1:
            return 0.0, 0.0
        few, many = counting.above(low, self.tol, high[0]), counting.above(high, self.tol, low[0])
        return float(max(few, 1)), float(many)  # the largest counts, wherever it lies

    def of_partial(self, part: PartialSpectrum) -> Interval:
        return clipped(part, unresolved(part) or self._of_partial(part), 0.0)

    def _of_partial(self, part: PartialSpectrum) -> tuple[float, float, float]:
        if self.tol is None:
            found = density.count(part, part.rounding)
            return found.lower, found.estimate, found.upper
        if self.tol >= 1:
            return 0.0, 0.0, 0.0
        top = part.max_eigenvalue
        few = density.count(part, math.nextafter(self.tol * top.upper, math.inf))
        many = density.count(part, max(math.nextafter(self.tol * top.lower, 0.0), 0.0))
        return max(few.lower, 1.0), few.estimate, many.upper  # the largest counts, wherever it lies

    def batched(self, s: Float[Array, "... n"]) -> Float[Array, "..."]:
        first = s[..., :1]
        tol = s.shape[-1] * _precision.eps(s.dtype) if self.tol is None else self.tol
        return jnp.sum(s / jnp.where(first > 0, first, 1) > tol, axis=-1).astype(s.dtype)


@dataclasses.dataclass(frozen=True)
class Energy(EffectiveRank):
    """min {k : sum_{i<=k} s_i^2 >= quantile sum s^2}: the fewest values with that share of the energy.

    Decided in exact arithmetic, for the numbers as float64 holds them: at quantile = 1 it is the number of positive
    values; 0.9 is the float next to 9/10, a little more.

    Attributes:
        quantile: the share of sum s^2 to reach, in (0, 1].

    Raises:
        ValueError: a quantile outside of (0, 1].

    Example:
        >>> from ntkseq import effective_rank, spectra
        >>> effective_rank([4.0, 2.0, 1.0, 0.0], spectra.ranks.Energy(0.9))
        2.0
    """

    quantile: float

    __repr__ = _display.record

    def __post_init__(self) -> None:
        quantile = _checks.number("quantile", self.quantile, "a number in (0, 1]")
        if not 0 < quantile <= 1:
            raise ValueError(f"quantile must be a number in (0, 1]; got {_checks.shown(self.quantile)}.")
        fill(self, quantile=quantile)

    @property
    def name(self) -> str:
        return word("energy", 100.0 * self.quantile)

    @property
    def formula(self) -> str:
        return f"fewest eigenvalues with {100 * self.quantile:.10g} % of sum s^2"

    def of(self, s: Float[np.ndarray, " n"]) -> float:
        positive = s[s > 0]
        return float(counting.reach(positive, positive, self.quantile)) if positive.size else 0.0

    def bounds(self, s: Float[np.ndarray, " n"], errors: Float[np.ndarray, " n"]) -> tuple[float, float]:
        low, high = ends(s, errors)
        if s[0] + errors[0] == 0:
            return 0.0, 0.0
        if low[0] == 0 or not np.isfinite(high[0]):
            return 0.0, float(s.size)
        return float(counting.reach(high, low, self.quantile)), float(counting.reach(low, high, self.quantile))

    def batched(self, s: Float[Array, "... n"]) -> Float[Array, "..."]:
        first = s[..., :1]
        energies = (s / jnp.where(first > 0, first, 1)) ** 2
        if self.quantile < 0.5:
            reached = jnp.cumsum(energies, axis=-1)
            found = jnp.sum(reached < self.quantile * reached[..., -1:], axis=-1) + 1
        else:
            # what is left behind k values, summed from the least up: near a share of 1 the sum of the others hides it
            left = jnp.cumsum(energies[..., ::-1], axis=-1)
            found = jnp.maximum(jnp.sum(left > (1.0 - self.quantile) * left[..., -1:], axis=-1), 1)
        return jnp.where(first[..., 0] > 0, found.astype(s.dtype), 0)
