"""Are products on a mesh those of the matrix, in one order? With several devices: tests/test_devices.py."""

from __future__ import annotations

import pickle

import jax
import numpy as np
import pytest
from jax.sharding import Mesh

import ntkseq
from ntkseq import kernels, predictors, spectra
from ntkseq.grams import sweep

MESH = Mesh(np.array(jax.devices()[:1]), ("a",))
KERNEL = kernels.Dense(sigma_w=1.4)
RNG = np.random.default_rng(0)
X = RNG.standard_normal((30, 3)).astype(np.float32)
X2 = RNG.standard_normal((13, 3)).astype(np.float32)


@pytest.mark.slow(but=["262144-x21"])
@pytest.mark.parametrize("x2", [None, X2])
@pytest.mark.parametrize("entries", [64, 1 << 18])
def test_products_are_those_of_one_thread_bit_by_bit(x2, entries, monkeypatch):
    monkeypatch.setattr(sweep, "STRIP_ENTRIES", entries)  # several strips in a row, or one
    V = RNG.standard_normal((30 if x2 is None else 13, 3))
    alone = ntkseq.lazy(KERNEL, X, x2, tile=4, workers=1)
    dealt = ntkseq.lazy(KERNEL, X, x2, tile=4, mesh=MESH)
    np.testing.assert_array_equal(dealt.times(V), alone.times(V))
    np.testing.assert_allclose(
        dealt.times(V), np.asarray(ntkseq.gram(KERNEL, X, x2, tile=4), np.float64) @ V, rtol=1e-11
    )
    assert dealt.norm_fro() == alone.norm_fro()
    np.testing.assert_array_equal(np.asarray(dealt.dense()), np.asarray(alone.dense()))
    np.testing.assert_array_equal(np.asarray(dealt.rows([2, 5])), np.asarray(alone.rows([2, 5])))


@pytest.mark.slow
def test_what_is_made_of_products_runs_on_the_mesh():
    y = np.sign(RNG.standard_normal(30))
    alone, dealt = ntkseq.lazy(KERNEL, X, workers=1), ntkseq.lazy(KERNEL, X, mesh=MESH)
    values = [ntkseq.spectrum(K, spectra.MatrixFree(k=2)).values for K in (alone, dealt)]
    np.testing.assert_array_equal(values[0], values[1])
    fits = [np.asarray(predictors.ridge_cg(K, y, reg=0.1)(np.asarray(K.rows([0, 1])))) for K in (alone, dealt)]
    np.testing.assert_array_equal(fits[0], fits[1])


@pytest.mark.slow
def test_multiples_and_transposes_stay_on_the_mesh_and_a_pickle_leaves_it():
    K = ntkseq.lazy(KERNEL, X, X2, mesh=MESH)
    assert (2.0 * K).sides.mesh == K.T.sides.mesh == K.sides.mesh is not None and "1 devices" not in repr(K)
    again = pickle.loads(pickle.dumps(K))
    assert again.sides.mesh is None
    V = RNG.standard_normal((13, 2))
    np.testing.assert_allclose(again.times(V), K.times(V), rtol=1e-12)
