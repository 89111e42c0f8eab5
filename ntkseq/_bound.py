"""What does a bound say, what does it assume, and what could not be checked? How it prints that."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from ntkseq import _bound_plots, _checks, _display, _plots
from ntkseq._outward import at_least, at_most, outward

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PROVENANCE = ("exact", "derived", "recalled", "template")
"""From best to worst. exact: an identity, given K. derived: proved in this library's theory pages. recalled: the form
of a published theorem, written down without its text at hand; never shown as exact. template: a form assumed by this
library, which no theorem known here states; never certified."""

STATUS = ("holds", "declared", "unchecked", "unresolved", "fails")
"""holds: checked on these data. declared: cannot be seen in data, the caller vouches for it. unchecked: could be known,
was not looked at. unresolved: looked at, the numerical error leaves it open. fails: checked, does not hold."""


@dataclass(frozen=True)
class Term:
    """One summand of a bound.

    Attributes:
        name: what it measures.
        formula: as printed.
        value: its number; None where the source gives a rate only.
        explicit: False where the source gives O(.) only and the constant is taken as stated.
        provenance: "exact", "derived", "recalled" or "template"; see `PROVENANCE`.
        note: what a reader should know.
        counted: False for a number shown beside the bound, which is no part of its value.

    Raises:
        ValueError: an unknown provenance.
    """

    name: str
    formula: str
    value: float | None
    _: KW_ONLY
    explicit: bool
    provenance: str
    note: str = ""
    counted: bool = True

    __repr__ = _display.record

    def __post_init__(self) -> None:
        _checks.choice("provenance", self.provenance, PROVENANCE)


@dataclass(frozen=True)
class Assumption:
    """One thing a bound assumes, whether it holds here, and how that is known.

    Attributes:
        name: in a word or two.
        statement: what is assumed.
        status: "holds", "declared", "unchecked", "unresolved" or "fails"; see `STATUS`.
        evidence: what was measured, or why it was not.

    Raises:
        ValueError: an unknown status.
    """

    name: str
    statement: str
    status: str
    evidence: str = ""

    __repr__ = _display.record

    def __post_init__(self) -> None:
        _checks.choice("status", self.status, STATUS)


@dataclass(frozen=True)
class Constants:
    """The numbers that went into a bound or came out on the way: every family of bounds has its own record of them."""

    def to_dict(self) -> dict[str, Any]:
        """The numbers by name, as they are written to files."""
        return {one.name: getattr(self, one.name) for one in fields(self)}


C_co = TypeVar("C_co", bound=Constants, covariant=True)


@dataclass(frozen=True, eq=False)
class Bound(Generic[C_co]):
    """A bound with its terms and assumptions; it prints `<=`, or `>=`, only when every one of them stands.

    Attributes:
        name: of the bound.
        quantity: what is bounded.
        value: its number; None where the source gives a rate only, NaN where these data allow none (see `reason`).
        terms: the summands, and numbers shown beside them.
        assumptions: what it rests on.
        delta: the probability that it fails; None for a statement without chance.
        applies_to: the predictor it speaks of.
        references: reference keys, for `ntkseq.references.cite`.
        constants: the numbers that went in or came out on the way, a record of the family of the bound:
            `bound.constants.n`.
        trivial: the quantity cannot exceed this, so a value from there on says nothing; None: no such level.
        reason: why `value` is None or NaN.
        lower: whether the quantity is at least `value`; otherwise it is at most that.
    """

    name: str
    quantity: str
    value: float | None
    terms: tuple[Term, ...]
    assumptions: tuple[Assumption, ...]
    delta: float | None = None
    applies_to: str = "kernel predictor"
    references: tuple[str, ...] = ()
    constants: C_co = field(default_factory=Constants)  # pyright: ignore[reportAssignmentType]
    trivial: float | None = 1.0
    reason: str = ""
    lower: bool = False

    @property
    def computable(self) -> bool:
        """Whether there is a number."""
        return self.value is not None and math.isfinite(self.value)

    @property
    def objections(self) -> tuple[str, ...]:
        """Why the value is not certified; empty if it is."""
        found = []
        if not self.computable:
            found.append(self.reason or "no finite value")
        counted = [term for term in self.terms if term.counted]
        if hidden := [term.name for term in counted if not term.explicit]:
            found.append(f"constant taken as stated in {_listed(hidden)}")
        if recalled := [term.name for term in counted if term.provenance == "recalled"]:
            found.append(f"formula recalled, not verified, in {_listed(recalled)}")
        if assumed := [term.name for term in counted if term.provenance == "template"]:
            found.append(f"form assumed by this library, no theorem, in {_listed(assumed)}")
        for status in ("fails", "unresolved", "unchecked"):
            if names := [a.name for a in self.assumptions if a.status == status]:
                found.append(f"{_listed(names)}: {status}")
        return tuple(found)

    @property
    def certified(self) -> bool:
        """Whether `quantity <= value` may be written: constants explicit, nothing recalled, assumed or unchecked."""
        return not self.objections

    @property
    def provenance(self) -> str:
        """The worst provenance among the counted terms."""
        ranks = [PROVENANCE.index(term.provenance) for term in self.terms if term.counted]
        return PROVENANCE[max(ranks, default=0)]

    @property
    def vacuous(self) -> bool:
        """Whether the bound says nothing: no number, or one that the quantity cannot exceed anyhow."""
        if self.value is None or not math.isfinite(self.value):
            return True
        if self.trivial is None:
            return False
        return self.value <= self.trivial if self.lower else self.value >= self.trivial

    def __repr__(self) -> str:
        chance = "" if self.delta is None else f", delta = {at_most(self.delta)}"
        counted = [t for t in self.terms if t.counted]
        numbers = ", ".join(f"{t.name} {_number(t.value)}" for t in counted)
        more = f"  {len(counted)} terms, {len(self.assumptions)} assumptions: print it, or .plot() it"
        lines = _display.cut(_display.wrapped(f"{type(self).__name__} {self.name}{chance}: {self.verdict}"), 3)
        lines += (
            _display.cut(_display.wrapped(f"  terms: {numbers}"), 2) if self.computable and len(counted) > 1 else []
        )
        return "\n".join([*lines, more])

    def __str__(self) -> str:
        chance = "" if self.delta is None else f", delta = {at_most(self.delta)}"
        lines = [f"{self.name}{chance}", f"  speaks of: {self.applies_to}", "  terms"]
        rows = [(_number(t.value), t.name, t.formula, _remarks(t)) for t in self.terms]
        lines += columns(rows)
        lines.append("  assumptions")
        lines += columns(
            [
                (a.status, a.name, f"{a.statement} ({a.evidence})" if a.evidence else a.statement)
                for a in self.assumptions
            ]
        )
        return "\n".join([*lines, self.verdict])

    def plot(self, ax: Axes | None = None) -> Axes:
        """The counted terms as bars and the bound below them; hatched where it is an estimate.

        Args:
            ax: matplotlib Axes to draw into; new ones of pyplot if None.

        Raises:
            ValueError: something else than Axes.
            ImportError: matplotlib is not installed.
        """
        return _bound_plots.terms(self, _plots.shown(ax, height=1.6 + 0.45 * (1 + len(self.terms))))

    def _repr_html_(self) -> str:
        terms = [(_number(t.value), t.name, t.formula, _remarks(t)) for t in self.terms]
        rests = [(a.status, a.name, a.statement, a.evidence) for a in self.assumptions]
        return _display.table(f"{self.name}: {self.verdict}", [*terms, *rests], notes=[f"speaks of: {self.applies_to}"])

    @property
    def verdict(self) -> str:
        """The last line of the print: `quantity <= value` if certified, otherwise an estimate and why it is one."""
        empty = " (vacuous)" if self.computable and self.vacuous else ""
        chance = "" if self.delta is None else f" with probability at least {self.chance}"
        if self.certified:
            return f"{self.claim}{chance}{empty}"
        why = "; ".join(self.objections)
        if not self.computable:
            return f"{self.quantity}: no value (not certified: {why})"
        return f"{self.quantity}: estimate {_number(self.value)}{empty} (not certified: {why})"

    @property
    def claim(self) -> str:
        """`quantity <= value`, or >= for a lower bound, the number rounded outwards. True only if `certified`."""
        return f"{self.quantity} {'>=' if self.lower else '<='} {self.shown}"

    @property
    def shown(self) -> str:
        """The value with four digits, rounded outwards: up, or down for a lower bound."""
        return outward(self.value, self.lower)

    @property
    def chance(self) -> str:
        """The probability with which it holds, 1 - delta, rounded down, never to 1; "1" for one without chance."""
        return "1" if self.delta is None else at_least(self.delta)

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON-ready values; a number that is NaN or infinite becomes None, with a note beside it."""
        terms = []
        for t in self.terms:
            entry = {"name": t.name, "formula": t.formula, "explicit": t.explicit, "provenance": t.provenance}
            entry |= {"note": t.note, "counted": t.counted} | _json_number("value", t.value)
            terms.append(entry)
        constants: dict[str, Any] = {}
        for name, value in self.constants.to_dict().items():
            constants |= _json_number(name, value)
        return {
            "name": self.name,
            "quantity": self.quantity,
            **_json_number("value", self.value),
            "reason": self.reason,
            "certified": self.certified,
            "objections": list(self.objections),
            "vacuous": self.vacuous,
            "lower": self.lower,
            "provenance": self.provenance,
            "delta": self.delta,
            "trivial": self.trivial,
            "applies_to": self.applies_to,
            "terms": terms,
            "assumptions": [
                {"name": a.name, "statement": a.statement, "status": a.status, "evidence": a.evidence}
                for a in self.assumptions
            ],
            "constants": constants,
            "references": list(self.references),
        }


def total(terms: Iterable[Term]) -> float | None:
    """The sum of the counted terms; None if one of them is a rate only."""
    values = [term.value for term in terms if term.counted]
    numbers = [value for value in values if value is not None]
    return float(sum(numbers)) if len(numbers) == len(values) else None


def worst(statuses: Iterable[str]) -> str:
    """The worst of some statuses; "holds" for none."""
    return max(statuses, key=STATUS.index, default="holds")


def _number(value: float | None) -> str:
    return "rate only" if value is None else f"{value:.4g}"


def _remarks(term: Term) -> str:
    remarks = [term.provenance]
    if not term.explicit:
        remarks.append("constant taken as stated")
    if not term.counted:
        remarks.append("beside the bound, not part of it")
    if term.note:
        remarks.append(term.note)
    return f"[{'; '.join(remarks)}]"


def columns(rows: list[tuple[str, ...]]) -> list[str]:
    """The rows with their cells aligned; the last cell is not padded."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)][:-1]
    return [
        "    " + "  ".join([*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[-1]]).rstrip() for row in rows
    ]


def _listed(names: list[str]) -> str:
    return ", ".join(names)


def _json_number(name: str, value: Any) -> dict[str, Any]:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        plain = [_json_number("", item)[""] for item in value]
        lost = any(new is None and old is not None for new, old in zip(plain, value, strict=True))
        return {name: plain} | ({f"{name}_note": "null stands for a number that is not finite"} if lost else {})
    if isinstance(value, float) and not math.isfinite(value):
        return {name: None, f"{name}_note": str(value)}
    if value is None or isinstance(value, (bool, int, float, str)):
        return {name: value}
    return {name: float(value)} if hasattr(value, "__float__") else {name: str(value)}
