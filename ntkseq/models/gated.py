"""What does a gated recurrent network (GRU or LSTM) of finite width compute?"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkseq import _checks
from ntkseq._layers import check_letters
from ntkseq._struct import static, struct
from ntkseq._types import ArrayLike, Number, PyTree
from ntkseq.models.base import Model, Params, Shape, held, in_dtype, pool, product

_SCALES = ("sigma_w", "sigma_u", "sigma_b", "sigma_r")
_GATES = {"gru": ("z", "r", "g"), "lstm": ("i", "f", "g", "o")}


@struct
class Gated(Model):
    """A GRU or an LSTM in NTK parametrisation, with weights of their own for each gate, read out by R.

    The pre-activation of gate a at step t, with m_t = h_{t-1} except for the GRU's g, where it is r h_{t-1}, is

        u^a_t = (sigma_w / sqrt n) W^a m_t + (sigma_u / sqrt d) U^a x_t + sigma_b b^a

    and, with s the logistic function and h_0 = c_0 = 0,

        GRU:   z = s(u^z), r = s(u^r), g = tanh(u^g);  h_t = z h_{t-1} + (1 - z) g
        LSTM:  i, f, o = s(u^i), s(u^f), s(u^o), g = tanh(u^g);  c_t = f c_{t-1} + i g,  h_t = o tanh(c_t)

    The output is (sigma_r / sqrt n) R h. The limit is `kernels.Gated` with the same arguments, and
    `kernel.finite(width)` makes one. Parameters: `{"gates": {gate: {"W", "U", "b"}}, "R"}`, gates named as above.

    Args:
        width: number n of units.
        cell: "gru" or "lstm".
        sigma_w, sigma_u, sigma_b, sigma_r: standard deviations of recurrent weights, input weights, biases (the same
            for all gates) and read-out, before the 1/sqrt(fan-in). Leaves.
        read: "last" step, or "mean" or "sum" over the sequence's own steps.
        train: trained parameter groups, letters out of "WUbR".
        input_scale: "dim" for the 1/sqrt(d), "none" for 1 in its place.
        outputs: number o of outputs.

    Raises:
        ValueError: counts below 1, negative or non-finite scales, unknown words, train letters out of place.

    Reference: yang2020tp2.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ntkseq import models
        >>> x = jnp.ones((5, 2))  # t = 5 steps, d = 2 features
        >>> net = models.Gated(width=32, cell="lstm", sigma_w=1.3)
        >>> net.apply(net.init(jax.random.key(0), x), x, length=4).shape
        (1,)
    """

    width: int = static(check=_checks.positive_int)
    cell: str = static(default="gru")
    sigma_w: Any = 1.0
    sigma_u: Any = 1.0
    sigma_b: Any = 0.0
    sigma_r: Any = 1.0
    read: str = static(default="last")
    train: str = static(default="WUbR")
    input_scale: str = static(default="dim")
    outputs: int = static(check=_checks.positive_int, default=1)

    axes = "t d"

    def __post_init__(self) -> None:
        for name in _SCALES:
            _checks.scale(name, getattr(self, name))
        _checks.choice("cell", self.cell, ("gru", "lstm"))
        _checks.choice("read", self.read, ("last", "mean", "sum"))
        _checks.choice("input_scale", self.input_scale, ("dim", "none"))
        check_letters(self.train, "WUbR")

    def shapes(self, x_shape: tuple[int, ...]) -> Params:
        d, n = x_shape[1], self.width
        gates = {gate: {"W": Shape(n, n), "U": Shape(n, d), "b": Shape(n)} for gate in _GATES[self.cell]}
        return {"gates": gates, "R": Shape(self.outputs, n)}

    def apply(self, params: Params, x: ArrayLike, length: Number | None = None) -> Float[Array, " o"]:
        x, length = _checks.sequence("x", x, length)
        self._check_params(params, x)
        return _forward(self, params, x, length)


@jax.jit
def _forward(model: Gated, params: Params, x: Array, length: Array | None) -> Array:
    n = model.width
    scale = {name: in_dtype(getattr(model, name), x.dtype) for name in _SCALES}
    gates = {gate: held(raw, model.train) for gate, raw in params["gates"].items()}
    x = x * (x.shape[1] ** -0.5 if model.input_scale == "dim" else 1.0)
    drive = {
        gate: scale["sigma_u"] * product(x, raw["U"].T) + scale["sigma_b"] * raw["b"][None, :]  # (t, n)
        for gate, raw in gates.items()
    }
    inside = jnp.ones(x.shape[:1], bool) if length is None else jnp.arange(x.shape[0], dtype=jnp.int32) < length

    def step(state: tuple[Array, Array], now: PyTree) -> tuple[tuple[Array, Array], Array]:
        h, c = state
        drive, valid = now

        def u(gate: str, m: Array) -> Array:
            return scale["sigma_w"] * n**-0.5 * product(gates[gate]["W"], m) + drive[gate]

        if model.cell == "gru":
            z, r = jax.nn.sigmoid(u("z", h)), jax.nn.sigmoid(u("r", h))
            new, cell = z * h + (1 - z) * jnp.tanh(u("g", r * h)), c
        else:
            i, f, o = (jax.nn.sigmoid(u(gate, h)) for gate in ("i", "f", "o"))
            cell = f * c + i * jnp.tanh(u("g", h))
            new = o * jnp.tanh(cell)
        state = (jnp.where(valid, new, h), jnp.where(valid, cell, c))  # stand still in the padding
        return state, state[0]

    zero = jnp.zeros((n,), x.dtype)
    (last, _), states = jax.lax.scan(step, (zero, zero), (drive, inside))
    pooled = last if model.read == "last" else pool(states, model.read, inside)
    return scale["sigma_r"] * n**-0.5 * product(held({"R": params["R"]}, model.train)["R"], pooled)
