"""What do the bounds share that hold for every function of a kernel's space at once, at a norm seen afterwards?"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import scipy.linalg

from ntkseq.bounds.system import System
from ntkseq.predictors.kernel_ridge import factorise


def confidence(i: float, tried: int, delta: float, n: int, *, ceiling: bool) -> float:
    """The last term of (bounds.3), or of (bounds.4) where a ceiling of K(x, x) is known, at the norm i B0."""
    if not math.isfinite(i):
        return i
    union = math.log(i * (i + 1) * tried) - math.log(delta)  # 1/delta may leave the range
    if ceiling:
        return math.sqrt(union / (2 * n))
    return 3 * math.sqrt((math.log(2) + union) / (2 * n))


MOST = 1e100
"""Steps of the grid of the norm."""


def multiple(norm: float, B0: float) -> float:
    """The least integer i >= 1 with norm <= i B0, in exact arithmetic; nan or inf where the norm is."""
    if not math.isfinite(norm):
        return norm
    if Fraction(norm) / Fraction(B0) > MOST:
        raise ValueError(f"B0 must not be smaller than |f| = {norm:.3g} by more than {MOST:.0e} times; got {B0!r}.")
    return max(1, math.ceil(Fraction(norm) / Fraction(B0)))


def ridge_dual(known: System, labels: np.ndarray, reg: float) -> np.ndarray | str:
    """The coefficients of kernel ridge regression, or the reason why there are none."""
    if reg == 0.0 and not known.resolved:
        return known.singular
    try:
        return scipy.linalg.cho_solve(factorise(known.matrix, reg), labels)
    except ValueError as error:
        return str(error).rstrip(".")
