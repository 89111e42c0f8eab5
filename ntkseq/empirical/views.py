"""Which values are views of one parameter leaf? Those that only move, cut, cast or scale its entries."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax.numpy as jnp
import numpy as np

from ntkseq._types import AnyArray
from ntkseq.empirical.trace import Equation

Leaf = int | tuple[Any, ...]
"""The index of a trained leaf, or the place where several were joined by a concatenation."""


@dataclasses.dataclass(frozen=True)
class View:
    """value = product of `scale` * (the leaf behind the steps of `chain`, its axes moved to `axes`).

    `axes[k]` is the axis of the chain's result that axis k of the value is; None for an added axis of length 1.
    Two values with equal `leaf` and `chain` are the same numbers, up to moved axes and scale.
    """

    leaf: Leaf
    chain: tuple[Any, ...]
    axes: tuple[int | None, ...]
    scale: tuple[Any, ...] = ()

    def frozen(self) -> tuple[Any, ...]:
        """The chain with the moved axes as its last step."""
        return self.chain + ((("perm", self.axes),) if self.axes != tuple(range(len(self.axes))) else ())

    def behind(self, step: tuple[Any, ...], ndim: int) -> View:
        """The view behind a step that the axes alone cannot say."""
        return View(self.leaf, (*self.frozen(), step), tuple(range(ndim)), self.scale)

    def scaled(self, *factors: Any) -> View:
        return dataclasses.replace(self, scale=self.scale + factors)

    def moved(self, axes: tuple[int | None, ...]) -> View:
        return dataclasses.replace(self, axes=axes)


def whole(leaf: int, ndim: int, root: AnyArray | None = None) -> View:
    """A leaf as it is. `root`: the square root of its learning rate."""
    return View(leaf, (), tuple(range(ndim)), () if root is None else (root,))


def through(equation: Equation, operand: int, view: View, values: list[Any]) -> list[View | None]:
    """The views that the results of an equation are of the leaf behind its operand with that index.

    The other operands depend on neither parameters nor data.
    """
    name, given = equation.primitive.name, equation.params
    value, out = values[operand], equation.outvars[0].aval
    if name in ("copy", "copy_p", "optimization_barrier", "sharding_constraint") and len(values) == 1:
        return [view]
    if name == "convert_element_type" and jnp.issubdtype(out.dtype, jnp.inexact):  # of a complex one, the real part
        return [view]
    if name == "neg":
        return [view.scaled(-1.0)]
    if name in ("mul", "div") and out.shape == np.shape(value) and (name == "mul" or operand == 0):
        if np.size(values[1 - operand]) != 1:
            return [None]
        factor = jnp.reshape(values[1 - operand], ())
        return [view.scaled(factor if name == "mul" else 1 / factor)]
    if name == "transpose":
        return [view.moved(tuple(view.axes[k] for k in given["permutation"]))]
    if name == "squeeze":
        return [view.moved(tuple(axis for k, axis in enumerate(view.axes) if k not in given["dimensions"]))]
    if name == "broadcast_in_dim" and math.prod(out.shape) == np.size(value):
        axes: list[int | None] = [None] * len(out.shape)
        for source, target in enumerate(given["broadcast_dimensions"]):
            axes[target] = view.axes[source]
        return [view.moved(tuple(axes))]
    if name == "reshape":
        return [_reshaped(view, np.shape(value), out.shape)]
    if name == "slice":
        strides = given["strides"] or (1,) * np.ndim(value)
        return [
            view.behind(
                ("slice", tuple(given["start_indices"]), tuple(given["limit_indices"]), tuple(strides)), np.ndim(value)
            )
        ]
    if name == "split":
        return list(_split(view, np.shape(value), given["axis"], given["sizes"]))
    return [None] * len(equation.outvars)


def joined(place: tuple[Any, ...], views: list[View | None], ndim: int) -> View | None:
    """The view of several whole leaves that a concatenation makes one: together they act as a leaf of their own."""
    loops = [tuple(step for step in view.chain if step[0] == "loop") for view in views if view is not None]
    leaves = [view.leaf for view in views if view is not None]
    plain = all(view is not None and not view.scale and not any(s[0] == "slice" for s in view.chain) for view in views)
    if not plain or len(set(leaves)) < len(views) or len(set(loops)) > 1:
        return None
    return View(place, loops[0], tuple(range(ndim)))


def disjoint(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    """Whether two chains begin with slices of the leaf that share no entry."""
    if not (one and other and one[0][0] == other[0][0] == "slice"):
        return False
    return any(a_stop <= b or b_stop <= a for a, a_stop, b, b_stop in zip(*one[0][1:3], *other[0][1:3], strict=True))


def _reshaped(view: View, before: tuple[int, ...], after: tuple[int, ...]) -> View:
    if [n for n in before if n > 1] == [n for n in after if n > 1]:  # only axes of length 1 come and go
        rest = iter([axis for n, axis in zip(before, view.axes, strict=True) if n > 1])
        return view.moved(tuple(next(rest) if n > 1 else None for n in after))
    return view.behind(("reshape", before, after), len(after))


def _split(view: View, shape: tuple[int, ...], axis: int, sizes: Any) -> Any:
    start = 0
    for size in map(int, sizes):
        low = tuple(start if k == axis else 0 for k in range(len(shape)))
        high = tuple(start + size if k == axis else n for k, n in enumerate(shape))
        yield view.behind(("slice", low, high, (1,) * len(shape)), len(shape))
        start += size
