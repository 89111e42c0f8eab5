"""How large can a probability be of which k of m independent trials came true? The binomial tail, inverted outwards."""

from __future__ import annotations

import math

import numpy as np
import scipy  # its parts load when they are first used

from ntkseq.bounds.system import EPS


def log_tail(k: int, m: int, p: float) -> float:
    """Upper estimate of log P(Binomial(m, p) <= k), for 0 <= k < m and 0 < p < 1."""
    j = np.arange(k + 1.0)
    logs = (scipy.special.gammaln(m + 1.0), scipy.special.gammaln(j + 1.0), scipy.special.gammaln(m - j + 1.0))
    hit, miss = math.log(p), math.log1p(-p)
    each = logs[0] - logs[1] - logs[2] + j * hit + (m - j) * miss
    top = float(each.max())
    total = top + math.log(float(np.exp(each - top).sum()))
    # each of the logarithms is off by a few eps of itself, their sum by a few eps of what it adds, of k terms
    size = 3.0 * float(logs[0]) + m * (abs(hit) + abs(miss)) + k + 1.0
    return min(0.0, total + 16.0 * EPS * size)


def binomial_upper(k: int, m: int, log_delta: float) -> float:
    """The largest p with P(Binomial(m, p) <= k) >= exp(log_delta), rounded up; 1 where k = m or m = 0.

    For k errors of m independent trials the true p is above it with probability at most exp(log_delta).
    """
    if k >= m or log_delta == -math.inf:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(80):
        middle = 0.5 * (low + high)
        if not low < middle < high:
            break
        if log_tail(k, m, middle) <= log_delta:
            high = middle
        else:
            low = middle
    return high


def log_choose(n: int, d: int) -> float:
    """log C(n, d) of the exact integer, rounded up by a few eps."""
    return math.log(math.comb(n, d)) * (1.0 + 4.0 * EPS)
