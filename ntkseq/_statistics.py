"""Student's intervals of a mean and of a line's slope, and the exact interval of a proportion, by scipy."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy  # its parts load when they are first used

from ntkseq._types import AnyArray, ArrayLike


def half_width(error: float, freedom: int, level: float = 0.95) -> float:
    """Half of Student's two-sided interval of an estimate with that standard error; inf without a degree of freedom."""
    return math.inf if freedom < 1 else float(scipy.stats.t.ppf(0.5 + 0.5 * level, freedom)) * error


def standard_error(values: Sequence[float] | AnyArray) -> float:
    """Of the mean of independent numbers (m,); nan for a single number."""
    return float(scipy.stats.sem(values)) if len(values) > 1 else math.nan


def mean(values: ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """The mean of independent numbers (m,) and the half width of Student's interval; inf for a single number.

    Example:
        >>> middle, half = mean([1.0, 2.0, 3.0])
        >>> middle, round(half, 4)
        (2.0, 2.4841)
    """
    values = np.asarray(values, np.float64)
    return float(values.mean()), half_width(standard_error(values), len(values) - 1, level)


def jackknife(value: ArrayLike, without: ArrayLike) -> tuple[Any, Any]:
    """Variance and bias of an estimate, from those without each of the m parts of its data (m, ...).

    Reference: efron1981jackknife.

    Example:
        >>> numbers = np.array([1.0, 2.0, 6.0])
        >>> variance, bias = jackknife(numbers.mean(), [np.delete(numbers, i).mean() for i in range(3)])
        >>> round(float(variance - standard_error(numbers) ** 2), 9), round(float(bias), 9)
        (0.0, 0.0)
    """
    without = np.asarray(without, np.float64)
    more = len(without) - 1
    return more * without.var(axis=0), more * (without.mean(axis=0) - np.asarray(value))


@dataclasses.dataclass(frozen=True)
class Line:
    """y = intercept + slope x by least squares, with half widths of Student's intervals: inf for two points.

    `misfit` is the root mean square distance of the points from the line.
    """

    slope: float
    intercept: float
    slope_half: float
    intercept_half: float
    misfit: float


def line(x: object, y: object, level: float = 0.95) -> Line:
    """Fit a line to points (m,), (m,), with two different x or more.

    Example:
        >>> fit = line([0.0, 1.0, 2.0, 3.0], [1.0, 3.0, 5.0, 7.0])
        >>> round(fit.slope, 9), round(fit.intercept, 9), round(fit.slope_half, 9)
        (2.0, 1.0, 0.0)
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    fit: Any = scipy.stats.linregress(x, y)
    left = y - (fit.intercept + fit.slope * x)
    freedom = len(x) - 2
    return Line(
        float(fit.slope),
        float(fit.intercept),
        half_width(float(fit.stderr), freedom, level),
        half_width(float(fit.intercept_stderr), freedom, level),
        float(np.sqrt(np.mean(left**2))),
    )


def proportion(successes: int, trials: int, level: float = 0.95) -> tuple[float, float]:
    """Clopper and Pearson's exact interval of a probability.

    Example:
        >>> [round(end, 4) for end in proportion(0, 10)]
        [0.0, 0.3085]
    """
    ends: Any = scipy.stats.binomtest(int(successes), int(trials)).proportion_ci(level, method="exact")
    return float(ends.low), float(ends.high)


def quantile(values: ArrayLike, q: float, level: float = 0.95) -> tuple[float, float, float]:
    """The quantile q of independent numbers (m,), and both ends of its interval by order statistics.

    Valid for every continuous law; an end is infinite where m is too small for it.

    Example:
        >>> quantile([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 0.5)
        (3.5, 1.0, 6.0)
    """
    ordered = np.sort(np.asarray(values, np.float64))
    m, share = len(ordered), (1 - level) / 2
    some = np.arange(m)
    under = int(np.sum(scipy.special.bdtr(some, m, q) <= share))  # ends of the interval, counted from either end
    over = int(np.sum(scipy.special.bdtrc(some, m, q) <= share))
    low = float(ordered[under - 1]) if under else -math.inf
    high = float(ordered[m - over]) if over else math.inf
    return float(np.quantile(ordered, q)), low, high
