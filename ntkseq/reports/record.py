"""What does a report hold? The findings of a study as one frozen record, as JSON-ready values and as ten lines."""

from __future__ import annotations

import dataclasses
import math
import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from ntkseq import _display
from ntkseq._outward import interval, percents
from ntkseq.bounds import Bound
from ntkseq.grams import DenseGram
from ntkseq.reports import sentences
from ntkseq.spectra import FullSpectrum, Interval

SCHEMA = "ntkseq-report-1"


@dataclasses.dataclass(frozen=True)
class Rank:
    """One effective rank.

    Attributes:
        kind: the name of a definition, such as "energy_99" or "dimension", whose ridge stands in the formula.
        formula: its definition, s_1 >= s_2 >= ... the eigenvalues.
        value: with its interval; None where it is not defined.
        reason: why it is not.
    """

    kind: str
    formula: str
    value: Interval | None
    reason: str = ""

    __repr__ = _display.record


@dataclasses.dataclass(frozen=True, eq=False)
class Prediction:
    """How well kernel ridge regression does.

    Attributes:
        reg: the ridge.
        reg_from: how it was chosen.
        scores: predictions on the test examples, (m,) for two classes, (m, k) one-vs-rest for more.
        codes: predicted class codes, (m,).
        test_error, train_error, loo_error: shares of misclassified examples (leave-one-out on the training ones).
        test_interval: 95 % Clopper-Pearson interval of the test error; None where test examples were trained on.
        majority_error: test error of always saying the most frequent training class.
        rkhs_norm, effective_dimension: of the fit; see `predictors.Ridge`.
    """

    reg: float
    reg_from: str
    scores: Float[np.ndarray, "m ..."]
    codes: Int[np.ndarray, " m"]
    test_error: float
    test_interval: tuple[float, float] | None
    train_error: float
    loo_error: float
    majority_error: float
    rkhs_norm: float
    effective_dimension: float

    __repr__ = _display.record

    def to_dict(self) -> dict[str, Any]:
        """All but the predictions themselves."""
        left_out = ("scores", "codes")
        named = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in left_out}
        held = None if self.test_interval is None else list(self.test_interval)
        return named | {"test_interval": held, "method": "kernel ridge regression"}

    @property
    def better(self) -> bool:
        """Whether the interval of the test error lies below the error of always saying the most frequent class."""
        return self.test_interval is not None and self.test_interval[1] < self.majority_error

    @property
    def interval(self) -> str:
        """The interval of the test error in words, rounded outwards, or why there is none."""
        if self.test_interval is None:
            return "no interval: test examples are among the training examples"
        return "95 % interval {} to {}".format(*percents(*self.test_interval))


@dataclasses.dataclass(frozen=True, eq=False)
class Report:
    """Everything that a study found.

    Attributes:
        title: of the page.
        data: facts about the examples, by name.
        kernel: the kernel in one line.
        problem: the two-class problem of the bounds, in words.
        gram: kernel of the training examples; cross: of test with training examples.
        y, y_test: class codes; classes: their names.
        spectrum: of `gram`.
        alignment: kernel-target alignment of `gram` with the labels of the bounds.
        ranks: effective ranks of `gram`.
        bounds: by short name, in the order to be shown.
        measured: what the bound's quantity is on the test examples, where that is the same predictor; by short name.
        best: the name of the least of the certified bounds that hold at once, if it says something; else empty.
        compared: the kernels among which this one was chosen, with their mean squared leave-one-out residuals, the
            least first; empty where none was chosen.
        question: what was asked, in a sentence.
        advice: what to do next, in a sentence with the command.
        predicted: the error of the ridge predictor on the test examples as the training examples predict it, never
            certified; None where it was not.
        prediction: on the test examples.
        provenance: versions, device, command, configuration, fingerprint of the data, seeds, wall times.
        notes: what a reader must know before believing a number.
    """

    title: str
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
    provenance: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    best: str = ""
    predicted: Interval | None = None
    compared: tuple[tuple[str, float | None], ...] = ()
    question: str = ""
    advice: str = ""

    def __repr__(self) -> str:
        head = f"Report({self.title}: {len(self.y)} examples + {len(self.y_test)} test, {self.kernel})"
        return _display.clipped(
            "\n".join([head, *(f"  {line}" for line in self.summary()[:1]), "  .summary() has more"])
        )

    def _repr_html_(self) -> str:
        rows = [line.split(maxsplit=1) for line in self.summary()]
        return _display.table(self.title, rows, notes=[self.question, *self.findings, *self.notes])

    @property
    def findings(self) -> tuple[str, ...]:
        """What was learned, in plain sentences made of the numbers; the last says what to do next."""
        return sentences.findings(self)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the matrices, as strict JSON: a number that is not finite is null, with its name beside it."""
        spectrum = self.spectrum
        bounds = {key: b.to_dict() | {"measured_on_test": self.measured.get(key)} for key, b in self.bounds.items()}
        return strict(
            {
                "schema": SCHEMA,
                "title": self.title,
                "question": self.question,
                "findings": list(self.findings),
                "data": dict(self.data),
                "kernel": self.kernel,
                "problem": self.problem,
                "notes": list(self.notes),
                "min_eigenvalue": interval_record(spectrum.min_eigenvalue),
                "max_eigenvalue": interval_record(spectrum.max_eigenvalue),
                "condition": interval_record(spectrum.condition),
                "semidefinite": spectrum.semidefinite,
                "trace": spectrum.trace,
                "rounding": spectrum.rounding,
                "rounding_estimated": spectrum.estimated,
                "sampling_error": None if spectrum.sampling is None else str(spectrum.sampling),
                "spectrum": {"values": spectrum.values, "errors": spectrum.errors, "method": spectrum.method},
                "effective_rank": {
                    rank.kind: {"formula": rank.formula, "reason": rank.reason}
                    | (interval_record(rank.value) if rank.value is not None else {"estimate": None})
                    for rank in self.ranks
                },
                "alignment": self.alignment,
                "best_bound": self.best or None,
                "compared": [{"kernel": name, "loo_error": error} for name, error in self.compared],
                "predicted_risk": None if self.predicted is None else interval_record(self.predicted),
                "bounds": bounds,
                "prediction": self.prediction.to_dict(),
                "provenance": dict(self.provenance),
            }
        )

    @property
    def headline(self) -> str:
        """The best certified bound in one line, with what the same predictor does on the test examples."""
        if not self.best:
            return "no bound is certified and says something here"
        bound, measured = self.bounds[self.best], self.measured.get(self.best)
        said = f"{bound.claim} with probability at least {bound.chance} ({self.best})"
        said += "" if measured is None else f", {measured:.4g} on the test examples"
        return said if self.predicted is None else f"{said}; the ridge fit is predicted to err on {self.predicted}"

    def summary(self) -> list[str]:
        """Ten lines, the first of them what is proved."""
        p, least = self.prediction, self.spectrum.min_eigenvalue
        ranks = {rank.kind: rank.value for rank in self.ranks}
        certified = [k for k, b in self.bounds.items() if b.certified]
        return [
            f"proved       {self.headline}; {self.problem}",
            f"data         {self.data['summary']}",
            f"kernel       {self.kernel}",
            f"least eig.   {least}" + ("" if least.resolved else "  (not resolved: zero is inside)"),
            "ranks        " + ", ".join(f"{k} {_short(ranks[k])}" for k in ("entropy", "stable", "participation")),
            f"prediction   test error {100 * p.test_error:.2f} % ({p.interval}), "
            f"leave-one-out {100 * p.loo_error:.2f} %, majority class {100 * p.majority_error:.2f} %",
            f"ridge        {p.reg:.3g}, {p.reg_from}",
            *(
                f"{key:<12} {bound_line(self.bounds[key], self.spectrum.n)}"
                for key in ("rademacher", "arora2019")
                if key in self.bounds
            ),
            f"certified    {', '.join(certified) or 'none'}; not certified: "
            + (", ".join(k for k in self.bounds if k not in certified) or "none"),
        ]


def bound_line(bound: Bound, n: int | None = None) -> str:
    """A bound in one short line: `<=` or `>=` only if it is certified, and first if it says nothing at n examples."""
    if not bound.computable:
        return f"no value: {textwrap.shorten(bound.reason or 'a rate only', 110, placeholder=' ...')}"
    assert bound.value is not None
    n = sentences.examples_of(bound) if n is None else n
    empty = f"{sentences.says_nothing(bound, n)}: " if bound.vacuous else ""
    if bound.certified:
        return f"{empty}{bound.claim}"
    return f"{empty}{bound.quantity}: estimate {bound.value:.4g}, not certified"


def bound_standing(bound: Bound, n: int | None = None) -> str:
    """What a bound is worth, in a word or two."""
    if not bound.computable:
        return "no value"
    if bound.vacuous:
        return sentences.says_nothing(bound, sentences.examples_of(bound) if n is None else n)
    return "certified" if bound.certified else "estimate"


def strict(value: object) -> Any:
    """Plain JSON values. NaN and infinities become null; in a mapping NAME_note says which."""
    if isinstance(value, Mapping):
        out: dict[str, Any] = {}
        for name, item in value.items():
            out[str(name)] = strict(item)
            if isinstance(item, (float, np.floating)) and not math.isfinite(item):
                out[f"{name}_note"] = str(float(item))
        return out
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [strict(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)


def interval_record(value: Interval) -> dict[str, Any]:
    """An interval as the mapping that is stored."""
    return {"lower": value.lower, "estimate": value.estimate, "upper": value.upper, "resolved": value.resolved}


def _short(value: Interval | None) -> str:
    return "not defined" if value is None else f"{value.estimate:.4g} {interval(value.lower, value.upper)}"
