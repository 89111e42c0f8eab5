"""How does the kernel of two leaky recurrent networks' sequences move from one pair of steps to the next?

Rows t in turn, within a row s in turn; every pair of steps needs the pair before it and its two neighbours.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ntkseq._precision import safe_sqrt
from ntkseq._struct import static, struct
from ntkseq._types import AnyArray, PyTree
from ntkseq.activations import is_rectifier
from ntkseq.kernels import duals
from ntkseq.kernels.base import Side
from ntkseq.kernels.cells import _dot
from ntkseq.kernels.chordal import fold, folded, second_moment
from ntkseq.kernels.layers import shift


@struct
class Units:
    """The constants of a layer of leaky units."""

    keep: Any
    gate: Any
    w: Any
    u: Any
    b: Any
    v: Any
    activation: Any
    train: str = static()
    tangent: bool = static()


def _pair(
    units: Units, past: PyTree, left: Side, right: Side, same: AnyArray, jolt: Array | None
) -> tuple[Array, Array]:
    """(A, A' T) at a pair of steps, from (C, H) one step before in both. `same`: the two steps are one and the same."""
    both = left["b"] * right["b"]
    dot = _dot(left["x"], right["x"])
    w2 = units.w**2
    c = w2 * past[0] + dot + both
    complete = set("WUb") <= set(units.train)
    own = c if complete else jnp.zeros_like(c)
    for group, term in (("W", w2 * past[0]), ("U", dot), ("b", both)):
        if group in units.train and not complete:
            own = own + term
    tangent = own + w2 * past[1]
    if not is_rectifier(units.activation):
        if jolt is not None:
            c = c + jolt * safe_sqrt(left["moments"][0] * right["moments"][0])
        value, slope = duals.get(units.activation).pair(c, left["moments"], right["moments"])
        mask = left["mask"] * right["mask"]
        return mask * value, mask * slope * tangent
    act = units.activation
    m = (1 - c * (left["inverse"] * right["inverse"])) / 2
    m = jnp.where(same | (m < 0), 0, m)
    gain, slope = folded(fold(m, 1 - m), act.positive, act.negative)
    moment = second_moment(act.positive, act.negative)
    return moment * (left["a"] * right["a"]) * (1 - 2 * gain), moment * slope * tangent


def _row(
    units: Units, rows: AnyArray, left: Side, right: Side, same: AnyArray, jolt: Array | None, reader: Any = None
) -> tuple[Any, Array, Any]:
    """(C, H) over s at step t, A, and what was read. Symmetric in t and s to the last bit.

    What is new at a pair of steps follows from the pair before both, in the row above: it is computed for all s at
    once, and what is left to go from s to s is a sum of four.

    Args:
        rows: (C, H) at step t - 1, each (s, ...).
        left: at step t, (...). right: (s, ...).
        same: (s,) whether the steps are one and the same.
        reader: (sums, read, sides): sums = read(sums, (C, H), side) at each s in turn.
    """
    spread = same.reshape(-1, *(1,) * (rows[0].ndim - 1))
    past = jax.tree.map(lambda a: shift(a, 0), rows)
    fresh = _pair(units, past, jax.tree.map(lambda a: a[None], left), right, spread, jolt)
    sums, read, sides = reader or (None, lambda sums, *_: sums, None)

    def step(carry: PyTree, now: PyTree) -> tuple[Any, Any]:
        past, beside, sums = carry
        above, fresh, side = now
        new = tuple(_move(units, *four) for four in zip(above, beside, past, fresh, strict=True))
        return (above, new, read(sums, new, side)), new

    zero = jax.tree.map(lambda a: jnp.zeros_like(a[0]), rows)
    (_, _, sums), new = jax.lax.scan(step, (zero, zero, sums), (rows, fresh, sides))
    return new, fresh[0], sums


def _move(units: Units, above: Array, beside: Array, past: Array, fresh: Array) -> Array:
    """The value at (t, s) from those at (t - 1, s), (t, s - 1), (t - 1, s - 1) and from what is new."""
    return units.keep * (above + beside) - units.keep**2 * past + units.gate**2 * fresh


def kernel(
    units: Units, left: Side, right: Side, *, same: bool, jolt: Array | None = None
) -> tuple[Float[Array, "n m"], Float[Array, "n m"]]:
    """The kernel of the outputs, and its part from equal columns.

    Args:
        same: whether the two sides are one and the same example.
        jolt: what is added to every covariance, relative to the standard deviations; smooth activations only.
    """
    one = jax.tree.map(lambda a: jnp.moveaxis(a, 1, 0)[:, :, None], left)  # (t, n, 1, ...)
    two = jax.tree.map(lambda a: jnp.moveaxis(a, 1, 0)[:, None], right)  # (s, 1, m, ...)
    steps = jnp.arange(one["out"].shape[0])
    zero = jnp.zeros((two["out"].shape[0], one["out"].shape[1], two["out"].shape[2]), one["out"].dtype)
    head = float("R" in units.train) if units.tangent else 1.0

    def step(carry: PyTree, now: PyTree) -> tuple[Any, None]:
        rows, sums = carry
        side, column = now

        def add(sums: Any, values: Any, now: PyTree) -> Any:
            (c, h), (out, other) = values, now
            value = side["out"] * out * (head * c + h if units.tangent else c)
            return sums[0] + value, sums[1] + jnp.where(other == column, value, 0)

        reader = (sums, add, (two["out"], steps))
        rows, _, sums = _row(units, rows, side, two, (steps == column) & same, jolt, reader)
        return (rows, sums), None

    (_, (total, equal)), _ = jax.lax.scan(step, ((zero, zero), (zero[0], zero[0])), (one, steps))
    return units.v**2 * total, units.v**2 * equal


def sides(
    units: Units, x: Float[Array, "n t d"], inside: Bool[Array, "n t"], out: Float[Array, "n t"]
) -> dict[str, Any]:
    """What the pairs need of each sequence on its own: the variances follow from all pairs of its own steps.

    Args:
        x: tokens aligned at the ends, with the input scale in them, zero outside the sequence.
        inside: whether a step belongs to the sequence.
        out: weight of the read-out at each step.
    """
    mask = inside.astype(x.dtype)
    tokens = {"x": units.u * x, "b": units.b * mask, "mask": mask}
    tokens = jax.tree.map(lambda a: jnp.swapaxes(a, 0, 1), tokens)  # (t, n, ...)
    zero = jnp.zeros_like(mask.T)
    steps = jnp.arange(x.shape[1])

    def finish(now: Side, v: Array) -> Side:
        """A step's side, from the variance of the state before it."""
        p = units.w**2 * v + jnp.sum(now["x"] * now["x"], axis=-1) + now["b"] ** 2
        if not is_rectifier(units.activation):
            return {**now, "moments": duals.get(units.activation).moments(p)}
        a = safe_sqrt(p)
        # p is there for the check of overflow alone: its NaN would not show in a
        return {**now, "p": p, "a": a, "inverse": jnp.where(p > 0, 1 / jnp.where(p > 0, a, 1), 0)}

    def step(carry: PyTree, now: PyTree) -> tuple[Any, None]:
        rows, v, known = carry
        now, column = now
        now = finish(now, v)
        known = jax.tree.map(lambda all, one: all.at[column].set(one), known, now)  # zero behind this step
        (c, h), values, _ = _row(units, rows, now, known, steps == column, None)
        beside = jnp.where(column > 0, c[column - 1], 0)  # E[h_t h_{t-1}]; by symmetry what stands above, too
        v = _move(units, beside, beside, v, values[column])
        c = jnp.where(steps[:, None] < column, c, 0).at[column].set(v)
        return ((c, jnp.zeros_like(h)), v, known), None

    first = jax.tree.map(lambda a: a[0], tokens)
    known = jax.eval_shape(lambda: finish(first, zero[0]))
    known = jax.tree.map(lambda a: jnp.zeros((x.shape[1], *a.shape), a.dtype), known)
    (_, _, known), _ = jax.lax.scan(step, ((zero, zero), zero[0], known), (tokens, steps))
    return {**jax.tree.map(lambda a: jnp.swapaxes(a, 0, 1), known), "out": out}
