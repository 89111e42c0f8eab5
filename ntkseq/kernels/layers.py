"""Which constants does a stack of (recurrent) layers have? Shared by the cells that carry a kernel through it."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ntkseq import _twofloat as tf
from ntkseq._precision import safe_sqrt
from ntkseq._struct import static, struct
from ntkseq._types import AnyFunction, DType, PyTree
from ntkseq.activations import Activation


@struct
class Layers:
    """Scales (depth,) and choices of a stack; `w[l]` is the standard deviation of layer l's recurrent weights."""

    w: Float[Array | np.ndarray, " depth"]
    u: Float[Array | np.ndarray, " depth"]
    b: Float[Array | np.ndarray, " depth"]
    v: Float[Array | np.ndarray, ""]
    h: Float[Array | np.ndarray, ""]
    activation: Activation
    gain: tf.Two | None  # sigma_w^2 E[phi(z)^2] (depth,) to twice the precision, where the numbers can be looked at
    train: tuple[str, ...] = static()
    raw: bool = static()
    initial: bool = static()
    independent: bool = static()
    tangent: bool = static()

    @property
    def depth(self) -> int:
        return len(self.train)

    def all_trained(self, layer: int) -> bool:
        """Whether the tangent kernel's own term is the covariance itself."""
        return not self.raw and set("WUb") <= set(self.train[layer])


class Variances(NamedTuple):
    """Variances p of every pre-activation, and the share of it that comes through the recurrent weights.

    `past` is sigma_w sqrt(E[phi(u_{t-1})^2] / p_t), in [0, 1]: without initial state, inputs and biases it is 1.
    """

    p: Float[Array, "depth n t"]
    past: Float[Array, "depth n t"]


def variances(
    layers: Layers,
    second: AnyFunction,
    energy: Float[Array, "n t"],
    inside: Bool[Array, "n t"],
    start: Bool[Array, "n t"],
) -> Float[Array, "depth n t"]:
    """Variance of every pre-activation (recurrent.4): zero outside a sequence. O(n t).

    Args:
        second: p -> E[phi(u)^2] for u ~ N(0, p).
        energy: |x_t|^2, with the input scale in it.
        inside: whether the step belongs to the sequence.
        start: whether the step is the sequence's first one (h_0 enters there).
    """

    def step(carry: Array, now: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        below, valid, first = now
        rows = []
        for layer in range(layers.depth):
            p = layers.w[layer] ** 2 * (carry[layer] + jnp.where(first, layers.h**2, 0))
            p = p + layers.u[layer] ** 2 * below + layers.b[layer] ** 2
            p = jnp.where(valid, p, 0)
            below = jnp.where(valid, second(p), 0)
            rows.append((p, below))
        return jnp.stack([r[1] for r in rows]), jnp.stack([r[0] for r in rows])

    zero = jnp.zeros((layers.depth, energy.shape[0]), energy.dtype)
    _, p = jax.lax.scan(step, zero, (energy.T, inside.T, start.T))  # (t, depth, n)
    return jnp.moveaxis(p, 0, 2)


def homogeneous_variances(
    layers: Layers, half: Array, energy: Float[Array, "n t"], inside: Bool[Array, "n t"], start: Bool[Array, "n t"]
) -> Variances:
    """`variances` for E[phi(u)^2] = half p, to twice the precision of the dtype.

    p_t = gain p_{t-1} + ..., gain = sigma_w^2 half: at gain = 1, where nothing is forgotten, a rounding of the gain
    or of p_{t-1} / p_t comes back t times in the kernel (8e-6 at t = 128 in float32). Both are kept in two floats and
    rounded once. Derivatives go through the plain recursion.
    """
    plain = variances(layers, lambda p: half * p, energy, inside, start)
    plain_past = safe_sqrt(_ratio(jnp.asarray(layers.w)[:, None, None] ** 2 * half * shift(plain, axis=2), plain))
    fixed, moment, tokens = jax.tree.map(jax.lax.stop_gradient, (layers, half, energy))
    p, past = _twofold(fixed, moment, tokens, inside, start)
    return Variances(_improved(plain, p), _improved(plain_past, past))


def _improved(value: Array, better: Array) -> Array:
    """`better` with the derivatives of `value`; `value` where the splitting in two floats has overflowed."""
    there = jnp.isfinite(better) & (better > 0)
    return jnp.where(there, value + jax.lax.stop_gradient(jnp.where(there, better - value, 0)), value)


def _twofold(layers: Layers, half: Array, energy: Array, inside: Array, start: Array) -> tuple[Array, Array]:
    gain = layers.gain or tf.two(jnp.asarray(layers.w) ** 2 * half)

    def layer(i: int, below: tf.Two) -> tf.Two:
        """The variances (t, n) of layer i from the second moments (t, n) below it."""
        scale = jnp.broadcast_to(layers.u[i] ** 2, energy.shape[:1])
        still = jnp.broadcast_to(layers.b[i] ** 2, energy.shape[:1])

        def step(carry: tf.Two, now: tuple[tf.Two, Array, Array]) -> tuple[tf.Two, tf.Two]:
            below, valid, first = now
            p = tf.multiply(tf.Two(gain.hi[i], gain.lo[i]), carry)
            p = tf.add(p, tf.multiply(tf.two(scale), below))
            p = tf.add(p, tf.two(still + jnp.where(first, (layers.w[i] * layers.h) ** 2, 0)))
            p = tf.Two(jnp.where(valid, p.hi, 0), jnp.where(valid, p.lo, 0))
            return p, p

        return jax.lax.scan(step, tf.two(jnp.zeros_like(scale)), (below, inside.T, start.T))[1]

    # a scan per layer: in one scan XLA wrote out the sums of each layer wherever the next used them (27 s at depth 2)
    rows = [layer(0, tf.two(energy.T))]
    for i in range(1, layers.depth):
        rows.append(layer(i, tf.Two(half * rows[-1].hi, half * rows[-1].lo)))
    p = tf.Two(jnp.stack([r.hi for r in rows], axis=1), jnp.stack([r.lo for r in rows], axis=1))  # (t, depth, n)
    p = tf.Two(jnp.moveaxis(p.hi, 0, 2), jnp.moveaxis(p.lo, 0, 2))
    before = tf.Two(shift(p.hi, axis=2), shift(p.lo, axis=2))
    there = p.hi > 0
    safe = tf.Two(jnp.where(there, p.hi, 1), jnp.where(there, p.lo, 0))
    wide = tf.Two(gain.hi[:, None, None], gain.lo[:, None, None])
    past = tf.root(tf.multiply(wide, tf.divide(before, safe)))
    return p.hi, jnp.where(there, past, 0)


def _ratio(a: Array, b: Array) -> Array:
    there = b > 0
    return jnp.where(there, a, 0) / jnp.where(there, b, 1)


def shift(x: Array, axis: int = 1, by: int = 1) -> Array:
    """What stands `by` steps before (behind, if negative) along the axis of time, zero where nothing does."""
    size = x.shape[axis]
    by = max(-size, min(by, size))
    cut = lambda start, end: jax.lax.slice_in_dim(x, start, end, axis=axis)  # noqa: E731
    if by < 0:
        return jnp.concatenate([cut(-by, size), jnp.zeros_like(cut(0, -by))], axis=axis)
    return jnp.concatenate([jnp.zeros_like(cut(0, by)), cut(0, size - by)], axis=axis)


def read_weights(read: str, inside: Bool[Array, "n t"], lengths: Array, dtype: DType) -> Float[Array, "n t"]:
    """The weight of each token, aligned at the first, in what is read out: "last", "first", "mean" or "sum"."""
    at = jnp.arange(inside.shape[1], dtype=lengths.dtype)[None]
    if read == "last":
        return (at == lengths[:, None] - 1).astype(dtype)
    if read == "first":
        return jnp.broadcast_to(at == 0, inside.shape).astype(dtype)
    weights = inside.astype(dtype)
    return weights / lengths[:, None].astype(dtype) if read == "mean" else weights


def all_finite(tree: PyTree) -> Array:
    """Whether every number in a pytree of arrays is finite.

    Arrays of one shape are looked at in one reduction, since each takes XLA as long to compile as an array does.
    """
    alike: dict[Any, list[Array]] = {}
    for leaf in jax.tree.leaves(tree):
        if jnp.issubdtype(leaf.dtype, jnp.inexact):
            alike.setdefault((leaf.shape, leaf.dtype), []).append(leaf)
    if not alike:
        return jnp.ones((), bool)
    sums = [sum((leaf * 0 for leaf in leaves[1:]), leaves[0] * 0) for leaves in alike.values()]  # NaN where one is not
    return jnp.stack([jnp.isfinite(one).all() for one in sums]).all()
