"""What are we compared with? Peers kept as small as their source, and correct before they are timed."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def _relu(c: Array) -> tuple[Array, Array]:
    """E[phi(u) phi(v)] and E[phi'(u) phi'(v)] of a covariance matrix: correlations and arccos."""
    a = jnp.diag(c)
    norm = jnp.sqrt(a * a[:, None])
    rho = jnp.clip(c / norm, -1, 1)
    theta = jnp.arccos(rho)
    value = norm * (jnp.sqrt(1 - rho * rho) + rho * (jnp.pi - theta)) / (2 * jnp.pi)
    return value, (jnp.pi - theta) / (2 * jnp.pi)


def _erf(c: Array) -> tuple[Array, Array]:
    """The same for erf: an arcsin."""
    a = 1 + 2 * jnp.diag(c)
    product = a * a[:, None]
    value = 2 / jnp.pi * jnp.arcsin(jnp.clip(2 * c / jnp.sqrt(product), -1, 1))
    return value, 4 / jnp.pi / jnp.sqrt(product - 4 * c * c)


@partial(jax.jit, static_argnames=("sigma_w", "sigma_u", "sigma_b", "activation"))
def textbook_recurrent(
    x: Float[Array, "n t d"], *, sigma_w: float, sigma_u: float, sigma_b: float, activation: str = "relu"
) -> Float[Array, "n n"]:
    """The NTK with last read-out as papers print it: covariances, a closed form of relu or erf, the full square.

    Inputs are not divided by d. Its float32 loses half the digits where two sequences are near each other.
    """
    dual = {"relu": _relu, "erf": _erf}[activation]

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
