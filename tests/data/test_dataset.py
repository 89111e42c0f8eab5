"""Does a loaded data set give its classes as signs?"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq.data import Dataset


def three_classes(**changes) -> Dataset:
    x = jnp.arange(12, dtype=jnp.float32).reshape(6, 2, 1)
    fields = {
        "x": x,
        "y": jnp.array([0, 1, 2, 0, 1, 2], jnp.int32),
        "lengths": jnp.array([1, 2, 1, 2, 1, 2], jnp.int32),
        "x_test": x[:3] + 100,
        "y_test": jnp.array([2, 0, 1], jnp.int32),
        "lengths_test": jnp.array([2, 1, 2], jnp.int32),
        "name": "toy",
        "classes": ("a", "b", "10"),
    }
    return Dataset(**(fields | changes))


def test_binary_keeps_two_classes_in_order_with_signs():
    two = three_classes().binary("a", "10")
    assert two.x[:, 0, 0].tolist() == [0, 4, 6, 10]
    assert two.y.tolist() == [-1, 1, -1, 1] and two.y.dtype == jnp.float32
    assert two.lengths.tolist() == [1, 1, 2, 2]
    assert two.x_test[:, 0, 0].tolist() == [100, 102]
    assert two.y_test.tolist() == [1, -1] and two.lengths_test.tolist() == [2, 1]
    assert two.classes == ("a", "10") and two.name == "toy"


def test_a_class_named_by_a_number_is_found_by_the_number():
    assert three_classes().binary(10, "a").classes == ("10", "a")


def test_binary_without_a_test_split_and_lengths_leaves_them_out():
    bare = three_classes(lengths=None, x_test=None, y_test=None, lengths_test=None).binary("a", "b")
    assert bare.lengths is None and bare.x_test is None and bare.y_test is None and bare.lengths_test is None


def test_signs_is_binary_of_the_only_two_classes():
    two = three_classes(
        y=jnp.array([0, 1, 1, 0, 1, 0], jnp.int32), y_test=jnp.array([1, 0, 1], jnp.int32), classes=("n", "p")
    )
    assert two.signs().y.tolist() == [-1, 1, 1, -1, 1, -1]
    assert two.signs().y_test.tolist() == [1, -1, 1]


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda data: data.signs(), "exactly 2 classes; got 3: 'a', 'b', '10'.*binary"),
        (lambda data: data.binary("a", "z"), "no class 'z'; the classes are 'a', 'b', '10'"),
        (lambda data: data.binary("a", "a"), "two different classes; got 'a' twice"),
        (lambda data: data.binary("a", "b").signs(), "are -1/\\+1 already"),
    ],
)
def test_what_gives_no_two_classes_is_refused(ask, message):
    with pytest.raises(ValueError, match="toy.*" + message):
        ask(three_classes())


def test_binary_of_a_class_without_examples_is_refused():
    with pytest.raises(ValueError, match="class 'absent' has no training example"):
        three_classes(classes=("a", "b", "10", "absent")).binary("a", "absent")


@pytest.mark.parametrize("y", [None, jnp.ones(6)])
def test_binary_without_class_labels_is_refused(y):
    with pytest.raises(ValueError, match="needs class labels"):
        three_classes(y=y, y_test=None, classes=()).binary("a", "b")


def test_a_data_set_passes_through_jit_with_its_names():
    moved = jax.jit(lambda data: data)(three_classes())
    assert moved.classes == ("a", "b", "10") and moved.name == "toy"
    assert np.array_equal(moved.x, three_classes().x)


def test_a_data_set_prints_in_one_line():
    assert repr(three_classes()) == "Dataset(toy: 6 examples + 3 test, t=2 (ragged), d=1, float32, 3 classes)"
