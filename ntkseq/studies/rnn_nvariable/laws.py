"""How many examples reach an error, and which law does a handful of numbers follow? Crossings and straight lines."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from ntkseq import _statistics
from ntkseq._types import AnyArray, ArrayLike
from ntkseq.norms import MemoryProfile
from ntkseq.norms.memory import RATE
from ntkseq.spectra import Interval


def crossings(sizes: Sequence[float], errors: AnyArray, eps: float) -> Float[np.ndarray, " draws"]:
    """The number of examples from which on each draw errs by at most eps, by a straight line in the logarithms.

    inf where the last error is above eps; 0 where all of them are below it, so that only an upper end is known.

    Args:
        sizes: (s,), ascending.
        errors: (draws, s).
        eps: the error to be reached, > 0.

    Raises:
        ValueError: shapes that do not fit.

    Example:
        >>> crossings([10, 100], [[1.0, 0.1], [1.0, 0.9], [0.2, 0.1]], 10**-0.5).round(6).tolist()
        [31.622777, inf, 0.0]
    """
    x, values = np.log(np.asarray(sizes, np.float64)), np.asarray(errors, np.float64)
    if values.ndim != 2 or values.shape[1:] != x.shape or not x.size:
        raise ValueError(f"errors must be (draws, s) over sizes (s,); got {values.shape} and {np.shape(sizes)}.")
    found = []
    for row in values:
        above = np.flatnonzero(~(row <= eps))  # nan counts as not reached
        if not len(above):
            found.append(0.0)
        elif above[-1] == len(row) - 1:
            found.append(math.inf)
        else:
            i = int(above[-1])
            if not np.isfinite(row[i]):
                found.append(float(np.exp(x[i + 1])))  # nothing to draw a line from: the first that is below
                continue
            low, high = np.log(row[i]), np.log(max(row[i + 1], np.finfo(np.float64).tiny))
            share = (low - math.log(eps)) / (low - high)
            found.append(float(np.exp(x[i] + share * (x[i + 1] - x[i]))))
    return np.array(found)


def reached(sizes: Sequence[float], errors: AnyArray, eps: float, *, level: float = 0.95) -> Interval:
    """The number of examples that reach eps: geometric mean over draws, with Student's interval of its logarithm.

    Where one draw never reaches it the upper end is inf, where one has reached it before the first size the lower is 0;
    the other end is the extreme of the draws, and the estimate their median. One draw alone has no interval.

    Args:
        sizes, errors, eps: see `crossings`.
        level: of the interval.
    """
    at = crossings(sizes, errors, eps)
    if np.isinf(at).any() or (at == 0).any():
        low = 0.0 if (at == 0).any() else float(at[np.isfinite(at)].min(initial=float(np.max(sizes))))
        high = math.inf if np.isinf(at).any() else float(at.max(initial=float(np.min(sizes))))
        middle = float(np.median(at))
        middle = float(np.min(sizes)) if middle == 0 else middle
        return Interval(min(low, middle), middle, max(high, middle))
    mean, half = _statistics.mean(np.log(at), level)
    if len(at) == 1:
        return Interval(0.0, math.exp(mean), math.inf)
    return Interval(math.exp(mean - half), math.exp(mean), math.exp(min(mean + half, 700.0)))


@dataclasses.dataclass(frozen=True)
class Straight:
    """A straight line y = level + slope x.

    Attributes:
        slope, level: with Student's intervals at 0.95 and s - 2 degrees of freedom, as if the distances from the line
            were independent noise. Where y is computed and not drawn they are what the law leaves out, and the
            interval says how well a line fits, not more. Two points have none.
        misfit: root mean square distance from the line.
    """

    slope: Interval
    level: Interval
    misfit: float


def straight(x: AnyArray, y: ArrayLike) -> Straight | None:
    """The line of least squares through points; None for fewer than two different x, or a y that is not finite.

    Example:
        >>> line = straight([0, 1, 2], [1, 3, 5])
        >>> round(line.slope.estimate, 9), round(line.level.estimate, 9)
        (2.0, 1.0)
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if len(np.unique(x)) < 2 or not np.isfinite(y).all():
        return None
    fit = _statistics.line(x, y)
    slope, level = (
        Interval(value - half, value, value + half)
        for value, half in ((fit.slope, fit.slope_half), (fit.intercept, fit.intercept_half))
    )
    return Straight(slope, level, fit.misfit)


@dataclasses.dataclass(frozen=True, eq=False)
class Memory:
    """What the last read-out sees of the start, beside the law exp(-1.0086 (1-c)^(1/3) t^(2/3)).

    Attributes:
        fraction: c, the shared part of each token.
        steps: t = 1, 2, ...
        seen: product of k0 over t steps, measured.
        power: exponent of t in -log seen, a line through logarithms over t in [t_max/8, t_max].
        constant: factor of t^power in that fit.
        held: factor of t^(2/3), the power held at 2/3, the mean over the same t; misfit as from 2/3.
        local: exponent between t_max/2 and t_max.
        law: 1.0086 (1-c)^(1/3).
    """

    fraction: float
    steps: Float[np.ndarray, " t"]
    seen: Float[np.ndarray, " t"]
    power: Interval
    constant: Interval
    held: Interval
    local: float
    law: float


def memory(profile: MemoryProfile, fraction: float) -> Memory:
    """Fit the memory law to a profile of tokens that all have one norm and the shared fraction c.

    Twelve lengths from t_max/8 to t_max, evenly in log t, so that early ones do not count for less.

    Raises:
        ValueError: fewer than 16 steps, where there is nothing to fit.
    """
    seen = profile.whole / profile.decay  # product over s <= t
    if len(seen) < 16:
        raise ValueError(f"a fit of the memory law takes 16 steps or more; got {len(seen)}. Pass longer sequences.")
    top = len(seen)
    steps = np.arange(1.0, top + 1)
    used = np.unique(np.geomspace(max(2, top / 8), top, 12).round()).astype(int)
    logs = -np.log(seen[used - 1])
    free = straight(np.log(used), np.log(logs))
    assert free is not None
    ratio = logs / used ** (2 / 3)
    mean, spread = _statistics.mean(ratio)
    local = math.log(math.log(seen[top - 1]) / math.log(seen[top // 2 - 1])) / math.log(top / (top // 2))
    low, middle, high = (math.exp(end) for end in (free.level.lower, free.level.estimate, free.level.upper))
    constant = Interval(low, middle, high)
    return Memory(
        fraction, steps, seen, free.slope, constant, Interval(mean - spread, mean, mean + spread), local,
        RATE * (1 - fraction) ** (1 / 3),
    )  # fmt: skip


def late_exponent(degree: int) -> float:
    """1 + p/3: how K(x, x)/a grows with t for the coefficient a of y^p at a late token, W alone trained. Asymptotic.

    With unit tokens K(x, x) ~ t^2. At y = 0, 1 - rho ~ t^{-2/3}, so k0(rho) = 1 - O(t^{-1/3}), and the tangent kernel
    is ~ t t^{1/3}. The p-th derivative of k0 is ~ (1 - rho)^{1/2 - p} ~ t^{(2p-1)/3}, and each y brings 1/t. So
    a ~ t^{4/3 + (2p-1)/3 - p} = t^{1 - p/3}. Derived here.
    """
    return 1 + degree / 3
