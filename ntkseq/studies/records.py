"""Records of options: how a file is read, checks by the types of fields, and the command line of a record."""

from __future__ import annotations

import dataclasses
import os
import shlex
import types
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args, get_origin, get_type_hints

from ntkseq import _checks


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reading:
    """How a file with sequences is read: the options of `data.load` that every study has which takes a file."""

    test: str | None = None
    """A second file with the test split (NAME_TEST.ts beside NAME_TRAIN.ts)."""
    label: str = "auto"
    """Tables, .arff: where the label is, "first", "last" or a column name. auto: by names and contents, or it asks."""
    delimiter: str = "auto"
    """Tables: what stands between cells, comma, semicolon, tab, space (any blanks) or one character. auto looks."""
    layout: Literal["auto", "ntd", "nct", "rows"] = "auto"
    """Axes of arrays: ntd, (n, t, d), or nct, (n, channels, time). Tables: rows, each row is a sequence. auto looks."""
    targets: Literal["auto", "classes", "values"] = "auto"
    """classes, or values: numbers (regression). auto: classes, and it asks where labels look like numbers."""
    tokens: Literal["auto", "real", "one-hot"] = "auto"
    """Whole numbers: real, measured values; one-hot, ids of tokens. auto asks where they look like ids."""

    id: tuple[str, ...] = ()
    """Tidy tables, a row for each step: the column, or columns, that name a sequence."""
    time: str | None = None
    """Tidy tables: the column of times, which orders the rows of a sequence."""
    columns: tuple[str, ...] = ()
    """Tidy tables: the columns of the values. Default: all but id, time and label."""

    @property
    def reading(self) -> dict[str, Any]:
        """These options, by name."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(Reading)}

    @property
    def said_of_file(self) -> tuple[str, ...]:
        """The names of those that say something."""
        return tuple(field.name for field in dataclasses.fields(Reading) if getattr(self, field.name) != field.default)


def check_fields(record: Any) -> None:
    """Check the words, texts, paths, flags and numbers of a record by the types of its fields.

    Raises:
        ValueError: a value of another type.
    """
    hints = get_type_hints(type(record))
    for name in (field.name for field in dataclasses.fields(record)):
        value, hint = getattr(record, name), hints[name]
        kinds = get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
        if hint is Any or (value is None and types.NoneType in kinds):
            continue
        if get_origin(kinds[0]) is tuple:
            for one in _checks.listed(name, value, f"{get_args(kinds[0])[0].__name__} values"):
                _check_field(name, one, get_args(kinds[0])[0])
        else:
            _check_field(name, value, kinds[0])


def _check_field(name: str, value: object, kind: Any) -> None:
    if get_origin(kind) is Literal:
        _checks.choice(name, value, get_args(kind))
    elif kind is bool:
        _checks.flag(name, value)
    elif kind is int:
        _checks.integer(name, value, -(2**63))
    elif kind is float:
        _checks.number(name, value)
    elif kind is str and not isinstance(value, os.PathLike):
        _checks.text(name, value)


def command_line(
    words: list[str],
    record: Any,
    usual: Any = None,
    *,
    without: Sequence[str] = (),
    texts: Mapping[str, str] | None = None,
) -> str:
    """The words of a command, then the options of its record that are not as they stand by default.

    Args:
        words: the command, with the arguments that go without a name: fields without a default.
        record: a dataclass.
        usual: a record with the defaults, where they are not those of the fields.
        without: fields to be left out.
        texts: what to write for a field in place of its value.
    """
    words = list(words)
    for field in dataclasses.fields(record):
        if field.name in without:
            continue
        value, option = getattr(record, field.name), field.name.replace("_", "-")
        made = field.default_factory is not dataclasses.MISSING
        default = field.default_factory() if made else field.default  # pyright: ignore[reportCallIssue]
        default = default if usual is None else getattr(usual, field.name)
        value = (texts or {}).get(field.name, value)
        if default is dataclasses.MISSING or value == default:
            continue
        if isinstance(value, bool):
            words.append(f"--{'' if value else 'no-'}{option}")
        else:
            words += [f"--{option}", *(str(part) for part in (value if isinstance(value, tuple) else (value,)))]
    return shlex.join(words)
