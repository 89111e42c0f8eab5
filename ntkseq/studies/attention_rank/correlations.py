"""How fast does a gap fall with n, and which number predicts it? Intervals for means, exponents, rank correlations."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import scipy.stats
from jaxtyping import Float

from ntkseq import _checks, _statistics
from ntkseq._types import AnyArray
from ntkseq.spectra import Interval

LEVEL = 0.95
RESAMPLES = 2000


def mean(values: AnyArray) -> Interval:
    """The mean of independent examples with Student's interval of its expectation; one example tells nothing."""
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or not values.size:
        raise ValueError(f"values must be one or more numbers, (m,); got shape {values.shape}.")
    estimate, half = _statistics.mean(values, LEVEL)
    return Interval(estimate - half, estimate, estimate + half)


def shifted(interval: Interval, by: float) -> Interval:
    """The interval of a quantity plus a number that is known."""
    return Interval(interval.lower + by, interval.estimate + by, interval.upper + by)


@dataclasses.dataclass(frozen=True)
class Exponent:
    """gap ~ n^exponent: least squares of log gap over log n, with Student's interval from the scatter of the runs.

    Attributes:
        exponent, lower, upper: nan where there are too few runs or one n only.
        used: runs that entered.
        left_out: runs without a gap above 0, which have no logarithm. Where there are any the fit is biased: small gaps
            are missing.
    """

    exponent: float
    lower: float
    upper: float
    used: int
    left_out: int

    def __str__(self) -> str:
        if math.isnan(self.exponent):
            return "no exponent"
        if math.isnan(self.lower):
            return f"{self.exponent:.2f}, no interval"
        return f"{self.exponent:.2f} [{self.lower:.2f}, {self.upper:.2f}]"


def exponent(n: Any, gaps: AnyArray) -> Exponent:
    """Fit a power law to the gaps of runs.

    Args:
        n: training examples of each run, (r,).
        gaps: (r,); those at or below 0 and those that are not finite are left out, and counted.

    Raises:
        ValueError: shapes that differ.
    """
    n, gaps = np.asarray(n, np.float64), np.asarray(gaps, np.float64)
    if n.shape != gaps.shape or n.ndim != 1:
        raise ValueError(f"n and gaps must have one shape, (r,); got {n.shape} and {gaps.shape}.")
    kept = np.isfinite(gaps) & (gaps > 0)
    used, left_out = int(kept.sum()), int((~kept).sum())
    if used < 2 or len(np.unique(n[kept])) < 2:
        return Exponent(math.nan, math.nan, math.nan, used, left_out)
    fit = _statistics.line(np.log(n[kept]), np.log(gaps[kept]), LEVEL)
    half = fit.slope_half if math.isfinite(fit.slope_half) else math.nan
    return Exponent(fit.slope, fit.slope - half, fit.slope + half, used, left_out)


@dataclasses.dataclass(frozen=True, eq=False)
class Predictors:
    """Spearman's correlation of several numbers with one gap, over the same runs.

    Attributes:
        rho: name -> correlation with its interval, [-1, 1] where a number is the same for all runs, or not known.
        best: the name of the largest |rho|; "" if none is known.
        share: how often it had the largest |rho| in resamples of the runs: small where numbers cannot be told apart.
        runs: how many.
    """

    rho: dict[str, Interval]
    best: str
    share: float
    runs: int


def predictors(
    numbers: dict[str, Any], gaps: AnyArray, *, groups: Any = None, seed: int = 0, resamples: int = RESAMPLES
) -> Predictors:
    """Which of several numbers orders runs as their gaps do?

    The interval is the wider, at each end, of two at 0.95: the percentiles of a bootstrap over runs, which is too
    narrow for few runs, and Bonett and Wright's, tanh(atanh rho -+ 1.96 sqrt((1 + rho^2/2)/(r - g - 2))), g the number
    of groups. No interval counts that several numbers were compared: the best of many looks better than it is.

    Args:
        numbers: name -> (r,), one number per run; with nan it is not known.
        gaps: (r,).
        groups: (r,), such as n: ranks are then taken within each group, and resampled within it, so that what changes
            from group to group plays no role.
        seed: of the bootstrap.
        resamples: how many.

    Raises:
        ValueError: no numbers, shapes that differ.
    """
    gaps = np.asarray(gaps, np.float64)
    groups = np.zeros(gaps.shape, int) if groups is None else np.asarray(groups)
    table = {name: np.asarray(values, np.float64) for name, values in numbers.items()}
    wrong = [name for name, values in table.items() if values.shape != gaps.shape]
    if not table or gaps.ndim != 1 or groups.shape != gaps.shape or wrong:
        raise ValueError(f"numbers, gaps and groups must have one shape, (r,); got {gaps.shape} for the gaps.")
    resamples = _checks.positive_int("resamples", resamples)
    r, kinds = len(gaps), len(np.unique(groups))
    rng = np.random.default_rng(seed)
    places = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    drawn = np.concatenate([rng.choice(part, (resamples, len(part))) for part in places], axis=1)  # (resamples, r)
    y = _ranked(gaps, groups)
    rho: dict[str, Interval] = {}
    again: dict[str, np.ndarray] = {}
    for name, values in table.items():
        if not np.isfinite(values).all() or not np.isfinite(gaps).all():
            rho[name] = Interval(-1.0, math.nan, 1.0)
            continue
        x = _ranked(values, groups)
        found = float(_correlation(x, y))
        if math.isnan(found):
            rho[name] = Interval(-1.0, math.nan, 1.0)
            continue
        again[name] = _correlation(x[drawn], y[drawn])
        rho[name] = _interval(found, again[name], r - kinds - 2)
    best = max(again, key=lambda name: abs(rho[name].estimate), default="")
    share = math.nan
    if best:
        sizes = {name: np.nan_to_num(np.abs(values), nan=-1.0) for name, values in again.items()}
        share = float(np.mean(sizes[best] >= np.max(np.stack(list(sizes.values())), axis=0)))
    return Predictors(rho, best, share, r)


def _interval(found: float, again: np.ndarray, freedom: int) -> Interval:
    if freedom < 1 or np.isnan(again).mean() > 0.5:
        return Interval(-1.0, found, 1.0)
    low, high = np.nanquantile(again, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
    reach = float(scipy.stats.norm.ppf(0.5 + LEVEL / 2)) * math.sqrt((1 + found**2 / 2) / freedom)
    middle = math.atanh(min(max(found, -1 + 1e-12), 1 - 1e-12))
    low, high = min(low, math.tanh(middle - reach)), max(high, math.tanh(middle + reach))
    return Interval(max(-1.0, float(low)), found, min(1.0, float(high)))


def _ranked(values: np.ndarray, groups: np.ndarray) -> Float[np.ndarray, " r"]:
    """Ranks within each group, over its size, their mean taken away."""
    ranks = np.empty(len(values))
    for group in np.unique(groups):
        inside = groups == group
        found = scipy.stats.rankdata(values[inside])
        ranks[inside] = (found - found.mean()) / len(found)
    return ranks


def _correlation(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Pearson's, along the last axis; nan where one of the two does not vary."""
    x, y = (v - v.mean(axis=-1, keepdims=True) for v in (x, y))
    size = np.sqrt(np.sum(x * x, axis=-1) * np.sum(y * y, axis=-1))
    known = size > 1e-12 * x.shape[-1]
    return np.where(known, np.sum(x * y, axis=-1) / np.where(known, size, 1), np.nan)
