"""What does the command do with its words, with a case that breaks, and with one that got slower?"""

from __future__ import annotations

import functools
import json
import pathlib
import sys
import types

import pytest

from benchmarks import __main__ as command
from benchmarks import catalogue, machine, records
from benchmarks.report import Report
from benchmarks.timing import Timing

from .test_report import RATES


@pytest.fixture
def case(monkeypatch: pytest.MonkeyPatch) -> types.SimpleNamespace:
    """One case, "fake", that takes `seconds` beside a peer's second, and how often it ran."""
    state = types.SimpleNamespace(seconds=[0.5], runs=0, broken=False)

    def run(quick: bool) -> Report:
        if state.broken:
            raise RuntimeError("it broke")
        seconds = state.seconds[min(state.runs, len(state.seconds) - 1)]
        state.runs += 1
        report = Report("fake")
        report.table("Speed", "Seconds.")
        report.time("a call", Timing(1.0, seconds, seconds, seconds, 3), Timing(1.0, 1.0, 1.0, 1.0, 3), peer="a loop")
        return report

    monkeypatch.setitem(sys.modules, "benchmarks.cases.fake", types.SimpleNamespace(run=run))  # pyright: ignore
    monkeypatch.setattr(catalogue, "entries", lambda: {"fake": catalogue.Entry("fake", "How fast?", "", 1, 9, False)})
    monkeypatch.setattr(machine, "ceilings", functools.cache(lambda: RATES))
    return state


def test_a_device_that_is_not_there_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]):
    assert command.main(["recurrent", "--device", "tpu"]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1 and "no tpu here: JAX computes on cpu" in said.err


def test_an_unknown_case_is_told_which_there_are(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        command.main(["recurent"])
    assert caught.value.code == 2
    assert "no case is called 'recurent'. There are: accuracy, attention," in capsys.readouterr().err


def test_help_says_what_each_case_measures_and_how_long_it_takes(capsys: pytest.CaptureFixture[str]):
    assert command.main(["--help"]) == 0
    said = capsys.readouterr().out
    assert "Is the recurrent kernel right in float32" in said and "only when named" in said and "exit code" in said
    assert command.main(["recurrent", "--help"]) == 0
    said = capsys.readouterr().out
    assert "A pair-step is one step of one pair" in said and "usage" not in said


def test_a_case_is_kept_in_the_file_and_progress_is_said(
    case: types.SimpleNamespace, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
):
    assert command.main(["--quick", "--json", str(tmp_path / "out.json")]) == 0
    said = capsys.readouterr().out
    assert "=== fake (1 of 1, about 1 s): How fast?" in said and "--- fake took" in said
    assert json.loads((tmp_path / "out.json").read_text())["cases"]["fake"]["rows"][0]["ratio"] == 2.0


def test_a_case_that_breaks_is_named_and_the_code_is_1(case: types.SimpleNamespace, capsys: pytest.CaptureFixture[str]):
    case.broken = True
    assert command.main(["fake", "--quick"]) == 1
    assert "broke: fake" in capsys.readouterr().out


def test_a_row_that_fell_in_three_runs_is_an_error_and_one_that_came_back_is_not(
    case: types.SimpleNamespace, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
):
    words = ["--quick", "--against", str(tmp_path / "old.json")]
    command.main(["--quick", "--json", str(tmp_path / "old.json")])
    case.runs, case.seconds = 0, [0.7, 0.9, 0.5]
    assert command.main([*words, "--json", str(tmp_path / "new.json")]) == 0
    assert case.runs == 3
    assert json.loads((tmp_path / "new.json").read_text())["cases"]["fake"]["rows"][0]["ours"] == 0.5  # the best run
    case.runs, case.seconds = 0, [0.7, 0.9, 0.8]
    assert command.main(words) == 1
    said = capsys.readouterr().out
    assert "FELL fake: Speed: a call" in said and "0.71x" in said


def test_results_of_which_no_row_is_measured_are_no_comparison(
    case: types.SimpleNamespace, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
):
    old = tmp_path / "old.json"
    command.main(["--quick", "--json", str(old)])
    old.write_text(old.read_text().replace('"Speed', '"Haste'))
    assert command.main(["--quick", "--against", str(old)]) == 2
    assert f"nothing was compared: no row above has a name of {old}" in capsys.readouterr().out


def test_a_folder_without_this_kind_of_machine_is_compared_with_nothing(
    case: types.SimpleNamespace, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
):
    assert command.main(["--quick", "--against", str(tmp_path)]) == 0
    assert "compared with nothing" in capsys.readouterr().out


def test_files_that_cannot_be_read_or_added_to_are_one_line_and_exit_code_2(
    case: types.SimpleNamespace, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "old.json").write_text("{}")
    (tmp_path / "folder.json").mkdir()
    for words in (["--against", str(tmp_path / "old.json")], ["--against", str(tmp_path / "none.json")],
                  ["--json", str(tmp_path / "old.json")], ["--json", str(tmp_path / "old.json" / "new.json")],
                  ["--json", str(tmp_path / "folder.json")]):  # fmt: skip
        assert command.main(["--quick", *words]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert case.runs == 0


def test_every_case_has_a_question_and_its_times():
    for name, entry in catalogue.entries().items():
        assert entry.question.endswith("?") and entry.text, name
        assert 0 < entry.quick <= entry.full, name
    assert records.RESULTS.name == "results"
