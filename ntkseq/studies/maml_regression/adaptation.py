"""What does a new task lose after one step of adaptation, by theory and when tasks are drawn?"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from ntkseq import _statistics, risks
from ntkseq.risks import MixedRegression
from ntkseq.studies.maml_regression.options import RegressionOptions

CHUNK = 200  # tasks drawn at once


@dataclasses.dataclass(frozen=True, eq=False)
class Adaptation:
    """Losses after adapting at test time, over its rate.

    Attributes:
        growth: which diversity of tasks.
        rates: (k,); `least`: the loss at theta*, (k,); `trained`: with the excess risk after a few, (k,).
        best: the rate of least loss at theta*.
        drawn: rates at which tasks were drawn, (s,); `mean`, `error`: their loss at theta*, (s,).
    """

    growth: float
    rates: Float[np.ndarray, " k"]
    least: Float[np.ndarray, " k"]
    trained: Float[np.ndarray, " k"]
    best: float
    drawn: Float[np.ndarray, " s"]
    mean: Float[np.ndarray, " s"]
    error: Float[np.ndarray, " s"]

    @property
    def unadapted(self) -> float:
        """The loss at theta* at the rate 0."""
        return float(np.interp(0.0, self.rates, self.least))

    @property
    def away(self) -> Float[np.ndarray, " s"]:
        """Standard errors from what was drawn to the formula."""
        return np.abs(self.mean - np.interp(self.drawn, self.rates, self.least)) / self.error


def adaptation(
    study: RegressionOptions, kind: str, growth: float, rates: Sequence[float], drawn: Sequence[float]
) -> Adaptation:
    """Losses after adaptation by theory, and of drawn tasks."""
    problem = study.problem(kind, study.rate, growth)
    least = np.array([problem.with_(beta_te=rate).irreducible for rate in rates])
    three = [-1.0, 0.0, 1.0]  # a risk is quadratic in beta_te, as mu_te is
    known = risks.grid(problem, [study.early], {"beta_te": three}).total[:, 0]
    excess = np.polyval(np.polyfit(three, known, 2), rates)
    tasks = max(CHUNK, study.runs * 5)
    losses = [drawn_losses(problem.with_(beta_te=rate), tasks, seed=study.seed) for rate in drawn]
    mean, error = (np.array(column) for column in zip(*losses, strict=True))
    numbers = np.asarray(rates, float), least, least + excess
    return Adaptation(growth, *numbers, problem.best_rate, np.asarray(drawn, float), mean, error)


def drawn_losses(problem: MixedRegression, tasks: int, *, seed: int) -> tuple[float, float]:
    """Mean loss after adapting theta* to drawn tasks, with its standard error. (maml.1) by itself, no formula of it."""
    rng, found, root = np.random.default_rng(seed), [], np.sqrt(problem.spectrum)
    for first in range(0, tasks, CHUNK):
        k = min(CHUNK, tasks - first)
        x = rng.standard_normal((k, problem.m, problem.d)) * root
        theta = problem.spread * rng.standard_normal((k, problem.d))  # theta* = 0
        y = np.einsum("kmd,kd->km", x, theta) + problem.noise * rng.standard_normal((k, problem.m))
        adapted = problem.beta_te / problem.m * np.einsum("kmd,km->kd", x, y)
        found.append(0.5 * (np.sum(problem.spectrum * (adapted - theta) ** 2, axis=1) + problem.noise**2))
    losses = np.concatenate(found)
    return float(losses.mean()), _statistics.standard_error(losses)
