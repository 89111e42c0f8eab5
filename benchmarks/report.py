"""What does a case write down? Tables of rows: what, ours, the other, the ratio; printed as they come."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from benchmarks import machine, progress
from benchmarks.machine import Work
from benchmarks.timing import Timing, growth

WIDTH = 56
BEST_RATIO, BEST_SHARE = "ratio of the least", "share at best"
"""By the least times in place of the medians: what two runs are compared by, since load only adds to times."""
SCALES = {
    "s": ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")),
    "B": ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"), (1, "B")),
}


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        table: the heading that it stands under.
        what: what was measured, the sizes included: with table and case it is the row's name in every file.
        unit: of `ours` and `other`: "s", "B", another word, or "".
        ours, other: the two numbers; None where there is no other, or where a number is not finite.
        peer: what the other is.
        ratio: how many times better ours is; above 1 is a gain.
        wanted, reached: a target and whether it was met; "" and None where none stands.
        timing: of ours: first, median, least and greatest seconds and how many.
        details: further numbers by name: compile seconds, peak bytes, rates, the share of the machine's limit.
        limit: which rate of the machine the share is of.
        steady: whether the ratio does not depend on how busy the machine is: counts, and memory as XLA plans it.
        points: of a growth: sizes and seconds.
    """

    table: str
    what: str
    unit: str = ""
    ours: float | None = None
    other: float | None = None
    peer: str = ""
    ratio: float | None = None
    wanted: str = ""
    reached: bool | None = None
    note: str = ""
    timing: dict[str, float] | None = None
    details: dict[str, float] = dataclasses.field(default_factory=dict)
    limit: str = ""
    steady: bool = False
    points: tuple[tuple[float, float], ...] = ()


@dataclasses.dataclass
class Report:
    """The rows of one case, in tables."""

    case: str
    rows: list[Row] = dataclasses.field(default_factory=list)
    sentences: dict[str, str] = dataclasses.field(default_factory=dict)
    """Heading of a table -> the sentence below it."""
    heading: str = ""

    def table(self, heading: str, sentence: str) -> None:
        """Begin a table: a heading, and what the rows are in one sentence."""
        self.heading = heading
        self.sentences[heading] = sentence
        progress.done()
        print(f"\n{heading}\n{sentence}")
        print(f"   {'what':<{WIDTH}}{'ours':>12}{'other':>12}{'ratio':>10}  wanted", flush=True)

    def add(self, what: str, value: float, unit: str = "", *, most: float | None = None, least: float | None = None,
            note: str = "") -> None:  # fmt: skip
        """A number of ours by itself; `most` and `least` are targets for it."""
        wanted, reached = _target(value, most, least)
        self._put(Row(self.heading, what, unit, value, wanted=wanted, reached=reached, note=note))

    def agree(self, what: str, difference: float, most: float, *, peer: str, note: str = "") -> None:
        """How far ours lies from something independent, relative to what the case says, and what it may be."""
        self.add(what, difference, "", most=most, note=f"from {peer}{', ' * bool(note)}{note}")

    def versus(self, what: str, ours: float, other: float, unit: str, *, peer: str, least: float | None = None,
               note: str = "", steady: bool = False) -> None:  # fmt: skip
        """Two numbers of which the smaller is the better; `least` is a target for other / ours."""
        if unit == "B" and not math.isfinite(ours):
            self.left_out(f"{what} (memory is seen where psutil is installed)")
            return
        ratio = other / ours if ours else math.nan
        wanted, reached = _target(ratio, None, least)
        self._put(Row(self.heading, what, unit, ours, other, peer, ratio, wanted, reached, note, steady=steady))

    def time(self, what: str, ours: Timing, other: Timing | None = None, *, peer: str = "", work: Work | None = None,
             memory: float | None = None, least: float | None = None, note: str = "",
             repeats: int = 1) -> None:  # fmt: skip
        """Seconds of ours, and of the other if there is one.

        Args:
            work: what one call has to do: rates, and the share of the machine's limit, follow from it.
            memory: bytes at the peak of ours.
            least: target for the ratio other / ours.
            repeats: of the thing measured within one timed call.
        """
        seconds = ours.median / repeats
        ratio = other.median / ours.median if other is not None else None
        wanted, reached = _target(ratio, None, least)
        details, limit = {"compile seconds": ours.compile, "spread": ours.spread}, ""
        if memory is not None and math.isfinite(memory):
            details["peak bytes"] = memory
        if other is not None:
            details[BEST_RATIO] = other.least / ours.least
        if work is not None:
            more, limit = rates(work, seconds)
            details |= more
            if limit:
                details[BEST_SHARE] = more["share of the limit"] * ours.median / ours.least
        self._put(
            Row(
                self.heading,
                what,
                "s",
                seconds,
                other.median / repeats if other is not None else None,
                peer,
                ratio,
                wanted,
                reached,
                note,
                dataclasses.asdict(ours),
                details,
                limit,
            )
        )

    def growth(self, what: str, variable: str, sizes: list[float], seconds: list[float], expected: float,
               note: str = "") -> None:  # fmt: skip
        """The exponent with which seconds grow in one size, beside what the algorithm's count of operations says."""
        slope, error = growth(sizes, seconds)
        told = f"+- {error:.2g}, " if math.isfinite(error) else ""
        note = f"{told}{variable} = {', '.join(f'{size:g}' for size in sizes)}; other: counted{', ' * bool(note)}{note}"
        self._put(
            Row(
                self.heading,
                what,
                "",
                slope,
                expected,
                "counted",
                note=note,
                points=tuple(zip(sizes, seconds, strict=True)),
            )
        )

    def left_out(self, what: str) -> None:
        """Say that something was not measured, and what would have it."""
        progress.done()
        print(f"   left out: {what}", flush=True)

    def _put(self, row: Row) -> None:
        row = dataclasses.replace(
            row, ours=_finite(row.ours), other=_finite(row.other), ratio=_finite(row.ratio),
            details={name: value for name, value in row.details.items() if math.isfinite(value)},
        )  # fmt: skip
        if any((old.table, old.what) == (row.table, row.what) for old in self.rows):
            raise AssertionError(f"two rows of {self.case} are called {row.what!r} in the table {row.table!r}")
        self.rows.append(row)
        progress.done()
        print(text(row), flush=True)


def rates(work: Work, seconds: float) -> tuple[dict[str, float], str]:
    """The rates at which `work` was done, with its share of the machine's limit, and what the limit is."""
    found = {}
    if work.pair_steps:
        found["ns per pair-step"] = seconds / work.pair_steps * 1e9
    if work.flops:
        found["FLOP/s"] = work.flops / seconds
    if work.bytes:
        found["bytes/s"] = work.bytes / seconds
    least, limit = work.floor(machine.ceilings())
    if limit:
        found["share of the limit"] = least / seconds
    return found, limit


def _target(value: float | None, most: float | None, least: float | None) -> tuple[str, bool | None]:
    if value is None or (most is None and least is None):
        return "", None
    if most is not None:
        return f"<= {most:g}", value <= most
    return f">= {least:g}", value >= (least or 0.0)


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


def text(row: Row) -> str:
    """The lines of a row: its numbers, then what else is known of it."""
    mark = {None: "   ", True: "ok ", False: "NO "}[row.reached]
    ratio = f"{row.ratio:.3g}x" if row.ratio is not None else ""
    ours, other = number(row.ours, row.unit), number(row.other, row.unit)
    line = f"{mark}{row.what:<{WIDTH}}{ours:>12}{other:>12}{ratio:>10}  {row.wanted}"
    peer = f"other: {row.peer}" if row.peer and row.peer != "counted" else ""
    more = "; ".join(part for part in (peer, row.note, facts(row)) if part)
    if not more:
        return line.rstrip()
    if len(line) + len(more) < 140 and not row.details:
        return f"{line}  {more}"
    return f"{line.rstrip()}\n      {more}"


def facts(row: Row) -> str:
    """The details of a row in words."""
    told = []
    for name, value in row.details.items():
        match name:
            case "compile seconds":
                told.append(f"first call {number(value, 's')} longer")
            case "spread":
                told.append(f"spread {value:.0%}")
            case "peak bytes":
                told.append(f"peak {number(value, 'B')}")
            case "FLOP/s" | "bytes/s":
                told.append(f"{value / 1e9:.3g} G{name.replace('bytes', 'B')}")
            case name if name in (BEST_RATIO, BEST_SHARE):
                continue
            case "share of the limit":
                told.append(f"{value:.2g} of what {row.limit} allows")
            case _:
                told.append(f"{value:.3g} {name}")
    return ", ".join(told)


def number(value: float | None, unit: str) -> str:
    """A number with its unit, at a scale that reads well."""
    if value is None:
        return ""
    for scale, name in SCALES.get(unit, ()):
        if abs(value) >= scale:
            return f"{value / scale:.3g} {name}"
    if unit in SCALES:
        scale, name = SCALES[unit][-1]
        return f"{value / scale:.3g} {name}"
    return f"{value:.4g} {unit}".rstrip()


def missed(rows: list[Row]) -> list[Row]:
    """The rows whose target was not met."""
    return [row for row in rows if row.reached is False]


def as_dict(row: Row) -> dict[str, Any]:
    """What is written of a row: what differs from an empty one."""
    empty = dataclasses.asdict(Row("", ""))
    return {name: value for name, value in dataclasses.asdict(row).items() if value != empty[name] or value is False}
