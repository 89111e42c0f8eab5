"""Which rule has each block of a network for its particles, and how do they pass blocks in a row?

What tokens, gradients and rules are stands in `ntkseq.kernels.particle_rules`.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ntkseq import blocks
from ntkseq._layers import count_trained
from ntkseq._precision import safe_sqrt
from ntkseq._types import Key, PyTree
from ntkseq.kernels import attention, tokens
from ntkseq.kernels.layers import shift
from ntkseq.kernels.particle_attention import ROOT
from ntkseq.kernels.particle_attention import sizes as heads
from ntkseq.kernels.particle_recurrence import RECURRENT
from ntkseq.kernels.particle_rules import (
    Back,
    Here,
    Mix,
    Rule,
    Size,
    Stream,
    held,
    mix,
    mixed,
    stream,
    times,
    unit,
    unmixed,
)
from ntkseq.kernels.particles import product
from ntkseq.models.attention import position_root


def check(parts: tuple[blocks.Block, ...], each: int) -> None:
    """Raise unless `each` particles can pass all blocks.

    Raises:
        ValueError: an odd number for two directions, fewer heads than decays.
    """
    for block in blocks.every(parts):
        if isinstance(block, blocks.Recurrent) and block.direction == "both" and each % 2:
            raise ValueError(
                f"particles / batches must be even where a layer has both directions; got {each}. Half of them go "
                "each way."
            )
        if isinstance(block, blocks.Attention) and block.decay is not None and heads(each)[0] < len(block.decay):
            raise ValueError(
                f"particles / batches must make a head for each of the {len(block.decay)} decays of an Attention; got "
                f"{each}, which make {heads(each)[0]}. Take a power of two, at least {8 * len(block.decay)}."
            )


def maps(block: blocks.Block) -> bool:
    """Whether behind the block tokens are particles, whatever they were before."""
    if isinstance(block, blocks.Attention):
        return block.project
    return isinstance(block, (blocks.Linear, blocks.Convolution, blocks.GLU, blocks.Recurrent))


def rule(block: blocks.Block) -> Rule:
    """How particles pass it."""
    if isinstance(block, blocks.Attention) and block.scaling == "root":
        return ROOT
    return RULES[type(block)]


def draw(parts: tuple[blocks.Block, ...], key: Key, size: Size) -> tuple[PyTree, ...]:
    """The random numbers of blocks in a row."""
    drawn = []
    for at, block in enumerate(parts):
        drawn.append(rule(block).draw(block, jax.random.fold_in(key, at), size))
        if maps(block):
            size = size._replace(w=size.p, first=False)
    return tuple(drawn)


def forward(
    parts: tuple[blocks.Block, ...], drawn: tuple[PyTree, ...], x: Array, here: Here
) -> tuple[Array, list[PyTree]]:
    """Tokens behind blocks in a row, zero outside each sequence, and what the way back needs."""
    saved = []
    for block, own in zip(parts, drawn, strict=True):
        x, one = rule(block).forward(block, own, x, here)
        x = jnp.where(here.inside[..., None], x, 0)
        saved.append((one, here.first))
        here = here._replace(first=here.first and not maps(block))
    return x, saved


def back(
    parts: tuple[blocks.Block, ...], drawn: tuple[PyTree, ...], saved: list[PyTree], dy: PyTree, here: Here
) -> Back:
    """The gradients of the tokens before blocks in a row, and all that their parameters add."""
    streams: tuple[Stream, ...] = ()
    vectors: tuple[Array, ...] = ()
    for block, own, (one, first) in reversed(list(zip(parts, drawn, saved, strict=True))):
        if dy is None:
            break
        dy = jnp.where(here.inside[..., None], dy, 0)
        found = rule(block).back(block, own, one, dy, here._replace(first=first))
        dy, streams, vectors = found.dx, streams + found.streams, vectors + found.vectors
    return Back(dy, streams, vectors)


def silent(parts: tuple[blocks.Block, ...], saved: list[PyTree], inside: Bool[Array, "n t"]) -> Bool[Array, " n"]:
    """Which sequences have a token of variance 0 where a LayerNorm divides by it; its scale is 0 there."""
    found = jnp.zeros(inside.shape[0], bool)
    for block, (one, _) in zip(parts, saved, strict=True):
        if isinstance(block, blocks.Residual):
            found = found | silent(block.blocks, one, inside)
        if isinstance(block, blocks.LayerNorm):
            found = found | jnp.any(inside & (one[..., 0] == 0), axis=1)
    return found


# ---------------------------------------------------------------------------------- Linear, Convolution, GLU


def _linear_forward(block: blocks.Linear, drawn: Mix, x: Array, here: Here) -> tuple[Array, PyTree]:
    return block.sigma_w * mixed(drawn.there, x, here) + block.sigma_b * drawn.bias[None, None], x


def _linear_back(block: blocks.Linear, drawn: Mix, x: Array, dy: Array, here: Here) -> Back:
    bias = block.sigma_b if "b" in block.train else None
    found = stream(dy, dy.shape[2], here, [], (block.sigma_w, x) if "W" in block.train else None, bias)
    return Back(times(block.sigma_w, unmixed(drawn.back, dy)), held(found))


def _glu_draw(block: blocks.GLU, key: Key, size: Size) -> tuple[Mix, Mix]:
    return mix(jax.random.fold_in(key, 0), size), mix(jax.random.fold_in(key, 1), size)


def _glu_forward(block: blocks.GLU, drawn: tuple[Mix, Mix], x: Array, here: Here) -> tuple[Array, PyTree]:
    value, gate = (_linear_forward(b, d, x, here)[0] for b, d in zip((block.value, block.gate), drawn, strict=True))
    return value * block.activation(gate), (x, value, gate)


def _glu_back(block: blocks.GLU, drawn: tuple[Mix, Mix], saved: PyTree, dy: Array, here: Here) -> Back:
    x, value, gate = saved
    phi, pull = jax.vjp(block.activation, gate)
    one = _linear_back(block.value, drawn[0], x, dy * phi, here)
    two = _linear_back(block.gate, drawn[1], x, pull(dy * value)[0], here)
    return Back(None if one.dx is None or two.dx is None else one.dx + two.dx, one.streams + two.streams)


def _convolution_draw(block: blocks.Convolution, key: Key, size: Size) -> PyTree:
    """A matrix for each tap; depthwise numbers of its own for each coordinate, the same there and back."""
    if not block.depthwise:
        return tuple(mix(jax.random.fold_in(key, at), size) for at in range(block.size))
    one, two = jax.random.split(key)
    some = lambda key, *shape: jax.random.normal(key, shape, jnp.float32).astype(size.dtype)  # noqa: E731
    return some(one, block.size, size.p), some(two, size.p)


def _convolution_forward(block: blocks.Convolution, drawn: PyTree, x: Array, here: Here) -> tuple[Array, PyTree]:
    taps = [shift(x, by=lag) for lag in block.lags]
    if block.depthwise:
        total = sum((w[None, None] * tap for w, tap in zip(drawn[0], taps, strict=True)), jnp.zeros_like(x))
        bias = drawn[1]
    else:
        total = sum(mixed(mix.there, tap, here) for mix, tap in zip(drawn, taps, strict=True))
        bias = drawn[0].bias
    return block.sigma_w * block.size**-0.5 * total + block.sigma_b * bias[None, None], taps


def _convolution_back(block: blocks.Convolution, drawn: PyTree, taps: list[Array], dy: Array, here: Here) -> Back:
    scale, vectors, trained = block.sigma_w * block.size**-0.5, (), "W" in block.train
    bias = block.sigma_b if "b" in block.train else None
    if block.depthwise:
        backs = [scale * w[None, None] * dy for w in drawn[0]]
        if trained:
            own = block.size**-0.5 if here.raw else scale
            vectors = tuple(own * jnp.sum(dy * tap, axis=1) for tap in taps)
        streams = held(stream(dy, dy.shape[2], here, [], None, bias))
    else:
        backs = [times(scale, unmixed(mix.back, dy)) for mix in drawn]
        root = block.size**-0.5  # stands before the product also where gradients carry no sigma
        rows, first = [(block.sigma_w, root * tap) for tap in taps] if trained else [], None
        if here.first and rows:  # weights of all taps on one wider token
            rows, first = [], (block.sigma_w, root * jnp.concatenate(taps, axis=2))
        streams = held(stream(dy, dy.shape[2], here, rows, first, bias))
    late = [shift(one, by=-lag) for one, lag in zip(backs, block.lags, strict=True) if one is not None]
    return Back(None if here.first else sum(late, jnp.zeros_like(late[0])), streams, vectors)


# -------------------------------------------------------------------------------------------------- unit by unit


def _nothing(block: PyTree, key: Key, size: Size) -> None:
    return None


def _activation_back(block: blocks.Nonlinearity, drawn: None, x: Array, dy: Array, here: Here) -> Back:
    return Back(jax.vjp(block.activation, x)[1](dy)[0])


def _norm(block: blocks.LayerNorm, x: Array) -> Array:
    """1 / sqrt(variance + eps) of each token; 0 for one of variance 0 where eps is."""
    return tokens.inverse(safe_sqrt(jnp.mean(x * x, axis=2, keepdims=True) + block.eps))


def _norm_forward(block: blocks.LayerNorm, drawn: None, x: Array, here: Here) -> tuple[Array, PyTree]:
    x = x - jnp.mean(x, axis=2, keepdims=True)  # an activation may leave one
    scale = _norm(block, x)
    return scale * x, scale


def _positions_draw(block: blocks.Positions, key: Key, size: Size) -> Float[Array, "t p"]:
    """Of each place the same numbers, however many there are."""
    keys = jax.vmap(lambda at: jax.random.fold_in(key, at))(jnp.arange(size.t, dtype=jnp.int32))
    some = jax.vmap(lambda key: jax.random.normal(key, (size.w,), jnp.float32))(keys)
    return some.astype(size.dtype)


def _positions_forward(block: blocks.Positions, drawn: Array, x: Array, here: Here) -> tuple[Array, PyTree]:
    p = product("ts,sp->tp", position_root(block.decay, x.shape[1], x.dtype), drawn)
    return safe_sqrt(1 - block.share) * x + safe_sqrt(block.share) * p[None], None


def _residual_draw(block: blocks.Residual, key: Key, size: Size) -> PyTree:
    return draw(block.blocks, key, size)


def _residual_forward(block: blocks.Residual, drawn: PyTree, x: Array, here: Here) -> tuple[Array, PyTree]:
    y, saved = forward(block.blocks, drawn, x, here)
    return x + y, saved


def _residual_back(block: blocks.Residual, drawn: PyTree, saved: PyTree, dy: Array, here: Here) -> Back:
    found = back(block.blocks, drawn, saved, dy, here)
    return found._replace(dx=None if found.dx is None else dy + found.dx)


# ------------------------------------------------------------------------------------------------------ attention


def _attention_draw(block: blocks.Attention, key: Key, size: Size) -> Mix | None:
    return mix(key, size) if block.project else None


def _attention_forward(block: blocks.Attention, drawn: PyTree, x: Array, here: Here) -> tuple[Array, PyTree]:
    one = unit(x, here)
    A = attention.matrix(block, product("nap,ncp->nac", one, one), attention.seen_by(block, here.inside))
    B = attention.average(block, A)
    mid = product("nac,ncp->nap", B, x)
    if not block.project:
        return mid, (B, None)
    y = block.sigma_ov * mixed(drawn.there, mid, here) + block.sigma_b * drawn.bias[None, None]
    return (y + x if block.skip else y), (B, mid)


def _attention_back(block: blocks.Attention, drawn: PyTree, saved: PyTree, dy: Array, here: Here) -> Back:
    B, mid = saved
    through = lambda a: None if a is None else product("nac,nap->ncp", B, a)  # noqa: E731
    if not block.project:
        return Back(None if here.first else through(dy))
    count, bias = count_trained(block.train, "VO"), block.sigma_b if "b" in block.train else None
    found = stream(dy, dy.shape[2], here, [], (block.sigma_ov * count**0.5, mid) if count else None, bias)
    dx = through(times(block.sigma_ov, unmixed(drawn.back, dy)))
    return Back(dx + dy if block.skip and dx is not None else dx, held(found))


RULES: dict[type, Rule] = {
    blocks.Linear: Rule(lambda block, key, size: mix(key, size), _linear_forward, _linear_back),
    blocks.GLU: Rule(_glu_draw, _glu_forward, _glu_back),
    blocks.Convolution: Rule(_convolution_draw, _convolution_forward, _convolution_back),
    blocks.Nonlinearity: Rule(_nothing, lambda block, drawn, x, here: (block.activation(x), x), _activation_back),
    blocks.LayerNorm: Rule(_nothing, _norm_forward, lambda block, drawn, scale, dy, here: Back(scale * dy)),
    blocks.Positions: Rule(
        _positions_draw,
        _positions_forward,
        lambda block, drawn, saved, dy, here: Back(safe_sqrt(1 - block.share) * dy),
    ),
    blocks.Residual: Rule(_residual_draw, _residual_forward, _residual_back),
    blocks.Attention: Rule(_attention_draw, _attention_forward, _attention_back),
    blocks.Recurrent: RECURRENT,
}
