"""Do studies with a name and reports of runs come from the command line, and are wrong ones refused in one line?"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import sys
import types

import pytest

from ntkseq import cli
from ntkseq.reports import Sheet
from ntkseq.studies import named
from ntkseq.studies.base import NamedStudy
from tests.cli.commands import names, refused
from tests.reports import runs


@pytest.mark.slow
def test_a_history_becomes_three_files_and_a_summary(capsys):
    history = runs.history()
    dataclasses.replace(history, tables={"loss": history["loss"]}).save("run.npz")
    assert cli.main(["report", "run.npz"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("run: a training run\n") and "wrote run-report: report.html" in said.err
    assert names("run-report") == ["arrays.npz", "report.html", "report.json"]
    found = json.loads(pathlib.Path("run-report/report.json").read_text(), parse_constant=pytest.fail)
    assert found["command"] == "ntkseq report run.npz"
    assert "--overwrite" in refused(capsys, "report", "run.npz")
    assert cli.main(["report", "run.npz", "--overwrite", "--out", "run-report"]) == 0


@pytest.mark.parametrize("kind", ["npz", "json"])
def test_a_file_that_is_no_history_is_answered_in_one_line(capsys, file, kind: str):
    path = file() if kind == "npz" else "bad.json"
    if kind == "json":
        pathlib.Path(path).write_text('{"format": "\x1b[31mother"')
    assert "no history" in refused(capsys, "report", path)


@dataclasses.dataclass(frozen=True)
class Small(NamedStudy):
    """Does a small study run?

    It does.
    """

    name = "small"
    summary = "Does a small study run?"
    question = "Does it run?"

    widths: tuple[int, ...] = (64, 256)
    """Widths of the networks."""
    rate: float | None = None
    """Learning rate."""
    fails: str = ""
    """With what it fails."""

    def measure(self, clock, mark):
        errors = {"ctrl-c": KeyboardInterrupt, "memory": MemoryError, "diverged": FloatingPointError("step 3 diverged")}
        with clock("training", "training"):
            if self.fails:
                raise errors[self.fails]
        return Sheet("Small", "", facts=(("yes", "it runs"),))


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setitem(named.STUDIES, "small", f"{__name__}:Small")
    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or types.SimpleNamespace(Small=Small))


def test_a_named_study_runs_with_its_own_options_and_writes_its_sheet(capsys, small):
    assert cli.main(["study", "small", "--quick", "--widths", "32", "--out", "out"]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines() == ["Small", "Does it run?", "it runs  yes"]
    assert "training: " in said.err and "wrote out: report.html, report.json, arrays.npz" in said.err
    found = json.loads(pathlib.Path("out/report.json").read_text())
    assert found["command"] == "ntkseq study small --out out --widths 32 --quick"
    assert "--overwrite" in refused(capsys, "study", "small", "--out", "out")
    assert cli.main(["study", "small"]) == 0 and names() == ["out", "small-report"]


def test_help_lists_the_named_studies_and_the_options_of_one(capsys, small):
    assert cli.main(["study", "--help"]) == 0
    said = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "small: Does a small study run?" in said and "--sigma-w" in said
    assert cli.main(["study", "small", "--help"]) == 0
    said = capsys.readouterr().out
    assert "usage: ntkseq study small" in said and "Fewer of everything." in said and "--rate FLOAT" in said
    assert "--sigma-w" not in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--nope", "--nope"),
        ("--widths x", "See ntkseq study small --help."),
        ("--rate x", "FLOAT"),
        ("--fails memory", "not enough memory. Ask for less."),
        ("--fails diverged", "step 3 diverged"),
    ],
)
def test_a_named_study_is_refused_in_one_line(capsys, small, words: str, said: str):
    assert said in refused(capsys, "study", "small", *words.split())


def test_ctrl_c_in_a_named_study_ends_with_130_and_leaves_nothing(capsys, small):
    assert cli.main(["study", "small", "--fails", "ctrl-c"]) == 130
    assert "interrupted; nothing was written" in capsys.readouterr().err and names() == []


def test_a_file_with_the_name_of_a_study_is_read_by_its_path(capsys, small, file):
    os.rename(file(), "small")
    assert "small" in refused(capsys, "study", "./small")  # a file without a suffix, not the study
