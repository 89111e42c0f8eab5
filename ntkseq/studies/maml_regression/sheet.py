"""How do risks of MAML, their bounds and their simulations come onto one sheet?"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from ntkseq import bounds
from ntkseq.reports import Figure, Section, Sheet, Table
from ntkseq.studies.maml_regression import plots
from ntkseq.studies.maml_regression.adaptation import Adaptation
from ntkseq.studies.maml_regression.options import KINDS, RegressionOptions
from ntkseq.studies.maml_regression.risks import (
    Course,
    Sweep,
    lower,
    outside,
    slopes,
    upper,
)
from ntkseq.studies.maml_regression.sentences import FAR, Summary, findings


@dataclasses.dataclass(frozen=True, eq=False)
class SpectrumCourses:
    """What came of one spectrum.

    Attributes:
        kind: which, of `KINDS`.
        diversities: one problem per growth of the tasks' spread, all at the main rate.
        courses: the least diverse tasks, one problem per rate, ascending.
        sweep: the same at the last horizon, over many rates.
        adaptations: one per growth.
    """

    kind: str
    diversities: tuple[Course, ...]
    courses: tuple[Course, ...]
    sweep: Sweep
    adaptations: tuple[Adaptation, ...]

    @property
    def all(self) -> tuple[Course, ...]:
        """Every simulated problem once."""
        return (*self.courses, *self.diversities[1:])


def sheet(study: RegressionOptions, found: Sequence[SpectrumCourses]) -> Sheet:
    """What came of all spectra."""
    courses = [course for one in found for course in one.all]
    crossed = sum(one.outside for one in courses) + sum(outside(f.sweep.total, f.sweep.derived) for f in found)
    asked = sum(len(one.exact.total) for one in courses) + sum(len(f.sweep.rates) for f in found)
    away = np.concatenate([one.away for one in courses])
    boxes = [
        (f"{crossed} of {asked}", "exact risks that are not between their derived bounds: none should be"),
        (
            f"{int(np.sum(away > FAR))} of {away.size}",
            "simulated means more than 4 standard errors from the exact risk: none should be",
        ),
        (f"{away.max():.2g}", "standard errors between simulation and exact risk at most"),
    ]
    for one in found:
        best = int(np.argmin(one.sweep.total))
        end = ", an end of the grid" if best in (0, len(one.sweep.rates) - 1) else ""
        boxes.append((f"{one.sweep.rates[best]:.2g}", f"{one.kind}: rate beta_tr lambda_1 of least risk{end}"))
    notes = (
        "Slopes are fits over one decade of horizons. The interval of the exact risk's slope holds the slopes between "
        "all neighbours in it; that of the simulation the scatter of its batches. Neither is a rate of a theorem.",
        "The paper's form is recalled, not copied, and never certified. It is drawn dashed, and only where its "
        "conditions hold.",
        "Standard errors count on many runs: risks of single runs are skewed.",
    )
    return Sheet(
        title="MAML on mixed linear regression: risk, bounds, simulation",
        question="",
        findings=findings(
            study,
            [_summary(study, one) for one in found],
            outside=crossed,
            risks=asked,
            far=int(np.sum(away > FAR)),
            dots=int(away.size),
            most=float(away.max()),
        ),
        facts=tuple(boxes),
        notes=notes,
        sections=tuple(_section(study, one) for one in found),
        numbers={
            "plan": _asked(study),
            "outside": crossed,
            "risks": asked,
            "beyond_4_errors": int(np.sum(away > FAR)),
            "dots": int(away.size),
            "most_errors": float(away.max()),
            "spectra": {one.kind: _numbers(study, one) for one in found},
        },
        arrays=_arrays(found),
    )


def _summary(study: RegressionOptions, one: SpectrumCourses) -> Summary:
    """What the sentences say of a spectrum."""
    best = int(np.argmin(one.sweep.total))
    ratios = {
        form: tuple(float(upper(getattr(c, form))[-1] / c.exact.total[-1]) for c in one.all)
        for form in ("derived", "paper")
    }
    eps = target(study, one)
    return Summary(
        one.kind, float(one.sweep.rates[best]), best in (0, len(one.sweep.rates) - 1),
        tuple(float(c.exact.total[-1]) for c in one.diversities), ratios["derived"], ratios["paper"],
        tuple((c.rate, *c.stopping(eps)) for c in one.courses),
    )  # fmt: skip


def _asked(study: RegressionOptions) -> dict[str, Any]:
    """The numbers of all problems."""
    apart = {"quick", "out", "overwrite", "spectra"}
    return {name: value for name, value in dataclasses.asdict(study).items() if name not in apart}


def target(study: RegressionOptions, one: SpectrumCourses) -> float:
    """The risk to be reached: eps times that of the start, which no rate of training changes."""
    return study.eps * float(one.courses[0].exact.total[0])


def label(one: Course) -> str:
    """A problem by its rate."""
    return f"beta_tr = {one.rate:g}"


def diversity(one: Course | Adaptation, problem: Any) -> str:
    """A problem by the spread of its tasks."""
    value = float(np.sum(problem.spread**2 * problem.spectrum))
    return f"diversity {value:.3g} (r = {one.growth:g})"


def _section(study: RegressionOptions, one: SpectrumCourses) -> Section:
    by_rate = {label(course): course for course in one.courses}
    by_diversity = {diversity(course, course.problem): course for course in one.diversities}
    problems = {a.growth: course.problem for a, course in zip(one.adaptations, one.diversities, strict=True)}
    adapted = {diversity(a, problems[a.growth]): a for a in one.adaptations}
    eps, T = target(study, one), study.steps
    figures = (
        Figure(
            f"horizons-{one.kind}", partial(plots.horizons, by_diversity),
            f"Excess risk against the horizon for tasks of low and high diversity tr(Sigma_theta Sigma), whose "
            f"variances grow as log(i + 1)^r; beta_tr = {study.rate:g}. Bars: two standard errors.",
        ),
        Figure(
            f"rates-{one.kind}", partial(plots.rates, one.sweep, one.courses),
            f"Excess risk after T = {T} steps against the inner rate of training, with its bias and its variance; "
            "least diverse tasks.",
        ),
        Figure(
            f"stopping-{one.kind}", partial(plots.stopping, by_rate, eps),
            f"Excess risk for several inner rates, and when it falls below {eps:.3g}, {study.eps:g} of that at the "
            "start.",
        ),
        Figure(
            f"adaptation-{one.kind}", partial(plots.adaptation, adapted, study.early),
            f"The trade-off at test time: loss on a new task after one step on m = {study.m} examples, in units of the "
            "loss of theta* without that step.",
        ),
        Figure(
            f"weights-{one.kind}", partial(plots.weights, by_rate),
            f"Effective meta weights after T = {T} steps: the bounds multiply their sum with the noise of the "
            "gradients. k* coordinates have alpha T mu >= 1, the first ones where mu falls with i.",
        ),
    )  # fmt: skip
    main = one.diversities[0].problem
    said = {
        "lower": bounds.maml_lower(main, T),
        "upper": bounds.maml_upper(main, T),
        "paper": bounds.maml_upper(main, T, form="paper"),
    }
    lam = main.spectrum
    text = (
        f"Eigenvalues of the inputs' covariance: {KINDS[one.kind]}, divided by the first; d = {main.d}, tr Sigma = "
        f"{lam.sum():.3g}, tr Sigma^2 = {np.sum(lam**2):.3g}. Step size alpha = {main.alpha:.3g}; in mean square "
        f"stable below {main.alpha_max:.3g} at beta_tr = {study.rate:g}. The exact risk in the end is "
        f"{one.diversities[0].exact.total[-1]:.4g}. n1 = {study.n1}, n2 = {study.n2}, m = {study.m}, "
        f"noise {study.noise:g}, beta_te = {study.rate_te:g}.",
    )
    tables = (
        _risk_table(study, one),
        _slope_table(study, one),
        _stop_table(study, one),
        _condition_table(study, one),
        _adaptation_table(study, one),
    )
    return Section(f"Spectrum {one.kind}", text, figures, tables, said)


def _risk_table(study: RegressionOptions, one: SpectrumCourses) -> Table:
    rows = [
        (c.rate, c.growth, float(lower(c.derived)[-1]), float(c.exact.total[-1]), float(c.exact.bias[-1]),
         float(upper(c.derived)[-1]), float(upper(c.paper)[-1]), float(c.mean[-1]), float(c.error[-1]))
        for c in one.all
    ]  # fmt: skip
    header = ("beta_tr", "r", "lower", "exact", "of it bias", "upper", "paper's upper", "simulated", "its error")
    return Table(header, tuple(rows), f"Excess risk at T = {study.steps}.")


def _slope_table(study: RegressionOptions, one: SpectrumCourses) -> Table:
    rows = [(c.rate, c.growth, *slopes(study, c), c.weights()[1]) for c in one.all]
    first, last = study.window
    header = ("beta_tr", "r", "slope, exact", "slope, simulated", "k*")
    return Table(header, tuple(rows), f"Fitted slopes of log risk over log T from {first} to {last}; k* at the end.")


def _stop_table(study: RegressionOptions, one: SpectrumCourses) -> Table:
    rows = [
        (course.rate, *(_beyond(study, at) for at in course.stopping(target(study, one)))) for course in one.courses
    ]
    header = ("beta_tr", "no earlier than (lower bound)", "exact", "no later than (upper bound)")
    return Table(header, tuple(rows), f"The first T with an excess risk below {target(study, one):.3g}.")


def _beyond(study: RegressionOptions, at: int | None) -> int | str:
    return f"> {study.steps}" if at is None else at


def _condition_table(study: RegressionOptions, one: SpectrumCourses) -> Table:
    """One row per form and condition that numbers decide, one column per problem."""
    cells: dict[tuple[str, str], list[str]] = {}
    for i, course in enumerate(one.all):
        for form in ("derived", "paper"):
            for condition in bounds.maml_upper(course.problem, study.steps, form=form).assumptions:
                number = condition.evidence.split()[-1]
                if condition.status in ("holds", "fails") and number[0].isdigit():
                    row = cells.setdefault((form, condition.statement), ["-"] * len(one.all))
                    row[i] = f"{condition.status}: {number}"
    columns = [f"{c.rate:g}" + (f", r = {c.growth:g}" if c.growth else "") for c in one.all]
    rows = tuple((form, statement, *row) for (form, statement), row in cells.items())
    header = ("form", "condition", f"beta_tr = {columns[0]}", *columns[1:])
    return Table(
        header, rows, "Conditions of the upper bounds, with the number that decides. All take inputs as Gaussian."
    )


def _adaptation_table(study: RegressionOptions, one: SpectrumCourses) -> Table:
    rows = [
        (a.growth, a.best, float(np.interp(a.best, a.rates, a.least)), a.unadapted,
         float(a.rates[np.argmin(a.trained)]), float(a.away.max()))
        for a in one.adaptations
    ]  # fmt: skip
    last = f"best rate after {study.early} steps"
    columns = ("r", "best rate for theta*", "loss there", "loss without adapting", last)
    header = (*columns, "drawn tasks: standard errors away")
    return Table(header, tuple(rows), "Loss on a new task after adapting to it; rates after some steps are of a grid.")


def _numbers(study: RegressionOptions, one: SpectrumCourses) -> dict[str, Any]:
    return {
        "target": target(study, one),
        "best_rate_of_training": float(one.sweep.rates[np.argmin(one.sweep.total)]),
        "problems": [_course_numbers(study, one, course) for course in one.all],
        "adaptation": [
            {"growth": a.growth, "best": a.best, "errors_away": float(a.away.max())} for a in one.adaptations
        ],
    }


def _course_numbers(study: RegressionOptions, one: SpectrumCourses, course: Course) -> dict[str, Any]:
    exact, simulated = slopes(study, course)
    early, at, late = course.stopping(target(study, one))
    return {
        "rate": course.rate,
        "growth": course.growth,
        "risk": float(course.exact.total[-1]),
        "lower": float(lower(course.derived)[-1]),
        "upper": float(upper(course.derived)[-1]),
        "paper_upper": float(upper(course.paper)[-1]),
        "simulated": float(course.mean[-1]),
        "error": float(course.error[-1]),
        "slope": exact,
        "slope_simulated": simulated,
        "stops": {"no_earlier": early, "exact": at, "no_later": late},
        "k_star": course.weights()[1],
    }


def _arrays(found: Sequence[SpectrumCourses]) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    for one in found:
        for course in one.all:
            head = f"{one.kind}.rate_{course.rate:g}.growth_{course.growth:g}"
            arrays |= {
                f"{head}.bias": course.exact.bias,
                f"{head}.variance": course.exact.variance,
                f"{head}.lower": lower(course.derived),
                f"{head}.upper": upper(course.derived),
                f"{head}.paper_upper": upper(course.paper),
                f"{head}.horizons": course.horizons,
                f"{head}.simulated": course.mean,
                f"{head}.error": course.error,
                f"{head}.weights": course.weights()[0],
            }
        arrays |= {
            f"{one.kind}.sweep.rates": one.sweep.rates,
            f"{one.kind}.sweep.bias": one.sweep.bias,
            f"{one.kind}.sweep.variance": one.sweep.variance,
            f"{one.kind}.sweep.lower": lower(one.sweep.derived),
            f"{one.kind}.sweep.upper": upper(one.sweep.derived),
            f"{one.kind}.sweep.paper_upper": upper(one.sweep.paper),
        }
        for a in one.adaptations:
            head = f"{one.kind}.adaptation.growth_{a.growth:g}"
            arrays |= {f"{head}.{name}": getattr(a, name)
                       for name in ("rates", "least", "trained", "drawn", "mean", "error")}  # fmt: skip
    return arrays
