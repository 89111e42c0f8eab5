"""Does the case of the tables go on where it was stopped, and are its shares what they are called?"""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks.cases import accuracy


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two tables, methods that know their accuracy without computing, and a file for the rows."""
    (tmp_path / "uci90").mkdir()
    for name, n in (("large", 40), ("small", 8)):
        np.savez(tmp_path / "uci90" / f"{name}.npz", y=np.zeros(n))
    (tmp_path / "uci90" / "REFERENCE.json").write_text(json.dumps({"accuracy": {"small": 80.0, "large": 75.5}}))
    monkeypatch.setenv("NTKSEQ_DATA", str(tmp_path))
    monkeypatch.setenv("NTKSEQ_ROWS", str(tmp_path / "rows.jsonl"))
    monkeypatch.setattr(accuracy, "METHODS", {"gaussian": 1, "dense": 2})
    return tmp_path


def measuring(monkeypatch, stop_at=99):
    asked = []

    def measured(path, method):
        if len(asked) == stop_at:
            raise KeyboardInterrupt
        asked.append((path.stem, method))
        return {"table": path.stem, "method": method, "accuracy": 80.0 if method == "dense" else 70.0, "seconds": 1.0}

    monkeypatch.setattr(accuracy, "measured", measured)
    return asked


def test_a_run_that_was_stopped_goes_on(folder, monkeypatch):
    first = measuring(monkeypatch, stop_at=3)
    with pytest.raises(KeyboardInterrupt):
        accuracy.run(False)
    second = measuring(monkeypatch)
    report = accuracy.run(False)
    assert first == [("small", "gaussian"), ("small", "dense"), ("large", "gaussian")]
    assert second == [("large", "dense")]
    said = {row.what: (row.ours, row.note) for row in report.rows}
    assert said["dense: tables off by more than a point"] == (1.0, "large +4.50")
    assert said["gaussian, of 2 methods on 2 tables: PMA"][0] == pytest.approx(87.5)


def test_what_there_was_no_time_for_is_named(folder, monkeypatch, capsys):
    measuring(monkeypatch)
    monkeypatch.setenv("NTKSEQ_MINUTES", "-1")
    assert accuracy.run(False).rows == []
    monkeypatch.setattr(accuracy, "METHODS", {"dense": 1})
    clock = iter([0.0, 0.0, 100.0, 100.0])
    monkeypatch.setenv("NTKSEQ_MINUTES", "1")
    monkeypatch.setattr(accuracy.time, "monotonic", lambda: next(clock))
    accuracy.run(False)
    assert "left out: dense on large" in capsys.readouterr().out


def test_a_line_that_is_no_row_is_refused(folder, monkeypatch):
    (folder / "rows.jsonl").write_text('{"table": "small", "method": "dense", "acc\n')
    with pytest.raises(ValueError, match=r"rows\.jsonl, line 1 is no row of this case"):
        accuracy.run(False)


def test_shares_are_of_the_best_of_the_methods_on_each_table():
    values = {"a": (100.0, 90.0), "b": (89.0, 100.0), "c": (50.0, 50.0), "d": (96.0, 100.0)}
    rows = {(t, m): {"accuracy": v} for t, pair in values.items() for m, v in zip("pq", pair, strict=True)}
    found = accuracy.shares(rows, list(values), ["p", "q"])
    assert found["p"] == pytest.approx({"average": 83.75, "P90": 75.0, "P95": 75.0, "PMA": 100 * 3.85 / 4})
    assert found["q"] == pytest.approx({"average": 85.0, "P90": 100.0, "P95": 75.0, "PMA": 97.5})
