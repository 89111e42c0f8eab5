"""How do particles pass linear recurrences with a diagonal state, there and back?

Decays, steps, gains and the numbers C and D of a state-space model belong to one unit each: they are the same on both
ways. B and C of a linear recurrent unit mix coordinates: one matrix there, another one back (tokens.9).
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkseq import cells
from ntkseq._types import Key, PyTree
from ntkseq.kernels.layers import shift
from ntkseq.kernels.particle_rules import Back, CellRule, Here, Size, held, stream, times, unit
from ntkseq.kernels.particles import product
from ntkseq.models import recurrence


class Units(NamedTuple):
    """The random numbers of a linear recurrent unit of p particles on tokens of w coordinates."""

    own: dict[str, Float[Array, " p"]]
    """nu, theta, gamma."""
    inputs: Float[Array, "2 w p"]
    """Real and imaginary part of B."""
    outputs: Float[Array, "2 p w"] | None
    """In its place on the way back; None: nothing stands before."""
    forward: Float[Array, "2 p p"]
    """Real and imaginary part of C."""
    backward: Float[Array, "2 p p"]


def _normal(key: Key, size: Size, *shape: int) -> Array:
    return jax.random.normal(key, shape, jnp.float32).astype(size.dtype)


def _lru_draw(cell: cells.LRU, key: Key, size: Size) -> Units:
    one, two, three, four, five = jax.random.split(key, 5)
    raw = dict(zip(("nu", "theta", "gamma"), _normal(one, size, 3, size.p), strict=True))
    return Units(
        own=recurrence.CELLS[cells.LRU].started(cell, raw),
        inputs=_normal(two, size, 2, size.w, size.p),
        outputs=None if size.first else _normal(three, size, 2, size.p, size.w),
        forward=_normal(four, size, 2, size.p, size.p),
        backward=_normal(five, size, 2, size.p, size.p),
    )


def _lru_forward(cell: cells.LRU, drawn: Units, x: Array, here: Here) -> tuple[Array, PyTree]:
    p = drawn.forward.shape[1]
    drive = tuple(cell.sigma_u * 2**-0.5 * product("ntw,wp->ntp", unit(x, here), one) for one in drawn.inputs)
    real, imaginary = jax.vmap(lambda u: recurrence.lru_states(**drawn.own, drive=u))(drive)
    y = product("ntp,pq->ntq", real, drawn.forward[0]) - product("ntp,pq->ntq", imaginary, drawn.forward[1])
    return p**-0.5 * y, (drive, real, imaginary)


def _lru_back(cell: cells.LRU, drawn: Units, saved: PyTree, x: Array, dy: Array, here: Here) -> Back:
    drive, real, imaginary = saved
    p = drawn.forward.shape[1]
    dh = tuple(
        sign * p**-0.5 * product("ntp,pq->ntq", dy, one) for sign, one in zip((1, -1), drawn.backward, strict=True)
    )

    def each(drive: PyTree, dh: PyTree) -> PyTree:
        states = lambda own, drive: recurrence.lru_states(**own, drive=drive)  # noqa: E731
        return jax.vjp(states, drawn.own, drive)[1](dh)

    own, du = jax.vmap(each)(drive, dh)
    vectors = tuple(
        own[name] for letter, name in zip("ntg", ("nu", "theta", "gamma"), strict=True) if letter in cell.train
    )
    root = 2**-0.5  # stands before the product also where gradients carry no sigma
    driven = (cell.sigma_u, root * x) if "B" in cell.train else None
    weights = [(1.0, real), (1.0, imaginary)] if "C" in cell.train else []
    streams = held(
        stream(jnp.concatenate(du, axis=2), p, here, [], driven, None), stream(dy, p, here, weights, None, None)
    )
    if drawn.outputs is None:
        return Back(None, streams, vectors)
    dx = sum(product("ntp,pw->ntw", one, back) for one, back in zip(du, drawn.outputs, strict=True))
    return Back(times(cell.sigma_u * root * p**-0.5, jnp.asarray(dx)), streams, vectors)


# -------------------------------------------------------------------------------------------------------------- S4D


def _s4d_draw(cell: cells.S4D, key: Key, size: Size) -> PyTree:
    shapes = recurrence.CELLS[cells.S4D].shapes(cell, size.p, size.w)
    keys = dict(zip(sorted(shapes), jax.random.split(key, len(shapes)), strict=True))
    raw = {name: _normal(keys[name], size, *shape.shape) for name, shape in shapes.items()}
    return recurrence.CELLS[cells.S4D].started(cell, raw)


def _s4d_forward(cell: cells.S4D, drawn: PyTree, x: Array, here: Here) -> tuple[Array, PyTree]:
    k = _response(cell, drawn, x.shape[1])
    return _convolve(k, x) + cell.sigma_d * drawn["D"][None, None] * x, k


def _s4d_back(cell: cells.S4D, drawn: PyTree, k: Array, x: Array, dy: Array, here: Here) -> Back:
    late = lambda dy: _convolve(k, dy[:, ::-1])[:, ::-1]  # noqa: E731
    dx = late(dy) + cell.sigma_d * drawn["D"][None, None] * dy
    if not (own := _slopes(cell, drawn, x.shape[1], here.raw)) and "D" not in cell.train:
        return Back(dx)
    dk = _correlate(dy, x)
    vectors = [product("nkp,kpj->npj", dk, one).reshape(len(x), -1) for one in own]
    if "D" in cell.train:
        vectors.append((1 if here.raw else cell.sigma_d) * dk[:, 0])
    return Back(dx, vectors=tuple(vectors))


Complex = tuple[Array, Array]


def _modes(steps: Array, log_dt: Array, log_re: Array, im: Array) -> Complex:
    """sqrt 2 z of state_space.6 at each step: lam^k (lam - 1) / A."""
    dt, re = jnp.exp(log_dt), -jnp.exp(log_re)
    size, angle = jnp.exp(dt * re), dt * im
    less = jnp.expm1(dt * re) * jnp.cos(angle) - 2 * jnp.sin(angle / 2) ** 2, size * jnp.sin(angle)  # lam - 1
    square = (re**2 + im**2) / 2**0.5
    gain = (less[0] * re + less[1] * im) / square, (less[1] * re - less[0] * im) / square
    power, turn = jnp.exp(dt * re * steps), dt * im * steps
    power = power * jnp.cos(turn), power * jnp.sin(turn)
    return power[0] * gain[0] - power[1] * gain[1], power[0] * gain[1] + power[1] * gain[0]


def _arguments(drawn: PyTree, t: int) -> tuple[Array, ...]:
    """What the modes of all particles at all steps are functions of, each (t, p, modes)."""
    im = drawn["im"]
    wide = lambda a: jnp.broadcast_to(a, (t, *im.shape))  # noqa: E731
    steps = jnp.arange(t, dtype=im.dtype)[:, None, None]
    return wide(steps), wide(drawn["log_dt"][None, :, None]), wide(drawn["log_re"][None]), wide(im[None])


def _response(cell: cells.S4D, drawn: PyTree, t: int) -> Float[Array, "t p"]:
    """What a token gives k steps later, but for D."""
    z = _modes(*_arguments(drawn, t))
    return cell.sigma_c * jnp.sum(drawn["C"][None, ..., 0] * z[0] - drawn["C"][None, ..., 1] * z[1], axis=2)


def _slopes(cell: cells.S4D, drawn: PyTree, t: int, raw: bool) -> list[Float[Array, "t p j"]]:
    """Its derivatives by the j numbers of each trained group of a particle, but for D."""
    given, C, found = _arguments(drawn, t), drawn["C"][None], []
    for letter, at in (("d", 1), ("r", 2), ("i", 3)):
        if letter in cell.train:
            tangents = tuple((jnp.ones_like if i == at else jnp.zeros_like)(a) for i, a in enumerate(given))
            dz = jax.jvp(_modes, given, tangents)[1]
            slope = cell.sigma_c * (C[..., 0] * dz[0] - C[..., 1] * dz[1])
            found.append(jnp.sum(slope, axis=2, keepdims=True) if letter == "d" else slope)
    if "C" in cell.train:
        z = _modes(*given)
        found += [(1 if raw else cell.sigma_c) * sign * one for sign, one in zip((1, -1), z, strict=True)]
    return found


def _convolve(k: Float[Array, "t p"], x: Float[Array, "n t p"]) -> Float[Array, "n t p"]:
    """sum over lags l of k_l x_{t-l}, each coordinate by itself."""

    def add(carry: tuple[Array, Array], one: Array) -> tuple[tuple[Array, Array], None]:
        total, late = carry
        return (total + one[None, None] * late, shift(late)), None

    return jax.lax.scan(add, (jnp.zeros_like(x), x), k)[0][0]


def _correlate(dy: Float[Array, "n t p"], x: Float[Array, "n t p"]) -> Float[Array, "n t p"]:
    """sum over t of dy_t x_{t-l}, for each lag l."""

    def one(late: Array, _: None) -> tuple[Array, Array]:
        return shift(late), jnp.sum(dy * late, axis=1)

    return jnp.swapaxes(jax.lax.scan(one, x, None, length=x.shape[1])[1], 0, 1)


LRU = CellRule(_lru_draw, _lru_forward, _lru_back)
S4D = CellRule(_s4d_draw, _s4d_forward, _s4d_back)
