"""What do the effective ranks share that do not depend on the scale, and lie between 1 and the rank?"""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkseq.spectra.interval import Interval
from ntkseq.spectra.ranks.base import EffectiveRank, clipped, unresolved

if TYPE_CHECKING:
    from ntkseq.spectra.partial import PartialSpectrum

Box = tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"], Float[np.ndarray, " n"], Float[np.ndarray, " n"]]


class Relative(EffectiveRank):
    """A rank of s / s_1; what is particular to it is asked with the scale taken out."""

    @abc.abstractmethod
    def of_scaled(self, s: Float[np.ndarray, " n"]) -> float:
        """Of positive values, the largest 1."""

    @abc.abstractmethod
    def scaled_bounds(self, box: Box) -> tuple[float, float]:
        """Of a `box` (s, errors, max(s - errors, 0), s + errors), divided by the largest of the last; the first of the
        third is positive.
        """

    @abc.abstractmethod
    def partial_numbers(self, part: PartialSpectrum) -> tuple[float, float, float]:
        """(lower, estimate, upper) of a `part` of a spectrum whose largest eigenvalue is positive."""

    @abc.abstractmethod
    def scaled_batch(self, s: Float[Array, "... n"]) -> Float[Array, "..."]:
        """Of each row of values, the largest 1, or all of them 0."""

    def of(self, s: Float[np.ndarray, " n"]) -> float:
        positive = s[s > 0]
        return self.of_scaled(positive / positive[0]) if positive.size else 0.0  # squares of 1e200 leave the range

    def bounds(self, s: Float[np.ndarray, " n"], errors: Float[np.ndarray, " n"]) -> tuple[float, float]:
        n, scale = s.size, float(s[0] + errors[0])
        if scale == 0:
            return 0.0, 0.0
        if not np.isfinite(scale):
            return 0.0, float(n)
        s, errors = s / scale, errors / scale
        low, high = np.maximum(s - errors, 0.0), s + errors
        if low[0] == 0:  # not even the largest is resolved: the exact matrix may be 0
            return 0.0, float(n)
        lower, upper = self.scaled_bounds((s, errors, low, high))
        slack = 8.0 * n * np.finfo(np.float64).eps  # the sums are rounded too
        return float(max(1.0, lower * (1.0 - slack))), float(min(n, upper * (1.0 + slack)))

    def of_partial(self, part: PartialSpectrum) -> Interval:
        return clipped(part, unresolved(part) or self.partial_numbers(part), 1.0)

    def batched(self, s: Float[Array, "... n"]) -> Float[Array, "..."]:
        first = s[..., :1]
        s = s / jnp.where(first > 0, first, 1)
        return jnp.where(s[..., 0] > 0, self.scaled_batch(s), 0)
