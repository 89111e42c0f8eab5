"""What does a recurrent layer of a network of blocks compute at finite width? Its parameters, and the function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ntkseq import blocks, cells
from ntkseq.models.base import Params, Shape, held, product

FORWARD, REVERSED = "forward", "reversed"


class CellRule(NamedTuple):
    """What a cell is at finite width.

    shapes(n, m) -> parameters of n units that read m coordinates;
    started(cell, raw) -> the parameters at the start of training, from standard normal numbers;
    states(cell, raw, x) -> what it gives behind every token, (t, n).
    """

    shapes: Callable[[int, int], Params]
    started: Callable[[Any, Params], Params]
    states: Callable[[Any, Params, Array], Array]


def shapes(block: blocks.Recurrent, fan_in: int, width: int) -> Params:
    """Parameters of a layer with `width` units, and with both directions such a tree for each.

    Of an `Elman` {"W", "U", "b"}; of an `LRU` {"nu", "theta", "gamma", "B", "C"}, real and imaginary parts at the end.
    """
    rule = CELLS[type(block.cell)]
    if block.direction == "both":
        return {FORWARD: rule.shapes(width - width // 2, fan_in), REVERSED: rule.shapes(width // 2, fan_in)}
    return rule.shapes(width, fan_in)


def started(block: blocks.Recurrent, raw: Params) -> Params:
    """The parameters at the start of training from standard normal numbers."""
    rule = CELLS[type(block.cell)]
    if block.direction == "both":
        return {way: rule.started(block.cell, own) for way, own in raw.items()}
    return rule.started(block.cell, raw)


def forward(block: blocks.Recurrent, raw: Params, x: Float[Array, "t m"], inside: Bool[Array, " t"]) -> Array:
    """What the layer gives behind every token, (t, n)."""
    run = lambda raw, x: CELLS[type(block.cell)].states(block.cell, raw, x)  # noqa: E731
    if block.direction == FORWARD:
        return run(raw, x)
    at, length = jnp.arange(len(x), dtype=jnp.int32), jnp.sum(inside, dtype=jnp.int32)
    turn = jnp.where(inside, length - 1 - at, at)
    back = lambda raw: run(raw, x[turn])[turn]  # noqa: E731
    if block.direction == REVERSED:
        return back(raw)
    return jnp.concatenate([run(raw[FORWARD], x), back(raw[REVERSED])], axis=1)


# ------------------------------------------------------------------------------------------------------------ Elman


def _elman_shapes(n: int, m: int) -> Params:
    return {"W": Shape(n, n), "U": Shape(n, m), "b": Shape(n)}


def _elman(cell: cells.Elman, raw: Params, x: Array) -> Float[Array, "t n"]:
    p = held(raw, cell.train)
    n = p["W"].shape[0]
    W = cell.sigma_w * max(n, 1) ** -0.5 * p["W"]  # with one unit in all, the other direction has none
    drive = cell.sigma_u * x.shape[1] ** -0.5 * product(x, p["U"].T) + cell.sigma_b * p["b"][None, :]

    def step(h: Array, now: Array) -> tuple[Array, Array]:
        h = cell.activation(product(W, h) + now)
        return h, h

    return jax.lax.scan(step, jnp.zeros((n,), x.dtype), drive)[1]


# -------------------------------------------------------------------------------------------------------------- LRU

_LETTERS = {"nu": "n", "theta": "t", "gamma": "g", "B": "B", "C": "C"}


def _lru_shapes(n: int, m: int) -> Params:
    return {"nu": Shape(n), "theta": Shape(n), "gamma": Shape(n), "B": Shape(n, m, 2), "C": Shape(n, n, 2)}


def _lru_started(cell: cells.LRU, raw: Params) -> Params:
    """lam in its ring, and the gain that goes with it."""
    inner, outer = cell.r_min**2, cell.r_max**2
    share, turn = (jax.scipy.stats.norm.cdf(raw[name]) for name in ("nu", "theta"))
    info = jnp.finfo(share.dtype)
    square = jnp.clip(inner + (outer - inner) * share, float(info.tiny), 1 - float(info.eps))
    nu = jnp.log(-jnp.log(square) / 2)
    theta = jnp.log(cell.max_phase * jnp.maximum(turn, float(info.tiny)))
    return raw | {"nu": nu, "theta": theta, "gamma": jnp.log1p(-square) / 2}


def _lru(cell: cells.LRU, raw: Params, x: Array) -> Float[Array, "t n"]:
    p = {name: held({letter: raw[name]}, cell.train)[letter] for name, letter in _LETTERS.items()}
    n, m = p["C"].shape[0], x.shape[1]
    size, angle = jnp.exp(-jnp.exp(p["nu"])), jnp.exp(p["theta"])
    re, im = size * jnp.cos(angle), size * jnp.sin(angle)
    g = cell.sigma_u * (2 * m) ** -0.5 * jnp.exp(p["gamma"])
    drive = tuple(g[None, :] * product(x, p["B"][:, :, part].T) for part in (0, 1))

    def step(h: tuple[Array, Array], now: tuple[Array, Array]) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        h = re * h[0] - im * h[1] + now[0], im * h[0] + re * h[1] + now[1]
        return h, h

    zero = jnp.zeros((n,), x.dtype)
    _, (real, imaginary) = jax.lax.scan(step, (zero, zero), drive)
    return max(n, 1) ** -0.5 * (product(real, p["C"][:, :, 0].T) - product(imaginary, p["C"][:, :, 1].T))


CELLS: dict[type, CellRule] = {
    cells.Elman: CellRule(_elman_shapes, lambda cell, raw: raw, _elman),
    cells.LRU: CellRule(_lru_shapes, _lru_started, _lru),
}
