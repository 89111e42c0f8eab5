"""Tests of ntkseq.data.held_out: no class on both sides, nothing lost, and the tasks cut out of each side."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from ntkseq.data import held_out, tasks

KEY = jax.random.key(0)


def labelled(classes: int = 5, each: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Sequences (n, 2, 1) that hold their class and their number."""
    y = 10 * np.tile(np.arange(classes), each)
    return np.stack([y, np.arange(len(y))], axis=1).astype(np.float32)[:, :, None], y


def test_every_example_is_on_the_side_of_its_class_in_the_order_it_came_in() -> None:
    x, y = labelled()
    lengths = np.arange(len(y)) % 2 + 1
    parts = held_out.by_class(x, y, held_out=(40, 10), lengths=lengths)
    assert parts.train.classes == (0.0, 20.0, 30.0) and parts.test.classes == (10.0, 40.0)
    rows = []
    for part in (parts.train, parts.test):
        np.testing.assert_array_equal(part.x[:, 0, 0], part.y)
        assert set(part.y) == set(part.classes)
        number = np.asarray(part.x[:, 1, 0]).astype(int)
        assert (np.diff(number) > 0).all()
        np.testing.assert_array_equal(part.lengths, lengths[number])
        rows += number.tolist()
    assert sorted(rows) == list(range(len(y)))


def test_a_number_draws_classes_by_the_key() -> None:
    x, y = labelled(8)
    drawn = [held_out.by_class(x, y, held_out=3, key=jax.random.key(i)).test.classes for i in (0, 0, 1, 2)]
    assert drawn[0] == drawn[1] and len(set(drawn)) > 1 and {len(classes) for classes in drawn} == {3}
    assert held_out.by_class(x, y, held_out=3, key=KEY).train.lengths is None


def test_tasks_of_the_test_side_have_no_class_of_the_train_side() -> None:
    x, y = labelled(6)
    parts = held_out.by_class(x, y, held_out=3, key=KEY)
    cut = [
        tasks.few_shot_tasks(p.x, p.y, ways=2, shots=1, queries=2, tasks=30, key=KEY) for p in (parts.train, parts.test)
    ]
    seen, new = ({*np.ravel(t.support.x[:, :, 0]), *np.ravel(t.query[:, :, 0])} for t in cut)
    assert not seen & new and len(seen) == len(new) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"held_out": 1, "key": KEY}, r"two of the 5 classes on either side, in 2\.\.3; got 1"),
        ({"held_out": 4, "key": KEY}, "got 4"),
        ({"held_out": 2}, "key must be given"),
        ({"held_out": (0, 10), "key": KEY}, "Leave key out"),
        ({"held_out": (0, 15)}, "which has 0, 10, 20, 30, 40; got 15"),
        ({"held_out": (0,)}, "two of the 5 classes on either side; got 1, 0"),
        ({"held_out": (0, 10, 20, 30)}, "got 4, 0, 10, 20, 30"),
        ({"held_out": ()}, "got 0, none"),
        ({"held_out": ("a", "b")}, "codes: dataset.classes.index"),
        ({"held_out": (0, 10), "lengths": np.ones(3, int)}, "lengths"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        held_out.by_class(*labelled(), **options)


def test_an_example_that_stands_under_a_seen_and_an_unseen_label_is_counted():
    x = np.arange(16.0).reshape(8, 2).astype(np.float32)
    x[7] = x[0]
    assert held_out.by_class(x, np.repeat([0, 1, 2, 3], 2), held_out=(2, 3)).repeated == 1
    assert held_out.by_class(x[:7], [0, 0, 1, 1, 2, 2, 3], held_out=(2, 3)).repeated == 0
