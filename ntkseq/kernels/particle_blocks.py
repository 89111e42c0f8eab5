"""How do particles pass each block of a network, there and back?

Tokens are arrays (n, t, w): of w features of the sequences, scaled so that <x, x'> is their covariance, as long as no
block has mixed them; of w = P particles, of which the mean of x x' is the covariance, behind it. A gradient dy stands
for sqrt(P) times that of one of P units. Weights that mix tokens are Gaussian matrices on the way there and others,
independent of them, on the way back, as the limit has it; what acts unit by unit is itself on both ways. Attention at
scaling "dim" and LayerNorm are fixed functions of the covariances of a sequence: no gradient passes through them.

Every rule gives, beside the gradients of the tokens that its block gets, the `Stream`s and the vectors (n, P) of which
the tangent kernel is made (tokens.9).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ntkseq import blocks, cells
from ntkseq._layers import count_trained
from ntkseq._precision import safe_sqrt
from ntkseq._types import DType, Key
from ntkseq.kernels import attention, particles, tokens
from ntkseq.kernels.layers import shift
from ntkseq.kernels.particles import product
from ntkseq.models.attention import position_root


class Here(NamedTuple):
    """Where a block stands."""

    inside: Bool[Array, "n t"]
    first: bool
    """Whether its tokens are the features of the sequences."""
    raw: bool
    """Whether gradients are taken without their sigma."""


class Size(NamedTuple):
    """What random numbers are drawn for."""

    w: int
    """Coordinates of the tokens."""
    p: int
    """Particles."""
    t: int
    dtype: DType
    first: bool


class Stream(NamedTuple):
    """Gradients of pre-activations, and what their weights are multiplied with, scales included.

    It adds the mean over particles p, q of F_pq F'_pq for each m of `crossed`, F_pq = sum_t da_tp m_tq, and
    sum_ts <da_t, da'_s> <e_t, e'_s> for `exact`.
    """

    da: Float[Array, "n t q"]
    crossed: tuple[Float[Array, "n t p"], ...] = ()
    exact: Float[Array, "n t k"] | None = None


class Back(NamedTuple):
    """What a block gives on the way back."""

    dx: Any
    """None: its tokens are the features."""
    streams: tuple[Stream, ...] = ()
    vectors: tuple[Float[Array, "n p"], ...] = ()


class Rule(NamedTuple):
    """draw(block, key, size) -> random numbers; forward(block, drawn, x, here) -> (y, saved);
    back(block, drawn, saved, dy, here) -> `Back`."""

    draw: Callable[[Any, Key, Size], Any]
    forward: Callable[[Any, Any, Array, Here], tuple[Array, Any]]
    back: Callable[[Any, Any, Any, Array, Here], Back]


def check(parts: tuple[blocks.Block, ...], each: int) -> None:
    """Raise unless `each` particles can pass all blocks.

    Raises:
        ValueError: a block that has no rule beside gated cells; an odd number for two directions.
    """
    for block in parts:
        if isinstance(block, blocks.Residual):
            check(block.blocks, each)
        if isinstance(block, blocks.Attention) and block.scaling == "root":
            raise ValueError(
                'Attention with scaling="root" cannot stand in a network with a GRU or an LSTM: both are sampled, each '
                'in a way of its own. Use scaling="dim", or another cell.'
            )
        if isinstance(block, blocks.Recurrent) and isinstance(block.cell, (cells.LRU, cells.S4D)):
            raise ValueError(
                f"{type(block.cell).__name__} cannot stand in a network with a GRU or an LSTM: its units have random "
                "decays, which particles do not carry. Use cells.Elman or cells.Leaky beside gated cells."
            )
        if isinstance(block, blocks.Recurrent) and block.direction == "both" and each % 2:
            raise ValueError(
                f"particles / batches must be even where a layer has both directions; got {each}. Half of them go "
                "each way."
            )


def maps(block: blocks.Block) -> bool:
    """Whether behind the block tokens are particles, whatever they were before."""
    if isinstance(block, blocks.Attention):
        return block.project
    return isinstance(block, (blocks.Linear, blocks.Convolution, blocks.GLU, blocks.Recurrent))


def rule(block: blocks.Block) -> Rule:
    """How particles pass it."""
    return RULES[type(block)]


def draw(parts: tuple[blocks.Block, ...], key: Key, size: Size) -> tuple[Any, ...]:
    """The random numbers of blocks in a row."""
    drawn = []
    for at, block in enumerate(parts):
        drawn.append(rule(block).draw(block, jax.random.fold_in(key, at), size))
        if maps(block):
            size = size._replace(w=size.p, first=False)
    return tuple(drawn)


def forward(parts: tuple[blocks.Block, ...], drawn: tuple[Any, ...], x: Array, here: Here) -> tuple[Array, list[Any]]:
    """Tokens behind blocks in a row, zero outside each sequence, and what the way back needs."""
    saved = []
    for block, own in zip(parts, drawn, strict=True):
        x, one = rule(block).forward(block, own, x, here)
        x = jnp.where(here.inside[..., None], x, 0)
        saved.append((one, here.first))
        here = here._replace(first=here.first and not maps(block))
    return x, saved


def back(parts: tuple[blocks.Block, ...], drawn: tuple[Any, ...], saved: list[Any], dy: Any, here: Here) -> Back:
    """The gradients of the tokens before blocks in a row, and all that their parameters add."""
    streams, vectors = (), ()
    for block, own, (one, first) in reversed(list(zip(parts, drawn, saved, strict=True))):
        if dy is None:
            break
        dy = jnp.where(here.inside[..., None], dy, 0)
        found = rule(block).back(block, own, one, dy, here._replace(first=first))
        dy, streams, vectors = found.dx, streams + found.streams, vectors + found.vectors
    return Back(dy, streams, vectors)


# ------------------------------------------------------------------------------------------------ weights that mix


class _Mix(NamedTuple):
    """A matrix there and another one back."""

    there: Float[Array, "w p"]
    back: Float[Array, "p w"] | None
    bias: Float[Array, " p"]


def _mix(key: Key, size: Size) -> _Mix:
    one, two, three = jax.random.split(key, 3)
    some = lambda key, *shape: jax.random.normal(key, shape, jnp.float32).astype(size.dtype)  # noqa: E731
    return _Mix(some(one, size.w, size.p), None if size.first else some(two, size.p, size.w), some(three, size.p))


def unit(x: Array, here: Here) -> Array:
    """Tokens whose covariance is <x, x'>."""
    return x if here.first else x * x.shape[2] ** -0.5


def _mixed(mix: Float[Array, "w p"], x: Array, here: Here) -> Array:
    return product("ntw,wp->ntp", unit(x, here), mix)


def _unmixed(mix: Float[Array, "p w"] | None, dy: Array) -> Any:
    return None if mix is None else dy.shape[2] ** -0.5 * product("ntp,pw->ntw", dy, mix)


def _times(scale: Any, a: Any) -> Any:
    return None if a is None else scale * a


def stream(da: Array, p: int, here: Here, weights: list[tuple[Any, Array]], tokens: Any, bias: Any) -> Stream:
    """What weights and biases in pre-activations of p particles add.

    Args:
        da: their gradients, (n, t, gates p).
        p: particles of a gate.
        here: where the block stands.
        weights: (scale, m) of each group of weights on particles m, whatever m is.
        tokens: (scale, x) of the weights on the tokens that the block gets, or None.
        bias: scale of a bias, or None.
    """
    size = lambda scale: 1 if here.raw else scale  # noqa: E731
    exact = [] if bias is None else [jnp.broadcast_to(jnp.asarray(size(bias), da.dtype), (*da.shape[:2], 1))]
    if tokens is not None and here.first:
        exact.append(size(tokens[0]) * tokens[1])
    elif tokens is not None:
        weights = [*weights, tokens]
    crossed = []
    for scale, m in weights:
        shares = m.shape[2] // p  # the particles of one direction meet those of both
        crossed += [size(scale) * shares**-0.5 * part for part in jnp.split(m, shares, axis=2)]
    return Stream(da, tuple(crossed), p**-0.5 * jnp.concatenate(exact, axis=2) if exact else None)


def _held(*streams: Stream) -> tuple[Stream, ...]:
    """Those that add something."""
    return tuple(one for one in streams if one.crossed or one.exact is not None)


# ---------------------------------------------------------------------------------- Linear, Convolution, GLU


def _linear_forward(block: blocks.Linear, drawn: _Mix, x: Array, here: Here) -> tuple[Array, Any]:
    return block.sigma_w * _mixed(drawn.there, x, here) + block.sigma_b * drawn.bias[None, None], x


def _linear_back(block: blocks.Linear, drawn: _Mix, x: Array, dy: Array, here: Here) -> Back:
    bias = block.sigma_b if "b" in block.train else None
    found = stream(dy, dy.shape[2], here, [], (block.sigma_w, x) if "W" in block.train else None, bias)
    return Back(_times(block.sigma_w, _unmixed(drawn.back, dy)), _held(found))


def _glu_draw(block: blocks.GLU, key: Key, size: Size) -> tuple[_Mix, _Mix]:
    return _mix(jax.random.fold_in(key, 0), size), _mix(jax.random.fold_in(key, 1), size)


def _glu_forward(block: blocks.GLU, drawn: tuple[_Mix, _Mix], x: Array, here: Here) -> tuple[Array, Any]:
    value, gate = (_linear_forward(b, d, x, here)[0] for b, d in zip((block.value, block.gate), drawn, strict=True))
    return value * block.activation(gate), (x, value, gate)


def _glu_back(block: blocks.GLU, drawn: tuple[_Mix, _Mix], saved: Any, dy: Array, here: Here) -> Back:
    x, value, gate = saved
    phi, pull = jax.vjp(block.activation, gate)
    one = _linear_back(block.value, drawn[0], x, dy * phi, here)
    two = _linear_back(block.gate, drawn[1], x, pull(dy * value)[0], here)
    return Back(None if one.dx is None else one.dx + two.dx, one.streams + two.streams)


def _convolution_draw(block: blocks.Convolution, key: Key, size: Size) -> Any:
    """A matrix for each tap; depthwise numbers of its own for each coordinate, the same there and back."""
    if not block.depthwise:
        return tuple(_mix(jax.random.fold_in(key, at), size) for at in range(block.size))
    one, two = jax.random.split(key)
    some = lambda key, *shape: jax.random.normal(key, shape, jnp.float32).astype(size.dtype)  # noqa: E731
    return some(one, block.size, size.p), some(two, size.p)


def _convolution_forward(block: blocks.Convolution, drawn: Any, x: Array, here: Here) -> tuple[Array, Any]:
    taps = [shift(x, by=lag) for lag in block.lags]
    if block.depthwise:
        total = sum((w[None, None] * tap for w, tap in zip(drawn[0], taps, strict=True)), jnp.zeros_like(x))
        bias = drawn[1]
    else:
        total = sum(_mixed(mix.there, tap, here) for mix, tap in zip(drawn, taps, strict=True))
        bias = drawn[0].bias
    return block.sigma_w * block.size**-0.5 * total + block.sigma_b * bias[None, None], taps


def _convolution_back(block: blocks.Convolution, drawn: Any, taps: list[Array], dy: Array, here: Here) -> Back:
    scale, vectors, trained = block.sigma_w * block.size**-0.5, (), "W" in block.train
    bias = block.sigma_b if "b" in block.train else None
    if block.depthwise:
        backs = [scale * w[None, None] * dy for w in drawn[0]]
        if trained:
            own = block.size**-0.5 if here.raw else scale
            vectors = tuple(own * jnp.sum(dy * tap, axis=1) for tap in taps)
        streams = _held(stream(dy, dy.shape[2], here, [], None, bias))
    else:
        backs = [_times(scale, _unmixed(mix.back, dy)) for mix in drawn]
        root = block.size**-0.5  # stands before the product also where gradients carry no sigma
        rows, first = [(block.sigma_w, root * tap) for tap in taps] if trained else [], None
        if here.first and rows:  # weights of all taps on one wider token
            rows, first = [], (block.sigma_w, root * jnp.concatenate(taps, axis=2))
        streams = _held(stream(dy, dy.shape[2], here, rows, first, bias))
    dx = None if here.first else sum(shift(one, by=-lag) for one, lag in zip(backs, block.lags, strict=True))
    return Back(dx, streams, vectors)


# -------------------------------------------------------------------------------------------------- unit by unit


def _nothing(block: Any, key: Key, size: Size) -> None:
    return None


def _activation_back(block: blocks.Nonlinearity, drawn: None, x: Array, dy: Array, here: Here) -> Back:
    return Back(jax.vjp(block.activation, x)[1](dy)[0])


def _norm(block: blocks.LayerNorm, x: Array) -> Array:
    """1 / sqrt(variance + eps) of each token; 0 for one of variance 0 where eps is."""
    return tokens.inverse(safe_sqrt(jnp.mean(x * x, axis=2, keepdims=True) + block.eps))


def _norm_forward(block: blocks.LayerNorm, drawn: None, x: Array, here: Here) -> tuple[Array, Any]:
    scale = _norm(block, x)
    return scale * x, scale


def _positions_draw(block: blocks.Positions, key: Key, size: Size) -> Float[Array, "t p"]:
    """Of each place the same numbers, however many there are."""
    keys = jax.vmap(lambda at: jax.random.fold_in(key, at))(jnp.arange(size.t, dtype=jnp.int32))
    some = jax.vmap(lambda key: jax.random.normal(key, (size.w,), jnp.float32))(keys)
    return some.astype(size.dtype)


def _positions_forward(block: blocks.Positions, drawn: Array, x: Array, here: Here) -> tuple[Array, Any]:
    p = product("ts,sp->tp", position_root(block.decay, x.shape[1], x.dtype), drawn)
    return safe_sqrt(1 - block.share) * x + safe_sqrt(block.share) * p[None], None


def _residual_draw(block: blocks.Residual, key: Key, size: Size) -> Any:
    return draw(block.blocks, key, size)


def _residual_forward(block: blocks.Residual, drawn: Any, x: Array, here: Here) -> tuple[Array, Any]:
    y, saved = forward(block.blocks, drawn, x, here)
    return x + y, saved


def _residual_back(block: blocks.Residual, drawn: Any, saved: Any, dy: Array, here: Here) -> Back:
    found = back(block.blocks, drawn, saved, dy, here)
    return found._replace(dx=dy + found.dx)


# ------------------------------------------------------------------------------------------------------ attention


def _attention_draw(block: blocks.Attention, key: Key, size: Size) -> _Mix | None:
    return _mix(key, size) if block.project else None


def _attention_forward(block: blocks.Attention, drawn: Any, x: Array, here: Here) -> tuple[Array, Any]:
    one = unit(x, here)
    A = attention.matrix(block, product("nap,ncp->nac", one, one), attention.seen_by(block, here.inside))
    B = attention.average(block, A)
    mid = product("nac,ncp->nap", B, x)
    if not block.project:
        return mid, (B, None)
    y = block.sigma_ov * _mixed(drawn.there, mid, here) + block.sigma_b * drawn.bias[None, None]
    return (y + x if block.skip else y), (B, mid)


def _attention_back(block: blocks.Attention, drawn: Any, saved: Any, dy: Array, here: Here) -> Back:
    B, mid = saved
    through = lambda a: None if a is None else product("nac,nap->ncp", B, a)  # noqa: E731
    if not block.project:
        return Back(None if here.first else through(dy))
    count, bias = count_trained(block.train, "VO"), block.sigma_b if "b" in block.train else None
    found = stream(dy, dy.shape[2], here, [], (block.sigma_ov * count**0.5, mid) if count else None, bias)
    dx = through(_times(block.sigma_ov, _unmixed(drawn.back, dy)))
    return Back(dx + dy if block.skip else dx, _held(found))


# ------------------------------------------------------------------------------------------------------- Recurrent


def _ways(block: blocks.Recurrent) -> tuple[bool, ...]:
    """For each direction whether it begins at the end."""
    return {"forward": (False,), "reversed": (True,), "both": (False, True)}[block.direction]


def _turn(a: Array, here: Here, turned: bool) -> Array:
    """The tokens of each sequence from its last to its first, if `turned`."""
    return jnp.take_along_axis(a, tokens.turn(here.inside)[..., None], axis=1) if turned else a


def _recurrent_draw(block: blocks.Recurrent, key: Key, size: Size) -> tuple[particles.Draws, ...]:
    ways = _ways(block)
    if len(ways) == 1:
        return (particles.draw(key, block.cell, size.w, size.p, size.dtype, size.first),)
    keys = jax.random.split(key, len(ways))
    return tuple(particles.draw(one, block.cell, size.w, size.p // 2, size.dtype, size.first) for one in keys)


def _recurrent_forward(block: blocks.Recurrent, drawn: Any, x: Array, here: Here) -> tuple[Array, Any]:
    states, saved = [], []
    for own, turned in zip(drawn, _ways(block), strict=True):
        h, past = particles.forward(block.cell, own, _turn(unit(x, here), here, turned))
        states.append(_turn(h, here, turned))
        saved.append(past)
    return jnp.concatenate(states, axis=2), (x, saved)


def _recurrent_back(block: blocks.Recurrent, drawn: Any, saved: Any, dy: Array, here: Here) -> Back:
    x, pasts = saved
    ways, dx, streams = _ways(block), None, ()
    shares = jnp.split(len(ways) ** -0.5 * dy, len(ways), axis=2)  # of a direction's own particles
    for own, past, turned, dh in zip(drawn, pasts, ways, shares, strict=True):
        found = particles.backward(block.cell, own, past, _turn(dh, here, turned))
        streams += _cell_streams(block.cell, found, _turn(x, here, turned), own.bias.shape[1], here)
        if not here.first:
            one = _turn(particles.back_to_tokens(block.cell, own, found), here, turned)
            dx = one if dx is None else dx + one
    return Back(dx, streams)


def _cell_streams(cell: Any, found: tuple[particles.Gates, ...], x: Array, p: int, here: Here) -> tuple[Stream, ...]:
    """The streams of a cell: one for all gates that share their scales."""
    scales, streams = [jnp.asarray(s) for s in (cell.sigma_w, cell.sigma_u, cell.sigma_b)], []
    several = any(scale.ndim for scale in scales)
    for part in found:
        for at in range(len(part.which)) if several else (slice(None),):
            of = part.which[at] if several else part.which[0]
            w, u, b = (scale[of] if scale.ndim else scale for scale in scales)
            da = part.da[..., at * p : (at + 1) * p] if several else part.da
            weights = [(w, part.m)] if part.m is not None and "W" in cell.train else []
            bias = b if part.driven else cell.sigma_c
            streams.append(
                stream(
                    da,
                    p,
                    here,
                    weights,
                    (u, x) if part.driven and "U" in cell.train else None,
                    bias if "b" in cell.train else None,
                )
            )
    return _held(*streams)


RULES: dict[type, Rule] = {
    blocks.Linear: Rule(lambda block, key, size: _mix(key, size), _linear_forward, _linear_back),
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
    blocks.Recurrent: Rule(_recurrent_draw, _recurrent_forward, _recurrent_back),
}
