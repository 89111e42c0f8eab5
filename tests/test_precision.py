"""Are numbers drawn in half precision the numbers of float32, rounded?"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import models
from ntkseq.data import sequences, tasks

KEY = jax.random.key(0)
DRAWS = {
    "weights": lambda dtype: models.Recurrent(width=8).init(KEY, jnp.ones((3, 2), dtype)),
    "first state": lambda dtype: models.Recurrent(width=8, h0="shared").init(KEY, jnp.ones((3, 2), dtype)),
    "features": lambda dtype: sequences.ragged(4, 5, 3, key=KEY, dtype=dtype)[0],
    "inputs of tasks": lambda dtype: tasks.sinusoids(3, shots=4, queries=4, key=KEY, dtype=dtype).query,
}


@pytest.mark.slow(but=["first state", "weights"])
@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_numbers_drawn_in_half_precision_are_those_of_float32_rounded(draw):
    # jax.random.normal(key, shape, bfloat16) has 128 values, mean -0.012: findings/jax_random_draws_in_bfloat16.sh
    for half, full in zip(jax.tree.leaves(draw(jnp.bfloat16)), jax.tree.leaves(draw(jnp.float32)), strict=True):
        assert half.dtype == jnp.bfloat16
        np.testing.assert_array_equal(half, full.astype(jnp.bfloat16))
