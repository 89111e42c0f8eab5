"""Are even time stamps left out of a .ts file, and uneven ones refused with their line?"""

from __future__ import annotations

import pytest

from ntkseq.data import ts

HEAD = "@timeStamps true\n@univariate false\n@classLabel true a b\n@data\n"


def read(body, head=HEAD):
    return ts.read(head + body, where="w.ts", name="w", targets="classes", max_bytes=10**6)


@pytest.mark.parametrize(
    ("first", "second", "step"),
    [
        ("(0,1.5),(0.1,-2),(0.2,3):(0,4),(0.1,5),(0.2,6):a", "(7,1),(7.1,2):(7,3),(7.1,4):b", "0.1"),
        (
            "(2007-01-01 00:00:00,1.5),(2007-01-01 00:01:00,-2),(2007-01-01 00:02:00,3)"
            ":(2007-01-01 00:00:00,4),(2007-01-01 00:01:00,5),(2007-01-01 00:02:00,6):a",
            "(2008-05-05 10:00:00,1),(2008-05-05 10:01:00,2):(2008-05-05 10:00:00,3),(2008-05-05 10:01:00,4):b",
            "60 seconds",
        ),
        (
            "(2007-12-01, 1.5), (2008-01-01,-2), (2008-02-01,3) : (2007-12-01,4),(2008-01-01,5),(2008-02-01,6):a",
            "(2000-02-01,1),(2000-03-01,2):(2000-02-01,3),(2000-03-01,4):b",
            "1 months",
        ),
    ],
)
def test_even_stamps_are_left_out_and_their_step_is_said(first, second, step):
    found = read(f"{first}\n{second}\n")
    assert found.train.x[0].tolist() == [[1.5, 4], [-2, 5], [3, 6]] and found.train.labels.tolist() == ["a", "b"]
    assert found.train.x[1, :2].tolist() == [[1, 3], [2, 4]]
    assert found.train.lengths.tolist() == [3, 2]
    assert found.origin.endswith(f"time stamps left out: even steps of {step}")


def test_missing_values_at_the_end_are_the_end_with_stamps_too():
    found = read("(0,1),(1,?):(0,2),(1,NaN):a\n(0,1),(1,2):(0,2),(1,3):b\n")
    assert found.train.lengths.tolist() == [1, 2] and found.train.ended == 1


def test_without_labels_a_line_ends_in_a_value():
    found = read("(0,1),(1,-2):(0,3),(1,4)\n", HEAD.replace("true a b", "false"))
    assert found.train.x.tolist() == [[[1, 3], [-2, 4]]] and found.train.labels is None


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("(0,1),(1,2),(3,4):a\n", "line 5: time stamps are not even, '1' is followed by '3'"),
        ("(1,1),(0,2):a\n", "line 5: time stamps are not even"),
        ("(1,1),(1,2):a\n", "line 5: time stamps are not even"),
        ("(0,1),(1,2):(0,1),(2,2):a\n", "line 5: dimension 2 has other time stamps than dimension 1"),
        ("(0,1),(1,2):(0,1):a\n", "line 5: dimension 2 has other time stamps"),
        ("(0,1),(1,2):a\n(0,1),(2,2):b\n", "line 6: a step of 2, of 1 in line 5"),
        ("(0,1),(1,2):a\n(2000-01-01,1),(2000-01-02,2):b\n", "line 6: a step of 86400 seconds, of 1 in line 5"),
        ("(then,1),(now,2):a\n", "line 5: time stamp 'then' is neither a number nor a date"),
        ("1,2:a\n", r"line 5: wanted \(time,value\) pairs, as @timeStamps true says; got '1,2:a'"),
        ("(0,1),2:a\n", r"line 5: wanted \(time,value\) pairs"),
        ("(0,1)(1,2):a\n", "line 5: wanted ',' or ':' behind"),
        ("(0,1)", "line 5: wanted ',' or ':' behind"),
        ("(0,1):c\n", "line 5: label 'c' is not one"),
        ("(0,1):\n", "line 5: the label behind the last ':' is missing"),
        ("(0,1_0):a\n", "line 5, dimension 1, column 1: wanted a finite number"),
    ],
)
def test_stamps_that_cannot_be_left_out_are_refused_with_their_line(body, message):
    with pytest.raises(ValueError, match=r"w\.ts.*(" + message + ")") as caught:
        read(body)
    assert "\n" not in str(caught.value)
