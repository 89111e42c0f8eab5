"""How is the `.ts` text format of the UEA and UCR time series collections read?

A head of `@word value` lines, then `@data`, then one example per line: its dimensions separated by `:`, the values of
a dimension separated by `,`, and behind the last `:` the class label. Comments begin with `#` or `%`. With time stamps
a value is `(time,value)`; even steps are read, and the stamps left out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from ntkseq.data import stamps
from ntkseq.data.labels import number
from ntkseq.data.splits import Found, pad, sequence, shown, split

_FLAGS = ("timestamps", "missing", "univariate", "equallength")
_COUNTS = {"dimensions": "dimensions", "dimension": "dimensions", "serieslength": "serieslength"}


@dataclasses.dataclass
class _Head:
    """What the lines before `@data` say; None where they say nothing."""

    name: str = ""
    flags: dict[str, bool] = dataclasses.field(default_factory=dict)
    counts: dict[str, int] = dataclasses.field(default_factory=dict)
    labelled: bool | None = None
    classes: tuple[str, ...] | None = None
    regression: bool = False


def read(text: str, *, where: str, name: str, targets: str, max_bytes: int) -> Found:
    """The examples of a `.ts` file; `files.load` describes the arguments."""
    lines = _lines(text)
    head = _head(lines, where)
    if head.regression and targets != "values":
        raise ValueError(f"{where}: @targetLabel says that the labels are numbers, not classes. Pass targets='values'.")
    known = None if head.classes is None else {*head.classes, *filter(None, map(number, head.classes))}
    stamped = head.flags.get("timestamps", False)
    sequences, labels, written, steps = [], [], [], []
    for line, content in lines:
        place = f"{where}, line {line}"
        if stamped:
            cells, times, tag = stamps.parts(content, bool(head.labelled), place)
            steps.append((line, stamps.step(times, place)))
        else:
            *cells, tag = [part.split(",") for part in content.split(":")] + [[]] * (not head.labelled)
            tag = ",".join(tag)
        if head.labelled:
            labels.append(_label((tag or "").strip(), known, head, place))
        if not cells:
            raise ValueError(f"{place}: no values before the label; wanted dimension:...:label.")
        sequences.append(sequence(cells, place))
        written.append((len(cells[0]), len(cells)))
        _same(written, head, place)
    if not sequences:
        raise ValueError(f"{where}: no examples behind @data; wanted one per line.")
    x, lengths = pad(sequences, where, max_bytes)
    found = split(x, np.array(labels) if head.labelled else None, lengths, where, "@data")
    ended = sum(len(sequence) < t for sequence, (t, _) in zip(sequences, written, strict=True))
    origin = f"a line is a sequence, {'the label behind its last colon' if head.labelled else 'without labels'}"
    if stamped:
        origin += f", time stamps left out: {stamps.same(steps, where)}"
    found = dataclasses.replace(found, ended=ended)
    return Found(head.name or name, found, declared=head.classes, origin=origin)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Numbered lines without comments and blanks; one iterator, so the data go on where the head stops."""
    for place, line in enumerate(text.split("\n"), 1):
        line = line.strip()
        if line and not line.startswith(("#", "%")):
            yield place, line


def _head(lines: Iterator[tuple[int, str]], where: str) -> _Head:
    head = _Head()
    for line, content in lines:
        place = f"{where}, line {line}"
        if not content.startswith("@"):
            raise ValueError(f"{place}: wanted a line beginning with @ before @data; got {shown(content)}.")
        word, *values = content[1:].split() or [""]
        word = word.lower() if content[1:2].strip() else ""
        if word == "data":
            if head.labelled is None:
                raise ValueError(f"{place}: no @classLabel line before @data. Without labels say @classLabel false.")
            return head
        _tell(head, word, values, place)
    raise ValueError(f"{where}: no @data line; wanted a .ts file with @data before the examples. Is it cut off?")


def _tell(head: _Head, word: str, values: list[str], place: str) -> None:
    """Take one line of the head into account."""
    if word == "problemname":
        head.name = " ".join(values)
    elif word in _FLAGS:
        head.flags[word] = _flag(word, values, place)
    elif word in _COUNTS:
        if len(values) != 1 or not values[0].isascii() or not values[0].isdigit() or len(values[0]) > 18:
            raise ValueError(f"{place}: @{word} wants one whole number; got {shown(' '.join(values))}.")
        head.counts[_COUNTS[word]] = int(values[0])
    elif word in ("classlabel", "targetlabel"):
        told = _flag(word, values[:1], place)
        head.labelled = told or bool(head.labelled)
        head.regression = head.regression or (told and word == "targetlabel")
        if told and word == "classlabel":
            if len(values) < 2 or len(set(values[1:])) != len(values) - 1:
                raise ValueError(f"{place}: @classLabel true wants the names of the classes, each once.")
            head.classes = tuple(values[1:])
    else:
        raise ValueError(f"{place}: unknown word {shown('@' + word)} in the head. Delete or comment out (#) the line.")


def _flag(word: str, values: list[str], place: str) -> bool:
    if [value.lower() for value in values] not in (["true"], ["false"]):
        raise ValueError(f"{place}: @{word} wants true or false; got {shown(' '.join(values))}.")
    return values[0].lower() == "true"


def _label(label: str, known: set[str] | None, head: _Head, place: str) -> str:
    if not label or (label == "?" and known is None):
        raise ValueError(f"{place}: the label behind the last ':' is missing. Fill it in, or drop the line.")
    if head.classes is not None and known is not None and not {label, number(label)} & known:
        listed = ", ".join(head.classes[:12]) + (", ..." if len(head.classes) > 12 else "")
        raise ValueError(f"{place}: label {shown(label)} is not one that @classLabel lists ({listed}).")
    return label


def _same(written: list[tuple[int, int]], head: _Head, place: str) -> None:
    """Compare what the latest line holds, (t, d), with the first, and with what the head promises."""
    t, d = written[-1]
    wanted = head.counts.get("dimensions", 1 if head.flags.get("univariate") else written[0][1])
    if d != wanted:
        raise ValueError(f"{place}: wanted {wanted} dimension(s); got {d}. Look for a stray or missing ':'.")
    if not head.flags.get("equallength", "serieslength" in head.counts):
        return
    steps = head.counts.get("serieslength", written[0][0])
    if t != steps:
        raise ValueError(f"{place}: wanted {steps} values per dimension; got {t}. Or say @equalLength false.")
