"""Are batches a function of key and step, and each order what it says?"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq.training.batches import Batches

KEY = jax.random.key(3)


@pytest.mark.slow(but=["3-once"])
@pytest.mark.parametrize("order", ["shuffle", "once", "replacement"])
@pytest.mark.parametrize("batch", [3, None])
def test_carried_permutations_give_what_each_step_gives_alone(order: str, batch: int | None) -> None:
    batches = Batches(8, batch, order, KEY)
    last = min(batches.max_steps, 21)
    at = jax.jit(lambda batches, step: batches.at(step))
    alone = np.stack([np.asarray(at(batches, step)) for step in range(last)])
    np.testing.assert_array_equal(batches.indices(0, last), alone)
    middle = last // 2  # inside an epoch
    np.testing.assert_array_equal(batches.indices(middle, last), alone[middle:])
    assert alone.shape == (last, batch or 8) and alone.dtype == np.int32


def test_an_epoch_is_a_permutation_and_the_next_one_another() -> None:
    batches = Batches(12, 3, "shuffle", KEY)
    epochs = batches.indices(0, 12).reshape(3, 12)
    assert all(sorted(epoch) == list(range(12)) for epoch in epochs.tolist())
    assert len({tuple(epoch) for epoch in epochs.tolist()}) == 3
    first = jax.random.permutation(jax.random.fold_in(KEY, 1), 12)
    np.testing.assert_array_equal(epochs[1], np.asarray(first))


def test_what_an_epoch_leaves_over_is_dropped() -> None:
    batches = Batches(7, 3, "shuffle", KEY)
    assert batches.per_epoch == 2
    rows = batches.indices(0, 40).reshape(20, 6)
    assert all(len(set(row)) == 6 for row in rows.tolist())
    assert set(rows.ravel().tolist()) == set(range(7))  # nobody is left over in every epoch


def test_one_pass_takes_consecutive_examples() -> None:
    batches = Batches(7, 2, "once", KEY)
    np.testing.assert_array_equal(batches.indices(0, 3), [[0, 1], [2, 3], [4, 5]])
    assert batches.max_steps == 3
    with pytest.raises(ValueError, match=r"first <= last <= 3; got 0 and 4"):
        batches.indices(0, 4)


def test_draws_with_replacement_are_uniform() -> None:
    rows = Batches(5, 5, "replacement", KEY).indices(0, 2000)
    counts = np.bincount(rows.ravel(), minlength=5)
    assert np.sum((counts - 2000.0) ** 2 / 2000.0) < 18.5  # chi^2 with 4 degrees of freedom, level 0.001
    assert any(len(set(row)) < 5 for row in rows.tolist())
    assert len({tuple(row) for row in rows[:20].tolist()}) == 20


@pytest.mark.parametrize("order", ["shuffle", "once"])
def test_a_batch_of_all_is_taken_in_the_order_given(order: str) -> None:
    batches = Batches(4, None, order, KEY)
    assert batches.whole and batches.at(0).tolist() == [0, 1, 2, 3]
    assert not Batches(4, 4, "replacement", KEY).whole


@pytest.mark.slow(but=["replacement"])
@pytest.mark.parametrize("order", ["shuffle", "replacement"])
def test_key_decides_and_old_keys_are_keys(order: str) -> None:
    rows = [Batches(20, 4, order, key).indices(0, 9) for key in (KEY, jax.random.key(3), jax.random.key(4))]
    np.testing.assert_array_equal(rows[0], rows[1])
    assert (rows[0] != rows[2]).any()
    np.testing.assert_array_equal(Batches(20, 4, order, jax.random.PRNGKey(3)).indices(0, 9), rows[0])


@pytest.mark.parametrize("order", ["shuffle", "replacement"])
def test_the_batches_are_those_of_float32_in_64_bit_mode(order: str) -> None:
    with jax.enable_x64(True):
        rows = Batches(20, 4, order, KEY).indices(0, 9)
    assert rows.dtype == np.int32
    np.testing.assert_array_equal(rows, Batches(20, 4, order, KEY).indices(0, 9))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (dict(n=0), "n must be an integer >= 1; got 0"),
        (dict(batch=0), "batch must be an integer >= 1; got 0"),
        (dict(batch=9), "batch must be at most the number of examples, 8; got 9"),
        (dict(order="twice"), "order must be one of 'shuffle', 'once', 'replacement'; got 'twice'"),
        (dict(key=0), "key must be one random key; got int 0"),
        (dict(key=jnp.zeros(3)), "key must be one random key"),
    ],
)
def test_wrong_arguments_are_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Batches(**(dict(n=8, batch=2, order="shuffle", key=KEY) | given))
