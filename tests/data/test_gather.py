"""Do the rows of a tidy table become the sequences that they are, or a refusal with the line that stands in the way?"""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from ntkseq.data import load
from ntkseq.data.files import Doubt

HEAD = "id,time,u,v,label\n"
GOOD = HEAD + "b,2,3,4,x\na,0,5,.5,y\nb,1,1,2,x\nc,7,8,9,x\na,1,6,.25,y\n"
WORDS = "".join(f"{row}\n" for row in ("id,time,u,v,label", "b,1,1,north,x", "b,2,2,north,x", "a,1,3,south,y"))


@pytest.fixture
def read(tmp_path):
    def load_text(text: str, **options):
        path = tmp_path / "a.csv"
        path.write_text(text)
        return load(path, **{"id": "id", "time": "time", "tokens": "real"} | options)

    return load_text


def test_sequences_stand_in_the_order_of_their_first_rows_and_steps_in_that_of_time(read):
    data = read(GOOD)
    assert data.x.tolist() == [[[1, 2], [3, 4]], [[5, 0.5], [6, 0.25]], [[8, 9], [0, 0]]]
    assert data.lengths.tolist() == [2, 2, 1] and data.classes == ("x", "y") and data.y.tolist() == [0, 1, 0]
    assert data.origin == (
        "a row is a step; sequences by 'id', ordered by 'time', of 'u', 'v'; the label in column 'label'"
    )
    assert read(GOOD, columns=["v"]).x[0].tolist() == [[2], [4]]
    assert read(GOOD, columns=("time", "u")).x[1].tolist() == [[0, 5], [1, 6]]


def test_numbers_to_predict_are_read_from_their_column(read):
    data = read(GOOD.replace(",x", ",1.5").replace(",y", ",2.25"), targets="values")
    assert data.y.tolist() == [1.5, 2.25, 1.5] and data.classes == ()


def test_without_ids_a_sequence_begins_where_the_time_does_not_rise(read):
    data = read("time,u,label\n0,1.5,x\n1,2,x\n0,3,y\n0.5,4,y\n1,5,y\n", id=None)
    assert data.x[:, :, 0].tolist() == [[1.5, 2, 0], [3, 4, 5]] and data.lengths.tolist() == [2, 3]


def test_missing_values_at_the_end_of_a_sequence_are_its_end(read):
    data = read(HEAD + "a,0,1,2,x\na,1,,nan,x\nb,0,3,4,y\nb,1,5,6,y\n")
    assert data.lengths.tolist() == [1, 2] and "1 sequence(s) end in missing values" in " ".join(data.notes)


def test_dates_order_the_steps_and_uneven_ones_are_said(read):
    rows = [f"{i},2026-0{m}-01,{m}.5,0,{'xy'[i % 2]}\n" for m in (4, 1, 3) for i in range(3)]
    with pytest.warns(Doubt, match="3 of 3 sequences have uneven steps of 'time', which orders them and is left out"):
        data = read(HEAD + "".join(rows))
    assert data.x[:, :, 0].tolist() == [[1.5, 3.5, 4.5]] * 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read(HEAD + "".join(row for row in rows if "-03-" not in row))


def test_the_test_split_has_the_columns_of_the_training_split_in_any_order(read, tmp_path):
    (tmp_path / "t.csv").write_text("v,u,label,time,id\n1.5,2.5,y,0,z\n")
    data = read(GOOD, test=tmp_path / "t.csv")
    assert data.x_test[0, 0].tolist() == [2.5, 1.5] and data.y_test.tolist() == [1]
    (tmp_path / "t.csv").write_text("u,w,label,time,id\n1,2,y,0,z\n")
    with pytest.raises(ValueError, match="column 'v' is a feature in one of the two tables only"):
        read(GOOD, test=tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        (GOOD, {"id": "case"}, "no column named 'case'; the columns are 'id', 'time', 'u', 'v', 'label'"),
        (GOOD.replace("u,v", "u,u"), {}, "2 columns named 'u'"),
        (GOOD + "c,7,1,1,x\n", {}, "line 7: the sequence has this time, '7', in line 5 already"),
        (GOOD.replace("b,1,1,2,x", "b,1,1,2,y"), {}, "the label 'label' changes within a sequence"),
        (GOOD.replace("b,1,1,2,x", "b,1,,2,x"), {}, "line 4, column 'u': missing value inside a sequence"),
        (GOOD.replace("b,1,1,2,x", "b,1,one,2,x"), {}, "column 'u': wanted a finite number; got 'one'. Correct it; or"),
        (GOOD.replace("c,7,8,9,x", "c,7,8,,x"), {}, "line 5, column 'v': missing value beside others of the last step"),
        (WORDS, {}, r"line 2, column 'v': .* got 'north'. If it is no value .* columns=\('u',\); categories go in as"),
        (GOOD.replace("b,1,1,2,x", "b,1,inf,2,x"), {}, "line 4, column 'u': wanted a finite number; got 'inf'"),
        (GOOD.replace("c,7,8,9", "c,7,,"), {}, "line 5: the sequence holds nothing but missing values"),
        (GOOD.replace("b,1,", "b,soon,"), {}, "line 4: the time 'soon' is no number and no date"),
        (GOOD.replace("b,1,", ",1,"), {}, "line 4: the id is missing"),
        (GOOD.replace("c,7,8,9,x", "c,7,8,9,"), {}, "line 5, column 'label': the label is missing"),
        (GOOD.replace("c,7,8,9,x", "c,7,8,9"), {}, "line 5: 4 cells, but there are 5 columns"),
        (GOOD.replace("label", "kind"), {}, r"the label may be one of 'u', 'v', 'kind'. Pass label='NAME'"),
        (GOOD.replace("v,", "subject,"), {}, r"column 'subject' looks like no value of a step.*columns=\('u',\)"),
        (GOOD.replace("v,", "class,"), {"label": "label"}, "column 'class' looks like no value of a step"),
        (GOOD, {"label": "id"}, "column 'id' cannot be the label and an id"),
        (GOOD, {"columns": ["u", "u"]}, "columns name 'u', which has another part already"),
        (GOOD, {"id": ("id", "u"), "columns": ["v"]}, "every row has an id of its own"),
        (GOOD, {"layout": "rows"}, "id and time say that a row is a step; got layout='rows' too"),
        (GOOD, {"id": None, "time": None, "columns": ["u"]}, "columns names the values of a tidy table"),
        (GOOD, {"id": "time"}, "id and time must name different columns"),
        (HEAD, {}, "no rows behind the column names"),
    ],
)
def test_what_stands_in_the_way_is_named_with_its_place(read, text, options, said):
    with pytest.raises(ValueError, match=said):
        read(text, **options)


def test_columns_belong_to_tables(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.ones((2, 3)), y=np.array([0, 1]))
    with pytest.raises(ValueError, match=r"id, time and columns name those of a table; .*a\.npz is none"):
        load(tmp_path / "a.npz", id="id")
