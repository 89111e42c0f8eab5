"""Where in somebody's own kernel was an error raised, and for what? A line beside the error itself."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from ntkseq.kernels.base import Kernel

_OURS = "ntkseq."


@contextlib.contextmanager
def told(kernel: Any, method: str, **given: Any) -> Iterator[None]:
    """A `with` around calls of a kernel: what a class of another library raises gets a note, and is raised as it is.

    Args:
        kernel: whose methods are called; sums and multiples of one count.
        method: which of them.
        **given: its arguments, whose shapes are told.
    """
    try:
        yield
    except Exception as error:
        names = [type(one).__qualname__ for one in _parts(kernel) if not type(one).__module__.startswith(_OURS)]
        if names and not any(note.startswith("raised by") for note in getattr(error, "__notes__", ())):
            shapes = ", ".join(f"{name} of shape {_shape(value)}" for name, value in given.items())
            error.add_note(f"raised by {names[0]}.{method}, called by gram for {shapes}")
        raise


def _parts(kernel: Any) -> Iterator[Any]:
    """The kernel, and those that it holds."""
    yield kernel
    if dataclasses.is_dataclass(kernel):
        for field in dataclasses.fields(kernel):
            if isinstance(value := getattr(kernel, field.name, None), Kernel):
                yield from _parts(value)


def _shape(value: Any) -> str:
    return ", ".join(str(tuple(np.shape(leaf))) for leaf in jax.tree.leaves(value)) or "()"
