"""Does a device hold no more of the prepared examples than it may, and each tile find its own?"""

from __future__ import annotations

import jax
import numpy as np
import pytest
from jax.sharding import Mesh

import ntkseq
from ntkseq import _memory, _meshes, kernels
from ntkseq.grams import panels, sides

MESH = Mesh(np.array(jax.devices()[:1]), ("a",))
KERNEL = kernels.Dense(sigma_w=1.4)
RNG = np.random.default_rng(0)
X = RNG.standard_normal((50, 3)).astype(np.float32)
X2 = RNG.standard_normal((21, 3)).astype(np.float32)


@pytest.mark.slow(cases=["0.0-None", "0.0-x21", "0.5-None", "0.5-x21"])
@pytest.mark.parametrize("x2", [None, X2])
@pytest.mark.parametrize("part", [0.0, 0.5, 0.9])
def test_panels_keep_to_the_budget_and_hold_each_tile_once(x2, part, monkeypatch):
    pair = sides.prepare(KERNEL, X, x2, None, None)
    task, _ = pair.task(4, 1)
    most = int(part * (panels.size(pair.left) + (0 if x2 is None else panels.size(pair.right))))
    monkeypatch.setattr(panels, "budget", lambda mesh: most)
    found = list(panels.of(task, _meshes.flat(MESH), task.plan.pairs))
    assert len(found) > 1
    assert sorted(np.concatenate([panel.pairs for panel in found]).tolist()) == task.plan.pairs.tolist()
    shapes = {tuple(leaf.shape for leaf in jax.tree.leaves((panel.left, panel.right))) for panel in found}
    assert len(shapes) == 1  # one program
    least = 2 * panels.size(pair.left) * 4 / 50  # two blocks of four examples have to lie there
    assert all(panels.size(p.left) + panels.size(p.right) <= max(most, least) for p in found)


@pytest.mark.slow
@pytest.mark.parametrize("x2", [None, X2])
def test_streamed_examples_give_the_same_matrix_and_the_same_products(x2, monkeypatch):
    V = RNG.standard_normal((50 if x2 is None else 21, 3))
    K, L = ntkseq.gram(KERNEL, X, x2, tile=4), ntkseq.lazy(KERNEL, X, x2, tile=4)
    monkeypatch.setattr(panels, "budget", lambda mesh: panels.size(L.sides.left) // 3)
    np.testing.assert_array_equal(np.asarray(ntkseq.gram(KERNEL, X, x2, tile=4, mesh=MESH)), np.asarray(K))
    streamed = ntkseq.lazy(KERNEL, X, x2, tile=4, mesh=MESH)
    np.testing.assert_allclose(streamed.times(V), L.times(V), rtol=1e-12, atol=1e-11)
    assert streamed.norm_fro() == pytest.approx(L.norm_fro(), rel=1e-12)


def test_devices_of_the_host_share_its_memory(monkeypatch):
    monkeypatch.setattr(_memory, "available", lambda device: 8000)
    assert panels.budget(_meshes.flat(MESH)) == 2000


def test_examples_that_might_fill_a_device_are_prepared_on_the_host(monkeypatch):
    monkeypatch.setattr(_memory, "available", lambda device: 4 * X.nbytes)

    assert panels.home(MESH, {"a": X, "b": X}) == jax.devices()[0]  # it is the host
    device = type("Device", (), {"platform": "gpu"})()
    monkeypatch.setattr(_meshes, "first", lambda mesh: device)
    assert panels.home(MESH, X) is device
    assert panels.home(MESH, {"a": X, "b": X}).platform == "cpu"
