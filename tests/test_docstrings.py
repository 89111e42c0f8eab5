"""Do the docstrings of public names say what goes in, of which shape, and what is refused? Read, not called."""

from __future__ import annotations

import ast
import dataclasses
import functools
import importlib
import inspect
import pathlib
import re
from collections.abc import Iterator
from types import FunctionType
from typing import Any

from tests.test_public import SURFACE

LOOSE = re.compile(r"\b(ArrayLike|AnyArray|GramLike|Inputs|Lengths|Tasks|ndarray|Array)\b")
"""Types of arrays that leave the shape open; `Float[Array, "n t d"]` says it itself."""
SHAPE = re.compile(r"\((\.\.\.|\d+|[A-Za-z]\w*)(?: [A-Za-z]\w*)*,[^()]*\)|[Aa]ny shape|shape of")

ANSWERS_ALL = {"references.keys_of"}
"""What has an answer for every object, and refuses nothing."""


@functools.cache
def fields(path: str) -> dict[str, dict[str, str]]:
    """The strings below the fields of the classes of a file: class, field, string."""
    found: dict[str, dict[str, str]] = {}
    for node in ast.walk(ast.parse(pathlib.Path(path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef):
            for one, after in zip(node.body, node.body[1:], strict=False):
                if isinstance(one, ast.AnnAssign) and isinstance(after, ast.Expr):
                    found.setdefault(node.name, {})[ast.unparse(one.target)] = ast.unparse(after.value)
    return found


@dataclasses.dataclass(frozen=True)
class Thing:
    """A public function, class, or method of a public class: what is said of it, and of the class it belongs to."""

    title: str
    call: Any
    said: str
    beside: str = ""

    @property
    def parameters(self) -> dict[str, str]:
        """Names and types of what is passed."""
        try:
            given = inspect.signature(self.call).parameters
        except (TypeError, ValueError):
            return {}
        left_out = ("self", "cls")
        return {name: str(one.annotation) for name, one in given.items() if name[0] != "_" and name not in left_out}

    @property
    def answer(self) -> str:
        return "" if inspect.isclass(self.call) else str(inspect.signature(self.call).return_annotation)


def own(cls: type) -> list[type]:
    return [base for base in cls.__mro__ if base.__module__.startswith("ntkseq")]


def of_class(cls: type) -> str:
    """What a class and those of this library above it say, with the strings below their fields."""
    parts = []
    for base in own(cls):
        below = fields(str(inspect.getsourcefile(base))).get(base.__name__, {})
        parts += [base.__doc__ or "", *(f"`{name}`: {text}" for name, text in below.items())]
    return "\n".join(parts)


def methods(cls: type) -> Iterator[tuple[str, FunctionType, str]]:
    """The public methods that a class defines, with what it and the classes above it say of them."""
    for name, member in vars(cls).items():
        function = getattr(member, "__func__", member)
        if isinstance(function, FunctionType) and (name[0] != "_" or name == "__call__"):
            above = [vars(base)[name] for base in own(cls) if name in vars(base)]
            yield name, function, "\n".join(getattr(one, "__func__", one).__doc__ or "" for one in above)


@functools.cache
def public() -> list[Thing]:
    found: dict[int, Thing] = {}
    for room, names in SURFACE.items():
        for name in names:
            thing: Any = getattr(importlib.import_module(room), name)
            title = f"{room.removeprefix('ntkseq.')}.{name}"
            if inspect.ismodule(thing) or not callable(thing):
                continue
            if not inspect.isclass(thing):
                found[id(thing)] = Thing(title, thing, thing.__doc__ or "")
                continue
            found[id(thing)] = Thing(title, thing, text := of_class(thing))
            found |= {id(f): Thing(f"{title}.{called}", f, said, text) for called, f, said in methods(thing)}
    return list(found.values())


def described(thing: Thing) -> set[str]:
    """The names with an entry of their own, or in backticks; of a method all words, and those of its class."""
    if thing.beside:
        return set(re.findall(r"\w+", thing.said + thing.beside))
    entries = re.findall(r"^ {4,12}([*\w, ]{1,150}):(?= |$)", thing.said, re.MULTILINE)
    return set(re.findall(r"\w+", " ".join([*entries, *re.findall(r"`[^`]+`", thing.said)])))


def names(function: FunctionType) -> tuple[str, ...]:
    return inspect.unwrap(function).__code__.co_names


def refuses(thing: Thing) -> bool:
    """Whether there is something to refuse: a function with parameters, a class or method that looks at them."""
    if not thing.parameters or thing.said.lstrip().startswith(("Raise ", "Refuse ")):
        return False
    if inspect.isclass(thing.call):
        makers = [vars(base).get("__post_init__", vars(base).get("__init__")) for base in own(thing.call)]
        return any("_checks" in names(f) or "ValueError" in names(f) for f in makers if isinstance(f, FunctionType))
    return not thing.beside or bool({"_checks", "ValueError"} & set(names(thing.call)))


def test_every_parameter_is_described():
    lacking = {thing.title: set(thing.parameters) - described(thing) for thing in public()}
    assert {title: missing for title, missing in lacking.items() if missing} == {}


def test_shapes_of_arrays_are_said():
    lacking = {}
    for thing in public():
        loose = [n for n, kind in thing.parameters.items() if LOOSE.search(kind) and not set("\"'") & set(kind)]
        if LOOSE.search(thing.answer) and not set("\"'") & set(thing.answer):
            loose.append("returns")
        if loose and not SHAPE.search(thing.said + thing.beside):
            lacking[thing.title] = loose
    assert lacking == {}


def test_what_is_refused_is_said():
    assert {thing.title for thing in public() if refuses(thing) and "Raises:" not in thing.said} == ANSWERS_ALL
