"""Tests of `ntkseq.training.history_files`."""

from __future__ import annotations

import json
import os
import pathlib

import jax.numpy as jnp
import numpy as np
import pandas
import pytest

from ntkseq import training
from ntkseq.training import History, MovementProbe, ProbeTable, history_files


@pytest.fixture
def history() -> History:
    columns = {
        "a": np.array([1.0, np.nan]),
        "b": np.array([[np.inf, -np.inf], [0.1, 1e-300]]),
        "ok": np.array([True, False]),
    }
    return History({"kernel": ProbeTable(np.array([0, 10]), columns)}, {"kernel": {"kind": "kernel", "every": 10}})


@pytest.mark.parametrize("name", ["h.npz", "h.json"])
def test_every_number_survives_a_file(history: History, name: str, tmp_path: pathlib.Path):
    history.save(tmp_path / name)
    back = History.load(tmp_path / name)
    assert back.about == history.about
    for column, values in history["kernel"].columns.items():
        assert back["kernel"][column].dtype == values.dtype
        np.testing.assert_array_equal(back["kernel"][column], values)


def test_a_file_can_be_read_by_whom_the_system_lets(history: History, tmp_path: pathlib.Path):
    mask = os.umask(0o022)
    try:
        history.save(tmp_path / "h.npz")
    finally:
        os.umask(mask)
    assert (tmp_path / "h.npz").stat().st_mode & 0o777 == 0o644


def test_json_holds_no_nan(history: History, tmp_path: pathlib.Path):
    history.save(tmp_path / "h.json")
    text = (tmp_path / "h.json").read_text()
    assert "NaN" not in text and "Infinity" not in text
    assert json.loads(text)["tables"]["kernel"]["a"] == [1.0, None]


def test_a_file_that_cannot_be_written_leaves_the_old_one(history: History, tmp_path: pathlib.Path, monkeypatch):
    path = tmp_path / "h.npz"
    history.save(path)
    before = path.read_bytes()

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"cannot be written \(No space left on device\)"):
        history.save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["h.npz"]


def test_what_is_no_history_is_refused_with_the_name_of_the_file(history: History, tmp_path: pathlib.Path):
    with pytest.raises(ValueError, match=r"is saved as \.npz or \.json"):
        history.save(tmp_path / "h.csv")
    with pytest.raises(ValueError, match="no such file"):
        History.load(tmp_path / "none.npz")
    np.savez(tmp_path / "other.npz", a=np.ones(3))
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04")
    (tmp_path / "other.json").write_text("[1, 2]")
    (tmp_path / "later.json").write_text('{"format": "ntkseq history 9", "tables": {}, "about": {}}')
    for name in ("other.npz", "broken.npz", "other.json", "later.json"):
        with pytest.raises(ValueError, match=f"{name} is no history that this version reads"):
            History.load(tmp_path / name)
    (tmp_path / "report.json").write_text('{"schema": "ntkseq-sheet-1", "title": "digits"}')
    with pytest.raises(
        ValueError, match=r"report.json is no history .*: it has no 'format'\..* of a study are a report"
    ):
        History.load(tmp_path / "report.json")


def test_columns_that_do_not_fit_their_steps_are_refused():
    with pytest.raises(ValueError, match="do not fit its steps"):
        history_files.tables_of({"table/a/#": np.arange(3), "table/a/b": np.ones(2)})


def test_a_table_becomes_a_data_frame():
    history = training.track([MovementProbe(every=1)], {"w": jnp.ones(2)}).update(1, {"w": jnp.zeros(2)})
    frame = history.to_pandas("movement")
    assert isinstance(frame, pandas.DataFrame) and frame.index.tolist() == [0, 1]
    assert frame["relative"].tolist() == pytest.approx([0, 1])


def test_columns_of_several_numbers_become_several_of_a_frame(history: History):
    assert list(history.to_pandas("kernel").columns) == ["a", "b[0]", "b[1]", "ok"]
