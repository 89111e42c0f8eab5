"""What is the infinite-width kernel of a deep bidirectional recurrent network? Whole grids of steps, layer by layer."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkseq import _checks, activations
from ntkseq._layers import check_train
from ntkseq._struct import fill, static, struct
from ntkseq._types import ActivationLike, AnyModel, DType, Inputs, Lengths, Scale, Scales
from ntkseq.kernels import bidirectional_grid as grid
from ntkseq.kernels import rounding, scans
from ntkseq.kernels.base import Kernel, Side
from ntkseq.kernels.finite_width import check_limit
from ntkseq.kernels.layers import Layers, all_finite
from ntkseq.kernels.recurrent import Recurrent

_SCALES = ("sigma_w", "sigma_u", "sigma_b", "sigma_r")


@struct
class Bidirectional(Kernel):
    """The limit of a stack of bidirectional layers, each reading both directions of the one below side by side.

        u^l_t = (sigma_w / sqrt n) W^l h^l_{t-1} + (sigma_u / sqrt(2 n)) U^l [h^{l-1}_t, h'^{l-1}_t] + sigma_b b^l

    h' runs from the end of the sequence to its beginning, with weights of its own; the first layer reads x_t, with
    sqrt d for sqrt(2 n); f = (sigma_r / sqrt(2 n)) R [h^L, h'^L]. Each direction follows recurrent.2 to recurrent.6 on
    the grid of all pairs of steps, and hands the half of its covariance and tangent kernel to both directions above.
    With depth 1 it is half of `kernels.Recurrent(direction="both")`; there, deeper stacks stay apart up to the output.
    Time O(n^2 t^2 depth), memory 12 t^2 numbers per pair. Accuracy in float32 as that of `kernels.Recurrent`: the
    relu family is carried by its chord.

    Args:
        sigma_w, sigma_u, sigma_b, sigma_r: standard deviations of recurrent weights, input weights, biases and
            read-out. The first three: a number, or one number per layer. Leaves.
        activation: a name of `activations.names()` or an `activations.Activation`.
        depth: number of bidirectional layers.
        read: "mean" or "sum" over the sequence's own steps, or "last": the state of each direction after its last
            step, which is step 1 of the sequence for the reversed one.
        train: trained parameter groups, letters out of "WUbR"; or one string per layer (R belongs to the last).
        input_scale: "dim" for <x, x'> / d, "none" for <x, x'>.
        kind: "ntk" or "nngp".

    Raises:
        ValueError: negative or non-finite scales, unknown words, train letters out of place.

    Reference: yang2020tp2, for the limit of any architecture; the recursion is derived here.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ntkseq.kernels.bidirectional import Bidirectional
        >>> x = jax.random.normal(jax.random.key(0), (3, 4, 2))  # n = 3 sequences, t = 4 steps, d = 2 features
        >>> Bidirectional(depth=2, sigma_w=1.4)(x).shape
        (3, 3)
    """

    references = ("yang2020tp2",)

    sigma_w: Scales = 1.0
    sigma_u: Scales = 1.0
    sigma_b: Scales = 0.0
    sigma_r: Scale = 1.0
    activation: ActivationLike = "relu"
    depth: int = static(default=2)
    read: str = static(default="mean")
    train: str | tuple[str, ...] = static(default="WUbR")
    input_scale: str = static(default="dim")
    kind: str = static(default="ntk")

    def __post_init__(self) -> None:
        for name in _SCALES:
            _checks.scale(name, getattr(self, name))
        _checks.positive_int("depth", self.depth)
        _checks.choice("read", self.read, ("mean", "sum", "last"))
        _checks.choice("input_scale", self.input_scale, ("dim", "none"))
        _checks.choice("kind", self.kind, ("ntk", "nngp"))
        fill(self, train=check_train(self.train, self.depth), activation=activations.get(self.activation))
        for name in _SCALES[:3]:
            shape = np.shape(getattr(self, name))
            if shape not in ((), (self.depth,)):
                raise ValueError(f"{name} must be a number or {self.depth} numbers, one per layer; got shape {shape}.")

    def layers(self, dtype: DType) -> tuple[Layers, ...]:
        """The constants of each layer in the dtype of the data."""
        pick = lambda value, i: value if np.ndim(value) == 0 else value[i]  # noqa: E731
        each = []
        for i, train in enumerate(check_train(self.train, self.depth)):
            scales = {name: pick(getattr(self, name), i) for name in _SCALES}
            each.append(Recurrent(**scales, activation=self.activation, train=train, kind=self.kind).layers(dtype))
        return tuple(each)

    def prepare(self, x: Inputs, lengths: Lengths = None) -> Side:
        """Compute the variances of both directions, layer by layer.

        Args:
            x: (n, t, d), padded on the right.
            lengths: (n,) integers in 1..t; None means all t. What stands behind a length is never looked at.

        Raises:
            ValueError: wrong rank, NaN or infinity, lengths out of range, variances that overflow the dtype.
        """
        x, lengths = _checks.sequences("x", x, lengths)
        side, finite = _prepare(self, self.layers(x.dtype), x, lengths)
        _checks.no_overflow(finite, x.dtype, f"{x.shape[1]} steps", "sigma_w (relu keeps the norm at sqrt 2)")
        return side

    def tile(self, left: Side, right: Side) -> Float[Array, "n m"]:
        return _tile(self.layers(left["mask"].dtype), left, right)

    def diag_side(self, side: Side) -> Float[Array, " n"]:
        return _diag(self.layers(side["mask"].dtype), side)

    def entry_rounding(self, side: Side) -> float:
        """Upper estimate of |computed - exact| / sqrt(K_ii K_jj), see `LeakyRecurrent.entry_rounding`."""
        units = 4.0 if isinstance(self.activation, activations.Smooth) else 1.0  # the rounding of a Hermite series
        eps, t = float(jnp.finfo(side["mask"].dtype).eps), side["mask"].shape[1]
        return (
            units
            * eps
            * (8.0 + 2.0 * self.depth * t**0.5)
            * max(1.0, float(_growth(self.layers(side["mask"].dtype), side)))
        )

    def entries_per_pair(self, side: Side) -> int:
        return 12 * side["mask"].shape[1] ** 2

    def steps(self, side: Side) -> int:
        return 2 * self.depth * side["mask"].shape[1] ** 2

    def finite(self, width: int) -> AnyModel:
        """The network of that width whose limit this kernel is: a `models.Bidirectional`.

        Raises:
            ValueError: `kind="nngp"`, which no gradient has as its limit.
        """
        from ntkseq import models

        check_limit(self)
        names = (*_SCALES, "activation", "depth", "read", "train", "input_scale")
        return models.Bidirectional(width=width, **{name: getattr(self, name) for name in names})


@jax.jit
def _prepare(kernel: Bidirectional, layers: tuple[Layers, ...], x: Array, lengths: Array) -> tuple[Side, Array]:
    n, t, d = x.shape
    column, length = jnp.arange(t, dtype=lengths.dtype)[None, :], lengths[:, None]
    inside = column < length
    x = x * (d**-0.5 if kernel.input_scale == "dim" else 1.0)
    ends = (column == length - 1, jnp.broadcast_to(column == 0, (n, t)))
    weight = inside.astype(x.dtype) / (length.astype(x.dtype) if kernel.read == "mean" else 1)
    sides, below = [], None
    for layer in layers:
        both = []
        for name in ("forward", "reversed"):
            tokens, low, steps = grid.turned((x, below, inside), name)
            both.append(grid.one_side(layer, tokens, low, steps, t))
        sides.append(tuple(both))
        below = (both[0]["image"], both[1]["image"][:, ::-1])
    out = tuple((end.astype(x.dtype) if kernel.read == "last" else weight) for end in ends)
    side = {"layers": tuple(sides), "mask": inside.astype(x.dtype), "out": out}
    return side, all_finite(side)


@jax.jit
def _tile(layers: tuple[Layers, ...], left: Side, right: Side) -> Array:
    return grid.pairs(layers, left, right)[0]


@jax.jit
def _diag(layers: tuple[Layers, ...], side: Side) -> Array:
    return scans.diagonal(lambda one: grid.pairs(layers, one, one)[0], side)


@jax.jit
def _growth(layers: tuple[Layers, ...], side: Side) -> Array:
    return rounding.growth(lambda one, jolt: grid.pairs(layers, one, one, jolt), side)
