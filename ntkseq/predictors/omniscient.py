"""What m examples drawn from n would learn, by eigenvalues and labels alone: the equivalent ridge and its risk."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import scipy  # its parts load when they are first used
from jaxtyping import Float

from ntkseq.predictors.left_out import Problem

TOLERANCE = 1e-13  # of log kappa


@dataclasses.dataclass(frozen=True)
class Equivalent:
    """The average over all m of n examples, as one ridge on all n (risk.6).

    Attributes:
        m: examples drawn.
        kappa: the ridge, in units of the scaled problem; `low`, `high`: what it is for the exact K at least, at most.
        inflation: the mean square of a residual over that of the mean predictor, >= 1 (risk.7).
        inflation_error: how far rounding of K may have moved it.
    """

    m: int
    kappa: float
    low: float
    high: float
    inflation: float
    inflation_error: float

    @property
    def moved(self) -> float:
        """How far rounding may have moved kappa."""
        return max(self.high - self.kappa, self.kappa - self.low)

    def omniscient(self, known: Problem) -> float:
        """The squared risk from eigenvalues and coefficients of y alone, one leverage for all examples (risk.8)."""
        shifted = known.values + self.kappa
        squares = np.mean(np.square(known.turned), axis=1)
        mean = known.n * float(np.sum(squares / shifted**2)) / float(np.sum(1.0 / shifted)) ** 2
        return mean * self.inflation

    def omniscient_rounding(self, known: Problem) -> float:
        """How far rounding of K may have moved `omniscient`."""
        moved = known.rounding + self.moved
        if not self.low > moved:
            return math.inf
        share = moved / self.low
        factor = ((1.0 + share) / (1.0 - share)) ** 2 * (1.0 + self.inflation_error / self.inflation)
        return self.omniscient(known) * (factor - 1.0)


def equivalent(known: Problem, m: int) -> Equivalent:
    """Solve sum_i (l_i + reg) / (l_i + kappa) = m for kappa >= reg, for the eigenvalues and for both their ends.

    The left side falls in kappa and grows in every l_i while kappa >= reg, so that the ends are ends.
    """
    n, reg, values, low, high = known.n, known.reg, known.values, known.lowest, known.highest
    kappa, least, most = (solve(one, reg, m) for one in (values, low, high))

    def ratio(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> float:
        return m * float(np.sum(1.0 / a)) / (n * float(np.sum(b / np.square(c))))

    inflation = ratio(values + kappa, values + reg, values + kappa)
    if known.rounding == 0.0:
        error = 0.0
    elif least > 0:
        error = max(
            ratio(low + least, low + reg, high + most) - inflation,
            inflation - ratio(high + most, high + reg, low + least),
        )
    else:
        error = math.inf
    error += 8.0 * n * float(np.finfo(np.float64).eps) * inflation
    return Equivalent(m, kappa, least, most, max(inflation, 1.0), max(error, 0.0))


def solve(values: Float[np.ndarray, " n"], reg: float, m: int) -> float:
    """kappa >= reg with sum_i (l_i + reg) / (l_i + kappa) = m; reg itself where even that gives m at most."""
    n = len(values)
    if m >= n or np.sum(values + reg > 0) <= m:
        return reg
    share = m / n
    most = (reg + (1.0 - share) * float(values.max())) / share
    least = reg
    if values.min() + reg > 0:
        least = reg + (n - m) / float(np.sum(1.0 / (values + reg)))
    least = max(least * (1.0 - 1e-9), float(np.finfo(np.float64).tiny), 1e-18 * most)

    def excess(u: float) -> float:
        return float(np.sum((values + reg) / (values + math.exp(u)))) - m

    ends = math.log(least), math.log(most * (1.0 + 1e-9))
    if excess(ends[0]) <= 0:
        return reg
    root: Any = scipy.optimize.brentq(excess, *ends, xtol=TOLERANCE)
    return math.exp(root)
