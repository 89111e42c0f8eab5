"""The report of a study on one kernel and examples of classes: a sheet that is made of what it holds."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from ntkseq.bounds import Bound
from ntkseq.grams import DenseGram
from ntkseq.reports import figure_data, plots, sentences
from ntkseq.reports.files import flags
from ntkseq.reports.record import Prediction, Rank, interval_record
from ntkseq.reports.sheet import Figure, Section, Sheet, Table
from ntkseq.spectra import FullSpectrum, Interval


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Report(Sheet):
    """Everything that a study found of one kernel on examples of classes.

    Findings, facts, sections, numbers and arrays of the sheet are made of the rest.

    Attributes:
        data: facts about the examples, by name.
        kernel: the kernel in one line.
        problem: the two-class problem of the bounds, in words.
        gram, cross: kernel of the training examples, and of test with training examples.
        y, y_test: class codes, (n,) and (m,).
        classes: their names.
        spectrum: of `gram`.
        alignment: kernel-target alignment of `gram` with the labels of the bounds.
        ranks: effective ranks of `gram`.
        bounds: by short name, in the order to be shown.
        measured: what the bound's quantity is on the test examples, where that is the same predictor; by short name.
        prediction: on the test examples.
        best: the name of the least of the certified bounds that hold at once, if it says something; else empty.
        predicted: the error of the ridge predictor on the test examples as the training examples predict it, never
            certified; None where it was not.
        compared: the kernels among which this one was chosen, with their mean squared leave-one-out residuals, the
            least first; empty where none was chosen.
        advice: what to do next, in a sentence with the command.
    """

    findings: tuple[str, ...] = dataclasses.field(init=False)
    facts: tuple[tuple[str, str], ...] = dataclasses.field(init=False)
    sections: tuple[Section, ...] = dataclasses.field(init=False)
    numbers: Mapping[str, Any] = dataclasses.field(init=False)
    arrays: Mapping[str, np.ndarray] = dataclasses.field(init=False)
    data: Mapping[str, Any]
    kernel: str
    problem: str
    gram: DenseGram
    cross: DenseGram
    y: Int[np.ndarray, " n"]
    y_test: Int[np.ndarray, " m"]
    classes: tuple[str, ...]
    spectrum: FullSpectrum
    alignment: float
    ranks: tuple[Rank, ...]
    bounds: Mapping[str, Bound]
    measured: Mapping[str, float]
    prediction: Prediction
    best: str = ""
    predicted: Interval | None = None
    compared: tuple[tuple[str, float | None], ...] = ()
    advice: str = ""

    def __post_init__(self) -> None:
        made = {
            "findings": _findings(self),
            "facts": _facts(self),
            "sections": (_prediction(self), *_spectrum(self), _bounds(self), _data(self)),
            "numbers": _numbers(self),
            "arrays": gram_arrays(self.gram, self.cross, self.spectrum)
            | {"y": self.y, "y_test": self.y_test, "prediction": self.prediction.scores}
            | {"classes": np.array(self.classes, dtype=np.str_)},
        }
        for name, value in made.items():
            object.__setattr__(self, name, value)
        super().__post_init__()


def _findings(report: Report) -> tuple[str, ...]:
    """What was learned, in three to five sentences: errors, resolution, directions, what is proved, what is next."""
    n = report.spectrum.n
    said = (
        sentences.separation(report.prediction, report.classes),
        sentences.resolution(report.spectrum, str(report.gram.array.dtype)) + sentences.directions(report.ranks, n),
        sentences.proved(report.bounds, report.best, report.measured.get(report.best), n),
        sentences.vacuous(report.bounds, n, report.prediction.rkhs_norm),
        report.advice,
    )
    return tuple(sentence for sentence in said if sentence)


def _facts(report: Report) -> tuple[tuple[str, str], ...]:
    """The numbers on top, what is proved first."""
    said, n, least = report.prediction, report.spectrum.n, report.spectrum.min_eigenvalue
    facts = []
    if report.best:
        best, measured = report.bounds[report.best], report.measured.get(report.best)
        told = f"{best.quantity}: certified, with probability at least {best.chance} ({report.best})"
        facts.append((f"≤ {best.shown}", told + ("" if measured is None else f"; on the test examples {measured:.4g}")))
    if report.predicted is not None:
        told = f"test error of the ridge fit as predicted, not certified; {report.predicted}"
        facts.append((f"{report.predicted.estimate:.4g}", told))
    majority = sentences.share(said.majority_error)
    told = f"test error; {said.interval}; always saying the most frequent class: {majority}"
    facts.append((sentences.share(said.test_error), told))
    told = f"directions are told from zero in {report.gram.array.dtype}; the least eigenvalue is {least}"
    told += "" if least.resolved else ": not told from zero"
    facts.append((f"{sentences.resolved(report.spectrum)} of {n}", told))
    told = "directions hold the trace of the kernel (entropy rank)"
    ranks = [rank.value for rank in report.ranks if rank.kind == "entropy" and rank.value is not None]
    return (*facts, *((f"{value.estimate:.3g} of {n}", told) for value in ranks))


def _prediction(report: Report) -> Section:
    said, share = report.prediction, sentences.share
    several = len(report.classes) > 2
    fit = (
        f"Kernel ridge regression{', one against the rest,' if several else ''} with ridge {said.reg:.3g} "
        f"({said.reg_from}). Norm of f in the kernel's space {said.rkhs_norm:.4g}, effective dimension "
        f"{said.effective_dimension:.4g} of {report.spectrum.n}."
    )
    how = "numbers are counts, colours shares of the true class"
    how = how if several else "the height within a class only separates the points"
    positive = report.classes.index(report.data["positive"])
    figure = Figure(
        "predictions",
        functools.partial(plots.predictions, said, report.y_test, report.classes, positive),
        f"Prediction against truth on the {len(report.y_test)} test examples; {how}.",
        alt="Prediction against truth on the test examples",
        numbers=(figure_data.predictions(said, report.y_test, report.classes),),
    )
    left_out = "on the training examples" + (
        "" if said.reg_from == "given" else "; optimistic, the ridge was chosen by it"
    )
    rows = (
        ("test", share(said.test_error), said.interval + ("" if said.test_interval is None else " (Clopper-Pearson)")),
        ("training", share(said.train_error), ""),
        ("leave-one-out", share(said.loo_error), left_out),
        ("majority class", share(said.majority_error), "test error of always saying the most frequent training class"),
    )
    text, tables = chosen_among(report.compared)
    return Section("Prediction", (fit, *text), (figure,), (*tables, Table(("misclassified", "share", ""), rows)))


def _spectrum(report: Report) -> tuple[Section, ...]:
    figure = Figure(
        "kernel",
        functools.partial(plots.kernel_map, report.gram.array, report.y, report.classes),
        "K_ij/√(K_ii K_jj) between the training examples, sorted by class. Colours run from the 1 % to the 99 % "
        "quantile off the diagonal.",
        alt="Kernel between the training examples, sorted by class",
        kind="png",
        numbers=(figure_data.correlations(report.gram.array, report.y, report.classes),),
    )
    row = ("alignment", f"{report.alignment:.4g} with the labels of the two-class problem below")
    return spectrum_sections(report.spectrum, report.ranks, report.prediction.reg, figures=(figure,), rows=(row,))


def _bounds(report: Report) -> Section:
    figure = Figure(
        "bounds",
        functools.partial(plots.bound_bars, report.bounds, measured=report.measured),
        'Terms of each bound, in units of the level from where on it says nothing (dashed). Filled: certified, "≤" may '
        "be written. Hatched: an estimate. Diamond: the same quantity of the same predictor, measured on the test "
        "examples.",
        alt="Terms of each bound as stacked bars",
        numbers=(figure_data.bounds(report.bounds, report.measured),),
    )
    most = f"; of these {report.best} says most" if report.best else ""
    text = f"All bounds speak of a two-class problem: {report.problem}. The certified ones hold at once{most}."
    return Section("Bounds", (text,), (figure,), bounds=report.bounds, measured=report.measured)


def _data(report: Report) -> Section:
    scale = report.data["divided_by"]
    text = (
        f"{report.data['summary']}. Test examples: {report.data['split']}. "
        + ("Inputs as they are." if scale is None else f"Inputs divided by {scale:.4g}, the largest training norm.")
        + (" Sequences have different lengths." if report.data["ragged"] else "")
    )
    rows = tuple((name, *counts) for name, counts in report.data["examples_per_class"].items())
    return Section("Data", (text,), tables=(Table(("class", "training", "test"), rows),))


def _numbers(report: Report) -> dict[str, Any]:
    """What report.json says beside the page."""
    spectrum = report.spectrum
    return {
        "data": report.data,
        "kernel": report.kernel,
        "problem": report.problem,
        "min_eigenvalue": spectrum.min_eigenvalue,
        "max_eigenvalue": spectrum.max_eigenvalue,
        "condition": spectrum.condition,
        "semidefinite": spectrum.semidefinite,
        "trace": spectrum.trace,
        "rounding": spectrum.rounding,
        "rounding_estimated": spectrum.estimated,
        "sampling_error": None if spectrum.sampling is None else str(spectrum.sampling),
        "spectrum": {"values": spectrum.values, "errors": spectrum.errors, "method": spectrum.method},
        "effective_rank": {
            rank.kind: {"formula": rank.formula, "reason": rank.reason}
            | (interval_record(rank.value) if rank.value is not None else {"estimate": None})
            for rank in report.ranks
        },
        "alignment": report.alignment,
        "best_bound": report.best or None,
        "compared": [{"kernel": name, "loo_error": error} for name, error in report.compared],
        "predicted_risk": report.predicted,
        "bounds": {
            key: b.to_dict() | {"measured_on_test": report.measured.get(key)} for key, b in report.bounds.items()
        },
        "prediction": report.prediction.to_dict(),
    }


def gram_arrays(K: DenseGram, cross: DenseGram, spectrum: FullSpectrum) -> dict[str, np.ndarray]:
    """A kernel matrix for arrays.npz, as `studies.stored` reads it, and what is known of its rounding."""
    return {
        "K": np.asarray(K.array),
        "K_test": np.asarray(cross.array),
        "rounding": np.asarray(K.rounding, np.float64),
        **flags(K),
        "eigenvalues": np.asarray(spectrum.values),
        "eigenvalue_errors": np.asarray(spectrum.errors),
    }


def chosen_among(compared: Sequence[tuple[str, float | None]]) -> tuple[tuple[str, ...], tuple[Table, ...]]:
    """The kernels that were tried, in words and as a table; nothing where none was chosen."""
    if not compared:
        return (), ()
    rows = tuple((name, "overflows" if error is None else error) for name, error in compared)
    text = f"The kernel is the one of least leave-one-out error among the {len(rows)} of the first table."
    return (text,), (Table(("kernel", "mean squared leave-one-out residual"), rows),)


def spectrum_sections(
    spectrum: FullSpectrum,
    ranks: Sequence[Rank],
    reg: float,
    *,
    figures: tuple[Figure, ...] = (),
    rows: tuple[tuple[str, str], ...] = (),
) -> tuple[Section, ...]:
    """Eigenvalues and effective ranks of a kernel matrix.

    Args:
        spectrum: of the matrix.
        ranks: its effective ranks.
        reg: the ridge of the fit.
        figures: pictures of the kernel, to stand beside that of the eigenvalues.
        rows: more of the kernel, for the table of the spectrum.
    """
    least, condition = spectrum.min_eigenvalue, spectrum.condition
    if spectrum.sampling is not None:
        errors = f"what the sampling of the kernel may have done ({spectrum.sampling})"
    else:
        errors = f"the rounding of K ({spectrum.rounding:.2g}) and of the solver"
        errors += "; below the dashed line nothing is told from zero"
    eigenvalues = Figure(
        "eigenvalues",
        functools.partial(plots.eigenvalues, spectrum, reg=reg),
        f"Eigenvalues of K. An error bar covers {errors}.",
        alt="Eigenvalues with error bars",
        numbers=(figure_data.eigenvalues(spectrum),),
    )
    picture = Figure(
        "ranks",
        functools.partial(plots.ranks, ranks, spectrum.n),
        "Grey: the interval that follows from the errors of the eigenvalues. Dotted: n.",
        alt="Effective ranks with intervals",
        numbers=(),
    )
    told = (
        ("least eigenvalue", f"{least}{'' if least.resolved else ' – not told from zero'}"),
        ("largest", str(spectrum.max_eigenvalue)),
        ("condition", str(condition) if condition.resolved else f"at least {condition.lower:.4g}"),
        ("trace", f"{spectrum.trace:.6g}"),
        *rows,
        ("method", spectrum.method),
    )
    defined = tuple(
        (rank.kind, rank.value, rank.formula + (rank.reason and f" ({rank.reason})")) for rank in sentences.first(ranks)
    )
    return (
        Section("Kernel and spectrum", (), (*figures, eigenvalues), (Table(("of the kernel matrix", ""), told),)),
        Section("Effective ranks", (sentences.RANKS,), (), (Table(("kind", "value", "definition"), defined, shown=2),)),
        Section("Effective ranks in a picture", (), (picture,), folded=True),
    )
