"""What happened in a training run whose history lies in a file? A sheet of what its tables hold."""

from __future__ import annotations

import dataclasses
import math
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ntkseq._outward import outward
from ntkseq.reports import Figure, Section, Sheet, Table, trajectories
from ntkseq.spectra import Interval
from ntkseq.studies.history_sentences import findings
from ntkseq.studies.records import command_line
from ntkseq.training import History
from ntkseq.training import ProbeTable as Rows

NEEDED = {
    "kernel": ("min_eigenvalue", "min_eigenvalue_lower", "min_eigenvalue_upper", "resolved", "top", "top_error"),
    "movement": ("relative",),
    "features": ("overlap", "overlap_lower", "overlap_upper", "floor", "above"),
    "certificate": ("network", "network_error", "linearised", "linearised_error", "certified"),
}
"""Columns that a table must have to be drawn as what its probe says it is."""
MOST_POINTS = 1000  # of a curve that is drawn as lines; more of them make a page of megabytes
MOST_ROWS = 12  # of a table on the page; all rows are in arrays.npz


@dataclasses.dataclass(frozen=True)
class Recorded:
    """A report on a training run from its history: spectrum, drift, ranks, losses and attention over the steps.

    FILE is an .npz or .json written by History.save. Writes report.html, report.json and arrays.npz into --out.
    """

    file: str
    """A history: .npz or .json, written by History.save."""
    out: str | None = None
    """Folder to write. Default: NAME-report in the working directory."""
    overwrite: bool = False
    """Replace the files of an earlier report in --out; other files there are left alone."""

    @property
    def command(self) -> str:
        """The command line that asks for this report."""
        return command_line(["ntkseq", "report", self.file], self)


def recorded(asked: Recorded) -> Sheet:
    """The sheet of a history in a file.

    Raises:
        ValueError: no such file, or not a history; a history without a row.
    """
    path = pathlib.Path(asked.file)
    if path.suffix not in (".npz", ".json"):
        raise ValueError(f"{asked.file}: wanted a history as .npz or .json, as History.save writes it.")
    history = History.load(path)
    try:
        return sheet(history, title=f"{path.stem}: a training run", command=asked.command)
    except ValueError as error:
        raise ValueError(f"{asked.file}: {error}") from None


def sheet(history: History, *, title: str = "A training run", command: str = "") -> Sheet:
    """What a history holds, drawn and put into tables. Of a kind that is not known, the numbers are shown as they are.

    Raises:
        ValueError: no table, or a table without a row or with columns of shapes that do not fit its kind.

    Example:
        >>> import numpy as np
        >>> from ntkseq.training import History, ProbeTable
        >>> loss = ProbeTable(np.array([0, 10]), {"train_loss": np.array([1.0, 0.1])})
        >>> sheet(History({"loss": loss}, {"loss": {"kind": "loss"}})).facts
        (('1 → 0.1', 'train loss, step 0 to 10'),)
    """
    about = {name: dict(said) for name, said in dict(history.about).items() if isinstance(said, Mapping)}
    history = dataclasses.replace(history, about=about)
    filled = {name: table for name, table in history.tables.items() if len(table.steps)}
    if not filled:
        raise ValueError("the history holds no row. Track a run with a probe, and save it afterwards.")
    sections, facts, notes, numbers = [], [], [], {}
    for name, table in filled.items():
        kind = str(about.get(name, {}).get("kind", name))
        _check(name, kind, table)
        numbers[name] = {
            "about": about.get(name, {}),
            "steps": table.steps,
            "first": _row(table, 0),
            "last": _row(table, -1),
        }
        sections.append(_SECTIONS.get(kind, _other)(history, name))
        facts += _facts(kind, name, table)
        notes += _notes(kind, name, table)
    last = max(int(table.steps[-1]) for table in filled.values())
    return Sheet(
        title=title,
        question=f"What happened to the network over {last} steps of training?",
        command=command,
        findings=findings({name: (str(about.get(name, {}).get("kind", name)), t) for name, t in filled.items()}),
        facts=tuple(facts),
        notes=tuple(notes),
        sections=tuple(section for section in sections if section.figures or section.tables),
        numbers=numbers,
        arrays={
            f"{name}.{column}": values
            for name, table in filled.items()
            for column, values in {"steps": table.steps, **table.columns}.items()
        },
        provenance={f"probe {name}": said for name, said in about.items()},
    )


def _kernel(history: History, name: str) -> Section:
    table, n = history[name], history.about.get(name, {}).get("n")
    draw = _Drawing(history, name)
    figures = [
        draw("leading_eigenvalues", "Largest eigenvalues of the kernel, and the least one with its interval.", True),
        draw("drift", "Distance of kernel and parameters from the start, each over its size there.",
             _has(table, "distance", "distance_error"), movement=_first_of(history, "movement")),
        draw("rotation", "Largest principal angle between the leading eigenvectors and those at the start; its error.",
             _has(table, "rotation", "rotation_error")),
        draw("ranks", "Effective ranks with the intervals that the errors of the eigenvalues leave.",
             all(_has(table, f"rank_{kind}", f"rank_{kind}_lower", f"rank_{kind}_upper")
                 for kind in trajectories.RANKS)),
        draw("alignment", "Cosine between the kernel and y y', and between it and that of the residuals.",
             _has(table, "alignment")),
    ]  # fmt: skip
    header = ("step", "least eigenvalue", "told from zero", "largest", "entropy rank", "drift", "rotation (rad)")
    rows = []
    for i in _some(len(table.steps)):
        least, largest = least_eigenvalue(table, i), float(table["top"][i].max(initial=-math.inf))
        beside = (_at(table, column, i) for column in ("rank_entropy", "distance", "rotation"))
        rows.append((int(table.steps[i]), least, least.positive, largest, *beside))
    over = f" of {n} probe examples" if n else ""
    return Section(
        _heading("Kernel", name), figures=_given(figures), tables=(Table(header, tuple(rows), f"The kernel{over}."),)
    )


def least_eigenvalue(table: Rows, row: int) -> Interval:
    """The least eigenvalue in one row of the table of a kernel."""
    lower, estimate, upper = (
        float(table[name][row]) for name in ("min_eigenvalue_lower", "min_eigenvalue", "min_eigenvalue_upper")
    )
    return Interval(lower, estimate, upper)


def _loss(history: History, name: str) -> Section:
    table, draw = history[name], _Drawing(history, name)
    figures = [
        draw("losses", "Loss by data set.", bool(_ends(table, "_loss"))),
        draw("losses", "Share of wrong answers by data set.", bool(_ends(table, "_error")), end="_error"),
    ]
    return dataclasses.replace(_other(history, name), heading=_heading("Loss", name), figures=_given(figures))


def _attention(history: History, name: str) -> Section:
    table, draw = history[name], _Drawing(history, name)
    kinds = [c.removeprefix("rank_") for c in table.columns if c.startswith("rank_") and f"{c}_spread" in table.columns]
    words = "effective rank of the attention matrices by layer. Thick: mean over heads; thin: each head."
    figures = [draw("attention", f"{kind.capitalize()} {words}", True, kind=kind) for kind in kinds]
    return Section(_heading("Attention", name), figures=_given(figures))


def _certificate(history: History, name: str) -> Section:
    words = "Certified bounds, all valid at once; thin: errors on the examples that training does not see."
    figure = _Drawing(history, name)("certificate", words, True)
    return dataclasses.replace(_other(history, name), heading=_heading("Certificate", name), figures=_given([figure]))


def _features(history: History, name: str) -> Section:
    """Overlaps at the first and at the last record, a row for each layer and feature."""
    table, about = history[name], history.about.get(name, {})
    shape = table["overlap"].shape[1:]
    names = [list(map(str, about.get(axis, ()))) or list(map(str, range(n)))
             for axis, n in zip(("layers", "features"), shape, strict=True)]  # fmt: skip
    if [len(one) for one in names] != list(shape):
        raise ValueError(f"table {name!r} has overlaps of shape {shape}, but names {names[0]} and {names[1]}.")
    rows = []
    for i, j in np.ndindex(*shape):
        ends = [Interval(*(float(table[f"overlap{end}"][row, i, j]) for end in ("_lower", "", "_upper")))
                for row in (0, -1)]  # fmt: skip
        rows.append((names[0][i], names[1][j], *ends, float(table["floor"][-1, i, j]), bool(table["above"][-1, i, j])))
    header = ("layer", "feature", "overlap at first", "in the end", "floor", "above it")
    many = f"{about['k']} " if "k" in about else ""
    caption = f"Overlap of the {many}leading eigenvectors of each layer's kernel with features."
    return Section(_heading("Features", name), tables=(Table(header, tuple(rows), caption),))


def _other(history: History, name: str) -> Section:
    """The numbers of any table."""
    table = history[name]
    columns = [column for column in table.columns if table[column].ndim == 1]
    rows = tuple((int(table.steps[i]), *(table[c][i].item() for c in columns)) for i in _some(len(table.steps)))
    shown = Table(("step", *(column.replace("_", " ") for column in columns)), rows)
    return Section(name.replace("_", " ").capitalize(), tables=(shown,) if columns else ())


_SECTIONS: Mapping[str, Callable[[History, str], Section]] = {
    "kernel": _kernel,
    "loss": _loss,
    "attention": _attention,
    "certificate": _certificate,
    "features": _features,
}


class _Drawing:
    """Makes figures of one table, each drawn when the page is."""

    def __init__(self, history: History, table: str) -> None:
        self.history, self.table = history, table

    def __call__(self, function: str, caption: str, there: bool, **options: Any) -> Figure | None:
        if not there:
            return None
        name = "-".join([self.table, function, *(str(v).strip("_") for v in options.values() if function != "drift")])
        return Figure(
            name,
            lambda: getattr(trajectories, function)(self.history, table=self.table, **options),
            caption,
            kind="svg" if len(self.history[self.table].steps) <= MOST_POINTS else "png",
        )


def _given(figures: list[Figure | None]) -> tuple[Figure, ...]:
    return tuple(figure for figure in figures if figure is not None)


def _check(name: str, kind: str, table: Rows) -> None:
    """What lies in a file may be anything."""
    steps = table.steps
    if steps.ndim != 1 or steps.dtype.kind != "i" or (steps[0] < 0) or (np.diff(steps) <= 0).any():
        raise ValueError(f"table {name!r} must have ascending steps >= 0; got {np.ravel(steps)[:5]} ...")
    missing = [column for column in NEEDED.get(kind, ()) if column not in table.columns]
    if missing:
        raise ValueError(f"table {name!r} says it is of kind {kind!r}, but has no column {missing[0]!r}.")
    for column, values in table.columns.items():
        flat = kind in ("loss", "movement", "certificate") or (
            kind == "kernel" and column not in ("top", "top_error", "outputs")
        )
        wanted = 1 if flat else 2 if column in ("top", "top_error") else values.ndim
        wanted = 3 if kind == "features" and column in NEEDED["features"] else wanted
        if values.ndim != wanted or values.dtype.kind not in "bf":
            raise ValueError(
                f"column {column!r} of table {name!r} has shape {values.shape}, dtype {values.dtype}; wanted numbers "
                f"with {wanted} axes, the first for {len(table.steps)} steps."
            )


def _facts(kind: str, name: str, table: Rows) -> list[tuple[str, str]]:
    span = f"step {table.steps[0]} to {table.steps[-1]}"
    if kind == "kernel":
        facts = [(f"{_least(table, 0)} → {_least(table, -1)}", f"least eigenvalue of {name}, {span}")]
        if _has(table, "distance", "distance_error"):
            drift, error = float(table["distance"][-1]), float(table["distance_error"][-1])
            facts.append((f"{drift:.4g}", f"drift of {name} from the start, relative, +- {outward(error, digits=2)}"))
        return facts
    if kind == "loss":
        return [(_change(table[c]), f"{c.replace('_', ' ')}, {span}") for c in _ends(table, "_loss")]
    return []


def _notes(kind: str, name: str, table: Rows) -> list[str]:
    if kind != "kernel" or table["resolved"].all():
        return []
    lost = int(np.isnan(table["min_eigenvalue"]).sum())
    hidden = int((~table["resolved"].astype(bool)).sum()) - lost
    notes = []
    if hidden:
        notes.append(
            f"At {hidden} of {len(table.steps)} steps the least eigenvalue of {name} is not told from zero: only its "
            "upper end is known there."
        )
    if lost:
        notes.append(f"At {lost} of {len(table.steps)} steps {name} is not finite: the run diverged.")
    return notes


def _least(table: Rows, i: int) -> str:
    """The least eigenvalue; its upper end where it is not told from zero."""
    value, upper = float(table["min_eigenvalue"][i]), float(table["min_eigenvalue_upper"][i])
    return f"{value:.3g}" if table["resolved"][i] or not upper > 0 else f"below {outward(upper, digits=3)}"


def _change(values: np.ndarray) -> str:
    return f"{values[0]:.3g} → {values[-1]:.3g}"


def _heading(word: str, name: str) -> str:
    return word if name == word.lower() else f"{word}: {name}"


def _row(table: Rows, i: int) -> dict[str, Any]:
    return {column: values[i] for column, values in table.columns.items() if values[i].size <= 64}


def _at(table: Rows, column: str, i: int) -> float | None:
    return float(table[column][i]) if column in table.columns else None


def _has(table: Rows, *columns: str) -> bool:
    """Whether there are such columns, and a number in the first."""
    return all(column in table.columns for column in columns) and bool(np.isfinite(table[columns[0]]).any())


def _ends(table: Rows, end: str) -> list[str]:
    return [column for column in table.columns if column.endswith(end) and np.isfinite(table[column]).any()]


def _first_of(history: History, kind: str) -> str:
    found = (name for name, about in history.about.items() if about.get("kind") == kind and name in history.tables)
    return next(found, kind)


def _some(r: int) -> list[int]:
    """Rows for the page: all of a few, else the first, the last and some evenly between."""
    return sorted(set(np.linspace(0, r - 1, min(r, MOST_ROWS)).round().astype(int).tolist()))
