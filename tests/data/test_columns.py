"""Are column names, the label and a row index found where they are, and asked for where that cannot be known?"""

from __future__ import annotations

import io

import numpy as np
import pandas
import pytest

from ntkseq.data import load
from ntkseq.data.files import Doubt

X = np.random.default_rng(0).normal(size=(8, 4)).round(3)
NAMES, CODES = ["a", "b"] * 4, [0, 1] * 4


def frame(labels, first=False):
    made = pandas.DataFrame(X)
    made.insert(0 if first else 4, "label", labels)
    return made


FRAMES = {
    "index": lambda f: f,
    "index that was shuffled": lambda f: f.sample(frac=1, random_state=0),
    "index of a part": lambda f: f.iloc[::-2],
    "index as a column": lambda f: f.reset_index().set_index("index"),
    "index twice": lambda f: pandas.read_csv(io.StringIO(f.to_csv())),
}


@pytest.mark.parametrize("labels", [NAMES, CODES], ids=["names", "codes"])
@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("suffix", ["csv", "tsv"])
@pytest.mark.parametrize("case", FRAMES)
def test_the_row_index_of_a_data_frame_is_left_out_and_said(tmp_path, case, suffix, first, labels):
    made = FRAMES[case](frame(labels, first))
    path = tmp_path / f"a.{suffix}"
    made.to_csv(path, sep="\t" if suffix == "tsv" else ",")
    with pytest.warns(Doubt, match="is left out: a row index; layout='rows' reads it as a step"):
        data = load(path)
    numbers = made[[name for name in made.columns if str(name) in "0123"]].to_numpy()
    np.testing.assert_allclose(np.asarray(data.x)[:, :, 0], numbers, rtol=1e-6)
    assert [data.classes[code] for code in data.y.tolist()] == made["label"].astype(str).tolist()
    assert data.origin == "a row is a sequence, the label in column 'label'" and "row index" in repr(data)


@pytest.mark.parametrize("labels", [NAMES, CODES], ids=["names", "codes"])
@pytest.mark.parametrize("first", [False, True])
def test_a_data_frame_without_its_index_is_read_as_it_is(tmp_path, first, labels):
    frame(labels, first).to_csv(tmp_path / "a.csv", index=False)
    data = load(tmp_path / "a.csv")
    np.testing.assert_allclose(np.asarray(data.x)[:, :, 0], X, rtol=1e-6)
    assert [data.classes[code] for code in data.y.tolist()] == list(map(str, labels)) and data.notes == ()


@pytest.mark.parametrize("start", [0, 1])
@pytest.mark.parametrize("n", [2, 3, 8])
def test_row_numbers_without_a_name_are_refused(tmp_path, n, start):
    rows = [f"{i + start},{','.join(map(str, x))},{'ab'[i % 2]}" for i, x in enumerate(X[:n])]
    (tmp_path / "a.csv").write_text("\n".join(rows))
    with pytest.raises(ValueError, match=r"whole numbers, each once \(.*as a row index does.*layout='rows'"):
        load(tmp_path / "a.csv")
    assert load(tmp_path / "a.csv", layout="rows").x.shape == (n, 5, 1)


@pytest.mark.parametrize("n", [3, 8])
def test_row_numbers_that_savetxt_wrote_are_refused(tmp_path, n):
    np.savetxt(tmp_path / "a.csv", np.c_[np.arange(n), X[:n], np.arange(n) % 2], delimiter=",")
    with pytest.raises(ValueError, match="as a row index does"):
        load(tmp_path / "a.csv")


def test_a_row_index_behind_the_label_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text("label,index,u,v\n1,0,0.5,0.25\n2,1,1.5,0.25\n1,2,0.5,0.5\n")
    with pytest.raises(ValueError, match="column 'index' looks like an id"):
        load(tmp_path / "a.csv")


def test_numbers_of_shuffled_rows_without_a_name_are_refused(tmp_path):
    frame(NAMES).sample(frac=1, random_state=0).to_csv(tmp_path / "a.csv", header=False)
    with pytest.raises(ValueError, match="as a row index does"):
        load(tmp_path / "a.csv")


def test_a_first_column_without_a_name_that_is_no_index_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text(",u,v,label\n0.5,0.1,0.2,a\n0.5,0.1,0.2,b\n")
    with pytest.raises(ValueError, match=r"the first column has no name\. Is it a row index"):
        load(tmp_path / "a.csv")


FIRST, LAST = "a row is a sequence, the label its first cell", "a row is a sequence, the label its last cell"
NAMED = "a row is a sequence, the label in column '{}'"
LABELS = {
    # decimals between whole codes
    "codes first, tsv": ("a.tsv", "1,0.5,0.25\n2,1.5,1.25\n1,2.5,2.25\n", FIRST),
    "codes last, csv": ("a.csv", "0.5,0.25,1\n1.5,1.25,2\n2.5,2.25,1\n", LAST),
    "-1 and 1 as floats, tsv": ("a.tsv", "-1.0,0.5,0.25\n1.0,1.5,1.25\n-1.0,2.5,2.25\n", FIRST),
    "names last, tsv": ("a.tsv", "0.5,0.25,up\n1.5,1.25,down\n", LAST),
    "names first, csv": ("a.csv", "up,0.5,0.25\ndown,1.5,1.25\n", FIRST),
    "names last, csv": ("a.csv", "0.5,0.25,up\n1.5,1.25,down\n", LAST),
    "named, first, csv": ("a.csv", "label,u,v\n1,573,1\n2,394,2\n1,603,1\n", NAMED.format("label")),
    "y, first, csv": ("a.csv", "y,u,v\n1,573,1\n2,394,2\n1,603,1\n", NAMED.format("y")),
    "y is an axis": ("a.csv", "x,y,z\n573,5,1\n394,6,2\n603,7,1\n", LAST),
    "named, middle, csv": ("a.csv", "u,Class,v\n573,1,1\n394,2,2\n603,1,1\n", NAMED.format("Class")),
    # whole numbers throughout
    "counts behind codes, tsv": ("a.tsv", "1,573,375,212\n2,394,264,144\n1,603,348,177\n", FIRST),
    "counts before codes, csv": ("a.csv", "573,375,212,1\n394,264,144,2\n603,348,177,1\n", LAST),
}  # fmt: skip


@pytest.mark.parametrize("case", LABELS)
def test_the_label_is_found_and_named(tmp_path, case):
    name, text, origin = LABELS[case]
    (tmp_path / name).write_text(text.replace(",", "\t") if name.endswith("tsv") else text)
    data = load(tmp_path / name, tokens="real")
    assert data.origin == origin and len(data.classes) == 2
    assert f"read as: {origin}" in repr(data)
    lines = [line.split(",") for line in text.splitlines()]
    at = {FIRST: 0, LAST: -1}.get(origin)
    titles = [title.lower() for title in lines.pop(0)] if lines[0][1][-1].isalpha() else []
    if at is None:
        at = next(titles.index(name) for name in ("label", "class", "y") if name in titles)
    tags = [line.pop(at) for line in lines]
    assert np.array_equal(np.asarray(data.x)[:, :, 0], np.array(lines, np.float32))
    wanted = sorted(set(tags), key=lambda tag: float(tag) if tag[-1].isdigit() else tag)
    assert data.y.tolist() == [wanted.index(tag) for tag in tags]


ASKED = {
    "codes before counts, csv": ("a.csv", "1,573,375,212\n2,394,264,144\n1,603,348,177\n", "the first one looks"),
    "codes behind counts, tsv": ("a.tsv", "573,375,212,1\n394,264,144,2\n603,348,177,1\n", "the last one looks"),
    "codes before decimals, csv": ("a.csv", "1,0.5,0.25\n2,1.5,1.25\n1,2.5,2.75\n", "the first one looks"),
    "codes behind decimals, tsv": ("a.tsv", "0.5,0.25,1\n1.5,1.25,2\n2.5,2.25,1\n", "the last one looks"),
    "bits, csv": ("a.csv", "0,1,0,1\n1,0,1,0\n0,1,1,1\n", "both ends look like class codes"),
    "bits, tsv": ("a.tsv", "0,1,0,1\n1,0,1,0\n0,1,1,1\n", "both ends look like class codes"),
    "a name and a code": ("a.csv", "u,0.5,1\nv,1.5,2\nu,2.5,1\n", "first cell of each row is text"),
    "each label once": ("a.csv", "".join(f"{i}.5,0.5,{7 * i}\n" for i in range(9)), "hardly any value occurs twice"),
    "two names": ("a.csv", "label,u,class\n1,0.5,2\n2,0.5,1\n", "columns 'label', 'class' may be the label"),
}  # fmt: skip


@pytest.mark.parametrize("case", ASKED)
def test_a_label_that_may_be_at_either_end_is_asked_for(tmp_path, case):
    name, text, message = ASKED[case]
    (tmp_path / name).write_text(text.replace(",", "\t") if name.endswith("tsv") else text)
    with pytest.raises(ValueError, match=message):
        load(tmp_path / name, tokens="real")
    if case not in ("a name and a code", "two names"):
        at = {"first": 0, "last": -1}
        for label, end in at.items():
            tags = [line.split(",")[end] for line in text.splitlines()]
            if all("." not in tag for tag in tags):
                data = load(tmp_path / name, tokens="real", label=label)
                assert [data.classes[code] for code in data.y.tolist()] == tags


def test_numbers_to_predict_at_either_end_of_a_tsv_are_asked_for(tmp_path):
    (tmp_path / "a.tsv").write_text("0.5\t1.5\t2.5\n3.5\t4.5\t5.5\n")
    with pytest.raises(ValueError, match=r"but numbers may be last\. Pass label='first' or label='last'"):
        load(tmp_path / "a.tsv", targets="values")
    assert load(tmp_path / "a.tsv", targets="values", label="first").y.tolist() == [0.5, 3.5]


@pytest.mark.parametrize("row", ["0,5,1.5,2.5,u", "0.5,1.5,u"], ids=["a decimal comma", "a cell is missing"])
def test_a_row_of_another_width_is_said(tmp_path, row):
    (tmp_path / "a.csv").write_text("0.5,1.5,2.5,u\n0.5,1.5,3.5,v\n" * 3 + row)
    with pytest.warns(Doubt, match=r"line 7 has . cells, most have 4; it is read as a sequence of another length"):
        load(tmp_path / "a.csv")
    assert load(tmp_path / "a.csv", layout="rows").notes == ()


def test_columns_of_several_features_are_said(tmp_path):
    (tmp_path / "a.csv").write_text("ax_0,ax_1,ay_0,ay_1,label\n0.5,1.5,2.5,3.5,u\n0.5,1.5,2.5,4.5,v\n")
    with pytest.warns(Doubt, match=r"columns of 2 kinds \(ax, ay\) are read as one sequence of numbers, t = 4"):
        load(tmp_path / "a.csv")
    assert load(tmp_path / "a.csv", layout="rows").notes == ()
    (tmp_path / "a.csv").write_text("t0,t1,t2,label\n0.5,1.5,2.5,u\n0.5,1.5,2.5,v\n")
    assert load(tmp_path / "a.csv").notes == ()
