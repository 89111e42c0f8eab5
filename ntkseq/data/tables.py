"""How is a table of text (csv, tsv) read as sequences of scalar tokens?"""

from __future__ import annotations

import csv
import io

import numpy as np

from ntkseq.data.splits import MISSING, Found, numbers, pad, shown, split

_Row = tuple[int, list[str]]  # line in the file, stripped cells


def read(
    text: str, *, where: str, name: str, label: str | None, header: bool | None, delimiter: str, max_bytes: int
) -> Found:
    """Each row one sequence, one cell of it the label; `files.load` describes the arguments."""
    rows = _rows(text, where, delimiter)
    if not rows:
        raise ValueError(f"{where}: no rows; wanted one sequence per row.")
    titles = _titles(rows, where, label, header)
    if titles is not None:
        rows = rows[1:]
        if not rows:
            raise ValueError(f"{where}: no rows behind the column names; wanted one sequence per row.")
    position = _position(label, titles, where)
    sequences, labels = [], []
    for line, cells in rows:
        if titles is not None and len(cells) > len(titles):
            raise ValueError(f"{where}, line {line}: {len(cells)} cells, but the first line names {len(titles)}.")
        sequence, tag = _sequence(cells, position, f"{where}, line {line}", titles is None and line == rows[0][0])
        sequences.append(sequence)
        labels.append(tag)
    x, lengths = pad(sequences, where, max_bytes)
    return Found(name, split(x, None if position is None else np.array(labels), lengths, where, "the table"))


def _rows(text: str, where: str, delimiter: str) -> list[_Row]:
    if not isinstance(delimiter, str) or len(delimiter) != 1 or delimiter in '"\r\n':
        raise ValueError(f"delimiter must be one character; got {delimiter!r}.")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        return [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader if cells]
    except csv.Error as error:
        raise ValueError(f"{where}, line {reader.line_num}: not a readable table ({error}). Look for quotes.") from None


def _titles(rows: list[_Row], where: str, label: str | None, header: bool | None) -> list[str] | None:
    """The column names, or None when the first row is data already."""
    first = rows[0][1]
    by_name = label not in ("first", "last", None)
    if by_name and header is False:
        raise ValueError(f"{where}: label={label!r} names a column, but header=False. Say label='first' or 'last'.")
    if header is None:
        header = by_name or _looks_like_titles(rows, label)
    return first if header else None


def _looks_like_titles(rows: list[_Row], label: str | None) -> bool:
    """No number among the values of the first row; or text over a column of labels that are all numbers."""
    at = {"first": 0, "last": -1}.get(label or "")
    first = rows[0][1]
    values = [cell for i, cell in enumerate(first) if cell and (at is None or i != at % len(first))]
    if values and not any(_is_number(cell) or cell.lower() in MISSING for cell in values):
        return True
    if at is None or len(rows) < 2 or not first[at] or _is_number(first[at]):
        return False
    return all(_is_number(cells[at]) for _, cells in rows[1:])


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


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


def _sequence(cells: list[str], position: int | None, where: str, may_be_titles: bool) -> tuple[np.ndarray, str]:
    """The values (t, 1) and the label of one row; empty cells at its end are padding."""
    tag, values, columns = "", cells, list(range(1, len(cells) + 1))
    if position is not None:
        at = position % len(cells) if position < 0 else position
        if at >= len(cells) or not cells[at]:
            raise ValueError(
                f"{where}, column {at + 1}: the label is missing. Fill it in; or put the labels first "
                "(label='first'), or drop the empty cells behind them."
            )
        tag, values, columns = cells[at], cells[:at] + cells[at + 1 :], columns[:at] + columns[at + 1 :]
    while values and not values[-1]:
        values = values[:-1]
    if not values:
        raise ValueError(f"{where}: the sequence is empty. Drop the row.")
    try:
        return numbers(values, where, columns[: len(values)])[:, None], tag
    except ValueError as error:
        hint = " If these are column names, pass header=True." if may_be_titles else ""
        raise ValueError(f"{error}{hint}") from None
