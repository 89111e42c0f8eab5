"""How is the kernel computed from what each example contributes, factors or gradients? All at once, or in blocks."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
from jaxtyping import Array, Float

from ntkseq import _checks
from ntkseq._struct import fill
from ntkseq._types import PyTree
from ntkseq.empirical import choose, costs, late, structure
from ntkseq.empirical.backoff import halving
from ntkseq.empirical.contract import Outputs
from ntkseq.empirical.function import Function
from ntkseq.empirical.groups import Group
from ntkseq.empirical.late import Late
from ntkseq.empirical.methods.base import MEASURED, Method
from ntkseq.empirical.plan import Plan, leaf_by_leaf
from ntkseq.empirical.rounding import measured
from ntkseq.empirical.structure import Choice, Found, Prepared
from ntkseq.kernels.base import Side
from ntkseq.kernels.footprint import Footprint

KEPT = 32
"""Examples at a time, where what they contribute is made again."""


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class Held(Method):
    """What holds of every example its factors, or its gradient where a leaf has none or goes by its gradients.

    They are held for all examples if `memory` allows it, and made again block by block if not.
    """

    memory: int | None = None

    why = "smaller than what its uses would take"
    """Of a leaf that has factors and goes by its gradients all the same."""

    def __post_init__(self) -> None:
        fill(self, memory=None if self.memory is None else _checks.positive_int("memory", self.memory))

    @abc.abstractmethod
    def keeps(self, group: Group, outputs: Outputs, speeds: costs.Speeds) -> bool:
        """Whether for these `outputs` and `speeds` the factors of a `group` of leaves are kept, not their gradients."""

    def choice(self, function: Function, x: PyTree, join: bool = True) -> Choice:
        """What is done with each leaf; join: whether leaves may be contracted together."""
        return choose.choose(function, x, self.keeps, join=join)

    def examine(self, function: Function, x: PyTree) -> Found:
        """What there is in the function."""
        return structure.examine(function, x)

    def prepare(self, function: Function, x: PyTree) -> Prepared | Late:
        choice = self.choice(function, x)
        size = choose.block(function, x, choice, self.memory)
        run = lambda size: _prepare(function, x, choice) if size is None else Late(x, choice, size)  # noqa: E731
        return halving(run, size, _count(x))

    def tile(self, function: Function, left: Side, right: Side) -> Float[Array, "n m ..."]:
        sides = (left, right)

        def run(size: int | None) -> Array:
            if size is None:
                return _tile(left, right)
            return late.tile(function, *(Late(side.inputs, side.choice, size) for side in sides))

        return halving(run, _block(*sides), max(_count(side.inputs) for side in sides))

    def square(self, function: Function, side: Side) -> Float[Array, "n n ..."]:
        """Half of the work where it can be halved."""
        late_ = lambda size: late.square(function, Late(side.inputs, side.choice, size))  # noqa: E731
        return halving(lambda size: _square(side) if size is None else late_(size), _block(side), _count(side.inputs))

    def diagonal(self, function: Function, side: Side) -> Float[Array, "n ..."]:
        return late.diagonal(function, side) if isinstance(side, Late) else _own(side)

    def by_leaf(self, function: Function, x: PyTree, x2: Any = None) -> dict[str, Float[Array, "n m ..."]]:
        """The kernel as a sum over leaves: {path: its part}. `x2=None`: x with itself."""
        choice = self.choice(function, x, join=False)
        parts = _terms(_prepare(function, x, choice), None if x2 is None else _prepare(function, x2, choice))
        return {function.names[k]: parts[(k,)] for (k,) in sorted(parts)}

    def plan(self, function: Function, x: PyTree) -> Plan:
        return leaf_by_leaf(function, x, self.choice(function, x), repr(self), self.why, self.memory)

    def beside(self, count: int) -> Held:
        return self if self.memory is None else dataclasses.replace(self, memory=max(1, self.memory // count))

    def footprint(self, function: Function, x: PyTree) -> Footprint:
        each = choose.bytes_per_example(function, self.choice(function, x))
        return Footprint(each, choose.allowed(function, self.memory))

    def entry_rounding(self, function: Function, side: Side) -> float:
        return measured(function, side.inputs, side.choice, self.examine, side, self.memory)

    @property
    def estimated(self) -> str:
        return MEASURED

    def kept(self, side: Side) -> Late:
        return Late(side.inputs, side.choice, min(KEPT, _count(side.inputs))) if isinstance(side, Prepared) else side


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class Ordered(Held):
    """What takes the caller's word for some leaves."""

    orders: Mapping[str, str] | tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        fill(self, orders=choose.check_orders(self.orders))

    def choice(self, function: Function, x: PyTree, join: bool = True) -> Choice:
        return choose.choose(function, x, self.keeps, self._pairs, join)

    def examine(self, function: Function, x: PyTree) -> Found:
        return structure.examine(function, x, beside=not self.orders)

    def check(self, function: Function) -> None:
        choose.check_paths(self._pairs, function.names)

    @property
    def _pairs(self) -> tuple[tuple[str, str], ...]:
        return tuple(dict(self.orders).items())


class Cheapest(Ordered):
    """For each leaf the cheapest: by factors, in the best order of contraction, or by its gradients. "auto" for short.

    Where parameters meet data in matrix products, convolutions and row look-ups, the Jacobian is a sum of outer
    products over time steps or tokens, which is contracted without being formed.

    Attributes:
        memory: bytes that factors may take; what exceeds it is made again block by block, or lies on disk where the
            matrix does, `gram(..., store=)`. None: half of what is free.
        orders: {regular expression: "gram", "weights" or "jacobian"}, to decide for the leaves in whose path, as
            `jax.tree_util.keystr` writes it, the expression is found; held as pairs.

    Raises:
        ValueError: memory below 1, an order that there is not, and by `NTK` an expression that no path has.

    Reference: novak2022 (the contraction of structured Jacobians).

    Example:
        >>> import jax.numpy as jnp
        >>> from ntkseq import empirical
        >>> method = empirical.Cheapest(memory=2**20, orders={"W": "gram"})
        >>> empirical.NTK(lambda p, x: p["W"] @ x, {"W": jnp.ones((4, 3))}, method=method).method
        Cheapest(memory=1048576, orders=(('W', 'gram'),))
    """

    def keeps(self, group: Group, outputs: Outputs, speeds: costs.Speeds) -> bool:
        return costs.structured(group, outputs, speeds)


class Structured(Ordered):
    """Factors wherever there is structure, in the cheapest order of contraction. "structured" for short.

    Attributes:
        memory, orders: as of `Cheapest`.

    Raises:
        ValueError: as of `Cheapest`.

    Reference: novak2022.

    Example:
        >>> import jax.numpy as jnp
        >>> from ntkseq import empirical
        >>> f = lambda W, x: jnp.tanh(x @ W)
        >>> plan = empirical.NTK(f, jnp.ones((3, 4)), method=empirical.Structured()).plan(jnp.ones((2, 3)))
        >>> plan.parts[0].order in ("gram", "weights")
        True
    """

    def keeps(self, group: Group, outputs: Outputs, speeds: costs.Speeds) -> bool:
        return True


class Jacobian(Held):
    """One gradient per example and output: n o p numbers for p parameters. "jacobian" for short.

    Attributes:
        memory: bytes that gradients may take; what exceeds it is made again block by block. None: half of what is free.

    Raises:
        ValueError: memory below 1.

    Reference: novak2022 (the contraction of Jacobians).

    Example:
        >>> import jax.numpy as jnp
        >>> from ntkseq import empirical
        >>> kernel = empirical.NTK(lambda W, x: W @ x, jnp.ones((4, 3)), method=empirical.Jacobian())
        >>> print(kernel.plan(jnp.ones((2, 3))).parts[0].order)
        jacobian
    """

    why = "as asked for"

    def keeps(self, group: Group, outputs: Outputs, speeds: costs.Speeds) -> bool:
        return choose.nowhere(group, outputs, speeds)


def _block(*sides: Prepared | Late) -> int | None:
    """Examples held at once: the fewest that a side asks for."""
    return min((side.block for side in sides if isinstance(side, Late)), default=None)


def _count(x: PyTree) -> int:
    return jax.tree.leaves(x)[0].shape[0]


@partial(jax.jit, static_argnames="choice")
def _prepare(function: Function, x: PyTree, choice: Choice) -> Prepared:
    return structure.prepare(function, x, choice)


@jax.jit
def _tile(left: Prepared, right: Prepared) -> Array:
    return structure.total(left, right)


@jax.jit
def _square(side: Prepared) -> Array:
    return structure.total(side, None)


@jax.jit
def _terms(left: Prepared, right: Prepared | None) -> dict[tuple[int, ...], Array]:
    return structure.terms(left, right)


@jax.jit
def _own(side: Prepared) -> Array:
    return late.own(side)
