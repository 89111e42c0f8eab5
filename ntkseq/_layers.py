"""How are choices and scales given layer by layer? Shared by finite models and the kernels that are their limits."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from ntkseq import _checks
from ntkseq._checks import is_concrete
from ntkseq._types import AnyArray, ArrayLike, DType

GROUPS = "WUbR"
"""Parameter groups: recurrent weights, input weights, biases, read-out. Without recurrence: "WbR"."""


def check_train(train: str | tuple[str, ...], depth: int, groups: str = GROUPS) -> tuple[str, ...]:
    """`train` as one string of letters per layer.

    Raises:
        ValueError: letters that are not in `groups`, a letter twice, or another number of strings than layers.
    """
    parts = (train,) * depth if isinstance(train, str) else tuple(train) if isinstance(train, (tuple, list)) else ()
    wrong = [p for p in parts if not isinstance(p, str) or set(p) - set(groups) or len(set(p)) != len(p)]
    if len(parts) != depth or wrong:
        weights = "W: recurrent weights, U: input weights" if "U" in groups else "W: weights"
        raise ValueError(
            f"train must be a string of letters out of {groups!r}, or {depth} such strings, one per layer; "
            f"got {_checks.shown(train)}. {weights}, b: biases, R: read-out (it belongs to the last layer)."
        )
    return parts


def for_depth(held: object, changes: dict[str, Any]) -> dict[str, Any]:
    """Changes of a record, with one string of letters for all layers where the depth changes and all had the same."""
    train = getattr(held, "train", None)
    if "depth" not in changes or "train" in changes or not isinstance(train, tuple):
        return changes
    alike = len({letters.replace("R", "") for letters in train}) == 1  # the read-out belongs to the last layer
    return changes | {"train": train[-1]} if alike else changes


def check_letters(train: str, groups: str) -> None:
    """Raise unless `train` is a string of different letters out of `groups`."""
    if not isinstance(train, str) or set(train) - set(groups) or len(set(train)) != len(train):
        raise ValueError(
            f"train must be a string of letters out of {groups!r}, each once at most; got {_checks.shown(train)}."
        )


def factor(name: str, value: object) -> None:
    """Check a factor of the state: finite and >= 0; does nothing under a trace."""
    if value is None or isinstance(value, (str, bytes, complex)):
        raise ValueError(f"{name} must be a number >= 0, a factor of the state; got {_checks.shown(value)}.")
    if _checks.is_concrete(value):
        _checks.nonnegative(name, value)


def count_trained(train: str, groups: str) -> int:
    """How many of the groups are trained."""
    return sum(group in train for group in groups)


def scalar(value: ArrayLike, dtype: DType) -> AnyArray:
    """A scale in the dtype of the data: on the host where it is a number, so that nothing is dispatched for it."""
    return np.asarray(value, dtype) if is_concrete(value) else jnp.asarray(value, dtype)


def per_layer(name: str, value: ArrayLike, depth: int, dtype: DType) -> AnyArray:
    """A scale as an array (depth,): one number for all layers, or one for each."""
    array = scalar(value, dtype)
    if array.ndim > 1 or (array.ndim == 1 and array.shape[0] != depth):
        raise ValueError(f"{name} must be a number or one number per layer, shape ({depth},); got shape {array.shape}.")
    return np.broadcast_to(array, (depth,)) if isinstance(array, np.ndarray) else jnp.broadcast_to(array, (depth,))
