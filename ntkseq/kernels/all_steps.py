"""What is the kernel of a recurrent network with an output at every step? All pairs of steps, none of them summed."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkseq import _checks
from ntkseq._types import ArrayLike, Lengths, PyTree
from ntkseq.kernels import rounding, span
from ntkseq.kernels.base import Kernel, Side
from ntkseq.kernels.cells import CovarianceCell
from ntkseq.kernels.origin import note
from ntkseq.kernels.recurrent import Recurrent, cell_of


def every_step(
    kernel: Kernel, x: ArrayLike, x2: ArrayLike | None = None, *, lengths: Lengths = None, lengths2: Lengths = None
) -> Float[Array, "n m t s"]:
    """The kernel between f_t(x_i) and f_s(x'_j) for one shared read-out f_t = (sigma_r / sqrt n) R h_t at every step.

        K[i, j, t, s] = w_V sigma_r^2 C[t, s] + sigma_r^2 C'[t, s] Theta[t, s]                        (recurrent.6)

    zero where t or s lies behind its sequence's own length. For a Gram matrix over all steps of all sequences:
    `K.transpose(0, 2, 1, 3).reshape(n * t, n * t)`. Time O(n m t s depth), memory n m t s numbers and what one row
    over s takes. The sum over t and s is the kernel with read="sum", the entry at the ends that with read="last",
    the sum over t = s that with read="steps".

    The array goes into `bounds.rademacher_steps` as it is, with its rounding; the matrix over all steps, which is
    another array, is `grams.computed(K, kernel, x)`.

    Args:
        kernel: a `kernels.Recurrent`; its `read` plays no role. With direction "reversed" or "both" the output at
            step t is that of the states which have just read step t.
        x: (n, t, d), padded on the right.
        x2: (m, s, d), s may differ from t; None: x with itself.
        lengths, lengths2: (n,) and (m,) integers; None means all steps.

    Raises:
        ValueError: another kernel, wrong rank, NaN or infinity, lengths out of range, variances that overflow,
            different numbers of features or dtypes.

    Reference: yang2020tp2 (the same recursion).

    Example:
        >>> import jax.numpy as jnp
        >>> from ntkseq.kernels import Recurrent
        >>> from ntkseq.kernels.all_steps import every_step
        >>> every_step(Recurrent(), jnp.ones((2, 3, 1)), jnp.ones((4, 5, 1))).shape
        (2, 4, 3, 5)
    """
    if not isinstance(kernel, Recurrent):
        raise ValueError(
            f"every_step takes a kernels.Recurrent, whose states it reads step by step; got {type(kernel).__name__}. "
            "Make one, or call your kernel itself."
        )
    kernel = kernel.with_(read="sum")  # left-aligned, every step of a sequence with weight one
    single, each = kernel.with_(read="steps"), partial(each_rounding, kernel)  # whose diagonal sums K[i, i, t, t]
    left = (kernel.prepare(x, lengths), _lengths(x, lengths))
    if x2 is None:
        values = _square(kernel, left)
        span.check(kernel, x, lengths, values.dtype, _own(kernel, values, x, lengths), _flat)
        note(single, values, left[0], entrywise=each)
        return values
    right = (kernel.prepare(x2, lengths2), _lengths(x2, lengths2))
    if np.shape(x)[2] != np.shape(x2)[2]:
        raise ValueError(
            f"x and x2 must have one number of features; got shapes {np.shape(x)} and {np.shape(x2)}. "
            "The numbers of examples and of steps may differ."
        )
    kinds = {side[0]["read"]["out"].dtype for side, _ in (left, right)}
    if len(kinds) > 1:
        raise ValueError(f"x and x2 must have one dtype; got {sorted(map(str, kinds))}. Cast one of them.")
    values = _across(kernel, left, right)
    for one, many in ((x, lengths), (x2, lengths2)):
        span.check(kernel, one, many, values.dtype, None, _flat)
    note(single, values, left[0], right[0], entrywise=each)
    return values


def each_rounding(kernel: Recurrent, side: Side) -> float:
    """Upper estimate of |computed - exact| / sqrt(K[i, i, t, t] K[j, j, s, s]), every step by itself.

    That of `Recurrent.entry_rounding`, where steps add up to one number, with the largest ratio over all steps.
    """
    out = side[0]["read"]["out"]
    cell = cell_of(kernel.layers(out.dtype))
    worst = float(jnp.finfo(out.dtype).eps) * (16.0 + 2.0 * kernel.depth * out.shape[1] ** 0.5)
    if isinstance(cell, CovarianceCell):
        worst = max([worst] + [float(rounding.relative(cell, one, "each")) for one in side])
    return worst


def _own(kernel: Recurrent, values: Array, x: ArrayLike, lengths: Lengths) -> np.ndarray | None:
    """K[i, i, t, t] (n, t), and one where there is nothing yet that is not zero: see `span.check`."""
    if not (_checks.is_concrete(values) and _checks.is_concrete(x)):
        return None
    own = np.einsum("iitt->it", np.asarray(values))
    there = np.abs(np.asarray(x)).max(axis=2) > 0
    there &= np.arange(own.shape[1]) < np.asarray(_lengths(x, lengths))[:, None]
    ahead = np.logical_or.accumulate(there, axis=1)
    back = np.logical_or.accumulate(there[:, ::-1], axis=1)[:, ::-1]
    inside = np.arange(own.shape[1]) < np.asarray(_lengths(x, lengths))[:, None]
    reached = {"forward": ahead, "reversed": back, "both": ahead | back}[kernel.direction] & inside
    return np.where(reached, own, 1.0)


def _flat(kernel: Recurrent, x: ArrayLike, lengths: Lengths) -> tuple[np.ndarray, float]:
    side = kernel.prepare(x, lengths)
    values = np.asarray(_square(kernel, (side, _lengths(x, lengths))), np.float64)
    n, t = values.shape[0], values.shape[2]
    return values.transpose(0, 2, 1, 3).reshape(n * t, n * t), each_rounding(kernel, side)


Ends = tuple[Side, Array]
"""A prepared batch and its lengths (n,)."""


def _lengths(x: ArrayLike, lengths: Lengths) -> Array:
    return jnp.asarray(np.full(np.shape(x)[0], np.shape(x)[1]) if lengths is None else lengths, jnp.int32)


@jax.jit
def _across(kernel: Recurrent, left: Ends, right: Ends) -> Array:
    return _grid(kernel, left, right, same=False)


@jax.jit
def _square(kernel: Recurrent, side: Ends) -> Array:
    """x with itself; the blocks of one sequence with itself on their own, as `Kernel.__call__` has them."""
    grid = _grid(kernel, side, side, same=False)

    def own(one: Ends) -> Array:
        one = jax.tree.map(lambda leaf: leaf[None], one)
        return _grid(kernel, one, one, same=True)[0, 0]

    index = jnp.arange(grid.shape[0])
    return grid.at[index, index].set(jax.vmap(own)(side))


def _grid(kernel: Recurrent, left: Ends, right: Ends, same: bool) -> Float[Array, "n m t s"]:
    names = ("forward", "reversed") if kernel.direction == "both" else (kernel.direction,)
    total: Any = None
    for name, one, two in zip(names, left[0], right[0], strict=True):
        values = _rows(kernel, one, two, same)
        if name == "reversed":
            values = _turned(_turned(values, left[1], example=0, step=2), right[1], example=1, step=3)
        total = values if total is None else total + values
    return total


def _rows(kernel: Recurrent, left: Side, right: Side, same: bool) -> Float[Array, "n m t s"]:
    """The rows of `scans.all_pairs`, kept instead of summed: (t, s) follows from (t - 1, s - 1)."""
    cell = cell_of(kernel.layers(left["read"]["out"].dtype))
    row = lambda tree: jax.tree.map(lambda a: a[:, None, None], tree)  # noqa: E731  (n, ...) -> (n, 1, 1, ...)
    plane = jax.tree.map(lambda a: a[None], right)  # (1, m, s, ...)
    moved = jax.tree.map(lambda a: jnp.swapaxes(a, 0, 1), left)  # (t, n, ...)
    out = moved["read"]["out"]
    shape = (out.shape[1], *right["read"]["out"].shape)

    def slide(a: Array) -> Array:
        return jnp.concatenate([jnp.zeros_like(a[..., :1]), a[..., :-1]], axis=-1)

    def step(carry: PyTree, now: Side) -> tuple[Any, Array]:
        state, pair = jax.tree.map(slide, carry)
        state = cell.update(state, pair, row(now["update"]), plane["update"], same)
        end = row(now["read"])
        pair = cell.top_pair(state, end, plane["read"])
        return (state, pair), cell.read(pair, state["top"][1], end, plane["read"])  # (n, m, s)

    zero = jnp.zeros(shape, out.dtype)  # whatever the expectations before the first step are, nothing comes of them
    _, values = jax.lax.scan(step, (cell.zero(shape, out.dtype), (zero, zero)), moved)
    return jnp.moveaxis(values, 0, 2)


def _turned(values: Array, lengths: Array, *, example: int, step: int) -> Array:
    """The axis of steps back to front within the length of each example; zero stays behind it."""
    steps = values.shape[step]
    at = (lengths[:, None] - 1 - jnp.arange(steps, dtype=lengths.dtype)[None, :]) % steps  # behind the end: any of it
    moved = jnp.moveaxis(values, (example, step), (0, 1))
    moved = jnp.take_along_axis(moved, at[:, :, None, None], axis=1)
    return jnp.moveaxis(moved, (0, 1), (example, step))
