"""Duals with a closed form: identity, erf, sine and cosine, gelu."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ntkseq._precision import safe_sqrt
from ntkseq._struct import struct
from ntkseq.kernels.duals.base import Dual, Moments

# atan(t) / t as a polynomial in t^2 on [0, 1], an interpolant at Chebyshev nodes: relative error 2e-08
_ATAN = (
    0.9999999817886541, -0.33333036709275443, 0.19991872028912389, -0.14197797792604977,
    0.10618370631313427, -0.07456854814158088, 0.04213762345019933, -0.015731249036827034,
    0.002766283480395766,
)  # fmt: skip


def _arctan2(y: Array, x: Array) -> Array:
    """The angle of (x, y), not both zero. XLA's own stands in the way of vector instructions on a CPU.

    In float64 XLA's own, which is as fast there as a polynomial of so many digits.
    """
    if jnp.finfo(y.dtype).bits > 32:
        return jnp.arctan2(y, x)
    steep = jnp.abs(y) > jnp.abs(x)
    t = jnp.where(steep, -x, y) / jnp.where(steep, y, x)
    square = t * t
    value = jnp.full_like(t, _ATAN[-1])
    for c in _ATAN[-2::-1]:
        value = value * square + c
    turn = jnp.where(steep, np.pi / 2, jnp.where(x < 0, np.pi, 0.0)).astype(t.dtype)
    return t * value + jnp.where(y < 0, -turn, turn)


@jax.custom_jvp
def _area(c: Array, left: Moments, right: Moments) -> Array:
    """p q - c^2, not below zero, as a product that loses fewer digits near c^2 = p q. Derivatives are exact.

    left, right: the variances p and q, each with its root: p q itself underflows first.
    """
    root = left[1] * right[1]
    area = (root - c) * (root + c)
    return jnp.where(area > 0, area, 0)


@_area.defjvp
def _area_jvp(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Array, Array]:
    (c, (p, _), (q, _)), (dc, (dp, _), (dq, _)) = primals, tangents
    return _area(*primals), q * dp + p * dq - 2 * c * dc


def _rooted(p: Array) -> Moments:
    return p, safe_sqrt(p)


def _squarable(p: Array) -> Array:
    """p, and infinity where p^2 overflows the dtype: the check of prepared sides then says so at the door."""
    return jnp.where(p < float(jnp.finfo(p.dtype).max) ** 0.5, p, jnp.inf)


@struct
class IdentityDual(Dual):
    """phi(z) = z: (c, 1)."""

    def moments(self, p: Array) -> Moments:
        return (p,)

    def second(self, p: Array) -> Array:
        return p

    def pair(self, c: Array, left: Moments, right: Moments) -> tuple[Array, Array]:
        return c, jnp.ones_like(c)


@struct
class ErfDual(Dual):
    """phi(z) = erf(a z), by the angle atan2(2c, sqrt(1 + 2(p + q) + 4(p q - c^2))) with a^2 absorbed in p, q, c.

    This form keeps its gradient at large variance, where the arcsine form loses it.

    Reference: williams1997.
    """

    frequency: Any = 1.0

    def moments(self, p: Array) -> Moments:
        return _rooted(_squarable(self.frequency**2 * p))

    def second(self, p: Array) -> Array:
        p = self.frequency**2 * p
        return (2 / np.pi) * jnp.arctan2(2 * p, jnp.sqrt(1 + 4 * p))

    def pair(self, c: Array, left: Moments, right: Moments) -> tuple[Array, Array]:
        c = self.frequency**2 * c
        root = jnp.sqrt(1 + 2 * (left[0] + right[0]) + 4 * _area(c, left, right))
        return (2 / np.pi) * _arctan2(2 * c, root), self.frequency**2 * (4 / np.pi) / root


@struct
class SineDual(Dual):
    """phi(z) = sin(a z + f). With S = e^{-a^2 (p + q)/2} sinh(a^2 c), the pair at f = 0, F = e^{-a^2 (p + q + 2c)/2}:

    E[phi phi'] = S + sin(f)^2 F,   slope = a^2 (S + cos(f)^2 F)

    S comes from expm1: the difference of the two exponentials would lose all digits at variances below eps.
    """

    frequency: Any = 1.0
    phase: Any = 0.0

    def moments(self, p: Array) -> Moments:
        return (p,)

    def second(self, p: Array) -> Array:
        fall = -2 * self.frequency**2 * p
        return -jnp.expm1(fall) / 2 + jnp.sin(jnp.asarray(self.phase, p.dtype)) ** 2 * jnp.exp(fall)

    def pair(self, c: Array, left: Moments, right: Moments) -> tuple[Array, Array]:
        (p,), (q,) = left, right
        scale = self.frequency**2 / 2
        up = c > 0
        size = jnp.where(up, c, -c)
        gap = p + q - 2 * size
        gap = jnp.where(gap < 0, 0, gap)  # never below zero but by rounding
        half = -jnp.exp(-scale * gap) * jnp.expm1(-4 * scale * size) / 2
        odd = jnp.where(up, half, -half)
        even = jnp.exp(-scale * (p + q + 2 * c))
        phase = jnp.asarray(self.phase, c.dtype)
        return odd + jnp.sin(phase) ** 2 * even, self.frequency**2 * (odd + jnp.cos(phase) ** 2 * even)


@struct
class GeluDual(Dual):
    """phi(z) = z Phi(z); with P = (1 + p)(1 + q), D = P - c^2, N = c^2 + p q D, be = atan2(sqrt D, c):

    E[phi phi'] = c/2 - (c be - N / (P sqrt D)) / (2 pi)
    slope       = 1/2 - (be - c ((3 + p + q) D + c^2) / (P D^{3/2})) / (2 pi)

    be is small at large positive covariance, where its rounding then hardly counts. In the slope no two terms are
    larger than it is: with D, N and 1 - p q in place of 3 + p + q it loses as many digits as sqrt p has.
    """

    def moments(self, p: Array) -> Moments:
        p, root = _rooted(_squarable(p))
        share = 1 / (1 + p)
        return p, root, share, p * share

    def second(self, p: Array) -> Array:
        m = self.moments(p)
        return self.pair(p, m, m)[0]

    def pair(self, c: Array, left: Moments, right: Moments) -> tuple[Array, Array]:
        (p, _, one, _), (q, _, two, other) = left, right
        gap = 1 + p + q + _area(c, left[:2], right[:2])  # P - c^2 without cancellation
        root = jnp.sqrt(gap)
        inverse = 1 / root
        square = (c * one) * (c * two)  # c^2/P; no square of a large variance is formed
        # N/P = (c^2 + p q D)/P, D/P <= 1
        lift = square + p * other * (gap * one)
        angle = _arctan2(root, c)
        value = c / 2 - (c * angle - lift * inverse) / (2 * np.pi)
        ratio = ((3 + p + q) * one * two + square * (inverse * inverse)) * (c * inverse)
        return value, 0.5 - (angle - ratio) / (2 * np.pi)
