"""Is a number that is not finite found wherever it stands, by few reductions?"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq.kernels import layers

SIDE = {"features": tuple(jnp.full((3, 2), -1e38 * k) for k in range(4)), "one": (jnp.ones(3), jnp.arange(2)), "no": ()}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_is_found_in_each_array_and_no_finite_one_is_taken_for_one(value: float) -> None:
    leaves, tree = jax.tree.flatten(SIDE)
    assert layers.all_finite(SIDE) and layers.all_finite(())
    for k, leaf in enumerate(leaves):
        if jnp.issubdtype(leaf.dtype, jnp.inexact):
            spoilt = leaf.at[(-1,) * leaf.ndim].set(value)
            assert not layers.all_finite(tree.unflatten([*leaves[:k], spoilt, *leaves[k + 1 :]]))


def test_arrays_of_one_shape_are_looked_at_in_one_reduction() -> None:
    many = [jnp.ones((3, 2))] * 50
    assert str(jax.make_jaxpr(layers.all_finite)(many)).count("reduce_and") == 2
