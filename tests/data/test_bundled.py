"""Are the bundled digits what their docstring says, in an order that never changes?"""

from __future__ import annotations

import builtins

import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq.data import bundled


def test_all_digits_come_as_sequences_of_rows_with_integer_labels():
    x, y = bundled.digits()
    assert x.shape == (1797, 8, 8) and x.dtype == jnp.float32
    assert y.shape == (1797,) and y.dtype == jnp.int32
    assert sorted(set(np.asarray(y).tolist())) == list(range(10))


def test_the_shuffled_order_is_pinned():
    _, y = bundled.digits()
    assert y[:20].tolist() == [2, 8, 2, 6, 6, 7, 1, 9, 8, 5, 2, 8, 6, 6, 6, 6, 1, 0, 5, 8]


def test_an_image_is_scikit_learns_image_read_row_by_row():
    from sklearn.datasets import load_digits

    x, y = bundled.digits(scale=False)
    order = np.random.RandomState(0).permutation(1797)
    assert np.array_equal(np.asarray(x), load_digits().images[order])
    assert np.array_equal(np.asarray(y), load_digits().target[order])


def test_scaled_pixels_fill_the_unit_interval_exactly():
    x, _ = bundled.digits()
    raw, _ = bundled.digits(scale=False)
    assert float(x.min()) == 0 and float(x.max()) == 1
    assert np.array_equal(np.asarray(x) * 16, np.asarray(raw))


def test_two_classes_become_signs_and_the_first_is_minus_one():
    x, y = bundled.digits(classes=(8, 3))
    everything, digit = bundled.digits()
    keep = np.isin(np.asarray(digit), (3, 8))
    assert np.array_equal(np.asarray(x), np.asarray(everything)[keep])
    assert y.dtype == jnp.float32
    assert np.array_equal(np.asarray(y), np.where(np.asarray(digit)[keep] == 8, -1.0, 1.0))


def test_both_classes_stand_in_the_first_hundred():
    _, y = bundled.digits(classes=(3, 8))
    assert 30 <= int((y[:100] > 0).sum()) <= 70


def test_more_than_two_classes_are_counted_in_the_order_given():
    _, y = bundled.digits(classes=(5, 1, 7))
    _, digit = bundled.digits()
    digit = np.asarray(digit)[np.isin(np.asarray(digit), (1, 5, 7))]
    assert np.array_equal(np.array([5, 1, 7])[np.asarray(y)], digit)


@pytest.mark.parametrize("classes", [(3,), (), (3, 3), (3, 10), (-1, 2), (True, 2)])
def test_classes_that_are_not_two_different_digits_are_refused(classes):
    with pytest.raises(ValueError, match=r"two or more different digits 0\.\.9.*classes=\(3, 8\)"):
        bundled.digits(classes=classes)


def test_float64_without_the_64_bit_mode_is_refused_rather_than_rounded():
    with pytest.raises(ValueError, match="64-bit mode"):
        bundled.digits(dtype=jnp.float64)


def test_float64_is_given_in_the_64_bit_mode(x64):
    x, y = bundled.digits(classes=(3, 8), dtype=jnp.float64)
    assert x.dtype == y.dtype == jnp.float64


def test_an_integer_dtype_is_refused():
    with pytest.raises(ValueError, match="floating dtype; got int32"):
        bundled.digits(dtype=jnp.int32)


def test_without_scikit_learn_the_error_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("sklearn"):
            raise ImportError("no sklearn here")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r'pip install "ntkseq\[study\]"'):
        bundled.digits()
