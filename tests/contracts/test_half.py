"""Do kernels and ranks of half-precision data have an answer, within the error that is stated?"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntkseq
from ntkseq import kernels, norms
from ntkseq._notices import PrecisionWarning
from ntkseq.norms.tokens import same_norm

KERNELS = {
    "blocks": kernels.Attention(),
    "recurrent": kernels.Recurrent(),
    "dense": kernels.Dense(),
    "transformer": kernels.Transformer(),
    "mean": kernels.Recurrent(read="mean"),
}


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("name", KERNELS)
def test_a_gram_in_half_precision_is_within_the_rounding_it_states(name, dtype) -> None:
    x = jnp.asarray(np.random.default_rng(0).standard_normal((4, 3, 2)), dtype)
    x = x[:, 0] if name == "dense" else x
    K = ntkseq.gram(KERNELS[name], x)
    with jax.enable_x64(True):
        exact = np.asarray(KERNELS[name](jnp.asarray(np.asarray(x, np.float64))))
    root = np.sqrt(np.diag(exact))
    off = np.abs(np.asarray(K.array, np.float64) - exact) / np.outer(root, root)
    assert 0 < off.max() < K.entrywise < 1
    assert np.linalg.norm(np.asarray(K.array, np.float64) - exact, 2) < K.rounding


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_an_array_in_half_precision_has_the_rank_and_the_norms_of_its_numbers(dtype) -> None:
    A = jnp.asarray(np.eye(3) + 0.1, dtype)
    with pytest.warns(PrecisionWarning, match="numbers of unknown rounding"):
        rank = ntkseq.effective_rank(A)
    assert rank == ntkseq.effective_rank(np.asarray(A, np.float64))
    x = jnp.ones((2, 3, 4), dtype) / 3
    for held in (x, np.asarray(x)):
        assert same_norm(np.asarray(held).reshape(6, 4)) == "holds"
        tokens = norms.Tokens.measured(held)
        np.testing.assert_allclose(tokens.squares, np.sum(np.asarray(x[0], np.float64) ** 2, axis=1), rtol=1e-12)
