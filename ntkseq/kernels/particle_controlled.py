"""How do particles pass a controlled residual network, there and back?

It has a matrix for every coordinate of a token, h_t = h_{t-1} + sum_k F_k(h_{t-1}) x_{t,k} / sqrt m: a sum over all
pairs (j, k) of phi(h_j) x_k, whose covariance is the product of two means over particles. The mean of the products
over some of the pairs has the same expectation, since states and tokens are independent of each other. So every state
meets `_PARTNERS` of the particles of a token, or all coordinates where tokens are the features themselves; on the way
back the pairs are the same and the matrices others (tokens.16).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ntkseq import cells
from ntkseq._types import Key, PyTree
from ntkseq.kernels.particle_rules import Back, CellRule, Here, Size, held, stream, unit
from ntkseq.kernels.particles import product

_PARTNERS = 4  # coordinates of a token for each state: the spread of the pairs' mean is near that of all of them


class Fields(NamedTuple):
    """The random numbers of p particles on tokens of w coordinates, of which every state meets s."""

    forward: Float[Array, "s p p"]
    """Of the pairs with the k-th partner."""
    backward: Float[Array, "s p p"]
    inputs: Float[Array, "w p"]
    """Biases, one for every coordinate of a token."""
    outputs: Float[Array, "p w"] | None
    """In their place on the way back; None: nothing stands before."""
    start: Float[Array, " p"]


def partners(w: int, p: int, s: int) -> Int[np.ndarray, "s p"]:
    """The coordinate of a token that state j meets as its k-th, from every part of the token."""
    return (np.arange(p) * max(1, w // p) + np.arange(s)[:, None]) % w


def _draw(cell: cells.ControlledResNet, key: Key, size: Size) -> Fields:
    keys = iter(jax.random.split(key, 5))
    some = lambda *shape: jax.random.normal(next(keys), shape, jnp.float32).astype(size.dtype)  # noqa: E731
    s = size.w if size.first else min(size.w, _PARTNERS)
    forward, backward, inputs = some(s, size.p, size.p), some(s, size.p, size.p), some(size.w, size.p)
    outputs, start = some(size.p, size.w), some(size.p)
    return Fields(forward, backward, inputs, None if size.first else outputs, start)


def _met(drawn: Fields, x: Array, here: Here) -> tuple[Float[Array, "n t s p"], Float[Array, ""]]:
    """The coordinates that the states meet, and the factor that makes the mean over pairs the product of both."""
    s, p = drawn.forward.shape[:2]
    return x[..., partners(x.shape[2], p, s)], jnp.asarray((p if here.first else s * p) ** -0.5, x.dtype)


def _forward(cell: cells.ControlledResNet, drawn: Fields, x: Array, here: Here) -> tuple[Array, PyTree]:
    met, factor = _met(drawn, x, here)
    still = cell.sigma_b * product("ntw,wp->ntp", unit(x, here), drawn.inputs)
    W = factor * cell.sigma_w * drawn.forward

    def step(h: Array, now: tuple[Array, Array]) -> tuple[Array, Any]:
        pairs = now[0] * cell.activation(h)[:, None]
        new = h + now[1] + product("nsp,spq->nq", pairs, W)
        return new, (h, pairs, new)

    start = jnp.broadcast_to(cell.sigma_h * drawn.start, (len(x), drawn.start.shape[0]))
    by_steps = lambda tree: jax.tree.map(lambda a: jnp.swapaxes(a, 0, 1), tree)  # noqa: E731
    before, pairs, states = by_steps(jax.lax.scan(step, start, by_steps((met, still)))[1])
    return states, (before, pairs)


def _back(cell: cells.ControlledResNet, drawn: Fields, saved: PyTree, x: Array, dy: Array, here: Here) -> Back:
    before, pairs = saved
    s, p = drawn.forward.shape[:2]
    met, factor = _met(drawn, x, here)
    W = factor * cell.sigma_w * drawn.backward

    def step(dh: Array, now: PyTree) -> tuple[Array, Any]:
        h, met, dy = now
        dh = dh + dy
        phi, pull = jax.vjp(cell.activation, h)
        moved = product("nq,sqp->nsp", dh, W)
        return dh + pull(jnp.sum(moved * met, axis=1))[0], (dh, moved * phi[:, None])

    by_steps = lambda tree: jax.tree.map(lambda a: jnp.swapaxes(a, 0, 1), tree)  # noqa: E731
    zero = jnp.zeros_like(dy[:, 0])
    start, found = jax.lax.scan(step, zero, by_steps((before, met, dy)), reverse=True)
    da, moved = by_steps(found)
    share = s**0.5 if here.first else 1.0  # features are summed over, not averaged
    flat = share * pairs.reshape(*pairs.shape[:2], -1)
    weights = [(cell.sigma_w, flat)] if "W" in cell.train else []
    streams = held(stream(da, p, here, weights, (cell.sigma_b, x) if "b" in cell.train else None, None))
    vectors = ((1 if here.raw else cell.sigma_h) * start,) if "h" in cell.train else ()
    if drawn.outputs is None:
        return Back(None, streams, vectors)
    w = x.shape[2]
    dx = jnp.zeros_like(x).at[..., partners(w, p, s)].add((w / p) ** 0.5 * moved)
    return Back(dx + cell.sigma_b * p**-0.5 * product("ntp,pw->ntw", da, drawn.outputs), streams, vectors)


CONTROLLED = CellRule(_draw, _forward, _back)
