"""How does an object look at the prompt and in a notebook? A few short lines, of an array its shape; escaped tables."""

from __future__ import annotations

import dataclasses
import html
import inspect
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from ntkseq import _values

WIDTH, LINES = 100, 6
"""Columns and lines at the prompt, at most."""
_MOST = 60  # letters of one value that is not ours
_ITEMS = 8  # of a list or dict that are named


def record(self: object) -> str:
    """The `__repr__` of a dataclass or named tuple: its fields, and of what they hold only what is not the default.

    Where that takes more than six lines, its own fields that have their default are left out, too. Numbers come with
    all their digits, so that no end of an interval moves.
    """
    text = call(self, every=True)
    lines = wrapped(text)
    return "\n".join(lines if len(lines) <= LINES else cut(wrapped(call(self))))


def line(obj: object) -> str:
    """All settings of an object in one line of any length."""
    return call(obj, every=True) if _recorded(obj) else " ".join(repr(obj).split())


def printed(self: object) -> str:
    """The `__repr__` of an object whose `str` is a page: the name of its class, and the first lines of that page."""
    return clipped(f"{type(self).__name__}: {self}")


def clipped(text: str) -> str:
    """A text of some lines within 100 columns and six lines; what is left out is said."""
    lines = [one if len(one) <= WIDTH else one[: WIDTH - 3].rstrip() + "..." for one in text.splitlines()]
    if len(lines) > LINES:
        rest = len(lines) - LINES + 1
        lines = [*lines[: LINES - 1], f"  ... {rest} more lines: print it"]
    return "\n".join(lines)


def wrapped(text: str) -> list[str]:
    """One line as lines of 100 columns, broken at blanks."""
    options: dict[str, Any] = {"subsequent_indent": "    ", "break_on_hyphens": False}
    return textwrap.wrap(text, WIDTH, **options) or [""]


def cut(lines: list[str], most: int = LINES) -> list[str]:
    """So many lines at most, the last of them open where there were more."""
    return lines if len(lines) <= most else [*lines[: most - 1], lines[most - 1][: WIDTH - 4] + " ..."]


def folded(text: str) -> str:
    """One line of any length as six lines of 100 columns at most."""
    return "\n".join(cut(wrapped(text)))


def short(value: Any) -> str:
    """One value in a few letters."""
    if isinstance(value, (np.ndarray, jax.Array)):
        return _array(value)
    if isinstance(value, np.generic):
        return str(value) if value.dtype.kind in "fiub" else repr(value.item())
    if hasattr(type(value), "_short"):
        return value._short()
    if isinstance(value, str):
        return repr(value if len(value) <= _MOST else value[: _MOST - 3] + "...")
    if isinstance(value, Mapping):
        names = [f"{key!s}: {short(one)}" for key, one in list(value.items())[:_ITEMS]]
        return _few("{" + ", ".join([*names, *["..."] * (len(value) > _ITEMS)]) + "}", f"{len(value)} by name")
    if _recorded(value):
        return call(value, every=False)
    if isinstance(value, (tuple, list)):
        items = _items(value)
        if len(items) > _ITEMS:
            return f"{type(value).__name__} of {len(value)}"
        brackets = "()" if isinstance(value, tuple) else "[]"
        return f"{brackets[0]}{', '.join(items)}{',' * (len(items) == 1 and brackets == '()')}{brackets[1]}"
    if callable(value) and isinstance(name := getattr(value, "__name__", None), str):
        return name
    text = repr(value)
    if type(value).__repr__ is object.__repr__:
        return type(value).__name__
    first = " ".join(text.split()) if text.count("\n") < LINES // 2 else text.splitlines()[0]
    return first if type(value).__module__.startswith("ntkseq.") else _few(first)


def _array(value: Any) -> str:
    if value.ndim == 0 and _values.is_concrete(value) and getattr(value.dtype, "kind", "V") in "fiub":
        return str(np.asarray(value)[()])
    return f"{'' if _values.is_concrete(value) else 'traced '}{value.dtype} {tuple(value.shape)}"


def _few(text: str, instead: str = "") -> str:
    return text if len(text) <= _MOST else instead or text[: _MOST - 3] + "..."


def _recorded(value: object) -> bool:
    """Whether this is a record of the library without a `__repr__` of its own."""
    return type(value).__repr__ is record


def call(obj: Any, *, every: bool = False) -> str:
    """The call that makes the object; `every`: with arguments that have their default."""
    parts = [part for name, default in _fields(obj) for part in _argument(obj, name, default, every)]
    return f"{type(obj).__name__}({', '.join(parts)})"


def _argument(obj: Any, name: str, default: Any, every: bool) -> list[str]:
    value = getattr(obj, name, None)
    spread = any(one.kind is one.VAR_POSITIONAL for one in inspect.signature(type(obj)).parameters.values())
    if spread and isinstance(value, tuple) and name == _fields(obj)[0][0]:
        return _items(value)
    text, known = short(value), default is not dataclasses.MISSING
    usual = known and (same(value, default) or (isinstance(default, str) and text == repr(default)))
    return [] if usual and not every else [f"{name}={text}"]


def _fields(obj: Any) -> list[tuple[str, Any]]:
    """Names and defaults."""
    if not dataclasses.is_dataclass(obj):
        return [(name, obj._field_defaults.get(name, dataclasses.MISSING)) for name in obj._fields]
    missing = dataclasses.MISSING
    return [
        (one.name, one.default if one.default_factory is missing else one.default_factory())
        for one in dataclasses.fields(obj)
        if one.repr and not one.name.startswith("_")
    ]


def _items(values: Sequence[Any]) -> list[str]:
    """The members of a list; what comes several times in a row, alone or in a group, stands once: *4 * (a, b)."""
    items, at = [], 0
    while at < len(values):
        period, times = _repeated(values, at)
        part = ", ".join(short(one) for one in values[at : at + period])
        items.append(f"*{times} * ({part}{',' * (period == 1)})" if times > 1 else part)
        at += period * times
    return items


def _repeated(values: Sequence[Any], at: int) -> tuple[int, int]:
    """How many members from here on come again and how often: the most that one such group covers."""
    best = (1, 1)
    for period in range(1, min(_ITEMS, (len(values) - at) // 2) + 1):
        times = 1
        while at + (times + 1) * period <= len(values) and all(
            same(values[at + k], values[at + times * period + k]) for k in range(period)
        ):
            times += 1
        if times > 1 and period * times > best[0] * best[1]:
            best = (period, times)
    plain = all(isinstance(one, (str, int, float)) for one in values[at : at + best[0]])
    return (1, 1) if plain else best


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same; what cannot be looked at is itself only."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, (np.ndarray, jax.Array)):
        known = _values.is_concrete(one) and _values.is_concrete(other) and one.shape == other.shape
        return known and one.dtype == other.dtype and bool(np.array_equal(np.asarray(one), np.asarray(other)))
    if _recorded(one):
        return all(same(getattr(one, name), getattr(other, name)) for name, _ in _fields(one))
    if isinstance(one, (tuple, list)):
        return len(one) == len(other) and all(map(same, one, other))
    return isinstance(one, (str, bool, int, float)) and one == other


# ---- notebooks


def table(
    title: str, rows: Iterable[Sequence[object]], header: Sequence[object] = (), notes: Iterable[str] = ()
) -> str:
    """A small HTML table, every text escaped, in the colours of the notebook.

    Args:
        title: above it.
        rows: their cells.
        header: names of columns; none if empty.
        notes: lines below it.
    """
    style = "text-align:left;padding:0.15em 0.9em 0.15em 0"
    cells = lambda tag, row: "".join(f'<{tag} style="{style}">{html.escape(str(x))}</{tag}>' for x in row)  # noqa: E731
    head = f"<thead><tr>{cells('th', header)}</tr></thead>" if header else ""
    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    below = "".join(f"<div>{html.escape(note)}</div>" for note in notes)
    return f"<div><strong>{html.escape(title)}</strong><table>{head}<tbody>{body}</tbody></table>{below}</div>"
