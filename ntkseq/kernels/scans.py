"""In which order are the pairs of steps of two sequences visited, and which are read out?

    last    offset fixed: one pass over t, sequences aligned on the right, read at the end      O(n m t)
    steps   offset zero: one pass over t, sequences aligned on the left, sum of K[t, t]         O(n m t)
    mean, sum   all (t, s): rows t in turn, all s of a row at once; K[t, s] summed on the fly   O(n m t^2)

The pair (t, s) follows from (t - 1, s - 1) alone, so time offsets never mix.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkseq._types import PyTree
from ntkseq.kernels.cells import Cell, Side
from ntkseq.kernels.layers import shift


def _time_first(tree: PyTree) -> Any:
    return jax.tree.map(lambda a: jnp.swapaxes(a, 0, 1), tree)


def _before(tree: PyTree, axis: int = 0) -> Any:
    """Arrays moved one step on: the entry at t is that of t - 1, and zero at the first."""
    return jax.tree.map(lambda a: shift(a, axis), tree)


def last(cell: Cell, left: Side, right: Side, same: bool) -> Float[Array, "n m"]:
    """The kernel of the outputs at the common last column."""
    return _columns(cell, left, right, same, accumulate=False)


def steps(cell: Cell, left: Side, right: Side, same: bool) -> Float[Array, "n m"]:
    """The sum over t of the kernel of the outputs at (t, t)."""
    return _columns(cell, left, right, same, accumulate=True)


def _columns(cell: Cell, left: Side, right: Side, same: bool, accumulate: bool) -> Array:
    row = lambda tree: jax.tree.map(lambda a: a[:, None], tree)  # noqa: E731  (n, ...) -> (n, 1, ...)
    column = lambda tree: jax.tree.map(lambda a: a[None], tree)  # noqa: E731
    one, two = _time_first(left), _time_first(right)
    out = one["read"]["out"]
    shape = (out.shape[1], two["read"]["out"].shape[1])
    state = cell.zero(shape, out.dtype)
    past = (_before(one["read"]), _before(two["read"]))

    def step(carry: PyTree, now: PyTree) -> tuple[Any, None]:
        state, total = carry
        (new_left, new_right), (old_left, old_right) = now
        old_left, old_right = row(old_left), column(old_right)
        pair = cell.top_pair(state, old_left, old_right)
        if accumulate:
            total = total + cell.read(pair, state["top"][1], old_left, old_right)
        return (cell.update(state, pair, row(new_left), column(new_right), same), total), None

    total = jnp.zeros(shape, out.dtype) if accumulate else 0
    (state, total), _ = jax.lax.scan(step, (state, total), ((one["update"], two["update"]), past))
    end_left, end_right = (jax.tree.map(lambda a: a[-1], side["read"]) for side in (one, two))
    end_left, end_right = row(end_left), column(end_right)
    pair = cell.top_pair(state, end_left, end_right)
    return total + cell.read(pair, state["top"][1], end_left, end_right)


def all_pairs(cell: Cell, left: Side, right: Side, same: bool) -> Float[Array, "n m"]:
    """The sum over all t and s of the kernel of the outputs at (t, s)."""
    row = lambda tree: jax.tree.map(lambda a: a[:, None, None], tree)  # noqa: E731  (n, ...) -> (n, 1, 1, ...)
    plane = jax.tree.map(lambda a: a[None], right)  # (1, m, s, ...)
    one = _time_first(left)
    out = one["read"]["out"]
    shape = (out.shape[1], *right["read"]["out"].shape)

    def read_row(total: Array, state: PyTree, old_left: PyTree) -> tuple[Array, Any]:
        old_left = row(old_left)
        pair = cell.top_pair(state, old_left, plane["read"])
        values = cell.read(pair, state["top"][1], old_left, plane["read"])  # (n, m, s)
        return total + jnp.sum(values, axis=-1), pair

    def step(carry: PyTree, now: PyTree) -> tuple[Any, None]:
        state, total = carry
        new_left, old_left = now
        total, pair = read_row(total, state, old_left)
        state, pair = _before((state, pair), axis=-1)  # entry s follows from entry s - 1 of the old row
        return (cell.update(state, pair, row(new_left), plane["update"], same), total), None

    carry = (cell.zero(shape, out.dtype), jnp.zeros(shape[:2], out.dtype))
    (state, total), _ = jax.lax.scan(step, carry, (one["update"], _before(one["read"])))
    return read_row(total, state, jax.tree.map(lambda a: a[-1], one["read"]))[0]


def diagonal(values: Callable[[Side], Array], side: Side) -> Float[Array, " n"]:
    """`values` of each example on its own, as a batch of one: the kernel of every input with itself."""
    return each(lambda one, _: values(one), side, side)


def each(values: Callable[[Side, Side], Array], left: Side, right: Side) -> Float[Array, " n"]:
    """`values` of the first examples of both sides, of the second ones, and so on, as batches of one."""
    batch = lambda side: jax.tree.map(lambda leaf: leaf[None], side)  # noqa: E731
    return jax.vmap(lambda one, two: values(batch(one), batch(two))[0, 0])(left, right)
