"""How large is a weighted sum of the absolute coefficients of a series, with an end that is proved to be small?

    sum_{i >= start} w_i |c_i| R^i

Terms are added in log space until the rest, a geometric series by `Family.log_ratio`, is below the rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
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
    pieces, end = (np.empty(0), np.empty(0), np.empty(0)), start
    while True:
        new = np.arange(end, max(turn + 2, end + 64, 2 * end - start))
        log_c = family.log_abs(new)
        support = log_c > -np.inf
        added = log_c[support], weight.log(new)[support], new[support] * log_R
        pieces = tuple(np.concatenate(both) for both in zip(pieces, added, strict=True))
        end, last = int(new[-1]) + 1, float(new[support][-1])
        found, q = finite_log_sum(*pieces), log_q(last)
        # the rest: last term * q / (1 - q)
        rest = finite_log_sum(*(piece[-1:] for piece in pieces)).upper + q - math.log(-math.expm1(q)) + 8 * _EPS
        if rest - found.lower < math.log(_EPS) or len(pieces[0]) > MOST_TERMS:
            return LogSum(found.lower, float(np.logaddexp(found.upper, rest)) + 4 * _EPS, found.terms)


def finite_log_sum(*pieces: Float[np.ndarray, " k"]) -> LogSum:
    """The sum of finitely many terms. The pieces of its logarithm add up to that of a term; -inf is a term of zero."""
    log_terms = np.sum(pieces, axis=0)
    kept = log_terms > -np.inf
    if not kept.any():
        return NOTHING
    # each logarithm is off by some roundings of its pieces; then those of the sum, in which NumPy adds pairwise
    off = 8 * _EPS * (1 + np.sum(np.abs(pieces), axis=0)[kept])
    low, high = (_log_sum_exp(log_terms[kept] + sign * off) for sign in (-1, 1))
    slack = _EPS * (8 + math.log2(kept.size) + max(abs(low), abs(high)))
    return LogSum(low - slack, high + slack, int(kept.sum()))


def _log_sum_exp(log_terms: Float[np.ndarray, " k"]) -> float:
    top = float(log_terms.max())
    return top + math.log(float(np.sum(np.exp(log_terms - top))))


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
    pieces = float(family.log_abs(i)[0]), float(weight.log(i)[0]), peak * log_R
    value, slack = sum(pieces), 16 * _EPS * (1 + max(map(abs, pieces)))
    q = log_q(turn)
    # `log_ratio` of tanh and its kin is a limit, above the ratios of the first terms by less than 2 in all
    count = turn - start + 2 + math.exp(q) / -math.expm1(q)
    return LogSum(value - slack, value + math.log(2 * count) + slack, 1)
