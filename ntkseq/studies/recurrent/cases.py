"""A target, what is proved of it and what learnt it; and what sheets say of such: networks, curves, notes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import numpy as np
from jaxtyping import Float

from ntkseq._types import ArrayLike
from ntkseq.bounds import Bound
from ntkseq.bounds.known_target import RiskConstants, StepsRiskConstants
from ntkseq.reports.learning import LearningCurve
from ntkseq.studies.recurrent.kernel_regression import Errors, KernelFit, NormFit
from ntkseq.studies.recurrent.sgd import NetworkFit

Fit = TypeVar("Fit", bound=KernelFit)
FitOfNorm = TypeVar("FitOfNorm", bound=NormFit)


@dataclasses.dataclass(frozen=True, eq=False)
class Trained:
    """A network beside the kernel machine that was trained by gradient flow for the time lr steps.

    lr is the step in the limit; a network whose own kernel is larger takes shorter ones, see `papers_sgd`.
    """

    network: NetworkFit
    kernel: Errors


@dataclasses.dataclass(frozen=True, eq=False)
class Case(Generic[Fit]):
    """One target: what is proved before any label, and what kernel regression did.

    Attributes:
        risk: the bound of the error at the largest n, before any label; its constants hold the norm.
        kappa: root of K(x, x).
        label_error: how far rounding may have moved a label.
        fits: kernel regression, one list over n per draw.
        sample: x, y, and what else the theorems take, of the first draw.
    """

    risk: Bound[RiskConstants] | Bound[StepsRiskConstants]
    kappa: float
    label_error: float
    fits: list[list[Fit]]
    sample: tuple[Any, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """The numbers n of examples."""
        return tuple(fit.n for fit in self.fits[0])

    @property
    def every(self) -> list[Fit]:
        """The fits of all draws and sizes."""
        return [fit for fits in self.fits for fit in fits]

    @property
    def norm(self) -> float:
        """The bound of |f|_K^2, in units of 1/K(x, x); inf where none is proven."""
        return self.risk.constants.norm**2 * self.kappa**2

    def risk_at(self, n: int) -> float:
        """The risk bound at n examples: all of it goes with 1/sqrt(n) (recurrent_bounds.10)."""
        value = self.risk.value
        return math.inf if value is None else value * math.sqrt(self.risk.constants.n / n)

    @property
    def mean_errors(self) -> Float[np.ndarray, "draws s"]:
        """Test errors of kernel regression."""
        return np.array([[fit.errors.mean for fit in fits] for fits in self.fits])

    @property
    def risk_broken(self) -> int:
        """Draws and sizes where the certified risk bound lies below the measured error."""
        return sum(self.risk.certified and self.risk_at(fit.n) < fit.errors.mean for fit in self.every)


@dataclasses.dataclass(frozen=True, eq=False)
class NormCase(Case[FitOfNorm]):
    """The same where every fit knows the norm of its interpolant."""

    @property
    def violations(self) -> int:
        """Draws and sizes where y'K^-1 y is above the bound of the norm."""
        most = self.risk.constants.norm**2
        return sum(fit.violates(most, label_error=self.label_error) for fit in self.every)


def spread_curve(label: str, x: ArrayLike, values: Float[np.ndarray, "draws s"], **options: Any) -> LearningCurve:
    """Means over draws, from the least to the largest."""
    return LearningCurve(label, x, values.mean(axis=0), values.min(axis=0), values.max(axis=0), **options)


def bound_curve(label: str, x: ArrayLike, said: Sequence[Bound], **options: Any) -> LearningCurve:
    """Values of bounds as a line, solid if all are certified."""
    values = [math.nan if one.value is None else one.value for one in said]
    return LearningCurve(label, x, values, style="line", certified=all(one.certified for one in said), **options)


def risk_curve(label: str, case: Case[Any], **options: Any) -> LearningCurve:
    """The bound before any label against n."""
    return LearningCurve(label, case.sizes, [case.risk_at(n) for n in case.sizes], style="line",
                 certified=case.risk.certified, **options)  # fmt: skip


def network_curves(trained: Sequence[Trained], widths: Sequence[int], *, end: str = "", marker: int = 0,
                   **options: Any) -> list[LearningCurve]:  # fmt: skip
    """Errors of networks against n, one open curve per width."""
    curves = []
    for i, width in enumerate(sorted(widths)):
        runs = [one.network for one in trained if one.network.width == width]
        if runs:
            at = [r.errors for r in runs]
            curves.append(LearningCurve(f"SGD, width {width}{end}", [r.n for r in runs], [e.mean for e in at],
                                [e.lower for e in at], [e.upper for e in at], style="hollow", marker=marker + i,
                                **options))  # fmt: skip
    return curves


NETWORK_COLUMNS = ("n", "width", "seed", "eta m", "steps", "error", "kernel, as long", "kernel, interpolant",
                   "training error", "moved")  # fmt: skip


def network_row(one: Trained, fits: Sequence[KernelFit]) -> tuple[Any, ...]:
    """`NETWORK_COLUMNS`, the own kernel and where it diverged, of a network beside the fits of its draw."""
    run = one.network
    best = next((fit.errors.mean for fit in fits if fit.n == run.n), None)
    return (run.n, run.width, run.seed, 2 * run.lr, run.steps, run.errors.mean, one.kernel.mean, best,
            run.train_error, run.moved, run.ratio, run.diverged_at)  # fmt: skip


def network_numbers(one: Trained) -> dict[str, Any]:
    """A network, for report.json."""
    run = one.network
    return {
        "n": run.n, "width": run.width, "seed": run.seed, "lr": run.lr, "steps": run.steps, "error": run.errors.mean,
        "kernel_error": one.kernel.mean, "train_error": run.train_error, "moved": run.moved, "own_diagonal": run.ratio,
        "diverged_at": run.diverged_at,
    }  # fmt: skip


def over_kernel(trained: Sequence[Trained], width: int) -> str | None:
    """The error of networks of a width over that of the kernel, geometric mean; None where one is 0 or none is left."""
    kept = [one for one in trained if one.network.width == width and one.network.diverged_at is None]
    pairs = [(one.network.errors.mean, one.kernel.mean) for one in kept]
    if not pairs or min(map(min, pairs)) <= 0:
        return None
    return f"{math.exp(float(np.mean([math.log(network / kernel) for network, kernel in pairs]))):.2f}"


def fit_notes(cases: Sequence[Case[Any]], trained: Sequence[Trained] = ()) -> list[str]:
    """Where a kernel matrix was singular, and how many networks diverged."""
    reasons = sorted({fit.reason for case in cases for fit in case.every if fit.reason})
    notes = [f"Singular kernel matrix: {reason}." for reason in reasons]
    lost = sum(one.network.diverged_at is not None for one in trained)
    return notes + ([f"{lost} of {len(trained)} networks diverged; lower --rate."] if lost else [])
