"""Is a Gram matrix from the devices of a mesh that of one device? With several: tests/test_devices.py."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
from jax.sharding import Mesh

import ntkseq
from ntkseq import _devices, _meshes, empirical, grams, kernels
from ntkseq.grams import host, meshes, sides

MESH = Mesh(np.array(jax.devices()[:1]), ("a",))
KERNEL = kernels.Recurrent(sigma_w=1.4)
RNG = np.random.default_rng(0)
X = RNG.standard_normal((21, 4, 2)).astype(np.float32)
X2 = RNG.standard_normal((10, 4, 2)).astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("x2", [None, X2])
def test_the_matrix_is_bit_by_bit_that_without_a_mesh(x2):
    K, dealt = (ntkseq.gram(KERNEL, X, x2, tile=4, mesh=mesh) for mesh in (None, MESH))
    np.testing.assert_array_equal(np.asarray(dealt), np.asarray(K))
    assert (dealt.rounding, dealt.entrywise, dealt.symmetric) == (K.rounding, K.entrywise, K.symmetric)
    assert grams.as_gram(dealt.array).entrywise == K.entrywise  # the array itself says so, too


@pytest.mark.slow
def test_where_the_first_device_holds_the_matrix_tiles_are_put_together_there(monkeypatch):
    want = np.asarray(ntkseq.gram(KERNEL, X, tile=4))
    monkeypatch.setattr(_devices, "on_cpu", lambda x: False)
    monkeypatch.setattr(_meshes, "is_cpu", lambda mesh: False)
    np.testing.assert_array_equal(np.asarray(ntkseq.gram(KERNEL, X, tile=4, mesh=MESH)), want)


@pytest.mark.slow(cases=["16"])
@pytest.mark.parametrize("entries", [16, 64, 1 << 19])
def test_blocks_are_the_tiles_of_the_plan_each_once(entries, monkeypatch):
    monkeypatch.setattr(meshes, "_ROUND_ENTRIES", entries)  # one batch in a round, some, all
    pair = sides.prepare(KERNEL, X, None, None, None)
    task, _ = pair.on(_meshes.flat(MESH)).task(4, None)
    values, seen = host.Values(task), []
    for pairs, block in meshes.blocks(task, _meshes.flat(MESH)):
        values.write(pairs, block)
        seen += pairs.tolist()
    assert sorted(seen) == task.plan.pairs.tolist()
    array, finite = values.complete()
    assert finite
    np.testing.assert_array_equal(np.asarray(array), np.asarray(ntkseq.gram(KERNEL, X, tile=4)))


def test_a_part_of_the_tiles_can_be_asked_for_and_none_of_them():
    task, _ = sides.prepare(KERNEL, X, None, None, None).on(_meshes.flat(MESH)).task(4, None)
    some = task.plan.pairs[3:8]
    assert (
        np.concatenate([pairs for pairs, _ in meshes.blocks(task, _meshes.flat(MESH), some)]).tolist() == some.tolist()
    )
    assert list(meshes.blocks(task, _meshes.flat(MESH), some[:0])) == []


def test_a_bar_counts_all_batches_whatever_comes_at_once():
    pair = sides.prepare(KERNEL, X, None, None, None).on(_meshes.flat(MESH))
    ticks: list[int] = []
    pair.values(4, None, ticks.append)
    assert sum(ticks) == pair.task(4, None)[0].plan.calls


def test_values_that_overflow_are_refused():
    with pytest.raises(ValueError, match="overflow float32"):
        ntkseq.gram(kernels.Recurrent(sigma_w=1e4), 1e30 * X, mesh=MESH)


def test_workers_beside_a_mesh_and_a_kernel_of_all_outputs_are_refused():
    with pytest.raises(ValueError, match=r"^workers are threads of one device; got workers=2 and a mesh"):
        ntkseq.gram(KERNEL, X, workers=2, mesh=MESH)
    network = empirical.NTK(lambda W, x: W @ x.reshape(-1), np.ones((2, 8), np.float32), outputs="full")
    with pytest.raises(ValueError, match=r"^mesh deals tiles of one number .*got outputs=.full."):
        ntkseq.gram(network, X, mesh=MESH)


def test_devices_that_share_a_memory_share_what_a_method_may_use():
    network = empirical.NTK(
        lambda W, x: W @ x.reshape(-1), np.ones((2, 8), np.float32), method=empirical.Jacobian(memory=900)
    )
    both: Any = (2.0 * network + network).beside(4)
    assert both.first.kernel.method.memory == both.second.method.memory == 225
    assert kernels.Meta(network).beside(4).base.method.memory == 225
    free: Any = network.with_(method=empirical.Jacobian()).beside(4)
    assert free.method.memory is None and KERNEL.beside(4) is KERNEL
