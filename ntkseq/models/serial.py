"""What does a network of blocks on tokens compute at finite width?"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ntkseq import _checks, blocks
from ntkseq._struct import fill, static, struct
from ntkseq._types import ArrayLike, Flag, Integer, Number, Scale
from ntkseq.models import attention
from ntkseq.models.base import Model, Params, Shape, held, in_dtype, pool, product


@struct
class Serial(Model):
    """Blocks in a row, tokens (t, d) in; read out by f = (sigma_r / sqrt m) R h, h (m,) the pooled tokens.

    Its limit is `kernels.Serial` with the same arguments, and `kernel.finite(width)` makes one. Parameters:
    `{"blocks": (one tree per block), "R"}`, with {"W", "b"} of a `Linear` or `Convolution` (W (n, size, d), depthwise
    (n, size)), {"value", "gate"} of a `GLU`, {"Q", "K", "V", "O", "b"} of an `Attention`
    (at scaling "dim" "K" is missing: "Q" stands for both), {"blocks"} of a `Residual` and {"p"} of `Positions`, which
    is drawn by `init` and never trained; it ties the parameters to the padded length t.

    `Linear` and `Attention` make tokens of `width` coordinates; inside a `Residual`, the last of them returns to the
    width of the tokens it is added to. So put a `Linear` first: the limit needs many coordinates at every block but
    a first `Linear` or `Attention`, which take the d features as they are.

    Args:
        *parts: blocks of `ntkseq.blocks`, or names of activations.
        width: number n of coordinates of each token.
        heads: heads of each attention block that projects. None: n / 8 at scaling "root", at most 8 at "dim".
        d_k: coordinates of queries and keys of one head. None: n / 4 at scaling "root", n at "dim".
        d_v: coordinates of values of one head. None: n / heads. The limit needs d_k and heads * d_v to grow, at
            scaling "root" heads as well.
        read: "mean" or "sum" over a sequence's own tokens, its "last" or its "first" token.
        sigma_r: standard deviation of the read-out. A leaf.
        train_readout: whether the read-out is trained; blocks have a `train` of their own.
        input_scale: "dim": tokens have the covariance <x, x'> / d; "none": <x, x'>, as if x were sqrt(d) x.
        outputs: number o of outputs.

    Raises:
        ValueError: something that is no block, counts below 1, negative or non-finite scales, unknown words.

    Reference: hron2020attention; yang2020tp2.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ntkseq import models
        >>> from ntkseq.blocks import Attention, LayerNorm, Linear, Residual
        >>> x = jnp.ones((5, 2))  # t = 5 tokens, d = 2 features
        >>> net = models.Serial(Linear(), Residual(LayerNorm(eps=1e-3), Attention()), Linear(2**0.5), "relu", width=16)
        >>> net.apply(net.init(jax.random.key(0), x), x, length=4).shape
        (1,)
    """

    blocks: tuple[blocks.Block, ...]
    width: int = static()
    heads: int | None = static(default=None)
    d_k: int | None = static(default=None)
    d_v: int | None = static(default=None)
    read: str = static(default="mean")
    sigma_r: Scale = 1.0
    train_readout: bool = static(default=True)
    input_scale: str = static(default="dim")
    outputs: int = static(default=1)

    axes = "t d"

    def __init__(
        self,
        *parts: Any,
        width: Integer,
        heads: Integer | None = None,
        d_k: Integer | None = None,
        d_v: Integer | None = None,
        read: str = "mean",
        sigma_r: Number = 1.0,
        train_readout: Flag = True,
        input_scale: str = "dim",
        outputs: Integer = 1,
    ) -> None:
        counts = {"width": width, "heads": heads, "d_k": d_k, "d_v": d_v, "outputs": outputs}
        for name, value in counts.items():
            if value is not None or name in ("width", "outputs"):
                counts[name] = _checks.positive_int(name, value)
        _checks.choice("read", read, ("mean", "last", "first", "sum"))
        _checks.choice("input_scale", input_scale, ("dim", "none"))
        _checks.scale("sigma_r", sigma_r)
        train_readout = _checks.flag("train_readout", train_readout)
        rest = {"read": read, "sigma_r": sigma_r, "train_readout": train_readout, "input_scale": input_scale}
        fill(self, blocks=blocks.sequence("Serial", parts), **counts, **rest)

    def with_(self, **changes: Any) -> Serial:
        """A copy with some arguments changed, `**changes` by name; `blocks` as a tuple."""
        names = ("width", "heads", "d_k", "d_v", "read", "sigma_r", "train_readout", "input_scale", "outputs")
        arguments = {"blocks": self.blocks, **{name: getattr(self, name) for name in names}, **changes}
        return Serial(*arguments.pop("blocks"), **arguments)

    def shapes(self, x_shape: tuple[int, ...]) -> Params:
        t, d = x_shape
        widths = attention.Widths(self.width, self.heads, self.d_k, self.d_v)
        trees, out = attention.shapes(self.blocks, t, d, widths)
        return {"blocks": trees, "R": Shape(self.outputs, out)}

    def started(self, raw: Params) -> Params:
        return raw | {"blocks": attention.started(self.blocks, raw["blocks"])}

    def apply(self, params: Params, x: ArrayLike, length: Number | None = None) -> Float[Array, " o"]:
        x, length = _checks.sequence("x", x, length)
        self._check_params(params, x)
        return _forward(self, params, x, length)

    def attention_weights(
        self, params: Params, x: ArrayLike, length: Number | None = None
    ) -> tuple[Float[Array, "heads t t"], ...]:
        """The attention matrices of each attention block, in order, for one sequence: row a says where token a looks.

        Args:
            params, x, length: as for `apply`. Rows and columns of tokens outside the sequence are zero.

        Raises:
            ValueError: as `apply`.
        """
        x, length = _checks.sequence("x", x, length)
        self._check_params(params, x)
        return _attention(self, params, x, length)


@jax.jit
def _attention(model: Serial, params: Params, x: Array, length: Array | None) -> tuple[Array, ...]:
    seen: list[Array] = []
    _tokens(model, params, x, length, seen)
    return tuple(seen)


def _tokens(
    model: Serial, params: Params, x: Array, length: Array | None, seen: list[Array] | None = None
) -> tuple[Float[Array, "t m"], Bool[Array, " t"]]:
    """The tokens behind the last block, 0 outside the sequence, and which are inside."""
    t, d = x.shape
    step = jnp.arange(t, dtype=jnp.int32)
    inside = jnp.ones((t,), bool) if length is None else step < length
    if model.input_scale == "none":
        x = x * d**0.5
    return attention.forward(in_dtype(model.blocks, x.dtype), params["blocks"], x, inside, seen), inside


@jax.jit
def _forward(model: Serial, params: Params, x: Array, length: Array | None) -> Array:
    h, inside = _tokens(model, params, x, length)
    if model.read == "first":
        pooled = h[0]
    elif model.read == "last":
        pooled = h[-1] if length is None else jnp.take(h, length - 1, axis=0)
    else:
        pooled = pool(h, model.read, inside)
    R = held({"R": params["R"]}, "R" if model.train_readout else "")["R"]
    return in_dtype(model.sigma_r, x.dtype) * h.shape[1] ** -0.5 * product(R, pooled)
