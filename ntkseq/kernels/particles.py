"""What are the states and gradients of a gated network whose backward pass has weights of its own? Its particles.

The pre-activations of an infinitely wide GRU or LSTM are Gaussian processes, one per gate, whose covariance is that of
the states before; a state is a function of gates that are correlated through all of time, so that no finite recursion
on second moments closes. Particles are samples of one coordinate's history: for t = 1, 2, ... the covariance of the
new pre-activations with all earlier ones is estimated as an average over the particles, and new Gaussian values with
this covariance are drawn. The gradients go backwards the same way: for gates a, every product (W^a)' da_t is a fresh
Gaussian with covariance sigma_w^2 E[da_{i,t} da_{j,s}], independent of the forward pass.

Neither covariances nor their factors are formed here. With Z of P x P independent N(0, 1), the rows of Z m_1, ...,
Z m_t / sqrt(P) are independent given the m (each depends on earlier products alone), with covariance <m_t, m_s> / P:
to multiply by one Z throughout the forward pass, and by another throughout the backward pass, is the same in law as the
drawing above for all sequences together [derived]. It needs no factor of a nearly singular matrix, treats each
sequence on its own, with the same Z for all of them, and estimates a positive semi-definite kernel. Unlike in a
finite network Z_backward is not the transpose of Z_forward, as in the limit.

Other layers are passed the same way (`ntkseq.kernels.particle_blocks`), and the kernel of the outputs
sum_t r_t (sigma_r / sqrt n) R h_t is then

    K = sigma_r^2 E[hbar hbar'] + sum_a sum_{t,s} E[da_t da'_s] Cov(u^a_t, u^a'_s),   hbar = sum_t r_t h_t    (tokens.9)

over the pre-activations u^a of all layers, with averages over P particles for E, which have a bias of order 1/P; those
of the product are taken over fewer than all pairs of particles, see `ntkseq.kernels.particle_pairs`. Where the reset
gate of a GRU stands behind the product, u^g = a + r y, the sum has a and y in place of u^g, with the gradients da and
r da. A gradient stands for sqrt(P) times that of one of P units, so that E is the mean over particles.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkseq import cells
from ntkseq._laws import shaped
from ntkseq._types import DType, Key, PyTree

SAMPLED = (cells.GRU, cells.LSTM)
"""Cells whose limit has no closed form."""
Sampled = cells.GRU | cells.LSTM | cells.Elman | cells.Leaky
"""Cells that particles pass."""


class Draws(NamedTuple):
    """The random numbers of a layer of P particles on tokens of w coordinates, shared by all sequences."""

    forward: Float[Array, "gates p p"]
    backward: Float[Array, "gates p p"]
    inputs: Float[Array, "gates w p"]
    bias: Float[Array, "gates p"]
    outputs: Float[Array, "gates p w"] | None = None
    """In the place of the transpose of `inputs` on the way back; None: nothing stands before."""
    inner: Float[Array, " p"] | None = None


class Gates(NamedTuple):
    """Gradients of pre-activations of gates that are fed by the same m through their recurrent weights."""

    m: Float[Array, "n t p"] | None
    """None: by none."""
    da: Float[Array, "n t q"]
    """q = P for each gate, one gate behind the other."""
    which: tuple[int, ...]
    driven: bool
    """Whether input weights and biases stand in the same pre-activations; otherwise the bias inside, or none."""


def gates(cell: cells.Cell) -> int:
    """How many gates, with weights of their own, a cell has."""
    return len(cell.gates) if isinstance(cell, SAMPLED) else 1


def draw(key: Key, cell: cells.Cell, w: int, particles: int, dtype: DType, first: bool) -> Draws:
    """The random numbers of a layer: the same numbers in every precision, for they are drawn in float32.

    Args:
        key: of the layer.
        cell: what it does at one step.
        w: coordinates of the tokens it gets.
        particles: P.
        dtype: of the tokens.
        first: whether these are the features of a sequence, of which few meet in a unit, so that the law of the input
            weights shows, and which nothing stands before.
    """
    count = gates(cell)
    shapes = ((count, particles, particles),) * 2 + ((count, w, particles), (count, particles), (count, particles, w))
    keys = jax.random.split(key, len(shapes) + 1)
    some = lambda at, shape: jax.random.normal(keys[at], shape, jnp.float32)  # noqa: E731
    forward, backward, inputs, bias = (some(at, shape) for at, shape in enumerate(shapes[:4]))
    if first and isinstance(cell, SAMPLED):
        inputs = shaped(cell.law, inputs)
    outputs = None if first else some(4, shapes[4])
    inner = some(5, (particles,)) if _inside(cell) else None
    return jax.tree.map(lambda leaf: leaf.astype(dtype), Draws(forward, backward, inputs, bias, outputs, inner))


def _inside(cell: cells.Cell) -> bool:
    """Whether there is a bias inside the product that the reset gate multiplies."""
    return isinstance(cell, cells.GRU) and cell.sigma_c is not None


Step = Callable[..., Any]


def _steps(cell: Sampled, draws: Draws) -> tuple[Step, Step, Any]:
    """One step forward, one back, and what is added within the cell beside its gates' pre-activations."""
    if isinstance(cell, cells.LSTM):
        return _lstm, _lstm_back, cell.forget
    if not isinstance(cell, cells.GRU):
        return _unit, _unit_back, cell
    if draws.inner is not None:
        return _gru, _gru_back, cell.sigma_c * draws.inner[None, :]
    return _gru, _gru_back, None if cell.reset == "before" else jnp.zeros((1, 1), draws.bias.dtype)


def per_gate(scale: PyTree) -> Array:
    """A scale as an array (gates or 1, 1, 1)."""
    return jnp.reshape(jnp.asarray(scale), (-1, 1, 1))


def forward(cell: Sampled, draws: Draws, x: Float[Array, "n t w"]) -> tuple[Float[Array, "n t p"], PyTree]:
    """The states behind every token, and what the way back needs.

    Args:
        cell: with its numbers in the dtype of x.
        draws: the random numbers of the layer.
        x: tokens whose covariance is <x_t, x_s>.
    """
    run, _, extra = _steps(cell, draws)
    n, p = x.shape[0], draws.bias.shape[1]
    u, b = per_gate(cell.sigma_u), per_gate(cell.sigma_b)
    weights = per_gate(cell.sigma_w) * p**-0.5 * draws.forward

    def step(state: PyTree, now: Array) -> tuple[Any, Any]:
        drive = u * product("nd,gdp->gnp", now, draws.inputs) + b * draws.bias[:, None]
        return run(state, drive, weights, extra)

    zero = (jnp.zeros((n, p), x.dtype),) * 2
    _, (past, states) = jax.lax.scan(step, zero, jnp.swapaxes(x, 0, 1))
    return jnp.swapaxes(states, 0, 1), past


def backward(cell: Sampled, draws: Draws, past: PyTree, dh: Float[Array, "n t p"]) -> tuple[Gates, ...]:
    """The gradients of all pre-activations from those of the states, each as a token behind the layer has it."""
    run: Step = _steps(cell, draws)[1]
    p = draws.bias.shape[1]
    weights = per_gate(cell.sigma_w) * p**-0.5 * draws.backward

    def step(carry: PyTree, now: tuple[PyTree, Array]) -> tuple[Any, Any]:
        return run((carry[0] + now[1], carry[1]), now[0], weights, cell)

    zero = (jnp.zeros((dh.shape[0], p), dh.dtype),) * 2
    _, found = jax.lax.scan(step, zero, (past, jnp.swapaxes(dh, 0, 1)), reverse=True)
    streams = jax.tree.map(lambda a: jnp.swapaxes(a, 0, 1), found)
    return tuple(Gates(m, da, *kind) for (m, da), kind in zip(streams, _kinds(cell), strict=True))


def _kinds(cell: Sampled) -> tuple[tuple[tuple[int, ...], bool], ...]:
    """Which gates each pair (m, da) is of, and whether tokens and biases stand in their pre-activations."""
    if not isinstance(cell, cells.GRU):
        return ((tuple(range(gates(cell))), True),)
    if cell.reset == "before":
        return (((0, 1), True), ((2,), True))
    return (((0, 1), True), ((2,), False), ((2,), True))


def back_to_tokens(cell: Sampled, draws: Draws, found: tuple[Gates, ...]) -> Float[Array, "n t w"]:
    """The gradients of the tokens that the layer gets."""
    assert draws.outputs is not None
    p, total = draws.bias.shape[1], 0.0
    u = jnp.broadcast_to(jnp.asarray(cell.sigma_u), (gates(cell),))
    for part in found:
        for at, gate in enumerate(part.which if part.driven else ()):
            da = part.da[..., at * p : (at + 1) * p]
            total = total + u[gate] * p**-0.5 * product("ntp,pw->ntw", da, draws.outputs[gate])
    return jnp.asarray(total)


def product(equation: str, a: Array, b: Array) -> Array:
    """`einsum` in full precision."""
    if equation == "np,gpq->gnq":  # in one piece XLA would transpose the weights at every step: half the speed
        return jnp.stack([product("np,pq->nq", a, one) for one in b])
    return jnp.einsum(equation, a, b, precision="highest")


# --------------------------------------------------------------------------------------------------------- one step


def _gru(state: PyTree, drive: Array, weights: Array, inner: Array | None) -> tuple[Any, Any]:
    h, unused = state
    z, r = jax.nn.sigmoid(drive[:2] + product("np,gpq->gnq", h, weights[:2]))
    if inner is None:
        y, through = None, product("np,pq->nq", r * h, weights[2])
    else:
        y = product("np,pq->nq", h, weights[2]) + inner
        through = r * y
    g = jnp.tanh(drive[2] + through)
    new = z * h + (1 - z) * g
    return (new, unused), ((h, z, r, g, y), new)


def _gru_back(carry: PyTree, past: PyTree, weights: Array, cell: PyTree) -> tuple[Any, Any]:
    (dh, unused), (h, z, r, g, y) = carry, past
    dg = dh * (1 - z) * (1 - g * g)
    dz = dh * (h - g) * z * (1 - z)
    if y is None:
        drh = product("np,pq->nq", dg, weights[2])
        dr, through = drh * h * r * (1 - r), drh * r
        found = ((h, jnp.concatenate([dz, dr], axis=1)), (r * h, dg))
    else:
        dy = dg * r
        dr, through = dg * y * r * (1 - r), product("np,pq->nq", dy, weights[2])
        found = ((h, jnp.concatenate([dz, dr], axis=1)), (h, dy), (None, dg))
    before = dh * z + through + product("np,pq->nq", dz, weights[0]) + product("np,pq->nq", dr, weights[1])
    return (before, unused), found


def _lstm(state: PyTree, drive: Array, weights: Array, forget: PyTree) -> tuple[Any, Any]:
    h, c = state
    u = drive + product("np,gpq->gnq", h, weights)
    i, f, o = jax.nn.sigmoid(u[0]), jax.nn.sigmoid(u[1] + forget), jax.nn.sigmoid(u[3])
    g = jnp.tanh(u[2])
    cell = f * c + i * g
    new = o * jnp.tanh(cell)
    return (new, cell), ((h, c, i, f, g, o), new)


def _lstm_back(carry: PyTree, past: PyTree, weights: Array, cell: PyTree) -> tuple[Any, Any]:
    (dh, dc), (h, c, i, f, g, o) = carry, past
    out = jnp.tanh(f * c + i * g)
    dc = dc + dh * o * (1 - out * out)
    da = jnp.stack(
        [dc * g * i * (1 - i), dc * c * f * (1 - f), dc * i * (1 - g * g), dh * out * o * (1 - o)]
    )  # (gates, n, p)
    before = product("gnp,gpq->nq", da, weights)
    n, p = h.shape
    return (before, dc * f), ((h, jnp.swapaxes(da, 0, 1).reshape(n, 4 * p)),)


def _unit(state: PyTree, drive: Array, weights: Array, cell: PyTree) -> tuple[Any, Any]:
    h, unused = state
    u = drive[0] + product("np,pq->nq", h, weights[0])
    new = cell.activation(u)
    if isinstance(cell, cells.Leaky):
        new = cell.keep * h + cell.gate * new
    return (new, unused), ((h, u), new)


def _unit_back(carry: PyTree, past: PyTree, weights: Array, cell: PyTree) -> tuple[Any, Any]:
    (dh, unused), (h, u) = carry, past
    leaky = isinstance(cell, cells.Leaky)
    (du,) = jax.vjp(cell.activation, u)[1](cell.gate * dh if leaky else dh)
    before = product("np,pq->nq", du, weights[0])
    return (before + cell.keep * dh if leaky else before, unused), ((h, du),)
