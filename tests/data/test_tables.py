"""Is a table of text read right, and does an error name the line and the column?"""

from __future__ import annotations

import numpy as np
import pytest

from ntkseq.data import tables


def read(text, label="last", header=None, delimiter=",", max_bytes=10**6):
    return tables.read(
        text, where="t.csv", name="t", label=label, header=header, delimiter=delimiter, max_bytes=max_bytes
    ).train


def test_each_row_is_a_sequence_of_scalar_tokens():
    found = read("1,2.5,a\n-3,4e1,b\n")
    assert np.array_equal(found.x, [[[1], [2.5]], [[-3], [40]]])
    assert found.labels.tolist() == ["a", "b"] and found.lengths is None


@pytest.mark.parametrize(
    "text", ["1,2,3,a\n4,b\n", "1,2,3,a\n4,,,b\n", "x,y,z,c\n1,2,3,a\n4,,,b\n", "1,2,3,a\r\n\r\n4,b"]
)
def test_shorter_rows_and_empty_cells_at_the_end_give_lengths(text):
    found = read(text)
    assert found.x[:, :, 0].tolist() == [[1, 2, 3], [4, 0, 0]]
    assert found.lengths.tolist() == [3, 1] and found.labels.tolist() == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("a,1,2\nb,3,4,,\n", "first"),
        ("c,u,v\na,1,2\nb,3,4\n", "c"),
        ("u,c,v\n1,a,2\n3,b,4\n", "c"),
        ("u,v,c\n1,2,a\n3,4,b\n", "c"),
        ("0,1,c\n1,2,a\n3,4,b\n", "c"),
        (' "a" , 1 , 2 \nb,3,4\n', "first"),
    ],
)
def test_the_label_is_found_by_its_place_or_name(text, label):
    found = read(text, label)
    assert found.x[:, :, 0].tolist() == [[1, 2], [3, 4]]
    assert [tag.strip('"') for tag in found.labels] == ["a", "b"]


def test_without_labels_every_cell_is_a_token():
    found = read("1,2\n3,4\n", None)
    assert found.labels is None and found.x.shape == (2, 2, 1)


PIECES = [*"0123", "0.5", "1.5", "-1", "a", "up", "id", "time", "label", "index", "", "NaN", "?", "1e5", "x_0", "x_1"]


@pytest.mark.slow
def test_any_table_is_read_or_refused():
    rng = np.random.default_rng(0)
    for seed in range(3000):
        n, width = int(rng.integers(1, 7)), int(rng.integers(1, 6))
        few = rng.choice(PIECES, int(rng.integers(2, 8)))
        rows = [list(rng.choice(few, max(1, width - int(rng.random() < 0.1)))) for _ in range(n)]
        if rng.random() < 0.5:
            rows.insert(0, list(rng.choice(PIECES, width)))
        if rng.random() < 0.3:
            rows = [[str(i), *row] for i, row in enumerate(rows)]
        text = "\n".join(",".join(row) for row in rows)
        label = [None, "first", "last", "auto", "auto", "auto"][seed % 6]
        options = {
            "layout": ["auto", "rows"][seed % 5 == 0],
            "suffix": [".csv", ".tsv"][seed % 2],
            "targets": "classes",
        }
        try:
            found = tables.read(
                text, where="t.csv", name="t", label=label, header=None, delimiter=",", max_bytes=10**6, **options
            )
        except ValueError as error:
            assert "\n" not in str(error) and str(error).startswith("t.csv"), text
        else:
            held = {
                float(cell)
                for row in rows
                for cell in row
                if cell not in ("", "NaN", "?") and cell[-1].isdigit() and "_" not in cell
            }
            assert set(found.train.x.ravel().tolist()) <= held | {0.0}, text


@pytest.mark.parametrize(
    ("text", "header", "n"),
    [
        ("1,2,3\n4,5,6\n", None, 2),
        ("a,b,c\n4,5,6\n", None, 1),
        ("0,1,label\n4,5,6\n", None, 1),  # as pandas writes a frame with numbered columns
        ("0,1,label\n4,5,x\n", None, 1),
        ("0,1,label\n4,5,x\n6,7,label\n", None, 3),  # here "label" is a class
        ("0,1,up\n4,5,x\n", None, 2),
        ("0,1,up\n4,5,x\n", True, 1),
        ("0,1,up\n4,5,2\n", None, 1),
        ("0,1,2\n0.4,0.5,2\n", None, 1),  # column numbers of pandas
        ("1,2,3\n4,5,6\n", True, 1),
    ],
)
def test_column_names_are_told_from_data(text, header, n):
    assert len(read(text, header=header).x) == n


def test_a_first_row_of_missing_values_is_not_taken_for_names():
    with pytest.raises(ValueError, match="line 1, column 1: missing value"):
        read("?,NA,x\n1,2,y\n")


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("1,2,a\n1,zwei,b\n", {}, "line 2, column 2: wanted a finite number; got 'zwei'"),
        ("1,2,a\n\n1,,3,b\n", {}, r"line 3, column 2: missing value ''. Impute"),
        ("1,2,a\n1,nan,2,b\n", {}, "line 2, column 2: missing value 'nan'"),
        ("0.1,0.2,x\n0.3,0.4,1\n", {}, "first row has 'x' where all others have numbers"),
        ("0,1,2\n3,4,5\n", {}, "the first row counts 0, 1, 2"),
        ("u,v,c\n1,2,a\nu,v,c\n", {}, "line 3: the column names once more"),
        ("1\t2\ta\n1\t2\tb\n", {}, "no ',' in any row, but a tab in each. Pass delimiter='tab'"),
        ("1,2,a\n1,inf,b\n", {}, "line 2, column 2: wanted a finite number; got 'inf'"),
        ("1,2,a\n1,1_0,b\n", {}, "line 2, column 2: wanted a finite number; got '1_0'"),
        ("a,1,2\nb,1,zwei\n", {"label": "first"}, "line 2, column 3: wanted"),
        ("u,c,v\n1,a,2\n3,b,vier\n", {"label": "c"}, "line 3, column 3: wanted"),
        ("1,b,c\n1,2,x\n", {}, "line 1, column 2: .*If these are column names, delete the line, or pass header=True"),
        ("1,2,a\n1,2,\n", {}, "line 2, column 3: the label is missing"),
        (
            "1,2,a\n1,2,NaN\n",
            {},
            "column 3: the label is missing, 'NaN'. A class of that name must be called otherwise",
        ),
        ("u,c,v\n1,a,2\n3\n", {"label": "c"}, "line 3, column 2: the label is missing"),
        ("1,2,a\nb\n", {}, "line 2: the sequence is empty"),
        ("1", {"label": "auto"}, "line 1: the sequence is empty"),
        (",u,v,label\n3,1,2,a\n4\n", {"label": "auto"}, "line 3: nothing behind the row index"),
        ("1,2,a\n,,b\n", {}, "line 2: the sequence is empty"),
        ("u,v,w\n1,2,3\n1,2\n", {}, "line 3: 2 cells, but the first line names 3"),
        ("u,v\n1,2,3\n", {}, "line 2: 3 cells, but the first line names 2"),
        ("u,v\n", {}, "no rows behind the column names"),
        ("\n\n", {}, "no rows; wanted one sequence per row"),
        ("u,v\n1,2\n", {"label": "w"}, "no column named 'w'; the columns are 'u', 'v'"),
        ("v,v\n1,2\n", {"label": "v"}, "2 columns named 'v'"),
        ("1,2\n", {"label": "v", "header": False}, "label='v' names a column, but header=False"),
        ("1;2;a\n1;2;b\n", {}, "no ',' in any row, but a semicolon in each. Pass delimiter='semicolon'"),
        ("1,2,a\n", {"delimiter": ",,"}, "delimiter must be one character"),
        ('1,2,a\n"' + "x" * 200_000, {}, "line 2: a quotation mark is not closed in this line"),
        ("1,2,3,4,5,6,7,8,9,a\n" + "1,b\n" * 20, {"max_bytes": 1000}, "padded to 9 steps.*would take 1,512 bytes"),
    ],
)
def test_a_row_that_is_none_is_refused_with_its_place(text, options, message):
    with pytest.raises(ValueError, match=message) as caught:
        read(text, **options)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300
