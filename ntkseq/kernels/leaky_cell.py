"""The limit of a leaky recurrent layer inside a network of blocks: states that keep a share of the state before.

With A and A' the duals of phi and of phi' at kap_u, and th_u, as of an Elman layer (tokens.3),

    kap_h[t, s] = keep kap_h[t-1, s] + gate^2 sum over b <= s of keep^{s-b} A[t, b]                        (tokens.7)
    th_h[t, s]  = keep th_h[t-1, s]  + gate^2 sum over b <= s of keep^{s-b} A'[t, b] th_u[t, b]            (tokens.8)

since h_t is the sum of gate keep^{t-a} phi(u_a). Two states are told apart by the difference of their variances and
twice their covariance, as attention tells tokens apart; how far rounding moves them is carried beside them (tokens.18).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkseq import blocks, cells
from ntkseq._precision import safe_sqrt
from ntkseq.kernels import preactivation, tokens
from ntkseq.kernels.layers import shift
from ntkseq.kernels.tokens import Context, Entry, How, Own, Pair
from ntkseq.kernels.tokenwise import activation_pair, behind

State = tuple[Array, Any]
"""kap_h and th_h (None: not wanted) at one step of the left side, (n, m, 1, s)."""


def alone(cell: cells.Leaky, own: Own, context: Context) -> tuple[Entry, Float[Array, "n t"]]:
    """What pairs need of each sequence, and the standard deviations of its states."""
    how = How(same=True, raw=context.raw, tangent=context.tangent)
    u, h, error, fresh = jax.vmap(partial(_walk, cell, how))(own)
    gross, fresh = error * tokens.inverse(h), fresh * tokens.inverse(h)
    rounds = jnp.max(jnp.where(context.inside, gross**2, 0), axis=1)
    context.rounds.append(jax.lax.stop_gradient(rounds))
    entry = _entry(cell, own.std, context.rattle(u), shift(h))
    h = context.rattle(h, error)
    errors = {"gross": gross, "fresh": fresh, "gross before": shift(gross), "fresh before": shift(fresh)}
    return entry | errors | {"out": h}, h


def pair(cell: cells.Leaky, left: Entry, right: Entry, pair: Pair, how: How) -> Pair:
    """The pairs of states from the pairs of tokens, both in the order of the recursion."""
    keep = _kept(cell, pair.z.shape[3], pair.z.dtype)

    def step(state: State, now: tuple[Array, Entry, Pair]) -> tuple[State, Pair]:
        at, one, x = now
        here = how._replace(row=at)
        state = _moved(cell, keep, state, _images(cell, one, right, x, state, here))
        return state, Pair(apart(state[0], one, right, ("out", "gross", "fresh"), here), state[1])

    return tokens.by_rows(step, lambda row: jax.tree.map(jnp.zeros_like, (row.z, row.th)), left, pair)


# --------------------------------------------------------------------------------------------------- one row of steps


def _duals(cell: cells.Leaky, one: Entry, right: Entry, x: Array, kap: Array, how: How, slope: bool) -> Pair:
    """Folded m of phi(u), and A' where it is wanted, from the states one step before in both and the tokens x."""
    h = apart(
        shift(kap, -1), one, right, ("before", "gross before", "fresh before"), how
    )  # entry s follows from entry s - 1
    z = preactivation.mixed(one, right, h, x)
    phi = blocks.Nonlinearity(cell.activation)
    return activation_pair(phi, one["phi"], right["phi"], Pair(z, jnp.ones_like(kap) if slope else None), how)


def _images(cell: cells.Leaky, one: Entry, right: Entry, x: Pair, state: State, how: How) -> State:
    """A and A' th_u at a step of the left side and all of the right, from the states one step before in both."""
    kap, past = state
    image = _duals(cell, one, right, x.z, kap, how, past is not None and x.th is not None)
    value = tokens.covariance(one["after"], right["after"], image.z)
    if image.th is None or past is None or x.th is None:
        return value, None
    return value, image.th * preactivation.tangent(cell, how, one, right, shift(kap, -1), shift(past, -1), x)


def _moved(cell: cells.Leaky, keep: Float[Array, "s s"], state: State, images: State) -> State:
    """The states of a row from those of the row before and from what is new."""

    def move(old: Array, new: Array) -> Array:
        late = jnp.einsum("nmtb,bs->nmts", new, keep, precision="highest")
        return cell.keep * old + cell.gate**2 * late

    return jax.tree.map(move, state, images)


def apart(kap: Array, one: Entry, right: Entry, names: tuple[str, str, str], how: How) -> Array:
    """Folded m of states from their covariance: 0 below what the roundings of what was added may have made of it.

    Args:
        kap: (n, m, 1, s).
        one, right: entries, at a step of the left side and at all of the right.
        names: in them the standard deviations of the states, and over these, in roots of eps, their errors and the
            part of the errors that is of this step.
        how: of the pair, with its row.
    """
    std, gross, fresh = names
    steps = kap.shape[-1]
    eps = float(jnp.finfo(kap.dtype).eps)
    off, now = (tokens.row(one[name]) * tokens.column(right[name]) for name in (gross, fresh))
    off = (1 + 0.5 * steps**0.5) * eps * off
    ratio = kap * tokens.row(tokens.inverse(one[std])) * tokens.column(tokens.inverse(right[std]))
    m = (1 - ratio) / 2
    # what was rounded at the steps before is in m already where those were moved, unless it hides m
    return tokens.settle(m, off, how, jnp.where(m < 4 * off, 2 * off, 2 * eps * now))


def _kept(cell: cells.Leaky, t: int, dtype: Any) -> Float[Array, "b s"]:
    """keep^{s-b} for b <= s."""
    powers = jnp.cumprod(jnp.full((t,), cell.keep, dtype).at[0].set(1))
    lag = jnp.arange(t, dtype=jnp.int32)[None] - jnp.arange(t, dtype=jnp.int32)[:, None]
    return jnp.where(lag >= 0, powers[jnp.maximum(lag, 0)], 0)


# ------------------------------------------------------------------------------------------- a sequence with itself


def _entry(cell: cells.Leaky, x: Array, u: Array, before: Array) -> dict[str, Any]:
    """What pairs need at a step: of the tokens x, the pre-activations u and the states before, standard deviations."""
    phi, after, _ = behind(cell.activation, u)
    return preactivation.entry(cell, x, u, before) | {"phi": phi, "after": after}


def _walk(
    cell: cells.Leaky, how: How, own: Own
) -> tuple[Float[Array, " t"], Float[Array, " t"], Float[Array, " t"], Float[Array, " t"]]:
    """Standard deviations of pre-activations and of states, roots of the errors of their squares and of what is new.

    A rounding acts as a noise of its own on a state, which the network carries on as it does a change of any state:
    to first order by A', as in the tangent kernel (tokens.18).
    """
    t, dtype = own.std.shape[0], own.std.dtype
    keep, steps = _kept(cell, t, dtype), jnp.arange(t, dtype=jnp.int32)
    places = steps[None, None, None]
    w2 = cell.sigma_w**2

    def entry(x: Array, h: Array, error: Array, fresh: Array) -> tuple[Array, Entry]:
        u = preactivation.std(cell, h, x)
        inv = tokens.inverse(h)
        return u, _entry(cell, x, u, h) | {"gross before": error * inv, "fresh before": fresh * inv}

    def step(carry: Any, now: tuple[Array, Array, Array]) -> tuple[Any, tuple[Array, Array, Array, Array]]:
        (kap, off), known, h, error, fresh = carry
        at, x, z = now
        here = places == at
        u, one = entry(x, h, error, fresh)
        known = jax.tree.map(lambda all, one: all.at[0, at].set(one), known, one)  # zero behind this step
        one = jax.tree.map(lambda a: a[None, None], one)
        image = _duals(cell, one, known, z[None, None, None], kap, how._replace(row=at), True)
        assert image.th is not None
        new = tokens.covariance(one["after"], known["after"], image.z), w2 * image.th * shift(off, -1)
        new = jax.tree.map(lambda a: jnp.where(places <= at, a, 0), new)
        kap, off = jax.tree.map(
            # by symmetry what stands above (t, t) is what stands beside it
            lambda a: jnp.where(places < at, a, 0) + jnp.where(here, _closed(cell, a), 0),
            _moved(cell, keep, (kap, off), new),
        )
        square = kap[0, 0, 0, at]
        fresh = jnp.maximum(square, 0) + cell.gate**2 * image.th[0, 0, 0, at] * u**2
        off = off + jnp.where(here, fresh, 0)
        h, error, fresh = (safe_sqrt(jnp.maximum(one, 0)) for one in (square, off[0, 0, 0, at], fresh))
        return ((kap, off), known, h, error, fresh), (u, h, error, fresh)

    zero = jnp.zeros((), dtype)
    known = jax.tree.map(
        lambda a: jnp.zeros((1, t, *a.shape), a.dtype), jax.eval_shape(lambda: entry(own.std[0], zero, zero, zero)[1])
    )
    row = jnp.zeros((1, 1, 1, t), dtype)
    return jax.lax.scan(step, ((row, row), known, zero, zero, zero), (steps, own.std, own.z))[1]


def _closed(cell: cells.Leaky, a: Array) -> Array:
    """The row with what its last step keeps of the column above it."""
    return a + cell.keep * shift(a, -1)
