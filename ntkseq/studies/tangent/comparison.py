"""What does the report of a study say where several kernels are asked for? Their numbers side by side."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.stats

from ntkseq._outward import percents
from ntkseq._plots import COLOURS, DASHES, FAINT, INK, NARROW, WARM, axes, grid, plain
from ntkseq.bounds import Bound
from ntkseq.reports import Figure, Section, Sheet, Table
from ntkseq.reports.record import Rank, bound_standing
from ntkseq.reports.report import gram_arrays
from ntkseq.reports.sentences import claim, counted, listed, resolved, share
from ntkseq.studies.provenance import Clock
from ntkseq.studies.tangent import fits, regression
from ntkseq.studies.tangent.certificates import certificates
from ntkseq.studies.tangent.facts import caution, on_examples
from ntkseq.studies.tangent.fits import Fit
from ntkseq.studies.tangent.inputs import Problem
from ntkseq.studies.tangent.spec import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SURE = 0.05  # chance of a difference as large as seen between two kernels that are equally good


@dataclasses.dataclass(frozen=True, eq=False)
class Row:
    """One kernel of the comparison.

    Attributes:
        one: the kernel on the examples.
        error, loo: on the test examples and leave-one-out; a share of errors, or a root of mean squares.
        interval: of the test error at 95 %; None for numbers, or where test examples were trained on.
        losses: of each test example, by which kernels are told apart.
        reg, reg_from: the ridge, and how it was chosen.
        ranks: effective ranks.
        bounds: by short name, the best first; measured: their quantities on the test examples.
        predicted: for the test examples.
    """

    one: Fit
    error: float
    loo: float
    interval: tuple[float, float] | None
    losses: np.ndarray
    reg: float
    reg_from: str
    ranks: tuple[Rank, ...]
    bounds: dict[str, Bound]
    measured: dict[str, float]
    predicted: np.ndarray

    @property
    def name(self) -> str:
        """Of the kernel."""
        return self.one.choice.name

    @property
    def best(self) -> str:
        """The name of the least certified bound that says something; empty if none does."""
        return next((key for key, bound in self.bounds.items() if bound.certified and not bound.vacuous), "")


def report(study: Study, posed: Problem, every: tuple[Fit, ...], clock: Clock) -> Sheet:
    """The report on several kernels, without provenance.

    Bounds count that so many kernels were looked at: all certified ones, of all kernels, hold at once.

    Args:
        study: what was asked.
        posed: the examples.
        every: the kernels on them.
        clock: times the stages.
    """
    rows = []
    for one in every:
        with clock(f"bounds {one.choice.name}", f"prediction and bounds ({one.choice.name})"):
            rows.append((_classes if posed.classes else _numbers)(study, posed, one, len(every)))
    best = min(rows, key=lambda row: row.error)
    return Sheet(
        title=f"{posed.name}: {len(rows)} kernels side by side",
        question=(
            f"Which of {len(rows)} kernels predicts best, which is told from a singular one, and what is proved of "
            f"each? {posed.summary}."
        ),
        command=study.command,
        findings=_findings(study, posed, rows, best),
        facts=_facts(posed, rows, best),
        notes=_notes(posed, rows),
        sections=(
            Section(
                "Prediction", (_spoken(posed, study.reg),), (_errors_figure(posed, rows),), (_prediction(posed, rows),)
            ),
            Section("Spectra", (), (_spectra_figure(rows),), (_spectra(rows),)),
            _proved(posed, rows),
            Section(
                "Kernels",
                tables=(Table(("kernel", "what it is"), tuple((row.name, row.one.words) for row in rows)),),
            ),
        ),
        numbers={
            "kernels": {row.name: _record(row) for row in rows},
            "n_train": len(posed.train.y),
            "n_test": len(posed.test.y),
        },
        arrays=_arrays(posed, rows),
    )


def _classes(study: Study, posed: Problem, one: Fit, count: int) -> Row:
    said = fits.prediction(one, posed, study.reg)
    proved = certificates(one, posed, study, said.reg, compared=count)
    return Row(
        one, said.test_error, said.loo_error, said.test_interval, np.asarray(said.codes != posed.test.y, float),
        said.reg, said.reg_from, fits.effective_ranks(one.eigen, said.reg), dict(proved.bounds), dict(proved.measured),
        np.asarray(said.scores),
    )  # fmt: skip


def _numbers(study: Study, posed: Problem, one: Fit, count: int) -> Row:
    out = regression.outcome(study, posed, one, count)
    return Row(
        one, out.errors.test, out.errors.loo, None, np.square(out.predicted - np.asarray(posed.test.y, np.float64)),
        out.reg, out.reg_from, fits.effective_ranks(one.eigen, out.reg), {"rademacher": out.bound}, out.measured,
        out.predicted,
    )  # fmt: skip


def _findings(study: Study, posed: Problem, rows: list[Row], best: Row) -> tuple[str, ...]:
    told = [_least(posed, rows, best)]
    whole = [row.name for row in rows if row.one.eigen.min_eigenvalue.positive]
    part = [
        f"{row.name} ({resolved(row.one.eigen)} of {row.one.eigen.n})"
        for row in rows
        if not row.one.eigen.min_eigenvalue.positive
    ]
    n = len(posed.train.y)
    if whole:
        told.append(f"All {n} directions are resolved in {study.dtype} for {listed(whole)}.")
    if part:
        told.append(f"Some directions are not told from zero for {listed(part)}.")
    proved = [(row.bounds[row.best].value or 0.0, row) for row in rows if row.best]
    if proved:
        least = min(proved, key=lambda pair: pair[0])[1]
        bound = least.bounds[least.best]
        told.append(
            f"Proved, with probability at least {bound.chance}, for all kernels at once: of {least.name} "
            f"{claim(bound)} ({least.best}: {bound.applies_to})."
        )
    else:
        told.append(f"No certified bound says something at n = {n}.")
    return (*told, *_next(study, rows))


def _least(posed: Problem, rows: list[Row], best: Row) -> str:
    """Which kernels have the least test error, and from which others the test examples tell them."""
    first = [row.name for row in rows if row.error == best.error]
    others = [row for row in rows if row.error != best.error]
    one, many = len(first) == 1, len(rows) * (len(rows) - 1) // 2
    told = f"{listed(first)} {'has' if one else 'have'} the least test error, {_error(posed, best.error)}"
    where = f"on {counted(len(posed.test.y), 'test example')}"
    if posed.repeated:
        return f"{told}, {where}; some of them were trained on, so that no kernel is told from another."
    if not others:
        return f"{told}; {where} none is told from another."
    same = [row.name for row in others if not _apart(best, row, many)]
    verb = "it is" if one else "they are"
    if not same:
        return f"{told}; {where} {verb} told from all others."
    return f"{told}; {where} {verb} not told from {listed(same)}."


def _apart(best: Row, other: Row, pairs: int) -> bool:
    """Whether the test examples tell the first from a worse kernel: sign test on those where one does better.

    Which is the first was chosen by the same examples, so that the test counts all pairs of kernels.
    """
    difference = np.sign(best.losses - other.losses)
    wins, losses = int((difference < 0).sum()), int((difference > 0).sum())
    return wins > losses and bool(pairs * scipy.stats.binomtest(wins, wins + losses).pvalue < SURE)


def _next(study: Study, rows: list[Row]) -> tuple[str, ...]:
    """To tune one that has settings, with bounds that count the kernels of this page, too; nothing if none has any."""
    named = [row for row in rows if row.one.choice.takes]
    if not named:
        return ()
    choice = min(named, key=lambda row: row.loo).one.choice
    usual = {field.name: field.default for field in dataclasses.fields(study)}
    alien = {name: usual[name] for name in study.changed if name not in choice.takes}
    changes = {"kernel": choice.text, **alien, "tune": True, "tried": study.tried * len(rows)}
    which = "the one" if len(named) == len(rows) else "of those with a short name the one"
    return (f"Next: tune {which} of least leave-one-out error: {on_examples(study, **changes)}",)


def _facts(posed: Problem, rows: list[Row], best: Row) -> tuple[tuple[str, str], ...]:
    return tuple(
        (_error(posed, row.error), f"test error of {row.name}{', the least' if row.error == best.error else ''}")
        for row in rows
    )


def _error(posed: Problem, value: float) -> str:
    return share(value) if posed.classes else f"{value:.4g}"


def _notes(posed: Problem, rows: list[Row]) -> tuple[str, ...]:
    told = [f"The file: {note}." for note in posed.notes]
    told += [note for row in rows for note in row.one.notes]
    told.append(
        f"The bounds take all {len(rows)} kernels for fixed before the data were seen, and pay for each: the certified "
        "ones hold at once. A kernel picked from this page by its test error has a test error that flatters."
    )
    told += caution(posed)
    return tuple(dict.fromkeys(told))


def _spoken(posed: Problem, reg: float | None) -> str:
    what = "Kernel ridge regression" + (", one class against the rest," if len(posed.classes) > 2 else "")
    ridge = "the ridge of least leave-one-out error for each kernel" if reg is None else f"a ridge of {reg:g}"
    return (
        f"{what} with {ridge}, on the same examples. Two kernels are told apart where one does better on so many more "
        f"of the test examples that chance does it in less than {100 * SURE:g} % of cases, over all pairs of kernels."
    )


def _prediction(posed: Problem, rows: list[Row]) -> Table:
    if not posed.classes:
        header = ("kernel", "root mean squared test error", "leave-one-out", "ridge")
        return Table(header, tuple((row.name, row.error, row.loo, row.reg) for row in rows))
    header = ("kernel", "test error", "95 % interval", "leave-one-out error", "ridge")
    found = []
    for row in rows:
        low, high = (None, None) if row.interval is None else percents(*row.interval)
        found.append(
            (row.name, share(row.error), "none" if low is None else f"{low} to {high}", share(row.loo), row.reg)
        )
    return Table(header, tuple(found))


def _spectra(rows: list[Row]) -> Table:
    header = ("kernel", "least eigenvalue", "told from zero", "condition", "entropy rank", "stable rank", "sampled")
    found = []
    for row in rows:
        eigen, held = row.one.eigen, {rank.kind: rank.value for rank in row.ranks}
        condition = eigen.condition if eigen.condition.resolved else f"at least {eigen.condition.lower:.4g}"
        entropy, stable = held.get("entropy"), held.get("stable")
        told = f"{resolved(row.one.eigen)} of {eigen.n}"
        found.append((row.name, eigen.min_eigenvalue, told, condition, entropy, stable, row.one.sampled or "no"))
    return Table(header, tuple(found))


def _proved(posed: Problem, rows: list[Row]) -> Section:
    """The bounds of every kernel: the best of each in full, the others in a table."""
    table = Table(
        ("kernel", "bound", "quantity", "value", "standing", "on the test examples"),
        tuple(
            (row.name, key, bound.quantity, bound.value, bound_standing(bound), row.measured.get(key))
            for row in rows
            for key, bound in row.bounds.items()
        ),
        caption="All bounds of all kernels. The certified ones hold at once.",
    )
    first = {row.name: row.best or next(iter(row.bounds)) for row in rows}
    shown = {f"{row.name}: {first[row.name]}": row.bounds[first[row.name]] for row in rows}
    measured = {f"{row.name}: {first[row.name]}": row.measured.get(first[row.name]) for row in rows}
    text = (f"All bounds speak of a two-class problem: {posed.question}.",) if posed.classes else ()
    held = {key: value for key, value in measured.items() if value is not None}
    return Section("Bounds", text=text, tables=(table,), bounds=shown, measured=held)


def _record(row: Row) -> dict[str, Any]:
    return {
        "kernel": row.one.words,
        "sampled": row.one.sampled or None,
        "test_error": row.error,
        "test_interval": row.interval,
        "loo_error": row.loo,
        "reg": row.reg,
        "reg_from": row.reg_from,
        "min_eigenvalue": row.one.eigen.min_eigenvalue,
        "resolved_eigenvalues": resolved(row.one.eigen),
        "effective_rank": {rank.kind: rank.value for rank in row.ranks},
        "best_bound": row.best or None,
        "bounds": {
            key: bound.to_dict() | {"measured_on_test": row.measured.get(key)} for key, bound in row.bounds.items()
        },
    }


def _arrays(posed: Problem, rows: list[Row]) -> dict[str, np.ndarray]:
    held: dict[str, Any] = {"y": posed.train.y, "y_test": posed.test.y, "kernels": np.array([row.name for row in rows])}
    for i, row in enumerate(rows):
        own = {**gram_arrays(row.one.K, row.one.cross, row.one.eigen), "prediction": row.predicted}
        held |= {f"{name}_{i}": array for name, array in own.items()}
    return held


def _errors_figure(posed: Problem, rows: list[Row]) -> Figure:
    what = (
        "Share of test examples that are misclassified, with its 95 % interval"
        if posed.classes
        else ("Root of the mean squared error on the test examples")
    )
    return Figure("errors", functools.partial(_draw_errors, rows), f"{what}; hollow: leave-one-out.")  # fmt: skip


def _draw_errors(rows: list[Row]) -> Axes:
    ax = axes(width=NARROW, height=1.2 + 0.45 * len(rows))
    at = np.arange(len(rows))
    for i, row in enumerate(rows):
        if row.interval is not None:
            ax.plot(row.interval, [i, i], color=FAINT, lw=4, solid_capstyle="butt")
    ax.plot([row.error for row in rows], at, "o", ms=6, color=INK, label="test")
    ax.plot([row.loo for row in rows], at, "o", ms=6, mfc="none", color=WARM, label="leave-one-out")
    ax.set_yticks(at, [plain(row.name) for row in rows])
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_xlim(left=0)
    ax.set_xlabel("error")
    grid(ax, "x")
    ax.legend(frameon=False, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return ax


def _spectra_figure(rows: list[Row]) -> Figure:
    return Figure(
        "eigenvalues",
        functools.partial(_draw_spectra, rows),
        "Eigenvalues of each kernel over its trace, those that are told from zero; triangle: the upper end of the "
        "first that is not.",
    )


def _draw_spectra(rows: list[Row]) -> Axes:
    ax = axes(width=NARROW, height=3.4)
    ax.set_xscale("log")
    ax.set_yscale("log")
    for i, row in enumerate(rows):
        eigen, colour = row.one.eigen, COLOURS[i % len(COLOURS)]
        values, errors = np.asarray(eigen.values) / eigen.trace, np.asarray(eigen.errors) / eigen.trace
        clear = values > errors
        index = np.arange(1, len(values) + 1)
        ax.plot(
            index[clear],
            values[clear],
            color=colour,
            lw=1.4,
            ls=DASHES[i // len(COLOURS) % len(DASHES)],
            label=plain(row.name),
        )
        hidden = np.flatnonzero(~clear & (values + errors > 0))
        if len(hidden):
            ax.plot(index[hidden[:1]], (values + errors)[hidden[:1]], "v", ms=5, color=colour)
    ax.set_xlabel("index of the eigenvalue, largest first")
    ax.set_ylabel("eigenvalue / trace")
    ax.legend(frameon=False)
    return grid(ax)
