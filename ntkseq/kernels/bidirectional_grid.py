"""How do the two directions of a bidirectional layer move over the grid of all pairs of steps?"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ntkseq._precision import safe_sqrt
from ntkseq._types import PyTree
from ntkseq.activations import is_rectifier
from ntkseq.kernels import duals
from ntkseq.kernels.base import Side
from ntkseq.kernels.cells import _dot
from ntkseq.kernels.chordal import fold, folded, second_moment, unfold
from ntkseq.kernels.chordal_cell import _dots, _squares, _sums
from ntkseq.kernels.layers import Layers, homogeneous_variances, shift, variances


def turned(tree: PyTree, name: str) -> Any:
    """Arrays (n, t, ...) in the order in which that direction visits the steps."""
    return tree if name == "forward" else jax.tree.map(lambda a: a[:, ::-1], tree)


def one_side(lay: Layers, x: Array, below: PyTree, inside: Bool[Array, "n t"], t: int) -> Side:
    """One direction of one layer, in its own order of steps. `image` is the standard deviation of its states."""
    mask, start = inside.astype(x.dtype), inside & ~jnp.pad(inside, ((0, 0), (1, 0)))[:, :t]
    energy = jnp.sum(x * x, axis=-1) if below is None else (below[0] ** 2 + below[1] ** 2) / 2
    if not is_rectifier(lay.activation):
        d = duals.get(lay.activation)
        p = variances(lay, d.second, energy, inside, start)[0]
        image = safe_sqrt(mask * d.second(p))
        side: Side = {"moments": d.moments(p), "mask": mask, "before": shift(mask), "image": image}
        return {**side, "x": x} if below is None else side
    act: Any = lay.activation
    moment = jnp.asarray(second_moment(act.positive, act.negative), x.dtype)
    p, past = (a[0] for a in homogeneous_variances(lay, moment, energy, inside, start))
    a = safe_sqrt(p)
    inv = 1 / jnp.where(p > 0, a, 1)
    image = jnp.sqrt(moment) * a
    w, u, b = lay.w[0] * shift(image) * inv, lay.u[0], lay.b[0] * mask * inv
    row: Side = {"image": image, "w": past, "own": {"W": w, "b": b}}
    if below is None:
        inputs = tuple(u * x[..., k] * inv for k in range(x.shape[-1]))
    else:
        inputs = row["u"] = tuple(u * 0.5**0.5 * h * inv for h in below)
    row["own"]["U"] = inputs
    row["features"] = tuple(f / 2 for f in (b, past, *inputs))
    return row


# ------------------------------------------------------------------------------------------------ one pair of steps

State = tuple[Array, Array, Array]
"""By chord: (gain, slope, T) of `chordal_cell`. Otherwise (E[phi phi'], E[dphi dphi'], T)."""


def _chord(lay: Layers, state: State, below: PyTree, one: Side, two: Side) -> State:
    act: Any = lay.activation
    gain, slope, tangent = state
    ww = one["w"] * two["w"]
    past = ww * gain
    m = past + _squares(one["features"], two["features"])
    if below is None:
        z = fold(m, _sums(one, two) - past)
    else:
        uu = [left * right for left, right in zip(one["u"], two["u"], strict=True)]
        m = sum((weight * low[0] for weight, low in zip(uu, below, strict=True)), m)
        z = fold(m, 1 - m)
    if lay.all_trained(0):
        own = 1 - 2 * unfold(z)
    else:
        own, mine, other = jnp.zeros_like(m), one["own"], two["own"]
        if "W" in lay.train[0]:
            own = own + mine["W"] * other["W"] * (1 - 2 * gain)
        if "b" in lay.train[0]:
            own = own + mine["b"] * other["b"]
        if "U" in lay.train[0] and below is None:
            own = own + _dots(mine["U"], other["U"])
        elif "U" in lay.train[0]:
            own = sum((weight * (1 - 2 * low[0]) for weight, low in zip(uu, below, strict=True)), own)  # pyright: ignore
    tangent = own + ww * slope * tangent
    if below is not None:
        tangent = sum((weight * low[1] * low[2] for weight, low in zip(uu, below, strict=True)), tangent)  # pyright: ignore
    gain, slope = folded(z, act.positive, act.negative)
    return gain, slope, jnp.asarray(tangent)


def _covariance(lay: Layers, state: State, below: PyTree, one: Side, two: Side, jolt: Array | None) -> State:
    k, kd, tangent = state
    w2, u2, b2 = lay.w[0] ** 2, lay.u[0] ** 2, lay.b[0] ** 2
    mask, before = one["mask"] * two["mask"], one["before"] * two["before"]
    past = before * k
    low = _dot(one["x"], two["x"]) if below is None else (below[0][0] + below[1][0]) / 2
    c = w2 * past + u2 * low + b2 * mask
    own = jnp.zeros_like(c)
    for group, term in (("W", w2 * past), ("U", u2 * low), ("b", b2 * mask)):
        if group in lay.train[0]:
            own = own + term
    tangent = own + w2 * before * kd * tangent
    if below is not None:
        tangent = tangent + u2 * (below[0][1] * below[0][2] + below[1][1] * below[1][2]) / 2
    if jolt is not None:
        c = c + jolt * safe_sqrt(one["moments"][0] * two["moments"][0])
    k, kd = duals.get(lay.activation).pair(c, one["moments"], two["moments"])
    return mask * k, mask * kd, tangent


# ---------------------------------------------------------------------------------------------------- the whole grid


def _grid(lay: Layers, below: PyTree, left: Side, right: Side, jolt: Array | None) -> State:
    """One direction of one layer over all pairs of steps: arrays (t, n, m, s), all in that direction's order."""
    one = jax.tree.map(lambda a: jnp.swapaxes(a, 0, 1)[:, :, None, None], left)  # (t, n, 1, 1, ...)
    two = jax.tree.map(lambda a: a[None], right)  # (1, m, s, ...)
    t, n = left["image"].shape[1], left["image"].shape[0]
    zero = jnp.zeros((n, *right["image"].shape), left["image"].dtype)

    def step(state: State, now: PyTree) -> tuple[State, State]:
        side, low = now
        state = jax.tree.map(lambda a: shift(a, -1), state)
        if is_rectifier(lay.activation):
            state = _chord(lay, state, low, side, two)
        else:
            state = _covariance(lay, state, low, side, two, jolt)
        return state, state

    return jax.lax.scan(step, (zero, zero, zero), (one, below), length=t)[1]


def pairs(layers: tuple[Layers, ...], left: Side, right: Side, jolt: Array | None = None) -> tuple[Array, Array]:
    """The kernel of the outputs (n, m), and its part from equal steps."""
    turn = lambda tree: jax.tree.map(lambda a: a[::-1, :, :, ::-1], tree)  # noqa: E731
    below = None
    for lay, one, two in zip(layers, left["layers"], right["layers"], strict=True):
        forward = _grid(lay, below, one[0], two[0], jolt)
        below = (forward, turn(_grid(lay, turn(below), one[1], two[1], jolt)))
    lay, total = layers[-1], jnp.zeros((), left["mask"].dtype)
    head = float("R" in lay.train[0]) if lay.tangent else 1.0
    assert below is not None
    for i, (k, slope, tangent) in enumerate(below):
        ends = [side["out"][i] for side in (left, right)]
        if is_rectifier(lay.activation):
            k = 1 - 2 * k
            images = [turned(side["layers"][-1][i]["image"], ("forward", "reversed")[i]) for side in (left, right)]
            ends = [end * image for end, image in zip(ends, images, strict=True)]
        values = head * k + slope * tangent if lay.tangent else k
        total = total + lay.v**2 / 2 * ends[0].T[:, :, None, None] * ends[1][None, None] * values
    t = total.shape[0]
    equal = jnp.eye(t, dtype=total.dtype)[:, None, None, :] * total
    return _in_order(total), _in_order(equal)


def _in_order(values: Float[Array, "t n m s"]) -> Float[Array, "n m"]:
    """The sum over both axes of steps, in an order that does not depend on the batch."""
    add = lambda total, row: (total + row, None)  # noqa: E731
    rows = jax.lax.scan(add, jnp.zeros_like(values[0]), values)[0]
    return jax.lax.scan(add, jnp.zeros_like(rows[..., 0]), jnp.moveaxis(rows, -1, 0))[0]
