"""What do the bounds share that hold for every function of a kernel's space at once, at a norm seen afterwards?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import scipy.linalg
from jaxtyping import Float

from ntkseq import _checks
from ntkseq.bounds.losses import Loss
from ntkseq.bounds.system import EPS, System
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


def moderate(name: str, value: object) -> float:
    """Check a positive number whose square stays in the range of float64.

    Raises:
        ValueError: not a number in [1e-100, 1e100].
    """
    number = _checks.nonnegative(name, value, positive=True)
    if not 1e-100 <= number <= 1e100:
        raise ValueError(f"{name} must lie in [1e-100, 1e100]; got {number!r}. Give K other units.")
    return number


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


@dataclass(frozen=True)
class Measured:
    """f = sum_j dual_j K(., x_j) on the examples, for whatever coefficients, and what the rounding of K may hide.

    Attributes:
        answers: f(x_i) as computed, (n,).
        norm_squared: |f|^2, raised by its rounding.
        off: how far the answers are off in the mean, at most.
        far: the same of their Euclidean norm.
    """

    answers: Float[np.ndarray, " n"]
    norm_squared: float
    off: float
    far: float

    def mean_loss(self, loss: Loss, y: Float[np.ndarray, " n"]) -> float:
        """Upper estimate of the mean loss of the exact f."""
        return min(1.0, float(np.mean(loss.value(self.answers, y))) + loss.lipschitz * self.off)

    @property
    def mean_square(self) -> float:
        """Upper estimate of the mean of f(x_i)^2 of the exact f."""
        return (float(np.linalg.norm(self.answers)) + self.far) ** 2 / len(self.answers) * (1 + 8 * EPS)


def measured(known: System, dual: Float[np.ndarray, " n"]) -> Measured:
    """The function with these coefficients, measured on the examples."""
    n, size, answers = known.n, float(np.linalg.norm(dual)), known.matrix @ dual
    # exact K = computed K + E, |E| <= rounding; and the float64 sums below are off by n eps of their absolute terms
    terms = np.abs(known.matrix) @ np.abs(dual)
    squared = float(dual @ answers) + known.rounding * size**2 + 2 * n * EPS * float(np.abs(dual) @ terms)
    off = n * EPS * float(np.mean(terms)) + known.rounding * size / math.sqrt(n)
    far = n * EPS * float(np.linalg.norm(terms)) + known.rounding * size
    return Measured(answers, max(squared, 0.0), off, far)
