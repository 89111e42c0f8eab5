"""How is the kernel estimated at a cost linear in n? From random projections of the gradients."""

from __future__ import annotations

import dataclasses

import jax
from jaxtyping import Array, Float

from ntkseq import _checks
from ntkseq._struct import fill
from ntkseq._types import PyTree
from ntkseq.empirical import sketch
from ntkseq.empirical.function import Function
from ntkseq.empirical.methods.base import Method
from ntkseq.empirical.plan import Plan, in_words
from ntkseq.kernels.base import Side


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Sketch(Method):
    """An estimate from random projections of the gradients, at a cost linear in n, with its sampling error.

    Attributes:
        key: one random key, a leaf: two sides of a kernel share it.
        directions: random projections; the relative error is about sqrt(2 / directions). The first ones are the same
            for every number of them.

    Raises:
        ValueError: no key, directions below 1.

    Reference: park2023trak (random projections of gradients).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ntkseq import empirical
        >>> sketch = empirical.Sketch(jax.random.key(0), directions=1000)
        >>> kernel = empirical.NTK(lambda W, x: W @ x, jnp.ones((4, 3)), method=sketch)
        >>> abs(float(kernel(jnp.ones((1, 3)))[0, 0]) - 3.0) < 0.5
        True
    """

    leaves = ("key",)

    key: jax.Array
    directions: int = 256

    def __post_init__(self) -> None:
        fill(
            self, key=_checks.prng_key("key", self.key), directions=_checks.positive_int("directions", self.directions)
        )

    def prepare(self, function: Function, x: PyTree) -> Float[Array, "n directions o"]:
        return sketch.features(function, x, self.key, self.directions)

    def tile(self, function: Function, left: Side, right: Side) -> Float[Array, "n m ..."]:
        return sketch.estimate(left, right, function.kept)

    def diagonal(self, function: Function, side: Side) -> Float[Array, "n ..."]:
        return sketch.diagonal(side, function.kept)

    def plan(self, function: Function, x: PyTree) -> Plan:
        words = f"{self.directions} random directions, taken forward through all examples; compared by their products"
        return in_words(function, x, repr(self), words)

    def entry_rounding(self, function: Function, side: Side) -> float:
        return sketch.entry_error(side, function.kept)

    @property
    def estimated(self) -> str:
        return "a sampling error, right but for probability 1e-6; rounding was not looked at"

    def standard_error(self, function: Function, left: Side, right: Side) -> Float[Array, "n m ..."]:
        return sketch.standard_error(left, right, function.kept)
