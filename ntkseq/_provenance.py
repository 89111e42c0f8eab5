"""Which arrays did this library compute, and what is known of them? Remembered beside them, as long as they live.

A JAX array has no room for its rounding, so `kernel(x)` notes where it came from here, under the identity of the array;
`grams.as_gram`, and through it every spectrum, bound and predictor, looks it up. A note does not keep its array alive.
What an operation makes of the array (a slice, a sum, NumPy's copy, what leaves `jax.jit`) is another array, unknown.
"""

from __future__ import annotations

import weakref
from typing import Any

import jax

from ntkseq import _checks
from ntkseq._types import ArrayLike

_notes: dict[int, tuple[Any, Any]] = {}


def remember(array: ArrayLike, origin: object) -> None:
    """Note the origin of an array; does nothing under a trace, where there is no array yet."""
    if origin is None or not isinstance(array, jax.Array) or not _checks.is_concrete(array):
        return
    key = id(array)

    def forget(ref: Any, notes: Any = _notes) -> None:  # called before the identity can be given to another object
        if notes.get(key, (None,))[0] is ref:  # at the very end, the name of the module is gone
            notes.pop(key, None)

    _notes[key] = (weakref.ref(array, forget), origin)


def recall(array: ArrayLike) -> Any:
    """What was noted of this very array; None if nothing was."""
    ref, origin = _notes.get(id(array), (None, None))
    return origin if ref is not None and ref() is array else None
