"""Which examples does a step of training use? A function of the key and the number of the step, and of nothing else."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from ntkseq import _checks
from ntkseq._struct import fill, static, struct
from ntkseq._types import PyTree

ORDERS = ("shuffle", "once", "replacement")
MOST_STEPS = 2**31 - 2
"""Steps are counted in int32."""


@struct
class Batches:
    """The mini-batches of n examples: step s = 0, 1, ... uses the examples `at(s)`.

        "shuffle":      a permutation per epoch, of n // batch batches; the n % batch examples left over at the end of
                        a permutation are dropped, other ones in each epoch
        "once":         s batch, s batch + 1, ...: one pass over the examples in the order given, n // batch steps
        "replacement":  uniform draws with replacement, fresh ones in each step

    A batch of all n examples is taken in the order given, under "shuffle" too: gradient descent.

    Nothing is remembered from step to step, so a run can go on anywhere, and somebody else (a linearised network, say)
    can follow the very same batches with `indices`.

    Args:
        n: number of examples.
        batch: examples per step; None: all.
        order: see above.
        key: one random key; unused where nothing is drawn.

    Raises:
        ValueError: batch beyond n, unknown order, no key.

    Example:
        >>> import jax
        >>> from ntkseq.training.batches import Batches
        >>> Batches(6, 2, "once", jax.random.key(0)).indices(0, 3).tolist()
        [[0, 1], [2, 3], [4, 5]]
    """

    n: int = static()
    batch: int | None = static()
    order: str = static()
    key: Any

    def __post_init__(self) -> None:
        n = _checks.positive_int("n", self.n)
        batch = n if self.batch is None else _checks.positive_int("batch", self.batch)
        if batch > n:
            raise ValueError(
                f"batch must be at most the number of examples, {n}; got {batch}. Pass batch=None for all."
            )
        _checks.choice("order", self.order, ORDERS)
        fill(self, n=n, batch=batch, key=_checks.prng_key("key", self.key))

    @property
    def size(self) -> int:
        """Examples per step."""
        return self.n if self.batch is None else self.batch

    @property
    def per_epoch(self) -> int:
        """Steps per pass over the examples."""
        return self.n // self.size

    @property
    def max_steps(self) -> int:
        """How many steps there are."""
        return self.per_epoch if self.order == "once" else MOST_STEPS

    @property
    def whole(self) -> bool:
        """Whether each step uses all examples in the order given."""
        return self.size == self.n and self.order != "replacement"

    def at(self, step: int | Array) -> Int[Array, " batch"]:
        """The examples of one step; `step` may be traced. A step beyond the last one of "once" repeats that one."""
        step = jnp.asarray(step, jnp.int32)
        return self.next(step, self.permutation(step))[0]

    def permutation(self, step: int | Array) -> Int[Array, " m"]:
        """The order of the examples in the epoch of `step`; empty where there is none."""
        if self.order != "shuffle" or self.whole:
            return jnp.zeros((0,), jnp.int32)
        epoch = jnp.asarray(step, jnp.int32) // self.per_epoch
        return jax.random.permutation(jax.random.fold_in(self.key, epoch), jnp.arange(self.n, dtype=jnp.int32))

    def next(self, step: int | Array, permutation: Int[Array, " m"]) -> tuple[Int[Array, " batch"], Int[Array, " m"]]:
        """The examples of a step, and the permutation to carry to the step after it.

        A loop begins with `permutation(first)`; a new one is drawn when an epoch begins, not in each step.
        """
        if self.whole:
            return jnp.arange(self.n, dtype=jnp.int32), permutation
        if self.order == "replacement":
            key = jax.random.fold_in(self.key, step)
            return jax.random.randint(key, (self.size,), 0, self.n, dtype=jnp.int32), permutation
        place = step % self.per_epoch if self.order == "shuffle" else jnp.minimum(step, self.per_epoch - 1)
        places = place * self.size + jnp.arange(self.size, dtype=jnp.int32)
        if self.order == "once":
            return places, permutation
        permutation = jax.lax.cond(place == 0, lambda: self.permutation(step), lambda: permutation)
        return permutation[places], permutation

    def indices(self, first: int, last: int) -> Int[np.ndarray, "steps batch"]:
        """The examples of the steps first, ..., last - 1, one row each.

        Raises:
            ValueError: no such steps.
        """
        if not 0 <= first <= last <= self.max_steps:
            raise ValueError(
                f"first and last must be steps with 0 <= first <= last <= {self.max_steps}; got {first} and {last}."
            )
        return np.asarray(_rows(self, jnp.int32(first), int(last) - int(first)))


@partial(jax.jit, static_argnums=2)
def _rows(batches: Batches, first: PyTree, count: int) -> Int[Array, "steps batch"]:
    def body(permutation: Array, step: Array) -> tuple[Array, Array]:
        row, permutation = batches.next(step, permutation)
        return permutation, row

    return jax.lax.scan(body, batches.permutation(first), first + jnp.arange(count, dtype=jnp.int32))[1]
