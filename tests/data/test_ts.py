"""Is the .ts format read right, and does an error name the line?"""

from __future__ import annotations

import numpy as np
import pytest

from ntkseq.data import ts

HEAD = "# about\n@problemName Two Walks\n@timeStamps false\n@missing false\n"


def read(text, targets="classes", max_bytes=10**6):
    return ts.read(text, where="w.ts", name="w", targets=targets, max_bytes=max_bytes)


def test_a_univariate_file_is_read():
    found = read(
        HEAD + "@univariate true\n@equalLength true\n@seriesLength 3\n@classLabel true up down\n@data\n"
        "1,2,3:up\n\n# between\n3,2,1.5:down\n"
    )
    assert found.train.x[:, :, 0].tolist() == [[1, 2, 3], [3, 2, 1.5]]
    assert found.train.labels.tolist() == ["up", "down"] and found.declared == ("up", "down")
    assert found.name == "Two Walks" and found.train.lengths is None and found.test is None


def test_a_multivariate_file_of_unequal_lengths_is_read():
    found = read(
        HEAD + "@univariate false\n@dimensions 2\n@equalLength false\n@classLabel true 0 1\n@DATA\r\n"
        "1,2,3:10,20,30:1\r\n4, 5:40, 50: 0\r\n"
    )
    assert np.array_equal(found.train.x, [[[1, 10], [2, 20], [3, 30]], [[4, 40], [5, 50], [0, 0]]])
    assert found.train.lengths.tolist() == [3, 2] and found.train.labels.tolist() == ["1", "0"]


def test_a_percent_sign_begins_a_comment():
    assert read("%# as aeon has it\n@classLabel true a\n@data\n% here, too\n1,2:a\n").train.x.shape == (1, 2, 1)


def test_the_promised_length_counts_values_that_are_missing_at_the_end():
    found = read("@equalLength true\n@seriesLength 3\n@classLabel true a\n@data\n1,2,3:a\n1,?,?:a\n").train
    assert found.lengths.tolist() == [3, 1] and found.ended == 1


def test_a_file_without_labels_is_read():
    found = read("@univariate false\n@classLabel false\n@data\n1,2:3,4\n")
    assert found.train.labels is None and found.train.x.tolist() == [[[1, 3], [2, 4]]]
    assert found.name == "w"


def test_numbers_as_targets_have_to_be_asked_for():
    text = "@targetLabel true\n@data\n1,2:0.5\n3,4:1.5\n"
    assert read(text, "values").train.labels.tolist() == ["0.5", "1.5"]
    with pytest.raises(ValueError, match=r"@targetLabel says that the labels are numbers.*targets='values'"):
        read(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("@classLabel true a\n@data\n(0,1),(1,2):a\n", "line 3, dimension 1, column 1: wanted a finite number"),
        ("@classLabel true a\n@data\n1,?,2:a\n", r"line 3, dimension 1, column 2: missing value '\?'. Impute"),
        ("@classLabel true a\n@data\n1,2:3,NaN:a\n", "line 3, dimension 2, column 2: missing value 'NaN'"),
        ("@classLabel true a\n@data\n1,zwei:a\n", "line 3, dimension 1, column 2: wanted a finite number; got 'zwei'"),
        ("@classLabel true a\n@data\n1,2,:a\n", "line 3, dimension 1, column 3: missing value"),
        ("@classLabel true a\n@data\n1,2:b\n", r"line 3: label 'b' is not one that @classLabel lists \(a\)"),
        ("@classLabel true a\n@data\n1,2:\n", "line 3: the label behind the last ':' is missing"),
        ("@classLabel true a\n@data\na\n", "line 3: no values before the label"),
        ("@classLabel true a\n@data\n1,2:3:a\n", "line 3: all dimensions of an example need one length.*has 2.*has 1"),
        ("@univariate true\n@classLabel true a\n@data\n1:2:a\n", r"line 4: wanted 1 dimension\(s\); got 2"),
        ("@dimensions 3\n@classLabel true a\n@data\n1:2:a\n", r"line 4: wanted 3 dimension\(s\); got 2"),
        ("@classLabel true a\n@data\n1:2:a\n1:a\n", r"line 4: wanted 2 dimension\(s\); got 1"),
        ("@equalLength true\n@classLabel true a\n@data\n1,2:a\n1:a\n", "line 5: wanted 2 values per dimension; got 1"),
        ("@seriesLength 3\n@classLabel true a\n@data\n1,2:a\n", "line 4: wanted 3 values per dimension; got 2"),
        ("@seriesLength many\n@data\n", "line 1: @serieslength wants one whole number; got 'many'"),
        ("@univariate yes\n@data\n", "line 1: @univariate wants true or false; got 'yes'"),
        ("@missing\n@data\n", "line 1: @missing wants true or false"),
        ("@classLabel true\n@data\n", "line 1: @classLabel true wants the names"),
        ("@classLabel true a a\n@data\n", "line 1: @classLabel true wants the names of the classes, each once"),
        ("@classLable true a\n@data\n", "line 1: unknown word '@classLable'|line 1: unknown word '@classlable'"),
        ("@\n@data\n", "line 1: unknown word '@'"),
        ("@data\n1,2:a\n", "line 1: no @classLabel line before @data"),
        ("1,2:a\n", "line 1: wanted a line beginning with @ before @data; got '1,2:a'"),
        ("@classLabel true a\n", "no @data line.*cut off"),
        ("@classLabel true a\n@data\n\n", "no examples behind @data"),
        ("@classLabel true a\n@data\n1,2,3:a\n1:a\n1:a\n", "would take 72 bytes"),
    ],
)
def test_a_malformed_line_is_refused_with_its_number(text, message):
    with pytest.raises(ValueError, match=r"w\.ts.*(" + message + ")") as caught:
        read(text, max_bytes=71)
    assert "\n" not in str(caught.value)
