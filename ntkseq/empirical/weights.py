"""Which values of a function are attention matrices? Numbers divided by their own sum, then contracted along that axis.

Every value has a tag that says how it came about: `Total` (the sum of a value along an axis), `Weights` (a value over
its own total), `Log` (the logarithm of either). Casts, masks, dropout and moved axes keep `Weights`; a product that
contracts the normalised axis makes them attention. How the numbers before the division were made does not matter.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from ntkseq.empirical.trace import Equation, is_literal

KEEPS_TOTAL = frozenset({"add", "max", "select_n", "broadcast_in_dim", "reshape", "squeeze", "expand_dims"})
SAME = frozenset({"convert_element_type", "copy", "copy_p", "stop_gradient", "optimization_barrier", "name"})
ELEMENTWISE = frozenset({"mul", "div", "select_n"})


@dataclasses.dataclass(frozen=True)
class Total:
    """The sum of the value `of` along `axis`; `inverse`: one over it; `exponent`: the y of which `of` is exp(y)."""

    of: Any
    axis: int
    inverse: bool = False
    exponent: Any = None


@dataclasses.dataclass(frozen=True)
class Weights:
    """A value that was divided by its own sum along this axis."""

    axis: int


@dataclasses.dataclass(frozen=True)
class Log:
    """The logarithm of a `Total` or of `Weights`."""

    inner: Total | Weights


@dataclasses.dataclass(frozen=True)
class Exp:
    """exp of the value `of`."""

    of: Any


Tag = Total | Weights | Log | Exp | None


def is_constant_one(value: Any) -> bool:
    """Whether an operand is the number 1."""
    return is_literal(value) and np.ndim(value.val) == 0 and value.val == 1


def through(equation: Equation, tags: list[Tag], tokens: list[Any]) -> Tag:
    """The tag of an equation's first result.

    Args:
        tags: of its operands.
        tokens: what names each operand: values that are equal up to a cast have the same.
    """
    name, given = equation.primitive.name, equation.params
    if name == "exp":
        logged = tags[0].inner if isinstance(tags[0], Log) else None
        return logged if isinstance(logged, Weights) else Exp(tokens[0])
    if name == "log" and isinstance(tags[0], (Total, Weights)):
        return Log(tags[0])
    if name == "reduce_sum" and len(given["axes"]) == 1:
        exponent = tags[0].of if isinstance(tags[0], Exp) else None
        return Total(tokens[0], int(given["axes"][0]), exponent=exponent)
    if name in SAME:
        return tags[0]
    if (made := _normalised(equation, tags, tokens)) is not None:
        return made
    weights = [tag for tag in tags if isinstance(tag, Weights)]
    if len(weights) == 1:
        return _moved(equation, tags.index(weights[0]), weights[0])
    totals = [tag for tag in tags if isinstance(tag, (Total, Log))]
    return totals[0] if name in KEEPS_TOTAL and len(totals) == 1 else None


def _normalised(equation: Equation, tags: list[Tag], tokens: list[Any]) -> Tag:
    """What a division by the own sum, or in logarithms a difference, makes."""
    name = equation.primitive.name
    if name == "div":
        if isinstance(tags[1], Total) and is_constant_one(equation.invars[0]):
            return dataclasses.replace(tags[1], inverse=True)
        if isinstance(tags[1], Total) and not tags[1].inverse and tags[1].of == tokens[0]:
            return Weights(tags[1].axis)
    if name == "mul":
        for k in (0, 1):
            tag = tags[1 - k]
            if isinstance(tag, Total) and tag.inverse and tag.of == tokens[k]:
                return Weights(tag.axis)
    if name == "sub" and isinstance(tags[1], Log) and isinstance(tags[1].inner, Total):
        total = tags[1].inner
        if total.exponent is not None and total.exponent == tokens[0]:
            return Log(Weights(total.axis))
    return None


def _moved(equation: Equation, operand: int, tag: Weights) -> Tag:
    """Weights behind an equation that moves axes or works entry by entry."""
    name, given, axis = equation.primitive.name, equation.params, tag.axis
    before, after = equation.invars[operand].aval.shape, equation.outvars[0].aval.shape
    if name in ELEMENTWISE:
        return tag if before == after and not (name == "div" and operand == 1) else None
    if name == "transpose":
        return Weights(tuple(given["permutation"]).index(axis))
    if name == "broadcast_in_dim":
        target = given["broadcast_dimensions"][axis]
        return Weights(target) if after[target] == before[axis] else None
    if name in ("reshape", "squeeze", "expand_dims"):
        size, ahead = before[axis], int(np.prod(before[:axis]))
        for k in range(len(after)):
            if after[k] == size and int(np.prod(after[:k])) == ahead:
                return Weights(k)
    return None


def matrix_axes(equation: Equation, operand: int, tag: Weights) -> tuple[int, ...] | None:
    """How to permute the axes of these weights to (..., queries, keys); None where this product is no attention.

    The keys are contracted, heads and batches stand on both sides of the product, and of what is left the last axis is
    that of the queries.
    """
    if equation.primitive.name != "dot_general":
        return None
    contracted, batched = equation.params["dimension_numbers"]
    if tuple(contracted[operand]) != (tag.axis,):
        return None
    shape = equation.invars[operand].aval.shape
    shared = sorted(batched[operand])
    free = [k for k in range(len(shape)) if k not in shared and k != tag.axis]
    return None if not free else (*shared, *free, tag.axis)
