"""What is the infinite-width kernel of a fully connected network? One step of the recurrent cell, without a past."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkseq import _checks, activations
from ntkseq._layers import check_train, per_layer, scalar
from ntkseq._struct import fill, static, struct
from ntkseq._types import ActivationLike, AnyModel, DType, Inputs, Lengths, Scale, Scales
from ntkseq.kernels import scans
from ntkseq.kernels.base import Kernel, Side
from ntkseq.kernels.finite_width import check_limit
from ntkseq.kernels.layers import Layers, all_finite
from ntkseq.kernels.recurrent import amplified, cell_of


@struct
class Dense(Kernel):
    """The limit of a network with `depth` hidden layers of infinite width, read out by (sigma_r / sqrt n) R h.

        u^1 = (sigma_w / sqrt d) W^1 x + sigma_b b^1,   u^l = (sigma_w / sqrt n) W^l phi(u^{l-1}) + sigma_b b^l

    Args:
        sigma_w, sigma_b: standard deviations of weights and biases, a number or one per layer. Leaves.
        sigma_r: standard deviation of the read-out. A leaf.
        depth, activation, kind, input_scale: as in `kernels.Recurrent`.
        train: trained parameter groups, letters out of "WbR"; or one string per layer (R belongs to the last), "" for
            a frozen one: `train=("", "WbR")` holds the first of two layers at its initial weights.

    Raises:
        ValueError: negative or non-finite scales, unknown words, train letters out of place.

    Reference: cho2009kernel; williams1997 (the duals); the recursion is recurrent.5 with sigma_w = 0.

    Example:
        >>> import jax.numpy as jnp
        >>> from ntkseq import kernels
        >>> kernel = kernels.Dense(sigma_w=2**0.5, depth=2)
        >>> kernel(jnp.eye(3)).shape
        (3, 3)
    """

    sigma_w: Scales = 1.0
    sigma_b: Scales = 0.0
    sigma_r: Scale = 1.0
    activation: ActivationLike = "relu"
    depth: int = static(default=1)
    train: str | tuple[str, ...] = static(default="WbR")
    input_scale: str = static(default="dim")
    kind: str = static(default="ntk")

    references = ("cho2009kernel", "williams1997")

    def __post_init__(self) -> None:
        for name in ("sigma_w", "sigma_b", "sigma_r"):
            _checks.scale(name, getattr(self, name))
        _checks.positive_int("depth", self.depth)
        _checks.choice("input_scale", self.input_scale, ("dim", "none"))
        _checks.choice("kind", self.kind, ("ntk", "nngp"))
        parts = check_train(self.train, self.depth, "WbR")
        train = self.train if isinstance(self.train, str) else parts
        fill(self, train=train, activation=activations.get(self.activation))

    def layers(self, dtype: DType) -> Layers:
        """The constants of the stack in the dtype of the data."""
        return Layers(
            w=np.zeros((self.depth,), dtype),
            u=per_layer("sigma_w", self.sigma_w, self.depth, dtype),
            b=per_layer("sigma_b", self.sigma_b, self.depth, dtype),
            v=scalar(self.sigma_r, dtype),
            h=np.zeros((), dtype),
            activation=jax.tree.map(lambda leaf: scalar(leaf, dtype), activations.get(self.activation)),
            gain=None,
            train=tuple(  # no recurrent weights: training them is free
                "W" + letters.replace("W", "U") for letters in check_train(self.train, self.depth, "WbR")
            ),
            raw=False,
            initial=False,
            independent=False,
            tangent=self.kind == "ntk",
        )

    def prepare(self, x: Inputs, lengths: Lengths = None) -> Side:
        """Check the vectors (n, d) and compute their variances layer by layer.

        Raises:
            ValueError: wrong rank, NaN or infinity, `lengths` given (vectors have none), overflow of the dtype.
        """
        if lengths is not None:
            raise ValueError(
                "kernels.Dense takes vectors (n, d), which have no lengths; got lengths. Drop the argument."
            )
        x = _checks.matrix("x", x)
        side, finite = _prepare(self, x)
        _checks.no_overflow(finite, x.dtype, f"{self.depth} layers", "sigma_w (relu keeps the norm at sqrt 2)")
        return side

    def tile(self, left: Side, right: Side) -> Float[Array, "n m"]:
        return _tile(self, left, right)

    def diag_side(self, side: Side) -> Float[Array, " n"]:
        return _diag(self, side)

    def entry_rounding(self, side: Side) -> float:
        """Upper estimate of |computed - exact| / sqrt(K_ii K_jj), see `Recurrent.entry_rounding`."""
        dtype = side["read"]["out"].dtype
        return max(float(jnp.finfo(dtype).eps) * (16.0 + 4.0 * self.depth), amplified(self, (side,), "last"))

    def finite(self, width: int) -> AnyModel:
        """The network of that width whose limit this kernel is: a `models.Dense`.

        Raises:
            ValueError: `kind="nngp"`, which no gradient has as its limit.
        """
        from ntkseq import models

        check_limit(self)
        names = ("sigma_w", "sigma_b", "sigma_r", "activation", "depth", "train", "input_scale")
        return models.Dense(width=width, **{name: getattr(self, name) for name in names})


@jax.jit
def _prepare(kernel: Dense, x: Array) -> tuple[Side, Array]:
    x = x * (x.shape[1] ** -0.5 if kernel.input_scale == "dim" else 1.0)
    every = jnp.ones((x.shape[0], 1), bool)
    side = cell_of(kernel.layers(x.dtype)).sides(x[:, None], every, every, every.astype(x.dtype))
    return side, all_finite(side)


@jax.jit
def _tile(kernel: Dense, left: Side, right: Side) -> Array:
    return scans.last(cell_of(kernel.layers(left["read"]["out"].dtype)), left, right, same=False)


@jax.jit
def _diag(kernel: Dense, side: Side) -> Array:
    cell = cell_of(kernel.layers(side["read"]["out"].dtype))
    return scans.diagonal(lambda one: scans.last(cell, one, one, same=True), side)
