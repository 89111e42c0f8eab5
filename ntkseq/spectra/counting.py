"""How many values reach a share of the energy, or exceed a share of the largest? Decided without rounding.

A comparison of float64 sums cannot tell a share of 1 from one of 1 - 1e-16: the square of a value below 1e-8 of the
largest does not change the sum. Here sums and products are those of integers.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import accumulate

import numpy as np
from jaxtyping import Float


def reach(leading: Float[np.ndarray, " n"], trailing: Float[np.ndarray, " n"], quantile: float) -> int:
    """The least k with sum_{i<=k} leading_i^2 >= quantile (sum_{i<=k} leading_i^2 + sum_{i>k} trailing_i^2).

    With both the values of one spectrum it is its energy rank. At k = n the share is 1; at quantile = 1 it is the least
    k behind which all of `trailing` are zero.

    Args:
        leading, trailing: finite values >= 0.
        quantile: in (0, 1].
    """
    n = len(leading)
    whole = _integers(np.concatenate([leading, trailing]))
    first = list(accumulate(value * value for value in whole[:n]))
    behind = [0, *accumulate(value * value for value in whole[:n:-1])][::-1]  # of trailing[k:], k = 1..n
    share = Fraction(quantile)
    for k, (a, b) in enumerate(zip(first, behind, strict=True), 1):
        if a * share.denominator >= share.numerator * (a + b):
            return k
    raise AssertionError("at k = n the share is 1")


def above(s: Float[np.ndarray, " n"], tol: float, largest: float) -> int:
    """The number of values of s that are > tol largest; all >= 0."""
    with np.errstate(over="ignore", under="ignore"):
        level = float(np.multiply(tol, largest))
    if not np.isfinite(level):
        return 0
    # rounding is monotone: only a value that equals the rounded product can be on its other side
    lifted = Fraction(level) > Fraction(tol) * Fraction(largest)
    return int(np.sum(s >= level if lifted else s > level))


def _integers(values: np.ndarray) -> list[int]:
    """The values times one power of two that makes all of them whole."""
    mantissa, exponent = np.frexp(values)
    whole = np.ldexp(mantissa, 53).astype(np.int64)
    shift = exponent - min(exponent[whole != 0].tolist(), default=0)
    return [int(w) << int(s) if w else 0 for w, s in zip(whole, shift, strict=True)]
