"""What a study found, as one frozen record: sentences, figures, tables, bounds, numbers, arrays."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ntkseq import _checks, _display
from ntkseq.bounds import Bound
from ntkseq.reports.record import bound_line, interval_record, strict
from ntkseq.spectra import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SCHEMA = "ntkseq-sheet-1"
LABEL = 34  # letters of a label that stands before its value in the summary; a longer one stands behind


@dataclasses.dataclass(frozen=True, eq=False)
class Table:
    """Rows of a sheet. A cell is a text, a number, a `spectra.Interval`, a truth value, or None for none.

    Attributes:
        shown: how many rows are shown on the page at first; the others are folded. 0: all are.
        header: names of the columns.
        rows: a cell for each of them.
        caption: what is to be seen.

    Raises:
        ValueError: a row with another number of cells than the header.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    caption: str = ""
    shown: int = 0

    def __repr__(self) -> str:
        named = ", ".join(map(str, self.header))
        caption = f"{self.caption}; " if self.caption else ""
        return _display.clipped(f"Table({caption}{len(self.rows)} rows of {len(self.header)}: {named})")

    def _repr_html_(self) -> str:
        rows = [["" if cell is None else cell for cell in row] for row in self.rows]
        return _display.table(self.caption or "Table", rows, self.header)

    def __post_init__(self) -> None:
        _checks.text("caption", self.caption)
        _checks.integer("shown", self.shown, 0)
        _checks.listed("header", self.header, "texts")
        rows = _checks.listed("rows", self.rows, "rows, each a list of cells")
        for i, row in enumerate(rows):
            _checks.listed("rows", row, "cells, for each row")
            if len(row) != len(self.header):
                raise ValueError(
                    f"rows must have {len(self.header)} cells each, as the header; row {i} has {len(row)}. "
                    "Put None where there is nothing."
                )


@dataclasses.dataclass(frozen=True, eq=False)
class Figure:
    """A picture of a sheet.

    Attributes:
        name: a word, unique in the sheet.
        draw: matplotlib Axes, or what returns them; all panels of their figure are shown.
        caption: what is to be seen. Also read to those who cannot see the picture, unless `alt` is given.
        alt: words instead of the picture.
        kind: "svg" for lines, "png" for what has many cells.
        wide: over the whole page, rather than beside the next one.
        numbers: the tables behind it; None: what is read off its lines, bars and small heat maps.

    Raises:
        ValueError: a draw that is neither Axes nor a function, an unknown kind, a text or table that is none.
    """

    name: str
    draw: Axes | Callable[[], Axes]
    caption: str
    alt: str = ""
    kind: str = "svg"
    wide: bool = False
    numbers: tuple[Table, ...] | None = None

    __repr__ = _display.record

    def __post_init__(self) -> None:
        for name in ("name", "caption", "alt"):
            _checks.text(name, getattr(self, name))
        if not callable(self.draw) and not hasattr(self.draw, "figure"):
            raise ValueError(f"draw must be Axes of matplotlib or a function; got {_checks.shown(self.draw)}.")
        _checks.choice("kind", self.kind, ("svg", "png"))
        for one in () if self.numbers is None else _checks.listed("numbers", self.numbers, "Table objects"):
            _checks.kind("numbers", one, Table)

    def axes(self) -> Axes:
        """The axes, drawn now if they are not yet."""
        return self.draw() if callable(self.draw) else self.draw


@dataclasses.dataclass(frozen=True, eq=False)
class Section:
    """A part of a sheet: heading, then text, figures, tables and bounds, in this order.

    Attributes:
        bounds: by short name; "<=" is written only before a certified one.
        measured: the quantity of a bound, measured on test examples for the same predictor; by the same names.
        folded: only its heading is shown at first.
        heading, text: words; a paragraph each.
        figures, tables: in the order to be shown.

    Raises:
        ValueError: a part that is not what its place asks for.
    """

    heading: str
    text: tuple[str, ...] = ()
    figures: tuple[Figure, ...] = ()
    tables: tuple[Table, ...] = ()
    bounds: Mapping[str, Bound] = dataclasses.field(default_factory=dict)
    measured: Mapping[str, float] = dataclasses.field(default_factory=dict)
    folded: bool = False

    def __repr__(self) -> str:
        return _display.clipped(f"Section({self.heading}: {_held(self)})")

    def __post_init__(self) -> None:
        _checks.text("heading", self.heading)
        _checks.flag("folded", self.folded)
        for name, kind in (("text", str), ("figures", Figure), ("tables", Table)):
            for one in _checks.listed(name, getattr(self, name), f"{kind.__name__} objects"):
                _checks.kind(name, one, kind)
        _checks.mapping("bounds", self.bounds, "bounds")
        _checks.mapping("measured", self.measured, "numbers")


@dataclasses.dataclass(frozen=True, eq=False)
class Sheet:
    """What a study with several figures found. `Folder.write` makes report.html, report.json and arrays.npz of it.

    In report.json a number that is not finite is null, and NAME_note beside it says which; arrays.npz holds every
    array bit by bit.

    Attributes:
        title: of the page.
        question: what was asked, in a sentence or two.
        expect: what was expected before it ran, from the head of the study's file.
        command: the command line that does it again.
        findings: what was learned, in plain sentences; the last says what to do next.
        facts: the most important numbers, (value, label) each.
        notes: warnings, what a reader must know before believing a number.
        sections: the body.
        numbers: everything that a program may want to read, by name; intervals become their four fields.
        arrays: for arrays.npz, numbers or text.
        provenance: versions, device, seeds, wall times.

    Raises:
        ValueError: two figures of one name; an array of Python objects, or a name that is no word.

    Example:
        >>> import numpy as np
        >>> from ntkseq.reports import Section, Sheet, Table
        >>> table = Table(("width", "drift"), ((64, 0.1), (256, 0.05)))
        >>> sheet = Sheet(
        ...     "Widths",
        ...     "Does the kernel of a wide network stand still?",
        ...     sections=(Section("Drift", tables=(table,)),),
        ...     facts=(("0.05", "drift at width 256"),),
        ...     arrays={"drift": np.array([0.1, 0.05])},
        ... )
        >>> sheet.summary()[-1]
        'drift at width 256  0.05'
    """

    title: str
    question: str
    expect: str = ""
    command: str = ""
    findings: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    sections: tuple[Section, ...] = ()
    numbers: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    arrays: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    provenance: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __repr__(self) -> str:
        facts = [f"  {label}: {value}" for value, label in self.facts[:3]]
        head = _display.cut(_display.wrapped(f"{type(self).__name__}({self.title}: {self.question})"), 2)
        parts = f"  {len(self.sections)} sections, {len(self.figures)} figures, {len(self.arrays)} arrays"
        return _display.clipped("\n".join([*head, *facts, parts]))

    def _repr_html_(self) -> str:
        said = [self.question, *self.findings, *self.notes]
        return _display.table(self.title, [(label, value) for value, label in self.facts], notes=said)

    def __post_init__(self) -> None:
        for name in ("title", "question", "expect", "command"):
            _checks.text(name, getattr(self, name))
        for pair in _checks.listed("facts", self.facts, "pairs (value, label)"):
            if len(_checks.listed("facts", pair, "pairs (value, label)")) != 2:
                raise ValueError(f"facts must be pairs (value, label); got {_checks.shown(pair)}.")
        for name, kind in (("findings", str), ("notes", str), ("sections", Section)):
            for one in _checks.listed(name, getattr(self, name), f"{kind.__name__} objects"):
                _checks.kind(name, one, kind)
        for name in ("numbers", "arrays", "provenance"):
            _checks.mapping(name, getattr(self, name), "values")
        names = [figure.name for figure in self.figures]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"figures must have different names; {twice[0]!r} comes twice. Rename one.")
        for name, array in self.arrays.items():
            if not re.fullmatch(r"\w[\w.-]*", name) or name in ("file", "allow_pickle"):  # arguments of numpy.savez
                raise ValueError(
                    f"arrays must have names of letters, digits, '_', '.' and '-', other than 'file' and "
                    f"'allow_pickle'; got {name!r}. Rename it."
                )
            if np.asarray(array).dtype.kind not in "biufcUS":
                raise ValueError(
                    f"arrays must hold numbers or text, which load without pickle; {name!r} has dtype "
                    f"{np.asarray(array).dtype}. Convert it."
                )

    @property
    def figures(self) -> tuple[Figure, ...]:
        """Those of all sections."""
        return tuple(figure for section in self.sections for figure in section.figures)

    def to_dict(self) -> dict[str, Any]:
        """Everything but pictures and arrays, as strict JSON: a number that is not finite is null."""
        sections = [
            {
                "heading": section.heading,
                "text": section.text,
                "figures": [{"name": figure.name, "caption": figure.caption} for figure in section.figures],
                "tables": [dataclasses.asdict(table) for table in section.tables],
                "bounds": {
                    key: bound.to_dict() | {"measured_on_test": section.measured.get(key)}
                    for key, bound in section.bounds.items()
                },
            }
            for section in self.sections
        ]
        return strict(
            {
                "schema": SCHEMA,
                "title": self.title,
                "question": self.question,
                "expect": self.expect,
                "command": self.command,
                "findings": self.findings,
                "facts": [{"label": label, "value": value} for value, label in self.facts],
                "notes": self.notes,
                "numbers": _spelled(self.numbers),
                "sections": _spelled(sections),
                "arrays": {name: list(np.shape(array)) for name, array in self.arrays.items()},
                "provenance": _spelled(self.provenance),
            }
        )

    def summary(self) -> list[str]:
        """The lines for a terminal: question, facts, bounds, notes."""
        facts = [(_line(label), _line(value)) for value, label in self.facts]
        facts += [(_line(key), _line(bound_line(b))) for part in self.sections for key, b in part.bounds.items()]
        width = max((len(label) for label, _ in facts if len(label) <= LABEL), default=0)
        lines = [
            _line(self.title),
            _line(self.question),
            *(_line(finding) for finding in self.findings),
            *(f"{label:<{width}}  {value}" if len(label) <= LABEL else f"{value}  {label}" for label, value in facts),
            *(f"note: {_line(note)}" for note in self.notes),
        ]
        return [line for line in lines if line]


def _held(section: Section) -> str:
    """What a section holds, counted."""
    parts = {"figures": section.figures, "tables": section.tables, "bounds": section.bounds}
    return (
        ", ".join(f"{len(part)} {name if len(part) > 1 else name[:-1]}" for name, part in parts.items() if part)
        or "text"
    )


def _line(text: str) -> str:
    """Foreign text in one line, without what could steer a terminal."""
    return "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))


def _spelled(value: object) -> Any:
    """Records as mappings of their fields; an interval with whether zero is outside."""
    if isinstance(value, Interval):
        return interval_record(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _spelled(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {name: _spelled(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_spelled(item) for item in value]
    return value
