"""How does a frozen dataclass become a JAX pytree?"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar, dataclass_transform

import jax

from ntkseq import _display
from ntkseq._types import PyTree

T = TypeVar("T")


def static(*, check: Callable[[str, Any], Any] | None = None, **kwargs: Any) -> Any:
    """A field that belongs to the structure of the pytree, not to its leaves: it must be hashable.

    Args:
        check: check(name, value) returns what is kept of the value, before `__post_init__` runs.
        **kwargs: of `dataclasses.field`.
    """
    return dataclasses.field(metadata={"static": True, "check": check}, **kwargs)


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field, static))
def struct(cls: type[T]) -> type[T]:
    """Make `cls` a frozen dataclass and a pytree; fields made by `static()` are structure, all others are leaves.

    The checks of `__post_init__` run when a user makes the object, not when JAX rebuilds it: a gradient has the same
    structure, and its leaves may be negative, tracers or placeholders. At the prompt it is a `_display.record`, unless
    the class has a `__repr__` of its own. An argument that it does not take is answered with those that it takes, and
    with what the class has under that name in `_elsewhere`, a mapping from words to sentences.
    """
    _check_first(cls)
    if "__repr__" not in vars(cls):
        cls.__repr__ = _display.record
    cls = dataclasses.dataclass(frozen=True, eq=False, repr=False)(cls)
    _check_names(cls)
    fields = dataclasses.fields(cls)  # pyright: ignore[reportArgumentType]
    leaves = tuple(f.name for f in fields if not f.metadata.get("static", False))
    meta = tuple(f.name for f in fields if f.metadata.get("static", False))

    def flatten(obj: object) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        return tuple(getattr(obj, name) for name in leaves), tuple(getattr(obj, name) for name in meta)

    def flatten_with_keys(obj: object) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        keyed = tuple((jax.tree_util.GetAttrKey(name), getattr(obj, name)) for name in leaves)
        return keyed, tuple(getattr(obj, name) for name in meta)

    def unflatten(aux: tuple[Any, ...], children: PyTree) -> Any:
        obj = object.__new__(cls)
        for name, value in (*zip(leaves, children, strict=True), *zip(meta, aux, strict=True)):
            object.__setattr__(obj, name, value)
        return obj

    jax.tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)
    return cls


def _check_first(cls: type) -> None:
    """Let the `check` of every field run before the `__post_init__` of the class, in the order of the fields."""
    own = vars(cls).get("__post_init__")
    if not any(isinstance(f, dataclasses.Field) and f.metadata.get("check") for f in vars(cls).values()):
        return

    def __post_init__(self: Any) -> None:
        fill(self, **{f.name: f.metadata["check"](f.name, getattr(self, f.name)) for f in dataclasses.fields(self)
                      if f.metadata.get("check")})  # fmt: skip
        if own is not None:
            own(self)

    cls.__post_init__ = __post_init__  # pyright: ignore[reportAttributeAccessIssue]


def _check_names(cls: type) -> None:
    """Let the class say in one line what it takes, where it is given an argument that it does not."""
    made = cls.__init__
    parameters = list(inspect.signature(made).parameters.values())[1:]
    if any(one.kind is one.VAR_KEYWORD for one in parameters):
        return
    known = [f"{'*' * (one.kind is one.VAR_POSITIONAL)}{one.name}" for one in parameters]

    @functools.wraps(made)
    def __init__(self: Any, *args: Any, **options: Any) -> None:
        for name in options:
            if name not in known:
                raise TypeError(_unknown(type(self), name, known))
        made(self, *args, **options)

    cls.__init__ = __init__


def _unknown(cls: type, name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    hint = getattr(cls, "_elsewhere", {}).get(name, f"Did you mean {near[0]}?" if near else "")
    return f"{cls.__name__} takes no argument {name!r}. {hint} It takes {', '.join(known)}.".replace(".  ", ". ")


def fill(obj: object, **values: Any) -> None:
    """Set fields of a frozen object while it is being made."""
    for name, value in values.items():
        object.__setattr__(obj, name, value)


def unchecked(cls: type[T], **fields: Any) -> T:
    """An object of a `struct` whose fields were checked before: `__post_init__` does not run."""
    obj = object.__new__(cls)
    for field in dataclasses.fields(cls):  # pyright: ignore[reportArgumentType]
        object.__setattr__(obj, field.name, fields.get(field.name, field.default))
    return obj


def replace(obj: T, **changes: Any) -> T:
    """A copy of `obj` with some fields changed."""
    return dataclasses.replace(obj, **changes)  # pyright: ignore[reportArgumentType]
