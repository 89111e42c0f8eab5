"""What does a recurrent layer of a network of blocks compute at finite width? Its parameters, and the function."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ntkseq import blocks
from ntkseq._struct import replace
from ntkseq.cells import LRU
from ntkseq.models.base import Params, Shape, held, product

FORWARD, BACKWARD = "forward", "backward"


def shapes(block: blocks.Recurrent, fan_in: int, width: int) -> Params:
    """Parameters of a layer with `width` units, and with both directions such a tree for each.

    Of an `Elman` {"W", "U", "b"}; of an `LRU` {"nu", "theta", "gamma", "B", "C"}, real and imaginary parts at the end.
    """

    def tree(n: int) -> Params:
        if isinstance(block.cell, LRU):
            units = {"nu": Shape(n), "theta": Shape(n), "gamma": Shape(n)}
            return units | {"B": Shape(n, fan_in, 2), "C": Shape(n, n, 2)}
        return {"W": Shape(n, n), "U": Shape(n, fan_in), "b": Shape(n)}

    if block.direction == "both":
        return {FORWARD: tree(width - width // 2), BACKWARD: tree(width // 2)}
    return tree(width)


def forward(block: blocks.Recurrent, raw: Params, x: Float[Array, "t m"], inside: Bool[Array, " t"]) -> Array:
    """The states (t, n) behind every token."""
    if block.direction == FORWARD:
        return _states(block, raw, x)
    at, length = jnp.arange(len(x), dtype=jnp.int32), jnp.sum(inside, dtype=jnp.int32)
    turn = jnp.where(inside, length - 1 - at, at)
    back = lambda raw: _states(block, raw, x[turn])[turn]  # noqa: E731
    if block.direction == BACKWARD:
        return back(raw)
    return jnp.concatenate([_states(block, raw[FORWARD], x), back(raw[BACKWARD])], axis=1)


def started(block: blocks.Recurrent, raw: Params) -> Params:
    """The parameters at the start of training from standard normal numbers: of an `LRU` lam lies in its ring."""
    cell = block.cell
    if not isinstance(cell, LRU):
        return raw
    if block.direction == "both":
        one_way = replace(block, direction=FORWARD)
        return {way: started(one_way, own) for way, own in raw.items()}
    inner, outer = cell.r_min**2, cell.r_max**2
    share, turn = (jax.scipy.stats.norm.cdf(raw[name]) for name in ("nu", "theta"))
    tiny = float(jnp.finfo(share.dtype).tiny)
    square = jnp.clip(inner + (outer - inner) * share, tiny, 1 - float(jnp.finfo(share.dtype).eps))
    nu = jnp.log(-jnp.log(square) / 2)
    theta = jnp.log(cell.max_phase * jnp.maximum(turn, tiny))
    return raw | {"nu": nu, "theta": theta, "gamma": jnp.log1p(-square) / 2}


_LETTERS = {"nu": "n", "theta": "t", "gamma": "g", "B": "B", "C": "C"}


def _lru(cell: LRU, raw: Params, x: Array) -> Float[Array, "t n"]:
    p = {k: a if _LETTERS[k] in cell.train else jax.lax.stop_gradient(a) for k, a in raw.items()}
    n, m = p["C"].shape[0], x.shape[1]
    if n == 0:
        return jnp.zeros((len(x), 0), x.dtype)
    size, angle = jnp.exp(-jnp.exp(p["nu"])), jnp.exp(p["theta"])
    re, im = size * jnp.cos(angle), size * jnp.sin(angle)
    g = cell.sigma_u * (2 * m) ** -0.5 * jnp.exp(p["gamma"])
    drive = tuple(g[None, :] * product(x, p["B"][:, :, part].T) for part in (0, 1))

    def step(h: tuple[Array, Array], now: tuple[Array, Array]) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        h = re * h[0] - im * h[1] + now[0], im * h[0] + re * h[1] + now[1]
        return h, h

    zero = jnp.zeros((n,), x.dtype)
    _, (real, imaginary) = jax.lax.scan(step, (zero, zero), drive)
    return n**-0.5 * (product(real, p["C"][:, :, 0].T) - product(imaginary, p["C"][:, :, 1].T))


def _states(block: blocks.Recurrent, raw: Params, x: Array) -> Float[Array, "t n"]:
    cell = block.cell
    if isinstance(cell, LRU):
        return _lru(cell, raw, x)
    p = held(raw, cell.train)
    n = p["W"].shape[0]
    if n == 0:  # the other direction has the only unit
        return jnp.zeros((len(x), 0), x.dtype)
    W = cell.sigma_w * n**-0.5 * p["W"]
    drive = cell.sigma_u * x.shape[1] ** -0.5 * product(x, p["U"].T) + cell.sigma_b * p["b"][None, :]

    def step(h: Array, now: Array) -> tuple[Array, Array]:
        h = cell.activation(product(W, h) + now)
        return h, h

    return jax.lax.scan(step, jnp.zeros((n,), x.dtype), drive)[1]
