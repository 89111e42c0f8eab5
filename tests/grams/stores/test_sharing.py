import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import ntkseq
from ntkseq import kernels
from ntkseq.grams.stores import building, journal, sharing
from tests.executors import free_port, inputs

KERNEL = kernels.Recurrent(sigma_w=1.4, sigma_b=0.2)


def filled(path, x, processes, count):
    """What some of `count` processes make of a store, here in threads; their errors."""
    errors = []

    def one(index):
        try:
            building.build(KERNEL, x, None, None, None, store=path, workers=1, among=(index, count))
        except Exception as error:
            errors.append(error)

    running = [threading.Thread(target=one, args=(index,)) for index in processes]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return errors


@pytest.mark.slow(but=["processes1"])
@pytest.mark.parametrize("processes", [(0, 1, 2, 3), (2, 0)])
def test_processes_that_share_a_store_finish_it_and_the_work_of_those_that_died(tmp_path, processes):
    x = inputs(300)
    assert filled(tmp_path, x, processes, 4) == []
    K = ntkseq.grams.open(tmp_path)
    np.testing.assert_array_equal(np.asarray(K), np.asarray(ntkseq.gram(KERNEL, x, tile=K.tile, workers=1)))


@pytest.mark.slow
def test_processes_that_share_a_store_extend_and_mend_it(tmp_path):
    x = inputs(300)
    ntkseq.gram(KERNEL, x[:250], store=tmp_path)
    (tmp_path / "c" / "0" / "0").write_bytes(b"damaged")
    assert filled(tmp_path, x, (0, 1), 2) == []
    K = ntkseq.grams.open(tmp_path)
    np.testing.assert_array_equal(np.asarray(K), np.asarray(ntkseq.gram(KERNEL, x, tile=K.tile, workers=1)))


@pytest.mark.slow
def test_a_store_that_nobody_begins_is_given_up_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(sharing, "WAIT", 0.2)
    (error,) = filled(tmp_path / "K", inputs(), (1,), 2)
    assert isinstance(error, OSError) and "no process has begun the store" in str(error)


def test_the_notes_of_a_killed_process_are_read_as_far_as_they_go(tmp_path):
    journal.begin(tmp_path)
    journal.note(tmp_path, 3, 4)
    (tmp_path / journal.FOLDER / "other.host-12").write_bytes(b"1 2\n5 6\n7")
    (tmp_path / journal.FOLDER / "no note").write_bytes(b"1 2\n")
    found = {part.pid: part.chunks for part in journal.read(tmp_path)}
    assert found.pop(12) == ((1, 2), (5, 6)) and list(found.values()) == [((3, 4),)]


PROGRAM = """
import sys
import jax
address, index, path = sys.argv[1], int(sys.argv[2]), sys.argv[3]
jax.distributed.initialize(address, 4, index, heartbeat_timeout_seconds=10, shutdown_timeout_seconds=10)
import numpy as np
import ntkseq
from ntkseq import kernels
x = np.random.default_rng(0).standard_normal((2500, 64, 2)).astype(np.float32)
K = ntkseq.gram(kernels.Recurrent(sigma_w=1.4, sigma_b=0.2), x, store=path, workers=1)
print("whole", len(K.missing), flush=True)
"""


@pytest.mark.slow
@pytest.mark.faults
def test_of_four_processes_under_jax_distributed_one_is_killed_and_none_hangs(tmp_path):
    path, address = tmp_path / "K", f"127.0.0.1:{free_port()}"
    running = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, address, str(index), str(path)], stdout=-1, stderr=-3, text=True
        )
        for index in range(4)
    ]
    while all(one.poll() is None for one in running) and sum(len(part.chunks) for part in journal.read(path)) < 2:
        time.sleep(0.05)
    running[3].kill()
    died = time.monotonic()
    said = [one.communicate(timeout=120)[0] for one in running]
    assert time.monotonic() - died < 100, "the slowest of them; under load most of it is work"
    assert all(text in ("", "whole 0\n") for text in said[:3]) and said[3] == ""
    x = inputs(2500, 64)  # whoever is left may have been ended by JAX: the next call goes on
    before = set(map(tuple, ntkseq.grams.open(path).missing.tolist()))
    K = ntkseq.gram(KERNEL, x, store=path)
    mine = [chunk for part in journal.read(path) if part.pid == os.getpid() for chunk in part.chunks]
    assert set(mine) == before and len(mine) == len(before)
    np.testing.assert_array_equal(np.asarray(K), np.asarray(ntkseq.gram(KERNEL, x, tile=K.tile, workers=1)))
