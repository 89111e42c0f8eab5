"""Does the command line do what it says, in one line where it cannot, and leave nothing half-written?"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import importlib
import json
import os
import pathlib
import pickle
import re
import signal
import subprocess
import sys
import time
import types
import zipfile

import numpy as np
import pytest

from ntkseq import _commands, bounds, cli, grams, kernels
from ntkseq.grams.stores import journal
from ntkseq.reports import Sheet
from ntkseq.studies import Study, named
from ntkseq.studies.base import NamedStudy
from tests.executors import free_port
from tests.reports import runs

FILES = ["arrays.npz", "report.html", "report.json"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def file(tmp_path):
    def made(name="made.npz", **changes):
        x = np.random.default_rng(0).normal(size=(16, 3, 1)).astype(np.float32)
        arrays = {"x": x[:12], "y": np.arange(12) % 2, "x_test": x[12:], "y_test": np.arange(4) % 2} | changes
        np.savez(tmp_path / name, **{k: v for k, v in arrays.items() if v is not None})
        return name

    return made


def names(folder=".") -> list[str]:
    return sorted(path.name for path in pathlib.Path(folder).iterdir())


def refused(capsys, *words: str) -> str:
    """The one line that is said when a command is refused."""
    before = names()
    assert cli.main(words) == 2
    said = capsys.readouterr()
    assert said.out == "" and names() == before
    lines = [line for line in said.err.splitlines() if line.startswith("ntkseq: ")]
    assert len(lines) == 1 and said.err.rstrip().endswith(lines[0]) and "Traceback" not in said.err
    return lines[0]


def document_of(capsys, *words: str) -> dict:
    """The JSON document of a command that is told to be quiet, and is."""
    assert cli.main([*words, "--json", "--quiet"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    return json.loads(said.out, parse_constant=pytest.fail)


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


@pytest.fixture
def nothing_computed(monkeypatch):
    """The first kernel matrix or spectrum ends the command."""

    def computed(*args, **kwargs):
        raise ValueError("computed")

    for module, name in (("tangent.fits", "gram"), ("accuracies", "gram"), ("stored_grams", "spectrum")):
        monkeypatch.setattr(sys.modules[f"ntkseq.studies.{module}"], name, computed)


def said_before(capsys, *words: str) -> list[str]:
    """What a command says on standard error before it computes."""
    assert cli.main(words) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.rstrip().endswith("ntkseq: computed")
    return [line.strip() for line in said.err.splitlines()]


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


def test_a_matrix_is_described_before_its_spectrum(capsys, nothing_computed):
    np.savez("k.npz", K=np.eye(3), rounding=0.25)
    assert said_before(capsys, "spectrum", "k.npz")[0] == (
        "k.npz, array 'K': 3 x 3, float64, rounding 0.25, no missing or infinite values"
    )


@pytest.mark.slow
def test_a_kernel_matrix_is_stored_gone_on_with_looked_at_and_read(capsys, file):
    path = file()
    assert cli.main(["gram", path, "--store", "K", "--read", "last", "--part", "all"]) == 0
    said = capsys.readouterr()
    assert (
        said.err.splitlines()[0].strip().startswith("Dataset(made: 12 examples + 4 test")
    )  # the data line comes first
    assert said.out.startswith(f"{pathlib.Path('K').absolute()}: 16 x 16, float32") and len(said.out.splitlines()) == 1
    assert cli.main(["status", "K", "--verify"]) == 0
    assert "1 of 1 chunks (100.0 %)" in (out := capsys.readouterr().out) and "damaged       none" in out
    document = document_of(capsys, "gram", path, "--store", "K", "--read", "last", "--part", "all")
    assert document["shape"] == [16, 16] and document["chunks"] == 1
    state = document_of(capsys, "status", "K", "--verify")
    assert state["finished"] and state["damaged"] == [] and state["bytes_done"] == document["bytes"]
    assert cli.main(["spectrum", "K"]) == 0
    assert "least eigenvalue" in (out := capsys.readouterr().out) and "positive definite" in out
    again = refused(capsys, "gram", path, "--store", "K", "--read", "last", "--part", "all", "--sigma-w", "1.5")
    assert "kernel.sigma_w was 1.4 and is 1.5" in again
    assert "array is for files" in refused(capsys, "spectrum", "K", "--array", "A")
    next(pathlib.Path("K/c").rglob("0/0")).unlink()
    assert "K is not finished: 1 of 1 chunks are missing" in refused(capsys, "spectrum", "K")
    assert (state := document_of(capsys, "status", "K"))["chunks_done"] == 0 and state["seconds_left"] is None
    assert cli.main(["status", "K"]) == 0
    assert "0 of 1 chunks" in (out := capsys.readouterr().out) and "nobody fills it, no chunk yet" in out


def started(*words: str) -> subprocess.Popen:
    """The command as a process of its own."""
    command = [sys.executable, "-m", "ntkseq.cli", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def chunks_written(path: str, least: int, running: list[subprocess.Popen]) -> list[journal.Part]:
    """Wait until so many chunks of a store are there; who wrote them."""
    parts: list[journal.Part] = []
    while sum(len(part.chunks) for part in parts) < least:
        assert all(one.poll() is None for one in running), [one.communicate() for one in running if one.poll()]
        time.sleep(0.05)
        parts = journal.read(pathlib.Path(path))
    return parts


@pytest.mark.slow
@pytest.mark.faults
def test_processes_of_a_coordinator_finish_the_matrix_without_one_that_is_killed():
    x = np.random.default_rng(0).normal(size=(2500, 64, 1)).astype(np.float32)
    np.savez("made.npz", x=x, y=np.arange(2500) % 2)
    words = ["gram", "made.npz", "--store", "K", "--read", "last", "--workers", "1"]
    join = ["--coordinator", f"127.0.0.1:{free_port()}", "--num-processes", "4"]
    running = [started(*words, *join, "--process-id", str(index)) for index in range(4)]
    (victim, *_) = chunks_written("K", 3, running)
    os.kill(victim.pid, signal.SIGKILL)
    for one in running:
        out, err = one.communicate(timeout=300)
        if one.pid == victim.pid:
            assert one.returncode == -signal.SIGKILL
        else:
            assert one.returncode == 0 and "K: 2500 x 2500" in out and " of 4" in err
    assert cli.main([*words[:3], "alone", *words[4:]]) == 0
    K, alone = grams.open("K"), grams.open("alone")
    assert len(K.missing) == 0 and K.chunks.damaged() == []
    np.testing.assert_array_equal(np.asarray(K), np.asarray(alone))


@pytest.mark.slow
@pytest.mark.faults
def test_an_interruption_ends_all_processes_and_the_same_command_goes_on():
    x = np.random.default_rng(0).normal(size=(3000, 128, 1)).astype(np.float32)
    np.savez("made.npz", x=x, y=np.arange(3000) % 2)
    words = ["gram", "made.npz", "--store", "K", "--read", "last", "--processes", "2"]
    running = started(*words)
    parts = chunks_written("K", 3, [running])
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=100)
    assert running.returncode == 130
    assert re.search(r"ntkseq: interrupted; K holds \d+ of 21 chunks. The same command goes on with the rest.", err)
    for part in parts:  # they are gone as well
        with pytest.raises(ProcessLookupError):
            os.kill(part.pid, 0)
    there = 21 - len(grams.open("K").missing)
    assert cli.main(words[:-2]) == 0
    (mine,) = [part for part in journal.read(pathlib.Path("K")) if part.pid == os.getpid()]
    assert len(mine.chunks) == 21 - there


@pytest.mark.slow
def test_an_interrupted_store_says_how_far_it_is(capsys, file, monkeypatch):
    def stop(*given):
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["ntkseq.grams.stores.filling"], "fill", stop)
    assert cli.main(["gram", file(), "--store", "K"]) == 130
    said = capsys.readouterr()
    assert said.err.rstrip().endswith(
        "ntkseq: interrupted; K holds 0 of 1 chunks. The same command goes on with the rest."
    )


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


@pytest.mark.slow(
    cases=[
        "study digits --classes 3 x-no class 'x'; the classes are 0, 1",
        "study digits --read never-Expected one of ('last', 'mean', 'sum', 'steps')",
    ]
)
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            "",
            "wanted a command; got ''. There are study, gram, status, spectrum, bound, track, report, accuracy, cite,",
        ),
        ("spectra k.npz", "no command 'spectra'. Did you mean spectrum? There are study,"),
        ("bound k.npz", "k.npz: no such file"),
        ("study digits --target label", "--target"),
        ("study digits --options none.toml", "none.toml: No such file"),
        ("study", "missing SOURCE. See ntkseq study --help."),
        ("study digits --nope", "--nope"),
        ("study digits --sigma-w x", "--sigma-w: could not convert string to float: 'x'"),
        ("study digits --kernel gruu", "no kernel 'gruu'. Did you mean gru?"),
        ("study digits --kernel leaky --depth 2", "kernel 'leaky' has no depth; got 2."),
        ("gram digits --store K --kernel gru,lstm", "kernel must be one; got 2: gru, lstm."),
        ("study digits --sigma-w -1", "sigma_w must be a finite standard deviation >= 0; got -1.0"),
        ("study digits --reg x", "--reg: no type matching FLOAT could be instantiated from ['x']"),
        ("study digits --read never", "Expected one of ('last', 'mean', 'sum', 'steps')"),
        ("study digits --delta 2", "delta must lie strictly between 0 and 1"),
        ("study digits --classes 3 x", "no class 'x'; the classes are 0, 1"),
        ("study nope.npz", "nope.npz: no such file"),
        ("study nope.npz --dtype float64", "JAX_ENABLE_X64=1"),
        ("study .", "is a directory"),
        ("accuracy nope.npz", "no such file"),
        ("spectrum nope.npz", "nope.npz: no such file"),
        ("status nope", "holds no stored Gram matrix"),
        ("gram nope.npz", "missing --store"),
        ("gram made.npz --store K --coordinator here", "coordinator must be HOST:PORT, or auto; got 'here'"),
        ("spectrum", "missing FILE. See ntkseq spectrum --help."),
        ("spectrum k.npz --method fast", "auto"),
        ("report nope.npz", "nope.npz: no such file"),
        ("report", "missing FILE. See ntkseq report --help."),
        ("report nope.pickle", "wanted a history as .npz or .json"),
        ("cite nope", "unknown reference key 'nope'"),
    ],
)
def test_bad_arguments_are_answered_in_one_line(capsys, words: str, said: str):
    assert said in refused(capsys, *words.split())


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


def test_without_the_extra_the_command_to_install_it_is_named(capsys, monkeypatch):
    real = cli.util.find_spec
    monkeypatch.setattr(cli.util, "find_spec", lambda name: None if name in ("tyro", "rich") else real(name))
    assert 'needs tyro, rich. Run: pip install "ntkseq[study]"' in refused(capsys, "study", "digits")


def test_a_doubt_about_a_file_is_a_note_of_one_line(capsys):
    cli._noted(UserWarning("a.npz: two\n lines. Pass layout='nct'."), UserWarning, "cli.py", 1)
    assert capsys.readouterr().err == "ntkseq: note: a.npz: two lines. Pass --layout nct.\n"


def test_an_error_of_many_lines_becomes_one():
    assert cli._message(ValueError("a\n  b")) == "a b"
    assert cli._message(FileNotFoundError(2, "No such file", "x")) == "x: No such file"


def test_cite_prints_bibtex(capsys):
    assert cli.main(["cite", "williams1997"]) == 0
    assert capsys.readouterr().out.startswith("@inproceedings{williams1997,")
    assert document_of(capsys, "cite", "williams1997")["williams1997"].startswith("@inproceedings{williams1997,")


def test_help_lists_the_commands_and_loads_nothing_heavy():
    code = "import sys; from ntkseq import cli; cli.main(['--help']); print(sorted({'jax', 'tyro'} & set(sys.modules)))"
    root = pathlib.Path(cli.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, timeout=60)
    assert "Exit codes: 0 done;" in " ".join(done.stdout.split()) and done.stdout.rstrip().endswith("[]")
    for name, one in _commands.COMMANDS.items():
        assert f"{name} " in done.stdout and one.summary in done.stdout


@pytest.mark.parametrize("name", [name for name, one in _commands.COMMANDS.items() if one.record])
def test_the_help_of_a_command_has_its_examples_and_each_of_them_is_understood(capsys, name, monkeypatch):
    assert cli.main([name, "--help"]) == 0
    told = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert f"usage: ntkseq {name}" in told and "--json" in told and "--quiet" in told
    asked = []
    monkeypatch.setitem(cli.RUNS, name, lambda one, output: asked.append(one) or 0)
    monkeypatch.setattr(cli, "_named", lambda name, one, output: asked.append(one) or 0)
    for example in _commands.COMMANDS[name].examples:
        assert example in told and cli.main(example.split()[1:]) == 0
    assert len(asked) == len(_commands.COMMANDS[name].examples)


def test_track_is_the_study_called_training(monkeypatch):
    asked = []
    monkeypatch.setattr(cli, "_named", lambda name, one, output: asked.append((name, one.source, one.quick)) or 0)
    assert cli.main(["track", "a.npz", "--quick"]) == 0 and cli.main(["track"]) == 0
    assert asked == [("training", "a.npz", True), ("training", "digits", False)]


def test_bench_without_its_folder_says_where_it_is(capsys, monkeypatch):
    monkeypatch.setattr(cli.util, "find_spec", lambda name: None if name.startswith("benchmarks") else name)
    assert "Clone the repository and run it there: python -m benchmarks" in refused(capsys, "bench", "--quick")


@pytest.fixture
def stored_matrix():
    """K of 12 examples with its labels in k.npz, K alone in k.npy."""
    A = np.random.default_rng(0).normal(size=(12, 20))
    K = A @ A.T / 20
    np.savez("k.npz", K=K, rounding=1e-6, y=np.arange(12) % 2, classes=np.array(["a", "b"]))
    np.save("k.npy", K)
    return K


def test_the_spectrum_as_a_document_has_its_numbers_by_name(capsys, stored_matrix):
    document = document_of(capsys, "spectrum", "k.npz", "--ridge", "0.5")
    values = np.linalg.eigvalsh(stored_matrix)
    assert document["min_eigenvalue"]["estimate"] == pytest.approx(values[0]) and document["n"] == 12
    assert document["effective_dimension"]["estimate"] == pytest.approx((values / (values + 0.5)).sum())
    assert document["positive_definite"].startswith(("yes", "not proven"))


def test_bounds_are_asked_of_the_matrix_and_the_signs_of_its_labels(capsys, stored_matrix, monkeypatch):
    asked = []

    def table(K, y, **options):
        asked.append((K, y.tolist(), options))
        return bounds.BoundTable({"one": bounds.Bound("one", "expected loss", 0.5, (), ())}, 0.05, len(y), 0.5)

    monkeypatch.setattr(bounds, "table", table)
    signs = [-1.0, 1.0] * 6
    document = document_of(capsys, "bound", "k.npz", "--reg", "0.5", "--delta", "0.01", "--tried", "3")
    assert document["n"] == 12 and document["rows"]["one"]["value"] == 0.5
    K, y, options = asked.pop()
    assert np.array_equal(K, stored_matrix) and float(K.rounding) == 1e-6 and y == signs
    assert options == {"delta": 0.01, "reg": 0.5, "B0": 1.0, "depth": 1, "tried": 3}
    assert "k.npy holds no labels y. Pass --labels FILE" in refused(capsys, "bound", "k.npy")
    np.savez("y.npz", y=np.arange(12) % 2)
    assert cli.main(["bound", "k.npy", "--labels", "y.npz", "--positive", "0", "--reg", "0.5"]) == 0
    said = capsys.readouterr()
    assert asked.pop()[1] == [-one for one in signs] and "12 labels: class '0' is +1, class '1' -1" in said.err
    assert said.out.startswith("Bounds, n = 12, share outside the largest class 0.5")
    np.save("y.npy", np.arange(12) / 8)
    assert cli.main(["bound", "k.npz", "--labels", "y.npy", "--reg", "0.5"]) == 0
    assert asked.pop()[1] == (np.arange(12) / 8).tolist() and "numbers from 0 to 1.375" in capsys.readouterr().err
    assert "positive must be one of a, b; got 'x'" in refused(capsys, "bound", "k.npz", "--positive", "x")
    np.savez("y.npz", y=np.arange(5) % 2)
    assert "12 labels are wanted, one for each row; got (5,)" in refused(capsys, "bound", "k.npy", "--labels", "y.npz")


@pytest.mark.slow
def test_bounds_of_a_stored_matrix_are_those_of_the_library(capsys, stored_matrix):
    document = document_of(capsys, "bound", "k.npz", "--reg", "0.5")
    K = grams.DenseGram(stored_matrix, rounding=1e-6)
    wanted = bounds.table(K, np.where(np.arange(12) % 2 == 1, 1.0, -1.0), reg=0.5).to_dict()
    assert {key: row["value"] for key, row in document["rows"].items()} == {
        key: row["value"] for key, row in wanted["rows"].items()
    }


def test_options_of_a_toml_file_count_behind_those_that_are_typed(capsys, monkeypatch):
    asked = []
    monkeypatch.setitem(cli.RUNS, "study", lambda study, output: asked.append((study, output.quiet)) or 0)
    text = 'sigma_w = 1.2\nclasses = ["a", "b"]\noverwrite = true\ntune = false\nn-train = 9\nquiet = true\n'
    pathlib.Path("o.toml").write_text(text)
    assert cli.main(["study", "a.npz", "--options", "o.toml", "--n-train", "7"]) == 0
    wanted = Study("a.npz", sigma_w=1.2, classes=("a", "b"), overwrite=True, n_train=7)
    assert asked == [(wanted, True)]
    for line, said in [
        ("sigma_v = 1", "o.toml: no option 'sigma_v'. Did you mean sigma_"),
        ("source = 'a.npz'", "It is typed on the command line"),
        ("sigma_w", "o.toml is no TOML"),
        ("kernel = {a = 1}", "kernel must be a value or a list of them"),
        ("sigma_w = 'x'", "could not convert string to float"),
    ]:
        pathlib.Path("o.toml").write_text(line)
        assert said in refused(capsys, "study", "a.npz", "--options", "o.toml")


def test_the_version_is_printed(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("ntkseq ")


@pytest.mark.slow
def test_the_module_is_the_command(tmp_path):
    root = pathlib.Path(cli.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-m", "ntkseq.cli", "cite", "nope"],
        capture_output=True, text=True, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(root)}, timeout=120,
    )  # fmt: skip
    assert done.returncode == 2 and done.stdout == "" and done.stderr.startswith("ntkseq: unknown reference key")


@pytest.mark.data
@pytest.mark.parametrize(
    "path", ["ucr/GunPoint.npz", "ucr/SyntheticControl.npz", "ucr/JapaneseVowels.npz", "uci/iris.npz"]
)
def test_a_study_of_real_data_beats_the_majority(data_dir, path):
    assert cli.main(["study", str(data_dir / path), "--read", "last", "--out", "out"]) == 0
    prediction = json.loads(pathlib.Path("out/report.json").read_text())["numbers"]["prediction"]
    assert prediction["test_interval"][1] < 0.5 * prediction["majority_error"] or prediction["test_error"] < 0.1
