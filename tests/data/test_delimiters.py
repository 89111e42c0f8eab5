"""Is it found what stands between the cells of a table, and is a stray quotation mark refused with its line?"""

from __future__ import annotations

import numpy as np
import pytest

import ntkseq.data
from ntkseq.data import delimiters

TABLE = [["0.5", "1.5", "up"], ["2.5", "-3", "down"], ["4e1", ".5", "up"]]


def rows(text, delimiter="auto", usual=","):
    found, said = delimiters.rows(text, "t.csv", delimiter, usual)
    return [cells for _, cells in found], said


@pytest.mark.parametrize("usual", [",", "\t", " "])
@pytest.mark.parametrize("mark", [",", ";", "\t", " "])
@pytest.mark.parametrize("title", [[], [["u", "v", "label"]]])
def test_the_only_delimiter_that_makes_numbers_is_taken_and_said(usual, mark, title):
    found, said = rows("\n".join(mark.join(row) for row in title + TABLE), usual=usual)
    assert found == title + TABLE
    assert (said == ()) == (mark == usual or (usual == " " and mark == "\t"))


def test_a_delimiter_that_is_given_is_obeyed():
    assert rows("1;2\n", "semicolon") == rows("1;2\n", ";") == ([["1", "2"]], ())
    assert rows("1;2\n", ",")[0] == [["1;2"]]
    assert rows("  1 \t2\n", "space")[0] == [["1", "2"]]


def test_quotation_marks_stand_around_whole_cells():
    assert rows(' "a, ""b""" ,1,2\nc,"3",4\n')[0] == [['a, "b"', "1", "2"], ["c", "3", "4"]]
    assert rows('"a b"  1 "2"\n', "space")[0] == [["a b", "1", "2"]]
    assert rows('"a"\t\t1\n', "tab")[0] == [["a", "", "1"]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('0.1,0.2,"a\n0.3,0.4,b\n', "line 1: a quotation mark is not closed in this line"),
        ('0.1,0.2,a\n0.3,0.4,"b', "line 2: a quotation mark is not closed"),
        ('"0.1,0.2,a\n0.3,0.4,"b', "line 1: a quotation mark is not closed"),
        ('0.1,0.2,a"\n', "line 1: a quotation mark is not closed"),
        ('0.1,0.2,"a"b\n', "line 1: a quotation mark stands within a cell"),
        ('0.1,"a\nb",3\n', "line 1: a quotation mark is not closed.*no cell may go over several lines"),
        ("0,1;2,5;a\n0,3;0,4;b\n", "numbers with decimal commas \\('0,1'\\), a semicolon between them"),
        ("0,5;1\n0,25;2\n", "numbers with decimal commas \\('0,5'\\)"),
        ("0,1\t2,5\ta\n", "numbers with decimal commas"),
    ],
)
def test_what_would_be_misread_is_refused_with_its_line(text, message):
    with pytest.raises(ValueError, match=r"t\.csv.*" + message) as caught:
        rows(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("delimiter", ["", ",,", "\n", '"'])
def test_a_delimiter_is_one_character_or_a_word(delimiter):
    with pytest.raises(ValueError, match="delimiter must be one character, or one of auto, comma, semicolon, tab"):
        rows("1,2", delimiter)


def test_the_archive_of_2018_as_text_is_read(tmp_path):
    path = tmp_path / "Walk_TRAIN.txt"
    path.write_text("  1.0000000e+00  -5.0e-01   2.5e+00  NaN\n  2.0000000e+00   1.0e+00   2.5e-01   7\n")
    data = ntkseq.data.load(path)
    assert data.classes == ("1", "2") and data.y.tolist() == [0, 1] and data.lengths.tolist() == [2, 3]
    assert np.asarray(data.x)[:, :, 0].tolist() == [[-0.5, 2.5, 0], [1, 0.25, 7]]
