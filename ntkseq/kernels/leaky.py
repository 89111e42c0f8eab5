"""What is the infinite-width kernel of a leaky recurrent network? Constant gates close its recursion over all steps."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkseq import _checks, activations
from ntkseq._layers import check_letters, factor, scalar
from ntkseq._struct import fill, static, struct
from ntkseq._types import ActivationLike, AnyModel, DType, Inputs, Lengths, Scale
from ntkseq.kernels import leaky_pairs as pairs
from ntkseq.kernels import rounding, scans
from ntkseq.kernels.base import Kernel, Side
from ntkseq.kernels.finite_width import check_limit
from ntkseq.kernels.layers import all_finite

_SCALES = ("sigma_w", "sigma_u", "sigma_b", "sigma_r")


@struct
class LeakyRecurrent(Kernel):
    """The limit of leaky units h_t = keep h_{t-1} + gate phi(u_t), h_0 = 0, read out by f = (sigma_r / sqrt n) R h.

        u_t = (sigma_w / sqrt n) W h_{t-1} + (sigma_u / sqrt d) U x_t + sigma_b b

    With C[t, s] = E[h_t h'_s], H[t, s] the tangent kernel of the states, G = <x_t, x'_s> / d and the duals A and A' of
    phi and of its derivative at the covariance S of the pre-activations,

        S[t, s] = sigma_w^2 C[t-1, s-1] + sigma_u^2 G[t, s] + sigma_b^2
        C[t, s] = keep C[t-1, s] + keep C[t, s-1] - keep^2 C[t-1, s-1] + gate^2 A[t, s]
        T[t, s] = w_W sigma_w^2 C[t-1, s-1] + w_U sigma_u^2 G[t, s] + w_b sigma_b^2 + sigma_w^2 H[t-1, s-1]
        H[t, s] = keep H[t-1, s] + keep H[t, s-1] - keep^2 H[t-1, s-1] + gate^2 A'[t, s] T[t, s]
        K[t, s] = sigma_r^2 (w_V C[t, s] + H[t, s])

    w_g = 1 for trained groups, 0 for the others. All pairs of steps count for every read-out: time O(n^2 t^2), memory
    O(t) numbers per pair.

    Accuracy: the relu family has a kink where the pre-activations of two steps coincide. Here E[(u_t - u'_s)^2] does
    not close without subtractions (the past of one step is correlated with the other step), so a rounding of the
    covariance shows as its square root in the angle between near-duplicates: in float32 the largest error seen is
    2e-4 of sqrt(K_ii K_jj) for pairs that nearly coincide, 1e-5 for others. The diagonal is free of it, float64 is
    good to 1e-8 there. Smooth activations have no kink.

    Args:
        keep, gate: share of the old state that stays, factor of the new one; numbers >= 0. Leaves. 0 and 1 are the
            Elman network of `kernels.Recurrent`, faster there.
        sigma_w, sigma_u, sigma_b, sigma_r: standard deviations of recurrent weights, input weights, bias and
            read-out, before the 1/sqrt(width). Leaves.
        activation: a name of `activations.names()` or an `activations.Activation`.
        read: "last" step, "mean" or "sum" over the sequence's own steps with one shared read-out.
        train: trained parameter groups, letters out of "WUbR".
        input_scale: "dim" for <x, x'> / d, "none" for <x, x'>.
        kind: "ntk" or "nngp".

    Raises:
        ValueError: negative or non-finite scales, unknown words, train letters out of place.

    Reference: yang2020tp2, for the limit of any architecture; the recursion is derived here.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ntkseq.kernels.leaky import LeakyRecurrent
        >>> x = jax.random.normal(jax.random.key(0), (3, 5, 2))  # n = 3 sequences, t = 5 steps, d = 2 features
        >>> LeakyRecurrent(keep=0.6, gate=0.7, sigma_w=1.4)(x).shape
        (3, 3)
    """

    references = ("yang2020tp2",)

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
    kind: str = static(default="ntk")

    def __post_init__(self) -> None:
        for name in ("keep", "gate"):
            factor(name, getattr(self, name))
        for name in _SCALES:
            _checks.scale(name, getattr(self, name))
        _checks.choice("read", self.read, ("last", "mean", "sum"))
        _checks.choice("input_scale", self.input_scale, ("dim", "none"))
        _checks.choice("kind", self.kind, ("ntk", "nngp"))
        check_letters(self.train, "WUbR")
        fill(self, activation=activations.get(self.activation))

    def prepare(self, x: Inputs, lengths: Lengths = None) -> Side:
        """Align the sequences at their ends and compute their variances, O(n t^2).

        Args:
            x: (n, t, d), padded on the right.
            lengths: (n,) integers in 1..t; None means all t. What stands behind a length is never looked at.

        Raises:
            ValueError: wrong rank, NaN or infinity, lengths out of range, variances that overflow the dtype.
        """
        x, lengths = _checks.sequences("x", x, lengths)
        side, finite = _prepare(self, self._units(x.dtype), x, lengths)
        _checks.no_overflow(finite, x.dtype, f"{x.shape[1]} steps", "keep, gate or sigma_w")
        return side

    def _units(self, dtype: DType) -> pairs.Units:
        """The constants in the dtype of the data."""
        return pairs.Units(
            *[scalar(getattr(self, name), dtype) for name in ("keep", "gate", *_SCALES)],
            activation=jax.tree.map(lambda leaf: scalar(leaf, dtype), activations.get(self.activation)),
            train=self.train,
            tangent=self.kind == "ntk",
        )

    def tile(self, left: Side, right: Side) -> Float[Array, "n m"]:
        return _tile(self._units(left["x"].dtype), left, right)

    def diag_side(self, side: Side) -> Float[Array, " n"]:
        return _diag(self._units(side["x"].dtype), side)

    def entry_rounding(self, side: Side) -> float:
        """Upper estimate of |computed - exact| / sqrt(K_ii K_jj) in the dtype of the data.

        The root of a rounding for the relu family, whose near-duplicates may be that far off (see the class); a few
        roundings per step for smooth activations. Both times how far K_ii moves with a relative change of every
        covariance that it comes from (a derivative; smooth activations may amplify it from step to step). A mean or a
        sum over steps may cancel, see `Recurrent.entry_rounding`.
        """
        eps, t = float(jnp.finfo(side["x"].dtype).eps), side["x"].shape[1]
        units = 4.0 if isinstance(self.activation, activations.Smooth) else 1.0  # the rounding of a Hermite series
        kink = activations.is_rectifier(self.activation)
        unit = 2.0 * eps**0.5 if kink else units * eps * (8.0 + 2.0 * t**0.5)
        return unit * max(1.0, float(_growth(self._units(side["x"].dtype), side)))

    def entries_per_pair(self, side: Side) -> int:
        return 2 * side["x"].shape[1]

    def steps(self, side: Side) -> int:
        return side["x"].shape[1] ** 2

    def finite(self, width: int) -> AnyModel:
        """The network of that width whose limit this kernel is: a `models.LeakyRecurrent`.

        Raises:
            ValueError: `kind="nngp"`, which no gradient has as its limit.
        """
        from ntkseq import models

        check_limit(self)
        names = ("keep", "gate", *_SCALES, "activation", "read", "train", "input_scale")
        return models.LeakyRecurrent(width=width, **{name: getattr(self, name) for name in names})


@jax.jit
def _prepare(kernel: LeakyRecurrent, units: pairs.Units, x: Array, lengths: Array) -> tuple[Side, Array]:
    _, t, d = x.shape
    column, length = jnp.arange(t, dtype=lengths.dtype)[None, :], lengths[:, None]
    inside = column >= t - length  # (n, t): the last steps of all sequences share the last column
    moved = jnp.take_along_axis(x, jnp.clip(column - (t - length), 0)[:, :, None], axis=1)
    moved = jnp.where(inside[:, :, None], moved * (d**-0.5 if kernel.input_scale == "dim" else 1.0), 0)
    out = (column == t - 1) & inside if kernel.read == "last" else inside
    out = out.astype(x.dtype) / (length.astype(x.dtype) if kernel.read == "mean" else 1)
    side = pairs.sides(units, moved, inside, out)
    return side, all_finite(side)


@jax.jit
def _tile(units: pairs.Units, left: Side, right: Side) -> Array:
    return pairs.kernel(units, left, right, same=False)[0]


@jax.jit
def _diag(units: pairs.Units, side: Side) -> Array:
    return scans.diagonal(lambda one: pairs.kernel(units, one, one, same=True)[0], side)


@jax.jit
def _growth(units: pairs.Units, side: Side) -> Array:
    return rounding.growth(lambda one, jolt: pairs.kernel(units, one, one, same=True, jolt=jolt), side)
