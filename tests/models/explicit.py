"""What is the tangent kernel of a finite network, by explicit Jacobians? The slow and plain way, for tests only."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np


def sequences() -> np.ndarray:
    """Three sequences of four steps and two features, written out so that nobody's random numbers matter."""
    i, t, k = np.meshgrid(np.arange(3), np.arange(4), np.arange(2), indexing="ij")
    return np.sin(1 + i + 2 * t + 3 * k) + 0.5 * np.cos(i * t + k)


def tangent_kernel(f, params, x, *rest):
    """sum over parameters and outputs, averaged over outputs: (n, n). `f(params, x[i], *rest[i]) -> (o,)`."""
    jacobians = jax.vmap(jax.jacobian(f), in_axes=(None, 0, *(0 for _ in rest)))(params, x, *rest)
    leaves = [leaf.reshape(*leaf.shape[:2], -1) for leaf in jax.tree.leaves(jacobians)]  # (n, o, p)
    return sum(jnp.einsum("iop,jop->ij", leaf, leaf, precision="highest") / leaf.shape[1] for leaf in leaves)


def over_seeds(model, x, *rest, seeds):
    """Tangent kernels of `seeds` initialisations, one at a time: (seeds, n, n). `rest`: lengths."""

    def one(key):
        return tangent_kernel(model.apply, model.init(key, x[0]), x, *rest)

    return np.asarray(jax.lax.map(one, jax.random.split(jax.random.key(7), seeds)), np.float64)


def z_scores(samples, exact):
    """(mean - exact) / standard error of the mean, for the upper triangle."""
    error = samples.std(axis=0, ddof=1) / np.sqrt(samples.shape[0])
    upper = np.triu_indices(exact.shape[0])
    return ((samples.mean(axis=0) - np.asarray(exact, np.float64)) / error)[upper]


def relative(samples, exact):
    """|mean - exact| / |exact| in Frobenius norm."""
    exact = np.asarray(exact, np.float64)
    return np.linalg.norm(samples.mean(axis=0) - exact) / np.linalg.norm(exact)
