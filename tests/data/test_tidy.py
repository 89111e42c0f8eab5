"""Is a table with a row for each time step told from one with a row for each sequence?"""

from __future__ import annotations

import ast
import csv
import io
import itertools
import re
import warnings

import numpy as np
import pytest

from ntkseq.data import load, tables, tidy
from ntkseq.data.files import Doubt


def long(steps=lambda i: 6 + i % 3, n=8) -> list[list[str]]:
    """Rows id, time, ax, ay, az, label of n sequences of different lengths."""
    rng = np.random.default_rng(0)
    return [
        [str(i), str(step), *(f"{value:.3f}" for value in rng.normal(size=3)), "down" if i % 2 else "up"]
        for i in range(n)
        for step in range(steps(i))
    ]


def text(rows, titles="id,time,ax,ay,az,label", delimiter=",") -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=delimiter, lineterminator="\n")
    writer.writerows([titles.split(",")] if titles else [])
    writer.writerows(rows)
    return stream.getvalue()


def shuffled(rows):
    return [rows[i] for i in np.random.default_rng(1).permutation(len(rows))]


def without(rows, *columns):
    return [[cell for i, cell in enumerate(row) if i not in columns] for row in rows]


def changed(rows, column, change):
    return [[change(cell) if i == column else cell for i, cell in enumerate(row)] for row in rows]


ROWS = long()
TWO = "subject,trial,time,ax,ay,az,label"
TIDY = {
    "as people have it": text(ROWS),
    "sequences of one length": text(long(lambda i: 6)),
    "without names": text(ROWS, ""),
    "rows in any order": text(shuffled(ROWS)),
    "rows in any order, without names": text(shuffled(ROWS), ""),
    "other names": text(ROWS, "Series ID,Time Step,u,v,w,class"),
    "names that say nothing": text(ROWS, "a,b,c,d,e,label"),
    "by time, then id": text(sorted(ROWS, key=lambda row: (int(row[1]), int(row[0])))),
    "a row index in front": text([[str(i), *row] for i, row in enumerate(ROWS)], ",id,time,ax,ay,az,label"),
    "names for ids": text(changed(ROWS, 0, "walk-{}".format)),
    "dates": text(changed(ROWS, 1, "2026-01-1{}".format)),
    "uneven times": text(changed(ROWS, 1, lambda step: f"{int(step) ** 1.5:.3f}")),
    "times that go on": text([[row[0], f"{i / 10:.1f}", *row[2:]] for i, row in enumerate(ROWS)]),
    "numbers for labels": text(changed(ROWS, 5, {"up": "1", "down": "0"}.get)),
    "the label in front": text([[row[5], *row[:5]] for row in ROWS], "label,id,time,ax,ay,az"),
    "time before id": text([[row[1], row[0], *row[2:]] for row in ROWS], "time,id,ax,ay,az,label"),
    "no ids": text(without(ROWS, 0), "time,ax,ay,az,label"),
    "no ids, no names": text(without(long(lambda i: 6), 0), ""),
    "ids in two columns": text([[str(int(row[0]) // 4), str(int(row[0]) % 4), *row[1:]] for row in ROWS], TWO),
    "a remark": text([[*row[:2], "fine", *row[2:]] for row in ROWS], "id,time,remark,ax,ay,az,label"),
    "as savetxt writes it": text([[f"{float(cell):.18e}" for cell in row[:-1]] + [row[-1]] for row in ROWS], ""),
    "no time": text(without(ROWS, 1), "id,ax,ay,az,label"),
    "one value": text(without(ROWS, 3, 4), "case_id,timestamp,value,label"),
    "one sequence": text(without(long(n=1), 0), "time,ax,ay,az,label"),
}


@pytest.mark.parametrize("suffix", ["csv", "tsv"])
@pytest.mark.parametrize("case", TIDY)
def test_a_tidy_table_is_refused_and_read_by_the_options_that_are_said(tmp_path, case, suffix):
    path = tmp_path / f"motion.{suffix}"
    path.write_text(TIDY[case].replace(",", "\t") if suffix == "tsv" else TIDY[case])
    with pytest.raises(
        tidy.Tidy, match=r"motion\.(csv|tsv): a tidy \(long\) table, a row for each time step"
    ) as caught:
        load(path)
    said = str(caught.value)
    assert "\n" not in said and said.endswith("If each row is a sequence all the same, pass layout='rows'.")
    if "in any order" in case and "without names" in case:
        return  # which is the id and which the time, nobody can know
    options = dict(re.findall(r"(id|time|label|columns)=('[^']*'|\([^)]*\))", said))
    read = {name: ast.literal_eval(value) for name, value in options.items()}  # as the user would copy them
    assert read == caught.value.options
    with warnings.catch_warnings():
        warnings.simplefilter("ignore" if case == "uneven times" else "error", Doubt)
        data = load(path, **read)
    even = case in ("sequences of one length", "no ids, no names")
    rows = long(lambda i: 6) if even else long(n=1) if case == "one sequence" else ROWS
    rows = [list(group) for _, group in itertools.groupby(rows, key=lambda row: row[0])]
    assert len(data.x) == len(rows)
    lengths = [len(row) for row in rows] if data.lengths is None else data.lengths.tolist()
    order = range(len(rows))
    if case == "rows in any order":  # by their first rows
        order = [int(i) for i in dict.fromkeys(row[0] for row in shuffled(ROWS))]
    for k, i in enumerate(order):
        wanted = [[float(cell) for cell in row[2:5]] for row in rows[i]]
        wanted = [row[:1] for row in wanted] if case == "one value" else wanted
        assert lengths[k] == len(rows[i])
        np.testing.assert_allclose(np.asarray(data.x)[k, : len(rows[i])], wanted, rtol=1e-6)
        name = data.classes[int(data.y[k])]
        assert {"0": "down", "1": "up"}.get(name, name) == rows[i][0][5]


@pytest.mark.parametrize("case", ["as people have it", "no ids", "no time"])
def test_a_table_of_sequences_that_looks_tidy_is_read_when_asked(tmp_path, case):
    (tmp_path / "a.csv").write_text(TIDY[case])
    assert load(tmp_path / "a.csv", layout="rows").x.shape[0] == len(ROWS)


def test_a_named_id_in_front_is_no_label_and_a_number_of_each_sequence_is_one_to_predict(tmp_path):
    rows = [[f"p{row[0]}", *row[1:4], "ns"[int(row[0]) % 2], f"{int(row[0]) / 7:.3f}"] for row in ROWS]
    (tmp_path / "a.csv").write_text(text(rows, "patient,date,ax,ay,site,severity"))
    with pytest.raises(tidy.Tidy, match="'patient' repeats while 'date' runs up") as caught:
        load(tmp_path / "a.csv")
    parts = {"id": "patient", "time": "date", "label": "severity", "targets": "values", "columns": ("ax", "ay")}
    assert caught.value.options == parts
    assert load(tmp_path / "a.csv", **parts).x.shape[0] == 8
    (tmp_path / "a.csv").write_text(text([row[:5] for row in rows], "patient,date,ax,ay,site"))
    with pytest.raises(tidy.Tidy, match=r"Pass id='patient', time='date', label='site'\. If each"):
        load(tmp_path / "a.csv")


def test_a_time_that_occurs_twice_in_a_sequence_is_not_among_the_options(tmp_path):
    (tmp_path / "a.csv").write_text(text([[r[0], "0", *r[2:]] for r in ROWS]))
    with pytest.raises(tidy.Tidy, match="Pass id='id', label='label', columns=") as caught:
        load(tmp_path / "a.csv")
    assert load(tmp_path / "a.csv", **caught.value.options).x.shape == (8, 8, 3)


@pytest.mark.parametrize("title", ["id", "sample_id", "Case", "uuid"])
def test_a_column_of_ids_is_no_step(tmp_path, title):
    (tmp_path / "a.csv").write_text(
        f"{title},u,v,label\n" + "".join(f"{7 * i + 3},0.5,1.5,{'ab'[i % 2]}\n" for i in range(6))
    )
    with pytest.raises(
        ValueError,
        match=rf"column '{title}' looks like an id, which is no step of a sequence. .* pass id='{title}'",
    ):
        load(tmp_path / "a.csv")
    assert load(tmp_path / "a.csv", layout="rows").x.shape == (6, 3, 1)


def sequences(seed: int) -> str:
    """A table of sequences of some kind that a study may meet."""
    rng = np.random.default_rng(seed)
    n, t = int(rng.integers(4, 40)), int(rng.integers(2, 9))
    kind = seed % 5
    if kind == 0:
        x = rng.normal(size=(n, t)).round(2)
    elif kind == 1:
        x = np.cumsum(rng.normal(size=(n, t)), axis=1).round(3)
    elif kind == 2:  # sorted by class, smooth, a first value that is the same for many
        x = np.sort(rng.normal(size=(n, t)), axis=0).round(1)
        x[:, 0] = np.sort(rng.integers(0, 3, n))
    elif kind == 3:
        x = rng.integers(0, 500, (n, t)) + 0.5
        x[:, -1] = np.floor(x[:, -1])
    else:
        x = rng.integers(0, 4, (n, t)) + np.eye(1, t, t - 1) * 0.5
    y = np.sort(rng.integers(0, 3, n)) if kind == 2 else rng.integers(0, 2, n)
    return "".join(",".join(map(str, row)) + f",{'abc'[c]}\n" for row, c in zip(x.tolist(), y, strict=True))


def test_tables_of_sequences_are_not_taken_for_tidy_ones():
    for seed in range(100):
        text = sequences(seed)
        found = tables.read(
            text, where="a.csv", name="a", label="auto", header=None, delimiter=",", max_bytes=10**6
        ).train
        rows = [line.split(",") for line in text.splitlines()]
        assert np.array_equal(found.x[:, :, 0], np.array([row[:-1] for row in rows], float)), seed
        assert found.labels.tolist() == [row[-1] for row in rows]
