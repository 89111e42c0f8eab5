"""Options in a TOML file: they become words of the command line, behind those that were typed."""

from __future__ import annotations

import dataclasses
import difflib
import pathlib
import tomllib
from collections.abc import Sequence
from typing import Any

from ntkseq.studies.options import Output

FLAG = "--options"


def expanded(words: Sequence[str], cls: type, argument: str | None) -> list[str]:
    """The words of a command with those of its `--options FILE.toml`, if there is one; what was typed counts before it.

    Args:
        words: behind the name of the command.
        cls: the record of its options.
        argument: the field that is typed without its name.

    Raises:
        OSError: the file cannot be read.
        ValueError: no TOML, an unknown option, or a value of a wrong kind.
    """
    words = list(words)
    for i, word in enumerate(words):
        name, mark, value = word.partition("=")
        if name == FLAG and (mark or i + 1 < len(words)):
            file = value if mark else words[i + 1]
            typed = words[:i] + words[i + (1 if mark else 2) :]
            return typed + _words(_read(file), typed, cls, argument, file)
    return words


def _read(file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(pathlib.Path(file).read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} is no TOML: {error}. Wanted lines like sigma_w = 1.2.") from None


def _words(found: dict[str, Any], typed: list[str], cls: type, argument: str | None, file: str) -> list[str]:
    own = [field for field in dataclasses.fields(cls) if field.name != argument]
    shown = [field for field in dataclasses.fields(Output) if field.name != FLAG.lstrip("-")]
    known = {field.name: field.default for field in (*own, *shown)}
    given = {word.partition("=")[0].lstrip("-").replace("-", "_") for word in typed if word.startswith("--")}
    made: list[str] = []
    for key, value in found.items():
        name = key.replace("-", "_")
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            where = "It is typed on the command line." if name == argument else ""
            hint = where or (f"Did you mean {near[0]}?" if near else f"There are {', '.join(sorted(known))}.")
            raise ValueError(f"{file}: no option {key!r}. {hint}")
        if name in given:
            continue
        flag = f"--{name.replace('_', '-')}"
        values = value if isinstance(value, list) else [value]
        if not values or any(isinstance(one, (dict, list)) for one in values):
            raise ValueError(f"{file}: {key} must be a value or a list of them; got {value!r}.")
        if isinstance(value, bool):
            if not value and known[name]:
                raise ValueError(f"{file}: {key} cannot be false. Leave it out.")
            made += [flag] if value else []
        else:
            made += [flag, *map(str, values)]
    return made
