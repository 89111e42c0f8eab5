"""What does a recurrent layer of a network of blocks compute at finite width? Its parameters, and the function."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ntkseq import blocks
from ntkseq.models.base import Params, Shape, held, product

FORWARD, BACKWARD = "forward", "backward"


def shapes(block: blocks.Recurrent, fan_in: int, width: int) -> Params:
    """Parameters of a layer with `width` units: {"W", "U", "b"}, and with both directions such a tree for each."""
    tree = lambda n: {"W": Shape(n, n), "U": Shape(n, fan_in), "b": Shape(n)}  # noqa: E731
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


def _states(block: blocks.Recurrent, raw: Params, x: Array) -> Float[Array, "t n"]:
    cell = block.cell
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
