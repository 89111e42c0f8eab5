import os
import pickle

import numpy as np
import pytest

import ntkseq
from ntkseq import grams, kernels
from ntkseq.grams import executors
from ntkseq.grams.stores import dealing, journal
from tests.executors import Killing, Sending, inputs

KERNEL = kernels.Recurrent(sigma_w=1.4, sigma_b=0.2)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(executors, "SHORTEST", 1.0)


def test_a_store_that_workers_fill_has_the_bits_of_one_process_and_only_indices_travel(tmp_path):
    x, executor = inputs(300), Sending()
    K = ntkseq.gram(KERNEL, x, store=tmp_path / "K", executor=executor)
    np.testing.assert_array_equal(np.asarray(K), np.asarray(ntkseq.gram(KERNEL, x, tile=K.tile)))
    assert len(executor.futures) == len(K.chunks.layout.chunks) == 15
    assert all(future.result() is None for future in executor.futures)
    assert sorted(name.name for name in (tmp_path / "K").iterdir() if name.suffix == ".part") == []


def test_a_store_whose_workers_were_lost_keeps_what_is_finished_and_goes_on(tmp_path, monkeypatch):
    x = inputs(300)
    with pytest.raises(OSError, match=r"workers of the executor were lost .*The same call goes on"):
        ntkseq.gram(KERNEL, x, store=tmp_path, executor=Sending(break_at=6))
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "c").rglob("[0-9]*") if file.is_file()}
    assert len(before) == 6 and len(grams.open(tmp_path).missing) == 9
    executor = Sending()
    K = ntkseq.gram(KERNEL, x, store=tmp_path, executor=executor)
    assert len(executor.futures) == 9 and all(file.stat().st_mtime_ns == then for file, then in before.items())
    np.testing.assert_array_equal(np.asarray(K), np.asarray(ntkseq.gram(KERNEL, x, tile=K.tile)))
    assert sum(len(part.chunks) for part in journal.read(tmp_path)) == 15


def test_a_worker_that_does_not_see_the_store_says_so(tmp_path):
    with pytest.raises(OSError, match=r"a worker does not find .* under one path"):
        dealing.Examples(tmp_path / "elsewhere", "0").read()
    (tmp_path / "other").write_bytes(pickle.dumps("other"))
    with pytest.raises(OSError, match="is not what was written there"):
        dealing.Examples(tmp_path / "other", "0").read()


@pytest.mark.slow
@pytest.mark.faults
def test_a_worker_that_is_killed_under_dask_loses_no_chunk(tmp_path):
    distributed = pytest.importorskip("distributed")
    x = inputs(2000, 8)
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        pids = client.run(os.getpid)
        executor = Killing(client.get_executor(), next(iter(pids.values())), after=9)
        K = ntkseq.gram(KERNEL, x, store=tmp_path, executor=executor)
        assert executor.left < 0
    assert len(K.missing) == 0 and K.chunks.damaged() == []
    np.testing.assert_array_equal(np.asarray(K), np.asarray(ntkseq.gram(KERNEL, x, tile=K.tile)))
    written = [chunk for part in journal.read(tmp_path) for chunk in part.chunks]
    # the two tasks that the workers were at: what they had finished is not there twice
    assert len(set(written)) == len(K.chunks.layout.chunks) and len(written) <= len(set(written)) + 2
