import functools
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntkseq
from ntkseq import empirical, kernels
from ntkseq.data import tasks
from ntkseq.grams import executors
from tests.executors import Killing, Sending, inputs

KERNEL = kernels.Recurrent(sigma_w=1.4, sigma_b=0.2)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Matrices of some examples are dealt in as many blocks as large ones."""
    monkeypatch.setattr(executors, "SHORTEST", 1.0)


def same(one, two) -> None:
    np.testing.assert_array_equal(np.asarray(one), np.asarray(two))
    assert (one.symmetric, one.rounding, one.entrywise) == (two.symmetric, two.rounding, two.entrywise)


@pytest.mark.slow
@pytest.mark.parametrize("made", [Sending, functools.partial(ThreadPoolExecutor, 2)])
def test_a_matrix_by_an_executor_has_the_bits_of_one_process(made):
    x, lengths, executor = inputs(), np.arange(75) % 5 + 1, made()
    same(
        ntkseq.gram(KERNEL, x, lengths=lengths, tile=8, executor=executor),
        ntkseq.gram(KERNEL, x, lengths=lengths, tile=8),
    )
    same(ntkseq.gram(KERNEL, x, x[:31] + 1, executor=executor), ntkseq.gram(KERNEL, x, x[:31] + 1))
    assert not isinstance(executor, Sending) or len(executor.futures) > 40


@pytest.mark.slow
def test_a_matrix_by_an_executor_is_in_float64_where_the_caller_is(x64):
    x = inputs().astype(np.float64)
    got = ntkseq.gram(KERNEL, x, tile=8, executor=Sending())
    assert got.dtype == np.float64
    same(got, ntkseq.gram(KERNEL, x, tile=8))


@pytest.mark.slow
def test_the_batches_of_a_sampled_kernel_are_tasks():
    kernel, x, executor = kernels.Gated("gru", particles=64), inputs(12, 3), Sending()
    got, wanted = ntkseq.gram(kernel, x, executor=executor), ntkseq.gram(kernel, x)
    assert len(executor.futures) == len(wanted.sampling.batches)
    np.testing.assert_array_equal(got.sampling.batches, wanted.sampling.batches)
    same(got, wanted)


def test_lost_workers_are_one_line_that_says_what_to_do_and_nothing_stays_behind():
    executor = Sending(break_at=3)
    with pytest.raises(OSError, match=r"workers of the executor were lost .*BrokenProcessPool: gone.*Pass store="):
        ntkseq.gram(KERNEL, inputs(), executor=executor)
    assert len(executor.futures) > 4 and all(future.cancelled() for future in executor.futures[4:])


def test_an_interruption_cancels_what_has_not_begun():
    executor = Sending(break_at=3, error=KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        ntkseq.gram(KERNEL, inputs(), executor=executor)
    assert len(executor.futures) > 4 and all(future.cancelled() for future in executor.futures[4:])


def test_a_kernel_of_a_local_function_is_turned_away_and_works_in_threads():
    kernel = empirical.NTK(lambda w, x: jnp.tanh(w @ x), jnp.ones((2, 3)))
    x = inputs(6, 1, 3)[:, 0]
    with pytest.raises(ValueError, match=r"kernel cannot be sent to other processes; got NTK .*top of a module"):
        ntkseq.gram(kernel, x, executor=Sending())
    with ThreadPoolExecutor(1) as threads:
        same(ntkseq.gram(kernel, x, executor=threads), ntkseq.gram(kernel, x))


@pytest.mark.slow
def test_what_no_executor_can_do_is_said_at_the_door():
    few = kernels.Meta(kernels.Dense(), kernels.GD(steps=1, lr=0.1))
    drawn = tasks.sinusoids(3, shots=2, queries=2, key=jax.random.key(0)).inputs
    outputs = empirical.NTK(lambda w, x: w @ x, jnp.ones((2, 3)), outputs="full")
    for kernel, x, words in (
        (KERNEL, 1e19 * inputs(), "overflow"),
        (few, drawn, "got a kernel between few-shot tasks"),
        (outputs, inputs(6, 1, 3)[:, 0], "got a kernel between all outputs"),
    ):
        with pytest.raises(ValueError, match=words):
            ntkseq.gram(kernel, x, executor=Sending())


@pytest.mark.slow
def test_a_worker_of_dask_that_is_killed_is_replaced_and_the_bits_stay():
    distributed = pytest.importorskip("distributed")
    x = inputs(200)
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        before = client.run(os.getpid)
        executor = Killing(client.get_executor(), next(iter(before.values())), after=20)
        same(ntkseq.gram(KERNEL, x, executor=executor), ntkseq.gram(KERNEL, x))
        assert executor.left < 0
        client.wait_for_workers(2)
        assert set(before.values()) != set(client.run(os.getpid).values())


@pytest.mark.slow
def test_processes_compute_the_bits_of_one_process_and_say_when_one_is_killed():
    x = inputs(200)
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as processes:
        same(ntkseq.gram(KERNEL, x, executor=processes), ntkseq.gram(KERNEL, x))
        pid = processes.submit(os.getpid).result()
        with pytest.raises(OSError, match=r"workers of the executor were lost"):
            ntkseq.gram(KERNEL, x, executor=Killing(processes, pid, after=20))


@pytest.mark.slow
def test_an_executor_that_was_shut_down_is_refused_in_one_line(tmp_path):
    gone = ThreadPoolExecutor(1)
    gone.shutdown()
    for options in ({}, {"store": tmp_path / "K"}):
        with pytest.raises(ValueError, match="executor must take tasks; got one that was shut down"):
            ntkseq.gram(kernels.Recurrent(), inputs(20), executor=gone, **options)
