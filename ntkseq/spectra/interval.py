"""What is known of a number that is not known exactly?"""

from __future__ import annotations

import math

from ntkseq._outward import around, interval
from ntkseq._struct import struct


@struct
class Interval:
    """A number that is known to lie in [lower, upper], and the best estimate of it.

    Attributes:
        lower, upper: the ends.
        estimate: the best estimate, between them.

    Example:
        >>> least = Interval(0.25, 0.5, 0.75)
        >>> 0.3 in least, least.resolved, least.positive, least.within(2.0)
        (True, True, True, False)
    """

    lower: float
    estimate: float
    upper: float

    @classmethod
    def around(cls, estimate: float, error: float) -> Interval:
        """estimate -+ error, rounded outwards and clipped nowhere."""
        return cls(math.nextafter(estimate - error, -math.inf), estimate, math.nextafter(estimate + error, math.inf))

    @property
    def resolved(self) -> bool:
        """Whether zero lies outside: the number is told from zero, and its sign is known."""
        return bool(self.lower > 0 or self.upper < 0)

    @property
    def positive(self) -> bool:
        """Whether the number is certainly positive."""
        return bool(self.lower > 0)

    @property
    def finite(self) -> bool:
        """Whether both ends are: a number that is not bounded from one side is not known."""
        return math.isfinite(self.lower) and math.isfinite(self.upper)

    def within(self, factor: float) -> bool:
        """Whether a number >= 0 is known within a factor: upper <= factor lower."""
        return bool(self.upper <= factor * self.lower)

    def __contains__(self, number: float) -> bool:
        return bool(self.lower <= number <= self.upper)

    def __str__(self) -> str:
        """ "estimate in [lower, upper]", or "estimate +- error" where seven digits do not tell them apart."""
        if math.isfinite(self.lower) and math.isfinite(self.upper) and self.lower <= self.estimate <= self.upper:
            middle = float(f"{self.estimate:.7g}")
            if (error := around(middle, self.lower, self.upper)) < 1e-4 * abs(middle):
                return f"{middle:.7g} +- {error:.1e}"
        return f"{self.estimate:.4g} in {interval(self.lower, self.upper)}"
