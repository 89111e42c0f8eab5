"""The limit of a controlled residual network inside a network of blocks: states moved by the tokens themselves.

With A and A' the duals of phi and of phi' at kap_h, and kap and th those of the tokens,

    kap_h[t, s] = kap_h[t-1, s] + kap_h[t, s-1] - kap_h[t-1, s-1] + V[t, s] kap[t, s]                      (tokens.13)
    V[t, s] = sigma_w^2 A[t-1, s-1] + sigma_b^2,    kap_h[0, s] = kap_h[t, 0] = sigma_h^2
    th_h likewise with V[t, s] th[t, s] + (sigma_w^2 A'[t-1, s-1] th_h[t-1, s-1]
                        + w_W sigma_w^2 A[t-1, s-1] + w_b sigma_b^2) kap[t, s]                             (tokens.14)

A row is the row before and the running sum of what is new. Two states are told apart by the difference of their
variances and twice their covariance, as those of `leaky_cell`.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkseq import blocks, cells
from ntkseq._precision import safe_sqrt
from ntkseq.kernels import tokens
from ntkseq.kernels.leaky_cell import noise
from ntkseq.kernels.tokens import Context, Entry, How, Own, Pair
from ntkseq.kernels.tokenwise import activation_pair, behind

State = tuple[Array, Any]
"""kap_h and th_h (None: not wanted) at one step of the left side, (n, m, 1, s)."""


def alone(cell: cells.ControlledResNet, own: Own, context: Context) -> tuple[Entry, Float[Array, "n t"]]:
    """What pairs need of each sequence, and the standard deviations of its states."""
    how = How(same=True, raw=context.raw, tangent=context.tangent)
    h, size, rounds = jax.vmap(partial(_walk, cell, how))(own)
    context.rounds.append(jax.lax.stop_gradient(rounds))
    before, size_before = _before(h, cell.sigma_h), _before(size, cell.sigma_h)
    entry = _entry(cell, own.std, context.rattle(before, size_before), size_before)
    h = context.rattle(h, size)
    return entry | {"out": h, "gross": size * tokens.inverse(h)}, h


def pair(cell: cells.ControlledResNet, left: Entry, right: Entry, pair: Pair, how: How) -> Pair:
    """The pairs of states from the pairs of tokens, both in the order of the recursion."""

    def step(state: State, now: tuple[Array, Entry, Pair]) -> tuple[State, Pair]:
        at, one, x = now
        here = how._replace(row=at)
        new = _new(cell, one, right, x, state, here)
        state = jax.tree.map(lambda old, new: old + jnp.cumsum(new, axis=-1), state, new)
        off = noise(one, right, "gross", state[0])
        ratio = state[0] * tokens.row(tokens.inverse(one["out"])) * tokens.column(tokens.inverse(right["out"]))
        return state, Pair(tokens.settle((1 - ratio) / 2, off, here, 2 * off), state[1])

    rows = jax.tree.map(lambda a: jnp.moveaxis(a, 1, 0)[:, :, None], left)  # (t, n, 1, ...)
    grid = jax.tree.map(lambda a: jnp.moveaxis(a, 2, 0)[:, :, :, None], pair)  # (t, n, m, 1, s)
    start = _start(cell, how, grid.z[0], grid.th is not None)
    steps = jnp.arange(pair.z.shape[2], dtype=jnp.int32)
    _, states = jax.lax.scan(step, start, (steps, rows, grid))
    return jax.tree.map(lambda a: jnp.moveaxis(a[:, :, :, 0], 0, 2), states)


# --------------------------------------------------------------------------------------------------- one row of steps


def _edge(cell: cells.ControlledResNet, how: How) -> tuple[Any, Any]:
    """kap_h and th_h of the start with any state."""
    variance = cell.sigma_h**2
    trained = 1.0 if how.raw else variance
    return variance, trained if "h" in cell.train else 0.0


def _start(cell: cells.ControlledResNet, how: How, like: Array, tangent: bool) -> State:
    kap, th = (jnp.broadcast_to(jnp.asarray(edge, like.dtype), like.shape) for edge in _edge(cell, how))
    return kap, th if tangent else None


def _before(a: Float[Array, "*n t"], edge: Any) -> Float[Array, "*n t"]:
    """Of one step before; `edge` at the first."""
    return jnp.concatenate([jnp.broadcast_to(jnp.asarray(edge, a.dtype), a[..., :1].shape), a[..., :-1]], axis=-1)


def _new(cell: cells.ControlledResNet, one: Entry, right: Entry, x: Pair, state: State, how: How) -> State:
    """What a step of the left side and each of the right add, from the states one step before in both."""
    w2, b2 = cell.sigma_w**2, cell.sigma_b**2
    own_w, own_b = (1, 1) if how.raw else (w2, b2)
    start, trained = _edge(cell, how)
    kap, past = _before(state[0], start), None if state[1] is None else _before(state[1], trained)
    off = noise(one, right, "gross before", kap)
    ratio = kap * tokens.row(tokens.inverse(one["before"])) * tokens.column(tokens.inverse(right["before"]))
    h = tokens.settle((1 - ratio) / 2, off, how, 2 * off)
    image = activation_pair(blocks.Nonlinearity(cell.activation), one["phi"], right["phi"], Pair(h, past), how)
    value = tokens.covariance(one["after"], right["after"], image.z)
    moved, tokens_ = w2 * value + b2, tokens.covariance(one["in"], right["in"], x.z)
    if image.th is None or x.th is None:
        return moved * tokens_, None
    tangent = w2 * image.th
    if "W" in cell.train:
        tangent = tangent + own_w * value
    if "b" in cell.train:
        tangent = tangent + own_b
    return moved * tokens_, moved * x.th + tangent * tokens_


# ------------------------------------------------------------------------------------------- a sequence with itself


def _entry(cell: cells.ControlledResNet, x: Array, before: Array, size: Array) -> dict[str, Any]:
    """What pairs need at a step: of the tokens x and of the states before, standard deviations and sizes."""
    phi, after, _ = behind(cell.activation, before)
    return {"before": before, "gross before": size * tokens.inverse(before), "in": x, "phi": phi, "after": after}


def _walk(cell: cells.ControlledResNet, how: How, own: Own) -> tuple[Float[Array, " t"], Float[Array, " t"], Array]:
    """Standard deviations of the states, sizes of what was added in them, and how many roundings pile up."""
    t, dtype = own.std.shape[0], own.std.dtype
    steps = jnp.arange(t, dtype=jnp.int32)
    edges = _edge(cell, how)
    w2, b2 = cell.sigma_w**2, cell.sigma_b**2

    def step(carry: Any, now: tuple[Array, Array, Pair]) -> tuple[Any, tuple[Array, Array]]:
        state, known, h, th, size, rounds = carry
        at, x, pair = now
        one = _entry(cell, x, h, size)
        known = jax.tree.map(lambda all, one: all.at[0, at].set(one), known, one)  # zero behind this step
        one = jax.tree.map(lambda a: a[None, None], one)
        row = jax.tree.map(lambda a: a[None, None, None], pair)
        new = _new(cell, one, known, row, state, how._replace(row=at))
        new = jax.tree.map(lambda a: jnp.where(steps <= at, a, 0), new)

        def closed(old: Array, new: Array, edge: Any) -> Array:
            """The row up to here; by symmetry what stands above (t, t) is what stands beside it."""
            last = old + jnp.cumsum(new, axis=-1)
            corner = 2 * _before(last, edge) - _before(old, edge) + new
            return jnp.where(steps < at, last, 0) + jnp.where(steps == at, corner, 0)

        state = tuple(None if a is None else closed(a, b, edge) for a, b, edge in zip(state, new, edges, strict=True))
        # what was rounded before counts by its share of what is now
        gross = size * tokens.inverse(h)
        drive = w2 * one["after"][0, 0] ** 2
        share = jnp.maximum(drive * tokens.inverse(drive + b2), _share(cell, how, x, h, th, pair, at))
        fresh = 1 + share * rounds * gross**2
        added = x * safe_sqrt(drive + b2)
        size = size + added
        part = added * tokens.inverse(size)
        kap, th = jax.tree.map(lambda a: a[0, 0, 0, at], state)
        h = safe_sqrt(jnp.maximum(kap, 0))
        return (state, known, h, th, size, 1 + part * fresh + (1 - part) * rounds), (h, size)

    zero = jnp.zeros((), dtype)
    start = zero + cell.sigma_h
    known = jax.tree.map(
        lambda a: jnp.zeros((1, t, *a.shape), a.dtype), jax.eval_shape(lambda: _entry(cell, own.std[0], start, start))
    )
    tangent = own.th is not None
    first = _start(cell, how, jnp.zeros((1, 1, 1, t), dtype), tangent)
    carry = (first, known, start, zero + edges[1] if tangent else None, start, zero)
    (_, _, _, _, _, rounds), (h, size) = jax.lax.scan(step, carry, (steps, own.std, Pair(own.z, own.th)))
    return h, size, rounds * (size[-1] * tokens.inverse(h[-1])) ** 2


def _share(cell: cells.ControlledResNet, how: How, x: Array, h: Array, th: Any, pair: Pair, at: Array) -> Array:
    """The share of the states before in what a step adds to the tangent kernel of a sequence with itself."""
    if th is None or pair.th is None:
        return jnp.zeros_like(h)
    _, after, slope = behind(cell.activation, h)
    own_w, own_b = (1, 1) if how.raw else (cell.sigma_w**2, cell.sigma_b**2)
    past = (cell.sigma_w**2 * slope * th + (own_w * after**2 if "W" in cell.train else 0)) * x**2
    past = past + cell.sigma_w**2 * after**2 * pair.th[at]
    rest = (own_b * x**2 if "b" in cell.train else 0) + cell.sigma_b**2 * pair.th[at]
    return past * tokens.inverse(past + rest)
