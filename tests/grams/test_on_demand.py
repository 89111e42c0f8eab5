"""Is a lazy Gram the same matrix as the one that is held, and does it hold nothing?"""

from __future__ import annotations

import inspect
import pickle
import sys
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntkseq
from ntkseq import kernels
from ntkseq.grams import sweep

KERNEL = kernels.Recurrent(sigma_w=1.4, sigma_b=0.2)


def inputs(n: int = 37, t: int = 5, d: int = 2, seed: int = 0) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), (n, t, d))


def held(K: ntkseq.grams.Gram) -> np.ndarray:
    return np.asarray(K.dense(), np.float64)


@pytest.mark.slow
@pytest.mark.parametrize("tile", [4, None, 1, 16, 64])
@pytest.mark.parametrize("workers", [1, 3])
def test_products_are_those_of_the_gram_with_the_same_tiles(tile, workers, monkeypatch):
    monkeypatch.setattr(sweep, "STRIP_ENTRIES", 256)  # several strips in a row
    K = ntkseq.gram(KERNEL, inputs(), tile=tile)
    L = ntkseq.lazy(KERNEL, inputs(), tile=tile, workers=workers)
    V = np.random.default_rng(0).standard_normal((37, 3))
    np.testing.assert_allclose(L.times(V), held(K) @ V, rtol=1e-12, atol=1e-11)
    np.testing.assert_allclose(L.times(V[:, 0]), held(K) @ V[:, 0], rtol=1e-12, atol=1e-11)
    np.testing.assert_array_equal(held(L), held(K))
    assert L.norm_fro() == pytest.approx(np.linalg.norm(held(K)), rel=1e-12)
    assert L.rounding == K.rounding and L.dtype == K.dtype and L.shape == K.shape and L.symmetric


@pytest.mark.slow
def test_the_norm_is_known_without_a_product_first():
    assert ntkseq.lazy(KERNEL, inputs()).norm_fro() == pytest.approx(
        np.linalg.norm(held(ntkseq.gram(KERNEL, inputs())))
    )


@pytest.mark.slow
@pytest.mark.parametrize("n", [1, 65, 2, 64])
def test_any_number_of_examples_works(n: int):
    V = np.eye(n)
    np.testing.assert_allclose(
        ntkseq.lazy(KERNEL, inputs(n)).times(V), held(ntkseq.gram(KERNEL, inputs(n))), rtol=1e-14
    )


@pytest.mark.slow
def test_a_cross_gram_is_multiplied_as_it_is():
    K, L = (make(KERNEL, inputs(20), inputs(33, seed=1), tile=4) for make in (ntkseq.gram, ntkseq.lazy))
    V = np.random.default_rng(0).standard_normal((33, 2))
    np.testing.assert_allclose(L.times(V), held(K) @ V, rtol=1e-12, atol=1e-11)
    assert L.norm_fro() == pytest.approx(np.linalg.norm(held(K)))
    assert not L.symmetric and L.shape == (20, 33) and L.rounding == K.rounding
    with pytest.raises(ValueError, match="diagonal of a cross Gram"):
        L.diag()


@pytest.mark.slow
def test_ragged_sequences_and_an_own_initial_state_count_as_in_the_gram():
    kernel = KERNEL.with_(h0="independent", sigma_h=0.7)
    lengths = jnp.arange(37) % 5 + 1
    K, L = (make(kernel, inputs(), lengths=lengths, tile=8) for make in (ntkseq.gram, ntkseq.lazy))
    np.testing.assert_allclose(L.times(np.eye(37)), held(K), rtol=1e-14)


@pytest.mark.slow
def test_rows_hold_the_exact_diagonal():
    kernel = KERNEL.with_(h0="independent", sigma_h=0.7)
    L, K = ntkseq.lazy(kernel, inputs(), tile=8), held(ntkseq.gram(kernel, inputs()))
    which = np.array([30, 2, 2])
    np.testing.assert_allclose(L.rows(which), K[which], rtol=3e-6)
    np.testing.assert_array_equal(np.asarray(L.rows(which))[np.arange(3), which], K[which, which].astype(np.float32))
    np.testing.assert_allclose(L.rows(slice(0, 2)), K[:2], rtol=3e-6)


@pytest.mark.slow
def test_float64_stays_float64_in_threads(x64):
    x = np.asarray(inputs(40), np.float64)
    L = ntkseq.lazy(KERNEL, x, tile=4, workers=3)
    assert L.dtype == np.float64
    np.testing.assert_allclose(L.times(np.eye(40)), KERNEL(x), rtol=1e-13)


def test_mv_is_the_product_for_jax():
    L = ntkseq.lazy(KERNEL, inputs())
    v = jnp.ones(37)
    assert L.mv(v).dtype == v.dtype
    np.testing.assert_allclose(L.mv(v), held(L) @ np.ones(37), rtol=1e-6)


def test_the_same_product_twice_is_the_same_to_the_last_bit_and_compiles_nothing():
    L = ntkseq.lazy(KERNEL, inputs(), tile=4, workers=3)
    V = np.random.default_rng(0).standard_normal((37, 2))
    first = L.times(V)
    compiled = sweep.strip_of.wide._cache_size(), sweep.products._cache_size()  # pyright: ignore
    np.testing.assert_array_equal(L.times(V), first)
    assert (sweep.strip_of.wide._cache_size(), sweep.products._cache_size()) == compiled  # pyright: ignore


def test_a_large_lazy_gram_becomes_an_array_only_on_request(monkeypatch):
    monkeypatch.setattr(sys.modules["ntkseq.grams.protocol"], "IMPLICIT", 1000)
    L = ntkseq.lazy(KERNEL, inputs())
    for turn in (np.asarray, jnp.asarray):
        with pytest.raises(ValueError, match=r"lazy, and as an array it takes 5.3 KiB.*call .dense\(\)"):
            turn(L)
    assert L.dense().shape == (37, 37)


@pytest.mark.parametrize(
    ("V", "message"),
    [
        (np.ones(36), r"V must be a vector \(37,\) or a block \(37, k\), .*; got shape \(36,\)"),
        (np.ones((37, 2, 2)), r"got shape \(37, 2, 2\)"),
        (np.full(37, np.nan), "V must be finite"),
    ],
)
def test_bad_vectors_are_turned_away(V, message: str):
    with pytest.raises(ValueError, match=message):
        ntkseq.lazy(KERNEL, inputs()).times(V)
    with pytest.raises(ValueError, match=message):
        ntkseq.gram(KERNEL, inputs()).times(V)


def test_a_trace_is_turned_away():
    L = ntkseq.lazy(KERNEL, inputs())
    with pytest.raises(ValueError, match="v is needed as numbers on the host; got a tracer"):
        jax.jit(L.mv)(jnp.ones(37))


@pytest.mark.slow
def test_what_overflows_is_said_at_once():
    kernel = kernels.Recurrent(sigma_w=2.0, sigma_b=0.2)
    with pytest.raises(ValueError, match="overflow"):
        ntkseq.lazy(kernel, 1e15 * inputs(8, 60))
    with pytest.raises(ValueError, match="must be an ntkseq Kernel"):
        inspect.unwrap(ntkseq.lazy)(jnp.dot, inputs())


def test_the_bar_counts_every_tile(capsys):
    ntkseq.lazy(KERNEL, inputs(), tile=8, progress=True).times(np.ones(37))
    assert "15/15" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("copy", [lambda K: K, lambda K: pickle.loads(pickle.dumps(K))], ids=["itself", "pickled"])
@pytest.mark.parametrize("tile", [None, 4])
def test_a_lazy_gram_made_in_64_bit_mode_keeps_it_outside_and_in_threads(copy, tile):
    x = np.random.default_rng(0).standard_normal((11, 4, 2))
    kernel = kernels.Recurrent(sigma_w=1.3, sigma_b=0.1)
    with jax.enable_x64(True):
        made, cross = ntkseq.lazy(kernel, x, tile=tile), ntkseq.lazy(kernel, x, x[:3], tile=tile)
        exact = np.asarray(ntkseq.gram(kernel, x).array)
    K, found = copy(made), []

    def look() -> None:
        found.extend([(K.times(np.eye(11)), exact), (K.dense(), exact), (K.diag(), exact.diagonal())])
        found.extend([(K.rows(slice(2, 7)), exact[2:7]), (np.asarray(K), exact), (cross.dense(), exact[:, :3])])

    look()
    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    for got, wanted in found:
        assert got.dtype == np.float64
        np.testing.assert_allclose(got, wanted, rtol=1e-14)
    s, w = ntkseq.spectrum(K, method="dense"), np.linalg.eigvalsh(exact)[::-1]
    assert K.rounding < 1e-11 and (np.abs(s.values - w) <= s.errors + 1e-14 * w[0]).all()


@pytest.mark.slow
def test_a_lazy_gram_made_in_32_bit_mode_stays_there_in_64_bit_mode():
    x = np.random.default_rng(0).standard_normal((6, 4, 2)).astype(np.float32)
    K = ntkseq.lazy(kernels.Recurrent(), x)
    outside = K.times(np.eye(6))
    with jax.enable_x64(True):
        np.testing.assert_array_equal(K.times(np.eye(6)), outside)
        assert K.dense().dtype == np.float32
