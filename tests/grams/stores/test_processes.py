import os
import signal
import threading
import time

import numpy as np
import pytest

import ntkseq
from ntkseq import grams, kernels
from ntkseq.grams.stores import building, journal, processes
from tests.executors import inputs

KERNEL = kernels.Recurrent(sigma_w=1.4, sigma_b=0.2)
pytestmark = [pytest.mark.slow, pytest.mark.faults]


def filled(path, x, count, said):
    """A store by `count` processes."""

    def fill(*given):
        processes.fill(*given, count=count, say=said.append)

    return building.build(KERNEL, x, None, None, None, store=path, fill=fill)


def kill(path, how_many, after):
    """Kill some of the processes that fill a store, once so many chunks are there and all have written some."""

    def run():
        parts = []
        while len(parts) < how_many or sum(len(part.chunks) for part in parts) < after:
            time.sleep(0.02)
            parts = journal.read(path)
        for part in parts[:how_many]:
            os.kill(part.pid, signal.SIGKILL)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def test_four_processes_one_of_them_killed_make_the_matrix_of_one(tmp_path):
    x, said = inputs(2500, 64), []
    killer = kill(tmp_path, 1, 5)
    K = filled(tmp_path, x, 4, said)
    killer.join()
    assert len(said) == 1 and "(SIGKILL) was lost; 3 go on with its chunks" in said[0]
    assert len(K.missing) == 0 and K.chunks.damaged() == []
    np.testing.assert_array_equal(np.asarray(K), np.asarray(ntkseq.gram(KERNEL, x, tile=K.tile)))


def test_when_all_processes_are_killed_it_is_said_and_what_is_finished_stays(tmp_path):
    x, said = inputs(2500, 64), []
    kill(tmp_path, 2, 6)
    with pytest.raises(OSError, match=r"all processes were lost, the last of them process \d+ \(SIGKILL\)"):
        filled(tmp_path, x, 2, said)
    there = 15 - len(grams.open(tmp_path).missing)
    assert there >= 6
    before = sum(len(part.chunks) for part in journal.read(tmp_path))
    K = ntkseq.gram(KERNEL, x, store=tmp_path)
    assert sum(len(part.chunks) for part in journal.read(tmp_path)) - before == 15 - there and len(K.missing) == 0
