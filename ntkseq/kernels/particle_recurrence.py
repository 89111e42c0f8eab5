"""How do particles pass a recurrent layer, there and back, in one direction or in both?"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ntkseq import blocks, cells
from ntkseq._types import Key, PyTree
from ntkseq.kernels import particles, tokens
from ntkseq.kernels.particle_controlled import CONTROLLED
from ntkseq.kernels.particle_diagonal import LRU, S4D
from ntkseq.kernels.particle_rules import Back, CellRule, Here, Rule, Size, Stream, held, stream, unit


def _ways(block: blocks.Recurrent) -> tuple[bool, ...]:
    """For each direction whether it begins at the end."""
    return {"forward": (False,), "reversed": (True,), "both": (False, True)}[block.direction]


def _turn(a: Array, here: Here, turned: bool) -> Array:
    """The tokens of each sequence from its last to its first, if `turned`."""
    return jnp.take_along_axis(a, tokens.turn(here.inside)[..., None], axis=1) if turned else a


def _recurrent_draw(block: blocks.Recurrent, key: Key, size: Size) -> tuple[PyTree, ...]:
    ways, cell = _ways(block), CELLS[type(block.cell)]
    if len(ways) == 1:
        return (cell.draw(block.cell, key, size),)
    half = size._replace(p=size.p // 2, w=size.w if block.cell.mixes else size.w // 2)
    return tuple(cell.draw(block.cell, one, half) for one in jax.random.split(key, len(ways)))


def _shares(block: blocks.Recurrent, x: Array) -> list[Array]:
    """What each direction reads: all, or, where a unit reads one coordinate, its own."""
    ways = len(_ways(block))
    return [x] * ways if block.cell.mixes else jnp.split(x, ways, axis=2)


def _recurrent_forward(block: blocks.Recurrent, drawn: PyTree, x: Array, here: Here) -> tuple[Array, PyTree]:
    states, saved, cell = [], [], CELLS[type(block.cell)]
    for own, turned, share in zip(drawn, _ways(block), _shares(block, x), strict=True):
        h, past = cell.forward(block.cell, own, _turn(share, here, turned), here)
        states.append(_turn(h, here, turned))
        saved.append(past)
    return jnp.concatenate(states, axis=2), (x, saved)


def _recurrent_back(block: blocks.Recurrent, drawn: PyTree, saved: PyTree, dy: Array, here: Here) -> Back:
    x, pasts = saved
    ways, cell, mixes = _ways(block), CELLS[type(block.cell)], block.cell.mixes
    root = len(ways) ** 0.5 if mixes else 1.0  # a gradient is in units of the particles of its direction
    dx, streams, vectors = [], (), []
    shares = zip(jnp.split(dy / root, len(ways), axis=2), _shares(block, x), strict=True)
    for own, past, turned, (dh, share) in zip(drawn, pasts, ways, shares, strict=True):
        found = cell.back(block.cell, own, past, _turn(share, here, turned), _turn(dh, here, turned), here)
        streams += found.streams
        vectors.append(tuple(root * one for one in found.vectors))
        if found.dx is not None:
            dx.append(_turn(found.dx, here, turned))
    flat = tuple(one for own in vectors for one in own)
    if not dx:
        return Back(None, streams, flat)
    return Back(sum(dx[1:], dx[0]) if mixes else jnp.concatenate(dx, axis=2), streams, flat)


RECURRENT = Rule(_recurrent_draw, _recurrent_forward, _recurrent_back)


# ------------------------------------------------------------------------------------- cells with recurrent weights


def _unit_draw(cell: particles.Sampled, key: Key, size: Size) -> particles.Draws:
    return particles.draw(key, cell, size.w, size.p, size.dtype, size.first)


def _unit_forward(cell: particles.Sampled, drawn: particles.Draws, x: Array, here: Here) -> tuple[Array, PyTree]:
    return particles.forward(cell, drawn, unit(x, here))


def _unit_back(cell: particles.Sampled, drawn: particles.Draws, past: PyTree, x: Array, dh: Array, here: Here) -> Back:
    found = particles.backward(cell, drawn, past, dh)
    streams = _cell_streams(cell, found, x, drawn.bias.shape[1], here)
    return Back(None if here.first else particles.back_to_tokens(cell, drawn, found), streams)


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


_UNIT = CellRule(_unit_draw, _unit_forward, _unit_back)
CELLS: dict[type, CellRule] = {
    **dict.fromkeys((cells.GRU, cells.LSTM, cells.Elman, cells.Leaky), _UNIT),
    cells.LRU: LRU,
    cells.S4D: S4D,
    cells.ControlledResNet: CONTROLLED,
}
