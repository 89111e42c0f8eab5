"""Do effective ranks equal their definitions and known values, alone and in batches under transformations?"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntkseq.spectra import effective_rank, effective_ranks, spectrum
from ntkseq.spectra.ranks import Dimension, EffectiveRank, Energy, Numerical, Participation, Tail
from ntkseq.spectra.ranks.short import SHORT
from tests.spectra.truths import declared

PLAIN = ("entropy", "energy_entropy", "stable", "intrinsic", "nuclear", "participation", "energy_participation")
DIAGONAL = [4.0, 2.0, 1.0, 0.0]
CAUSAL = np.tril(np.ones((4, 4))) / np.arange(1, 5)[:, None]  # uniform causal attention
HALVES = [1.0, 0.5, 0.25, 0.125]

spectra = st.lists(st.floats(0, 1e6).map(lambda x: x if x > 1e-6 else 0.0), min_size=1, max_size=20).filter(any)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("entropy", 2.6004900059896596),
        ("energy_entropy", 1.950367504492245),
        ("stable", 1.3125),
        ("nuclear", 1.75),
        ("intrinsic", 1.75),
        ("participation", 2.3333333333333335),
        ("energy_participation", 1.6153846153846154),
        ("numerical", 3),
    ],
)
def test_effective_ranks_of_a_diagonal_equal_their_known_values(kind: str, value: float):
    assert effective_rank(DIAGONAL, kind) == pytest.approx(value, rel=1e-14)
    assert effective_rank(DIAGONAL[::-1], kind) == effective_rank(DIAGONAL, kind)
    for matrix in (np.diag(DIAGONAL), declared(np.diag(DIAGONAL), 0.0), spectrum(np.diag(DIAGONAL))):
        assert effective_rank(matrix, kind) == pytest.approx(value, rel=1e-13)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("entropy", 3.137243157078976),
        ("energy_entropy", 2.0096193661623345),
        ("stable", 1.2870277400345582),
        ("nuclear", 1.842087840285829),
        ("participation", 2.636530282741067),
    ],
)
def test_effective_ranks_of_causal_attention_equal_their_known_values(kind: str, value: float):
    assert effective_rank(CAUSAL, kind) == pytest.approx(value, rel=1e-13)


def test_tail_ranks_and_effective_dimensions_equal_their_known_values():
    for k, r, big in zip(
        range(4), [1.875, 1.75, 1.5, 1], [2.6470588235294117, 2.3333333333333335, 1.8, 1], strict=True
    ):
        assert effective_rank(HALVES, Tail(k)) == pytest.approx(r, rel=1e-14)
        assert effective_rank(HALVES, Tail(k, Participation())) == pytest.approx(big, rel=1e-14)
    assert effective_rank(HALVES, Dimension(0.1)) == pytest.approx(3.012265512265512, rel=1e-14)
    assert effective_rank(HALVES, Dimension(0.1, power=2)) == pytest.approx(2.339736782377475, rel=1e-14)


@pytest.mark.parametrize("tail", [Tail, lambda k: Tail(k, Participation())])
def test_tail_ranks_at_or_beyond_the_rank_are_nan(tail):
    assert effective_rank(DIAGONAL, tail(2)) == 1
    for k in (3, 4, 10):
        assert math.isnan(effective_rank(DIAGONAL, tail(k)))
    assert math.isnan(effective_rank([0.0], tail(0)))
    assert math.isnan(effective_rank(np.ones((5, 4)) / 3, tail(1)))  # singular values of the size of rounding are 0


def test_effective_dimension_equals_its_trace():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((6, 4))
    K = X @ X.T
    smooth = K @ np.linalg.inv(K + 0.3 * np.eye(6))
    assert effective_rank(K, Dimension(0.3)) == pytest.approx(np.trace(smooth))
    assert effective_rank(K, Dimension(0.3, power=2)) == pytest.approx(np.trace(smooth @ smooth))


def test_energy_rank_is_the_least_number_of_values_that_reach_the_quantile():
    values = [2.0, 1.0, 1.0, 1.0, 1.0]  # squares 4, 1, 1, 1, 1: shares 1/2, 5/8, 6/8, 7/8, 1
    for quantile, k in [(0.1, 1), (0.5, 1), (0.51, 2), (0.625, 2), (0.6251, 3), (0.7, 3), (0.99, 5), (1.0, 5)]:
        assert effective_rank(values, Energy(quantile)) == k
    assert effective_rank([3.0, 0.0], Energy(1.0)) == 1


@pytest.mark.parametrize("t", [1, 2, 7])
def test_uniform_attention_has_rank_one_and_permutations_have_full_rank_by_every_measure(t: int):
    rng = np.random.default_rng(t)
    for kind in PLAIN:
        assert effective_rank(np.full((t, t), 1 / t), kind) == pytest.approx(1.0, abs=1e-12)
        assert effective_rank(np.eye(t)[rng.permutation(t)], kind) == pytest.approx(t, rel=1e-14)
    assert effective_rank(np.full((t, t), 1 / t), "numerical") == 1
    assert effective_rank(np.full((t, 2 * t), 1 / t), "numerical") == 1


@pytest.mark.parametrize("rank", [*SHORT, Energy(0.9), Dimension(1.0), Dimension(1.0, power=2)], ids=str)
def test_a_zero_matrix_has_rank_zero(rank: str | EffectiveRank):
    for zero in (np.zeros(3), np.zeros((3, 3)), spectrum(np.zeros((3, 3)))):
        assert effective_rank(zero, rank) == 0


@given(spectra, st.sampled_from(PLAIN))
def test_ranks_lie_between_one_and_the_rank(values: list[float], kind: str):
    rank = np.count_nonzero(values)
    assert 1 - 1e-12 <= effective_rank(values, kind) <= rank * (1 + 1e-12)


@given(spectra)
def test_ranks_are_ordered(values: list[float]):
    rank = {kind: effective_rank(values, kind) for kind in PLAIN}
    up = 1 + 1e-12
    assert rank["stable"] <= rank["energy_participation"] * up
    assert rank["energy_participation"] <= rank["energy_entropy"] * up
    assert rank["energy_entropy"] <= rank["entropy"] * up
    assert rank["stable"] <= rank["intrinsic"] * up
    assert rank["intrinsic"] <= rank["participation"] * up
    assert rank["participation"] <= rank["entropy"] * up


@given(spectra, st.integers(0, 5))
def test_tail_ranks_are_ordered(values: list[float], k: int):
    if k >= np.count_nonzero(values):
        return
    r, big, squares = (
        effective_rank(values, Tail(k)),
        effective_rank(values, Tail(k, Participation())),
        effective_rank(np.square(values), Tail(k)),
    )
    up = 1 + 1e-12
    assert squares <= r * up and r <= big * up and big <= r**2 * up


@given(spectra, st.floats(1e-3, 1e3))
def test_effective_dimensions_are_ordered_and_fall_with_reg(values: list[float], reg: float):
    once, twice = effective_rank(values, Dimension(reg)), effective_rank(values, Dimension(reg, power=2))
    assert 0 <= twice <= once * (1 + 1e-12) <= np.count_nonzero(values) * (1 + 1e-11)
    assert effective_rank(values, Dimension(2 * reg)) <= once * (1 + 1e-12)


@given(spectra, st.sampled_from(PLAIN), st.integers(-900, 900), st.integers(0, 10**6))
def test_order_zeros_and_scale_do_not_matter(values: list[float], kind: str, power: int, seed: int):
    array = np.random.default_rng(seed).permutation(np.array([*values, 0.0, 0.0]))
    assert effective_rank(np.ldexp(array, power), kind) == pytest.approx(effective_rank(values, kind), rel=1e-12)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], r"not empty; got shape \(0,\)"),
        ([1.0, np.nan], r"values must be finite"),
        ([1j], r"real numbers.* dtype complex128"),
        (np.ones((2, 2, 2)), r"got shape \(2, 2, 2\)"),
    ],
)
def test_bad_values_are_turned_away(values, message: str):
    with pytest.raises(ValueError, match=message):
        effective_rank(values)


@pytest.mark.parametrize("transform", [jax.vmap, jax.jit])
def test_under_a_trace_the_function_for_batches_is_named(transform) -> None:
    with pytest.raises(ValueError, match=r"jax\.jit or jax\.vmap\. Take spectra\.effective_ranks"):
        transform(effective_rank)(jnp.ones((3, 4, 4)))


# theory: causal uniform attention over four tokens
GOLDEN = {
    "entropy": 3.137243157078976, "energy_entropy": 2.0096193661623345, "stable": 1.2870277400345582,
    "nuclear": 1.842087840285829, "participation": 2.636530282741067,
}  # fmt: skip


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


@pytest.mark.slow
def test_a_matrix_that_is_not_finite_has_no_rank_under_a_trace():
    A = jnp.stack([jnp.eye(3), jnp.full((3, 3), jnp.nan), jnp.eye(3).at[0, 1].set(jnp.inf)])
    for rank in ("entropy", "stable", "numerical", Tail(1), Dimension(1.0), Energy(0.9), Numerical(0.1)):
        found = jax.jit(lambda A, rank=rank: effective_ranks(A, rank))(A)
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


@pytest.mark.slow(cases=["entropy-bfloat16"])
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
