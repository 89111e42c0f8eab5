"""What is the infinite-width kernel of a linear recurrent network? An inner product of explicit features."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkseq import _checks, _precision
from ntkseq import _twofloat as tf
from ntkseq._layers import check_letters, scalar
from ntkseq._struct import static, struct
from ntkseq._types import AnyArray, AnyModel, DType, Inputs, Lengths, Scale
from ntkseq.kernels.base import Kernel, Side
from ntkseq.kernels.finite_width import check_limit
from ntkseq.kernels.layers import all_finite

_SCALES = ("sigma_w", "sigma_u", "sigma_b", "sigma_r")


@struct
class LinearRecurrent(Kernel):
    """The limit of an Elman network h_t = u_t without nonlinearity, one layer, h_0 = 0: K = F F^T.

    Unrolled, the kernel of the outputs at the last steps T and T' is a sum over lags k < min(T, T')

        K = sigma_r^2 sum_k sigma_w^{2k} ((w_V + w_U + k w_W) sigma_u^2 <x_{T-k}, x'_{T'-k}>
                                        + (w_V + w_b + k w_W) sigma_b^2)

    with w_g = 1 for trained groups, 0 for the others (kind "nngp": 1 in place of both brackets). So F holds the tokens
    by lag, sequences aligned at their ends: p = t (d + 1) features, one matrix product, O(n^2 t d). The same sums with
    sequences cut k steps before their ends give "mean" and "sum": the token of lag k becomes the sum of all tokens up
    to it. Independent read-outs per step ("steps") need t^2 features: `kernels.Recurrent(activation="identity")` is
    the same kernel and takes them in O(n^2 t d), as it does depth and initial states.

    Args:
        sigma_w, sigma_u, sigma_b, sigma_r: standard deviations of recurrent weights, input weights, bias and
            read-out, before the 1/sqrt(width). Leaves.
        read: "last" step, "mean" or "sum" over the sequence's own steps with one shared read-out.
        train: trained parameter groups, letters out of "WUbR".
        input_scale: "dim" for <x, x'> / d, "none" for <x, x'>.
        kind: "ntk" or "nngp".

    Raises:
        ValueError: negative or non-finite scales, unknown words, train letters out of place.

    Reference: yang2020tp2, for the limit of any architecture; the recursion is derived here.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ntkseq.kernels.linear import LinearRecurrent
        >>> x = jax.random.normal(jax.random.key(0), (3, 5, 2))  # n = 3 sequences, t = 5 steps, d = 2 features
        >>> kernel = LinearRecurrent(sigma_w=0.9, sigma_b=0.1)
        >>> F = kernel.features(x)
        >>> F.shape
        (3, 15)
        >>> bool(jnp.allclose(kernel(x), F @ F.T, rtol=1e-5))
        True
    """

    references = ("yang2020tp2",)

    sigma_w: Scale = 1.0
    sigma_u: Scale = 1.0
    sigma_b: Scale = 0.0
    sigma_r: Scale = 1.0
    read: str = static(default="last")
    train: str = static(default="WUbR")
    input_scale: str = static(default="dim")
    kind: str = static(default="ntk")

    def __post_init__(self) -> None:
        for name in _SCALES:
            _checks.scale(name, getattr(self, name))
        if isinstance(self.read, str) and self.read == "steps":
            raise ValueError(
                'read="steps" has t^2 features, so LinearRecurrent takes "last", "mean" or "sum"; got \'steps\'. '
                'Use kernels.Recurrent(activation="identity", read="steps"), the same kernel.'
            )
        _checks.choice("read", self.read, ("last", "mean", "sum"))
        _checks.choice("input_scale", self.input_scale, ("dim", "none"))
        _checks.choice("kind", self.kind, ("ntk", "nngp"))
        check_letters(self.train, "WUbR")

    def features(self, x: Inputs, lengths: Lengths = None) -> Float[Array, "n p"]:
        """The features F with K = F F^T: p = t (d + 1), by lag, tokens first and the bias behind them.

        Args:
            x: (n, t, d), padded on the right.
            lengths: (n,) integers in 1..t; None means all t. What stands behind a length is never looked at.

        Raises:
            ValueError: wrong rank, NaN or infinity, lengths out of range, features whose squares overflow the dtype.
        """
        x, lengths = _checks.sequences("x", x, lengths)
        features, finite = _features(self, self._weights(x.shape[1], x.shape[2], x.dtype), x, lengths)
        _checks.no_overflow(finite, x.dtype, f"{x.shape[1]} steps", "sigma_w (at most 1 keeps the norm)")
        return features

    def prepare(self, x: Inputs, lengths: Lengths = None) -> Side:
        """The features, see `features`."""
        return self.features(x, lengths)

    def tile(self, left: Side, right: Side) -> Float[Array, "n m"]:
        return _precision.product("ip,jp->ij", left, right)

    def diag_side(self, side: Side) -> Float[Array, " n"]:
        return _squares(side)

    def entry_rounding(self, side: Side) -> float:
        """Upper estimate of |computed - exact| / sqrt(K_ii K_jj): that of an inner product of p numbers."""
        return float(jnp.finfo(side.dtype).eps) * (8.0 + 2.0 * side.shape[1] ** 0.5)

    def finite(self, width: int) -> AnyModel:
        """The network of that width whose limit this kernel is: a `models.Recurrent` with activation "identity".

        Raises:
            ValueError: `kind="nngp"`, which no gradient has as its limit.
        """
        from ntkseq import models

        check_limit(self)
        names = (*_SCALES, "read", "train", "input_scale")
        return models.Recurrent(width=width, activation="identity", **{name: getattr(self, name) for name in names})

    def _weights(self, t: int, d: int, dtype: DType) -> tuple[Any, Any]:
        """The factors of tokens and bias by lag, (t,) each; on the host in float64 where the numbers are known.

        A rounding of sigma_w comes back k times in its power, so it must not happen first.
        """
        known = all(_checks.is_concrete(getattr(self, name)) for name in _SCALES)
        xp, real = (np, np.float64) if known else (jnp, dtype)
        w, u, b, v = (xp.asarray(scalar(getattr(self, name), real)) for name in _SCALES)
        lag = np.arange(t, dtype=np.float64)
        on = lambda group: float(group in self.train)  # noqa: E731
        count = {g: on("R") + on(g) + lag * on("W") if self.kind == "ntk" else 1 + 0 * lag for g in "Ub"}
        # not a power: its derivative at sigma_w = 0 is NaN
        power = v * xp.cumprod(xp.where(xp.asarray(lag > 0), w, xp.ones((), real)))
        token = power * u * xp.asarray(count["U"] ** 0.5 * (d**-0.5 if self.input_scale == "dim" else 1.0), real)
        bias = power * b * xp.asarray(count["b"] ** 0.5, real)
        with np.errstate(over="ignore"):
            return token.astype(dtype), bias.astype(dtype)


@jax.jit
def _features(
    kernel: LinearRecurrent, weights: tuple[Array, Array], x: Float[Array, "n t d"], lengths: AnyArray
) -> tuple[Array, Array]:
    n, t, d = x.shape
    at = lengths[:, None] - 1 - jnp.arange(t, dtype=lengths.dtype)[None, :]  # (n, t): the step that lies k behind
    inside = at >= 0
    count = jnp.ones((n, t), x.dtype)
    if kernel.read != "last":
        x, count = _prefix_sums(x), (at + 1).astype(x.dtype)
    tokens = jnp.take_along_axis(x, jnp.clip(at, 0)[:, :, None], axis=1)
    if kernel.read == "mean":
        long = lengths.astype(x.dtype)
        tokens, count = tokens / long[:, None, None], count / long[:, None]
    tokens = jnp.where(inside[:, :, None], tokens * weights[0][None, :, None], 0)
    biases = jnp.where(inside, count * weights[1][None, :], 0)
    features = jnp.concatenate([tokens.reshape(n, t * d), biases], axis=1)
    return features, all_finite(_squares(features))


def _prefix_sums(x: Float[Array, "n t d"]) -> Float[Array, "n t d"]:
    """Sums of the tokens up to each step, rounded once: tokens that add up to little keep their digits."""

    def step(total: tf.Two, token: Array) -> tuple[tf.Two, Array]:
        total = tf.add(total, tf.two(token))
        return total, total.hi + total.lo

    rows = jnp.swapaxes(x, 0, 1)
    return jnp.swapaxes(jax.lax.scan(step, tf.two(jnp.zeros_like(rows[0])), rows)[1], 0, 1)


@jax.jit
def _squares(features: Float[Array, "n p"]) -> Float[Array, " n"]:
    """Sums of squares over p, halves added to halves: the order does not depend on the batch."""
    p = features.shape[1]
    terms = jnp.pad(features * features, ((0, 0), (0, 2 ** (p - 1).bit_length() - p)))
    while terms.shape[1] > 1:
        half = terms.shape[1] // 2
        terms = terms[:, :half] + terms[:, half:]
    return terms[:, 0]
