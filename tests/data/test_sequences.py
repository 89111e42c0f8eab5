"""Do the made sequences have the answers they promise?"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import _checks
from ntkseq.data import sequences

KEY = jax.random.key(3)

# One size for nearly all tests: each further one is compiled anew.
MAKERS = {
    "teacher_sum": lambda **kw: sequences.teacher_sum(20, 5, 3, **kw),
    "count_ones": lambda **kw: sequences.count_ones(20, 5, **kw),
    "parity": lambda **kw: sequences.parity(20, 5, **kw),
    "delay": lambda **kw: sequences.delay(20, 5, 2, **kw),
    "near_duplicates": lambda **kw: sequences.near_duplicates(20, 5, 0.1, **kw),
    "ragged": lambda **kw: sequences.ragged(20, 5, 3, **kw),
}


@pytest.mark.slow(but=["parity"])
@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_the_same_key_gives_the_same_sequences_and_another_key_others(make):
    first, again, other = make(key=KEY), make(key=KEY), make(key=jax.random.key(4))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


@pytest.mark.slow(but=["parity"])
@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_the_default_dtype_is_the_modes_default_float(make, x64):
    assert make(key=KEY)[0].dtype == jnp.float64


def test_the_dtype_is_the_one_asked_for(x64):
    x, y = sequences.count_ones(20, 5, key=KEY, dtype=jnp.float32)
    assert x.dtype == y.dtype == jnp.float32


def test_an_old_style_key_is_a_key_too():
    assert sequences.count_ones(20, 5, key=jax.random.PRNGKey(0))[0].shape == (20, 5, 1)


@pytest.mark.parametrize("key", [0, None, np.zeros(2, np.uint32), jnp.zeros(2), jax.random.split(KEY)])
def test_what_is_no_single_key_is_refused(key):
    with pytest.raises(ValueError, match=r"key must be one random key; got .*jax\.random\.key"):
        _checks.prng_key("key", key)


def test_unit_tokens_have_unit_norm():
    x = sequences.unit_tokens(20, 5, 3, key=KEY)
    norms = np.linalg.norm(np.asarray(x, np.float64), axis=-1)
    np.testing.assert_allclose(norms, 1, atol=4 * np.finfo(np.float32).eps)


def test_the_teacher_sums_one_function_of_one_projection_per_token(x64):
    beta = np.random.default_rng(0).standard_normal((5, 3))
    x, y = sequences.teacher_sum(20, 5, 3, key=KEY, function=jnp.tanh, directions=jnp.asarray(beta))
    loop = [sum(np.tanh(float(beta[step] @ np.asarray(x[i, step]))) for step in range(5)) for i in range(20)]
    np.testing.assert_allclose(y, loop, rtol=1e-13)


def test_the_teachers_drawn_directions_have_unit_norm(x64):
    # Identity in place of f makes y linear: the least squares fit on many examples returns the directions.
    x, y = sequences.teacher_sum(20, 5, 3, key=KEY, function=lambda z: z)
    beta, residual, *_ = np.linalg.lstsq(np.asarray(x).reshape(20, 15), np.asarray(y))
    assert residual[0] < 1e-25
    np.testing.assert_allclose(np.linalg.norm(beta.reshape(5, 3), axis=1), 1, rtol=1e-12)


def test_a_function_that_is_not_elementwise_is_refused():
    with pytest.raises(ValueError, match=r"elementwise.*returned \(20,\)"):
        sequences.teacher_sum(20, 5, 3, key=KEY, function=lambda z: z.sum(axis=1))


def test_directions_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"directions must have shape \(t, d\) = \(5, 3\).*got \(3, 5\)"):
        sequences.teacher_sum(20, 5, 3, key=KEY, directions=jnp.ones((3, 5)))


def test_count_ones_counts_ones():
    x, y = sequences.count_ones(20, 5, key=KEY)
    assert set(np.unique(np.asarray(x)).tolist()) == {0.0, 1.0}
    assert y.tolist() == [sum(int(v) for v in row) for row in np.asarray(x)[:, :, 0]]


def test_a_count_that_the_dtype_cannot_hold_is_refused():
    assert float(sequences.count_ones(1, 2048, key=KEY, dtype=jnp.float16)[1][0]) > 900
    with pytest.raises(ValueError, match="more than float16 can count"):
        sequences.count_ones(1, 2049, key=KEY, dtype=jnp.float16)


@pytest.mark.parametrize("over", [1, 3, None])
def test_parity_is_the_product_of_the_first_signs(over):
    x, y = sequences.parity(20, 5, key=KEY, over=over)
    assert y.tolist() == [float(np.prod(row[:over])) for row in np.asarray(x)[:, :, 0]]
    assert set(y.tolist()) == {-1.0, 1.0}


def test_parity_over_more_tokens_than_there_are_is_refused():
    with pytest.raises(ValueError, match=r"over must lie in 1\.\.t = 5.*got 6"):
        sequences.parity(3, 5, key=KEY, over=6)


@pytest.mark.parametrize("lag", [0, 2, 4])
def test_the_delayed_label_is_the_sign_of_the_token_at_the_lag(lag):
    x, y = sequences.delay(20, 5, lag, key=KEY)
    reversed_time = np.asarray(x)[:, ::-1, 0]
    assert y.tolist() == np.sign(reversed_time[:, lag]).tolist()
    others = [k for k in range(5) if k != lag]
    assert all(not np.array_equal(np.asarray(y), np.sign(reversed_time[:, k])) for k in others)


@pytest.mark.parametrize("lag", [-1, 5, 2**40])
def test_a_lag_outside_the_sequence_is_refused(lag):
    with pytest.raises(ValueError, match=r"lag must be an integer in 0\.\.4"):
        sequences.delay(3, 5, lag, key=KEY)


@pytest.mark.slow(cases=["0.001-want0", "distance1-want1"])
@pytest.mark.parametrize(("distance", "want"), [(1e-3, (1e-3, 1e-3)), ((1e-6, 2.5), (1e-6, 2.5)), (0.0, (0, 0))])
def test_near_duplicates_have_the_distance_asked_for(distance, want, x64):
    x, y = sequences.near_duplicates(20, 5, distance, key=KEY)
    x, y = np.asarray(x), np.asarray(y)
    got = [np.linalg.norm(x[1] - x[0]), np.linalg.norm(x[3] - x[2])]
    rounding = np.finfo(float).eps * np.sqrt(5)
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=10 * rounding)
    assert y[1] == -y[0] and y[3] == -y[2]
    distances = np.linalg.norm(x[:, None] - x[None], axis=(2, 3))
    distances[[0, 1, 2, 3], [1, 0, 3, 2]] = np.inf
    np.fill_diagonal(distances, np.inf)
    assert distances.min() > 0.3  # sqrt(2 * 5) = 3.2 is typical


@pytest.mark.parametrize("distance", [-1.0, float("nan"), float("inf"), (0.1, -0.1)])
def test_a_distance_that_is_none_is_refused(distance):
    with pytest.raises(ValueError, match="distance must be a finite number"):
        sequences.near_duplicates(4, 5, distance, key=KEY)


def test_two_pairs_need_four_examples():
    with pytest.raises(ValueError, match="at least 4, for two pairs; got 3"):
        sequences.near_duplicates(3, 5, 0.1, key=KEY)


def test_ragged_sequences_are_zero_behind_their_lengths_and_nowhere_else():
    x, lengths = sequences.ragged(20, 5, 3, key=KEY, t_min=2)
    for row, length in zip(np.asarray(x), lengths.tolist(), strict=True):
        assert (row[:length] != 0).all() and (row[length:] == 0).all()
    assert lengths.dtype == jnp.int32
    assert int(lengths[0]) == 5 and int(lengths.min()) == 2 and set(lengths.tolist()) == {2, 3, 4, 5}


def test_ragged_passes_the_check_of_sequences():
    x, lengths = sequences.ragged(20, 5, 3, key=KEY)
    checked, same = _checks.sequences("x", x, lengths)
    assert np.array_equal(checked, x) and np.array_equal(same, lengths)


def test_a_least_length_above_the_greatest_is_refused():
    with pytest.raises(ValueError, match="t_min must not exceed t_max; got 7 and 6"):
        sequences.ragged(5, 6, 2, key=KEY, t_min=7)


@pytest.mark.parametrize("n", [0, -3])
def test_a_size_below_one_is_refused(n):
    with pytest.raises(ValueError, match=f"n must be an integer >= 1; got {n}"):
        sequences.count_ones(n, 5, key=KEY)
