"""What do the bounds share that hold for every function of a kernel's space at once, at a norm seen afterwards?"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.linalg

from ntkseq.bounds._system import System
from ntkseq.bounds.base import Assumption
from ntkseq.predictors.ridge import factorise


@dataclass(frozen=True)
class Loss:
    """A loss in [0, 1]: of what it is the mean, how that is printed, its values and its Lipschitz constant."""

    quantity: str
    formula: str
    value: Callable[[np.ndarray, np.ndarray], np.ndarray]  # of prediction and label, in [0, 1]
    lipschitz: float


def confidence(i: float, tried: int, delta: float, n: int, *, ceiling: bool) -> float:
    """The last term of (bounds.3), or of (bounds.4) where a ceiling of K(x, x) is known, at the norm i B0."""
    union = i * (i + 1) * tried / delta
    if ceiling:
        return math.sqrt(math.log(union) / (2 * n))
    return 3 * math.sqrt(math.log(2 * union) / (2 * n))


def ridge_dual(known: System, labels: np.ndarray, reg: float) -> np.ndarray | str:
    """The coefficients of kernel ridge regression, or the reason why there are none."""
    if reg == 0.0 and not known.resolved:
        return known.singular
    try:
        return scipy.linalg.cho_solve(factorise(known.matrix, reg), labels)
    except ValueError as error:
        return str(error).rstrip(".")


def beforehand(chosen: str, tried: int) -> Assumption:
    """The assumption that nothing was chosen by these labels, or is counted."""
    what = "without these labels" if tried == 1 else f"among {tried} settings, which the bound counts"
    return Assumption("fixed beforehand", f"{chosen} were chosen {what}", "declared")
