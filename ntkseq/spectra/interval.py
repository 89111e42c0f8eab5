"""What is known of a number that is not known exactly?"""

from __future__ import annotations

import math

from ntkseq._outward import around, interval
from ntkseq._struct import struct


@struct
class Interval:
    """A number that is known to lie in [lower, upper], and the best estimate of it.

    `resolved` says whether the interval decides what the number is asked for: for an eigenvalue whether it is
    positive (lower > 0), for a condition number whether it is finite, for an effective rank whether it is known
    within a factor of two.
    """

    lower: float
    estimate: float
    upper: float
    resolved: bool

    @classmethod
    def around(cls, estimate: float, error: float) -> Interval:
        """estimate -+ error, rounded outwards and clipped nowhere; resolved if it is positive."""
        lower = math.nextafter(estimate - error, -math.inf)
        upper = math.nextafter(estimate + error, math.inf)
        return cls(lower, estimate, upper, lower > 0)

    def __contains__(self, number: float) -> bool:
        return bool(self.lower <= number <= self.upper)

    def __str__(self) -> str:
        """ "estimate in [lower, upper]", or "estimate +- error" where seven digits do not tell them apart."""
        if math.isfinite(self.lower) and math.isfinite(self.upper) and self.lower <= self.estimate <= self.upper:
            middle = float(f"{self.estimate:.7g}")
            if (error := around(middle, self.lower, self.upper)) < 1e-4 * abs(middle):
                return f"{middle:.7g} +- {error:.1e}"
        return f"{self.estimate:.4g} in {interval(self.lower, self.upper)}"
