"""How much do two subspaces have in common when one of them points anywhere? The law of their overlap."""

from __future__ import annotations

import functools
import math

import numpy as np
import scipy  # its parts load when they are first used
from jaxtyping import Float

from ntkseq import _statistics
from ntkseq.spectra.interval import Interval

DRAWS = 10_000
"""Draws by which a quantile is known, at least."""
BEYOND = 20
"""Of them, how many are to lie above it, unless that takes more than `MOST` draws."""
MOST = 1_000_000
AT_ONCE = 1 << 22
"""Numbers that are drawn together."""
SURE = 0.999
"""Level of the interval of such a quantile."""


@functools.lru_cache(maxsize=256)
def quantile(n: int, k: int, r: int, q: float) -> Interval:
    """The quantile q of tr(P_k P_r) / min(k, r), P_k the projection on a uniformly random k-space of R^n, P_r fixed.

    Exact where a dimension is 1: then the law is Beta(max/2, (n - max)/2). Otherwise from draws of a fixed seed, with
    the interval that order statistics give it, of level 0.999.
    """
    small, large = min(k, r), max(k, r)
    if large == n:
        return Interval(1.0, 1.0, 1.0)
    if small == 1:
        return Interval.around(float(scipy.stats.beta.ppf(q, 0.5 * large, 0.5 * (n - large))), 1e-9)
    draws, rng = min(max(DRAWS, math.ceil(BEYOND / (1.0 - q))), MOST), np.random.default_rng(0)
    pieces = np.array_split(np.arange(draws), -(-draws * small // AT_ONCE))
    found = np.concatenate([traces(n, k, r, piece.size, rng) for piece in pieces]) / small
    middle, lower, upper = _statistics.quantile(found, q, SURE)
    return Interval(max(lower, 0.0), middle, min(upper, 1.0))


def traces(n: int, k: int, r: int, draws: int, rng: np.random.Generator) -> Float[np.ndarray, " draws"]:
    """Draws of tr(P_k P_r) for a uniformly random k-space of R^n and a fixed space of dimension r.

    The squared cosines of their principal angles are a Jacobi ensemble, whose trace is that of a bidiagonal matrix of
    independent Beta variables: 2 min(k, r) numbers a draw in place of a k-space.                   (numerics.22)

    Reference: edelman2008jacobi.
    """
    common = max(k + r - n, 0)  # they cannot help but meet in so many dimensions; the rest is as of their complements
    if common:
        k, r = n - k, n - r
    m, a, b = min(k, r), abs(k - r), n - k - r
    if m == 0:
        return np.full(draws, float(common))
    i = np.arange(1, m + 1)
    cosines = rng.beta(0.5 * (a + i), 0.5 * (b + i), (draws, m))  # c_i^2
    inner = rng.beta(0.5 * i[:-1], 0.5 * (a + b + 1 + i[:-1]), (draws, m - 1))  # c'_i^2
    above = np.sum((1.0 - cosines[:, 1:]) * inner, axis=1)
    return common + cosines[:, -1] + np.sum(cosines[:, :-1] * (1.0 - inner), axis=1) + above
