"""How do particles pass attention with random scores (scaling "root"), there and back?

Of the infinitely many heads P/8 are drawn, each with queries and keys of P/8 coordinates and 8 of the P coordinates of
all values: scores q . k / sqrt(d_k) are Gaussian up to an excess kurtosis of 6/d_k, a bias of the order 1/P that all
sampled covariances have. Wq, Wk, Wv and Wo are Gaussian matrices there and others back (tokens.17).
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkseq import blocks
from ntkseq._types import Key, PyTree
from ntkseq.kernels import attention
from ntkseq.kernels.particle_rules import Back, Here, Rule, Size, held, stream, unit
from ntkseq.kernels.particles import product
from ntkseq.models.attention import attend, fading

_PER_HEAD = 8  # particles for one head, and for one coordinate of its queries and keys


class Heads(NamedTuple):
    """The random numbers of all heads, on tokens of w coordinates: Q, K, V and O."""

    inputs: tuple[Float[Array, "w heads k"], Float[Array, "w heads k"], Float[Array, "w heads v"]]
    outputs: tuple[Float[Array, "heads k w"], Float[Array, "heads k w"], Float[Array, "heads v w"]] | None
    """In their place on the way back; None: nothing stands before."""
    forward: Float[Array, "heads v p"]
    backward: Float[Array, "p heads v"]
    bias: Float[Array, " p"]


def sizes(p: int) -> tuple[int, int, int]:
    """Heads, d_k and d_v for p particles: p is heads d_v and divides heads d_k."""
    heads = max(h for h in range(1, max(1, p // _PER_HEAD) + 1) if p % h == 0)
    d_v = p // heads
    return heads, d_v * max(1, round(p / _PER_HEAD / d_v)), d_v


def draw(block: blocks.Attention, key: Key, size: Size) -> Heads:
    """The random numbers: the same numbers in every precision."""
    heads, d_k, d_v = sizes(size.p)
    keys = iter(jax.random.split(key, 9))
    some = lambda *shape: jax.random.normal(next(keys), shape, jnp.float32).astype(size.dtype)  # noqa: E731
    inputs = tuple(some(size.w, heads, k) for k in (d_k, d_k, d_v))
    outputs = tuple(some(heads, k, size.w) for k in (d_k, d_k, d_v))
    forward, backward, bias = some(heads, d_v, size.p), some(size.p, heads, d_v), some(size.p)
    return Heads(inputs, None if size.first else outputs, forward, backward, bias)  # pyright: ignore


def forward(block: blocks.Attention, drawn: Heads, x: Array, here: Here) -> tuple[Array, PyTree]:
    """Tokens behind the block, (n, t, p)."""
    projected = [product("ntw,whk->nthk", unit(x, here), W) for W in drawn.inputs]
    A = _weights(block, projected[0], projected[1], here)
    mid = product("nhac,nchv->nahv", A, projected[2])
    y = block.sigma_ov * np.prod(mid.shape[2:]) ** -0.5 * product("nahv,hvp->nap", mid, drawn.forward)
    y = y + block.sigma_b * drawn.bias[None, None]
    return (y + x if block.skip else y), (x, projected, A, mid)


def back(block: blocks.Attention, drawn: Heads, saved: PyTree, dy: Array, here: Here) -> Back:
    """The gradients of the tokens, and what Q, K, V, O and the bias add."""
    x, (q, k, v), A, mid = saved
    p, flat = dy.shape[2], lambda a: a.reshape(*a.shape[:2], -1)
    dmid = block.sigma_ov * p**-0.5 * product("nap,phv->nahv", dy, drawn.backward)
    dmid = (p / np.prod(mid.shape[2:])) ** 0.5 * dmid  # in units of the particles, as all gradients
    dv = product("nhac,nahv->nchv", A, dmid)
    pull = jax.vjp(lambda q, k: _weights(block, q, k, here), q, k)[1]
    dq, dk = pull(product("nahv,nchv->nhac", dmid, v))
    own = dict(zip("QKV", (dq, dk, dv), strict=True))
    streams = [stream(flat(d), p, here, [], (1.0, x), None) for letter, d in own.items() if letter in block.train]
    weights = [(block.sigma_ov, flat(mid))] if "O" in block.train else []
    streams.append(stream(dy, p, here, weights, None, block.sigma_b if "b" in block.train else None))
    if drawn.outputs is None:
        return Back(None, held(*streams))
    pairs = zip((dq, dk, dv), drawn.outputs, strict=True)
    dx = p**-0.5 * sum((product("nthk,hkw->ntw", d, W) for d, W in pairs), jnp.zeros_like(x))
    return Back(dx + dy if block.skip else dx, held(*streams))


def _weights(block: blocks.Attention, q: Array, k: Array, here: Here) -> Float[Array, "n heads t t"]:
    """The attention matrices of all heads."""
    scores = block.sigma_qk * q.shape[3] ** -0.5 * product("nahk,nchk->nhac", q, k)
    A = attend(block.weights, scores, attention.seen_by(block, here.inside)[:, None])
    if block.decay is None:
        return A
    share = np.arange(q.shape[2]) * len(block.decay) // q.shape[2]  # of the heads for each decay
    count = len(share) / (len(block.decay) * np.bincount(share))  # all decays count alike, where heads do not divide
    weight = jnp.asarray(np.sqrt(count[share])[:, None, None], q.dtype)
    return A * (weight * fading(block.decay, q.shape[1], q.dtype)[share])[None]


ROOT = Rule(draw, forward, back)
