"""How is the kernel computed without a gradient per example? A gradient at a time, forward through all examples."""

from __future__ import annotations

import dataclasses

import jax
from jaxtyping import Array, Float

from ntkseq._types import PyTree
from ntkseq.empirical import choose, products, structure
from ntkseq.empirical.function import Function
from ntkseq.empirical.methods.base import MEASURED, Method
from ntkseq.empirical.plan import Plan, in_words
from ntkseq.empirical.rounding import measured
from ntkseq.kernels.base import Side


@dataclasses.dataclass(frozen=True, repr=False)
class Products(Method):
    """Forward and reverse derivatives: no gradient per example is held. "products" for short.

    The gradient of one output of one example at a time goes forward through all examples: n o passes.

    Reference: novak2022 (products of the NTK with vectors).

    Example:
        >>> import jax.numpy as jnp
        >>> from ntkseq import empirical
        >>> kernel = empirical.NTK(lambda W, x: W @ x, jnp.ones((4, 3)), method=empirical.Products())
        >>> kernel(jnp.eye(3)[:2]).tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """

    def prepare(self, function: Function, x: PyTree) -> Side:
        return x

    def tile(self, function: Function, left: Side, right: Side) -> Float[Array, "n m ..."]:
        return products.rows(function, left, right)

    def diagonal(self, function: Function, side: Side) -> Float[Array, "n ..."]:
        return products.diagonal(function, side)

    def plan(self, function: Function, x: PyTree) -> Plan:
        count = jax.tree.leaves(x)[0].shape[0] * function.width(x)
        words = f"{count} gradients, one at a time, each taken forward through all examples"
        return in_words(function, x, repr(self), words)

    def entry_rounding(self, function: Function, side: Side) -> float:
        return measured(function, side, choose.choose(function, side, choose.nowhere), structure.examine)

    @property
    def estimated(self) -> str:
        return MEASURED
