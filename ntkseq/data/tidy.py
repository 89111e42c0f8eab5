"""Is a table tidy (long), a row for each time step of a sequence, and which of its columns mean what?"""

from __future__ import annotations

import math

import numpy as np

from ntkseq.data.columns import LABELS, ROWS, plain
from ntkseq.data.delimiters import Rows
from ntkseq.data.splits import MISSING, shown

_IDS = {"id", "ids", "uid", "uuid", "case", "series", "sequence", "seq", "sample", "instance", "subject", "patient"}
_TIMES = {"t", "ts", "time", "times", "timestamp", "time_stamp", "datetime", "date", "step", "steps", "timestep"}
_TIMES |= {"time_step", "time_index", "frame", "tick", "second", "seconds", "sec", "ms", "minute", "hour", "day"}
_TIMES |= {"cycle", "reading_id", "month", "quarter", "year"}
_IDS |= {"trial", "episode", "session"}
_INDEX = {"index", "unnamed:_0", "__index_level_0__"}


class Tidy(ValueError):
    """A table has a row for each time step.

    Attributes:
        table: what was seen of it.
        options: of `files.load`, with which it is read.
    """

    def __init__(self, table: str, options: dict[str, str | tuple[str, ...]], named: str) -> None:
        ways = ", ".join(f"{option}={value!r}" for option, value in options.items())
        super().__init__(f"{table} Pass {ways}{named}. {ROWS}")
        self.table, self.options = table, options


def refuse(rows: Rows, titles: list[str] | None, at: int | None, path: str, label: str | None) -> None:
    """Refuse a table with a row for each time step, and columns that are ids.

    Args:
        rows: without column names and row index.
        titles: names of the columns.
        at: the column of the label, which is neither id nor time.
        path: the file.
        label: what was said of the label; None: there are none.

    Raises:
        Tidy: a row for each time step.
        ValueError: a column of ids.
    """
    width = len(rows[0][1] if titles is None else titles)
    rows = [(line, cells) for line, cells in rows if len(cells) == width]
    places = [p for p in range(width) if at is None or p != at % width]
    if not rows or not places:
        return
    columns = {p: [cells[p] for _, cells in rows] for p in places}
    names = {p: plain(titles[p]) for p in places} if titles is not None else {}
    ids = [p for p in names if titles is not None and is_id(titles[p])]
    times = [p for p, name in names.items() if name in _TIMES and p not in ids]
    ids += [p for p in times if names[p] == "reading_id"]
    few = [p for p in places if p in (0, 1, 2, width - 2, width - 1) or p in ids + times]
    runs = {p: column for p in few if (column := _floats(columns[p])) is not None}
    for p in (p for p in times if p not in runs):  # dates as text
        rank = {cell: float(i) for i, cell in enumerate(sorted(set(columns[p])))}
        runs[p] = [rank[cell] for cell in columns[p]]
    whole = [p for p in few if p not in runs or all(v.is_integer() for v in runs[p])]
    ids = [p for p in ids if p in whole]
    key = _keys(columns, runs, whole, ids, times)
    if key is not None:
        raise _tidy(titles, columns, *key, at, width, path, label)
    if ids and titles is not None:
        name = titles[ids[0]]
        raise ValueError(
            f"{path}: column {shown(name)} looks like an id, which is no step of a sequence. Delete it; or, if rows "
            f"are steps and it names their sequence, pass id={name!r}. {ROWS}"
        )


def is_time(title: str) -> bool:
    """Whether a column of this name holds times."""
    return plain(title) in _TIMES


def is_id(title: str) -> bool:
    """Whether a column of this name holds ids."""
    name = plain(title)
    return name in _IDS or name.endswith(("_id", "_ids")) or name in _INDEX


def is_part(titles: list[str], at: int) -> bool:
    """Whether the column at which a label is guessed holds times, or ids beside a column of times."""
    return is_time(titles[at]) or (is_id(titles[at]) and any(map(is_time, titles)))


def is_row_index(title: str) -> bool:
    """Whether a column of this name was written along by a data frame."""
    return plain(title) in ("", "unnamed:_0", "__index_level_0__")


def _keys(
    columns: dict[int, list[str]], runs: dict[int, list[float]], whole: list[int], ids: list[int], times: list[int]
) -> tuple[list[int], int | None] | None:
    """The columns that name a sequence, and the one of its times; no columns, or no times, where there are none."""
    n = len(next(iter(columns.values())))
    for a in sorted(whole, key=lambda p: p not in ids):
        if len(set(columns[a])) > n / 2:
            continue
        for b in sorted(runs, key=lambda p: p not in times):
            if a != b and _runs_up(columns[a], runs[b], a in ids and b in times):
                return [a], b
    repeated = [p for p in ids if len(set(columns[p])) < n]
    for b in runs:
        if _saw(runs[b]) or (b in times and (repeated or _rising(runs[b]))):
            return repeated, b
    few = [p for p in ids if len(set(columns[p])) <= n / 2]
    return (few, None) if few else None


def _floats(column: list[str]) -> list[float] | None:
    try:
        values = [float(cell) for cell in column]
    except ValueError:
        return None
    return values if all(map(math.isfinite, values)) else None


def _runs_up(groups: list[str], times: list[float], named: bool) -> bool:
    """Whether `times` rises within each of two or more groups, in even steps or too often for chance."""
    by: dict[str, list[float]] = {}
    for group, time in zip(groups, times, strict=True):
        by.setdefault(group, []).append(time)
    longer = [np.array(run) for run in by.values() if len(run) > 1]
    if len(by) < 2 or not longer:
        return False
    if named:
        return all(len(set(run.tolist())) == len(run) for run in longer)
    rising = all((np.diff(run) > 0).all() for run in longer)
    if not rising and len(times) < 3 * len(by):
        return False  # rows in any order: only longer sequences tell
    steps = np.concatenate([np.diff(np.sort(run)) for run in longer])
    if len(steps) > 2 and steps[0] > 0 and np.ptp(steps) <= 1e-6 * steps[0]:
        return True
    return rising and sum(math.lgamma(len(run) + 1) for run in longer) > 14  # one in a million by chance


def _saw(times: list[float]) -> bool:
    """Whether the column starts from the same value again and again, and rises in even steps between."""
    values = np.array(times)
    back = np.flatnonzero(np.diff(values) <= 0)
    if len(back) == 0 or len(values) < 3 * (len(back) + 1):
        return False
    steps = np.delete(np.diff(values), back)
    return bool((values[back + 1] == values[0]).all() and np.ptp(steps) <= 1e-6 * abs(steps[0]))


def _rising(times: list[float]) -> bool:
    """Whether a column called time rises, but for a few new beginnings."""
    falls = int((np.diff(np.array(times)) <= 0).sum())
    return falls <= len(times) / 3


def _tidy(
    titles: list[str] | None,
    columns: dict[int, list[str]],
    key: list[int],
    time: int | None,
    at: int | None,
    width: int,
    path: str,
    label: str | None,
) -> Tidy:
    """The refusal, with the options that read the table."""
    name = (lambda p: titles[p]) if titles is not None else (lambda p: str(p + 1))
    if key and time is not None and not _orders(columns, key, time):
        time = None
    up = "other columns change" if time is None else f"{shown(name(time))} runs up"
    repeat = f"{' and '.join(shown(name(p)) for p in key)} repeat{'s' if len(key) == 1 else ''}"
    seen = f"{repeat} while {up}" if key else f"column {up}"
    options: dict[str, str | tuple[str, ...]] = {}
    if key:
        options["id"] = tuple(map(name, key)) if len(key) > 1 else name(key[0])
    if time is not None:
        options["time"] = name(time)
    left = [p for p in columns if p not in (*key, time) and not is_row_index(name(p))]
    guess = _told(columns, key, left) if at is None and label == "auto" else None
    if label is not None:
        options["label"] = name(at % width if at is not None else guess) if (at, guess) != (None, None) else "NAME"
    if guess is not None:
        left.remove(guess)
        if _many(columns[guess], len(set(_ids(columns, key)))):
            options["targets"] = "values"
    values = [p for p in left if _values(columns[p]) and not (is_id(name(p)) or is_time(name(p)))]
    values = [p for p in values if plain(name(p)) not in LABELS]
    if values and len(values) < len(left):
        options["columns"] = tuple(map(name, values))
    named = "" if titles is not None else ", columns counted from 1"
    return Tidy(f"{path}: a tidy (long) table, a row for each time step: {seen}.", options, named)


def _told(columns: dict[int, list[str]], key: list[int], left: list[int]) -> int | None:
    """The last column with one value in each sequence and not one in all, which may be the label."""
    if not key:
        return None
    ids = _ids(columns, key)
    count = len(set(ids))
    same = [p for p in left if len(set(columns[p])) > 1 and len(set(zip(ids, columns[p], strict=True))) == count]
    return same[-1] if same else None


def _ids(columns: dict[int, list[str]], key: list[int]) -> list[tuple[str, ...]]:
    """The sequence of each row."""
    return list(zip(*(columns[p] for p in key), strict=True))


def _many(column: list[str], count: int) -> bool:
    """Whether a label of so many sequences holds numbers, most of them once: no classes."""
    return _floats(column) is not None and len(set(column)) > count / 2


def _values(column: list[str]) -> bool:
    """Whether a column holds numbers, or nothing here and there."""
    held = [cell for cell in column if cell.lower() not in MISSING]
    return bool(held) and _floats(held) is not None


def _orders(columns: dict[int, list[str]], key: list[int], time: int) -> bool:
    """Whether no sequence has two rows of one time."""
    rows = list(zip(*(columns[p] for p in (*key, time)), strict=True))
    return len(set(rows)) == len(rows)
