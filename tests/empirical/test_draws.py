"""Are mean and spread those of the draws?"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import empirical
from tests.empirical.random_features import X, make


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


def test_bad_input_is_named() -> None:
    keys = jax.random.split(jax.random.key(0), 3)
    with pytest.raises(ValueError, match="two or more random keys"):
        empirical.average(lambda key: make(4, key), keys[:1], X)
    with pytest.raises(ValueError, match="random keys"):
        empirical.average(lambda key: make(4, key), 3, X)
    with pytest.raises(ValueError, match=r"make must return a kernel.*E\.g\. lambda key: empirical"):
        empirical.average(lambda key: 3, keys, X)
    with pytest.raises(ValueError, match="not finite"):
        empirical.average(lambda key: lambda x: jnp.full((4, 4), jnp.nan), keys, X)
