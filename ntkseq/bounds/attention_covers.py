"""How rich are attention heads with bounded norms, ranks or Schatten norms? Their Rademacher complexity from covers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Sizes:
    """Of a class of heads: d features, k coordinates before the read-out, n examples."""

    d: int
    k: int
    n: int


def psi(c: float | np.ndarray) -> np.ndarray:
    """int_0^1 log(1 + c/u) du = log(1 + c) + c log(1 + 1/c), and 0 at c = 0. (attention.6)"""
    c = np.asarray(c, np.float64)
    safe = np.where(c > 0, c, 1.0)
    return np.where(c > 0, np.log1p(safe) + safe * np.log1p(1 / safe), 0.0)


@dataclass(frozen=True)
class NormCover:
    """log N(eps) <= Gamma/eps^2 + Lam for heads with bounded sums of absolute weights. (attention.4)"""

    Gamma: float
    Lam: float
    b_f: float
    n: int

    @property
    def complexity(self) -> float:
        """(attention.5), the least of it and of b_f."""
        if self.Gamma == 0 or self.b_f == 0:
            return 0.0  # then w or V is zero
        a = min(self.b_f, 3 * math.sqrt(self.Gamma / self.n))
        inner = math.sqrt(self.Gamma) * math.log(self.b_f / a) + math.sqrt(self.Lam) * (self.b_f - a)
        return min(self.b_f, 4 * a + 12 / math.sqrt(self.n) * inner)


def norm_cover(
    sizes: Sizes, L: float, Bx: float, *, w_1: float, w_2: float, V_11: float, V_op: float, W_11: float
) -> NormCover:
    """The cover of heads whose norms do not exceed these."""
    d, k = sizes.d, sizes.k
    parts = (
        (w_1, math.log(2 * k + 1), L * V_11 * Bx),  # the cover of V may leave the operator norm, not the sum of entries
        (V_11, math.log(2 * d * k + 1), w_2 * L * Bx),
        (W_11, math.log(2 * d * d + 1), w_2 * L * V_op * Bx**3),
    )
    Gamma = sum((size * math.sqrt(log) * slope) ** (2 / 3) for size, log, slope in parts) ** 3
    return NormCover(Gamma, sum(log for _, log, _ in parts), w_2 * L * V_op * Bx, sizes.n)


def rank_complexity(
    sizes: Sizes, b_f: float, kappa: float, rank_V: float | np.ndarray, rank_W: float | np.ndarray
) -> np.ndarray:
    """Of heads with V, W of these ranks: the least of b_f and (attention.6). Broadcasts over ranks."""
    d, k = sizes.d, sizes.k
    entropy = k * psi(6.0) + rank_V * (d + k) * psi(12.0) + 2 * d * rank_W * psi(12 * kappa)
    return np.asarray(np.minimum(b_f, 12 * b_f * np.sqrt(entropy / sizes.n)))


SCALES = np.geomspace(1.0, 1e-7, 1400)
"""Relative to b_f: where the Schatten cover is looked at. Steps of 1.2 percent: its sum is that much too large."""


def schatten_entropies(
    sizes: Sizes, which: str, slope: float, op: float, norm: float, p: float, b_f: float
) -> np.ndarray:
    """log N of V or W, ||.||_Sp <= norm, ||.||_op <= op, at eps = b_f SCALES/3 in f and slope in f per unit of it.

    The rank that is needed, ceil((2 norm/eta)^p) - 1, at most the rank that there is. (attention.8)
    """
    rows, columns = (sizes.d, sizes.k) if which == "V" else (sizes.d, sizes.d)
    if slope == 0 or op == 0:
        return np.zeros_like(SCALES)
    eta = b_f * SCALES / (3 * slope)
    with np.errstate(over="ignore"):
        needed = np.ceil((2 * norm / eta) ** p) - 1
    rank = np.clip(needed, 0, min(rows, columns))
    return rank * (rows + columns) * np.log1p(8 * op / eta)


def readout_entropy(sizes: Sizes) -> np.ndarray:
    """log N of the read-out w, a ball in k dimensions, at eps = b_f SCALES/3."""
    return sizes.k * np.log1p(6 / SCALES)


def chained(entropy: np.ndarray, b_f: float, n: int) -> float:
    """min over a of 4 a + 12/sqrt(n) int_a^b_f sqrt(log N), from above: log N falls in eps, so its left ends count."""
    eps = b_f * SCALES
    pieces = np.sqrt(entropy[1:]) * (eps[:-1] - eps[1:])  # at the lower end of each step, where it is largest
    integral = np.concatenate([[0.0], np.cumsum(pieces)])
    return float(min(b_f, np.min(4 * eps + 12 / math.sqrt(n) * integral)))


def rounded_up(norm: float, grid: float) -> tuple[float, float]:
    """The least grid^j >= norm for an integer j, and -log of its weight (2/3)/((|j|+1)(|j|+2)). (attention.3)

    The weights of all j add up to 1. A norm of zero counts as 2^-30.
    """
    j = math.ceil(math.log(max(norm, 2.0**-30)) / math.log(grid) - 1e-12)
    while grid**j < norm:  # the logarithm rounds
        j += 1
    return grid**j, math.log(1.5 * (abs(j) + 1) * (abs(j) + 2))
