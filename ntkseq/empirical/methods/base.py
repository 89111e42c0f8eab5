"""What is a method of computing an empirical kernel, and what does it answer?"""

from __future__ import annotations

import abc
import dataclasses
from functools import partial
from typing import Any, ClassVar

import jax
from jaxtyping import Array, Float

from ntkseq import _display
from ntkseq._struct import fill
from ntkseq._types import PyTree
from ntkseq.empirical.function import Function
from ntkseq.empirical.plan import Plan, in_words
from ntkseq.kernels.base import Side
from ntkseq.kernels.footprint import Footprint

MEASURED = "measured at every example in another precision, not proved"
UNSTATED = "not stated by this method: compared with the exact kernel on a few examples, not proved"


class Method(abc.ABC):
    """A way to compute the kernel of a function at its parameters.

    A method is a frozen object, its options are its fields. One of your own is a frozen dataclass below `Method` with
    `prepare` and `tile`, and goes wherever a method is asked for. It is a pytree already: its fields are structure, and
    hashable; those that are arrays stand in `leaves`. The rest is there: a diagonal and a square from tiles, and a
    rounding, which is measured on a few examples against the exact kernel, and marked as measured.

    Every call brings the function: `function.weights`, the trained leaves; `function.outputs_at(weights, one)`, the
    outputs (o,) of one example that the kernel is of; `function.outputs`; and `function.root(k)`, the square root of
    the learning rate of leaf k, None for 1. Inputs x are checked, every leaf with leading axis n; a
    `side`, `left` or `right` is what `prepare` made of some.

    Example:
        >>> import dataclasses, jax, jax.numpy as jnp
        >>> from ntkseq import empirical
        >>> @dataclasses.dataclass(frozen=True)
        ... class Gradients(empirical.Method):
        ...     def prepare(self, function, x):
        ...         rows = jax.vmap(jax.jacrev(function.outputs_at), (None, 0))(function.weights, x)
        ...         return [row.reshape(*row.shape[:2], -1) for row in rows]
        ...
        ...     def tile(self, function, left, right):
        ...         return sum(jnp.einsum("nop,mop->nm", a, b) for a, b in zip(left, right)) / left[0].shape[1]
        >>> x = jnp.arange(6.0).reshape(2, 3)
        >>> kernel = empirical.NTK(lambda W, x: W @ x, jnp.ones((4, 3)), method=Gradients())
        >>> kernel(x).tolist() == (x @ x.T).tolist()
        True
    """

    leaves: ClassVar[tuple[str, ...]] = ()
    """The fields that hold arrays."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        jax.tree_util.register_pytree_with_keys(cls, _with_paths, partial(_again, cls), apart)

    @abc.abstractmethod
    def prepare(self, function: Function, x: PyTree) -> Side:
        """What depends on one example only, for each of n; every leaf with leading axis n."""

    @abc.abstractmethod
    def tile(self, function: Function, left: Side, right: Side) -> Float[Array, "n m ..."]:
        """The kernel between two prepared batches."""

    def square(self, function: Function, side: Side) -> Float[Array, "n n ..."]:
        """The kernel of a prepared batch with itself."""
        return self.tile(function, side, side)

    def diagonal(self, function: Function, side: Side) -> Float[Array, "n ..."]:
        """The kernel of each prepared example with itself: a 1 x 1 tile each."""

        def one(example: Side) -> Array:
            example = jax.tree.map(lambda leaf: leaf[None], example)
            return self.tile(function, example, example)[0, 0]

        return jax.lax.map(one, side)

    def beside(self, count: int) -> Method:
        """The method for `count` devices that work in one memory: each may use its part of what the caller allowed."""
        return self

    def footprint(self, function: Function, x: PyTree) -> Footprint | None:
        """What prepared examples take in memory, and may take; None: little."""
        return None

    def plan(self, function: Function, x: PyTree) -> Plan:
        """What will be done for these inputs with themselves: the first line of the docstring, unless it is written."""
        return in_words(function, x, repr(self), (type(self).__doc__ or "").split("\n")[0])

    def entry_rounding(self, function: Function, side: Side) -> float | None:
        """Upper estimate of |computed - exact| / sqrt(K_ii K_jj); None: it is measured on a few examples."""
        return None

    @property
    def estimated(self) -> str:
        """Why `entry_rounding` is an estimate; empty if it is a bound."""
        return "" if self.states_rounding else UNSTATED

    @property
    def states_rounding(self) -> bool:
        """Whether the method has an `entry_rounding` of its own."""
        return type(self).entry_rounding is not Method.entry_rounding

    def kept(self, side: Side) -> Side:
        """As much of a prepared batch as `entry_rounding` and `diagonal` need, in the least memory."""
        return side

    def standard_error(self, function: Function, left: Side, right: Side) -> Float[Array, "n m ..."] | None:
        """Standard error of every entry of `tile(function, left, right)`; None if nothing is sampled."""
        return None

    def check(self, function: Function) -> None:  # noqa: B027  most fit every function
        """Raise a ValueError where the options do not fit a function."""

    def __repr__(self) -> str:
        default = {field.name: field.default for field in _fields(self)}
        options = (name for name in default if name not in self.leaves and getattr(self, name) != default[name])
        words = [name for name in default if name in self.leaves]
        return _display.folded(
            f"{type(self).__name__}({', '.join([*words, *(f'{name}={getattr(self, name)!r}' for name in options)])})"
        )


def apart(method: Method) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """The leaves of a method, and its structure: the names of the leaves, and its other fields."""
    names = [field.name for field in _fields(method)]
    leaves = tuple(name for name in names if name in method.leaves)
    options = tuple((name, getattr(method, name)) for name in names if name not in method.leaves)
    return tuple(getattr(method, name) for name in leaves), (leaves, options)


def _with_paths(method: Method) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    leaves, structure = apart(method)
    return tuple((jax.tree_util.GetAttrKey(n), leaf) for n, leaf in zip(structure[0], leaves, strict=True)), structure


def _again(cls: type, structure: Any, leaves: Any) -> Any:
    method = object.__new__(cls)
    names, options = structure
    fill(method, **dict(zip(names, leaves, strict=True)), **dict(options))
    return method


def _fields(method: Any) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(method) if dataclasses.is_dataclass(method) else ()
