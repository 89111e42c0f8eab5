"""Are the steps of a `.ts` file with time stamps even, so that the stamps can be left out?

A dimension is `(stamp,value),(stamp,value),...`; a stamp is a number, or a date with a time of the day.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence

import numpy as np

from ntkseq.data.splits import shown

_PAIR = re.compile(r"\s*\(([^()]*),([^(),]*)\)\s*")


def parts(content: str, labelled: bool, place: str) -> tuple[list[list[str]], list[list[str]], str | None]:
    """The values and the stamps of each dimension, and the text behind the last colon.

    Args:
        content: one line, `(stamp,value),...:(stamp,value),...:label`.
        labelled: whether the line ends in a label.
        place: file and line, for messages.

    Raises:
        ValueError: a line of another form.
    """
    values: list[list[str]] = [[]]
    stamps: list[list[str]] = [[]]
    at, label = 0, None
    while True:
        pair = _PAIR.match(content, at)
        if pair is None:
            if labelled and values[-1] == [] and len(values) > 1:
                label = content[at:].strip()
                return values[:-1], stamps[:-1], label
            raise ValueError(
                f"{place}: wanted (time,value) pairs, as @timeStamps true says; got {shown(content[at : at + 40])}. "
                "Without time stamps say @timeStamps false."
            )
        stamps[-1].append(pair.group(1).strip())
        values[-1].append(pair.group(2).strip())
        at = pair.end()
        mark = content[at : at + 1]
        if mark == ":":
            values.append([])
            stamps.append([])
        elif mark == "" and not labelled:
            return values, stamps, None
        elif mark != ",":
            raise ValueError(
                f"{place}: wanted ',' or ':' behind a (time,value) pair; got {shown(content[at : at + 40])}."
            )
        at += 1


def step(stamps: Sequence[Sequence[str]], place: str) -> tuple[str, float] | None:
    """The even step of one example: its unit, "numbers", "seconds" or "months", and size; None for a single step.

    Raises:
        ValueError: uneven steps, stamps that are no times, or dimensions with other stamps.
    """
    first = stamps[0]
    for i, other in enumerate(stamps[1:], 2):
        if list(other) != list(first):
            raise ValueError(f"{place}: dimension {i} has other time stamps than dimension 1. {_RESAMPLE}")
    times, unit = _times(first, place)
    if len(times) < 2:
        return None
    months = _months(first) if unit == "seconds" else None
    if months is not None and months[1] > months[0] and np.ptp(np.diff(months)) == 0:
        return "months", float(months[1] - months[0])
    steps = np.diff(times)
    bad = np.flatnonzero(np.abs(steps - steps[0]) > 1e-6 * abs(steps[0]) + 1e-12 * np.abs(times[1:]))
    if steps[0] > 0 and len(bad) == 0:
        return unit, float(steps[0])
    k = int(bad[0]) if len(bad) else 0
    raise ValueError(
        f"{place}: time stamps are not even, {shown(first[k])} is followed by {shown(first[k + 1])}, the first by "
        f"{shown(first[1])}. {_RESAMPLE}"
    )


_RESAMPLE = "Resample to even steps and say @timeStamps false."


def same(steps: Sequence[tuple[int, tuple[str, float] | None]], where: str) -> str:
    """The step that all examples have, in words.

    Args:
        steps: of each example, with its line.
        where: the file, for messages.

    Raises:
        ValueError: two examples have different steps.
    """
    told = [(line, found) for line, found in steps if found is not None]
    if not told:
        return "one step each"
    _, (unit, size) = told[0]
    for line, (other, length) in told:
        if other != unit or abs(length - size) > 1e-6 * size:
            raise ValueError(
                f"{where}, line {line}: a step of {_words(other, length)}, of {_words(unit, size)} in line "
                f"{told[0][0]}. {_RESAMPLE}"
            )
    return f"even steps of {_words(unit, size)}"


def _words(unit: str, size: float) -> str:
    return f"{size:g}" if unit == "numbers" else f"{size:g} {unit}"


def _times(stamps: Sequence[str], place: str) -> tuple[np.ndarray, str]:
    if (found := numbers_or_dates(stamps)) is not None:
        return found
    odd = next((stamp for stamp in stamps if not _is_time(stamp)), stamps[0])
    raise ValueError(
        f"{place}: time stamp {shown(odd)} is neither a number nor a date like 2007-01-31 23:59:00. {_RESAMPLE}"
    )


def numbers_or_dates(stamps: Sequence[str]) -> tuple[np.ndarray, str] | None:
    """Times as numbers, with "numbers"; or dates as seconds after the first, with "seconds"; None for neither."""
    try:
        times = np.array([float(stamp) for stamp in stamps])
        if np.isfinite(times).all():
            return times, "numbers"
    except ValueError:
        pass
    try:
        dates = [datetime.datetime.fromisoformat(stamp) for stamp in stamps]
        return np.array([(date - dates[0]).total_seconds() for date in dates]), "seconds"
    except (ValueError, TypeError):  # no date; some with a time zone, some without
        return None


def _is_time(stamp: str) -> bool:
    try:
        datetime.datetime.fromisoformat(stamp)
    except ValueError:
        return False
    return True


def _months(stamps: Sequence[str]) -> np.ndarray | None:
    """Months since the year 0, where all stamps are the same day and time of their month."""
    dates = [datetime.datetime.fromisoformat(stamp) for stamp in stamps]
    if len({(date.day, date.time()) for date in dates}) > 1:
        return None
    return np.array([12 * date.year + date.month for date in dates])
