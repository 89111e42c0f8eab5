"""What does MAML do on made regression tasks, exactly, between its bounds, and when it is run?"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
import numpy as np
from jaxtyping import Float, Int

from ntkseq import _checks, bounds, risks
from ntkseq._types import Key
from ntkseq.bounds.maml_forms import Sides, effective
from ntkseq.risks import MixedRegression, Risk
from ntkseq.spectra import Interval
from ntkseq.studies.exponents import exponent
from ntkseq.studies.maml_regression.options import BATCHES, RegressionOptions


@dataclasses.dataclass(frozen=True, eq=False)
class Course:
    """A problem at all horizons 1 .. T, and simulated at some.

    Attributes:
        rate, growth: which problem.
        exact: the exact risk.
        derived, paper: the two forms of the bounds, at all horizons.
        horizons: where runs were looked at, (h,).
        batches: means over the runs of each batch, (b, h).
        error: standard error of the mean over all runs, (h,).
    """

    problem: MixedRegression
    rate: float
    growth: float
    exact: Risk
    derived: Sides
    paper: Sides
    horizons: Int[np.ndarray, " h"]
    batches: Float[np.ndarray, "b h"]
    error: Float[np.ndarray, " h"]

    @property
    def mean(self) -> Float[np.ndarray, " h"]:
        """Over all runs."""
        return self.batches.mean(axis=0)

    @property
    def away(self) -> Float[np.ndarray, " h"]:
        """Standard errors from the simulated mean to the exact risk."""
        return np.abs(self.mean - self.exact.total[self.horizons - 1]) / self.error

    @property
    def outside(self) -> int:
        """Horizons at which the exact risk is not between the derived bounds, where they hold."""
        return outside(self.exact.total, self.derived)

    def weights(self) -> tuple[Float[np.ndarray, " d"], int]:
        """Effective meta weights Xi at the last horizon and k*, how many coordinates have alpha T mu >= 1."""
        T, one = len(self.exact.total), self.problem
        return effective(one, T), int(np.sum(one.alpha * T * one.mu_tr >= 1))

    def stopping(self, eps: float) -> tuple[int | None, int | None, int | None]:
        """The first horizon with a risk below eps: no earlier than, exactly, no later than; None if beyond T."""
        early, late = _first(lower(self.derived) < eps), _first(upper(self.derived) < eps)
        return early, _first(self.exact.total < eps), late


@dataclasses.dataclass(frozen=True, eq=False)
class Sweep:
    """A problem at one horizon over inner rates of training: risk, derived and paper's bounds, (k,) each."""

    rates: Float[np.ndarray, " k"]
    bias: Float[np.ndarray, " k"]
    variance: Float[np.ndarray, " k"]
    derived: Sides
    paper: Sides

    @property
    def total(self) -> Float[np.ndarray, " k"]:
        """The excess risk."""
        return self.bias + self.variance


def course(study: RegressionOptions, kind: str, rate: float, growth: float, *, key: Key) -> Course:
    """Everything about one problem.

    Raises:
        ValueError: a step size that is not stable.
    """
    problem = stable(study, study.problem(kind, rate, growth), kind)
    all_horizons, at = np.arange(1, study.steps + 1), study.horizons
    share = _checks.positive_int("runs / 8", study.runs // BATCHES)
    found = [risks.simulate(problem, study.steps, share, key=k, horizons=at) for k in jax.random.split(key, BATCHES)]
    return Course(
        problem,
        rate,
        growth,
        risks.risk(problem, study.steps),
        bounds.maml_sides(problem, all_horizons),
        bounds.maml_sides(problem, all_horizons, form="paper"),
        at,
        np.stack([one.mean for one in found]),
        np.sqrt(np.sum([one.error**2 for one in found], axis=0)) / BATCHES,
    )


def sweep(study: RegressionOptions, kind: str, rates: Sequence[float]) -> Sweep:
    """The least diverse tasks at the last horizon, over inner rates."""
    first, T = study.problem(kind, study.rate, study.growths[0]), np.asarray(study.steps)
    problems = [stable(study, first.with_(beta_tr=float(rate)), kind) for rate in rates]  # each keeps its moments
    curves = [risks.risk(problem, study.steps) for problem in problems]
    bias, variance = ([float(getattr(risk, part)[-1]) for risk in curves] for part in ("bias", "variance"))
    derived, paper = (
        _stacked([bounds.maml_sides(problem, T, form=form) for problem in problems]) for form in ("derived", "paper")
    )
    return Sweep(np.asarray(rates, float), np.array(bias), np.array(variance), derived, paper)


def _stacked(found: Sequence[Sides]) -> Sides:
    names = [field.name for field in dataclasses.fields(Sides) if field.name != "constants"]
    return Sides(**{name: np.stack([getattr(one, name) for one in found]) for name in names}, constants=None)


def slopes(study: RegressionOptions, one: Course) -> tuple[Interval, Interval]:
    """Slope of log risk over log T at the horizons in the window: of the exact risk, with the least and the largest
    slope between neighbours in it; of the simulated one, with Student's interval over batches."""
    first, last = study.window
    T = np.arange(first, last + 1)
    log_T, log_R = np.log(T), np.log(one.exact.total[first - 1 : last])
    local = np.diff(log_R) / np.diff(log_T)
    inside = one.horizons >= first
    at = one.horizons[inside]
    fitted = exponent(at.tolist(), one.exact.total[None, at - 1]).estimate
    exact = Interval(float(local.min()), fitted, float(local.max()))
    return exact, exponent(at.tolist(), one.batches[:, inside])


def stable(study: RegressionOptions, problem: MixedRegression, kind: str) -> MixedRegression:
    """The problem, if its step size is stable in mean square.

    Raises:
        ValueError: it is not.
    """
    if not problem.alpha < problem.alpha_max:
        limit = problem.alpha_max * float(problem.spectrum.sum())
        raise ValueError(
            f"step must be below {limit:.3g} for the spectrum {kind!r} at the rate {problem.beta_tr:g}, or the risk "
            f"grows without bound; got {study.step:g}. Lower --step, or leave this rate out."
        )
    return problem


def upper(sides: Sides) -> np.ndarray:
    """The bound from above; NaN where a condition fails."""
    return sides.upper_bias + sides.upper_variance


def lower(sides: Sides) -> np.ndarray:
    """The bound from below; NaN where a condition fails."""
    return sides.lower_bias + sides.lower_variance


def outside(risk: np.ndarray, sides: Sides) -> int:
    """How many risks are not between their bounds; a bound that is NaN says nothing."""
    return int(np.sum((risk > upper(sides)) | (risk < lower(sides))))


def _first(below: np.ndarray) -> int | None:
    at = np.flatnonzero(below)
    return int(at[0]) + 1 if at.size else None
