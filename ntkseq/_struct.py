"""How does a frozen dataclass become a JAX pytree?"""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar, dataclass_transform

import jax

T = TypeVar("T")


def static(**kwargs: Any) -> Any:
    """A field that belongs to the structure of the pytree, not to its leaves: it must be hashable."""
    return dataclasses.field(metadata={"static": True}, **kwargs)


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field, static))
def struct(cls: type[T]) -> type[T]:
    """Make `cls` a frozen dataclass and a pytree; fields made by `static()` are structure, all others are leaves.

    `__post_init__` also runs when JAX rebuilds the object, so it may meet tracers and placeholders.
    """
    cls = dataclasses.dataclass(frozen=True, eq=False)(cls)
    fields = [f for f in dataclasses.fields(cls) if f.init]  # pyright: ignore[reportArgumentType]
    leaves = [f.name for f in fields if not f.metadata.get("static", False)]
    meta = [f.name for f in fields if f.metadata.get("static", False)]
    return jax.tree_util.register_dataclass(cls, data_fields=leaves, meta_fields=meta)


def replace(obj: T, **changes: Any) -> T:
    """A copy of `obj` with some fields changed."""
    return dataclasses.replace(obj, **changes)  # pyright: ignore[reportArgumentType]
