"""How is the `.arff` format of Weka read, as the UCR and UEA collections have it?

A head of `@attribute name type` lines, then `@data`, then one example per line. One dimension: an attribute for each
step, numeric. Several: a relational attribute, whose text holds a line for each dimension and an attribute for each
step. One more attribute, usually the last and nominal, is the label.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

import numpy as np

from ntkseq.data.columns import LABELS, plain
from ntkseq.data.splits import Found, pad, sequence, shown, split

_ATTRIBUTE = re.compile(
    r"@attribute\s+('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|[^\s{]+)\s*((?<=\s)\S.*|\{.*)", re.IGNORECASE
)
_CELL = re.compile(r"\s*(?:'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"|([^,'\"]*))\s*")
_NUMERIC = ("numeric", "real", "integer", "int")


@dataclasses.dataclass
class _Attribute:
    name: str
    kind: str  # "numeric", "nominal", "relational", or what the file says
    values: tuple[str, ...] = ()
    steps: int = 0  # attributes of a relational one


def read(text: str, *, where: str, name: str, label: str | None, targets: str, max_bytes: int) -> Found:
    """The examples of an `.arff` file; `files.load` describes the arguments.

    Raises:
        ValueError: a label that cannot be told, attributes that are no steps, rows that do not fit the head.
    """
    lines = _lines(text)
    title, attributes = _head(lines, where)
    at = _label_at(attributes, label, targets, where)
    steps = [i for i in range(len(attributes)) if i != at]
    nested = _nested(attributes, steps, where)
    sequences, labels, written = [], [], []
    for line, content in lines:
        place = f"{where}, line {line}"
        if content.startswith("{"):
            raise ValueError(f"{place}: sparse rows, {{index value, ...}}, are not read. Write every value.")
        cells = _cells(content, place)
        if len(cells) != len(attributes):
            raise ValueError(f"{place}: {len(cells)} cells, but the head has {len(attributes)} attributes.")
        if at is not None:
            labels.append(_label(cells[at], attributes[at], place))
        if nested:
            dimensions = [part.split(",") for part in cells[steps[0]].split("\n") if part.strip()]
            odd = next((d for d in dimensions if len(d) != attributes[steps[0]].steps), None)
            if odd is not None:
                raise ValueError(
                    f"{place}: a dimension of {len(odd)} values, but {shown(attributes[steps[0]].name)} has "
                    f"{attributes[steps[0]].steps} attributes."
                )
        else:
            dimensions = [[cells[i] for i in steps]]
        if sequences and len(dimensions) != sequences[0].shape[1]:
            raise ValueError(
                f"{place}: {len(dimensions)} dimensions where the first example has {sequences[0].shape[1]}."
            )
        sequences.append(sequence(dimensions, place))
        written.append(len(dimensions[0]))
    if not sequences:
        raise ValueError(f"{where}: no examples behind @data; wanted one per line.")
    x, lengths = pad(sequences, where, max_bytes)
    found = split(x, None if at is None else np.array(labels), lengths, where, "@data")
    ended = sum(len(one) < t for one, t in zip(sequences, written, strict=True))
    called = "without labels" if at is None else f"the label attribute {shown(attributes[at].name)}"
    origin = f"a line is a sequence, {called}" + (", a line of the relational attribute is a dimension" * nested)
    declared = attributes[at].values or None if at is not None and targets != "values" else None
    return Found(title or name, dataclasses.replace(found, ended=ended), declared=declared, origin=origin)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Numbered lines without comments and blanks; one iterator, so the data go on where the head stops."""
    for place, line in enumerate(text.split("\n"), 1):
        line = line.strip()
        if line and not line.startswith("%"):
            yield place, line


def _head(lines: Iterator[tuple[int, str]], where: str) -> tuple[str, list[_Attribute]]:
    title, attributes = "", []
    inside: _Attribute | None = None
    for line, content in lines:
        place = f"{where}, line {line}"
        word = content.split()[0].lower()
        if word == "@relation":
            title = content[len(word) :].strip().strip("'\"")
        elif word == "@attribute":
            one = _attribute(content, place)
            if inside is None:
                attributes.append(one)
            elif one.kind != "numeric":
                raise ValueError(f"{place}: wanted numeric attributes within a relational one; got {shown(one.kind)}.")
            else:
                inside.steps += 1
            inside = one if one.kind == "relational" else inside
        elif word == "@end" and inside is not None:
            inside = None
        elif word == "@data" and inside is None:
            if len(attributes) == 0:
                raise ValueError(f"{place}: no @attribute line before @data.")
            return title, attributes
        else:
            raise ValueError(f"{place}: wanted @relation, @attribute, @end or @data; got {shown(content)}.")
    raise ValueError(f"{where}: no @data line; wanted an .arff file with @data before the examples. Is it cut off?")


def _attribute(content: str, place: str) -> _Attribute:
    match = _ATTRIBUTE.fullmatch(content)
    if match is None:
        raise ValueError(f"{place}: wanted @attribute, a name and a type; got {shown(content)}.")
    name, kind = _bare(match.group(1)), match.group(2).strip()
    if kind.startswith("{"):
        if not kind.endswith("}"):
            raise ValueError(f"{place}: the list of classes does not end in '}}'; got {shown(kind)}.")
        values = tuple(_cells(kind[1:-1], place))
        if "" in values or len(set(values)) < len(values):
            raise ValueError(f"{place}: wanted the names of the classes, each once; got {shown(kind)}.")
        return _Attribute(name, "nominal", values)
    word = kind.split()[0].lower()
    return _Attribute(name, "numeric" if word in _NUMERIC else word)


def _bare(text: str) -> str:
    return _unescaped(text[1:-1]) if text[:1] in ("'", '"') else text


def _unescaped(text: str) -> str:
    r"""Weka writes a line break within a cell as `\n`, and a backslash before quotation marks."""
    return re.sub(
        r"\\(.)", lambda found: {"n": "\n", "t": "\t", "r": ""}.get(found[1], found[1]), text, flags=re.DOTALL
    )


def _cells(content: str, place: str) -> list[str]:
    """The cells of a line, which commas divide and quotation marks hold together."""
    cells, at = [], 0
    while True:
        match = _CELL.match(content, at)
        assert match is not None  # the third way of the pattern matches nothing, too
        single, double, plainly = match.groups()
        end = match.end()
        if end < len(content) and content[end] != ",":
            raise ValueError(
                f"{place}: a quotation mark within a cell, or not closed; got {shown(content[at : at + 40])}."
            )
        quoted = single if single is not None else double
        cells.append(_unescaped(quoted) if quoted is not None else plainly.strip())
        if end >= len(content):
            return cells
        at = end + 1


def _label_at(attributes: list[_Attribute], label: str | None, targets: str, where: str) -> int | None:
    """Which attribute is the label; the only nominal one, or the last, unless `label` says otherwise."""
    names = [one.name for one in attributes]
    if label is None:
        return None
    if label in ("first", "last"):
        return 0 if label == "first" else len(names) - 1
    if label != "auto":
        if names.count(label) != 1:
            listed = ", ".join(shown(name) for name in names[-12:])
            raise ValueError(f"{where}: wanted one attribute named {label!r}; the last ones are {listed}.")
        return names.index(label)
    nominal = [i for i, one in enumerate(attributes) if one.kind in ("nominal", "string")]
    if len(nominal) == 1:
        return nominal[0]
    if len(nominal) > 1:
        listed = ", ".join(shown(names[i]) for i in nominal[:6])
        raise ValueError(f"{where}: attributes {listed} are nominal. Say which is the label, label='NAME'.")
    if len(names) > 1 and (targets == "values" or plain(names[-1]) in LABELS):
        return len(names) - 1
    raise ValueError(
        f"{where}: no attribute is nominal, so none is a class label. Pass label='last' or label='NAME'; regression: "
        "targets='values', which takes the last."
    )


def _nested(attributes: list[_Attribute], steps: list[int], where: str) -> bool:
    """Whether the sequences have several dimensions, in a relational attribute."""
    kinds = [attributes[i].kind for i in steps]
    if kinds == ["relational"]:
        return True
    odd = next((attributes[i] for i in steps if attributes[i].kind != "numeric"), None)
    if not kinds or odd is not None:
        came = f"attribute {shown(odd.name)}, {odd.kind}" if odd is not None else "no attribute but the label"
        raise ValueError(
            f"{where}: wanted a numeric attribute for each step, or one relational attribute; got {came}. Save the "
            "numbers to an .npz, x (n, t, d) and y (n,)."
        )
    return False


def _label(cell: str, attribute: _Attribute, place: str) -> str:
    if cell in ("", "?") and cell not in attribute.values:
        raise ValueError(
            f"{place}: the label, attribute {shown(attribute.name)}, is missing. Fill it in, or drop the line."
        )
    if attribute.kind == "nominal" and cell not in attribute.values:
        listed = ", ".join(attribute.values[:12]) + (", ..." if len(attribute.values) > 12 else "")
        raise ValueError(f"{place}: label {shown(cell)} is none of {shown(attribute.name)} ({listed}).")
    return cell
