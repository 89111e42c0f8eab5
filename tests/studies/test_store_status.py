import os
import time

import numpy as np
import pytest

import ntkseq
from ntkseq import kernels
from ntkseq.grams.stores import claims, journal
from ntkseq.studies import Status, status

KERNEL = kernels.Recurrent(sigma_w=1.4)


@pytest.fixture
def store(tmp_path):
    x = np.random.default_rng(0).standard_normal((300, 3, 1)).astype(np.float32)
    return ntkseq.gram(KERNEL, x, store=tmp_path / "K")


def told(K, **asked) -> dict[str, str]:
    """What the lines say, by the word in front of each."""
    return {line[:13].strip(): line[14:] for line in status(Status(str(K.path), **asked))}


@pytest.mark.slow
def test_a_finished_store_says_so_and_who_did_it(store):
    found = told(store)
    assert found["done"].startswith("15 of 15 chunks (100.0 %)") and "finished" in found
    assert f"process {os.getpid()}: 15" in found["by"] and "damaged" not in found and "rate" not in found
    assert "none" in told(store, verify=True)["damaged"]


@pytest.mark.slow
def test_rate_and_time_left_come_from_the_times_of_the_chunks(store, monkeypatch):
    for k, (i, j) in enumerate(store.chunks.layout.chunks.tolist()):
        os.utime(store.chunks.file(i, j), (1e9 + 4 * k,) * 2)  # one in four seconds
    for i, j in ((0, 3), (4, 4)):
        store.chunks.drop(i, j)
    found = told(store)
    assert found["done"].startswith("13 of 15") and "nobody fills it" in found["stopped"] and "time left" not in found
    with claims.claimed(store.path):
        found = told(store)
    # the first chunk at 0 s, the last at 52 s: 12 steps
    assert found["rate"].startswith("0.231 chunks per second") and found["time left"] == "9 s"
    assert found["filled by"].startswith(f"process {os.getpid()} on ")


def test_a_store_that_was_stopped_a_moment_ago_promises_no_time(store):
    for k, (i, j) in enumerate(store.chunks.layout.chunks.tolist()):
        os.utime(store.chunks.file(i, j), (time.time() - 20 + k,) * 2)
    store.chunks.drop(4, 4)
    found = told(store)
    assert "time left" not in found and "stopped, or others finish" in found["not held"]


def test_damaged_chunks_are_named(store):
    file = store.chunks.file(1, 2)
    file.write_bytes(file.read_bytes()[:-9] + b"123456789")
    assert told(store, verify=True)["damaged"].startswith("(1, 2); the command that began it")


def test_notes_of_many_processes_are_summed_by_machine(store):
    for pid in range(9):
        (store.path / journal.FOLDER / f"other-{pid}").write_text("0 0\n1 1\n")
    assert "other: 18 chunks (" in "\n".join(status(Status(str(store.path))))
    assert ", 1 more)" in "\n".join(status(Status(str(store.path))))


def test_what_is_no_store_is_said(tmp_path):
    with pytest.raises(ValueError, match="holds no stored Gram matrix"):
        status(Status(str(tmp_path)))
