"""What does a deep bidirectional recurrent network of finite width compute?"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkseq import _checks, activations
from ntkseq._layers import check_train, per_layer
from ntkseq._struct import fill, static, struct
from ntkseq._types import ActivationLike, ArrayLike, Number, PyTree, Scale, Scales
from ntkseq.models.base import Model, Params, Shape, held, in_dtype, pool, product

_SCALES = ("sigma_w", "sigma_u", "sigma_b", "sigma_r")
DIRECTIONS = ("forward", "reversed")


@struct
class Bidirectional(Model):
    """A stack of bidirectional layers; each reads the states of both directions of the layer below, side by side.

        u^l_t = (sigma_w / sqrt n) W^l h^l_{t-1} + (sigma_u / sqrt(2 n)) U^l [h^{l-1}_t, h'^{l-1}_t] + sigma_b b^l

    and h^l_t = phi(u^l_t); h' runs from the end of the sequence to its beginning, with weights of its own and t + 1 in
    place of t - 1. The first layer reads x_t, with sqrt d for sqrt(2 n). f = (sigma_r / sqrt(2 n)) R [h^L, h'^L].
    Its limit is `kernels.Bidirectional` with the same arguments.
    Parameters: `{"layers": ({direction: {"W", "U", "b"}}, ...), "R"}`.

    Args:
        width: number n of units of each direction of each layer.
        sigma_w, sigma_u, sigma_b, sigma_r: standard deviations of recurrent weights, input weights, biases and
            read-out. The first three: a number, or one number per layer. Leaves.
        depth: number of bidirectional layers.
        activation: a name of `activations.names()` or an `activations.Activation`.
        read: "mean" or "sum" over the sequence's own steps, or "last": the state of each direction after its last
            step, which is step 1 of the sequence for the reversed one.
        train: trained parameter groups, letters out of "WUbR"; or one string per layer (R belongs to the last).
        input_scale: "dim" for the 1/sqrt(d) of the first layer, "none" for 1 in its place.
        outputs: number o of outputs.

    Raises:
        ValueError: counts below 1, negative or non-finite scales, unknown words, train letters out of place.

    Reference: yang2020tp2.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ntkseq.models.bidirectional import Bidirectional
        >>> x = jnp.ones((5, 2))  # t = 5 steps, d = 2 features
        >>> net = Bidirectional(width=64, depth=2)
        >>> net.apply(net.init(jax.random.key(0), x), x, length=4).shape
        (1,)
    """

    width: int = static(check=_checks.positive_int)
    sigma_w: Scales = 1.0
    sigma_u: Scales = 1.0
    sigma_b: Scales = 0.0
    sigma_r: Scale = 1.0
    activation: ActivationLike = "relu"
    depth: int = static(check=_checks.positive_int, default=2)
    read: str = static(default="mean")
    train: str | tuple[str, ...] = static(default="WUbR")
    input_scale: str = static(default="dim")
    outputs: int = static(check=_checks.positive_int, default=1)

    axes = "t d"

    def __post_init__(self) -> None:
        for name in _SCALES:
            _checks.scale(name, getattr(self, name))
        _checks.choice("read", self.read, ("mean", "sum", "last"))
        _checks.choice("input_scale", self.input_scale, ("dim", "none"))
        fill(self, train=check_train(self.train, self.depth), activation=activations.get(self.activation))

    def shapes(self, x_shape: tuple[int, ...]) -> Params:
        n = self.width
        fans = (x_shape[1], *(2 * n for _ in range(self.depth - 1)))
        layers = tuple({name: {"W": Shape(n, n), "U": Shape(n, m), "b": Shape(n)} for name in DIRECTIONS} for m in fans)
        return {"layers": layers, "R": Shape(self.outputs, 2 * n)}

    def apply(self, params: Params, x: ArrayLike, length: Number | None = None) -> Float[Array, " o"]:
        x, length = _checks.sequence("x", x, length)
        self._check_params(params, x)
        return _forward(self, params, x, jnp.asarray(x.shape[0] if length is None else length, jnp.int32))


@jax.jit
def _forward(model: Bidirectional, params: Params, x: Array, length: Array) -> Array:
    n, dtype, t = model.width, x.dtype, x.shape[0]
    w, u, b = (per_layer(name, getattr(model, name), model.depth, dtype) for name in _SCALES[:3])
    phi = in_dtype(activations.get(model.activation), dtype)
    trained = check_train(model.train, model.depth)
    inside = jnp.arange(t, dtype=jnp.int32) < length
    below = x * (x.shape[1] ** -0.5 if model.input_scale == "dim" else 1.0)
    states = below
    for i, (layer, train) in enumerate(zip(params["layers"], trained, strict=True)):
        both = []
        for name in DIRECTIONS:
            raw, backward = held(layer[name], train), name == "reversed"
            drive = u[i] * product(below, raw["U"].T) + b[i] * raw["b"][None, :]  # (t, n)
            weights, scale = raw["W"], w[i] * n**-0.5

            def step(h: Array, now: PyTree, weights: Array = weights, scale: Array = scale) -> tuple[Array, Array]:
                drive, valid = now
                # silent behind the length, where the reversed direction begins
                h = jnp.where(valid, phi(scale * product(weights, h) + drive), 0)
                return h, h

            both.append(jax.lax.scan(step, jnp.zeros((n,), dtype), (drive, inside), reverse=backward)[1])
        states = jnp.concatenate(both, axis=1)  # (t, 2n)
        below = states * (2 * n) ** -0.5
    if model.read == "last":
        pooled = jnp.concatenate([states[length - 1, :n], states[0, n:]])
    else:
        pooled = pool(states, model.read, inside)
    R = held({"R": params["R"]}, trained[-1])["R"]
    return in_dtype(model.sigma_r, dtype) * (2 * n) ** -0.5 * product(R, pooled)
