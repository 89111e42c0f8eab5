"""Do the parts that all readers share check and pad as they say?"""

from __future__ import annotations

import numpy as np
import pytest

from ntkseq.data.splits import Split, check_size, joined, numbers, pad, refuse_the_same, repeats, shown


def test_a_foreign_value_is_shown_short_and_escaped():
    assert shown("a\nb") == "'a\\nb'"
    assert len(shown("x" * 10_000)) == 60


def test_numbers_are_read_in_double_precision():
    assert numbers([" 0.1", "1e300 ", "-7"], "f", [1, 2, 3]).tolist() == [0.1, 1e300, -7.0]


def test_the_column_that_an_error_names_is_the_files():
    with pytest.raises(ValueError, match="f, column 9: wanted a finite number; got 'x'"):
        numbers(["1", "x"], "f", [7, 9])


def test_rows_are_padded_with_zeros_to_the_longest():
    x, lengths = pad([np.ones((1, 2)), np.full((3, 2), 2.0)], "f", 10**6)
    assert x.tolist() == [[[1, 1], [0, 0], [0, 0]], [[2, 2]] * 3] and lengths.tolist() == [1, 3]


def test_rows_of_one_length_need_no_lengths():
    assert pad([np.ones((2, 1)), np.ones((2, 1))], "f", 10**6)[1] is None


def test_the_limit_itself_is_allowed():
    check_size(5, 5, "f")
    with pytest.raises(ValueError, match="f would take 6 bytes; the limit is 5"):
        check_size(6, 5, "f")


def test_full_splits_of_one_length_stay_without_lengths():
    one = Split(np.ones((2, 3, 1)), np.zeros(2), None)
    assert joined(one, one, "f") == (one, one)


def test_when_one_split_is_ragged_both_carry_lengths():
    full, ragged = Split(np.ones((2, 3, 1)), None, None), Split(np.ones((2, 3, 1)), None, np.array([1, 3], np.int32))
    left, right = joined(full, ragged, "f")
    assert left.lengths.tolist() == [3, 3] and right.lengths.tolist() == [1, 3]


def test_the_shorter_split_is_padded_at_its_end():
    short, long = Split(np.ones((2, 1, 1)), None, None), Split(np.ones((2, 3, 1)), None, None)
    left, right = joined(short, long, "f")
    assert left.x[:, :, 0].tolist() == [[1, 0, 0]] * 2 and left.lengths.tolist() == [1, 1]
    assert right.lengths.tolist() == [3, 3]


def test_splits_of_which_one_has_no_labels_are_refused():
    bare, labelled = Split(np.ones((2, 3, 1)), None, None), Split(np.ones((2, 3, 1)), np.zeros(2), None)
    with pytest.raises(ValueError, match="labels, or neither; the training split has none"):
        joined(bare, labelled, "f")


def test_test_examples_that_are_training_examples_are_found_whatever_the_padding():
    x = np.arange(12.0).reshape(4, 3, 1)
    test = np.stack([x[2], x[1] + 1e-9, x[0]])
    assert repeats(x, test).tolist() == [True, False, True]
    padded = np.concatenate([x, np.full((4, 1, 1), 7.0)], axis=1)
    assert repeats(padded, test, np.full(4, 3)).tolist() == [True, False, True]
    assert repeats(x, test, None, np.array([3, 3, 2])).tolist() == [True, False, False]
    assert repeats(np.zeros((1, 1, 1)), -np.zeros((1, 1, 1))).tolist() == [True]
    assert repeats(x.astype(np.float32), test[:1].astype(np.float64)).tolist() == [True]


def test_a_test_split_that_is_the_training_split_in_any_order_is_refused():
    x = np.arange(12.0).reshape(4, 3, 1)
    with pytest.raises(ValueError, match="f: the test split repeats the training split, the same 4 examples"):
        refuse_the_same(Split(x, None, None), Split(x[::-1], None, None), "f")
    refuse_the_same(Split(x, None, None), Split(x[:3], None, None), "f")  # a part: the study says so
    refuse_the_same(Split(x, None, None), Split(np.concatenate([x[:3], x[:1] + 1]), None, None), "f")
