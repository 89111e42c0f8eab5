"""How is a table of text (csv, tsv, txt) read as sequences of scalar tokens?"""

from __future__ import annotations

import dataclasses

import numpy as np

from ntkseq.data import columns, delimiters, gather, tidy
from ntkseq.data.delimiters import Rows
from ntkseq.data.splits import Columns, Found, numbers, pad, shown, split

_USUAL = {".csv": ",", ".tsv": "\t", ".txt": " "}


def read(
    text: str,
    *,
    where: str,
    name: str,
    label: str | None,
    header: bool | None,
    delimiter: str,
    max_bytes: int,
    layout: str = "auto",
    targets: str = "classes",
    suffix: str = ".csv",
    like: Columns | None = None,
    steps: gather.Steps = gather.SEQUENCES,
) -> Found:
    """Each row one sequence, one cell of it the label; or each row a step. `files.load` describes the arguments.

    suffix: of the file; it tells the usual delimiter and the usual place of the label.
    like: what was settled for the training split, when this is the test split.
    steps: the columns of a tidy table.
    """
    rows, told = _rows(text, where, delimiter, _USUAL[suffix])
    options = {"where": where, "name": name, "label": label, "max_bytes": max_bytes, "like": like}
    if steps.asked:
        titles, rows = _headed(rows, steps, header, where)
        return gather.read(rows, titles, steps, said=told, **options)
    return wide(rows, told, header=header, layout=layout, targets=targets, suffix=suffix, **options)


def wide(
    rows: Rows,
    told: tuple[str, ...],
    *,
    where: str,
    name: str,
    label: str | None,
    header: bool | None,
    max_bytes: int,
    layout: str,
    targets: str,
    suffix: str,
    like: Columns | None,
) -> Found:
    """Each row one sequence, one cell of it the label.

    rows: with the column names, if there are any.
    told: what was said of the file already.
    """
    if not rows:
        raise ValueError(f"{where}: no rows; wanted one sequence per row.")
    if like is not None:
        label = like.label
    titles = _titles(rows, where, label, header, layout)
    if titles is not None:
        rows = _behind(titles, rows, where)
    said, skip = list(told), 0
    while layout != "rows" and len(rows[0][1]) > 1 and columns.has_row_index(rows, titles, label, suffix, where):
        first = titles[0] if titles else ""
        skip += 1
        if (bare := next((line for line, cells in rows if len(cells) < 2), None)) is not None:
            raise ValueError(f"{where}, line {bare}: nothing behind the row index. Drop the row.")
        rows = [(line, cells[1:]) for line, cells in rows]
        titles = None if titles is None else titles[1:]
        called = f"called {shown(first)}" if first else "without a name"
        said.append(f"column {skip}, {called}, is left out: a row index; layout='rows' reads it as a step")
    if like is not None and (like.index != skip or None not in (titles, like.titles)):
        _agree(like, titles, skip, where)
    place: str | None
    refusal = None
    try:
        place = columns.label_place(rows, titles, suffix, targets, where) if label == "auto" else label
    except ValueError as error:
        place, refusal = None, error
    position = _position(place, titles, where)
    if layout != "rows":
        part = label == "auto" and titles is not None and position is not None and tidy.is_part(titles, position)
        tidy.refuse(rows, titles, None if part else position, where, label)
    if refusal is not None:
        raise refusal
    if titles is not None and layout != "rows" and (kinds := columns.several_kinds(titles, place)):
        said.append(f"{kinds}; layout='rows' says it is right")
    sequences, labels, ended = [], [], 0
    for i, (line, cells) in enumerate(rows):
        here = f"{where}, line {line}"
        if titles is not None and (len(cells) > len(titles) or (position == -1 and len(cells) < len(titles))):
            raise ValueError(f"{here}: {len(cells)} cells, but the first line names {len(titles)}.")
        sequence, tag, short = _sequence(cells, position, here, titles is None and i == 0, skip)
        sequences.append(sequence)
        labels.append(tag)
        ended += short
    said += _other_widths(rows, layout)
    x, lengths = pad(sequences, where, max_bytes)
    found = split(x, None if position is None else np.array(labels), lengths, where, "the table")
    origin = f"a row is a sequence, {_words(place)}"
    settled = Columns(place, None if titles is None else tuple(titles), skip)
    found = dataclasses.replace(found, ended=ended)
    return Found(name, found, origin=origin, said=tuple(said), columns=settled)


def _other_widths(rows: Rows, layout: str) -> list[str]:
    """What to say of a few rows that have more or fewer cells than most: a stray or missing delimiter does that."""
    widths = [len(cells) for _, cells in rows]
    usual = max(set(widths), key=widths.count)
    odd = [(line, len(cells)) for line, cells in rows if len(cells) != usual]
    if not odd or len(odd) > max(1, len(rows) / 10) or len(rows) < 4 or layout == "rows":
        return []
    return [
        f"line {odd[0][0]} has {odd[0][1]} cells, most have {usual}; it is read as a sequence of another length, which "
        "layout='rows' says is right"
    ]


def _words(place: str | None) -> str:
    if place is None:
        return "without labels"
    if place in ("first", "last"):
        return f"the label its {place} cell"
    return f"the label in column {shown(place)}"


def _agree(like: Columns, titles: list[str] | None, index: int, where: str) -> None:
    if like.index != index:
        raise ValueError(f"{where}: a row index stands in front of one of the two tables only. Delete it.")
    if titles is not None and like.titles is not None and tuple(titles) != like.titles:
        odd = next((pair for pair in zip(like.titles, titles, strict=False) if pair[0] != pair[1]), None)
        odd = odd or (f"{len(like.titles)} columns", f"{len(titles)} columns")
        raise ValueError(
            f"{where}: the two tables have different columns, {shown(odd[0])} to train on where the test has "
            f"{shown(odd[1])}. Bring them into one order."
        )


def _rows(text: str, where: str, delimiter: str, usual: str) -> tuple[Rows, tuple[str, ...]]:
    rows, said = delimiters.rows(text, where, delimiter, usual)
    while rows and not any(rows[-1][1]):  # as spreadsheets leave them
        rows.pop()
    other = [mark for mark in ",;\t " if rows and all(mark in cells[0] for _, cells in rows)]
    if other and all(len(cells) == 1 for _, cells in rows):
        mark = delimiters.NAMES.get(delimiter, usual if delimiter == "auto" else delimiter)
        other = next(name for name, one in delimiters.NAMES.items() if one == other[0])
        raise ValueError(
            f"{where}: no {mark!r} in any row, but a {other} in each. Pass delimiter={other!r}, or save the file with "
            f"{mark!r} between the cells."
        )
    return rows, said


def _titles(rows: Rows, where: str, label: str | None, header: bool | None, layout: str) -> list[str] | None:
    """The column names, or None when the first row is data already."""
    first = rows[0][1]
    by_name = label not in ("first", "last", "auto", None)
    if by_name and header is False:
        raise ValueError(f"{where}: label={label!r} names a column, but header=False. Say label='first' or 'last'.")
    if header is None:
        header = by_name or columns.looks_like_titles(rows, label, layout, where)
    return first if header else None


def _headed(rows: Rows, steps: gather.Steps, header: bool | None, where: str) -> tuple[list[str], Rows]:
    """The column names of a tidy table, numbers from 1 on where it has none, and the rows behind them."""
    if not rows:
        raise ValueError(f"{where}: no rows; wanted one row for each step.")
    first = rows[0][1]
    counted = [str(i + 1) for i in range(len(first))]
    asked = (*steps.id, *(() if steps.time is None else (steps.time,)), *steps.columns)
    bare = header is None and not set(asked) <= set(first) and set(asked) <= set(counted)
    if header is False or bare:
        return counted, rows
    return first, _behind(first, rows, where)


def _behind(titles: list[str], rows: Rows, where: str) -> Rows:
    """The rows behind the column names, none of which is the names again."""
    if not rows[1:]:
        raise ValueError(f"{where}: no rows behind the column names; wanted one sequence per row.")
    again = next((line for line, cells in rows[1:] if cells == titles), None)
    if again is not None:
        raise ValueError(f"{where}, line {again}: the column names once more. Delete the line.")
    return rows[1:]


def _position(label: str | None, titles: list[str] | None, where: str) -> int | None:
    if label is None:
        return None
    if label in ("first", "last"):
        return 0 if label == "first" else -1
    assert titles is not None
    if titles.count(label) != 1:
        found = "no column" if label not in titles else f"{titles.count(label)} columns"
        listed = ", ".join(shown(title) for title in titles[:12]) + (", ..." if len(titles) > 12 else "")
        raise ValueError(f"{where}: {found} named {label!r}; the columns are {listed}. Or say label='first' or 'last'.")
    return titles.index(label)


def _sequence(
    cells: list[str], position: int | None, where: str, may_be_titles: bool, skip: int
) -> tuple[np.ndarray, str, bool]:
    """The values (t, 1) and the label of one row, and whether empty cells or NaN at its end were left out."""
    tag, values, places = "", cells, list(range(skip + 1, skip + len(cells) + 1))
    if position is not None:
        at = position % len(cells) if position < 0 else position
        if at >= len(cells) or cells[at].lower() in ("", "?", "nan"):
            came = cells[at] if at < len(cells) else ""
            told = f", {shown(came)}. A class of that name must be called otherwise" if came else ""
            raise ValueError(
                f"{where}, column {at + skip + 1}: the label is missing{told}. Fill it in; or put the labels first "
                "(label='first'), or drop the empty cells behind them."
            )
        tag, values, places = cells[at], cells[:at] + cells[at + 1 :], places[:at] + places[at + 1 :]
    t = len(values)
    while values and values[-1].lower() in ("", "nan"):
        values = values[:-1]
    if not values:
        raise ValueError(f"{where}: the sequence is empty. Drop the row.")
    try:
        return numbers(values, where, places[: len(values)])[:, None], tag, len(values) < t
    except ValueError as error:
        hint = " If these are column names, delete the line, or pass header=True." if may_be_titles else ""
        raise ValueError(f"{error}{hint}") from None
