"""Do the effective ranks and the alignment equal their definitions and known values?"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntkseq.spectra import effective_rank, spectrum
from ntkseq.spectra.measures import KINDS, alignment, alignment_curve, nonnegative
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
        assert effective_rank(HALVES, "r", k=k) == pytest.approx(r, rel=1e-14)
        assert effective_rank(HALVES, "R", k=k) == pytest.approx(big, rel=1e-14)
    assert effective_rank(HALVES, ridge=0.1) == pytest.approx(3.012265512265512, rel=1e-14)
    assert effective_rank(HALVES, "ridge2", ridge=0.1) == pytest.approx(2.339736782377475, rel=1e-14)


@pytest.mark.parametrize("kind", ["r", "R"])
def test_tail_ranks_at_or_beyond_the_rank_are_nan(kind: str):
    assert effective_rank(DIAGONAL, kind, k=2) == 1
    for k in (3, 4, 10):
        assert math.isnan(effective_rank(DIAGONAL, kind, k=k))
    assert math.isnan(effective_rank([0.0], kind, k=0))
    assert math.isnan(effective_rank(np.ones((5, 4)) / 3, kind, k=1))  # singular values of the size of rounding are 0


def test_effective_dimension_equals_its_trace():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((6, 4))
    K = X @ X.T
    smooth = K @ np.linalg.inv(K + 0.3 * np.eye(6))
    assert effective_rank(K, ridge=0.3) == pytest.approx(np.trace(smooth))
    assert effective_rank(K, "ridge2", ridge=0.3) == pytest.approx(np.trace(smooth @ smooth))


def test_energy_rank_is_the_least_number_of_values_that_reach_the_quantile():
    values = [2.0, 1.0, 1.0, 1.0, 1.0]  # squares 4, 1, 1, 1, 1: shares 1/2, 5/8, 6/8, 7/8, 1
    for quantile, k in [(0.1, 1), (0.5, 1), (0.51, 2), (0.625, 2), (0.6251, 3), (0.7, 3), (0.99, 5), (1.0, 5)]:
        assert effective_rank(values, "energy", quantile=quantile) == k
    assert effective_rank([3.0, 0.0], "energy", quantile=1.0) == 1


@pytest.mark.parametrize("t", [1, 2, 7])
def test_uniform_attention_has_rank_one_and_permutations_have_full_rank_by_every_measure(t: int):
    rng = np.random.default_rng(t)
    for kind in PLAIN:
        assert effective_rank(np.full((t, t), 1 / t), kind) == pytest.approx(1.0, abs=1e-12)
        assert effective_rank(np.eye(t)[rng.permutation(t)], kind) == pytest.approx(t, rel=1e-14)
    assert effective_rank(np.full((t, t), 1 / t), "numerical") == 1
    assert effective_rank(np.full((t, 2 * t), 1 / t), "numerical") == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_zero_matrix_has_rank_zero(kind: str):
    options = {"energy": {"quantile": 0.9}, "ridge": {"ridge": 1.0}, "ridge2": {"ridge": 1.0}}.get(kind, {})
    if kind not in ("r", "R"):
        for zero in (np.zeros(3), np.zeros((3, 3)), spectrum(np.zeros((3, 3)))):
            assert effective_rank(zero, kind, **options) == 0


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
        effective_rank(values, "r", k=k),
        effective_rank(values, "R", k=k),
        effective_rank(np.square(values), "r", k=k),
    )
    up = 1 + 1e-12
    assert squares <= r * up and r <= big * up and big <= r**2 * up


@given(spectra, st.floats(1e-3, 1e3))
def test_effective_dimensions_are_ordered_and_fall_with_the_ridge(values: list[float], ridge: float):
    once, twice = effective_rank(values, "ridge", ridge=ridge), effective_rank(values, "ridge2", ridge=ridge)
    assert 0 <= twice <= once * (1 + 1e-12) <= np.count_nonzero(values) * (1 + 1e-11)
    assert effective_rank(values, ridge=2 * ridge) <= once * (1 + 1e-12)


@given(spectra, st.sampled_from(PLAIN), st.integers(-900, 900), st.integers(0, 10**6))
def test_order_zeros_and_scale_do_not_matter(values: list[float], kind: str, power: int, seed: int):
    array = np.random.default_rng(seed).permutation(np.array([*values, 0.0, 0.0]))
    assert effective_rank(np.ldexp(array, power), kind) == pytest.approx(effective_rank(values, kind), rel=1e-12)


def test_rounding_size_negatives_count_as_zero_and_clear_ones_raise():
    assert nonnegative([1.0, -1e-17, 0.5]).tolist() == [1.0, 0.5, 0.0]
    assert nonnegative(np.array([1.0, -1e-7, 0.5], np.float32)).tolist() == [1.0, 0.5, 0.0]
    with pytest.raises(ValueError, match=r"1 value\(s\) that are negative beyond rounding, the least -1e-07"):
        nonnegative([1.0, -1e-7, 0.5])
    assert nonnegative([1.0, -1e-7], 1e-6).tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ([1.0], {"kind": "rank"}, r"kind must be one of 'entropy', .* got 'rank'"),
        ([1.0], {"kind": "stable", "tol": 0.1}, r"'stable' takes no option; got tol=0.1"),
        ([1.0], {"kind": "entropy", "ridge": 0.1}, r"'entropy' takes no option; got ridge=0.1"),
        ([1.0], {"kind": "r", "quantile": 0.1}, r"'r' takes k=; got quantile=0.1"),
        ([1.0], {"kind": "energy"}, r"'energy' needs quantile="),
        ([1.0], {"kind": "ridge"}, r"'ridge' needs ridge="),
        ([1.0], {"kind": "R"}, r"'R' needs k="),
        ([1.0], {"kind": "r", "k": 0.5}, r"k must be an integer >= 0; got 0.5"),
        ([1.0], {"kind": "r", "k": -1}, r"k must be an integer >= 0; got -1"),
        ([1.0], {"kind": "energy", "quantile": 1.5}, r"quantile must lie in \(0, 1\]; got 1.5"),
        ([1.0], {"kind": "numerical", "tol": -1}, r"tol must be a finite number >= 0"),
        ([1.0], {"ridge": 0.0}, r"ridge must be a finite number > 0; got 0.0"),
        ([], {}, r"not empty; got shape \(0,\)"),
        ([1.0, np.nan], {}, r"values must be finite"),
        ([1j], {}, r"real numbers.* dtype complex128"),
        (np.ones((2, 2, 2)), {}, r"got shape \(2, 2, 2\)"),
    ],
)
def test_bad_arguments_are_turned_away(values, options: dict, message: str):
    with pytest.raises(ValueError, match=message):
        effective_rank(values, **options)


def test_alignment_is_one_for_the_labels_own_kernel_and_at_most_one():
    y = np.array([1.0, -1.0, 1.0, 1.0])
    values, vectors = np.linalg.eigh(np.outer(y, y))
    assert alignment(values, vectors, y) == pytest.approx(1.0)
    assert alignment(np.ones(4), np.eye(4), y) == pytest.approx(0.5)  # identity: 1 / sqrt(n)
    assert alignment(values, vectors, 3 * y) == pytest.approx(1.0)
    assert math.isnan(alignment(np.zeros(4), np.eye(4), y))


def test_alignment_curve_of_coordinate_vectors_is_the_share_of_the_squares():
    assert alignment_curve(np.eye(3), [2.0, 1.0, 2.0]).tolist() == pytest.approx([4 / 9, 5 / 9, 1.0])


@pytest.mark.parametrize(
    ("y", "message"),
    [([0, 0, 0], "all zero"), ([1, 2], r"must have shape \(3,\)"), ([1.0, np.nan, 0.0], "y must be finite")],
)
def test_bad_labels_are_turned_away(y: list, message: str):
    with pytest.raises(ValueError, match=message):
        alignment_curve(np.eye(3), y)


@pytest.mark.parametrize("transform", [jax.vmap, jax.jit])
def test_under_a_trace_the_function_for_batches_is_named(transform) -> None:
    with pytest.raises(ValueError, match=r"jax\.jit or jax\.vmap\. Take spectra\.effective_ranks"):
        transform(effective_rank)(jnp.ones((3, 4, 4)))
