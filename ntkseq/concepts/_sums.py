"""How large is a weighted sum of the absolute coefficients of a series, with an end that is proved to be small?

    sum_{i >= start} w_i |c_i| R^i

Terms are added in log space until the rest, a geometric series by `Family.log_ratio`, is below the rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy.special
from jaxtyping import Float

from ntkseq.concepts._families import Family

MOST_TERMS = 1 << 20
_EPS = float(np.finfo(np.float64).eps)
_FAR = 1 << 50  # an index beyond which nothing is looked for: exact in float64


class Weight(NamedTuple):
    """log w_i, and log(w_{i + stride} / w_i), which must fall with i."""

    log: Callable[[np.ndarray], np.ndarray]
    log_ratio: Callable[[float, int], float]


class LogSum(NamedTuple):
    """lower <= log of the sum <= upper, rounding included; `terms` were added one by one."""

    lower: float
    upper: float
    terms: int


ONES = Weight(lambda i: np.zeros(i.shape), lambda i, stride: 0.0)
NOTHING = LogSum(-math.inf, -math.inf, 0)
DIVERGENT = LogSum(math.inf, math.inf, 0)


def log_sum(family: Family, weight: Weight, log_R: float, start: int = 0) -> LogSum:
    """log sum_{i >= start} w_i |c_i| R^i, enclosed; inf where the terms do not fall in the end."""

    def log_q(i: float) -> float:  # bounds the log of the ratio of each term behind i to the one before; falls with i
        rounding = 8 * _EPS * (1 + family.stride * abs(log_R))
        return family.log_ratio(i) + weight.log_ratio(i, family.stride) + family.stride * log_R + rounding

    if log_q(_FAR) >= 0:
        return DIVERGENT
    fast = max(-math.log(2), log_q(_FAR) / 2)
    turn = _first(log_q, fast, max(start, family.settled))
    if turn - start > MOST_TERMS:
        return _around_the_largest(family, weight, log_R, log_q, start, turn)
    indices, log_terms, largest, end = np.empty(0, np.int64), np.empty(0), 0.0, start
    while True:
        new = np.arange(end, max(turn + 2, end + 64, 2 * end - start))
        log_c, log_w = family.log_abs(new), weight.log(new)
        support = log_c > -np.inf
        pieces = (log_c[support], log_w[support], new[support] * log_R)
        largest = max(largest, max_abs(*pieces))
        indices = np.concatenate([indices, new[support]])
        log_terms = np.concatenate([log_terms, pieces[0] + pieces[1] + pieces[2]])
        end = int(new[-1]) + 1
        added = finite_log_sum(log_terms, largest)
        q = log_q(float(indices[-1]))
        rest = float(log_terms[-1]) + q - math.log(-math.expm1(q)) + added.upper - added.lower
        if rest - added.lower < math.log(_EPS) or len(indices) > MOST_TERMS:
            return LogSum(added.lower, float(np.logaddexp(added.upper, rest)) + _EPS, added.terms)


def max_abs(*pieces: np.ndarray) -> float:
    """The largest absolute entry of all that is finite."""
    return max(float(np.abs(piece[np.isfinite(piece)]).max(initial=0.0)) for piece in pieces)


def finite_log_sum(log_terms: Float[np.ndarray, " k"], largest: float) -> LogSum:
    """The sum of finitely many terms, given by their logarithms.

    Args:
        log_terms: logarithms; -inf for a term that is zero.
        largest: size of the largest summand within the logarithms, which sets their rounding.
    """
    kept = log_terms[log_terms > -np.inf]
    if kept.size == 0:
        return NOTHING
    value = float(scipy.special.logsumexp(kept))
    slack = _EPS * (8 * (1 + largest) + 4 * math.log2(kept.size + 1) + abs(value))  # NumPy adds pairwise
    return LogSum(value - slack, value + slack, int(kept.size))


def _first(log_q: Callable[[float], float], level: float, low: int) -> int:
    """The first index from `low` on where log_q is at most `level`; log_q(_FAR) is."""
    if log_q(low) <= level:
        return low
    high = low + 1
    while high < _FAR and log_q(high) > level:
        high = min(2 * high, _FAR)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if log_q(middle) > level else (low, middle)
    return high


def _around_the_largest(
    family: Family, weight: Weight, log_R: float, log_q: Callable[[float], float], start: int, turn: int
) -> LogSum:
    """Too many terms to add: not less than the largest, not more than all that count times the largest.

    The logarithm of such a sum is 1e5 and more, so this still gives four digits of it.
    """
    peak = _first(log_q, 0.0, max(start, family.settled))
    peak += (family.settled - peak) % family.stride
    i = np.array([peak])
    pieces = [float(family.log_abs(i)[0]), float(weight.log(i)[0]), peak * log_R]
    value, slack = sum(pieces), 16 * _EPS * (1 + max(map(abs, pieces)))
    q = log_q(turn)
    # `log_ratio` of tanh and its kin is a limit, above the ratios of the first terms by less than 2 in all
    count = turn - start + 2 + math.exp(q) / -math.expm1(q)
    return LogSum(value - slack, value + math.log(2 * count) + slack, 1)
