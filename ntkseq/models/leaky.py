"""What does a leaky recurrent network of finite width compute?"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkseq import _checks, activations
from ntkseq._layers import check_letters, factor
from ntkseq._struct import fill, static, struct
from ntkseq._types import ActivationLike, ArrayLike, Number, PyTree, Scale
from ntkseq.models.base import Model, Params, Shape, held, in_dtype, pool, product

_SCALES = ("sigma_w", "sigma_u", "sigma_b", "sigma_r")
_CONSTANTS = ("keep", "gate", *_SCALES)


@struct
class LeakyRecurrent(Model):
    """A network of leaky units h_t = keep h_{t-1} + gate phi(u_t), h_0 = 0, read out by f = (sigma_r / sqrt n) R h.

        u_t = (sigma_w / sqrt n) W h_{t-1} + (sigma_u / sqrt d) U x_t + sigma_b b

    Its limit is `kernels.LeakyRecurrent` with the same arguments. Parameters: `{"W", "U", "b", "R"}`. keep = 0 and
    gate = 1 is the Elman network; keep = 1 a residual network over time.

    Args:
        width: number n of units.
        keep, gate: share of the old state that stays, factor of the new one. Leaves.
        sigma_w, sigma_u, sigma_b, sigma_r: standard deviations of recurrent weights, input weights, bias and
            read-out, before the 1/sqrt(fan-in). Leaves.
        activation: a name of `activations.names()` or an `activations.Activation`.
        read: "last" step, "mean" or "sum" over the sequence's own steps with one read-out.
        train: trained parameter groups, letters out of "WUbR".
        input_scale: "dim" for the 1/sqrt(d) of the inputs, "none" for 1 in its place.
        outputs: number o of outputs.

    Raises:
        ValueError: counts below 1, negative or non-finite scales, unknown words, train letters out of place.

    Reference: yang2020tp2.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ntkseq.models.leaky import LeakyRecurrent
        >>> x = jnp.ones((5, 2))  # t = 5 steps, d = 2 features
        >>> net = LeakyRecurrent(width=64, keep=0.6, gate=0.4)
        >>> net.apply(net.init(jax.random.key(0), x), x, length=4).shape
        (1,)
    """

    width: int = static(check=_checks.positive_int)
    keep: Scale = 0.5
    gate: Scale = 0.5
    sigma_w: Scale = 1.0
    sigma_u: Scale = 1.0
    sigma_b: Scale = 0.0
    sigma_r: Scale = 1.0
    activation: ActivationLike = "relu"
    read: str = static(default="last")
    train: str = static(default="WUbR")
    input_scale: str = static(default="dim")
    outputs: int = static(check=_checks.positive_int, default=1)

    axes = "t d"

    def __post_init__(self) -> None:
        for name in ("keep", "gate"):
            factor(name, getattr(self, name))
        for name in _SCALES:
            _checks.scale(name, getattr(self, name))
        _checks.choice("read", self.read, ("last", "mean", "sum"))
        _checks.choice("input_scale", self.input_scale, ("dim", "none"))
        check_letters(self.train, "WUbR")
        fill(self, activation=activations.get(self.activation))

    def shapes(self, x_shape: tuple[int, ...]) -> Params:
        n = self.width
        return {"W": Shape(n, n), "U": Shape(n, x_shape[1]), "b": Shape(n), "R": Shape(self.outputs, n)}

    def apply(self, params: Params, x: ArrayLike, length: Number | None = None) -> Float[Array, " o"]:
        x, length = _checks.sequence("x", x, length)
        self._check_params(params, x)
        return _forward(self, params, x, length)


@jax.jit
def _forward(model: LeakyRecurrent, params: Params, x: Array, length: Array | None) -> Array:
    n, dtype = model.width, x.dtype
    keep, gate, w, u, b, v = (in_dtype(getattr(model, name), dtype) for name in _CONSTANTS)
    phi = in_dtype(activations.get(model.activation), dtype)
    raw = held(params, model.train)
    x = x * (x.shape[1] ** -0.5 if model.input_scale == "dim" else 1.0)
    drive = u * product(x, raw["U"].T) + b * raw["b"][None, :]  # (t, n)
    inside = None if length is None else jnp.arange(x.shape[0], dtype=jnp.int32) < length

    def step(h: Array, now: PyTree) -> tuple[Array, Array]:
        drive, valid = now
        new = keep * h + gate * phi(w * n**-0.5 * product(raw["W"], h) + drive)
        h = new if valid is None else jnp.where(valid, new, h)  # behind the length the last state stands still
        return h, h

    last, states = jax.lax.scan(step, jnp.zeros((n,), dtype), (drive, inside))
    pooled = last if model.read == "last" else pool(states, model.read, inside)
    return v * n**-0.5 * product(raw["R"], pooled)
