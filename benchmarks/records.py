"""How are results kept and compared? One JSON file for a machine: its cases, each with its rows, rates and commit."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from typing import Any

from benchmarks import machine
from benchmarks.report import BEST_RATIO, BEST_SHARE, Report, Row, as_dict
from ntkseq._files import written

FORMAT = "ntkseq benchmarks 1"
RESULTS = pathlib.Path(__file__).parent / "results"
FALL = 0.75
"""A row has fallen whose ratio is less than that of its ratio before."""
_FIELDS = {field.name for field in dataclasses.fields(Row)}


@dataclasses.dataclass(frozen=True)
class Case:
    """One case as it was run: `seconds` in all, `rates` of the machine (see `machine.Ceilings`), rows, sentences."""

    commit: str
    load: float | None
    seconds: float
    rates: dict[str, float]
    sentences: dict[str, str]
    rows: tuple[Row, ...]


@dataclasses.dataclass
class Results:
    """What was measured on one machine with one set of versions."""

    machine: dict[str, Any]
    quick: bool
    cases: dict[str, Case] = dataclasses.field(default_factory=dict)

    def put(self, report: Report, seconds: float, load: float | None) -> None:
        """Keep a case, in the place of an earlier run of it."""
        rates = {name: value for name, value in dataclasses.asdict(machine.ceilings()).items() if value == value}
        self.cases[report.case] = Case(
            machine.commit(), load, round(seconds, 1), rates, dict(report.sentences), tuple(report.rows)
        )

    def write(self, path: pathlib.Path) -> None:
        """Write all of it, or nothing."""
        cases = {
            name: vars(case) | {"rows": [as_dict(row) for row in case.rows]}
            for name, case in sorted(self.cases.items())
        }
        payload = {"format": FORMAT, "machine": self.machine, "quick": self.quick, "cases": cases}
        path.parent.mkdir(parents=True, exist_ok=True)
        written(path, lambda file: file.write(json.dumps(payload, indent=1).encode() + b"\n"))


def place(path: pathlib.Path, quick: bool) -> pathlib.Path:
    """The file meant by a path: itself, or that of this kind of machine in a folder, which need not be there yet."""
    if path.suffix == ".json":
        return path
    return path / f"{machine.kind(machine.description())}{'-quick' * quick}.json"


def read(path: pathlib.Path) -> Results:
    """Results from a file.

    Raises:
        ValueError: what is no such file, in one line.
    """
    try:
        payload = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not JSON ({error}).") from None
    if not isinstance(payload, dict) or payload.get("format") != FORMAT:
        raise ValueError(f"{path} was not written by this program: it lacks the format {FORMAT!r}. Measure anew.")
    try:
        cases = {name: _case(case) for name, case in payload["cases"].items()}
        return Results(dict(payload["machine"]), bool(payload["quick"]), cases)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is damaged: {type(error).__name__} {error}.") from None


def _case(case: dict[str, Any]) -> Case:
    rows = []
    for row in case["rows"]:
        known = {name: value for name, value in row.items() if name in _FIELDS}
        points = tuple(tuple(point) for point in row.get("points", ()))
        rows.append(Row(**{"table": ""} | known | {"points": points}))
    return Case(**{**case, "rows": tuple(rows)})


def opened(path: pathlib.Path, quick: bool) -> Results:
    """Results to add to: those of the file, if it is there and of this machine, or none yet.

    Raises:
        ValueError: a file of another machine, of other versions, or of the other sizes.
        OSError: a place that cannot be written, which is said before anything is measured.
    """
    here = machine.description()
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise OSError(f"{path} cannot be written. Keep the rows in another file.")
    if not path.exists():
        return Results(here, quick)
    found = read(path)
    if found.quick != quick:
        raise ValueError(f"{path} holds {'quick' if found.quick else 'full'} sizes. Write these to another file.")
    other = [f"{key} {found.machine.get(key)!r} there, {value!r} here" for key, value in here.items()
             if found.machine.get(key) != value]  # fmt: skip
    if other:
        raise ValueError(f"{path} is of another machine or other versions ({'; '.join(other)}). Write to another file.")
    return found


@dataclasses.dataclass(frozen=True)
class Change:
    """One row, earlier and now.

    Attributes:
        case, table, what: of the row.
        of: what is compared: "times the peer", "share of the limit", or "seconds", which says nothing of a fall.
        then, now: the two values.
        ratio: how many times better now.
    """

    case: str
    table: str
    what: str
    of: str
    then: float
    now: float
    ratio: float

    @property
    def fell(self) -> bool:
        """Whether it has got worse by more than 25 percent: seconds alone are the machine's."""
        return self.of != "seconds" and self.ratio < FALL

    def __str__(self) -> str:
        mark = "FELL" if self.fell else "    "
        name = f"{self.case}: {self.table}: {self.what}"
        return f"{mark} {name:<92} {self.ratio:>6.2f}x  ({self.of}: {self.then:.3g} then, {self.now:.3g} now)"


def compare(earlier: Results, now: Results, cases: list[str]) -> tuple[list[Change], list[str], list[str]]:
    """The rows of these cases on both sides, then the names of those only in the earlier, and only now."""
    old, new = (
        {(name, row.table, row.what): row for name in cases if name in side.cases for row in side.cases[name].rows}
        for side in (earlier, now)
    )
    changes = [change for key in old if key in new and (change := _change(key, old[key], new[key]))]
    gone, come = ([": ".join(key) for key in one if key not in other] for one, other in ((old, new), (new, old)))
    return changes, gone, come


def _change(key: tuple[str, str, str], old: Row, new: Row) -> Change | None:
    for of, name in (("times the peer", BEST_RATIO), ("share of the limit", BEST_SHARE)):
        if name in old.details and name in new.details and (name != BEST_RATIO or old.peer == new.peer):
            then, now = old.details[name], new.details[name]
            return Change(*key, of, then, now, now / then)
    if old.steady and new.steady and old.ratio and new.ratio:
        return Change(*key, "times the peer", old.ratio, new.ratio, new.ratio / old.ratio)
    if old.unit == new.unit == "s" and old.ours and new.ours:
        return Change(*key, "seconds", old.ours, new.ours, old.ours / new.ours)
    return None


def better(one: Case, two: Case) -> Case:
    """Of two runs of a case the second, each row with the run in which it did better beside its peer or the machine."""

    def worth(row: Row) -> float:
        return row.details.get(BEST_RATIO, row.details.get(BEST_SHARE, 0.0))

    earlier = {(row.table, row.what): row for row in one.rows}
    rows = tuple(max((earlier.get((row.table, row.what), row), row), key=worth) for row in two.rows)
    return dataclasses.replace(two, rows=rows)
