"""What are we compared with? Peers kept as small as their source, and correct before they are timed."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


@partial(jax.jit, static_argnames=("sigma_w", "sigma_u", "sigma_b"))
def textbook_recurrent(
    x: Float[Array, "n t d"], *, sigma_w: float, sigma_u: float, sigma_b: float
) -> Float[Array, "n n"]:
    """The relu NTK with last read-out as papers print it: covariances, correlations, arccos, the full square.

    Inputs are not divided by d. Its float32 loses half the digits where two sequences are near each other.
    """

    def dual(c: Array) -> tuple[Array, Array]:
        a = jnp.diag(c)
        norm = jnp.sqrt(a * a[:, None])
        rho = jnp.clip(c / norm, -1, 1)
        theta = jnp.arccos(rho)
        value = norm * (jnp.sqrt(1 - rho * rho) + rho * (jnp.pi - theta)) / (2 * jnp.pi)
        return value, (jnp.pi - theta) / (2 * jnp.pi)

    def inner(now: Array) -> Array:
        return sigma_u**2 * jnp.einsum("id,jd->ij", now, now, precision="highest") + sigma_b**2

    def step(carry: tuple[Array, Array], now: Array) -> tuple[tuple[Array, Array], None]:
        covariance, tangent = carry
        value, slope = dual(covariance)
        covariance = sigma_w**2 * value + inner(now)
        return (covariance, covariance + sigma_w**2 * slope * tangent), None

    start = inner(x[:, 0])
    (covariance, tangent), _ = jax.lax.scan(step, (start, start), jnp.swapaxes(x[:, 1:], 0, 1))
    value, slope = dual(covariance)
    return value + slope * tangent
