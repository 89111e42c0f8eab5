"""What are the Gaussian expectations of an arbitrary smooth activation? A Hermite series with a certified error.

    a_k(p) = E[phi(sqrt(p) z) He_k(z)] / sqrt(k!),  z ~ N(0, 1), by a trapezoid rule
    E[phi(u) phi(v)] = sum_{k <= K} a_k(p) a_k(q) rho^k  +  remainder,   rho = c / sqrt(p q)      (recurrent.13)

The remainder is at most |rho|^{K+1} sqrt(tail(p) tail(q)), tail(p) = E[phi^2] - sum_{k <= K} a_k(p)^2
(Cauchy-Schwarz). It is added as if it were one term of degree K + 1, which makes the value exact at rho = 1, keeps
the kernel positive semi-definite, and leaves an error of at most twice the bound.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkseq._precision import product, safe_sqrt
from ntkseq._struct import static, struct
from ntkseq.kernels.duals.base import Dual, Moments

_NODES, _REACH = 801, 12.0  # the normal weight is 1e-32 at 12; He_k is resolved to k = 200


@lru_cache(maxsize=8)
def _rule(terms: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nodes (801,), roots of the weights times the normalised Hermite polynomials (801, terms + 1), all in float64.

    The third is the Gram matrix of these columns less the identity: those of degree above 36 reach beyond the nodes.
    """
    z = np.linspace(-_REACH, _REACH, _NODES)
    weight = np.exp(-0.5 * z * z)
    weight /= weight.sum()
    he = np.empty((_NODES, terms + 1))
    he[:, 0] = 1.0
    if terms >= 1:
        he[:, 1] = z
    for k in range(1, terms):
        he[:, k + 1] = (z * he[:, k] - np.sqrt(k) * he[:, k - 1]) / np.sqrt(k + 1)
    columns = he * np.sqrt(weight)[:, None]
    return z, columns, columns.T @ columns - np.eye(terms + 1)


@struct
class HermiteDual(Dual):
    """The dual of a smooth function by its Hermite series.

    moments(p) = (p, values a_k (..., K+1), root of their tail, slopes b_k (..., K+1), root of their tail).
    """

    by_series = True

    function: Callable[[Array], Array] = static()
    terms: int = static(default=64)
    parity: str = static(default="none")

    @property
    def _degree(self) -> tuple[int, int]:
        """Highest degree kept for the function and for its derivative, so that the next one has their parity."""
        top = self.terms
        if self.parity == "odd":
            top -= top % 2  # next term of an odd function is odd
        elif self.parity == "even":
            top -= 1 - top % 2
        top = max(top, 1)
        return top, top - 1

    def _series(self, function: Callable[[Array], Array], p: Array, degree: int) -> tuple[Array, Array, Array]:
        """The coefficients, the mean square, and the mean square of what they leave: a difference would lose it."""
        z, rule, beyond = _rule(degree)
        columns = jnp.asarray(rule, p.dtype)
        values = function(safe_sqrt(p)[..., None] * jnp.asarray(z, p.dtype)) * columns[:, 0]
        series = product("...z,zk->...k", values, columns)
        rest = values - product("...k,zk->...z", series, columns)
        within = product("...k,kl,...l->...", series, jnp.asarray(beyond, p.dtype), series)
        left = jnp.maximum(jnp.sum(rest * rest, axis=-1) - within, 0)
        return series, jnp.sum(values * values, axis=-1), left

    def moments(self, p: Float[Array, "..."]) -> Moments:
        top, below = self._degree
        slope = jnp.vectorize(jax.grad(self.function))

        def one(p: Array) -> Moments:
            a, _, tail = self._series(self.function, p, top)
            b, _, bend = self._series(slope, p, below)
            return p, a, safe_sqrt(tail), b, safe_sqrt(bend)

        shape = p.shape
        flat = jax.lax.map(one, p.reshape(-1), batch_size=1024)  # 801 nodes per variance: bounded memory
        return tuple(m.reshape(shape + m.shape[1:]) for m in flat)

    def second(self, p: Float[Array, "..."]) -> Float[Array, "..."]:
        flat = jax.lax.map(lambda v: self._series(self.function, v, 0)[1], p.reshape(-1), batch_size=1024)
        return flat.reshape(p.shape)

    def pair(self, c: Float[Array, "..."], left: Moments, right: Moments) -> tuple[Array, Array]:
        (p, a, ta, b, tb), (q, a2, ta2, b2, tb2) = left, right
        rho = _correlation(c, p, q)
        return _horner(rho, a, a2, ta * ta2), _horner(rho, b, b2, tb * tb2)

    def error(self, c: Float[Array, "..."], left: Moments, right: Moments) -> tuple[Array, Array]:
        """Certified upper bound on the truncation error of both outputs of `pair` (rounding not included)."""
        (p, _, ta, _, tb), (q, _, ta2, _, tb2) = left, right
        rho = jnp.abs(_correlation(c, p, q))
        top, below = self._degree
        return 2 * rho ** (top + 1) * ta * ta2, 2 * rho ** (below + 1) * tb * tb2


def _correlation(c: Array, p: Array, q: Array) -> Array:
    root = safe_sqrt(p) * safe_sqrt(q)  # p q itself underflows first, and with it the whole series
    return jnp.where(root > 0, jnp.clip(c / jnp.where(root > 0, root, 1), -1, 1), 0)


def _horner(rho: Array, a: Array, b: Array, last: Array) -> Array:
    """sum_k a_k b_k rho^k + last rho^{K+1}; the last axis of a and b counts k."""
    value = last * jnp.ones_like(rho)
    for k in range(a.shape[-1] - 1, -1, -1):
        value = value * rho + a[..., k] * b[..., k]
    return value
