"""Intervals of a ratio of two means over the same examples, of skewed or of bounded numbers."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import scipy  # its parts load when they are first used
from jaxtyping import Bool, Float

from ntkseq._types import AnyArray

LEAST = 10
"""Examples below which no interval of skewed numbers is stated."""

FINE = np.linspace(-2.0, 3.0, 1001)
"""Shares that are tried, with `FAR` on both sides."""
FAR = np.geomspace(3.05, 1e4, 120)
SHARES = np.concatenate([-FAR[::-1], FINE, FAR])

Holds = Callable[[Float[np.ndarray, "n g"]], Bool[np.ndarray, " g"]]
"""Whether numbers (n,) of each column may have the mean 0."""


def skewed(level: float) -> Holds:
    """By Student's interval and by Hall's, which takes the skewness out, whichever reaches further (finetuning.12)."""

    def holds(values: Float[np.ndarray, "n g"]) -> Bool[np.ndarray, " g"]:
        n = len(values)
        if n < LEAST:
            return np.ones(values.shape[1], bool)
        mean = values.mean(axis=0)
        away = values - mean
        variance = np.mean(away**2, axis=0)
        spread = np.sqrt(variance / (n - 1))
        third = np.mean(away**3, axis=0) * math.sqrt(n * (n - 1)) / (n - 2)
        skew = np.where(variance > 0, third / np.where(variance > 0, variance, 1.0) ** 1.5, 0.0)
        q = float(scipy.stats.t.ppf(0.5 + 0.5 * level, n - 1))
        low, high = np.minimum(-q, _untransformed(-q, skew, n)), np.maximum(q, _untransformed(q, skew, n))
        slack = 4.0 * np.finfo(np.float64).eps * np.abs(values).max(axis=0)
        return (mean >= low * spread - slack) & (mean <= high * spread + slack)

    return holds


def _untransformed(z: float, skew: Float[np.ndarray, " g"], n: int) -> Float[np.ndarray, " g"]:
    """Hall's transformation of a studentised mean, backwards: T with g(T) = z."""
    some = np.where(np.abs(skew) > 1e-6, skew, 1e-6)
    inside = 1.0 + some * (z / math.sqrt(n) - some / (6.0 * n))
    return 3.0 * math.sqrt(n) / some * (np.cbrt(inside) - 1.0)


def bounded(level: float, reach: Float[np.ndarray, " g"]) -> Holds:
    """By bets on numbers in [-reach, reach], valid for every number of examples (finetuning.13).

    Whoever bets a share of what they have on a mean above 0 multiplies it by 1 / alpha with probability alpha at most.
    """

    def holds(values: Float[np.ndarray, "n g"]) -> Bool[np.ndarray, " g"]:
        wanted = math.log(2.0 / (1.0 - level))
        n = len(values)
        before = np.arange(1, n + 1)[:, None]
        sums = np.cumsum(values, axis=0) - values  # of those before: a bet is made before its example is seen
        squares = np.cumsum(values**2, axis=0) - values**2
        variance = (0.25 * reach**2 + np.maximum(squares - sums**2 / before, 0.0)) / before
        bet = np.minimum(np.sqrt(2.0 * wanted / (n * variance)), 0.75 / reach)
        refuted = np.zeros(values.shape[1], bool)
        for sign in (1.0, -1.0):
            refuted |= np.cumsum(np.log1p(sign * bet * values), axis=0).max(axis=0) >= wanted
        return ~refuted

    return holds


def ratio(
    a: AnyArray, b: AnyArray, holds: Holds, tried: Float[np.ndarray, " g"] = SHARES
) -> tuple[float, float, float]:
    """mean(a) / mean(b), and both ends of the interval of all r of `tried` for which a - r b may have the mean 0.

    Fieller's interval (finetuning.11), each end moved out to the next r that does not hold; infinite where it reaches
    beyond all r that are tried, nan where mean(b) is 0.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    middle = float(a.mean() / b.mean()) if b.mean() != 0 else math.nan
    kept = np.flatnonzero(holds(a[:, None] - tried[None] * b[:, None]))
    if not len(kept):  # narrower than the grid
        near = int(np.clip(np.searchsorted(tried, middle), 1, len(tried) - 1)) if math.isfinite(middle) else 1
        return middle, float(tried[near - 1]), float(tried[near])
    low = -math.inf if kept[0] == 0 else float(tried[kept[0] - 1])
    high = math.inf if kept[-1] == len(tried) - 1 else float(tried[kept[-1] + 1])
    return middle, min(low, middle), max(high, middle)
