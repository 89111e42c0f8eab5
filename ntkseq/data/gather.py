"""How the rows of a tidy (long) table, one for each time step, are gathered into sequences."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from ntkseq import _checks
from ntkseq.data import tidy
from ntkseq.data.columns import LABELS, is_number, plain
from ntkseq.data.delimiters import Rows
from ntkseq.data.splits import MISSING, Columns, Found, pad, shown, split
from ntkseq.data.stamps import numbers_or_dates


@dataclasses.dataclass(frozen=True)
class Steps:
    """The columns of a tidy table, by name.

    Attributes:
        id: columns that name a sequence; none: a sequence begins wherever the time does not rise.
        time: the column that orders the rows of a sequence; None: they stand in order.
        columns: those of the values; none: all that are left.
    """

    id: tuple[str, ...] = ()
    time: str | None = None
    columns: tuple[str, ...] = ()

    @property
    def asked(self) -> bool:
        """Whether the table is said to be tidy."""
        return bool(self.id or self.time is not None)


SEQUENCES = Steps()
"""No tidy table: each row is a sequence."""


def steps(ids: Any, time: Any, columns: Any, layout: str) -> Steps:
    """The options of `files.load` that name columns of a tidy table, checked.

    Raises:
        ValueError: no names, the same twice, or a layout that says otherwise.
    """
    ids = () if ids is None else (ids,) if isinstance(ids, str) else _checks.listed("id", ids, "column names")
    named = _checks.listed("columns", columns, "column names")
    for option, names in (("id", ids), ("time", () if time is None else (time,)), ("columns", named)):
        for one in names:
            _checks.text(option, one)
    made = Steps(tuple(ids), time, tuple(named))
    if made.columns and not made.asked:
        raise ValueError("columns names the values of a tidy table, with id or time; got neither. Pass id='NAME' too.")
    if made.asked and layout != "auto":
        raise ValueError(f"id and time say that a row is a step; got layout={layout!r} too. Leave it out.")
    if len({*made.id, made.time}) < len(made.id) + 1:
        raise ValueError(f"id and time must name different columns; got {(*made.id, made.time)}.")
    return made


def read(
    rows: Rows,
    titles: list[str],
    steps: Steps,
    *,
    where: str,
    name: str,
    label: str | None,
    max_bytes: int,
    like: Columns | None = None,
    said: tuple[str, ...] = (),
) -> Found:
    """Sequences in the order of their first rows, their steps in the order of time; `files.load` has the options.

    Args:
        rows: behind the column names.
        titles: the column names; numbers from 1 on where the table has none.
        steps: what stands in which column.
        where: the file, for messages.
        name: of the data set.
        label: "auto", "first", "last", a column name, or None.
        max_bytes: refuse what would take more.
        like: what was settled for the training split, when this is the test split.
        said: what was told of the file already.
    """
    for line, cells in rows:
        if len(cells) != len(titles):
            raise ValueError(f"{where}, line {line}: {len(cells)} cells, but there are {len(titles)} columns.")
    at = {one: _place(one, titles, where) for one in _named(steps)}
    place = _label(label if like is None else like.label, titles, at, where)
    features = _features(steps, titles, at, place, where)
    if like is not None:
        features = _as_before(like, features, where)
    members = _sequences(rows, [at[one] for one in steps.id], None if steps.time is None else at[steps.time], where)
    uneven = 0
    if steps.time is not None:
        members, uneven = _by_time(members, rows, at[steps.time], steps, where)
    places = {one: titles.index(one) for one in features}
    values = np.stack([_values(rows, places, one, where) for one in features], axis=1)  # (rows, d)
    sequences, ended = _cut(values, members, rows, features, where)
    labels = None if place is None else _labels(members, rows, titles.index(place), place, where)
    x, lengths = pad(sequences, where, max_bytes)
    found = dataclasses.replace(split(x, labels, lengths, where, "the table"), ended=ended)
    return Found(
        name,
        found,
        origin=_words(steps, place, features),
        said=(*said, *([_uneven(uneven, len(members), steps.time)] if uneven else [])),
        columns=Columns(place, tuple(features), 0),
    )


def _named(steps: Steps) -> tuple[str, ...]:
    return (*steps.id, *(() if steps.time is None else (steps.time,)), *steps.columns)


def _place(title: str, titles: list[str], where: str) -> int:
    if titles.count(title) != 1:
        found = "no column" if title not in titles else f"{titles.count(title)} columns"
        listed = ", ".join(map(shown, titles[:12])) + (", ..." if len(titles) > 12 else "")
        raise ValueError(f"{where}: {found} named {title!r}; the columns are {listed}.")
    return titles.index(title)


def _label(label: str | None, titles: list[str], taken: dict[str, int], where: str) -> str | None:
    """The name of the column of the label."""
    if label is None:
        return None
    free = [title for title in titles if title not in taken]
    if label == "auto":
        named = [title for title in free if plain(title) in LABELS] or [title for title in free if plain(title) == "y"]
        if len(named) != 1:
            came = " or ".join(map(shown, named)) if named else f"one of {', '.join(map(shown, free[:12])) or 'none'}"
            raise ValueError(f"{where}: the label may be {came}. Pass label='NAME' with the name of its column.")
        label = named[0]
    elif label in ("first", "last") and label not in titles:
        label = titles[0 if label == "first" else -1]
    _place(label, titles, where)
    if label in taken:
        raise ValueError(f"{where}: column {label!r} cannot be the label and an id, a time or a feature too.")
    return label


def _features(steps: Steps, titles: list[str], taken: dict[str, int], label: str | None, where: str) -> tuple[str, ...]:
    """The columns of the values: those asked for, or all that are left and look like values."""
    if steps.columns:
        doubled = next((one for one in steps.columns if [*steps.columns, *steps.id].count(one) > 1), None)
        if doubled is not None:
            raise ValueError(f"{where}: columns name {doubled!r}, which has another part already. Leave it out.")
        return steps.columns
    left = [title for title in titles if title not in taken and title != label and not tidy.is_row_index(title)]
    odd = next((title for title in left if tidy.is_id(title) or tidy.is_time(title) or plain(title) in LABELS), None)
    if odd is not None:
        rest = [title for title in left if title != odd]
        raise ValueError(
            f"{where}: column {odd!r} looks like no value of a step. Name the columns that are: "
            f"columns={tuple(rest[:12])!r}."
        )
    if not left:
        raise ValueError(f"{where}: no column is left for the values; the columns are {', '.join(map(shown, titles))}.")
    for title in left:
        _place(title, titles, where)
    return tuple(left)


def _as_before(like: Columns, features: tuple[str, ...], where: str) -> tuple[str, ...]:
    """The features in the order of the training split, which must have the same."""
    assert like.titles is not None
    if set(like.titles) != set(features):
        odd = next(one for one in (*like.titles, *features) if one not in like.titles or one not in features)
        raise ValueError(f"{where}: column {odd!r} is a feature in one of the two tables only. Bring them together.")
    return like.titles


def _sequences(rows: Rows, ids: list[int], time: int | None, where: str) -> list[list[int]]:
    """The numbers of the rows of each sequence."""
    if not ids:
        assert time is not None
        times = _times([cells[time] for _, cells in rows], rows, where)
        starts = [0, *(np.flatnonzero(np.diff(times) <= 0) + 1).tolist(), len(rows)]
        return [list(range(a, b)) for a, b in itertools.pairwise(starts)]
    by: dict[tuple[str, ...], list[int]] = {}
    for i, (line, cells) in enumerate(rows):
        key = tuple(cells[p] for p in ids)
        if any(cell.lower() in MISSING for cell in key):
            raise ValueError(f"{where}, line {line}: the id is missing. Fill it in, or drop the row.")
        by.setdefault(key, []).append(i)
    if len(by) == len(rows) and len(rows) > 1:
        raise ValueError(
            f"{where}: every row has an id of its own, so each sequence would be one step. Is a row a sequence? Then "
            "leave id and time out."
        )
    return list(by.values())


def _times(cells: Sequence[str], rows: Rows, where: str) -> np.ndarray:
    found = numbers_or_dates(cells)
    if found is None:
        i = next((i for i, cell in enumerate(cells) if numbers_or_dates([cell]) is None), 0)
        raise ValueError(
            f"{where}, line {rows[i][0]}: the time {shown(cells[i])} is no number and no date like 2007-01-31 23:59:00 "
            "as others are. Write it so; or, where the rows stand in order, leave time out."
        )
    return found[0]


def _by_time(members: list[list[int]], rows: Rows, time: int, steps: Steps, where: str) -> tuple[list[list[int]], int]:
    """The rows of each sequence in the order of time, and how many sequences have uneven steps."""
    times = _times([cells[time] for _, cells in rows], rows, where)
    made, uneven = [], 0
    for which in members:
        order = np.argsort(times[which], kind="stable")
        ordered = [which[k] for k in order]
        gaps = np.diff(times[ordered])
        if (gaps == 0).any():
            k = int(np.argmin(gaps))
            a, b = sorted(rows[ordered[j]][0] for j in (k, k + 1))
            raise ValueError(
                f"{where}, line {b}: the sequence has this time, {shown(rows[ordered[k]][1][time])}, in line {a} "
                "already. Drop one of the rows, or name all columns of the id."
            )
        uneven += bool(len(gaps) > 1 and np.ptp(gaps) > 1e-6 * abs(gaps[0]) + 1e-12 * np.abs(times[ordered]).max())
        made.append(ordered)
    return made, uneven


def _uneven(uneven: int, n: int, time: str | None) -> str:
    return (
        f"{uneven} of {n} sequences have uneven steps of {shown(time)}, which orders them and is left out; resample "
        "them if the time between two steps matters, or name it among columns"
    )


def _values(rows: Rows, places: dict[str, int], name: str, where: str) -> np.ndarray:
    """A column as numbers, NaN where a value is missing."""
    made = np.empty(len(rows))
    for i, (line, cells) in enumerate(rows):
        cell = cells[places[name]]
        if cell.lower() in MISSING:
            made[i] = np.nan
            continue
        try:
            made[i] = float(cell)
            good = np.isfinite(made[i]) and "_" not in cell
        except ValueError:
            good = False
        if not good:
            left = tuple(one for one, at in places.items() if any(is_number(cells[at]) for _, cells in rows))
            rest = left if name not in left else ()  # a slip among numbers, or a column of words
            raise ValueError(
                f"{where}, line {line}, column {name!r}: wanted a finite number; got {shown(cell)}. "
                + (
                    f"If it is no value of a step, name the columns that are: columns={rest[:12]!r}; categories go in "
                    "as numbers, a column of 0 and 1 for each."
                    if rest
                    else "Correct it; or, if the column is no value of a step, leave it out of columns."
                )
            )
    return made


def _cut(
    values: np.ndarray, members: list[list[int]], rows: Rows, features: Sequence[str], where: str
) -> tuple[list[np.ndarray], int]:
    """The values (t_i, d) of each sequence without missing ones at its end, and how many ended so."""
    made, ended = [], 0
    for which in members:
        one = values[which]
        held = np.flatnonzero(~np.isnan(one).all(axis=1))
        if not len(held):
            raise ValueError(
                f"{where}, line {rows[which[0]][0]}: the sequence holds nothing but missing values. Drop it."
            )
        t = int(held[-1]) + 1
        missing = np.argwhere(np.isnan(one[:t]))
        if len(missing):
            k, feature = missing[0].tolist()
            what = "missing value inside a sequence" if k < t - 1 else "missing value beside others of the last step"
            raise ValueError(
                f"{where}, line {rows[which[k]][0]}, column {features[feature]!r}: {what}. Impute it, or drop the row."
            )
        ended += t < len(which)
        made.append(one[:t])
    return made, ended


def _labels(members: list[list[int]], rows: Rows, at: int, name: str, where: str) -> np.ndarray:
    """One label for each sequence, which is the same in all its rows."""
    made = []
    for which in members:
        first = rows[which[0]][1][at]
        other = next((i for i in which if rows[i][1][at] != first), None)
        if other is not None:
            raise ValueError(
                f"{where}: the label {name!r} changes within a sequence, {shown(first)} in line {rows[which[0]][0]}, "
                f"{shown(rows[other][1][at])} in line {rows[other][0]}. Wanted one label for each sequence."
            )
        if first.lower() in ("", "?", "nan"):
            raise ValueError(f"{where}, line {rows[which[0]][0]}, column {name!r}: the label is missing. Fill it in.")
        made.append(first)
    return np.array(made)


def _words(steps: Steps, label: str | None, features: Sequence[str]) -> str:
    by = f"by {' and '.join(map(shown, steps.id))}" if steps.id else f"from one fall of {shown(steps.time)} to the next"
    order = f"ordered by {shown(steps.time)}" if steps.time is not None else "in the order of the rows"
    listed = ", ".join(map(shown, features[:8])) + (", ..." if len(features) > 8 else "")
    tag = "no labels" if label is None else f"the label in column {shown(label)}"
    return f"a row is a step; sequences {by}, {order}, of {listed}; {tag}"
