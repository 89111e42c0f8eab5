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

The kernel of the outputs sum_t r_t (sigma_r / sqrt n) R h_t is then

    K = sigma_r^2 E[hbar hbar'] + sum_a sum_{t,s} E[da_t da'_s] Cov(u^a_t, u^a'_s),   hbar = sum_t r_t h_t

with averages over P particles for E, which have a bias of order 1/P; those of the product are taken over fewer than
all pairs of particles, see `ntkseq.kernels.particle_pairs`. Where the reset gate of a GRU stands behind the product,
u^g = a + r y, the sum has a and y in place of u^g, with the gradients da and r da.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkseq import cells
from ntkseq._laws import shaped
from ntkseq._types import AnyArray, DType, Key, PyTree
from ntkseq.kernels import particle_pairs as pairs


class Scales(NamedTuple):
    """Standard deviations of recurrent weights, input weights, biases and read-out.

    The first three: a number, or for `features` one for each gate.
    """

    w: Array
    u: Array
    b: Array
    v: Array


class Draws(NamedTuple):
    """The random numbers of one group of P particles, shared by all sequences."""

    forward: Float[Array, "gates p p"]
    backward: Float[Array, "gates p p"]
    inputs: Float[Array, "gates d p"]
    bias: Float[Array, "gates p"]
    signs: Float[Array, " p"]
    inner: Float[Array, " p"] | None = None


class Stream(NamedTuple):
    """Gates fed by the same m: sum over these gates of E[da da'] is <da, da'> / P."""

    m: Float[Array, "n t p"]
    da: Float[Array, "n t q"]


class Features(NamedTuple):
    """All that a kernel needs of each sequence: pooled states and, unless only these count, streams of gradients."""

    pooled: Float[Array, "n p"]
    streams: tuple[Stream, ...]


def draw(key: Key, cell: cells.GRU | cells.LSTM, d: int, particles: int, dtype: DType) -> Draws:
    """The random numbers of one group: the same numbers in every precision, for they are drawn in float32.

    The read-out is drawn from {-1, 1}: the kernel is quadratic in it, so only its second moments count, and those of
    signs are exact in every sample.
    """
    gates = len(cell.gates)
    shapes = ((gates, particles, particles), (gates, particles, particles), (gates, d, particles), (gates, particles))
    *keys, last = jax.random.split(key, len(shapes) + 1)
    pairs = zip(keys, shapes, strict=True)
    forward, backward, inputs, bias = (jax.random.normal(k, shape, jnp.float32) for k, shape in pairs)
    bits = jax.random.bits(last, (particles,), jnp.uint32)  # rademacher's depend on JAX's 64-bit mode
    signs = jnp.where(bits >> 31 == 0, 1, -1)
    inner = jax.random.normal(jax.random.fold_in(key, 1), (particles,), jnp.float32) if _inside(cell) else None
    drawn = Draws(forward, backward, shaped(cell.law, inputs), bias, signs, inner)
    return jax.tree.map(lambda leaf: leaf.astype(dtype), drawn)


def _inside(cell: cells.GRU | cells.LSTM) -> bool:
    """Whether there is a bias inside the product that the reset gate multiplies."""
    return isinstance(cell, cells.GRU) and cell.sigma_c is not None


def _steps(cell: cells.GRU | cells.LSTM, draws: Draws) -> tuple[Callable[..., Any], Callable[..., Any], Any]:
    """One step forward, one back, and what is added within the cell beside its gates' pre-activations."""
    if isinstance(cell, cells.LSTM):
        return _lstm, _lstm_back, cell.forget
    if draws.inner is not None:
        return _gru, _gru_back, cell.sigma_c * draws.inner[None, :]
    return _gru, _gru_back, None if cell.reset == "before" else jnp.zeros((1, 1), draws.bias.dtype)


def features(
    cell: cells.GRU | cells.LSTM,
    scales: Scales,
    draws: Draws,
    x: Float[Array, "n t d"],
    read: Float[Array, "n t"],
    tangent: bool,
) -> Features:
    """The particles of n sequences.

    Args:
        cell: with its numbers in the dtype of x; its scales are read from `scales`.
        x: the tokens, scaled; whatever stands where `read` is zero to the end has no influence.
        read: the weight r_t of each step in the output.
        tangent: whether gradients are wanted.
    """
    forward, backward, extra = _steps(cell, draws)
    n, p = x.shape[0], draws.bias.shape[1]
    zero = (jnp.zeros((n, p), x.dtype),) * 2
    w, u, b = (jnp.reshape(one, (-1, 1, 1)) for one in scales[:3])
    scale = w * p**-0.5

    def step(state: PyTree, now: Array) -> tuple[Any, Any]:
        drive = u * _product("nd,gdp->gnp", now, draws.inputs) + b * draws.bias[:, None]
        return forward(state, drive, scale * draws.forward, extra)

    def step_back(carry: PyTree, now: PyTree) -> tuple[Any, Any]:
        past, weight = now
        direct = scales.v * weight[:, None] * draws.signs[None, :]
        return backward((carry[0] + direct, carry[1]), past, scale * draws.backward)

    _, (past, states) = jax.lax.scan(step, zero, jnp.swapaxes(x, 0, 1))
    pooled = _product("tnp,nt->np", states, read)
    if not tangent:
        return Features(pooled, ())
    _, streams = jax.lax.scan(step_back, zero, (past, read.T), reverse=True)
    return Features(pooled, jax.tree.map(lambda a: jnp.swapaxes(a, 0, 1), streams))


def contract(
    scales: Scales,
    train: str,
    left: tuple[Features, Float[Array, "n t d"]],
    right: tuple[Features, Float[Array, "m s d"]] | None = None,
) -> Float[Array, "n m"]:
    """The kernel from the features and the tokens of two sets of sequences, by groups of parameters in `train`.

    `right=None`: of one set with itself, exactly symmetric, from little more than its upper triangle.
    """
    (one, x), (two, y) = left, left if right is None else right
    p = one.pooled.shape[1]
    total = jnp.zeros((x.shape[0], y.shape[0]), x.dtype)
    if "R" in train:
        total = total + scales.v**2 * _product("np,mp->nm", one.pooled, two.pooled) / p
    for a, b in zip(one.streams, two.streams, strict=True):
        other = None if right is None else b
        if "W" in train:
            total = total + scales.w**2 * pairs.crossed(a, other)
        if set(train) & set("Ub"):
            others = None if right is None else (_inputs(scales, train, y), b.da)
            total = total + pairs.complete((_inputs(scales, train, x), a.da), others) / p
    return pairs.mirrored(total) if right is None else total


def _inputs(scales: Scales, train: str, tokens: Array) -> Float[Array, "n t k"]:
    """What the trained weights besides the recurrent ones are multiplied with."""
    parts = {"U": scales.u * tokens, "b": jnp.broadcast_to(scales.b, (*tokens.shape[:2], 1))}
    return jnp.concatenate([part for group, part in parts.items() if group in train], axis=2)


class Share(NamedTuple):
    """Gates whose pre-activations share their scales and their groups of parameters."""

    gates: tuple[tuple[int, slice], ...]
    """In which stream, and which of those joined in it."""
    train: str
    scales: Scales


def shares(cell: cells.GRU | cells.LSTM, scales: Scales, raw: bool) -> list[Share]:
    """The sums that a tangent kernel is put together from: as few as the scales allow.

    Args:
        cell, scales: as for `features`.
        raw: whether gradients are taken without their sigma.
    """
    one = jnp.ones_like(scales.v)
    if raw:
        scales = Scales(one, one, one, one)
    w, u, b = ([s[gate] if jnp.ndim(s) else s for gate in range(len(cell.gates))] for s in scales[:3])
    of = lambda gate: Scales(w[gate], u[gate], b[gate], scales.v)  # noqa: E731
    single = [(0, slice(a, a + 1)) for a in range(4 if isinstance(cell, cells.LSTM) else 2)]
    if isinstance(cell, cells.GRU) and cell.reset == "before":
        single.append((1, slice(0, 1)))
    if any(jnp.ndim(s) for s in scales[:3]):
        found = [Share((at,), "WUb", of(gate)) for gate, at in enumerate(single)]
    else:
        streams = sorted({stream for stream, _ in single})
        whole = [slice(0, sum(stream == at for at, _ in single)) for stream in streams]
        found = [Share(tuple(zip(streams, whole, strict=True)), "WUb", scales)]
    if isinstance(cell, cells.GRU) and cell.reset == "after":  # u^g = a + r y: U meets a, W meets y
        own = {"b": one if raw else cell.sigma_c} if _inside(cell) else {}
        found += [
            Share(((0, slice(2, 3)),), "Wb" if own else "W", of(2)._replace(**own)),
            Share(((1, slice(0, 1)),), "Ub", of(2)),
        ]
    return found


def chosen(found: Features, gates: tuple[tuple[int, slice], ...]) -> Features:
    """The features with the streams of these gates only."""
    p = found.pooled.shape[-1]
    streams = tuple(
        found.streams[at]._replace(da=found.streams[at].da[..., one.start * p : one.stop * p]) for at, one in gates
    )
    return found._replace(streams=streams)


def _product(equation: str, a: Array, b: Array) -> Array:
    if equation == "np,gpq->gnq":  # in one piece XLA would transpose the weights at every step: half the speed
        return jnp.stack([_product("np,pq->nq", a, one) for one in b])
    return jnp.einsum(equation, a, b, precision="highest")


def _gru(state: PyTree, drive: Array, weights: Array, inner: Array | None) -> tuple[Any, Any]:
    h, unused = state
    z, r = jax.nn.sigmoid(drive[:2] + _product("np,gpq->gnq", h, weights[:2]))
    if inner is None:
        y, through = None, _product("np,pq->nq", r * h, weights[2])
    else:
        y = _product("np,pq->nq", h, weights[2]) + inner
        through = r * y
    g = jnp.tanh(drive[2] + through)
    new = z * h + (1 - z) * g
    return (new, unused), ((h, z, r, g, y), new)


def _gru_back(carry: PyTree, past: PyTree, weights: Array) -> tuple[Any, Any]:
    (dh, unused), (h, z, r, g, y) = carry, past
    dg = dh * (1 - z) * (1 - g * g)
    dz = dh * (h - g) * z * (1 - z)
    if y is None:
        drh = _product("np,pq->nq", dg, weights[2])
        dr, through = drh * h * r * (1 - r), drh * r
        into_h, last = [dz, dr], Stream(r * h, dg)
    else:
        dy = dg * r
        dr, through = dg * y * r * (1 - r), _product("np,pq->nq", dy, weights[2])
        into_h, last = [dz, dr, dy], Stream(h[:, :0], dg)
    before = dh * z + through + _product("np,pq->nq", dz, weights[0]) + _product("np,pq->nq", dr, weights[1])
    return (before, unused), (Stream(h, jnp.concatenate(into_h, axis=1)), last)


def _lstm(state: PyTree, drive: Array, weights: Array, forget: AnyArray) -> tuple[Any, Any]:
    h, c = state
    u = drive + _product("np,gpq->gnq", h, weights)
    i, f, o = jax.nn.sigmoid(u[0]), jax.nn.sigmoid(u[1] + forget), jax.nn.sigmoid(u[3])
    g = jnp.tanh(u[2])
    cell = f * c + i * g
    new = o * jnp.tanh(cell)
    return (new, cell), ((h, c, i, f, g, o), new)


def _lstm_back(carry: PyTree, past: PyTree, weights: Array) -> tuple[Any, Any]:
    (dh, dc), (h, c, i, f, g, o) = carry, past
    out = jnp.tanh(f * c + i * g)
    dc = dc + dh * o * (1 - out * out)
    da = jnp.stack(
        [dc * g * i * (1 - i), dc * c * f * (1 - f), dc * i * (1 - g * g), dh * out * o * (1 - o)]
    )  # (gates, n, p)
    before = _product("gnp,gpq->nq", da, weights)
    n, p = h.shape
    return (before, dc * f), (Stream(h, jnp.swapaxes(da, 0, 1).reshape(n, 4 * p)),)
