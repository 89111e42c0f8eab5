"""What the sentences of named studies share: bounds that held, laws that are told from none, commands to try next."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import Any

from ntkseq import _statistics
from ntkseq._outward import interval
from ntkseq._types import ArrayLike
from ntkseq.reports.sentences import listed
from ntkseq.spectra import Interval
from ntkseq.studies.base import NamedStudy

MOST = 5
"""Sentences that open a report, the one on what to try next among them."""


def opening(said: Iterable[str], advice: str) -> tuple[str, ...]:
    """The first sentences that are not empty, and what to try next at the end: five at most."""
    return (*[one for one in said if one][: MOST - 1], advice)


def again(study: NamedStudy, **changes: Any) -> str:
    """The command of a study with some options changed, into a folder of its own beside the first one.

    Example:
        >>> from ntkseq.studies.memory import Memory
        >>> again(Memory(quick=True), seeds=8)
        'ntkseq study memory --out memory-report-next --seeds 8 --quick'
        >>> again(Memory(quick=True), seeds=4)  # the default, which --quick would change
        'ntkseq study memory --out memory-report-next --t 16 --widths 64 --particles 4096'
    """
    folder = str(study.out or f"{study.name}-report").rstrip("/\\")
    changes = {**changes, "out": f"{folder}-next", "overwrite": False}
    made = dataclasses.replace(study, **changes)
    if any(getattr(made, name) != value for name, value in changes.items()):
        made = dataclasses.replace(study, quick=False, **changes)
    return made.command


def full(study: NamedStudy, **changes: Any) -> str:
    """The command of a study without --quick: what that had changed stands at its default again."""
    usual = {field.name: field.default for field in dataclasses.fields(study)}
    shortened = [name for name, value in study.quick_values.items() if getattr(study, name) == value]
    return again(study, **{"quick": False, **{name: usual[name] for name in shortened}, **changes})


def more(study: NamedStudy, why: str, otherwise: str, **changes: Any) -> str:
    """What to try next: all of the study after --quick, the same with some options changed after that."""
    if study.quick:
        return f"Next: {why} in full: {full(study)}"
    return f"Next: {otherwise}: {again(study, **changes)}"


def held(broken: int, checks: int, what: str, above: str, *, chance: bool = True) -> str:
    """Whether bounds stayed on their side of what was measured, in a sentence.

    Args:
        broken: checks that failed.
        checks: how many there were.
        what: plural, that were checked.
        above: what a failed one would be, after "is".
        chance: whether a bound may fail by chance.

    Example:
        >>> held(0, 12, "certified bounds", "below the measured error")
        'None of 12 certified bounds is below the measured error.'
    """
    if not checks:
        return f"There were no {what} to check."
    if not broken:
        return f"None of {checks} {what} is {above}."
    are = "is" if broken == 1 else "are"
    if not chance:
        return f"{broken} of {checks} {what} {are} {above}, which contradicts what is proved."
    return (
        f"{broken} of {checks} {what} {are} {above}: each may fail with the probability that it states, more of them "
        "contradict what is proved."
    )


def spelled(value: Interval, digits: int = 3) -> str:
    """A number with the ends of its interval, rounded outwards; a number alone says that it has none.

    Example:
        >>> spelled(Interval(-1.2251, -1.006, -0.7868))
        '-1.01 [-1.23, -0.786]'
    """
    middle = f"{value.estimate:.{digits}g}"
    return f"{middle} {interval(value.lower, value.upper, digits)}" if value.finite else f"{middle} (no interval)"


def over_draws(values: ArrayLike) -> Interval:
    """The mean over independent draws (m,) with Student's 95 % interval, which one draw does not have.

    Example:
        >>> spelled(over_draws([1.0, 2.0, 3.0])), spelled(over_draws([1.0]))
        ('2 [-0.485, 4.49]', '1 (no interval)')
    """
    middle, half = _statistics.mean(values)
    return Interval(middle - half, middle, middle + half)


def falling(slopes: Sequence[tuple[str, Interval]], what: str, of: str) -> str:
    """Which of several powers are told from no fall at all, in a sentence.

    Args:
        slopes: whose, and the exponent with its interval.
        what: falls or does not.
        of: the quantity that is raised to the exponent.

    Example:
        >>> falling([("a", Interval(-1.2, -1.0, -0.8)), ("b", Interval(-0.3, 0.0, 0.3))], "The error", "n")
        'The error falls as n^-1 [-1.2, -0.8] (a). For b (0 [-0.3, 0.3]) no change is told.'
    """
    down = [f"{of}^{spelled(slope)} ({name})" for name, slope in slopes if slope.finite and slope.upper < 0]
    up = [f"{of}^{spelled(slope)} ({name})" for name, slope in slopes if slope.finite and slope.lower > 0]
    untold = [f"{name} ({spelled(slope)})" for name, slope in slopes if not (slope.finite and slope.resolved)]
    said = []
    if down:
        said.append(f"{what} falls as {listed(down)}.")
    if up:
        said.append(f"{'It' if down else what} grows as {listed(up)}.")
    if untold:
        of_it = "" if said else f" of {what[:1].lower()}{what[1:]}"
        said.append(f"For {listed(untold)} no change{of_it} is told.")
    return " ".join(said)


def reach(values: Iterable[float], digits: int = 3) -> str:
    """Numbers from the least to the largest; those that are not finite are left out.

    Example:
        >>> reach([0.5, 2.0, 1.0]), reach([1.0])
        ('0.5 to 2', '1')
    """
    kept = sorted(value for value in values if math.isfinite(value))
    if not kept:
        return "no number"
    return " to ".join(dict.fromkeys(shown(value, digits) for value in (kept[0], kept[-1])))


def shown(value: float, digits: int = 3) -> str:
    """A number to some digits, without an exponent where it is large.

    Example:
        >>> shown(123456.0), shown(0.012345), shown(683.2, 2)
        ('123,000', '0.0123', '680')
    """
    rounded = float(f"{value:.{digits}g}")
    return f"{rounded:,.0f}" if abs(rounded) >= 10**digits else f"{value:.{digits}g}"


def lost(count: int, of: int, what: str, remedy: str) -> str:
    """How many runs diverged, and what to do; empty where none did."""
    if not count:
        return ""
    return f"{count} of {of} {what} diverged and {'is' if count == 1 else 'are'} left out; {remedy}."
