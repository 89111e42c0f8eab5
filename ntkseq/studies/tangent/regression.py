"""What does the report of a study say where targets are numbers? Squared errors, ridge, and the bound that holds."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from ntkseq import bounds, predictors
from ntkseq._plots import FAINT, INK, NARROW, axes, grid
from ntkseq.reports import Figure, Section, Sheet, Table, sentences
from ntkseq.reports.record import Rank
from ntkseq.reports.report import chosen_among, gram_arrays, spectrum_sections
from ntkseq.spectra import FullSpectrum
from ntkseq.studies.tangent.facts import advice, reason
from ntkseq.studies.tangent.fits import Fit
from ntkseq.studies.tangent.inputs import Problem
from ntkseq.studies.tangent.ridge import Centre, choose_ridge
from ntkseq.studies.tangent.spec import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclasses.dataclass(frozen=True, eq=False)
class Errors:
    """How well kernel ridge regression predicts numbers, in the units of the targets.

    Attributes:
        test, train, loo: root of the mean squared error on test examples, training examples, and leave-one-out.
        mean: the test error of always saying the mean of the training targets.
    """

    test: float
    train: float
    loo: float
    mean: float


@dataclasses.dataclass(frozen=True, eq=False)
class Outcome:
    """What kernel ridge regression on centred targets gives, and what is proved of it.

    Attributes:
        errors: in the units of the targets.
        centre: what targets are centred by.
        reg, reg_from: the ridge, and how it was chosen.
        fit: to the centred targets.
        predicted: for the test examples.
        bound: the Rademacher bound.
        measured: the quantity of the bound on the test examples; none where these were trained on.
    """

    errors: Errors
    centre: Centre
    reg: float
    reg_from: str
    fit: predictors.Ridge
    predicted: Float[np.ndarray, " m"]
    bound: bounds.Bound
    measured: dict[str, float]


def outcome(study: Study, posed: Problem, one: Fit, compared: int) -> Outcome:
    """Centre the targets, choose the ridge, fit, predict and bound.

    Args:
        study, posed, one: as of `report`.
        compared: how many kernels, fixed beforehand, the study looked at; the bound counts them.
    """
    K, y, y_test = one.K, np.asarray(posed.train.y, np.float64), np.asarray(posed.test.y, np.float64)
    centre = Centre.of(y)
    reg, reg_from = choose_ridge(K, y - centre.value, one.eigen.trace, study.reg)
    fit = predictors.ridge(K, y - centre.value, reg=reg)
    predicted: Float[np.ndarray, " m"] = centre.value + np.asarray(fit(one.cross))
    # who leaves an example out leaves it out of the centre, too: the targets of the others move by a constant
    moved = predictors.ridge(K, np.ones(len(y)), reg=reg).loo_residuals
    loo = fit.loo_residuals + (centre.value - centre.left_out(y)) * moved
    errors = Errors(_root(predicted - y_test), _root(fit.residuals), _root(loo), _root(y.mean() - y_test))
    bound = bounds.rademacher(
        K,
        y - centre.value,
        delta=study.delta,
        B0=study.norm_grid,
        reg=reg,
        loss="squared",
        tried=study.tried * centre.tried * compared,
    )
    if posed.scale is not None:
        bound = bounds_of_scaled(bound)
    measured = {} if posed.repeated else {"rademacher": float(np.mean(np.minimum(1.0, (predicted - y_test) ** 2)))}
    return Outcome(errors, centre, float(reg), reg_from, fit, predicted, bound, measured)


def report(
    study: Study,
    posed: Problem,
    one: Fit,
    *,
    title: str,
    found: Outcome,
    ranks: tuple[Rank, ...],
    provenance: dict[str, Any],
    told: tuple[str, ...] = (),
    compared: tuple[tuple[str, float | None], ...] = (),
) -> Sheet:
    """The report of a study on targets that are numbers.

    The predictor f is kernel ridge regression on the centred targets, with the centre added back; the Rademacher bound
    speaks of the same one, with the loss min(1, (f(x) - y)^2), and counts what the centre was chosen from.

    Args:
        study: what was asked.
        posed: the examples.
        one: the kernel on them.
        title: of the page.
        found: what came of the fit.
        ranks: effective ranks of K.
        provenance: of the numbers.
        told: notes on the kernel.
        compared: the kernels it was chosen from with their leave-one-out errors.
    """
    eigen = one.eigen
    y, y_test = np.asarray(posed.train.y, np.float64), np.asarray(posed.test.y, np.float64)
    errors, reg, reg_from, predicted = found.errors, found.reg, found.reg_from, found.predicted
    centre, least = found.centre, eigen.min_eigenvalue
    return Sheet(
        title=title,
        question=f"How well does kernel ridge regression predict the targets? {posed.summary}. {one.words}.",
        command=study.command,
        findings=_findings(study, posed, one, found, ranks, max(len(compared), 1)),
        facts=(
            (f"{errors.test:.4g}", f"root mean squared test error; of always saying the mean {errors.mean:.4g}"),
            (f"{errors.loo:.4g}", "root mean squared leave-one-out error"),
            (
                f"{sentences.resolved(eigen)} of {eigen.n}",
                f"directions are told from zero in {study.dtype}; the least eigenvalue is {least}"
                + ("" if least.positive else ", not resolved"),
            ),
            (f"{reg:.3g}", f"ridge, {'given' if reg_from == 'given' else 'by leave-one-out'}"),
        ),
        notes=(*told, *_notes(posed, y, eigen, reg_from, centre)),
        sections=(
            Section(
                "Prediction",
                figures=(
                    Figure(
                        "predictions",
                        lambda: _predictions(predicted, y_test),
                        "Prediction against target on the test examples; on the line both are equal.",
                    ),
                ),
                text=chosen_among(compared)[0],
                tables=(
                    *chosen_among(compared)[1],
                    Table(
                        ("examples", "root mean squared error"),
                        (
                            ("test", errors.test),
                            ("test, by the mean of the training targets", errors.mean),
                            ("training", errors.train),
                            ("leave-one-out", errors.loo),
                        ),
                    ),
                ),
            ),
            *spectrum_sections(eigen, ranks, reg),
            Section(
                "Bounds", text=(_SPOKEN, _counted(centre)), bounds={"rademacher": found.bound}, measured=found.measured
            ),
        ),
        numbers={
            "root_mean_squared_error": dataclasses.asdict(errors),
            "centre": centre.value,
            "reg": reg,
            "reg_from": reg_from,
            "rkhs_norm": float(found.fit.rkhs_norm),
            "effective_dimension": float(found.fit.effective_dimension),
            "min_eigenvalue": least,
            "n_train": len(y),
            "n_test": len(y_test),
        },
        arrays={
            **gram_arrays(one.K, one.cross, eigen),
            "y": y,
            "y_test": y_test,
            "prediction": predicted,
        },
        provenance=provenance,
    )


def _findings(
    study: Study, posed: Problem, one: Fit, found: Outcome, ranks: tuple[Rank, ...], compared: int
) -> tuple[str, ...]:
    """What was learned, in plain sentences made of the numbers."""
    errors, n, m = found.errors, one.eigen.n, len(posed.test.y)
    on = sentences.counted(m, "example")
    told = f"On {on} it has not seen the kernel is off by {errors.test:.4g} (root mean square)"
    if posed.repeated:
        told = f"On {on}, some of which it has seen, the kernel is off by {errors.test:.4g}, which is too little"
    told += f"; always saying the mean is off by {errors.mean:.4g}"
    if errors.test >= errors.mean:
        verdict = ": it does no better."
    else:
        verdict = f": its mean squared error is {sentences.share(1 - (errors.test / errors.mean) ** 2)} less."
    bounds_of = {"rademacher": found.bound}
    best = "rademacher" if found.bound.certified and not found.bound.vacuous else ""
    said = (
        told + verdict,
        sentences.resolution(one.eigen, study.dtype) + sentences.directions(ranks, n),
        sentences.proved(bounds_of, best, found.measured.get(best), n),
        sentences.vacuous(bounds_of, n, float(found.fit.rkhs_norm)),
        advice(study, posed, one, well=errors.test < errors.mean, compared=compared),
    )
    return tuple(sentence for sentence in said if sentence)


_SPOKEN = (
    "The Rademacher bound holds for targets that are numbers, with the loss min(1, (f(x) - y)^2) in the units of the "
    "targets. The other bounds of this package speak of two classes and are left out."
)


def _counted(centre: Centre) -> str:
    return (
        f"f is {centre} and a function of the kernel's space. {centre} is of the form k 10^e, and was chosen by the "
        "training targets, which the bound counts as 4 (|e| + 1)(|e| + 2)(|k| + 1)(|k| + 2) = "
        f"{centre.tried} settings: the shares of all such numbers sum to less than one."
    )


def _notes(posed: Problem, y: np.ndarray, eigen: FullSpectrum, reg_from: str, centre: Centre) -> tuple[str, ...]:
    told = [f"The file: {note}." for note in posed.notes]
    told.append(
        f"Targets are centred: {centre}, the mean of the training targets within a 200th of their standard deviation, "
        "is taken away before the fit and added back in every prediction."
    )
    if y.std() == 0:
        told.append("All training targets are equal.")
    if not eigen.min_eigenvalue.positive:
        told.append(f"The least eigenvalue cannot be told from zero.{reason(posed)}")
    if reg_from != "given":
        told.append(f"The leave-one-out error is optimistic: it chose the ridge ({reg_from}).")
    if posed.repeated:
        told.append(f"{posed.warning.strip()} Nothing is measured beside the bound.")
    if posed.scale is not None:
        told.append("Inputs were divided by the largest training norm, so the kernel depends on the sample.")
    return tuple(told)


def bounds_of_scaled(bound: bounds.Bound) -> bounds.Bound:
    """The bound with the assumption that fails where inputs were divided by their largest training norm."""
    extra = bounds.Assumption(
        "scale",
        "the scale of the inputs was fixed before the sample",
        "fails",
        "they were divided by the largest training norm",
    )
    return dataclasses.replace(bound, assumptions=(*bound.assumptions, extra))


def _root(residuals: Any) -> float:
    return float(np.sqrt(np.mean(np.square(residuals))))


def _predictions(predicted: np.ndarray, y: np.ndarray) -> Axes:
    ax = axes(width=NARROW, height=3.4)
    ends = [min(predicted.min(), y.min()), max(predicted.max(), y.max())]
    ax.plot(ends, ends, color=FAINT, lw=1)
    ax.plot(y, predicted, "o", ms=4, alpha=0.65, color=INK, mew=0)
    ax.set_xlabel("target")
    ax.set_ylabel("prediction")
    return grid(ax)
