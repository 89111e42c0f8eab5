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


@jax.custom_jvp
def _area(c: Array, p: Array, q: Array) -> Array:
    """p q - c^2, not below zero, as a product that loses fewer digits near c^2 = p q. Derivatives are exact."""
    root = safe_sqrt(p) * safe_sqrt(q)  # p q itself underflows first
    area = (root - c) * (root + c)
    return jnp.where(area > 0, area, 0)


@_area.defjvp
def _area_jvp(primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[Array, Array]:
    (c, p, q), (dc, dp, dq) = primals, tangents
    return _area(c, p, q), q * dp + p * dq - 2 * c * dc


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
        return (_squarable(self.frequency**2 * p),)

    def second(self, p: Array) -> Array:
        p = self.frequency**2 * p
        return (2 / np.pi) * jnp.arctan2(2 * p, jnp.sqrt(1 + 4 * p))

    def pair(self, c: Array, left: Moments, right: Moments) -> tuple[Array, Array]:
        (p,), (q,) = left, right
        c = self.frequency**2 * c
        root = jnp.sqrt(1 + 2 * (p + q) + 4 * _area(c, p, q))
        return (2 / np.pi) * jnp.arctan2(2 * c, root), self.frequency**2 * (4 / np.pi) / root


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
        return (_squarable(p),)

    def second(self, p: Array) -> Array:
        return self.pair(p, (p,), (p,))[0]

    def pair(self, c: Array, left: Moments, right: Moments) -> tuple[Array, Array]:
        (p,), (q,) = left, right
        product = (1 + p) * (1 + q)
        gap = 1 + p + q + _area(c, p, q)  # P - c^2 without cancellation
        root = jnp.sqrt(gap)
        # N/P = (c^2 + p q D)/P, D/P <= 1: no square of a large variance is formed
        lift = c * (c / product) + p * (q / (1 + q)) * (gap / (1 + p))
        angle = jnp.arctan2(root, c)
        value = c / 2 - (c * angle - lift / root) / (2 * np.pi)
        ratio = ((3 + p + q) / product + c * (c / product) / gap) * (c / root)
        return value, 0.5 - (angle - ratio) / (2 * np.pi)
