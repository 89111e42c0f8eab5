"""When did something happen, over several seeds, and which of two things came first? Told by intervals alone."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int

from ntkseq import _statistics
from ntkseq.spectra import Interval


@dataclasses.dataclass(frozen=True)
class Moment:
    """The first record at which something was so: it came after step `after`, and by step `by` at the latest.

    Attributes:
        after, by: steps; both 0 where it was so from the start. `by` is inf where it never was.
    """

    after: float
    by: float

    @property
    def came(self) -> bool:
        """Whether it was ever so."""
        return math.isfinite(self.by)


def first(steps: Int[np.ndarray, " r"], so: Bool[np.ndarray, " r"]) -> Moment:
    """The moment from which something is so, as far as records at some steps tell.

    Example:
        >>> first(np.array([0, 10, 20]), np.array([False, False, True]))
        Moment(after=10.0, by=20.0)
    """
    if not so.any():
        return Moment(float(steps[-1]), math.inf)
    at = int(np.argmax(so))
    return Moment(float(steps[at - 1]) if at else 0.0, float(steps[at]))


def over_seeds(moments: Sequence[Moment], level: float = 0.95) -> Interval | None:
    """The mean moment over seeds, with an interval for seeds and for the steps between records; None: never, in some.

    Student's interval of the middles, widened by what records leave open: a mean by half of the mean distance of two
    records, a standard deviation by half of the widest. No interval for one seed.
    """
    return _mean([(one.after, one.by) for one in moments], level)


def lead(earlier: Sequence[Moment], later: Sequence[Moment], level: float = 0.95) -> Interval | None:
    """By how many steps one thing comes before the other, seed by seed; None: one of them never came, in some seed.

    Above zero, it comes first; below, second; with zero inside, it is not told.
    """
    return _mean([(two.after - one.by, two.by - one.after) for one, two in zip(earlier, later, strict=True)], level)


def _mean(brackets: Sequence[tuple[float, float]], level: float) -> Interval | None:
    """Of numbers known to lie in brackets: the standard deviation of sums is at most the sum of both."""
    ends = np.asarray(brackets, np.float64)
    if not np.isfinite(ends).all():
        return None
    middle, reach, m = ends.mean(axis=1), 0.5 * (ends[:, 1] - ends[:, 0]), len(ends)
    if m == 1:
        return Interval(-math.inf, float(middle[0]), math.inf)
    spread = float(np.std(middle, ddof=1)) + float(reach.max()) * math.sqrt(m / (m - 1))
    half = _statistics.half_width(spread / math.sqrt(m), m - 1, level) + float(reach.mean())
    return Interval.around(float(middle.mean()), half)
