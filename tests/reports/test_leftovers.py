"""Are the folders of killed runs cleaned, those of living ones left, and an earlier report given back?"""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from ntkseq.reports import Folder, leftovers

KILLED = """
import os, signal, sys
from ntkseq.reports import Folder
with Folder("out", overwrite=True):
    print("in", flush=True)
    {then}
"""


def begun(then: str, folder: object) -> subprocess.Popen[str]:
    """A run in its folder."""
    words, pipe = [sys.executable, "-c", KILLED.format(then=then)], subprocess.PIPE
    run = subprocess.Popen(words, cwd=str(folder), stdin=pipe, stdout=pipe, text=True)
    assert run.stdout is not None and run.stdout.readline() == "in\n"
    return run


def parts(folder) -> list[str]:
    return [name for name in os.listdir(folder) if name.endswith(".part")]


@pytest.mark.slow
def test_the_folder_of_a_killed_run_goes_and_that_of_a_living_one_stays(tmp_path) -> None:
    killed = begun("os.kill(os.getpid(), signal.SIGKILL)", tmp_path)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL and len(parts(tmp_path)) == 1
    living = begun("sys.stdin.read()", tmp_path)
    try:
        (held,) = parts(tmp_path)  # the living one has cleaned
        with Folder(tmp_path / "out"):
            assert held in parts(tmp_path) and len(parts(tmp_path)) == 2
        assert parts(tmp_path) == [held]
    finally:
        living.communicate("")
    assert living.returncode == 0 and parts(tmp_path) == []


@pytest.mark.parametrize(("moved", "stands"), [(("report.json",), "old"), (("report.json", "report.html"), "new")])
def test_an_earlier_report_comes_back_unless_the_new_one_is_whole(tmp_path, moved, stands: str) -> None:
    out, work = tmp_path / "out", tmp_path / ".out-abcd_123.part"
    (work / "old").mkdir(parents=True)
    out.mkdir()
    for name in ("report.json", "report.html"):
        (work / "old" / name).write_text("old")
        (out / name if name in moved else work / name).write_text("new")
    leftovers.sweep(out)
    assert sorted(os.listdir(tmp_path)) == ["out"]
    assert {(out / name).read_text() for name in os.listdir(out)} == {stands}
    assert sorted(os.listdir(out)) == ["report.html", "report.json"]


def test_only_folders_of_this_name_go(tmp_path) -> None:
    for name in (".out-2-abcd_123.part", ".other-abcd_123.part", ".out-notes", "out-abc.part"):
        (tmp_path / name).mkdir()
    (tmp_path / ".out-abcdefgh.part").write_text("a file")
    before = sorted(os.listdir(tmp_path))
    with Folder(tmp_path / "out"):
        pass
    assert sorted(os.listdir(tmp_path)) == before
