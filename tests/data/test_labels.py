"""Do labels become codes into sorted names?"""

from __future__ import annotations

import numpy as np
import pytest

from ntkseq.data.labels import encode


def codes(labels, declared=None, targets="classes"):
    parts, classes, _ = encode([np.asarray(labels)], declared, targets, "f")
    return parts[0].tolist(), classes


CODES = np.arange(60) % 30  # 30 classes, each twice


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.arange(60.0) * 7, "60 examples have 60 different labels"),
        ((np.arange(60) % 25) * 3.0, "25 different numbers with gaps"),
        ([str(3 * i % 75) for i in range(60)], "25 different numbers with gaps"),
        ([f"1991 {i}" for i in range(6)], "6 examples have 6 different labels.*times or ids"),
        (np.arange(30), "30 examples have 30 different labels"),
    ],
)
def test_numbers_and_times_are_not_made_classes_without_a_word(labels, message):
    with pytest.raises(ValueError, match=message + ".*targets='classes'") as caught:
        codes(labels, targets="auto")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400
    assert len(codes(labels, targets="classes")[1]) == len(set(map(str, np.asarray(labels).tolist())))


def test_many_codes_without_gaps_are_classes_which_is_said_of_floats():
    assert encode([CODES], None, "auto", "f")[2] == () == encode([CODES + 1], None, "auto", "f")[2]
    classes, said = encode([CODES.astype(float)], None, "auto", "f")[1:]
    assert len(classes) == 30 and "the labels are 30 numbers, read as classes; targets='values'" in said[0]
    assert encode([CODES * 1000], tuple(map(str, range(0, 30000, 1000))), "auto", "f")[2] == ()  # listed by the file
    assert codes([1.0, 5.0, 9.0] * 3, targets="auto")[1] == ("1", "5", "9")
    assert encode([np.arange(9)], None, "auto", "f", named=True)[1] == tuple("012345678")


@pytest.mark.parametrize(
    ("labels", "want", "classes"),
    [
        (["b", "a", "b"], [1, 0, 1], ("a", "b")),
        ([3, -1, 10], [1, 0, 2], ("-1", "3", "10")),
        (["10", "9", "-1"], [2, 1, 0], ("-1", "9", "10")),  # by value, not by letters
        (["10", "9", "x"], [0, 1, 2], ("10", "9", "x")),
        ([2.0, 1.0], [1, 0], ("1", "2")),
        ([True, False], [1, 0], ("0", "1")),
        ([b"b", b"a"], [1, 0], ("a", "b")),
        ([2**63], [0], (str(2**63),)),
        (["1", "1.0", "01", "1e0", "2"], [0, 0, 0, 0, 1], ("1", "2")),
        (["-0", "0", "0.0"], [0, 0, 0], ("0",)),
        (["9007199254740993", "9007199254740992"], [1, 0], ("9007199254740992", "9007199254740993")),  # one float
        (["1_0", "10x"], [1, 0], ("10x", "1_0")),
    ],
)
def test_codes_point_into_the_sorted_names(labels, want, classes):
    assert codes(labels) == (want, classes)


def test_all_splits_share_one_list_of_names():
    parts, classes, said = encode([np.array(["b", "c"]), np.array(["a", "c"])], None, "classes", "f")
    assert said == ("1 class(es) have no training example: 'a'",) and classes == ("a", "b", "c")
    assert [part.tolist() for part in parts] == [[1, 2], [0, 2]]


def test_declared_classes_count_even_where_they_do_not_occur():
    assert codes(["c"], ("c", "a", "b")) == ([2], ("a", "b", "c"))
    assert codes(["0.5"], ("0.5", "1.5")) == ([0], ("0.5", "1.5"))
    assert codes(["1.0", "2"], ("2", "1", "3")) == ([0, 1], ("1", "2", "3"))


def test_values_are_numbers():
    assert codes(["0.5", "2"], targets="values") == ([0.5, 2.0], ())
    assert codes([3, 4], targets="values") == ([3.0, 4.0], ())


def test_without_labels_there_are_no_classes():
    assert encode([None, None], None, "classes", "f") == ([None, None], (), ())


def test_what_is_merged_or_looks_alike_is_said():
    assert encode([np.array(["1", "1.0"])], None, "classes", "f")[2] == (
        "labels '1', '1.0' are one class, the number 1",
    )
    assert encode([np.array(["Up", "up"])], None, "classes", "f")[2] == ("labels 'Up', 'up' are different classes",)
    assert "mixed" in encode([np.array(["1", "2", "walk"])], None, "classes", "f")[2][0]


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (["-1", "1"], ["0", "1"], "different classes: '-1', '1' to train on, '0', '1' to test"),
        (["1", "2"], ["0", "1"], "different classes"),
        (["a", "b"], ["c", "d"], "different classes: 'a', 'b' to train on, 'c', 'd' to test"),
        (["a", "b"], ["0", "1"], "'a' for a label, the test split '0': names in one, numbers in the other"),
        (["True", "False"], [True, False], "labels are numbers, but 'False' is none"),
    ],
)
def test_splits_with_another_encoding_are_refused(train, test, message):
    with pytest.raises(ValueError, match=message):
        encode([np.array(train), np.array(test)], None, "classes", "f")


@pytest.mark.parametrize(
    ("labels", "targets", "message"),
    [
        ([0.5, 1.0], "classes", r"text or whole numbers; got '0\.5'.*targets='values'.*label='first'"),
        (["1.0", "2.5"], "classes", r"text or whole numbers; got '2\.5'"),
        ([1.0, np.nan], "classes", "a label is NaN or infinite"),
        (["a", " "], "classes", "the label of example 1 is empty"),
        ([b"\xff"], "classes", "not readable text"),
        ([1j], "classes", "numbers or text; got dtype complex128"),
        (["1", "a"], "values", "a finite number for each example; that of example 1 is no finite number, got 'a'"),
        (["1", "?"], "values", r"that of example 1 is missing, got '\?'. Fill it in"),
        ([1.0, np.inf], "values", "that of example 1 is no finite number, got inf"),
        (["a", "nan"], "classes", "the label of example 1 is missing, 'nan'"),
        (["1", "?"], "classes", r"the label of example 1 is missing, '\?'"),
        (["1", "2", "NA"], "classes", "labels are numbers, but 'NA' is none"),
        (["True", "1"], "classes", "labels are numbers, but 'True' is none"),
        (["1", "1.0", "walk"], "classes", "mix names with numbers that are written in different ways"),
    ],
)
def test_labels_that_are_none_are_refused(labels, targets, message):
    with pytest.raises(ValueError, match="f: .*" + message):
        codes(labels, targets=targets)
