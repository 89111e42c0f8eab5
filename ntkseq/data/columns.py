"""Where in a table are the column names, the label, and a row index that is no step?"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ntkseq.data.delimiters import Rows
from ntkseq.data.splits import MISSING, shown

LABELS = {"label", "labels", "class", "classes", "class_label", "target", "targets", "category"}
_INDEX = {"", "index", "unnamed:_0", "__index_level_0__", "rownames", "obs", "row", "rowid"}

#: Tables whose first cell is usually the label, as the UCR archive has it.
LABEL_FIRST = (".tsv", ".txt")

ROWS = "If each row is a sequence all the same, pass layout='rows'."


def is_number(cell: str) -> bool:
    """Whether the text is a number, infinite and NaN among them."""
    try:
        float(cell)
    except ValueError:
        return False
    return True


def looks_like_titles(rows: Rows, label: str | None, layout: str, where: str) -> bool:
    """Whether the first row holds column names.

    It does if nothing in it is a number; if it lacks a name for a column of row numbers only; if one end is a name like
    "label" that no other row has there; if it counts the columns, 0, 1, 2, ...

    Raises:
        ValueError: it may hold names or a sequence, and "layout" is not "rows".
    """
    first, rest = rows[0][1], [cells for _, cells in rows[1:]]
    ends = {"first": (0,), "last": (-1,), "auto": (0, -1)}.get(label or "", ())
    for at in ends or (None,):
        values = [cell for i, cell in enumerate(first) if cell and (at is None or i != at % len(first))]
        values = [cell for cell in first if cell] if label == "auto" else values
        if values and not any(is_number(cell) or cell.lower() in MISSING for cell in values):
            return True
    if not rest:
        return False
    if plain(first[0]) in _INDEX and any(first[1:]) and _row_numbers([cells[0] for cells in rest]):
        return True
    named = [at for at in ends if first[at] and not is_number(first[at]) and first[at].lower() not in MISSING]
    if any(plain(first[at]) in LABELS and first[at] not in [cells[at] for cells in rest] for at in named):
        return True
    over = next((at for at in named if all(is_number(cells[at]) for cells in rest)), None)
    if over is not None:
        others = first[1:] if over == 0 else first[:-1]
        if others in (_counted(len(others)), _counted(len(others), 1)):
            return True
        if layout != "rows":
            raise ValueError(
                f"{where}: the first row has {shown(first[over])} where all others have numbers; it may be names or a "
                "sequence. Delete it (or header=True); or, if it is a sequence, pass layout='rows'."
            )
    return layout != "rows" and _counts_columns(first, rest, where)


def _counts_columns(first: list[str], rest: list[list[str]], where: str) -> bool:
    """Whether the first row is 0, 1, 2, ..., as pandas names columns that have no name."""
    if len(first) < 3 or first != _counted(len(first)):
        return False
    if any(re.search(r"[.eE]", cell) for cells in rest for cell in cells if is_number(cell)):
        return True
    raise ValueError(
        f"{where}: the first row counts 0, 1, 2, ... to {first[-1]}; it may be column names or a sequence. "
        "Delete it (or header=True); or, if it is a sequence, pass layout='rows'."
    )


def _counted(n: int, start: int = 0) -> list[str]:
    return [str(i) for i in range(start, n + start)]


def plain(title: str) -> str:
    """A column name for comparison: small letters, `_` between words."""
    return re.sub(r"[\s.\-]+", "_", title.strip().lower())


def _row_numbers(column: Sequence[str]) -> bool:
    """Whole numbers, each once."""
    return all(re.fullmatch(r"\d+", cell) for cell in column) and len(set(map(int, column))) == len(column)


def has_row_index(rows: Rows, titles: list[str] | None, label: str | None, suffix: str, where: str) -> bool:
    """Whether the first column is a row index that a data frame wrote along; refused where that is likely only."""
    column = [cells[0] for _, cells in rows]
    if titles is not None:
        title = plain(titles[0])
        if title not in _INDEX or titles[0] == label or (label == "first" and title):
            return False
        if _row_numbers(column):
            return True
        if title == "index" or label == "first":
            return False
        raise ValueError(
            f"{where}: the first column has no name. Is it a row index? Then delete it (to_csv(index=False)); "
            "else name it."
        )
    if (
        label == "first"
        or not all(map(is_number, column))
        or (label == "auto" and suffix in LABEL_FIRST and len(rows) < 4)
    ):
        return False  # there the first cell is usually the label
    numbers = [float(cell) for cell in column]
    n = len(numbers)
    if len(set(numbers)) < n or not all(value.is_integer() and value >= 0 for value in numbers):
        return False
    others = [float(cell) for _, cells in rows for cell in cells[1:-1] if is_number(cell)]
    real = bool(others) and sum(not value.is_integer() for value in others) > 0.9 * len(others)
    counted = numbers in (list(range(n)), list(range(1, n + 1)))
    if (counted and n >= (2 if real else 3)) or (real and n >= 5):
        raise ValueError(
            f"{where}: the first column holds whole numbers, each once ({', '.join(column[:3])}, ...), as a row index "
            f"does. Delete it (to_csv(index=False)); if it is the label, pass label='first'. {ROWS}"
        )
    return False


def label_place(rows: Rows, titles: list[str] | None, suffix: str, targets: str, where: str) -> str:
    """Where the label is: a column name, "first" or "last".

    A column called label, class or target; else an end of the rows that holds text; else what is usual, the first cell
    of a .tsv or .txt and the last of a .csv, unless the other end looks as much or more like class codes.
    """
    if titles is not None:
        named = [title for title in titles if plain(title) in LABELS]
        if not named and not {"x", "z"} & set(map(plain, titles)):  # y that is no axis
            named = [title for title in titles if plain(title) == "y"]
        if len(named) == 1:
            return named[0]
        if named:
            raise ValueError(f"{where}: columns {', '.join(map(shown, named))} may be the label. Pass label='NAME'.")
    first, last = [cells[0] for _, cells in rows], [cells[-1] for _, cells in rows]
    text_first, text_last = _has_text(first), _has_text(last)
    tab = suffix in LABEL_FIRST
    usual, other = ("first", "last") if tab else ("last", "first")
    which = f"the {usual} cell of each row is usually the label of a {suffix}"
    grades = {"first": _grade(first), "last": _grade(last)}
    if text_last and not (text_first and tab):
        return "last"
    if text_first:
        if grades["last"] > 0:
            raise ValueError(
                f"{where}: the first cell of each row is text ({shown(first[0])}), the last looks like a class code "
                f"({shown(last[0])}). Pass label='first' or label='last'."
            )
        return "first"
    if targets == "values":
        if tab:
            raise ValueError(f"{where}: {which}, but numbers may be last. Pass label='first' or label='last'.")
        return "last"
    if grades[usual] < 0 and grades[other] <= 0:
        return usual  # `labels.encode` says that these are no classes
    if grades[usual] <= grades[other] and grades[other] > 0:
        if grades[usual] == grades[other]:
            why = "but both ends look like class codes"
        else:
            why = f"but here the {other} one looks more like it"
        ways = f"({shown(first[0])} ... {shown(last[0])} in the first)"
        raise ValueError(
            f"{where}: {which}, {why} {ways}. Pass label='first' or label='last'; regression: targets='values'."
        )
    if grades[usual] == 0 and len(rows) > 3 and len(set(first if tab else last)) > 1:
        raise ValueError(
            f"{where}: {which}, but hardly any value occurs twice there ({', '.join((first if tab else last)[:3])}, "
            "...). Pass label='first' or label='last' if it is; row numbers: delete them; regression: targets='values'."
        )
    return usual


def several_kinds(titles: list[str], label: str | None) -> str:
    """What to say of columns like ax_0, ax_1, ..., ay_0, ay_1, ...: steps of several features; else nothing."""
    steps = [re.fullmatch(r"(.*?\D)[_\-. ]*\d+", title) for title in titles if title != label]
    kinds = [step.group(1).rstrip("_-. ") for step in steps if step is not None]
    each = {kind: kinds.count(kind) for kind in kinds}
    if len(kinds) < len(steps) or not 2 <= len(each) <= 20 or len(set(each.values())) > 1 or len(kinds) == len(each):
        return ""
    named = ", ".join(sorted(each))
    return (
        f"columns of {len(each)} kinds ({named}) are read as one sequence of numbers, t = {len(kinds)}. If they are "
        "features of one step, save x (n, t, d) to an .npz"
    )


def _has_text(column: list[str]) -> bool:
    return any(not is_number(cell) and cell.lower() not in MISSING for cell in column)


def _grade(column: list[str]) -> int:
    """How much numbers look like class codes: -1 not whole, 0 whole, 1 repeated, 2 also without gaps."""
    try:
        values = [float(cell) for cell in column]
    except ValueError:
        return -1
    if not all(value.is_integer() for value in values):
        return -1
    codes, n = sorted(set(values)), len(values)
    if len(codes) < 2 or (len(codes) == n and n > 3):
        return 0
    if codes == [-1, 1] or (codes[0] in (0, 1) and codes[-1] - codes[0] == len(codes) - 1):
        return 2
    return int(len(codes) <= n / 2)
