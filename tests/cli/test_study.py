"""Does a study write all of its files or none, also when it is interrupted?"""

from __future__ import annotations

import contextlib
import errno
import importlib
import json
import os
import pathlib
import signal
import sys
import time

import numpy as np
import pytest

from ntkseq import cli, kernels
from ntkseq.studies import Study
from tests.cli.commands import FILES, document_of, names, refused


@pytest.mark.slow
def test_a_study_writes_three_files_and_prints_its_summary(capsys, file):
    assert cli.main(["study", file(), "--read", "last", "--out", "out"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("made: neural tangent kernel study\nDoes this kernel tell class '0' from class '1'")
    assert "kernel matrix 12 x 12" in said.err and "\x1b" not in said.err + said.out
    assert names("out") == FILES and names() == ["made.npz", "out"]
    found = json.loads(pathlib.Path("out/report.json").read_text(), parse_constant=pytest.fail)
    assert {"min_eigenvalue", "effective_rank", "bounds", "prediction"} <= set(found["numbers"])
    assert found["provenance"]["command"] == "ntkseq study made.npz --read last --out out"
    assert "</html>" in pathlib.Path("out/report.html").read_text()
    again = refused(capsys, "study", file(), "--read", "last", "--out", "out")
    assert "holds files" in again and "--overwrite" in again
    document = document_of(capsys, "study", file(), "--read", "last", "--out", "out", "--overwrite")
    assert document.pop("written") == {"folder": "out", "files": ["report.html", "report.json", "arrays.npz"]}
    assert document == json.loads(pathlib.Path("out/report.json").read_text())


@pytest.mark.slow
def test_targets_that_are_numbers_make_a_report_of_squared_errors(capsys, file):
    x = np.random.default_rng(1).normal(size=(16, 3, 1)).astype(np.float32)
    y = x.sum((1, 2)).astype(np.float64)
    path = file(x=x[:12], y=y[:12], x_test=x[12:], y_test=y[12:])
    assert "Regression: pass --targets values" in refused(capsys, "study", path)
    assert cli.main(["study", path, "--targets", "values", "--read", "last", "--out", "out"]) == 0
    said = capsys.readouterr()
    assert "root mean squared test error" in said.out and "class" not in said.out
    assert "made: 12 training and 4 test sequences, t = 3, d = 1, targets from" in said.err
    assert names("out") == ["arrays.npz", "report.html", "report.json"]
    assert "classes picks classes" in refused(capsys, "study", path, "--targets", "values", "--classes", "a", "b")
    assert "an accuracy is one of classes" in refused(capsys, "accuracy", path, "--targets", "values")
    said = refused(capsys, "study", "training", "--source", path, "--targets", "values")
    assert "this study is about classes; got targets that are numbers" in said


def test_options_arrive_in_the_study(monkeypatch):
    asked = []
    monkeypatch.setitem(cli.RUNS, "study", lambda study, output: asked.append(study) or 0)
    words = "study a.npz --classes a b --sigma-w 1.2 --depth 2 --read last --reg 0.1 --n-train 9 --overwrite --train WU"
    assert cli.main(words.split()) == 0
    (got,) = asked
    wanted = Study(
        "a.npz", classes=("a", "b"), sigma_w=1.2, depth=2, read="last", reg=0.1, n_train=9, overwrite=True, train="WU"
    )
    assert got == wanted and got.command == wanted.command


def test_kernels_arrive_in_the_study_and_the_help_lists_every_name(monkeypatch, capsys):
    asked = []
    monkeypatch.setitem(cli.RUNS, "study", lambda study, output: asked.append(study) or 0)
    assert cli.main(["study", "a.npz", "--kernel", "gru:particles=64,dense", "--tune"]) == 0
    assert [one.name for one in asked[0].kernels] == ["gru:particles=64", "dense"] and asked[0].tune
    assert cli.main(["study", "--help"]) == 0
    told = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert not [name for name in kernels.names() if name not in told]


def test_a_place_that_cannot_be_written_is_refused_before_any_work(capsys, file, monkeypatch):
    monkeypatch.setattr("ntkseq.studies.run", lambda *a, **k: pytest.fail("worked"))
    pathlib.Path("plain").write_text("")
    assert "cannot be written" in refused(capsys, "study", file(), "--out", "plain/out")
    assert "is a file; wanted a folder" in refused(capsys, "study", file(), "--out", "plain")


@pytest.mark.slow
def test_a_full_disk_is_answered_in_one_line_and_leaves_nothing(capsys, file, monkeypatch):
    path = file()

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np, "savez_compressed", full)
    assert "No space left on device" in refused(capsys, "study", path, "--read", "last", "--out", "a/b/out")


def test_ctrl_c_ends_with_130_and_leaves_nothing(capsys, file, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("ntkseq.studies.run", interrupted)
    path = file()
    assert cli.main(["study", path]) == 130
    assert "interrupted; nothing was written" in capsys.readouterr().err and names() == [path]


def test_an_interruption_that_became_another_error_ends_with_130(capsys, file, monkeypatch):
    def swallowed(*args, **kwargs):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1.0)
        except KeyboardInterrupt:
            raise RuntimeError("INTERNAL: a callback failed") from None

    monkeypatch.setattr("ntkseq.studies.run", swallowed)
    path = file()
    assert cli.main(["study", path]) == 130
    assert "interrupted; nothing was written" in capsys.readouterr().err and names() == [path]


@pytest.mark.slow
@pytest.mark.parametrize("where", ["between stages", "before the files move"])
def test_an_interruption_that_was_swallowed_is_seen_by_a_flag(capsys, file, monkeypatch, where):
    real, page = (
        sys.modules["ntkseq.studies.tangent.run"].certificates,
        importlib.import_module("ntkseq.reports.page").page,
    )

    def after(result):
        with contextlib.suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1.0)
        return result

    if where == "between stages":
        run = sys.modules["ntkseq.studies.tangent.run"]
        monkeypatch.setattr(run, "certificates", lambda *a, **k: after(real(*a, **k)))
    else:
        monkeypatch.setattr("ntkseq.reports.page.page", lambda report: after(page(report)))
    path = file()
    assert cli.main(["study", path, "--read", "last"]) == 130
    assert "interrupted; nothing was written" in capsys.readouterr().err and names() == [path]


@pytest.mark.slow
def test_an_interruption_after_the_files_stand_says_so(capsys, file, monkeypatch):
    def stopped(report):
        raise KeyboardInterrupt

    monkeypatch.setattr("ntkseq.reports.Sheet.summary", stopped)
    assert cli.main(["study", file(), "--read", "last", "--out", "out"]) == 130
    assert "interrupted after out was written" in capsys.readouterr().err and names("out") == FILES


@pytest.mark.slow
def test_names_reach_the_terminal_without_escape_codes(capsys, file):
    red = "\x1b[31mred"
    y, y_test = (np.array([red, "b\x07l\u202e"])[np.arange(k) % 2] for k in (12, 4))
    assert cli.main(["study", file(f"{red}.npz", y=y, y_test=y_test), "--read", "last", "--out", f"{red}-out"]) == 0
    table = f"x,{red}\n" + "".join(f"{i},{red if i % 2 else 'b'}\n" for i in range(12))
    pathlib.Path("t.csv").write_text(table)
    for words in (["study", "t.csv", "--label", red], ["study", f"no{red}.csv"], [red], ["cite", red]):
        cli.main(words)
    said = capsys.readouterr()
    assert "red" in said.out and "red" in said.err
    assert not [letter for letter in said.out + said.err if letter in "\x1b\x07\u202e"]


@pytest.mark.data
@pytest.mark.parametrize(
    "path", ["ucr/GunPoint.npz", "ucr/SyntheticControl.npz", "ucr/JapaneseVowels.npz", "uci/iris.npz"]
)
def test_a_study_of_real_data_beats_the_majority(data_dir, path):
    assert cli.main(["study", str(data_dir / path), "--read", "last", "--out", "out"]) == 0
    prediction = json.loads(pathlib.Path("out/report.json").read_text())["numbers"]["prediction"]
    assert prediction["test_interval"][1] < 0.5 * prediction["majority_error"] or prediction["test_error"] < 0.1
