"""Is the .arff format of the collections read right, and does an error name the line?"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.io import arff as scipy_arff

import ntkseq.data
from ntkseq.data import arff

ONE = (
    "% about\n@Relation 'Two Walks'\n@attribute att0 numeric\n@ATTRIBUTE 'a step' REAL\n"
    "@attribute target {1,2}\n@data\n"
)
TWO = (
    "@relation W\n@attribute rel relational\n@attribute t0 numeric\n@attribute t1 numeric\n@attribute t2 numeric\n"
    "@end rel\n@attribute act {up,'so so',down}\n@data\n"
)


def read(text, label="auto", targets="classes", max_bytes=10**6):
    return arff.read(text, where="w.arff", name="w", label=label, targets=targets, max_bytes=max_bytes)


def test_one_dimension_is_an_attribute_for_each_step():
    found = read(ONE + "1.5,-2e1,2\n\n% between\n3 , 4 , 1\n")
    assert found.train.x[:, :, 0].tolist() == [[1.5, -20], [3, 4]] and found.train.labels.tolist() == ["2", "1"]
    assert found.name == "Two Walks" and found.declared == ("1", "2") and found.train.lengths is None


def test_several_dimensions_are_the_lines_of_a_relational_attribute():
    found = read(TWO + "'1,2,3\\n10,20,30',up\n\"4,5,?\\n40,50,?\",'so so'\n")
    assert np.array_equal(found.train.x, [[[1, 10], [2, 20], [3, 30]], [[4, 40], [5, 50], [0, 0]]])
    assert found.train.labels.tolist() == ["up", "so so"] and found.declared == ("up", "so so", "down")
    assert found.train.lengths.tolist() == [3, 2] and found.train.ended == 1


@pytest.mark.parametrize("text", [ONE + "1.5,-2e1,2\n3,4,1\n", TWO + "'1,2,3\\n10,20,30',up\n'4,5,6\\n7,8,9',down\n"])
def test_values_and_labels_are_those_that_scipy_reads(tmp_path, text):
    path = tmp_path / "w.arff"
    path.write_text(text)
    rows, _ = scipy_arff.loadarff(path)
    data = ntkseq.data.load(path, tokens="real")
    for row, x, y in zip(rows, np.asarray(data.x), data.y.tolist(), strict=True):
        *values, label = row.tolist()
        values = values if not isinstance(values[0], np.ndarray) else values[0].tolist()
        assert np.array_equal(np.atleast_2d(values).T, x) and data.classes[y] == label.decode()


def test_the_label_may_stand_first_or_be_named():
    text = "@relation w\n@attribute c {a,b}\n@attribute u numeric\n@attribute v numeric\n@data\nb,1,2\na,3,4\n"
    for label in ("auto", "first", "c"):
        assert read(text, label).train.labels.tolist() == ["b", "a"]
        assert read(text, label).train.x[:, :, 0].tolist() == [[1, 2], [3, 4]]
    assert read(text.replace("{a,b}", "string"), "auto").train.labels.tolist() == ["b", "a"]


def test_a_numeric_label_is_a_target_of_regression():
    text = "@relation w\n@attribute u numeric\n@attribute v numeric\n@data\n1,0.25\n3,4\n"
    found = read(text, targets="values")
    assert found.train.labels.tolist() == ["0.25", "4"] and found.declared is None
    with pytest.raises(ValueError, match=r"no attribute is nominal.*label='last'.*targets='values'"):
        read(text)
    assert read(text.replace("@attribute v", "@attribute class")).train.labels.tolist() == ["0.25", "4"]
    assert read(text, None).train.x.shape == (2, 2, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ONE + "1,2,3,1\n", "line 7: 4 cells, but the head has 3 attributes"),  # scipy drops the last in silence
        (ONE + "1,2\n", "line 7: 2 cells, but the head has 3"),
        (ONE + "1,2,3\n", r"line 7: label '3' is none of 'target' \(1, 2\)"),
        (ONE + "1,2,?\n", "line 7: the label, attribute 'target', is missing"),
        (ONE + "?,2,1\n", r"line 7, dimension 1, column 1: missing value '\?'"),
        (ONE + "?,?,1\n", "line 7: the sequence holds nothing but missing values"),
        (ONE + "1,1_0,1\n", "line 7, dimension 1, column 2: wanted a finite number; got '1_0'"),  # scipy reads 10
        (ONE + "1,5?,1\n", r"line 7, dimension 1, column 2: wanted a finite number; got '5\?'"),  # scipy reads NaN
        (ONE + "{0 1, 2 1}\n", "line 7: sparse rows"),
        (ONE + "1,2,'1\n", "line 7: a quotation mark within a cell, or not closed"),
        (ONE, "no examples behind @data"),
        (ONE.replace("@data\n", ""), "no @data line.*cut off"),
        (ONE.replace("{1,2}", "{1,2"), "line 5: the list of classes does not end"),
        (ONE.replace("{1,2}", "{1,1}"), "line 5: wanted the names of the classes, each once"),
        (ONE.replace("att0 numeric", "att0"), "line 3: wanted @attribute, a name and a type"),
        (ONE.replace("att0 numeric", "att0 date"), "wanted a numeric attribute for each step.*'att0', date"),
        (ONE.replace("att0 numeric", "att0 {x,y}"), "attributes 'att0', 'target' are nominal. Say which.*label='NAME'"),
        ("@relation w\n@data\n1\n", "line 2: no @attribute line"),
        ("@relation w\n@attribute c {a}\n@data\na\n", "got no attribute but the label"),
        ("@inputs u\n@data\n", "line 1: wanted @relation"),
        (TWO + "'1,2\\n3,4',up\n", "line 9: a dimension of 2 values, but 'rel' has 3 attributes"),
        (TWO + "'1,2,3\\n1,2,3',up\n'1,2,3',up\n", "line 10: 1 dimensions where the first example has 2"),
        (TWO.replace("t1 numeric", "t1 {a}"), "line 4: wanted numeric attributes within a relational one"),
    ],
)
def test_a_malformed_file_is_refused_with_its_line(text, message):
    with pytest.raises(ValueError, match=r"w\.arff.*" + message) as caught:
        read(text)
    assert "\n" not in str(caught.value)
