"""Do the files of a report come all or not at all, and is nothing else touched?"""

from __future__ import annotations

import errno
import json
import os
import pathlib

import numpy as np
import pytest

from ntkseq.reports import Folder
from ntkseq.reports.files import NAMES
from tests.reports import examples


@pytest.fixture(scope="module")
def made():
    return examples.report()


@pytest.fixture(autouse=True)
def short_page(request, monkeypatch):
    """The page itself is the business of test_page."""
    monkeypatch.setattr("ntkseq.reports.page.page", lambda report: "<p>page</p>")


def names(folder: pathlib.Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_three_files_are_written_and_nothing_beside(tmp_path, made):
    with Folder(tmp_path / "new" / "out") as folder:
        folder.write(made)
    assert names(tmp_path / "new" / "out") == sorted(NAMES)
    assert names(tmp_path / "new") == ["out"]
    assert json.loads((tmp_path / "new/out/report.json").read_text())["schema"] == "ntkseq-sheet-1"


def test_the_matrices_load_without_pickle(tmp_path, made):
    with Folder(tmp_path / "out") as folder:
        folder.write(made)
    with np.load(tmp_path / "out" / "arrays.npz", allow_pickle=False) as arrays:
        assert np.array_equal(arrays["K"], made.gram.array)
        assert arrays["classes"].tolist() == ["a", "b"]
        assert {"K_test", "rounding", "y", "y_test", "eigenvalues", "eigenvalue_errors", "prediction"} <= set(arrays)
        assert bool(arrays["rounding_stated"]) and arrays["rounding_estimated"] == "" and not arrays["sampled"]


def test_a_sheet_becomes_three_files_and_its_arrays_are_bitwise(tmp_path):
    made = examples.sheet()
    with Folder(tmp_path / "out") as folder:
        folder.write(made)
    assert names(tmp_path / "out") == sorted(NAMES) == ["arrays.npz", "report.html", "report.json"]
    with np.load(tmp_path / "out" / "arrays.npz", allow_pickle=False) as arrays:
        assert set(arrays) == {"drift", "kernel.names"}
        assert arrays["drift"].tobytes() == made.arrays["drift"].tobytes()
    found = json.loads((tmp_path / "out" / "report.json").read_text(), parse_constant=pytest.fail)
    assert found == made.to_dict()


def test_a_figure_that_cannot_be_drawn_leaves_nothing(tmp_path, monkeypatch):
    def broken(made):
        raise ValueError("no such table")

    monkeypatch.setattr("ntkseq.reports.page.page", broken)
    with pytest.raises(ValueError, match="no such table"), Folder(tmp_path / "out") as folder:
        folder.write(examples.sheet())
    assert names(tmp_path) == []


def test_an_empty_folder_is_filled(tmp_path, made):
    (tmp_path / "out").mkdir()
    with Folder(tmp_path / "out") as folder:
        folder.write(made)
    assert names(tmp_path / "out") == sorted(NAMES)


def test_a_folder_with_files_is_refused_before_any_work(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"holds files.*--overwrite"), Folder(tmp_path):
        pytest.fail("entered")
    assert names(tmp_path) == ["mine.txt"]


def test_overwrite_replaces_its_own_files_only(tmp_path, made):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    (tmp_path / "out" / "report.html").write_text("old")
    with Folder(tmp_path / "out", overwrite=True) as folder:
        folder.write(made)
    assert names(tmp_path / "out") == sorted([*NAMES, "mine.txt"])
    assert (tmp_path / "out" / "report.html").read_text() != "old"
    assert (tmp_path / "out" / "mine.txt").read_text() == "mine"
    assert names(tmp_path) == ["out"]


def test_a_path_below_a_file_cannot_be_written_and_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"cannot be written .*Choose another folder"), Folder(tmp_path / "file" / "out"):
        pytest.fail("entered")


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="is a file; wanted a folder"), Folder(tmp_path / "file", overwrite=True):
        pytest.fail("entered")


def no_space(*args, **kwargs):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_leaves_nothing(tmp_path, made, monkeypatch):
    monkeypatch.setattr(np, "savez_compressed", no_space)
    with pytest.raises(OSError, match="No space left"), Folder(tmp_path / "a" / "out") as folder:
        folder.write(made)
    assert names(tmp_path) == []


def test_a_failure_while_moving_brings_the_old_report_back(tmp_path, made, monkeypatch):
    out = tmp_path / "out"
    out.mkdir()
    for name in NAMES:
        (out / name).write_text(f"old {name}")
    real, calls = os.replace, []

    def fails_on_the_second_new_file(source, target):
        calls.append(target)
        if pathlib.Path(target) == out / "report.json" and "old" not in pathlib.Path(source).parts[-2]:
            raise OSError(errno.EIO, "input/output error")
        return real(source, target)

    monkeypatch.setattr(os, "replace", fails_on_the_second_new_file)
    with pytest.raises(OSError, match="input/output error"), Folder(out, overwrite=True) as folder:
        folder.write(made)
    assert {name: (out / name).read_text() for name in NAMES} == {name: f"old {name}" for name in NAMES}
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interruption_leaves_nothing(tmp_path, error):
    with pytest.raises(error), Folder(tmp_path / "a" / "b" / "out"):
        assert len(names(tmp_path / "a" / "b")) == 1
        raise error
    assert names(tmp_path) == []


def test_writing_needs_a_folder_that_was_entered(tmp_path, made):
    with pytest.raises(ValueError, match="with Folder"):
        Folder(tmp_path / "out").write(made)
