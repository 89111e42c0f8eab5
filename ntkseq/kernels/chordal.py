"""How far apart are the relu images of two Gaussians? The duals of the relu family as functions of the chord.

Two jointly Gaussian scalars u, v of unit variance and correlation rho are described by
m = |u - v|^2 / 4 = (1 - rho) / 2 = sin(theta / 2)^2. For phi(z) = A max(z, 0) + B min(z, 0), in units of its
second moment M = (A^2 + B^2) / 2, so that both are exact at m = 0, where they are 0 and 1:

    gain(m)  = ((A - B)^2 (2 m - (sin th - th cos th) / pi) / 4 + A B m) / M                       (numerics.1)
    slope(m) = E[phi'(u) phi'(v)] / M = ((A - B)^2 (pi - th) / (2 pi) + A B) / M                   (numerics.2)
    E[(a phi(u) - b phi(v))^2] / M = (a - b)^2 + 4 a b gain(m)                                     (numerics.3)
    E[phi(u) phi(v)] / M = 1 - 2 gain(m)

theta = 2 asin(sqrt m) by a polynomial in m, mirrored at m = 1/2; no arccos, no cancellation at small distance.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkseq._types import AnyArray, DType

# asin(r)/(pi r) and (sin th - th cos th)/(pi r^3) as polynomials in m = r^2 on [0, 1/2], th = 2 asin r:
# interpolants at Chebyshev nodes in 60 digits. Relative error 9e-8 and 8e-8 (single), 1.5e-16 (double).
_ASIN_SINGLE = (
    0.31830988259045284, 0.053052564445503686, 0.02383540855707664, 0.014795313902273344,
    0.0053257665125200065, 0.024045050441502305, -0.02867533338793479, 0.034910313122062574,
)  # fmt: skip
_ARC_SINGLE = (
    0.8488263729096033, 0.0848807323706406, 0.027343388931528875, 0.011943846217846363,
    0.010692329074910358, -0.005076353745326915, 0.013510297405921147,
)  # fmt: skip
_ASIN_DOUBLE = (
    0.3183098861837907, 0.0530516476972931, 0.02387324146506332, 0.01421026265502725,
    0.00967087931086017, 0.007121096604856486, 0.005527222448544353, 0.004393773292065488,
    0.0041988265272650755, -0.0008280952163950973, 0.02505611715130381, -0.09449682877560792,
    0.32092055725346197, -0.7928719879632915, 1.477616426395862, -1.9828477343426343,
    1.8328094906687828, -1.0437168399261072, 0.2830699377106406,
)  # fmt: skip
_ARC_DOUBLE = (
    0.8488263631567752, 0.08488263631567673, 0.027283704530226847, 0.012631344672071781,
    0.007033363269663798, 0.004382298946646818, 0.00294643545113118, 0.0020842802677050985,
    0.0016250173658736012, 0.00060399281025527, 0.004230527825997994, -0.013556422584093814,
    0.04778874771729586, -0.11733407341383516, 0.21986195046102608, -0.29564957348713466,
    0.2747207725853108, -0.15727216507338043, 0.043169447249452236,
)  # fmt: skip


def _polynomial(coefficients: tuple[Any, ...], m: Array) -> Array:
    value = jnp.full_like(m, coefficients[-1])
    for c in coefficients[-2::-1]:
        value = value * m + c
    return value


def _tables(dtype: DType, scale: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Both polynomials times `scale`; folded into the constants, the scale costs nothing per pair."""
    double = jnp.finfo(dtype).bits > 32
    asin, arc = (_ASIN_DOUBLE, _ARC_DOUBLE) if double else (_ASIN_SINGLE, _ARC_SINGLE)
    return tuple(c * scale for c in asin), tuple(c * scale / 4 for c in arc)


def rectified(m: Float[Array, "..."], positive: float | AnyArray, negative: float | AnyArray) -> tuple[Array, Array]:
    """`(gain, slope)` of numerics.1 and numerics.2 at m in [0, 1].

    m may leave [0, 1] by rounding; it is clipped. Derivatives: d gain / dm = slope, exactly (Price's theorem);
    d slope / dm = -(A - B)^2 / (2 pi M sqrt(m (1 - m))), and 0 at m = 0 and 1, where the true one-sided derivative
    is infinite: relu kernels have a |x - x'| kink, and 0 is its symmetric choice.

    Args:
        m: a quarter of the squared chord.
        positive: the slope A on the right of zero; Python floats are folded into the constants.
        negative: the slope B on the left of zero.

    Reference: cho2009kernel (the arc-cosine kernels of degree 0 and 1).
    """
    m = jnp.where(m < 0, 0, m)
    return folded(fold(m, 1 - m), positive, negative)


@jax.custom_jvp
def fold(m: Float[Array, "..."], rest: Float[Array, "..."]) -> Float[Array, "..."]:
    """m >= 0, or -rest where m is above a half; `rest` is 1 - m, by sums instead of a difference if possible.

    Near opposite inputs 1 - m has lost its digits: an error of eps there is one of sqrt(eps) in the angle. The folded
    value keeps both ends. Its derivative in m is one on either side. That it is one without the rule below, too,
    matters: JAX drops such rules inside a scan when it differentiates forward over reverse (`jax.hessian`).
    """
    # never -0, which would be m = 0
    return jnp.where(m > 0.5, -jnp.maximum(rest, float(jnp.finfo(m.dtype).tiny)), m)


@fold.defjvp
def _fold_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    return fold(*primals), tangents[0]  # spares the derivative of rest


def unfold(z: Float[Array, "..."]) -> Float[Array, "..."]:
    """m from its folded value, within a rounding."""
    return jnp.where(z < 0, 1 + z, z)


def unfold_rest(z: Float[Array, "..."]) -> Float[Array, "..."]:
    """1 - m from the folded value of m, within a rounding."""
    return jnp.where(z < 0, -z, 1 - z)


def folded(z: Float[Array, "..."], positive: float | AnyArray, negative: float | AnyArray) -> tuple[Array, Array]:
    """`rectified` of `unfold(z)`."""
    if isinstance(positive, float) and isinstance(negative, float):
        return _fixed(positive, negative)(z)
    return _rectified(z, jnp.asarray(positive, z.dtype), jnp.asarray(negative, z.dtype))


def second_moment(positive: float | AnyArray, negative: float | AnyArray) -> Any:
    """M = E[phi(z)^2], z ~ N(0, 1)."""
    return (positive * positive + negative * negative) / 2


def _shape(positive: float | AnyArray, negative: float | AnyArray) -> tuple[Any, Any]:
    """((A - B)^2 / M, A B / M); their sum with A B / M is 2."""
    moment = second_moment(positive, negative)
    return (positive - negative) ** 2 / moment, positive * negative / moment


def _values(z: Array, positive: float | AnyArray, negative: float | AnyArray) -> tuple[Array, Array]:
    flip, near = z < 0, jnp.abs(z)
    root = jnp.sqrt(jnp.maximum(near, float(jnp.finfo(z.dtype).tiny)))  # a finite derivative at 0, see fold
    across, both = _shape(positive, negative)
    asin, arc = _tables(z.dtype, across)
    bent = root * near * _polynomial(arc, near)
    angle = root * _polynomial(asin, near)
    if isinstance(both, float) and both == 0.0:  # relu: spare the two products with zero
        return jnp.where(flip, 0.5, near) - bent, jnp.where(flip, angle, 1 - angle)
    far = (across + 4 * both) / 4
    gain = jnp.where(flip, far - both * near, near) - bent
    return gain, jnp.where(flip, angle + both, 1 - angle)


def _bend(z: Array) -> Array:
    """-d slope / dm for A - B = 1, at the folded value z."""
    near = jnp.abs(z)
    area = near * (1 - near)
    inside = area > float(jnp.finfo(z.dtype).tiny) ** (2 / 3)  # below, its own derivative would overflow
    return jnp.where(inside, (0.5 / np.pi) / jnp.sqrt(jnp.where(inside, area, 1)), 0)


@functools.lru_cache(maxsize=64)
def _fixed(positive: float, negative: float) -> Callable[[Array], tuple[Array, Array]]:
    @jax.custom_jvp
    def values(z: Array) -> tuple[Array, Array]:
        return _values(z, positive, negative)

    @values.defjvp
    def jvp(primals: tuple[Any], tangents: tuple[Any]) -> tuple[Any, Any]:  # pyright: ignore[reportUnusedFunction]
        (z,), (dm,) = primals, tangents
        gain, slope = values(z)
        return (gain, slope), (slope * dm, -_shape(positive, negative)[0] * _bend(z) * dm)

    return values


@jax.custom_jvp
def _rectified(z: Array, positive: Array, negative: Array) -> tuple[Array, Array]:
    return _values(z, positive, negative)


@_rectified.defjvp
def _rectified_jvp(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
    z, positive, negative = primals
    dm, dpositive, dnegative = tangents
    gain, slope = _rectified(z, positive, negative)
    m = unfold(z)
    # both outputs are linear in the shape: gain = across g / 2 + both m, slope = across s / 2 + both
    g, s = _fixed(1.0, 0.0)(z)
    (across, _), (dacross, dboth) = jax.jvp(_shape, (positive, negative), (dpositive, dnegative))
    dgain = slope * dm + g * dacross / 2 + m * dboth
    return (gain, slope), (dgain, -across * _bend(z) * dm + s * dacross / 2 + dboth)
