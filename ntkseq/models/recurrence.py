"""What does a recurrent layer of a network of blocks compute at finite width? Its parameters, and the function."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ntkseq import blocks, cells
from ntkseq._laws import shaped
from ntkseq._types import ArrayLike
from ntkseq.models.base import Params, Shape, held, product

FORWARD, REVERSED = "forward", "reversed"


class CellRule(NamedTuple):
    """What a cell is at finite width.

    shapes(cell, n, m) -> parameters of n units that read m coordinates;
    started(cell, raw) -> the parameters at the start of training, from standard normal numbers;
    states(cell, raw, x) -> what it gives behind every token, (t, n).
    """

    shapes: Callable[[Any, int, int], Params]
    started: Callable[[Any, Params], Params]
    states: Callable[[Any, Params, Array], Array]


def shapes(block: blocks.Recurrent, fan_in: int, width: int) -> Params:
    """Parameters of a layer with `width` units, and with both directions such a tree for each.

    Of an `Elman` or a `Leaky` {"W", "U", "b"}, of a `ControlledResNet` {"W", "b", "h"}; of a `GRU` or an `LSTM` such a
    tree for each gate, with a "c" beside those of the GRU's g where the product has a bias inside; of an `LRU` {"nu",
    "theta", "gamma", "B", "C"} and of an `S4D` {"log_dt", "log_re", "im", "C", "D"}, real and imaginary parts at the
    end.
    """
    rule = CELLS[type(block.cell)]
    if block.direction == "both":
        return {
            FORWARD: rule.shapes(block.cell, width - width // 2, fan_in),
            REVERSED: rule.shapes(block.cell, width // 2, fan_in),
        }
    return rule.shapes(block.cell, width, fan_in)


def started(block: blocks.Recurrent, raw: Params) -> Params:
    """The parameters at the start of training from standard normal numbers."""
    rule = CELLS[type(block.cell)]
    if block.direction == "both":
        return {way: rule.started(block.cell, own) for way, own in raw.items()}
    return rule.started(block.cell, raw)


def forward(block: blocks.Recurrent, raw: Params, x: Float[Array, "t m"], inside: Bool[Array, " t"]) -> Array:
    """What the layer gives behind every token, (t, n)."""
    run = lambda raw, x: CELLS[type(block.cell)].states(block.cell, raw, x)  # noqa: E731
    half = x.shape[1] - x.shape[1] // 2  # of the coordinates, where each unit reads one
    one, two = (x, x) if block.cell.mixes else (x[:, :half], x[:, half:])
    if block.direction == FORWARD:
        return run(raw, x)
    at, length = jnp.arange(len(x), dtype=jnp.int32), jnp.sum(inside, dtype=jnp.int32)
    turn = jnp.where(inside, length - 1 - at, at)
    back = lambda raw, x: run(raw, x[turn])[turn]  # noqa: E731
    if block.direction == REVERSED:
        return back(raw, x)
    return jnp.concatenate([run(raw[FORWARD], one), back(raw[REVERSED], two)], axis=1)


def _held(raw: Params, train: str, letters: dict[str, str]) -> Params:
    """`held` of parameters whose groups have letters of their own."""
    return {name: held({letter: raw[name]}, train)[letter] for name, letter in letters.items()}


# ------------------------------------------------------------------------------------------------------------ Elman


def _elman_shapes(cell: cells.Elman | cells.Leaky, n: int, m: int) -> Params:
    return {"W": Shape(n, n), "U": Shape(n, m), "b": Shape(n)}


def _elman(cell: cells.Elman | cells.Leaky, raw: Params, x: Array) -> Float[Array, "t n"]:
    p = held(raw, cell.train)
    n = p["W"].shape[0]
    W = cell.sigma_w * max(n, 1) ** -0.5 * p["W"]  # with one unit in all, the other direction has none
    drive = cell.sigma_u * x.shape[1] ** -0.5 * product(x, p["U"].T) + cell.sigma_b * p["b"][None, :]

    def step(h: Array, now: Array) -> tuple[Array, Array]:
        image = cell.activation(product(W, h) + now)
        h = cell.keep * h + cell.gate * image if isinstance(cell, cells.Leaky) else image
        return h, h

    return jax.lax.scan(step, jnp.zeros((n,), x.dtype), drive)[1]


# ------------------------------------------------------------------------------------------------ controlled ResNet


def _controlled_shapes(cell: cells.ControlledResNet, n: int, m: int) -> Params:
    return {"W": Shape(n, n, m), "b": Shape(n, m), "h": Shape(n)}


def _controlled(cell: cells.ControlledResNet, raw: Params, x: Array) -> Float[Array, "t n"]:
    p = held(raw, cell.train)
    n = p["W"].shape[0]
    W = cell.sigma_w * max(n, 1) ** -0.5 * p["W"]  # with one unit in all, the other direction has none

    def step(h: Array, now: Array) -> tuple[Array, Array]:
        field = jnp.einsum("ijk,j->ik", W, cell.activation(h), precision="highest") + cell.sigma_b * p["b"]
        h = h + product(field, now)
        return h, h

    return jax.lax.scan(step, cell.sigma_h * p["h"], x * x.shape[1] ** -0.5)[1]


# ------------------------------------------------------------------------------------------------------- GRU, LSTM


def _gated_shapes(cell: cells.GRU | cells.LSTM, n: int, m: int) -> Params:
    gates = {gate: {"W": Shape(n, n), "U": Shape(n, m), "b": Shape(n)} for gate in cell.gates}
    if isinstance(cell, cells.GRU) and cell.sigma_c is not None:
        gates["g"]["c"] = Shape(n)
    return gates


def _gated_started(cell: cells.GRU | cells.LSTM, raw: Params) -> Params:
    return {gate: {**one, "U": shaped(cell.law, one["U"])} for gate, one in raw.items()}


def _gated(cell: cells.GRU | cells.LSTM, raw: Params, x: Array) -> Float[Array, "t n"]:
    names: tuple[str, ...] = cell.gates
    n = raw[names[0]]["U"].shape[0]
    w, u, b = (
        dict[str, Array](zip(names, jnp.broadcast_to(jnp.asarray(scale), (len(names),)), strict=True))
        for scale in (cell.sigma_w, cell.sigma_u, cell.sigma_b)
    )
    letters = cell.train + ("c" if "b" in cell.train else "")
    gates: dict[str, Params] = {gate: held(one, letters) for gate, one in raw.items()}
    x = x * x.shape[1] ** -0.5
    drive = {
        gate: u[gate] * product(x, one["U"].T) + b[gate] * one["b"][None, :]  # (t, n)
        for gate, one in gates.items()
    }

    def step(state: tuple[Array, Array], drive: Params) -> tuple[tuple[Array, Array], Array]:
        h, c = state

        def past(gate: str, m: Array) -> Array:
            return w[gate] * max(n, 1) ** -0.5 * product(gates[gate]["W"], m)

        def open_(gate: str, offset: ArrayLike = 0.0) -> Array:
            return jax.nn.sigmoid(past(gate, h) + drive[gate] + offset)

        if isinstance(cell, cells.GRU):
            z, r = open_("z"), open_("r")
            if cell.reset == "before":
                inner = past("g", r * h)
            else:
                inner = r * (past("g", h) + (0 if cell.sigma_c is None else cell.sigma_c * gates["g"]["c"]))
            new, memory = z * h + (1 - z) * jnp.tanh(inner + drive["g"]), c
        else:
            memory = open_("f", cell.forget) * c + open_("i") * jnp.tanh(past("g", h) + drive["g"])
            new = open_("o") * jnp.tanh(memory)
        return (new, memory), new

    zero = jnp.zeros((n,), x.dtype)
    return jax.lax.scan(step, (zero, zero), drive)[1]


# -------------------------------------------------------------------------------------------------------------- LRU

_LETTERS = {"nu": "n", "theta": "t", "gamma": "g", "B": "B", "C": "C"}


def _lru_shapes(cell: cells.LRU, n: int, m: int) -> Params:
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
    p = _held(raw, cell.train, _LETTERS)
    n, m = p["C"].shape[0], x.shape[1]
    scale = cell.sigma_u * (2 * m) ** -0.5
    drive = tuple(scale * product(x, p["B"][:, :, part].T) for part in (0, 1))
    real, imaginary = lru_states(p["nu"], p["theta"], p["gamma"], drive)
    return max(n, 1) ** -0.5 * (product(real, p["C"][:, :, 0].T) - product(imaginary, p["C"][:, :, 1].T))


def lru_states(nu: Array, theta: Array, gamma: Array, drive: tuple[Array, Array]) -> tuple[Array, Array]:
    """Real and imaginary parts of the states (t, n) of an `LRU`, from those of B x."""
    size, angle, g = jnp.exp(-jnp.exp(nu)), jnp.exp(theta), jnp.exp(gamma)
    re, im = size * jnp.cos(angle), size * jnp.sin(angle)

    def step(h: tuple[Array, Array], now: tuple[Array, Array]) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        h = re * h[0] - im * h[1] + g * now[0], im * h[0] + re * h[1] + g * now[1]
        return h, h

    zero = jnp.zeros_like(drive[0][0])
    return jax.lax.scan(step, (zero, zero), drive)[1]


# -------------------------------------------------------------------------------------------------------------- S4D

_STATE_LETTERS = {"log_dt": "d", "log_re": "r", "im": "i", "C": "C", "D": "D"}


def _s4d_shapes(cell: cells.S4D, n: int, m: int) -> Params:
    modes = cell.states // 2
    return {
        "log_dt": Shape(n),
        "log_re": Shape(n, modes),
        "im": Shape(n, modes),
        "C": Shape(n, modes, 2),
        "D": Shape(n),
    }


def _s4d_started(cell: cells.S4D, raw: Params) -> Params:
    """S4D-Lin, and steps uniform on the scale of logarithms."""
    low, high = math.log(cell.dt_min), math.log(cell.dt_max)
    log_dt = low + (high - low) * jax.scipy.stats.norm.cdf(raw["log_dt"])
    modes = jnp.arange(cell.states // 2, dtype=log_dt.dtype)
    im = jnp.broadcast_to(math.pi * modes, raw["im"].shape)
    return raw | {"log_dt": log_dt, "log_re": jnp.full_like(raw["log_re"], math.log(0.5)), "im": im}


def _s4d(cell: cells.S4D, raw: Params, x: Array) -> Float[Array, "t n"]:
    p = _held(raw, cell.train, _STATE_LETTERS)
    dt, re, im = jnp.exp(p["log_dt"])[:, None], -jnp.exp(p["log_re"]), p["im"]
    size, angle = jnp.exp(dt * re), dt * im
    lam = size * jnp.cos(angle), size * jnp.sin(angle)
    less = jnp.expm1(dt * re) * jnp.cos(angle) - 2 * jnp.sin(angle / 2) ** 2, lam[1]  # lam - 1
    square = re**2 + im**2
    gain = (less[0] * re + less[1] * im) / square, (less[1] * re - less[0] * im) / square
    C = p["C"][:, :, 0], p["C"][:, :, 1]
    scale = cell.sigma_c * 2**0.5
    weights = scale * (C[0] * gain[0] - C[1] * gain[1]), scale * (C[0] * gain[1] + C[1] * gain[0])

    def step(h: tuple[Array, Array], now: Array) -> tuple[tuple[Array, Array], Array]:
        h = lam[0] * h[0] - lam[1] * h[1] + now[:, None], lam[0] * h[1] + lam[1] * h[0]
        return h, jnp.sum(weights[0] * h[0] - weights[1] * h[1], axis=1)

    zero = jnp.zeros_like(lam[0])
    return jax.lax.scan(step, (zero, zero), x)[1] + cell.sigma_d * p["D"][None, :] * x


CELLS: dict[type, CellRule] = {
    cells.Elman: CellRule(_elman_shapes, lambda cell, raw: raw, _elman),
    cells.Leaky: CellRule(_elman_shapes, lambda cell, raw: raw, _elman),
    cells.ControlledResNet: CellRule(_controlled_shapes, lambda cell, raw: raw, _controlled),
    cells.GRU: CellRule(_gated_shapes, _gated_started, _gated),
    cells.LSTM: CellRule(_gated_shapes, _gated_started, _gated),
    cells.LRU: CellRule(_lru_shapes, _lru_started, _lru),
    cells.S4D: CellRule(_s4d_shapes, _s4d_started, _s4d),
}
