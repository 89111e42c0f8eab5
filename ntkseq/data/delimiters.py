"""What stands between the cells of a table of text, and where does a quotation mark end?"""

from __future__ import annotations

import re

from ntkseq.data.splits import MISSING, shown

#: Words for delimiters that are awkward to type; "space" is any run of blanks and tabs.
NAMES = {"comma": ",", "semicolon": ";", "tab": "\t", "space": " "}

Rows = list[tuple[int, list[str]]]  # line in the file, stripped cells

_QUOTED = re.compile(r' *"((?:[^"]|"")*)" *')
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_COMMA = re.compile(r"[-+]?\d*,\d+([eE][-+]?\d+)?")  # as half of Europe writes numbers


def rows(text: str, where: str, delimiter: str, usual: str) -> tuple[Rows, tuple[str, ...]]:
    """The cells of each line that is not blank, and what to say of the delimiter.

    Args:
        text: the file.
        where: its name, for messages.
        delimiter: one character, a word of `NAMES`, or "auto": the usual one, unless only another makes numbers of the
            cells.
        usual: the character that files of this suffix have.

    Raises:
        ValueError: two delimiters would do, numbers with decimal commas, a quotation mark that is not closed.
    """
    lines = [(at, line) for at, line in enumerate(re.split(r"\r\n|\r|\n", text), 1) if line.strip()]
    if delimiter != "auto":
        mark = NAMES.get(delimiter, delimiter) if isinstance(delimiter, str) else delimiter
        if not isinstance(mark, str) or len(mark) != 1 or mark in '"\r\n':
            raise ValueError(f"delimiter must be one character, or one of auto, {', '.join(NAMES)}; got {delimiter!r}.")
        return _split(lines, mark, where), ()
    if not lines:
        return [], ()
    mark = _found([line for _, line in lines[:200]], usual, where)
    said = (
        () if mark == usual else (f"cells are taken to end at each {_name(mark)}; delimiter={_name(mark)!r} confirms",)
    )
    return _split(lines, mark, where), said


def _found(lines: list[str], usual: str, where: str) -> str:
    """The delimiter: the usual one where it makes numbers, else the only other one that does."""
    good = [mark for mark in dict.fromkeys((usual, *NAMES.values())) if _makes_numbers(lines, mark)]
    if usual in good:
        return usual
    good = good if good != ["\t", " "] else ["\t"]
    if len(good) == 1:
        return good[0]
    if good:
        ways = " or ".join(f"delimiter={_name(mark)!r}" for mark in good)
        raise ValueError(f"{where}: cells may end at {' or '.join(map(_name, good))}. Pass {ways}.")
    for mark in (";", "\t", " "):
        cells = [cell for line in lines for cell in _cut(line, mark)]
        if sum(_COMMA.fullmatch(cell) is not None for cell in cells) > len(cells) / 3:
            came = shown(next(filter(_COMMA.fullmatch, cells)))
            raise ValueError(
                f"{where}: numbers with decimal commas ({came}), a {_name(mark)} between them. Write decimal points, "
                f"as pandas.read_csv(..., sep={mark!r}, decimal=',') and to_csv do."
            )
    return usual


def _makes_numbers(lines: list[str], mark: str) -> bool:
    """Whether the lines have several cells each, mostly numbers, none of which holds another list of numbers."""
    table = [_cut(line, mark) for line in lines]
    table = table[1:] or table  # column names
    cells = [cell for row in table for cell in row]
    numbers = [cell for cell in cells if _NUMBER.fullmatch(cell) or cell.lower() in MISSING]
    several = sum(len(row) > 1 for row in table) > 0.9 * len(table)
    inner = [m for m in (";", "\t", ",") if m != mark and any(m in cell and _lists(cell, m) for cell in cells)]
    return several and 2 * len(numbers) >= len(cells) and not inner


def _lists(cell: str, mark: str) -> bool:
    return any(_NUMBER.fullmatch(part.strip()) for part in cell.split(mark))


def _cut(line: str, mark: str) -> list[str]:
    """The cells of a line, whatever its quotation marks say."""
    parts = line.split() if mark == " " else line.split(mark)
    return [part.strip().strip('"') for part in parts]


def _split(lines: list[tuple[int, str]], mark: str, where: str) -> Rows:
    made = []
    for at, line in lines:
        if '"' in line:
            made.append((at, _quoted(line, mark, f"{where}, line {at}")))
        else:
            made.append((at, line.split() if mark == " " else [cell.strip() for cell in line.split(mark)]))
    return made


def _quoted(line: str, mark: str, place: str) -> list[str]:
    """The cells of a line with quotation marks, which stand around whole cells and are closed in their line."""
    line = " ".join(line.split()) if mark == " " else line
    cells, at = [], 0
    while True:
        match = _QUOTED.match(line, at)
        end = len(line) + 1 if match is None else match.end() - (mark == " " and match.group().endswith(" "))
        if match is not None and (end == len(line) or line[end] == mark):
            cell = match.group(1).replace('""', '"')
        else:
            end = line.find(mark, at) if mark in line[at:] else len(line)
            cell = line[at:end]
            if '"' in cell:
                closed = "is not closed" if line.count('"') % 2 else "stands within a cell"
                raise ValueError(
                    f"{place}: a quotation mark {closed} in this line, got {shown(cell.strip())}. Close or delete it; "
                    "no cell may go over several lines."
                )
        cells.append(cell.strip())
        if end >= len(line):
            return cells
        at = end + 1


def _name(mark: str) -> str:
    return next(name for name, one in NAMES.items() if one == mark)
