"""What does a gated recurrent network (GRU or LSTM) of finite width compute?"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkseq import _checks
from ntkseq._struct import fill, static, struct
from ntkseq._types import ArrayLike, Number
from ntkseq.cells.gates import gated
from ntkseq.models import recurrence
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
        train_readout: whether the read-out is trained; the cell has a `train` of its own.
        input_scale: "dim" for the 1/sqrt(d), "none" for 1 in its place.
        outputs: number o of outputs.

    Raises:
        ValueError: counts below 1, negative or non-finite scales, unknown words.

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
    train_readout: bool = static(default=True)
    input_scale: str = static(default="dim")
    outputs: int = static(check=_checks.positive_int, default=1)

    axes = "t d"

    def __post_init__(self) -> None:
        fill(self, cell=gated(self.cell))
        _checks.scale("sigma_r", self.sigma_r)
        _checks.choice("read", self.read, ("last", "mean", "sum"))
        _checks.choice("input_scale", self.input_scale, ("dim", "none"))
        fill(self, train_readout=_checks.flag("train_readout", self.train_readout))

    def shapes(self, x_shape: tuple[int, ...]) -> Params:
        gates = recurrence.CELLS[type(self.cell)].shapes(self.cell, self.width, x_shape[1])
        return {"gates": gates, "R": Shape(self.outputs, self.width)}

    def started(self, raw: Params) -> Params:
        return {**raw, "gates": recurrence.CELLS[type(self.cell)].started(self.cell, raw["gates"])}

    def apply(self, params: Params, x: ArrayLike, length: Number | None = None) -> Float[Array, " o"]:
        x, length = _checks.sequence("x", x, length)
        self._check_params(params, x)
        return _forward(self, params, x, length)


@jax.jit
def _forward(model: Gated, params: Params, x: Array, length: Array | None) -> Array:
    cell = in_dtype(model.cell, x.dtype)
    if model.input_scale == "none":
        x = x * x.shape[1] ** 0.5
    states = recurrence.CELLS[type(cell)].states(cell, params["gates"], x)
    inside = jnp.ones(x.shape[:1], bool) if length is None else jnp.arange(x.shape[0], dtype=jnp.int32) < length
    if model.read == "last":
        pooled = states[-1] if length is None else jnp.take(states, length - 1, axis=0)
    else:
        pooled = pool(states, model.read, inside)
    read = in_dtype(model.sigma_r, x.dtype) * model.width**-0.5
    return read * product(held({"R": params["R"]}, "R" if model.train_readout else "")["R"], pooled)
