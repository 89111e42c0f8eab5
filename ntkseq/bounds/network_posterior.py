"""The Gaussian over the weights of a network of which a certificate speaks: covariance, divergence, draws."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkseq import _checks, _display, _keys, _precision
from ntkseq._types import AnyArray, Key, PyTree
from ntkseq.empirical.function import Function

EPS = float(np.finfo(np.float64).eps)
_AT_ONCE = 16  # Jacobian rows
_COLUMNS = 8192  # of the rows that are float64 at one time


@dataclasses.dataclass(frozen=True, eq=False)
class NetworkPosterior:
    """N(w, c D A^2 D), A = I - R' diag(g) R, over the weights of f: the law of the drawn networks.

    D holds the roots of the scales of the leaves. The rows of R are what float arithmetic made of the orthonormal
    eigenvectors of the tangent kernel, and g = 1 - sqrt(s/(c l + s)); with exact eigenvectors of all rows,
    A^2 = I - J'(JJ' + s/c)^-1 J. The law is that of R and g as they are, whatever they were meant to be.

    Attributes:
        function: f at w.
        rows: R, (r, p).
        shrink: g, (r,).
        roots: of c and of the scale of its leaf, for every weight, (p,).
        c, s: the variance of the prior and the noise of the posterior.
        spectrum: l, the eigenvalues of the tangent kernel of the rows in weights over D, (r,).

    Reference: dziugaite2017computing, for the idea; (pac_bayes_network.2).
    """

    function: Function
    rows: Float[Array, "r p"]
    shrink: Float[np.ndarray, " r"]
    roots: Float[Array, " p"]
    c: float
    s: float
    spectrum: Float[np.ndarray, " r"]

    __repr__ = _display.record

    @property
    def mean(self) -> PyTree:
        """w, as it was given: the mean network."""
        return _keys.made_again(jax.tree.unflatten(self.function.tree, self.function.leaves))

    def draw(self, key: Key) -> PyTree:
        """The weights of one drawn network, a pytree like w; they depend on the key alone.

        Raises:
            ValueError: not a random key.
        """
        key = _checks.prng_key("key", key)
        function = self.function
        (flat,) = drawn(flattened(function.weights), self.roots, self.rows, self.shrink_of, key[None])
        leaves = list(function.leaves)
        for i, weight in zip(function.trained, unflattened(function, flat), strict=True):
            leaves[i] = weight
        return _keys.made_again(jax.tree.unflatten(function.tree, leaves))

    @property
    def shrink_of(self) -> Float[Array, " r"]:
        """g in the dtype of the weights, with which it is drawn."""
        return jnp.asarray(self.shrink, self.rows.dtype)


@dataclasses.dataclass(frozen=True)
class Divergence:
    """KL(posterior || prior) = gain - dimension + movement, rounded upwards by `rounding`, in nats.

    Attributes:
        gain: 1/2 sum log(1 + c l/s), the information gain of the rows.
        dimension: 1/2 sum c l/(c l + s), half of their effective dimension.
        movement: |w - w0|^2/(2 c), with scales of the leaves each over its own.
        rounding: what float64 may have taken away, and is added.
    """

    gain: float
    dimension: float
    movement: float
    rounding: float

    @property
    def value(self) -> float:
        """The upper end."""
        total = self.gain - self.dimension + self.movement
        return math.nextafter(max(total, 0.0) + self.rounding + 4 * EPS * abs(total), math.inf)


def flattened(weights: list[Any]) -> Float[Array, " p"]:
    """All weights in one vector, leaf after leaf."""
    return jnp.concatenate([leaf.ravel() for leaf in weights])


def unflattened(function: Function, flat: Float[Array, " p"]) -> list[Any]:
    """The trained leaves from that vector."""
    leaves, start = [], 0
    for leaf in function.weights:
        leaves.append(flat[start : start + leaf.size].reshape(leaf.shape))
        start += leaf.size
    return leaves


def drawn(flat: Array, roots: Array, rows: Array, shrink: Array, keys: Key) -> Float[Array, "k p"]:
    """w + sqrt(c) D (eps - R' g (R eps)) for every key: (pac_bayes_network.3), without a p x p matrix."""
    normal = jax.vmap(lambda key: _precision.normal(key, flat.shape, flat.dtype))(keys)
    inner = jnp.matmul(normal, rows.T, precision="highest") * shrink[None]
    return flat[None] + roots[None] * (normal - jnp.matmul(inner, rows, precision="highest"))


@jax.jit
def _jacobian(
    function: Function, x: PyTree, which: AnyArray, outputs: AnyArray, scale: AnyArray
) -> Float[Array, "r p"]:
    def one(pick: tuple[Array, Array]) -> Array:
        example = jax.tree.map(lambda leaf: leaf[pick[0]], x)
        gradient = jax.grad(lambda weights: function.outputs_at(weights, example)[pick[1]])(function.weights)
        return flattened(gradient) * scale

    return jax.lax.map(one, (which, outputs), batch_size=_AT_ONCE)


def eigenrows(
    function: Function, x: PyTree, which: AnyArray, outputs: AnyArray, scale: AnyArray
) -> tuple[Float[Array, "r p"], Float[np.ndarray, " r"]]:
    """R and l: eigenvectors in weight space, and eigenvalues, of the Jacobian at some (example, output), times D.

    An eigenvector in float is off by about eps sqrt(l_max/l): where that is more than 1/64 it is left out. Any R has a
    posterior, of which the divergence is exact; a poor one only shapes the noise worse.
    """
    J = _jacobian(function, x, jnp.asarray(which), jnp.asarray(outputs), scale)
    values, vectors = np.linalg.eigh(products(J)[0])
    values, vectors = values[::-1], vectors[:, ::-1]
    least = max((64 * float(jnp.finfo(J.dtype).eps)) ** 2, 8 * len(values) * EPS)
    kept = values > least * max(float(values[0]), 0.0)
    V = jnp.asarray(vectors[:, kept] / np.sqrt(values[kept])[None], J.dtype)
    return jnp.matmul(V.T, J, precision="highest"), values[kept]


def products(rows: Float[Array, "r p"]) -> tuple[Float[np.ndarray, "r r"], float]:
    """R R' in float64 and an upper estimate of the spectral norm of its error: exact products of p floats, summed."""
    r, p = rows.shape
    held = np.asarray(rows)
    S = np.zeros((r, r))
    for start in range(0, p, _COLUMNS):
        part = held[:, start : start + _COLUMNS].astype(np.float64)
        S += part @ part.T
    # |error| <= p eps |R| |R|' entrywise, whose spectral norm is at most the sum of the squared lengths of the rows
    return S, 2 * p * EPS * float(np.trace(S))


def divergence(
    S: Float[np.ndarray, "r r"], error: float, shrink: Float[np.ndarray, " r"], moved: float
) -> Divergence | str:
    """KL of N(w, c D A^2 D) from N(w0, c D^2) by the eigenvalues of A as it is drawn: (pac_bayes_network.4).

    Args:
        S: R R', (r, r), as `products` gives it, with its `error`.
        shrink: g, (r,), as it is multiplied.
        moved: |D^-1 (w - w0)|^2/(2 c), an upper estimate.

    Returns:
        Divergence, or why there is none: A cannot be told from a singular matrix.
    """
    root = np.sqrt(shrink)
    M = root[:, None] * S * root[None]
    mu = np.linalg.eigvalsh((M + M.T) / 2)
    top = float(np.abs(mu).max(initial=0.0))
    off = error * float(shrink.max(initial=0.0)) + 4 * (len(mu) + 2) * EPS * top
    t = 1.0 - mu
    if (np.abs(t) <= 2 * off + 4 * EPS).any():
        return "the covariance of the posterior cannot be told from a singular one; pass a larger s"
    gain, dimension = -np.log(np.abs(t)), 0.5 * (1.0 - t * t)
    # |d/dt (t^2/2 - log t)| <= |t| + 1/|t|, at the ends of what the eigenvalue may be
    near, far = np.abs(t) - off, np.abs(t) + off
    rounding = float(np.sum((far + 1 / near) * off)) + 8 * EPS * float(np.sum(np.abs(gain)) + np.sum(np.abs(dimension)))
    return Divergence(
        float(math.fsum(gain)), float(math.fsum(dimension)), moved, rounding * (1 + 1e-6) + 4 * EPS * moved
    )
