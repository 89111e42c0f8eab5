"""Are kernel matrices stored, read and bounded from the command line, by one process or several?"""

from __future__ import annotations

import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from ntkseq import bounds, cli, grams
from ntkseq.grams.stores import journal
from tests.cli.commands import document_of, refused, said_before
from tests.executors import free_port


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
    assert asked.pop()[1] == [-one for one in signs] and "12 labels: class '1' is -1, class '0' is +1" in said.err
    assert said.out.startswith("Bounds, n = 12, share outside the largest class 0.5")
    np.save("y.npy", np.arange(12) / 8)
    assert cli.main(["bound", "k.npz", "--labels", "y.npy", "--reg", "0.5"]) == 0
    assert asked.pop()[1] == (np.arange(12) / 8).tolist() and "numbers from 0 to 1.375" in capsys.readouterr().err
    assert "positive must be one of the classes a, b; got 'x'" in refused(capsys, "bound", "k.npz", "--positive", "x")
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
