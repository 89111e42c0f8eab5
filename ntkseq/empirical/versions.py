"""What is the same function in another precision, or with everything in it moved by a rounding?"""

from __future__ import annotations

import contextlib
import dataclasses
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntkseq._struct import replace
from ntkseq._types import AnyArray, DType, PyTree
from ntkseq.empirical import choose
from ntkseq.empirical.function import Function
from ntkseq.empirical.groups import Group
from ntkseq.empirical.structure import Choice, Found, Prepared, prepare
from ntkseq.empirical.trace import opened, trace

Find = Callable[[Function, Any], Found]
"""What there is in a function for inputs."""

EXACT = frozenset(
    [
        *("abs", "broadcast_in_dim", "concatenate", "copy", "dynamic_slice", "dynamic_update_slice", "expand_dims"),
        *("gather", "iota", "max", "min", "neg", "optimization_barrier", "pad", "reshape", "rev", "select_n", "sign"),
        *("slice", "split", "squeeze", "stop_gradient", "transpose"),
    ]
)
"""Equations that round nothing: a constant of one fixed dtype may pass through them on its way into another."""

FINE = 2.0**-50
"""eps of what counts as float64."""


@dataclasses.dataclass(frozen=True)
class Version:
    """A function with what is done with its leaves, and what is done to its inputs before.

    dtype: that floating inputs are cast to; None: left as they are.
    step: how far inputs are moved, relative to each.
    double: whether 64-bit numbers are on while it runs.
    """

    function: Function
    choice: Choice
    dtype: Any = None
    step: float = 0.0
    draw: int = 0
    double: bool = False

    def prepared(self, x: PyTree) -> Prepared:
        """What each of these examples contributes."""
        with _setting(self.double):
            x = x if self.dtype is None else cast(x, self.dtype)
            x = moved(x, self.step, self.draw, whole=False) if self.step else x
            return replace(_prepare(self.function, x, self.choice), inputs=())

    def nudged(self, step: float, draw: int = 0) -> Version:
        """The same with every parameter and every number of the inputs moved by `step`, up or down."""
        with _setting(self.double):
            function = replace(self.function, leaves=moved(self.function.leaves, step, draw))
        return dataclasses.replace(self, function=function, step=step, draw=draw)


def other(function: Function, x: PyTree, choice: Choice, find: Find, dtype: DType) -> tuple[Version, Version] | None:
    """The function as it is and in another precision, done alike; None where it does not run in another.

    An f that holds arrays of a fixed dtype refuses others, or computes in them whatever it is given: what it says then
    in "float64" is no more exact than before.
    """
    coarse = float(jnp.finfo(dtype).eps) > FINE
    try:
        with jax.enable_x64(True):
            there, some = cast((function, x), dtype)
            fine, at = (function, x) if coarse else (there, some)
            if any(float(jnp.finfo(kind).eps) > FINE for kind in computes_in(fine, at)):
                return None
            match = matched(choice, find(there, some))
            if match is None:  # other sites: plain Jacobians have none
                return (
                    Version(function, choose.choose(function, x, choose.nowhere)),
                    Version(there, choose.choose(there, some, choose.nowhere), dtype, double=True),
                )
            return Version(function, choice), Version(there, match, dtype, double=True)
    except (TypeError, ValueError):
        return None


def matched(choice: Choice, found: Found) -> Choice | None:
    """The same choice for the same function in another precision, where its equations have other numbers.

    Groups are told by their leaves and shapes, in their order. Were two of them mistaken for each other, the Jacobians
    would differ by their size: what is measured would be too large, never too small.
    """
    theirs: dict[Any, list[Group]] = defaultdict(list)
    for group in found.groups:
        theirs[_looks(group)].append(group)
    kept = []
    for group in choice.groups:
        if not theirs[_looks(group)]:
            return None
        kept.append(theirs[_looks(group)].pop(0))
    left = {k for groups in theirs.values() for group in groups for k in group.members}
    if (left | set(found.plain)) != set(choice.plain):
        return None
    return dataclasses.replace(choice, groups=tuple(kept), twins=found.twins)


def _looks(group: Group) -> Any:
    buckets = tuple((bucket.kind, bucket.record_first, bucket.uses) for bucket in group.buckets)
    return group.members, group.stack, group.extents, buckets


def computes_in(function: Function, x: PyTree) -> set[Any]:
    """The floating dtypes in which the equations of a function round: those of their results."""
    one = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), x)
    return set(_rounds_in(trace(function.outputs_at, function.weights, one).jaxpr))


def _rounds_in(jaxpr: Any) -> Iterator[Any]:
    for equation in jaxpr.eqns:
        inner = [opened(value).jaxpr for value in jax.tree.leaves(list(equation.params.values()))]
        inner = [jaxpr for jaxpr in inner if hasattr(jaxpr, "eqns")]
        for jaxpr in inner:
            yield from _rounds_in(jaxpr)
        name, kinds = equation.primitive.name, [getattr(v.aval, "dtype", None) for v in equation.invars]
        if inner or name in EXACT:
            continue
        for out in equation.outvars:
            dtype = getattr(out.aval, "dtype", None)
            if dtype is None or not jnp.issubdtype(dtype, jnp.inexact):
                continue
            if name == "convert_element_type" and not _loses(kinds[0], dtype):
                continue
            yield jnp.dtype(dtype)


def _loses(before: PyTree, after: DType) -> bool:
    """Whether a cast rounds; of integers only the large ones would."""
    inexact = before is not None and jnp.issubdtype(before, jnp.inexact)
    return inexact and float(jnp.finfo(before).eps) < float(jnp.finfo(after).eps)


def coarsest(function: Function, x: PyTree) -> Any:
    """The floating dtype of least precision among parameters and inputs."""
    leaves = [*function.leaves, *jax.tree.leaves(x)]
    kinds = [leaf.dtype for leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    return max(kinds, key=lambda dtype: float(jnp.finfo(dtype).eps))


def cast(tree: PyTree, dtype: DType) -> Any:
    """Floating leaves in that dtype, complex ones in the complex dtype of its precision."""
    pair = jnp.complex128 if jnp.dtype(dtype) == np.float64 else jnp.complex64

    def one(leaf: AnyArray) -> Any:
        if jnp.issubdtype(leaf.dtype, jnp.complexfloating):
            return leaf.astype(pair)
        return leaf.astype(dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

    return jax.tree.map(one, tree)


def moved(tree: PyTree, step: float, draw: int = 0, *, whole: bool = True) -> Any:
    """Every number by `step` of itself, up or down.

    Args:
        tree: of arrays; integers stay.
        step, draw: how far, and the seed of up or down.
        whole: whether floats that are whole numbers move, too. Of inputs they may be tokens, which f makes integers:
            the float below 1 would be token 0.
    """
    leaves, structure = jax.tree.flatten(tree)
    rng = np.random.default_rng(draw)

    def move(leaf: AnyArray) -> Any:
        if not jnp.issubdtype(leaf.dtype, jnp.inexact):
            return leaf
        away = leaf * jnp.asarray(1 + step * rng.choice([-1.0, 1.0], leaf.shape), leaf.dtype)
        return away if whole else jnp.where(leaf == jnp.round(leaf), leaf, away)

    return jax.tree.unflatten(structure, [move(leaf) for leaf in leaves])


def _setting(double: bool) -> Any:
    return jax.enable_x64(True) if double else contextlib.nullcontext()


@partial(jax.jit, static_argnames="choice")
def _prepare(function: Function, x: PyTree, choice: Choice) -> Prepared:
    return prepare(function, x, choice)
