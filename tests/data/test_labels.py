"""Do labels become codes into sorted names?"""

from __future__ import annotations

import numpy as np
import pytest

from ntkseq.data.labels import encode


def codes(labels, declared=None, targets="classes"):
    parts, classes = encode([np.asarray(labels)], declared, targets, "f")
    return parts[0].tolist(), classes


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
    ],
)
def test_codes_point_into_the_sorted_names(labels, want, classes):
    assert codes(labels) == (want, classes)


def test_all_splits_share_one_list_of_names():
    parts, classes = encode([np.array(["b", "c"]), np.array(["a", "c"])], None, "classes", "f")
    assert classes == ("a", "b", "c")
    assert [part.tolist() for part in parts] == [[1, 2], [0, 2]]


def test_declared_classes_count_even_where_they_do_not_occur():
    assert codes(["c"], ("c", "a", "b")) == ([2], ("a", "b", "c"))
    assert codes(["0.5"], ("0.5", "1.5")) == ([0], ("0.5", "1.5"))


def test_values_are_numbers():
    assert codes(["0.5", "2"], targets="values") == ([0.5, 2.0], ())
    assert codes([3, 4], targets="values") == ([3.0, 4.0], ())


def test_without_labels_there_are_no_classes():
    assert encode([None, None], None, "classes", "f") == ([None, None], ())


@pytest.mark.parametrize(
    ("labels", "targets", "message"),
    [
        ([0.5, 1.0], "classes", r"text or whole numbers; got '0\.5'.*targets='values'.*label='first'"),
        (["1.0", "2.5"], "classes", r"text or whole numbers; got '2\.5'"),
        ([1.0, np.nan], "classes", "a label is NaN or infinite"),
        (["a", " "], "classes", "the label of example 1 is empty"),
        ([b"\xff"], "classes", "not readable text"),
        ([1j], "classes", "numbers or text; got dtype complex128"),
        (["a"], "values", "finite numbers; got .*'a'"),
        ([1.0, np.inf], "values", "finite numbers; got np.float64.inf"),
    ],
)
def test_labels_that_are_none_are_refused(labels, targets, message):
    with pytest.raises(ValueError, match="f: .*" + message):
        codes(labels, targets=targets)
