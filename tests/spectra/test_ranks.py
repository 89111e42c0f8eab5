"""Are effective ranks of a batch of rectangular matrices those of each matrix alone, and the published numbers?"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq.spectra import aggregate, effective_rank, effective_ranks
from ntkseq.spectra.measures import KINDS

OPTIONS = {
    "numerical": {"tol": 0.1}, "energy": {"quantile": 0.9}, "r": {"k": 1}, "R": {"k": 1}, "ridge": {"ridge": 0.3},
    "ridge2": {"ridge": 0.3},
}  # fmt: skip
CAUSAL = np.tril(np.ones((4, 4))) / np.arange(1, 5.0)[:, None]
# theory: causal uniform attention over four tokens
GOLDEN = {
    "entropy": 3.137243157078976, "energy_entropy": 2.0096193661623345, "stable": 1.2870277400345582,
    "nuclear": 1.842087840285829, "participation": 2.636530282741067,
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (3, 4, 4), (4, 7), (2, 1, 6)])
def test_each_matrix_of_a_batch_is_as_alone(kind: str, shape, x64):
    A = np.random.default_rng(0).standard_normal(shape)
    A[..., 0, :] *= 3.0
    if A.ndim > 2:
        A[0] = 0.0
        A[-1] = np.outer(A[-1, ..., 0].ravel()[: shape[-2]], np.arange(1.0, shape[-1] + 1)) / 3  # rank one to rounding
    found = np.asarray(effective_ranks(A, kind, **OPTIONS.get(kind, {})))
    assert found.shape == shape[:-2]
    flat = A.reshape(-1, *shape[-2:])
    alone = [effective_rank(one, kind, **OPTIONS.get(kind, {})) for one in flat]
    np.testing.assert_allclose(found.reshape(-1), alone, rtol=1e-12)


@pytest.mark.parametrize("kind", GOLDEN)
def test_causal_uniform_attention_has_the_published_ranks(kind: str, x64):
    assert float(effective_ranks(CAUSAL, kind)) == pytest.approx(GOLDEN[kind], rel=1e-12)


@pytest.mark.parametrize("kind", ["entropy", "stable", "intrinsic", "participation", "energy_entropy", "numerical"])
def test_uniform_attention_counts_one_and_a_permutation_counts_all(kind: str):
    both = jnp.stack([jnp.full((6, 6), 1 / 6), jnp.eye(6)[::-1]])
    np.testing.assert_allclose(effective_ranks(both, kind), [1, 6], rtol=1e-5)


def test_it_goes_through_jit_and_vmap():
    A = jax.random.normal(jax.random.key(0), (3, 2, 4, 5))
    whole = effective_ranks(A, "stable")
    np.testing.assert_allclose(jax.jit(lambda A: effective_ranks(A, "stable"))(A), whole, rtol=1e-6)
    np.testing.assert_allclose(jax.vmap(lambda A: effective_ranks(A, "stable"))(A), whole, rtol=1e-6)


def test_a_matrix_that_is_not_finite_has_no_rank_under_a_trace():
    A = jnp.stack([jnp.eye(3), jnp.full((3, 3), jnp.nan), jnp.eye(3).at[0, 1].set(jnp.inf)])
    for kind, options in (("entropy", {}), ("stable", {}), ("numerical", {}), ("r", {"k": 1}), (None, {"ridge": 1.0})):
        found = jax.jit(lambda A, kind=kind, options=options: effective_ranks(A, kind, **options))(A)
        assert jnp.isnan(found).tolist() == [False, True, True]


def test_aggregation_is_explicit():
    ranks = np.array([[1.0, 3.0], [2.0, 6.0]])
    assert aggregate(ranks) == 3.0 and aggregate(ranks, "max") == 6.0
    assert aggregate(ranks, "sum", axis=1).tolist() == [4.0, 8.0]
    with pytest.raises(ValueError, match="how must be one of"):
        aggregate(ranks, "median")


@pytest.mark.parametrize(
    ("A", "message"),
    [
        (np.ones(3), r"shape \(..., rows, columns\)"),
        (np.ones((2, 0, 3)), "no matrix empty"),
        (np.full((2, 2), np.nan), "A must be finite"),
    ],
)
def test_bad_matrices_are_turned_away(A, message: str):
    with pytest.raises(ValueError, match=message):
        effective_ranks(A)
