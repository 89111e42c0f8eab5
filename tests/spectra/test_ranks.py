"""Are effective ranks of a batch of rectangular matrices those of each matrix alone, and the published numbers?"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq.spectra import aggregate, effective_rank, effective_ranks
from ntkseq.spectra.measures import KINDS
from ntkseq.spectra.ranks import sampled

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


@pytest.mark.parametrize("kind", ["entropy", "stable", "energy_participation", "numerical"])
def test_what_a_mask_hides_is_never_looked_at(kind: str, x64):
    """Causal attention of padded sequences, garbage elsewhere, against each sequence cut to its length."""
    generator = np.random.default_rng(0)
    A, lengths = generator.uniform(size=(3, 2, 5, 5)), np.array([5, 3, 1])
    inside = np.arange(5) < lengths[:, None]
    seen = np.tril(np.ones((5, 5), bool)) & (inside[:, :, None] & inside[:, None, :])
    found = effective_ranks(np.where(seen[:, None], A, np.nan), kind, seen=seen[:, None])
    alone = [[effective_rank(np.tril(A[i, h, :n, :n]), kind) for h in range(2)] for i, n in enumerate(lengths)]
    np.testing.assert_allclose(found, alone, rtol=1e-12)
    assert np.asarray(effective_ranks(A[0, 0], kind, seen=np.zeros((5, 5), bool))) == 0


@pytest.mark.parametrize("seen", [np.ones((3, 3)), np.ones((2, 3), bool), np.ones((4, 1, 3, 3), bool)])
def test_a_mask_that_does_not_fit_is_turned_away(seen):
    with pytest.raises(ValueError, match="seen must be booleans that broadcast"):
        effective_ranks(np.eye(3), seen=seen)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
@pytest.mark.parametrize("shape", [(40, 9, 30), (40, 30, 9)])
def test_participation_of_energy_needs_no_singular_values(shape, scale: float):
    """In float32 at scales whose fourth powers leave its range, against NumPy's singular values in float64."""
    A = np.random.default_rng(1).normal(size=shape).astype(np.float32) * np.float32(scale)
    s = np.linalg.svd(A.astype(np.float64) / scale, compute_uv=False)
    wanted = np.sum(s**2, axis=1) ** 2 / np.sum(s**4, axis=1)
    np.testing.assert_allclose(effective_ranks(A, "energy_participation"), wanted, rtol=2e-6)
    broken = jnp.asarray(A).at[3, 0, 0].set(jnp.inf)
    under_trace = jax.jit(lambda A: effective_ranks(A, "energy_participation"))(broken)
    assert jnp.isnan(under_trace).sum() == 1 and jnp.isnan(under_trace[3])


def test_the_error_of_an_aggregate_counts_what_heads_share():
    """Two heads that move together have the error of one, two that move apart have none."""
    z = np.random.default_rng(0).normal(size=200)
    together, apart = np.stack([3 + z, 5 + z], axis=1), np.stack([3 + z, 5 - z], axis=1)
    assert sampled(together).value == pytest.approx(4 + z.mean())
    assert sampled(together).error == pytest.approx(z.std(ddof=1) / math.sqrt(200))
    assert sampled(together, "sum").error == pytest.approx(2 * sampled(together).error)
    assert sampled(apart).value == pytest.approx(4) and sampled(apart).error < 1e-12
    assert sampled(apart, "max").value == pytest.approx(5 - z.mean())
    alone = sampled(together[:1])
    assert alone.n == 1 and np.isnan([alone.error, alone.lower, alone.upper]).all()


@pytest.mark.parametrize("how", ["mean", "max", "sum"])
def test_the_interval_of_an_aggregate_is_not_too_narrow(how: str):
    """Over 2,000 samples of 30 examples with 12 heads of skewed ranks, half of it shared; "max": equal heads."""
    generator = np.random.default_rng(2)
    means = np.full(12, 2.0) if how == "max" else np.linspace(1.0, 3.0, 12)
    truth = {"mean": means.mean(), "max": 2.0, "sum": means.sum()}[how]
    hits = 0
    for _ in range(2000):
        draws = 0.5 * generator.gamma(4, 0.25, size=(30, 1)) + 0.5 * generator.gamma(4, 0.25, size=(30, 12))
        found = sampled(means + 0.5 * (draws - 1), how)
        assert found.lower <= found.value <= found.upper and found.n == 30
        hits += found.lower <= truth <= found.upper
    assert hits >= (0.95 - 3 * math.sqrt(0.05 * 0.95 / 2000) - 0.01) * 2000  # a percent for the skewness


@pytest.mark.parametrize(
    ("ranks", "options", "message"),
    [
        ([], {}, "ranks must have shape"),
        ([1.0, np.nan], {}, "ranks must be finite"),
        ([1.0, 2.0], {"how": "median"}, "how must be one of"),
        ([1.0, 2.0], {"level": 1.0}, "level must lie"),
    ],
)
def test_bad_samples_are_turned_away(ranks, options, message: str):
    with pytest.raises(ValueError, match=message):
        sampled(ranks, **options)


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


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("kind", ["entropy", "stable", "energy_participation"])
def test_half_precision_is_computed_in_float32(dtype, kind) -> None:
    A = jax.nn.softmax(2.0 * jax.random.normal(jax.random.key(0), (3, 6, 6)))
    found = effective_ranks(A.astype(dtype), kind)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, effective_ranks(A, kind), rtol=0.05)


def test_what_half_precision_cannot_tell_from_zero_is_no_direction() -> None:
    one = jnp.outer(jnp.linspace(0.1, 1, 6), jnp.linspace(1, 0.3, 6))
    assert float(effective_ranks(one.astype(jnp.bfloat16), "numerical")) == 1
