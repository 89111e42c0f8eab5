"""What does a fully connected network of finite width compute?"""

from __future__ import annotations

import jax
from jaxtyping import Array, Float

from ntkseq import _checks, activations
from ntkseq._layers import check_train, per_layer
from ntkseq._struct import fill, static, struct
from ntkseq._types import ActivationLike, ArrayLike, Number, Scale, Scales
from ntkseq.models.base import Model, Params, Shape, held, in_dtype, product


@struct
class Dense(Model):
    """A fully connected network with `depth` hidden layers of `width` units.

        u^1 = (sigma_w / sqrt d) W^1 x + sigma_b b^1
        u^l = (sigma_w / sqrt n) W^l phi(u^{l-1}) + sigma_b b^l,   l = 2..depth
        f   = (sigma_r / sqrt n) R phi(u^depth)

    Its limit is `kernels.Dense` with the same arguments. Parameters: `{"layers": ({"W", "b"}, ...), "R"}`.

    Args:
        width: number n of units of each hidden layer.
        depth: number of hidden layers.
        sigma_w, sigma_b, sigma_r: standard deviations of weights, biases and read-out, before the 1/sqrt(fan-in).
            The first two: a number, or one number per layer. Leaves.
        activation: a name of `activations.names()` or an `activations.Activation`.
        train: trained parameter groups, letters out of "WbR"; or one string per layer (R belongs to the last).
        input_scale: "dim" for the 1/sqrt(d) of the first layer, "none" for 1 in its place.
        outputs: number o of outputs.

    Raises:
        ValueError: counts below 1, negative or non-finite scales, unknown words, train letters out of place.

    Reference: jacot2018.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ntkseq import models
        >>> x = jnp.ones((5, 3))  # n = 5 vectors of d = 3 features
        >>> net = models.Dense(width=64, depth=2, sigma_w=1.4, outputs=2)
        >>> params = net.init(jax.random.key(0), x[0])
        >>> jax.vmap(net.apply, in_axes=(None, 0))(params, x).shape
        (5, 2)
    """

    width: int = static(check=_checks.positive_int)
    depth: int = static(check=_checks.positive_int, default=1)
    sigma_w: Scales = 1.0
    sigma_b: Scales = 0.0
    sigma_r: Scale = 1.0
    activation: ActivationLike = "relu"
    train: str | tuple[str, ...] = static(default="WbR")
    input_scale: str = static(default="dim")
    outputs: int = static(check=_checks.positive_int, default=1)

    axes = "d"

    def __post_init__(self) -> None:
        for name in ("sigma_w", "sigma_b", "sigma_r"):
            _checks.scale(name, getattr(self, name))
        _checks.choice("input_scale", self.input_scale, ("dim", "none"))
        fill(self, train=check_train(self.train, self.depth, "WbR"), activation=activations.get(self.activation))

    def shapes(self, x_shape: tuple[int, ...]) -> Params:
        n = self.width
        fans = (x_shape[-1], *(n for _ in range(self.depth - 1)))
        return {"layers": tuple({"W": Shape(n, m), "b": Shape(n)} for m in fans), "R": Shape(self.outputs, n)}

    def apply(self, params: Params, x: ArrayLike, length: Number | None = None) -> Float[Array, " o"]:
        x = _checks.example("x", x, self.axes)
        _checks.finite("x", x)
        if length is not None:
            raise ValueError(
                f"Dense reads a vector (d,), which has no length; got length={_checks.shown(length)}. Leave it out."
            )
        self._check_params(params, x)
        return _forward(self, params, x)


@jax.jit
def _forward(model: Dense, params: Params, x: Array) -> Array:
    sigma_w, sigma_b = (per_layer(s, getattr(model, s), model.depth, x.dtype) for s in ("sigma_w", "sigma_b"))
    phi = in_dtype(activations.get(model.activation), x.dtype)
    h = x * (x.shape[0] ** -0.5 if model.input_scale == "dim" else 1.0)
    for i, (layer, train) in enumerate(
        zip(params["layers"], check_train(model.train, model.depth, "WbR"), strict=True)
    ):
        raw = held(layer, train)
        h = phi(sigma_w[i] * product(raw["W"], h) + sigma_b[i] * raw["b"]) * model.width**-0.5
    read = held({"R": params["R"]}, model.train[-1])
    return in_dtype(model.sigma_r, x.dtype) * product(read["R"], h)
