"""What is the infinite-width kernel of a stacked Elman network? Its NTK and its NNGP kernel for every read-out."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkseq import _checks, activations
from ntkseq._layers import check_train, per_layer, scalar
from ntkseq._struct import fill, static, struct
from ntkseq._twofloat import Two, split
from ntkseq._types import ActivationLike, AnyModel, DType, Inputs, Lengths, Number, Scale, Scales
from ntkseq.kernels import duals, presets, rounding, scans
from ntkseq.kernels.base import Kernel, Side
from ntkseq.kernels.cells import Cell, CovarianceCell
from ntkseq.kernels.chordal import second_moment
from ntkseq.kernels.chordal_cell import ChordalCell
from ntkseq.kernels.finite_width import check_limit, warn_if_critical
from ntkseq.kernels.layers import Layers, all_finite

READS = ("last", "mean", "sum", "steps")
_SCALES = ("sigma_w", "sigma_u", "sigma_b", "sigma_r", "sigma_h")


@struct
class Recurrent(Kernel):
    """The limit of an Elman network h_t = phi(u_t) of infinite width, read out by f = (sigma_r / sqrt n) R h.

        u^l_t = (sigma_w / sqrt n) W^l h^l_{t-1} + (sigma_u / sqrt n_{l-1}) U^l h^{l-1}_t + sigma_b b^l   (recurrent.1)

    with h^0_t = x_t, all raw parameters N(0, 1), and l = 1..depth. The kernel follows recurrent.2 to recurrent.6.

    Args:
        sigma_w, sigma_u, sigma_b, sigma_r: standard deviations of recurrent weights, input weights, biases and
            read-out, before the 1/sqrt(width). The first three: a number, or one number per layer. Leaves.
        sigma_h: standard deviation of the initial state. A leaf; used unless h0 is "zero".
        depth: number of recurrent layers.
        activation: a name of `activations.names()` or an `activations.Activation`.
        read: "last" step, "mean" or "sum" over the sequence's own steps with one shared read-out (all pairs of
            steps count), or "steps": an independent read-out per step, summed (divide the kernel by t for an average).
        direction: "forward", "reversed" (each sequence within its own length), or "both" (two independent
            networks, outputs added).
        h0: "zero", "shared" (one random initial state for all inputs) or "independent" (one for each input:
            two equal sequences at different places of a data set are different examples).
        train: trained parameter groups, letters out of "WUbR"; or one string per layer (R belongs to the last).
        input_scale: "dim" for <x, x'> / d, "none" for <x, x'>.
        kind: "ntk" or "nngp" (covariance of the outputs; `train` plays no role).
        param: "ntk" (gradients of the raw parameters carry their sigma) or "raw" (sigmas sit in the prior and
            gradients are taken without them, as in the NTK4A code; a bias then counts 1 even if sigma_b = 0).

    Raises:
        ValueError: negative or non-finite scales, unknown words, train letters out of place.

    Reference: yang2020tp2; alemohammad2021rntk (the same kernel, backward form).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ntkseq import kernels
        >>> x = jax.random.normal(jax.random.key(0), (3, 5, 2))  # n = 3 sequences, t = 5 steps, d = 2 features
        >>> kernel = kernels.Recurrent(sigma_w=1.4, sigma_u=1.0, sigma_b=0.1)
        >>> kernel(x).shape
        (3, 3)
        >>> grads = jax.grad(lambda k: k(x).sum())(kernel)  # with respect to every hyper-parameter
        >>> bool(jnp.isfinite(grads.sigma_w))
        True
    """

    sigma_w: Scales = 1.0
    sigma_u: Scales = 1.0
    sigma_b: Scales = 0.0
    sigma_r: Scale = 1.0
    sigma_h: Scale = 0.0
    activation: ActivationLike = "relu"
    depth: int = static(default=1)
    read: str = static(default="last")
    direction: str = static(default="forward")
    h0: str = static(default="zero")
    train: str | tuple[str, ...] = static(default="WUbR")
    input_scale: str = static(default="dim")
    kind: str = static(default="ntk")
    param: str = static(default="ntk")

    references = ("yang2020tp2", "alemohammad2021rntk")

    def __post_init__(self) -> None:
        for name in _SCALES:
            _checks.scale(name, getattr(self, name))
        _checks.positive_int("depth", self.depth)
        for name, allowed in (
            ("read", READS),
            ("direction", ("forward", "reversed", "both")),
            ("h0", ("zero", "shared", "independent")),
            ("input_scale", ("dim", "none")),
            ("kind", ("ntk", "nngp")),
            ("param", ("ntk", "raw")),
        ):
            _checks.choice(name, getattr(self, name), allowed)
        fill(self, train=check_train(self.train, self.depth), activation=activations.get(self.activation))

    @classmethod
    def preset(cls, name: str, **changes: Any) -> Recurrent:
        """The kernel in the convention of a paper or a code, see `ntkseq.kernels.presets.PRESETS`.

        Args:
            name: "allen-zhu-li" (also Wang et al.), "panigrahi-goyal", "rntk" (the RNTK_UCI code) or "ntk4a".
            **changes: arguments of the class that differ from it.

        Raises:
            ValueError: an unknown name, or what the class refuses.

        Example:
            >>> from ntkseq import kernels
            >>> kernels.Recurrent.preset("allen-zhu-li").train
            ('W',)
        """
        return cls(**presets.recurrent(name, changes))

    def layers(self, dtype: DType) -> Layers:
        """The constants of the stack in the dtype of the data."""
        act = jax.tree.map(lambda leaf: scalar(leaf, dtype), activations.get(self.activation))
        return Layers(
            *[per_layer(name, getattr(self, name), self.depth, dtype) for name in _SCALES[:3]],  # checked before gain
            v=scalar(self.sigma_r, dtype),
            h=scalar(self.sigma_h if self.h0 != "zero" else 0.0, dtype),
            activation=act,
            gain=recurrent_gain(self.sigma_w, self.activation, self.depth, dtype),
            train=check_train(self.train, self.depth),
            raw=self.param == "raw",
            initial=self.h0 != "zero",
            independent=self.h0 == "independent",
            tangent=self.kind == "ntk",
        )

    def prepare(self, x: Inputs, lengths: Lengths = None) -> Side:
        """Align the sequences and compute their variances.

        Args:
            x: (n, t, d), padded on the right.
            lengths: (n,) integers in 1..t; None means all t. What stands behind a length is never looked at.

        Returns:
            One side per direction; arrays with leading axis n.

        Raises:
            ValueError: wrong rank, NaN or infinity, lengths out of range, variances that overflow the dtype.
        """
        x, lengths = _checks.sequences("x", x, lengths)
        side, finite = _prepare(self, self.layers(x.dtype), x, lengths)
        _checks.no_overflow(finite, x.dtype, f"{x.shape[1]} steps", "sigma_w (relu keeps the norm at sqrt 2)")
        return side

    def _sides(self, cell: Cell, x: Array, lengths: Array) -> Side:
        n, t, d = x.shape
        x = x * (d**-0.5 if self.input_scale == "dim" else 1.0)
        column = jnp.arange(t, dtype=lengths.dtype)[None, :]
        length = lengths[:, None]
        inside = column < length  # (n, t), left-aligned
        out = {
            "last": jnp.ones((n, t), x.dtype),
            "mean": inside.astype(x.dtype) / length.astype(x.dtype),
            "sum": inside.astype(x.dtype),
            "steps": inside.astype(x.dtype),
        }[self.read]
        directions = []
        for name in ("forward", "reversed"):
            if self.direction not in (name, "both"):
                continue
            source = column if name == "forward" else length - 1 - column
            if self.read == "last":  # the last steps of all sequences share the last column
                source = column - (t - length) if name == "forward" else t - 1 - column
                inside = column >= t - length
            at = jnp.clip(source, 0, t - 1)
            moved = jnp.take_along_axis(x, at[:, :, None], axis=1)
            moved = jnp.where(inside[:, :, None], moved, 0)
            start = inside & ~jnp.pad(inside, ((0, 0), (1, 0)))[:, :-1]
            directions.append(cell.sides(moved, inside, start, out))
        return tuple(directions)

    def _pairs(self, left: Side, right: Side, same: bool) -> Array:
        scan = {"last": scans.last, "steps": scans.steps}.get(self.read, scans.all_pairs)
        cell = cell_of(self.layers(left[0]["read"]["out"].dtype))
        return sum(scan(cell, one, two, same) for one, two in zip(left, right, strict=True))  # pyright: ignore

    def tile(self, left: Side, right: Side) -> Float[Array, "n m"]:
        return _tile(self, left, right)

    def diag_side(self, side: Side) -> Float[Array, " n"]:
        return _diag(self, side)

    def entry_rounding(self, side: Side) -> float:
        """Upper estimate of |computed - exact| / sqrt(K_ii K_jj) in the dtype of the data.

        The relu family forgets its roundings at the rate at which it forgets its past: the estimate grows like
        sqrt(t). Smooth activations may amplify them: see `ntkseq.kernels.rounding`. A mean or a sum over steps may
        cancel (near-linear activations of tokens that add up to little): K_ii is then smaller than the sum of the
        K[t, t] whose roundings it holds, and the estimate larger by that ratio.
        """
        out = side[0]["read"]["out"]
        worst = float(jnp.finfo(out.dtype).eps) * (16.0 + 2.0 * self.depth * out.shape[1] ** 0.5)
        worst = max(worst, amplified(self, side, self.read))
        if self.read in ("mean", "sum"):
            single, pooled = np.asarray(_diag(self.with_(read="steps"), side)), np.asarray(_diag(self, side))
            left = np.where(single > pooled, single / np.where(pooled > 0, pooled, float(jnp.finfo(out.dtype).tiny)), 1)
            worst *= float(np.max(left))
        return worst

    def entries_per_pair(self, side: Side) -> int:
        return side[0]["read"]["out"].shape[1] if self.read in ("mean", "sum") else 1

    def steps(self, side: Side) -> int:
        return len(side) * self.depth * side[0]["read"]["out"].shape[1]

    def finite(self, width: int) -> AnyModel:
        """The network of that width whose limit this kernel is: a `models.Recurrent`.

        It warns (`empirical.HeavyTails`) where relu or its family keep norms or let them grow, relu at sigma_w^2 >= 2:
        averages over networks may be made by a few of them. See `empirical.linear_excess` for the identity.

        Raises:
            ValueError: `kind="nngp"` or `param="raw"`, which no gradient in NTK parametrisation has as its limit.
        """
        from ntkseq import models

        check_limit(self)
        warn_if_critical(self.sigma_w, activations.get(self.activation), width)
        shared = {name: getattr(self, name) for name in (*_SCALES, "activation", "depth", "read", "direction", "h0")}
        return models.Recurrent(width=width, input_scale=self.input_scale, train=self.train, **shared)


@jax.jit
def _prepare(kernel: Recurrent, layers: Layers, x: Array, lengths: Array) -> tuple[Side, Array]:
    side = kernel._sides(cell_of(layers), x, lengths)
    return side, all_finite(side)


@jax.jit
def _tile(kernel: Recurrent, left: Side, right: Side) -> Array:
    return kernel._pairs(left, right, same=False)


@jax.jit
def _diag(kernel: Recurrent, side: Side) -> Array:
    return scans.diagonal(lambda one: kernel._pairs(one, one, same=True), side)


def cell_of(layers: Layers) -> Cell:
    """The cell that carries these layers: by chord for the relu family, by covariance otherwise."""
    act = layers.activation
    if activations.is_rectifier(act):
        return ChordalCell(layers)
    return CovarianceCell(layers, duals.get(act))


def amplified(kernel: Any, sides: Side, read: str) -> float:
    """What smooth activations make of roundings, the largest of some sides; 0 for the relu family, which forgets."""
    if activations.is_rectifier(activations.get(kernel.activation)):
        return 0.0
    cell = cell_of(kernel.layers(sides[0]["read"]["out"].dtype))
    return max(float(rounding.relative(cell, one, read)) for one in sides)


def recurrent_gain(sigma_w: Number, activation: Any, depth: int, dtype: DType) -> Two | None:
    """sigma_w^2 E[phi(z)^2] per layer in two floats; None for other activations and where numbers are traced."""
    act = activations.get(activation)
    if not activations.is_rectifier(act):
        return None
    if not all(map(_checks.is_concrete, (sigma_w, act.positive, act.negative))):
        return None
    moment = second_moment(np.asarray(act.positive, np.float64), np.asarray(act.negative, np.float64))
    return split(np.broadcast_to(np.asarray(sigma_w, np.float64) ** 2 * moment, (depth,)), dtype)
