"""Are mean, spread and the slope over widths those of the draws?"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import empirical, kernels
from ntkseq.empirical.draws import PRIOR

X = jnp.linspace(-1.0, 1.0, 12, dtype=jnp.float32).reshape(4, 3)


def make(width: int, key: Any) -> Any:
    """cos(w x) over random w: its mean kernel is known, and deviates as width^(-1/2)."""
    w = jax.random.normal(key, (3, width))
    features = lambda x: jnp.concatenate([jnp.cos(x @ w), jnp.sin(x @ w)], axis=1) / width**0.5  # noqa: E731
    return lambda x, x2=None: features(x) @ features(x if x2 is None else x2).T


def limit() -> np.ndarray:
    gap = np.asarray(X)[:, None] - np.asarray(X)[None]
    return np.exp(-np.sum(gap**2, axis=2) / 2)


def test_mean_and_spread_are_those_of_the_matrices() -> None:
    keys = jax.random.split(jax.random.key(0), 7)
    each = np.stack([np.asarray(make(8, key)(X), np.float64) for key in keys])
    found = empirical.average(lambda key: make(8, key), keys, X)
    np.testing.assert_allclose(found.mean, each.mean(0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found.spread, each.std(0, ddof=1), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.standard_error, each.std(0, ddof=1) / 7**0.5, rtol=1e-9, atol=1e-12)
    assert found.count == 7 and "mean of 7 kernels" in str(found)
    block = empirical.average(lambda key: make(8, key), keys, X[:2], X)
    # float32 sums of 16 products at most 1/8 each, in another order: absolute rounding, an entry may be near zero
    np.testing.assert_allclose(block.mean, each.mean(0)[:2], rtol=0, atol=16 * 6e-8)


@pytest.mark.slow
def test_the_kernel_of_networks_tends_to_the_infinite_one() -> None:
    kernel = kernels.Recurrent(sigma_w=1.2, sigma_b=0.3)
    x = jax.random.normal(jax.random.key(0), (3, 4, 2))

    def make(width: int, key: Any) -> Any:
        net = kernel.finite(width)
        return empirical.NTK(net.apply, net.init(key, x[0]))

    found = empirical.convergence(make, (32, 128), jax.random.split(jax.random.key(1), 24), x, kernel(x))
    assert abs(found.slope + 0.5) < 4 * found.slope_error and found.slope_error < 0.2
    assert found.deviation[1] < found.deviation[0] < 1


def test_the_slope_is_within_its_error_and_the_error_honest() -> None:
    slopes, errors = [], []
    for seed in range(40):
        keys = jax.random.split(jax.random.key(seed), 6)
        found = empirical.convergence(make, (4, 16, 64), keys, X, limit())
        slopes.append(found.slope)
        errors.append(found.slope_error)
    pulls = (np.asarray(slopes) + 0.5) / np.asarray(errors)
    assert np.sqrt(np.mean(pulls**2)) < 1.25 and np.abs(pulls).max() < 4.5
    assert PRIOR > 0 and "width^(" in str(found)


def test_bad_input_is_named() -> None:
    keys = jax.random.split(jax.random.key(0), 3)
    with pytest.raises(ValueError, match="two or more random keys"):
        empirical.average(lambda key: make(4, key), keys[:1], X)
    with pytest.raises(ValueError, match="random keys"):
        empirical.average(lambda key: make(4, key), 3, X)
    with pytest.raises(ValueError, match="make must return a kernel"):
        empirical.average(lambda key: 3, keys, X)
    with pytest.raises(ValueError, match="not finite"):
        empirical.average(lambda key: lambda x: jnp.full((4, 4), jnp.nan), keys, X)
    with pytest.raises(ValueError, match="different widths"):
        empirical.convergence(make, (4, 4), keys, X, limit())
    with pytest.raises(ValueError, match="must not vanish"):
        empirical.convergence(make, (4, 8), keys, X, np.zeros((4, 4)))
    with pytest.raises(ValueError, match="shape of the kernel"):
        empirical.convergence(make, (4, 8), keys, X, np.ones((3, 3)))
    with pytest.raises(ValueError, match="no deviation"):
        empirical.convergence(lambda width, key: lambda x: jnp.ones((4, 4)), (4, 8), keys, X, np.ones((4, 4)))
