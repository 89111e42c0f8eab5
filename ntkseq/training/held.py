"""Which numbers that training moves does a function hold? Looked for in what it closes over."""

from __future__ import annotations

import dataclasses
import functools
import types
from collections.abc import Iterator, Mapping
from typing import Any

import jax

from ntkseq import _guests
from ntkseq._types import AnyFunction

DEPTH = 6
"""Functions within functions that are looked into."""
LIBRARIES = frozenset({"jax", "jaxlib", "flax", "equinox", "numpy", "optax", "functools", "builtins", "ntkseq"})
"""Whose functions are not looked into: they hold nothing of a model."""


def held(f: AnyFunction) -> tuple[str, ...]:
    """Names of what f holds at fixed values and training is known to move; empty where there is nothing.

    Known are the functions of `interop`, and what a function of your own closes over: modules and states of flax.nnx,
    collections of flax.linen, an `equinox.nn.State`. A plain array says nothing about what becomes of it.
    """
    names: dict[str, None] = {}
    _look("", f, DEPTH, names, set())
    return tuple(names)


def _look(name: str, value: object, depth: int, names: dict[str, None], seen: set[int]) -> None:
    if depth < 0 or id(value) in seen or isinstance(value, (types.ModuleType, type, str, bytes, int, float, jax.Array)):
        return
    seen.add(id(value))
    moving = getattr(value, "moving", None)
    if callable(value) and isinstance(moving, tuple):  # a function of interop, which knows
        names.update(dict.fromkeys(moving))
    names.update(dict.fromkeys(_guests.moving(value, name)))
    for inner, part in _parts(value):
        _look(inner, part, depth - 1, names, seen)


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """What an object is made of, by name."""
    if isinstance(value, functools.partial):
        yield "", value.func
        yield from (("an argument", part) for part in value.args)
        yield from value.keywords.items()
    elif isinstance(value, types.MethodType):
        yield type(value.__self__).__name__, value.__self__
        yield "", value.__func__
    elif isinstance(value, types.FunctionType):
        if (value.__module__ or "").split(".")[0] in LIBRARIES:
            return
        code, given = value.__code__, {**(value.__kwdefaults__ or {})}
        defaults = value.__defaults__ or ()
        given |= dict(
            zip(code.co_varnames[: code.co_argcount][-len(defaults) :], defaults, strict=True) if defaults else ()
        )
        given |= {name: value.__globals__[name] for name in code.co_names if name in value.__globals__}
        for name, cell in zip(code.co_freevars, value.__closure__ or (), strict=True):
            try:
                given[name] = cell.cell_contents
            except ValueError:  # not filled yet
                continue
        yield from given.items()
    elif isinstance(value, (tuple, list)):
        yield from ((f"[{i}]", part) for i, part in enumerate(value))
    elif isinstance(value, Mapping):
        yield from ((str(name), part) for name, part in value.items())
    elif hasattr(value, "__wrapped__"):  # jax.jit and functools.wraps
        yield "", value.__wrapped__
    elif dataclasses.is_dataclass(value) and callable(value):
        yield from ((field.name, getattr(value, field.name, None)) for field in dataclasses.fields(value))
