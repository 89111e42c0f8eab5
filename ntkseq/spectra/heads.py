"""What are effective ranks of heads, layers and examples as one number, and with which error of sampling?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy  # its parts load when they are first used

from ntkseq import _checks, _display
from ntkseq._types import ArrayLike, Index


def aggregate(ranks: ArrayLike, how: str = "mean", *, axis: Index | None = None) -> np.ndarray | np.generic:
    """Effective ranks of heads, layers or examples as one number: their "mean", "max" or "sum" over some axes.

    Args:
        ranks: an array of any shape, such as (layers, heads).
        how: "mean", "max" or "sum".
        axis: over which; None: all.

    Raises:
        ValueError: an unknown word, ranks that are not finite.

    Example:
        >>> aggregate([[2.0, 4.0], [1.0, 3.0]], "max", axis=1).tolist()  # two layers of two heads
        [4.0, 3.0]
    """
    _checks.choice("how", how, ("mean", "max", "sum"))
    ranks = _checks.numbers("ranks", ranks)
    _checks.finite("ranks", ranks)
    return getattr(np, how)(ranks, axis=axis)


@dataclass(frozen=True)
class SampledRank:
    """An effective rank over layers and heads, from a sample of examples.

    Attributes:
        value: "mean", "max" or "sum" over heads of the means over examples.
        error: its standard error over examples; NaN for one example. For "max" that of the head with the largest mean.
        lower, upper: interval for the same number over all examples; NaN for one example.
        level: its level, as for normal data.
        n: the number of examples.
        how: the aggregation.
    """

    value: float
    error: float
    lower: float
    upper: float
    level: float
    n: int
    how: str

    __repr__ = _display.record


def sampled(ranks: ArrayLike, how: str = "mean", *, level: float = 0.95) -> SampledRank:
    """Aggregate the effective ranks of n independent examples, with the error of sampling them.

    "mean" and "sum" are over heads of one example first: heads see the same examples and are not independent. "max" is
    the largest mean of a head, and its interval is a union over heads. Intervals are those of Student's t.

    Args:
        ranks: (n, ...), one row per example; the other axes are layers and heads.
        how: "mean", "max" or "sum".
        level: of the interval.

    Returns:
        SampledRank.

    Raises:
        ValueError: no examples, ranks that are not finite, an unknown word, a level outside (0, 1).

    Example:
        >>> found = sampled([[1.0, 3.0], [2.0, 4.0], [1.5, 3.5]])
        >>> found.value, round(found.error, 4), found.n
        (2.5, 0.2887, 3)
    """
    _checks.choice("how", how, ("mean", "max", "sum"))
    level = _checks.probability("level", level)
    ranks = _checks.numbers("ranks", ranks)
    if ranks.ndim < 1 or ranks.size == 0:
        raise ValueError(f"ranks must have shape (n, ...), one row per example, not empty; got {ranks.shape}.")
    _checks.finite("ranks", ranks)
    n = len(ranks)
    rows = ranks.reshape(n, -1)
    if how != "max":
        rows = getattr(np, how)(rows, axis=1, keepdims=True)
    means = rows.mean(axis=0)
    best = int(np.argmax(means))
    if n == 1:
        return SampledRank(float(means[best]), math.nan, math.nan, math.nan, level, n, how)
    errors = rows.std(axis=0, ddof=1) / math.sqrt(n)
    width = scipy.stats.t.ppf(1 - (1 - level) / (2 * len(means)), n - 1) * errors
    lower, upper = np.max(means - width), np.max(means + width)
    return SampledRank(float(means[best]), float(errors[best]), float(lower), float(upper), level, n, how)
