"""What does a gated recurrent network (GRU or LSTM) of finite width compute?"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkseq import _checks, cells
from ntkseq._laws import shaped
from ntkseq._layers import check_letters
from ntkseq._struct import fill, static, struct
from ntkseq._types import ArrayLike, Number, PyTree
from ntkseq.models.base import Model, Params, Shape, held, in_dtype, pool, product


@struct
class Gated(Model):
    """A GRU or an LSTM in NTK parametrisation, with weights of their own for each gate, read out by R.

    The equations stand with `cells.GRU` and `cells.LSTM`. The output is (sigma_r / sqrt n) R h. The limit is
    `kernels.Gated` with the same arguments, and `kernel.finite(width)` makes one. Parameters:
    `{"gates": {gate: {"W", "U", "b"}}, "R"}`, gates named as in the equations, with a "c" beside those of the GRU's g
    where the product has a bias inside. All are N(0, 1), but for U where the cell has another law.

    Args:
        width: number n of units.
        cell: a `cells.GRU` or a `cells.LSTM` with its scales, or "gru" or "lstm" for one with all defaults.
        sigma_r: standard deviation of the read-out, before the 1/sqrt(width). A leaf.
        read: "last" step, or "mean" or "sum" over the sequence's own steps.
        train: trained parameter groups, letters out of "WUbR"; c is one of the biases.
        input_scale: "dim" for the 1/sqrt(d), "none" for 1 in its place.
        outputs: number o of outputs.

    Raises:
        ValueError: counts below 1, negative or non-finite scales, unknown words, train letters out of place.

    Reference: yang2020tp2.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ntkseq import models
        >>> from ntkseq.cells import LSTM
        >>> x = jnp.ones((5, 2))  # t = 5 steps, d = 2 features
        >>> net = models.Gated(width=32, cell=LSTM(sigma_w=1.3))
        >>> net.apply(net.init(jax.random.key(0), x), x, length=4).shape
        (1,)
    """

    width: int = static(check=_checks.positive_int)
    cell: Any = "gru"
    sigma_r: Any = 1.0
    read: str = static(default="last")
    train: str = static(default="WUbR")
    input_scale: str = static(default="dim")
    outputs: int = static(check=_checks.positive_int, default=1)

    axes = "t d"

    def __post_init__(self) -> None:
        fill(self, cell=cells.gated(self.cell))
        _checks.scale("sigma_r", self.sigma_r)
        _checks.choice("read", self.read, ("last", "mean", "sum"))
        _checks.choice("input_scale", self.input_scale, ("dim", "none"))
        check_letters(self.train, "WUbR")

    def shapes(self, x_shape: tuple[int, ...]) -> Params:
        d, n = x_shape[1], self.width
        gates = {gate: {"W": Shape(n, n), "U": Shape(n, d), "b": Shape(n)} for gate in self.cell.gates}
        if isinstance(self.cell, cells.GRU) and self.cell.sigma_c is not None:
            gates["g"]["c"] = Shape(n)
        return {"gates": gates, "R": Shape(self.outputs, n)}

    def started(self, raw: Params) -> Params:
        gates = {gate: {**one, "U": shaped(self.cell.law, one["U"])} for gate, one in raw["gates"].items()}
        return {**raw, "gates": gates}

    def apply(self, params: Params, x: ArrayLike, length: Number | None = None) -> Float[Array, " o"]:
        x, length = _checks.sequence("x", x, length)
        self._check_params(params, x)
        return _forward(self, params, x, length)


@jax.jit
def _forward(model: Gated, params: Params, x: Array, length: Array | None) -> Array:
    n, cell = model.width, in_dtype(model.cell, x.dtype)
    names = cell.gates
    w, u, b = (
        dict(zip(names, jnp.broadcast_to(jnp.asarray(scale), (len(names),)), strict=True))
        for scale in (cell.sigma_w, cell.sigma_u, cell.sigma_b)
    )
    letters = model.train + ("c" if "b" in model.train else "")
    gates = {gate: held(raw, letters) for gate, raw in params["gates"].items()}
    x = x * (x.shape[1] ** -0.5 if model.input_scale == "dim" else 1.0)
    drive = {
        gate: u[gate] * product(x, raw["U"].T) + b[gate] * raw["b"][None, :]  # (t, n)
        for gate, raw in gates.items()
    }
    inside = jnp.ones(x.shape[:1], bool) if length is None else jnp.arange(x.shape[0], dtype=jnp.int32) < length

    def step(state: tuple[Array, Array], now: PyTree) -> tuple[tuple[Array, Array], Array]:
        h, c = state
        drive, valid = now

        def past(gate: str, m: Array) -> Array:
            return w[gate] * n**-0.5 * product(gates[gate]["W"], m)

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
        state = (jnp.where(valid, new, h), jnp.where(valid, memory, c))  # stand still in the padding
        return state, state[0]

    zero = jnp.zeros((n,), x.dtype)
    (last, _), states = jax.lax.scan(step, (zero, zero), (drive, inside))
    pooled = last if model.read == "last" else pool(states, model.read, inside)
    read = in_dtype(model.sigma_r, x.dtype) * n**-0.5
    return read * product(held({"R": params["R"]}, model.train)["R"], pooled)
