"""The limit of a leaky recurrent layer inside a network of blocks: states that keep a share of the state before.

With A and A' the duals of phi and of phi' at kap_u, and th_u, as of an Elman layer (tokens.3),

    kap_h[t, s] = keep kap_h[t-1, s] + gate^2 sum over b <= s of keep^{s-b} A[t, b]                        (tokens.7)
    th_h[t, s]  = keep th_h[t-1, s]  + gate^2 sum over b <= s of keep^{s-b} A'[t, b] th_u[t, b]            (tokens.8)

since h_t is the sum of gate keep^{t-a} phi(u_a). Nothing is subtracted on the way; but two states are told apart by the
difference of their variances and twice their covariance, as attention tells tokens apart.
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
from ntkseq.kernels.layers import shift
from ntkseq.kernels.tokens import Context, Entry, How, Own, Pair
from ntkseq.kernels.tokenwise import activation_pair, behind

State = tuple[Array, Any]
"""kap_h and th_h (None: not wanted) at one step of the left side, (n, m, 1, s)."""


def alone(cell: cells.Leaky, own: Own, context: Context) -> tuple[Entry, Float[Array, "n t"]]:
    """What pairs need of each sequence, and the standard deviations of its states."""
    how = How(same=True, raw=context.raw, tangent=context.tangent)
    u, h, rounds = jax.vmap(partial(_walk, cell, how))(own)
    context.rounds.append(jax.lax.stop_gradient(rounds))
    entry = _entry(cell, own.std, context.rattle(u), _before(h))
    size = _filtered(cell, entry["after"])  # what was added in a state, if nothing had cancelled
    h = context.rattle(h, size)
    gross = size * tokens.inverse(h)
    return entry | {"out": h, "gross": gross, "gross before": _before(gross)}, h


def pair(cell: cells.Leaky, left: Entry, right: Entry, pair: Pair, how: How) -> Pair:
    """The pairs of states from the pairs of tokens, both in the order of the recursion."""
    keep = _kept(cell, pair.z.shape[3], pair.z.dtype)

    def step(state: State, now: tuple[Array, Entry, Pair]) -> tuple[State, Pair]:
        at, one, x = now
        here = how._replace(row=at)
        state = _moved(cell, keep, state, _images(cell, one, right, x, state, here))
        return state, Pair(apart(state[0], one, right, ("out", "gross"), here), state[1])

    return tokens.by_rows(step, lambda row: jax.tree.map(jnp.zeros_like, (row.z, row.th)), left, pair)


# --------------------------------------------------------------------------------------------------- one row of steps


def _images(cell: cells.Leaky, one: Entry, right: Entry, x: Pair, state: State, how: How) -> State:
    """A and A' th_u at a step of the left side and all of the right, from the states one step before in both."""
    w2, u2 = cell.sigma_w**2, cell.sigma_u**2
    own_w, own_u, own_b = (1, 1, 1) if how.raw else (w2, u2, cell.sigma_b**2)
    kap, past = jax.tree.map(lambda a: shift(a, -1), state)  # entry s follows from entry s - 1 of the old row
    h = apart(kap, one, right, ("before", "gross before"), how)
    z = tokens.mix((one["h"], right["h"], h), (one["x"], right["x"], x.z), (one["b"], right["b"], None))
    th = None
    if past is not None and x.th is not None:
        th = w2 * past + u2 * x.th
        if "W" in cell.train:
            th = th + own_w * kap
        if "U" in cell.train:
            th = th + own_u * tokens.covariance(one["in"], right["in"], x.z)
        if "b" in cell.train:
            th = th + own_b
    phi = blocks.Nonlinearity(cell.activation)
    image = activation_pair(phi, one["phi"], right["phi"], Pair(z, th), how)
    return tokens.covariance(one["after"], right["after"], image.z), image.th


def _moved(cell: cells.Leaky, keep: Float[Array, "s s"], state: State, images: State) -> State:
    """The states of a row from those of the row before and from what is new."""

    def move(old: Array, new: Array) -> Array:
        late = jnp.einsum("nmtb,bs->nmts", new, keep, precision="highest")
        return cell.keep * old + cell.gate**2 * late

    return jax.tree.map(move, state, images)


def apart(kap: Array, one: Entry, right: Entry, names: tuple[str, str], how: How) -> Array:
    """Folded m of states from their covariance: 0 below what the roundings of what was added may have made of it.

    Args:
        kap: (n, m, 1, s).
        one, right: entries, at a step of the left side and at all of the right.
        names: in them the standard deviations of the states, and their errors over these, in roots of eps.
        how: of the pair, with its row.
    """
    std, gross = names
    steps = kap.shape[-1]
    eps = float(jnp.finfo(kap.dtype).eps)
    off = (1 + 0.5 * steps**0.5) * eps * tokens.row(one[gross]) * tokens.column(right[gross])
    ratio = kap * tokens.row(tokens.inverse(one[std])) * tokens.column(tokens.inverse(right[std]))
    return tokens.settle((1 - ratio) / 2, off, how, 2 * off)


def _kept(cell: cells.Leaky, t: int, dtype: Any) -> Float[Array, "b s"]:
    """keep^{s-b} for b <= s."""
    powers = jnp.cumprod(jnp.full((t,), cell.keep, dtype).at[0].set(1))
    lag = jnp.arange(t, dtype=jnp.int32)[None] - jnp.arange(t, dtype=jnp.int32)[:, None]
    return jnp.where(lag >= 0, powers[jnp.maximum(lag, 0)], 0)


# ------------------------------------------------------------------------------------------- a sequence with itself


def _entry(cell: cells.Leaky, x: Array, u: Array, before: Array) -> dict[str, Any]:
    """What pairs need at a step: of the tokens x, the pre-activations u and the states before, standard deviations."""
    inv = tokens.inverse(u)
    shares = {"h": cell.sigma_w * before * inv, "x": cell.sigma_u * x * inv, "b": cell.sigma_b * inv}
    phi, after, _ = behind(cell.activation, u)
    return shares | {"before": before, "in": x, "phi": phi, "after": after}


def _walk(cell: cells.Leaky, how: How, own: Own) -> tuple[Float[Array, " t"], Float[Array, " t"], Array]:
    """Standard deviations of pre-activations and of states, step by step, and how many roundings pile up."""
    t, dtype = own.std.shape[0], own.std.dtype
    keep, steps = _kept(cell, t, dtype), jnp.arange(t, dtype=jnp.int32)
    w2, u2 = cell.sigma_w**2, cell.sigma_u**2

    def entry(x: Array, h: Array, gross: Array) -> tuple[Array, Entry]:
        u = safe_sqrt(w2 * h**2 + u2 * x**2 + cell.sigma_b**2)
        return u, _entry(cell, x, u, h) | {"gross before": gross}

    def step(carry: Any, now: tuple[Array, Array, Pair]) -> tuple[Any, tuple[Array, Array]]:
        state, known, h, th, size, rounds = carry
        at, x, pair = now
        gross = size * tokens.inverse(h)
        u, one = entry(x, h, gross)
        known = jax.tree.map(lambda all, one: all.at[0, at].set(one), known, one)  # zero behind this step
        one = jax.tree.map(lambda a: a[None, None], one)
        row = jax.tree.map(lambda a: a[None, None, None], pair)
        images = _images(cell, one, known, row, state, how._replace(row=at))
        state = _moved(cell, keep, state, jax.tree.map(lambda a: jnp.where(steps <= at, a, 0), images))
        # by symmetry what stands above (t, t) is what stands beside it
        state = jax.tree.map(lambda a: jnp.where(steps < at, a, 0) + jnp.where(steps == at, _closed(cell, a), 0), state)
        # what was rounded before counts by its share of what is now
        share = jnp.maximum(w2 * h**2 * tokens.inverse(u**2), _share(cell, how, x, h, th, pair, at))
        fresh = 1 + share * rounds * gross**2
        new = cell.gate * one["after"][0, 0]
        size = cell.keep * size + new
        part = new * tokens.inverse(size)
        kap, th = jax.tree.map(lambda a: a[0, 0, 0, at], state)
        h = safe_sqrt(kap)
        return (state, known, h, th, size, 1 + part * fresh + (1 - part) * rounds), (u, h)

    zero = jnp.zeros((), dtype)
    known = jax.tree.map(
        lambda a: jnp.zeros((1, t, *a.shape), a.dtype), jax.eval_shape(lambda: entry(own.std[0], zero, zero)[1])
    )
    row = jnp.zeros((1, 1, 1, t), dtype)
    none = own.th is None
    start = ((row, None if none else row), known, zero, None if none else zero, zero, zero)
    (_, _, h, _, size, rounds), (u, states) = jax.lax.scan(step, start, (steps, own.std, Pair(own.z, own.th)))
    return u, states, rounds * (size * tokens.inverse(h)) ** 2


def _closed(cell: cells.Leaky, a: Array) -> Array:
    """The row with what its last step keeps of the column above it."""
    return a + cell.keep * shift(a, -1)


def _share(cell: cells.Leaky, how: How, x: Array, h: Array, th: Any, pair: Pair, at: Array) -> Array:
    """The share of the states before in the tangent kernel of a step's pre-activation with itself."""
    if th is None or pair.th is None:
        return jnp.zeros_like(h)
    scales = (1, 1, 1) if how.raw else (cell.sigma_w**2, cell.sigma_u**2, cell.sigma_b**2)
    past = cell.sigma_w**2 * th
    total = past + cell.sigma_u**2 * pair.th[at]
    for group, scale, term in zip("WUb", scales, (h**2, x**2, jnp.ones_like(h)), strict=True):
        total = total + (scale * term if group in cell.train else 0)
    return past * tokens.inverse(total)


def _filtered(cell: cells.Leaky, after: Float[Array, "n t"]) -> Float[Array, "n t"]:
    """gate times the sum of keep^{t-a} after_a."""
    return cell.gate * jnp.einsum("nb,bs->ns", after, _kept(cell, after.shape[1], after.dtype), precision="highest")


def _before(a: Float[Array, "n t"]) -> Float[Array, "n t"]:
    """Of one step before; 0 at the first."""
    return jnp.concatenate([jnp.zeros_like(a[:, :1]), a[:, :-1]], axis=1)
