"""How do particles pass a recurrent layer, there and back, in one direction or in both?"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ntkseq import blocks, cells
from ntkseq._types import Key, PyTree
from ntkseq.kernels import particles, tokens
from ntkseq.kernels.particle_rules import Back, Here, Rule, Size, Stream, held, stream, unit


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


def _recurrent_forward(block: blocks.Recurrent, drawn: PyTree, x: Array, here: Here) -> tuple[Array, PyTree]:
    states, saved = [], []
    for own, turned in zip(drawn, _ways(block), strict=True):
        h, past = particles.forward(block.cell, own, _turn(unit(x, here), here, turned))
        states.append(_turn(h, here, turned))
        saved.append(past)
    return jnp.concatenate(states, axis=2), (x, saved)


def _recurrent_back(block: blocks.Recurrent, drawn: PyTree, saved: PyTree, dy: Array, here: Here) -> Back:
    x, pasts = saved
    ways, dx = _ways(block), None
    streams: tuple[Stream, ...] = ()
    shares = jnp.split(len(ways) ** -0.5 * dy, len(ways), axis=2)  # of a direction's own particles
    for own, past, turned, dh in zip(drawn, pasts, ways, shares, strict=True):
        found = particles.backward(block.cell, own, past, _turn(dh, here, turned))
        streams += _cell_streams(block.cell, found, _turn(x, here, turned), own.bias.shape[1], here)
        if not here.first:
            one = _turn(particles.back_to_tokens(block.cell, own, found), here, turned)
            dx = one if dx is None else dx + one
    return Back(dx, streams)


def _cell_streams(
    cell: particles.Sampled, found: tuple[particles.Gates, ...], x: Array, p: int, here: Here
) -> tuple[Stream, ...]:
    """The streams of a cell: one for all gates that share their scales."""
    scales = [jnp.asarray(s) for s in (cell.sigma_w, cell.sigma_u, cell.sigma_b)]
    inner = cell.sigma_c if isinstance(cell, cells.GRU) else None
    several, streams = any(scale.ndim for scale in scales), []
    for part in found:
        count = len(part.which) if several else 1
        for of, da in zip(part.which, jnp.split(part.da, count, axis=2), strict=False):
            w, u, b = (scale[of] if scale.ndim else scale for scale in scales)
            weights = [(w, part.m)] if part.m is not None and "W" in cell.train else []
            driven = (u, x) if part.driven and "U" in cell.train else None
            bias = (b if part.driven else inner) if "b" in cell.train else None
            streams.append(stream(da, p, here, weights, driven, bias))
    return held(*streams)


RECURRENT = Rule(_recurrent_draw, _recurrent_forward, _recurrent_back)
