"""What does a stacked Elman network of finite width compute?"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ntkseq import _checks, _precision, activations
from ntkseq._layers import check_train, per_layer
from ntkseq._struct import fill, static, struct
from ntkseq._types import ActivationLike, ArrayLike, Key, Number, PyTree, Scale, Scales
from ntkseq.models.base import Model, Params, Shape, held, in_dtype, pool, product

_SCALES = ("sigma_w", "sigma_u", "sigma_b", "sigma_r", "sigma_h")


@struct
class Recurrent(Model):
    """An Elman network h_t = phi(u_t) of `depth` recurrent layers, read out by f = (sigma_r / sqrt n) R h.

        u^l_t = (sigma_w / sqrt n) W^l h^l_{t-1} + (sigma_u / sqrt n_{l-1}) U^l h^{l-1}_t + sigma_b b^l   (recurrent.1)

    with h^0_t = x_t and n_0 = d. Its limit is `kernels.Recurrent` with the same arguments, and `kernel.finite(width)`
    makes one. Parameters: `{direction: {"layers": ({"W", "U", "b"}, ...), "R"}}`, where a shared initial state stands
    as "h0" beside the weights of its layer.

    Args:
        width: number n of units of each layer.
        sigma_w, sigma_u, sigma_b, sigma_r: standard deviations of recurrent weights, input weights, biases and
            read-out, before the 1/sqrt(fan-in). The first three: a number, or one number per layer. Leaves.
        sigma_h: standard deviation of the initial state. A leaf; used unless h0 is "zero".
        depth: number of recurrent layers.
        activation: a name of `activations.names()` or an `activations.Activation`.
        read: "last" step, "mean" or "sum" over the sequence's own steps with one read-out, or "steps": an
            independent read-out R^(t) per step, summed over the steps in the order in which they are visited. It
            ties the parameters to the padded length t.
        direction: "forward", "reversed" (each sequence within its own length), or "both" (two independent
            networks, outputs added).
        h0: "zero", "shared" (one random initial state per layer for all inputs, drawn by `init`, never trained:
            its gradient is zero) or "independent" (drawn for each input; `apply` then needs `key=`).
        train: trained parameter groups, letters out of "WUbR"; or one string per layer (R belongs to the last).
        input_scale: "dim" for the 1/sqrt(d) of the first layer, "none" for 1 in its place.
        outputs: number o of outputs.

    Raises:
        ValueError: counts below 1, negative or non-finite scales, unknown words, train letters out of place.

    Reference: yang2020tp2; alemohammad2021rntk.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ntkseq import models
        >>> x = jnp.ones((3, 5, 2))  # n = 3 sequences, t = 5 steps, d = 2 features
        >>> net = models.Recurrent(width=64, sigma_w=1.4, read="mean")
        >>> params = net.init(jax.random.key(0), x[0])
        >>> net.apply(params, x[0], length=4).shape
        (1,)
        >>> jax.vmap(net.apply, in_axes=(None, 0, 0))(params, x, jnp.array([5, 2, 3])).shape
        (3, 1)
    """

    width: int = static(check=_checks.positive_int)
    sigma_w: Scales = 1.0
    sigma_u: Scales = 1.0
    sigma_b: Scales = 0.0
    sigma_r: Scale = 1.0
    sigma_h: Scale = 0.0
    activation: ActivationLike = "relu"
    depth: int = static(check=_checks.positive_int, default=1)
    read: str = static(default="last")
    direction: str = static(default="forward")
    h0: str = static(default="zero")
    train: str | tuple[str, ...] = static(default="WUbR")
    input_scale: str = static(default="dim")
    outputs: int = static(check=_checks.positive_int, default=1)

    axes = "t d"

    def __post_init__(self) -> None:
        for name in _SCALES:
            _checks.scale(name, getattr(self, name))
        for name, allowed in (
            ("read", ("last", "mean", "sum", "steps")),
            ("direction", ("forward", "reversed", "both")),
            ("h0", ("zero", "shared", "independent")),
            ("input_scale", ("dim", "none")),
        ):
            _checks.choice(name, getattr(self, name), allowed)
        fill(self, train=check_train(self.train, self.depth), activation=activations.get(self.activation))

    @property
    def directions(self) -> tuple[str, ...]:
        """The directions in which the sequence is read, each by a stack of its own."""
        return ("forward", "reversed") if self.direction == "both" else (self.direction,)

    def shapes(self, x_shape: tuple[int, ...]) -> Params:
        (t, d), n = x_shape, self.width
        initial = {"h0": Shape(n)} if self.h0 == "shared" else {}
        layers = tuple(
            {"W": Shape(n, n), "U": Shape(n, d if i == 0 else n), "b": Shape(n), **initial} for i in range(self.depth)
        )
        read = Shape(t, self.outputs, n) if self.read == "steps" else Shape(self.outputs, n)
        return {name: {"layers": layers, "R": read} for name in self.directions}

    def apply(
        self, params: Params, x: ArrayLike, length: Number | None = None, key: Key | None = None
    ) -> Float[Array, " o"]:
        """The outputs for one sequence.

        Args:
            params: what `init` returned, or what training made of it.
            x: (t, d), padded on the right. Its dtype is that of the parameters.
            length: number of steps that count, 1..t; None means all. What stands behind it is never looked at.
            key: random key of this example's initial state, for h0="independent" and only there.

        Raises:
            ValueError: wrong rank, NaN or infinity, length out of range, params of another model or another t,
                a missing or needless key.
        """
        x, length = _checks.sequence("x", x, length)
        self._check_params(params, x)
        if self.h0 == "independent":
            if key is None:
                raise ValueError(
                    'h0="independent" draws an initial state for each example, and apply cannot know which example '
                    "it is given; got key=None. Pass key=, another one for each example (jax.random.split), or "
                    'use h0="shared".'
                )
            key = _checks.prng_key("key", key)
        elif key is not None:
            raise ValueError(f'key is for h0="independent"; got one with h0={self.h0!r}. Leave it out.')
        return _forward(self, params, x, length, key)


@jax.jit
def _forward(model: Recurrent, params: Params, x: Array, length: Array | None, key: Array | None) -> Array:
    x = x * (x.shape[1] ** -0.5 if model.input_scale == "dim" else 1.0)
    inside = None if length is None else _steps(x) < length
    keys: Any = [None] * 2 if key is None else jax.random.split(key, 2)
    total = jnp.zeros((model.outputs,), x.dtype)
    for name, start_key in zip(model.directions, keys, strict=False):
        moved = x if name == "forward" else _reversed(x, length)
        h = _states(model, params[name]["layers"], moved, inside, start_key)
        total = total + _read(model, params[name], h, inside)
    return in_dtype(model.sigma_r, x.dtype) * model.width**-0.5 * total


def _steps(x: Array) -> Array:
    return jnp.arange(x.shape[0], dtype=jnp.int32)


def _reversed(x: Array, length: Array | None) -> Array:
    """The sequence back to front within its own length; what comes behind it is masked later."""
    if length is None:
        return x[::-1]
    return jnp.take(x, jnp.clip(length - 1 - _steps(x), 0), axis=0)


def _states(
    model: Recurrent, layers: PyTree, x: Float[Array, "t d"], inside: Bool[Array, " t"] | None, key: Array | None
) -> Float[Array, "t n"]:
    """The states of the top layer (recurrent.1); behind the length the last state stands still."""
    n, dtype = model.width, x.dtype
    sigma_w, sigma_u, sigma_b = (per_layer(s, getattr(model, s), model.depth, dtype) for s in _SCALES[:3])
    phi = in_dtype(activations.get(model.activation), dtype)
    keys: Any = [None] * model.depth if key is None else jax.random.split(key, model.depth)
    below = states = x
    for i, train in enumerate(check_train(model.train, model.depth)):
        raw = held(layers[i], train)  # "h0" is no letter of train: held always
        start = jnp.zeros((n,), dtype)
        if model.h0 != "zero":
            start = raw["h0"] if keys[i] is None else _precision.normal(keys[i], (n,), dtype)
            start = in_dtype(model.sigma_h, dtype) * start
        drive = sigma_u[i] * product(below, raw["U"].T) + sigma_b[i] * raw["b"][None, :]  # (t, n)
        weights, scale = raw["W"], sigma_w[i] * n**-0.5

        def step(h: Array, now: PyTree, weights: Array = weights, scale: Array = scale) -> tuple[Array, Array]:
            u, valid = now
            new = phi(scale * product(weights, h) + u)
            # Running on into the padding could overflow, and 0 * inf is NaN in the reverse pass: stand still there.
            h = new if valid is None else jnp.where(valid, new, h)
            return h, h

        states = jax.lax.scan(step, start, (drive, inside))[1]
        below = states * n**-0.5
    return states


def _read(
    model: Recurrent, stack: PyTree, h: Float[Array, "t n"], inside: Bool[Array, " t"] | None
) -> Float[Array, " o"]:
    """R h, before its scale: recurrent.7 to recurrent.9."""
    R = held({"R": stack["R"]}, model.train[-1])["R"]
    if model.read == "last":
        return product(R, h[-1])
    if model.read == "steps":
        h = h if inside is None else jnp.where(inside[:, None], h, 0)
        return jnp.einsum("ton,tn->o", R, h, precision="highest")
    return product(R, pool(h, model.read, inside))
