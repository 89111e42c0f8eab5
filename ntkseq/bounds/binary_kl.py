"""How far may a probability lie above a mean that was seen, by the relative entropy of two coins? Rounded upwards."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

EPS = float(np.finfo(np.float64).eps)
HALVINGS = 64  # of [q, 1], down to the spacing of float64


def kl_inverse(q: float, budget: float) -> float:
    """The largest p in [q, 1] with kl(q||p) <= budget, rounded upwards.

    Args:
        q: a mean in [0, 1], itself an upper estimate: the inverse grows with it.
        budget: at least 0; infinity gives 1.

    Returns:
        p: at least the exact inverse, above it by no more than the spacing of float64 and the rounding of kl.

    Reference: (pac_bayes.3).

    Example:
        >>> round(kl_inverse(0.0, 0.1), 6) == round(1 - math.exp(-0.1), 6)
        True
    """
    if not 0.0 <= q <= 1.0 or math.isnan(budget) or budget < 0.0:
        raise ValueError(f"q must be in [0, 1] and budget at least 0; got {q!r} and {budget!r}.")
    if q == 1.0 or budget == math.inf:
        return 1.0
    low, high = q, 1.0  # the inverse is at most high, always
    for _ in range(HALVINGS):
        p = 0.5 * (low + high)
        if not low < p < high:
            break
        first = q * math.log(q / p) if q > 0.0 else 0.0
        second = (1.0 - q) * math.log((1.0 - q) / (1.0 - p))
        off = 8 * EPS * (abs(first) + abs(second) + 1.0)  # of quotients, logarithms and products, each rounded
        if first + second - off >= budget:
            high = p
        else:
            low = p
    return high


def log_xi(n: int) -> float:
    """log of xi(n) = sum_k C(n, k) (k/n)^k (1 - k/n)^(n - k), rounded upwards: Maurer's constant, below 2 sqrt(n).

    By Abel's identity it is sum_j n (n - 1) .. (n - j + 1)/n^j, j = 0..n, whose terms are positive and fall.

    Reference: maurer2004, Theorem 1; (pac_bayes.2).

    Example:
        >>> round(math.exp(log_xi(2)), 12)
        2.5
    """
    j = np.arange(min(n, 40 * math.isqrt(n) + 40), dtype=np.float64)
    falling: Float[np.ndarray, " j"] = np.cumprod(1.0 - j / n)
    left = max(0, n - len(j)) * float(falling[-1])  # terms that were left out, each at most the last
    return math.log1p(math.fsum(falling.tolist()) + left) + 4 * EPS * len(j)
