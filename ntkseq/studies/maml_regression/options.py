"""What can be asked of the study of MAML on regression tasks, and the problems that it poses."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Float, Int

from ntkseq import _checks
from ntkseq.data import eigenvalues
from ntkseq.risks import MixedRegression
from ntkseq.studies.base import NamedStudy

KINDS = {
    "log": "i^-1 log(i + 1)^-2",
    "levels": "two large variances, the rest as much in all",
    "power": "i^-2",
    "exponential": "exp(-i/10)",
}
"""Spectra of the inputs, each divided by its largest eigenvalue."""

BATCHES = 8  # of the simulated runs: their slopes tell the error of a slope
POINTS = 12  # horizons at which runs are looked at


@dataclasses.dataclass(frozen=True)
class RegressionOptions(NamedStudy):
    """Options of the study of MAML on regression tasks, and the problems that they pose."""

    quick_values: ClassVar[Mapping[str, Any]] = {"d": 100, "steps": 600, "runs": 160}

    quick: bool = False
    """100 coordinates, 600 steps, 160 runs: under three minutes on two cores."""
    spectra: tuple[Literal["log", "levels", "power", "exponential"], ...] = ("log", "levels")
    """Eigenvalues of the inputs' covariance: i^-1 log(i+1)^-2; two large ones and as much in all the others; i^-2;
    exp(-i/10)."""
    d: int = 500
    """Coordinates."""
    steps: int = 1000
    """Steps T of SGD, a fresh task in each."""
    runs: int = 400
    """Simulated runs of each problem, rounded down to a multiple of 8."""
    rates: tuple[float, ...] = (-0.6, -0.2, 0.1, 0.5, 0.9)
    """Inner rates beta_tr lambda_1 of training, to be simulated."""
    rate: float = 0.1
    """The one of them at which tasks of different diversity are compared."""
    rate_te: float = 0.2
    """Rate beta_te lambda_1 of adaptation at test time, where it is not varied."""
    growths: tuple[float, ...] = (0.0, 4.0)
    """Powers r: a task's variances grow as log(i+1)^r. The first and lowest is used everywhere else."""
    n1: int = 20
    """Support examples of a training task."""
    n2: int = 5
    """Query examples of a training task."""
    m: int = 20
    """Examples to adapt to at test time."""
    noise: float = 1.0
    """Standard deviation of the noise on labels."""
    spread: float = 0.3
    """Standard deviation of a task's first coordinate."""
    start: float = 0.3
    """w_0 - theta* has start/i in coordinate i."""
    step: float = 0.05
    """Step size of SGD times tr Sigma."""
    eps: float = 0.2
    """The risk to be reached, in units of that at the start."""
    seed: int = 0
    """Seed of the simulated runs."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for growth in self.growths:
            _checks.nonnegative("growths", growth)
        for name in ("noise", "spread"):
            _checks.nonnegative(name, getattr(self, name))
        for name in ("start", "step"):
            _checks.nonnegative(name, getattr(self, name), positive=True)
        _checks.probability("eps", self.eps)
        if self.rate not in self.rates:
            raise ValueError(f"rate must be one of rates, {self.rates}; got {self.rate}. Add it to --rates.")
        if list(self.growths) != sorted(self.growths):
            raise ValueError(f"growths must ascend, the first is used everywhere else; got {self.growths}.")
        if self.runs < 2 * BATCHES:
            raise ValueError(f"runs must be {2 * BATCHES} or more, in {BATCHES} batches; got {self.runs}.")
        if self.steps < 20:
            raise ValueError(f"steps must be 20 or more, for a slope over the last decade; got {self.steps}.")
        if self.d < 3:
            raise ValueError(f"d must be 3 or more; got {self.d}.")

    def problem(self, kind: str, rate: float, growth: float) -> MixedRegression:
        """One problem; lam_1 = 1, so that rates are in units of 1/lam_1.

        start_i = start/i,    spread_i = spread (log(i + 1)/log 2)^(growth/2),    alpha = step / tr Sigma
        """
        lam = _spectrum(kind, self.d)
        shape = eigenvalues.spread(lam, diversity=1.0, logs=growth)
        start = self.start / np.arange(1, len(lam) + 1)
        return MixedRegression(
            lam, start, self.spread * shape / shape[0], self.noise, n1=self.n1, n2=self.n2, m=self.m,
            beta_tr=rate, beta_te=self.rate_te, alpha=self.step / float(lam.sum()),
        )  # fmt: skip

    @property
    def horizons(self) -> Int[np.ndarray, " h"]:
        """Where runs are looked at."""
        return np.unique(np.geomspace(min(2, self.steps), self.steps, POINTS).round().astype(int))

    @property
    def early(self) -> int:
        """A short training, after which the start still matters at test time."""
        return max(1, self.steps // 20)

    @property
    def window(self) -> tuple[int, int]:
        """First and last horizon of the fitted slopes: the last decade."""
        return max(1, self.steps // 10), self.steps


def _spectrum(kind: str, d: int) -> Float[np.ndarray, " d"]:
    made = {
        "log": lambda: eigenvalues.power_law(d, decay=1.0, logs=2.0),
        "levels": lambda: eigenvalues.two_levels(d, 2),
        "power": lambda: eigenvalues.power_law(d, decay=2.0),
        "exponential": lambda: eigenvalues.exponential(d, rate=0.1),
    }[kind]()
    return made / made[0]
