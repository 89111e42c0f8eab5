"""The limit of a controlled residual network inside a network of blocks: states moved by the tokens themselves.

With A and A' the duals of phi and of phi' at kap_h, and kap and th those of the tokens,

    kap_h[t, s] = kap_h[t-1, s] + kap_h[t, s-1] - kap_h[t-1, s-1] + V[t, s] kap[t, s]                      (tokens.13)
    V[t, s] = sigma_w^2 A[t-1, s-1] + sigma_b^2,    kap_h[0, s] = kap_h[t, 0] = sigma_h^2
    th_h likewise with V[t, s] th[t, s] + (sigma_w^2 A'[t-1, s-1] th_h[t-1, s-1]
                        + w_W sigma_w^2 A[t-1, s-1] + w_b sigma_b^2) kap[t, s]                             (tokens.14)

A row is the row before and the running sum of what is new. Two states are told apart by the difference of their
variances and twice their covariance, as those of `leaky_cell`; how far rounding moves them is carried beside them.
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
from ntkseq.kernels.leaky_cell import apart
from ntkseq.kernels.tokens import Context, Entry, How, Own, Pair
from ntkseq.kernels.tokenwise import activation_pair, behind

State = tuple[Array, Any]
"""kap_h and th_h (None: not wanted) at one step of the left side, (n, m, 1, s)."""


def alone(cell: cells.ControlledResNet, own: Own, context: Context) -> tuple[Entry, Float[Array, "n t"]]:
    """What pairs need of each sequence, and the standard deviations of its states."""
    how = How(same=True, raw=context.raw, tangent=context.tangent)
    h, error, fresh = jax.vmap(partial(_walk, cell, how))(own)
    gross = error * tokens.inverse(h)
    rounds = 4 * jnp.max(jnp.where(context.inside, gross**2, 0), axis=1)
    context.rounds.append(jax.lax.stop_gradient(rounds))
    before, *errors = (_before(one, cell.sigma_h) for one in (h, error, fresh))
    entry = _entry(cell, own.std, context.rattle(before, errors[0]), *errors)
    out = context.rattle(h, error)
    return entry | {"out": out, "gross": gross, "fresh": fresh * tokens.inverse(h)}, out


def pair(cell: cells.ControlledResNet, left: Entry, right: Entry, pair: Pair, how: How) -> Pair:
    """The pairs of states from the pairs of tokens, both in the order of the recursion."""

    def step(state: State, now: tuple[Array, Entry, Pair]) -> tuple[State, Pair]:
        at, one, x = now
        here = how._replace(row=at)
        new = _new(cell, one, right, x, state, here)
        state = jax.tree.map(lambda old, new: old + jnp.cumsum(new, axis=-1), state, new)
        return state, Pair(apart(state[0], one, right, ("out", "gross", "fresh"), here), state[1])

    return tokens.by_rows(step, lambda row: _start(cell, how, row), left, pair)


# --------------------------------------------------------------------------------------------------- one row of steps


def _edge(cell: cells.ControlledResNet, how: How) -> tuple[Any, Any]:
    """kap_h and th_h of the start with any state."""
    variance = cell.sigma_h**2
    trained = 1.0 if how.raw else variance
    return variance, trained if "h" in cell.train else 0.0


def _start(cell: cells.ControlledResNet, how: How, row: Pair) -> State:
    kap, th = (jnp.broadcast_to(jnp.asarray(edge, row.z.dtype), row.z.shape) for edge in _edge(cell, how))
    return kap, None if row.th is None else th


def _before(a: Float[Array, "*n t"], edge: Any) -> Float[Array, "*n t"]:
    """Of one step before; `edge` at the first."""
    return jnp.concatenate([jnp.broadcast_to(jnp.asarray(edge, a.dtype), a[..., :1].shape), a[..., :-1]], axis=-1)


def _duals(
    cell: cells.ControlledResNet, one: Entry, right: Entry, kap: Array, how: How, slope: bool
) -> tuple[Array, Array | None]:
    """A and A' from the states one step before in both."""
    h = apart(kap, one, right, ("before", "gross before", "fresh before"), how)
    states = Pair(h, jnp.ones_like(kap) if slope else None)
    image = activation_pair(blocks.Nonlinearity(cell.activation), one["phi"], right["phi"], states, how)
    return tokens.covariance(one["after"], right["after"], image.z), image.th


def _new(cell: cells.ControlledResNet, one: Entry, right: Entry, x: Pair, state: State, how: How) -> State:
    """What a step of the left side and each of the right add, from the states one step before in both."""
    w2, b2 = cell.sigma_w**2, cell.sigma_b**2
    own_w, own_b = (1, 1) if how.raw else (w2, b2)
    start, trained = _edge(cell, how)
    value, slope = _duals(cell, one, right, _before(state[0], start), how, state[1] is not None)
    moved, tokens_ = w2 * value + b2, tokens.covariance(one["in"], right["in"], x.z)
    if slope is None or state[1] is None or x.th is None:
        return moved * tokens_, None
    tangent = w2 * slope * _before(state[1], trained)
    if "W" in cell.train:
        tangent = tangent + own_w * value
    if "b" in cell.train:
        tangent = tangent + own_b
    return moved * tokens_, moved * x.th + tangent * tokens_


# ------------------------------------------------------------------------------------------- a sequence with itself


def _entry(cell: cells.ControlledResNet, x: Array, before: Array, error: Array, fresh: Array) -> dict[str, Any]:
    """What pairs need at a step: of the tokens x and of the states before, standard deviations and errors."""
    phi, after, _ = behind(cell.activation, before)
    inv = tokens.inverse(before)
    errors = {"gross before": error * inv, "fresh before": fresh * inv}
    return errors | {"before": before, "in": x, "phi": phi, "after": after}


def _walk(
    cell: cells.ControlledResNet, how: How, own: Own
) -> tuple[Float[Array, " t"], Float[Array, " t"], Float[Array, " t"]]:
    """Standard deviations of the states, roots of the errors of their squares and of what is new in these, in eps.

    A rounding acts as a noise of its own on a state, which the network carries on as it does a change of its start:
    to first order by A', as in the tangent kernel (tokens.15). Between two sequences it is the product of the roots at
    most, as every covariance.
    """
    t, dtype = own.std.shape[0], own.std.dtype
    steps = jnp.arange(t, dtype=jnp.int32)
    places = steps[None, None, None]
    w2, b2 = cell.sigma_w**2, cell.sigma_b**2
    start = jnp.zeros((), dtype) + cell.sigma_h

    def step(carry: Any, now: tuple[Array, Array, Array]) -> tuple[Any, tuple[Array, Array, Array]]:
        (kap, off), known, h, error, fresh = carry
        at, x, z = now
        here = places == at
        one = _entry(cell, x, h, error, fresh)
        known = jax.tree.map(lambda all, one: all.at[0, at].set(one), known, one)  # zero behind this step
        one = jax.tree.map(lambda a: a[None, None], one)
        before = _before(kap, start**2)
        value, slope = _duals(cell, one, known, before, how._replace(row=at), True)
        assert slope is not None
        among = tokens.covariance(one["in"], known["in"], z[None, None, None])

        def closed(old: Array, new: Array) -> Array:
            """The row up to here; by symmetry what stands above (t, t) is what stands beside it."""
            new = jnp.where(places <= at, new, 0)
            last = old + jnp.cumsum(new, axis=-1)
            corner = 2 * _before(last, start**2) - _before(old, start**2) + new
            return jnp.where(places < at, last, 0) + jnp.where(here, corner, 0)

        kap = closed(kap, (w2 * value + b2) * among)
        square = kap[0, 0, 0, at]
        fresh = jnp.maximum(square, 0) + 4 * x**2 * (w2 * one["after"][0, 0] ** 2 + b2)
        off = closed(off, w2 * slope * _before(off, start**2) * among + jnp.where(here, fresh, 0))
        h, error, fresh = (safe_sqrt(jnp.maximum(one, 0)) for one in (square, off[0, 0, 0, at], fresh))
        return ((kap, off), known, h, error, fresh), (h, error, fresh)

    known = jax.tree.map(
        lambda a: jnp.zeros((1, t, *a.shape), a.dtype),
        jax.eval_shape(lambda: _entry(cell, own.std[0], start, start, start)),
    )
    row = jnp.broadcast_to(start**2, (1, 1, 1, t))
    return jax.lax.scan(step, ((row, row), known, start, start, start), (steps, own.std, own.z))[1]
