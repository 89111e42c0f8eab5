"""What else than a Gaussian may weights be drawn from? Laws of mean 0 and variance 1, made of standard normal numbers.

At infinite width only the variance of weights counts that many units share; d input weights meet in one unit however
wide the network is, and for few features their whole law shows.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

LAWS = ("normal", "truncated", "uniform")
CUT = 2.0
"""Where "truncated" ends, in standard deviations of what is cut: there all libraries cut."""
CUT_VARIANCE = 1 - 2 * CUT * math.exp(-(CUT**2) / 2) / math.sqrt(2 * math.pi) / math.erf(CUT / math.sqrt(2))
"""Variance of a standard normal number cut at `CUT`: 0.7737."""


def shaped(law: str, normal: jax.Array) -> jax.Array:
    """Numbers of that law, each an increasing function of a standard normal one, in the same dtype."""
    if law == "normal":
        return normal
    z = normal if jnp.finfo(normal.dtype).bits >= 32 else normal.astype(jnp.float32)
    even = jax.scipy.special.erf(z * 2**-0.5)  # uniform on (-1, 1)
    if law == "uniform":
        return (3**0.5 * even).astype(normal.dtype)
    cut = 2**0.5 * jax.scipy.special.erfinv(math.erf(CUT / math.sqrt(2)) * even)
    return (cut * CUT_VARIANCE**-0.5).astype(normal.dtype)
