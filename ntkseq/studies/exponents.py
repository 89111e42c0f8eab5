"""The exponent of a power law over independent draws, and how a slope stands in a table."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ntkseq import _statistics
from ntkseq._types import AnyArray
from ntkseq.spectra import Interval


def exponent(sizes: Sequence[float], values: AnyArray, *, level: float = 0.95) -> Interval:
    """The slope of log value over log size, with Student's interval over independent draws.

    One line is fitted per draw, by least squares; the interval is that of the mean of their slopes, so it holds
    whether or not the values of one draw hang together. Whether a power law is the right law it does not say.

    Args:
        sizes: (s,), two different ones or more.
        values: (draws, s), > 0; one draw has no interval.
        level: of the interval.

    Returns:
        Interval, resolved if it leaves 0 out.

    Raises:
        ValueError: shapes that do not fit, values that are not positive.

    Example:
        >>> print(exponent([10, 100], [[1.0, 0.1], [1.0, 0.08], [1.0, 0.12]]))
        -1.006 in [-1.225, -0.7868]
    """
    x, values = np.log(np.asarray(sizes, np.float64)), np.asarray(values, np.float64)
    if values.ndim != 2 or values.shape[1:] != x.shape or len(np.unique(x)) < 2:
        raise ValueError(
            f"sizes must be two different ones or more, (s,), and values (draws, s); got {np.shape(sizes)} and "
            f"{values.shape}."
        )
    if not (values > 0).all():
        raise ValueError("values must be > 0, for a logarithm. Leave out the sizes where nothing is left.")
    mean, half = _statistics.mean([_statistics.line(x, row).slope for row in np.log(values)], level)
    return Interval(mean - half, mean, mean + half)


def cell(slope: Interval) -> Interval | float:
    """A slope as it stands in a table: with its interval where it has one."""
    return slope if math.isfinite(slope.lower) else slope.estimate


def span(slope: Interval) -> str:
    """A slope in a box of facts, with the ends of its interval where it has one."""
    if not math.isfinite(slope.lower):
        return f"{slope.estimate:.2f}"
    return f"{slope.estimate:.2f} [{slope.lower:.2f}, {slope.upper:.2f}]"
