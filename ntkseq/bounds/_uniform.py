"""What do the bounds share that hold for every function of a kernel's space at once, at a norm seen afterwards?"""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction

import numpy as np
import scipy.linalg

from ntkseq.bounds._system import System
from ntkseq.bounds.base import STATUS, Assumption
from ntkseq.predictors.ridge import factorise


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


def within(upper: float, spread: float, limit: float) -> str:
    """Whether a number in [upper (1 - spread), upper], >= 0, is at most a limit: "holds", "unresolved" or "fails"."""
    if upper <= limit:
        return "holds"
    return "fails" if upper * (1 - 2 * spread) > limit else "unresolved"


def worst(statuses: Iterable[str]) -> str:
    """The worst of some statuses; "holds" for none."""
    return max(statuses, key=STATUS.index, default="holds")


def beforehand(chosen: str, tried: int) -> Assumption:
    """The assumption that nothing was chosen by these data, inputs or labels, or is counted."""
    listed = "one setting fixed" if tried == 1 else f"{tried} settings, which the bound counts, fixed"
    what = f"{chosen} were chosen without these data: {listed} beforehand"
    return Assumption(
        "fixed beforehand", what, "declared", "the least of several bounds needs a delta divided among them"
    )
