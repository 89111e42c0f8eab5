"""Is it said how a file was read, and is a bad one refused in one line and never run?"""

from __future__ import annotations

import pathlib
import pickle
import zipfile

import numpy as np
import pytest

from tests.cli.commands import refused, said_before


@pytest.mark.slow
def test_what_was_read_is_said_before_anything_is_computed(capsys, file, nothing_computed):
    lengths = {"lengths": np.array([2, 3] * 6), "lengths_test": np.full(4, 3)}
    said = said_before(capsys, "study", file(**lengths))
    assert said[0] == (
        "made: 12 training and 4 test sequences, t <= 3, d = 1, 2 classes ('0', '1'); lengths from 2; array x of shape "
        "(12, 3, 1) read as (n, t, d), labels y"
    )
    assert said[1].startswith("data: ")
    assert "one length, no missing values" in said_before(capsys, "study", file())[0]
    assert said_before(capsys, "accuracy", file())[:2] == [
        "Dataset(made: 12 examples + 4 test, t=3, d=1, float32, 2 classes)",
        "read as: array x of shape (12, 3, 1) read as (n, t, d), labels y",
    ]


@pytest.mark.slow
def test_channels_before_time_are_said_and_swapped(capsys, file, nothing_computed):
    x = np.random.default_rng(0).normal(size=(16, 3, 24)).astype(np.float32)
    path = file(x=x[:12], x_test=x[12:])
    said = said_before(capsys, "study", path)
    assert "t = 3, d = 24" in said[0]
    assert said[1].startswith("note: x of shape (12, 3, 24) is read as t = 3 steps of d = 24 features.")
    assert "pass --layout nct; if it is right, --layout ntd" in said[1]
    said = said_before(capsys, "study", path, "--layout", "nct")
    assert "t = 24, d = 3" in said[0] and "(12, 3, 24) read as (n, channels, time)" in said[0]
    assert said[1].startswith("data: ")


@pytest.mark.slow
def test_ids_of_tokens_are_asked_about_and_read_as_said(capsys, file, nothing_computed):
    ids = np.random.default_rng(0).integers(0, 5, (16, 9))
    path = file(x=ids[:12], x_test=ids[12:])
    assert "If they are measured, pass --tokens real; if they are ids of tokens, --tokens one-hot" in refused(
        capsys, "study", path
    )
    assert "t = 9, d = 5" in said_before(capsys, "study", path, "--tokens", "one-hot")[0]
    assert "t = 9, d = 1" in said_before(capsys, "study", path, "--tokens", "real")[0]
    assert "t=9, d=5" in said_before(capsys, "accuracy", path, "--tokens", "one-hot")[0]


@pytest.mark.slow
def test_a_tidy_table_is_refused_in_one_line(capsys, nothing_computed):
    rows = [f"{i},{t},0.{i}{t},1.{t}{i},{'ab'[i % 2]}\n" for i in range(9) for t in range(7)]
    pathlib.Path("motion_long.csv").write_text("id,time,ax,ay,label\n" + "".join(rows))
    said = refused(capsys, "study", "motion_long.csv")
    assert "'id' repeats while 'time' runs up" in said and "pass --layout rows" in said
    command = "study motion_long.csv --id id --time time --label label"
    assert f"Read it so: ntkseq {command} . If" in said
    assert said_before(capsys, *command.split())[0] == (
        "motion_long: 7 training and 2 test sequences, t = 7, d = 2, 2 classes ('a', 'b'); one length, no missing "
        "values; a row is a step; sequences by 'id', ordered by 'time', of 'ax', 'ay'; the label in column 'label'"
    )
    said = said_before(capsys, "study", "motion_long.csv", "--layout", "rows")[0]
    assert (
        "47 training and 16 test sequences, t = 4, d = 1, 2 classes" in said and "the label in column 'label'" in said
    )


@pytest.mark.slow
def test_the_column_of_the_label_is_said_or_asked_for(capsys, nothing_computed):
    counts = np.random.default_rng(0).integers(100, 900, (20, 5))
    rows = ["\t".join(map(str, [i % 2 + 1, *row])) for i, row in enumerate(counts.tolist())]
    pathlib.Path("Chinatown_TRAIN.tsv").write_text("\n".join(rows))
    said = said_before(capsys, "study", "Chinatown_TRAIN.tsv")
    assert "2 classes ('1', '2')" in said[0] and "the label its first cell" in said[0]
    assert "every value is a whole number" in said[1] and "pass --tokens real" in said[1]
    pathlib.Path("last.tsv").write_text("\n".join("\t".join(reversed(row.split("\t"))) for row in rows))
    assert "pass --label first or --label last" in refused(capsys, "study", "last.tsv").lower()
    assert "the label its last cell" in said_before(capsys, "study", "last.tsv", "--label", "last")[0]


@pytest.mark.slow
def test_another_delimiter_is_said_and_confirmed(capsys, file, nothing_computed):
    rows = [";".join([f"{i / 7:.3f}", f"{i / 9:.3f}", "ab"[i % 2]]) for i in range(20)]
    pathlib.Path("a.csv").write_text("\n".join(rows))
    said = said_before(capsys, "study", "a.csv")
    assert "t = 2, d = 1, 2 classes" in said[0]
    assert said[1] == "note: cells are taken to end at each semicolon; --delimiter semicolon confirms"
    assert len(said_before(capsys, "study", "a.csv", "--delimiter", "semicolon")) == len(said) - 1
    pathlib.Path("b.csv").write_text("\n".join(row.replace("0.", "1.") for row in rows))
    assert "t=2, d=1" in said_before(capsys, "accuracy", "a.csv", "--test", "b.csv", "--delimiter", ";")[0]
    assert "delimiter must be one character" in refused(capsys, "study", "a.csv", "--delimiter", "dot")
    assert "delimiter says what stands between cells" in refused(capsys, "study", file(), "--delimiter", "tab")


BAD = {
    "nan": ({"x": np.full((12, 3, 1), np.nan)}, "NaN"),
    "infinite": ({"x": np.full((12, 3, 1), np.inf)}, "infinite"),
    "rank": ({"x": np.zeros((12, 3, 1, 1))}, "(12, 3, 1, 1)"),
    "no examples": ({"x": np.zeros((0, 3, 1)), "y": np.zeros(0, int)}, "empty"),
    "one example": (
        {"x": np.zeros((1, 3, 1)), "y": np.zeros(1, int)},
        "at least 2 training and 1 test example; got 1 and 4",
    ),
    "no steps": ({"x": np.zeros((12, 0, 1))}, "empty"),
    "lengths beyond": ({"lengths": np.full(12, 9), "lengths_test": np.full(4, 3)}, "1..3"),
    "lengths of zero": ({"lengths": np.zeros(12, int), "lengths_test": np.full(4, 3)}, "1..3"),
    "other features": ({"x_test": np.zeros((4, 3, 2))}, "features"),
    "other labels": ({"y": np.zeros(5, int)}, "(5,)"),
    "one class": ({"y": np.zeros(12, int), "y_test": np.zeros(4, int)}, "two or more different classes"),
    "pickled": ({"x": np.array([{}] * 12, dtype=object)}, "pickled"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_data_are_answered_in_one_line(capsys, file, case: str):
    changes, said = BAD[case]
    assert said in refused(capsys, "study", file(**changes), "--out", "out")


class Bomb:
    """Runs something when unpickled."""

    def __reduce__(self):
        return (pathlib.Path.touch, (pathlib.Path("exploded"),))


@pytest.mark.parametrize("kind", ["pickle", "archive", "cut", "text"])
def test_a_malicious_or_damaged_file_is_refused_and_never_run(capsys, file, kind: str):
    evil = pathlib.Path("evil.npz")
    if kind == "pickle":
        evil.write_bytes(pickle.dumps(Bomb()))
    elif kind == "archive":
        with zipfile.ZipFile(evil, "w") as archive:
            archive.writestr("../../x.npy", pickle.dumps(Bomb()))
            archive.writestr("y.npy", pickle.dumps(Bomb()))
    elif kind == "cut":
        evil.write_bytes(pathlib.Path(file()).read_bytes()[:300])
    else:
        evil.write_text("\x1b[31mred\n" * 9)
    assert "\x1b" not in refused(capsys, "study", "evil.npz", "--out", "out")
    assert not pathlib.Path("exploded").exists()
