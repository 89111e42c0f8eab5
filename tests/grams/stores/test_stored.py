"""Is a matrix on disk read as one in memory, as far as it is there?"""

from __future__ import annotations

import pathlib
import pickle
import tracemalloc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import ntkseq
from ntkseq import bounds, grams, kernels, predictors, spectra
from ntkseq.grams.stores.chunks import DamagedChunk, MissingChunk

KERNEL = kernels.Recurrent(sigma_w=1.3, sigma_b=0.1)
X = np.random.default_rng(0).standard_normal((200, 4, 2)).astype(np.float32)


@pytest.fixture(scope="module")
def both(tmp_path_factory: Any) -> tuple[grams.StoredGram, grams.DenseGram]:
    path = tmp_path_factory.mktemp("stored") / "K"
    return ntkseq.gram(KERNEL, X, store=path), ntkseq.gram(KERNEL, X)


@pytest.fixture
def unfinished(tmp_path: pathlib.Path) -> Iterator[grams.StoredGram]:
    K = ntkseq.gram(KERNEL, X, store=tmp_path / "K")
    K.chunks.drop(0, 2)
    K.chunks.drop(3, 3)
    yield grams.open(tmp_path / "K")


@pytest.mark.slow
def test_parts_are_those_of_the_matrix(both: Any) -> None:
    K, G = both
    A, which = np.asarray(G), np.array([199, 3, 64, 65, 130])
    np.testing.assert_array_equal(np.asarray(K.rows(which)), A[which])
    np.testing.assert_array_equal(np.asarray(K[10:90, 60:140]), A[10:90, 60:140])
    taken, wanted = K.take(which), G.take(which)
    np.testing.assert_array_equal(np.asarray(taken), np.asarray(wanted))
    assert taken.rounding == wanted.rounding and taken.entrywise == wanted.entrywise
    i, j = np.random.default_rng(1).integers(0, 200, (2, 300))
    np.testing.assert_array_equal(K.entries(i, j), A[i, j])
    with pytest.raises(ValueError, match=r"take chooses different examples"):
        K.take([1, 1])


def test_products_do_not_depend_on_the_number_of_threads(both: Any, monkeypatch: Any) -> None:
    from ntkseq.grams import host

    K, G = both
    V = np.random.default_rng(1).standard_normal((200, 70))
    first = K.times(V)
    monkeypatch.setattr(host, "cores", lambda: 5)
    np.testing.assert_array_equal(K.times(V), first)
    np.testing.assert_allclose(first, G.times(V), rtol=0, atol=1e-13 * np.abs(first).max())
    assert K.norm_fro() == pytest.approx(G.norm_fro(), rel=1e-14)


def test_what_touches_a_missing_chunk_is_refused_and_the_rest_is_read(unfinished: Any, both: Any) -> None:
    A = np.asarray(both[1])
    assert unfinished.missing.tolist() == [[0, 2], [3, 3]] and "2 of 10 chunks missing" in repr(unfinished)
    np.testing.assert_array_equal(np.asarray(unfinished.rows([64, 70])), A[[64, 70]])
    np.testing.assert_array_equal(np.asarray(unfinished.take(np.arange(128))), A[:128, :128])
    assert unfinished.known_trace() == both[1].known_trace()
    with pytest.raises(
        MissingChunk, match=r"needs chunk \(0, 2\) .* rows 0 to 63 and columns 128 to 191, .* as 2 of 10"
    ):
        unfinished.rows([130])
    for needs in (lambda: unfinished.times(np.ones(200)), unfinished.dense, unfinished.norm_fro, unfinished.hold):
        with pytest.raises(ValueError, match=r"which is not computed yet"):
            needs()


def test_a_damaged_chunk_is_named_when_it_is_read(unfinished: Any) -> None:
    file = unfinished.chunks.file(0, 1)
    data = bytearray(file.read_bytes())
    data[100] ^= 1
    file.write_bytes(data)
    for needs in (lambda: unfinished.rows([70]), lambda: unfinished.take(np.arange(100))):
        with pytest.raises(DamagedChunk, match=r"chunk \(0, 1\) of .* is damaged: its checksum does not hold"):
            needs()
    file.write_bytes(data + b"1")
    with pytest.raises(OSError, match=r"it has more than 16388 bytes"):
        unfinished.rows([70])


@pytest.mark.slow
def test_spectra_predictors_audits_and_bounds_take_it(both: Any) -> None:
    K, G = both
    y = np.sign(X[:, -1, 0])
    free = spectra.MatrixFree(k=3, probes=4, steps=8)
    found, held, full = ntkseq.spectrum(K, free), ntkseq.spectrum(G, free), ntkseq.spectrum(K)
    assert (np.abs(found.values - held.values) <= found.errors).all()
    assert found.least.lower <= full.values[-1] + full.errors[-1]
    fit = predictors.ridge_cg(K, y, reg=1.0)
    wanted = predictors.ridge_cg(G, y, reg=1.0)
    np.testing.assert_allclose(fit.dual, wanted.dual, rtol=0, atol=fit.error + wanted.error)
    audited = grams.audit(K, KERNEL, X, pairs=500)
    wanted = grams.audit(G, KERNEL, X, pairs=500)
    assert audited.rounding == wanted.rounding < K.rounding and audited.chance == wanted.chance > 0
    assert audited.proved_rounding() == K.rounding and audited.take([3, 5]).chance == audited.chance
    assert "audited, right but for probability" in ntkseq.spectrum(audited, free).method
    assert isinstance(audited.hold(), grams.AuditedGram)
    assert bounds.rademacher(K, y).value == pytest.approx(bounds.rademacher(G, y).value, rel=1e-9)
    assert grams.as_gram(K) is K and not K.held


def test_it_is_pickled_as_its_path(both: Any) -> None:
    K, G = both
    text = pickle.dumps(K)
    assert len(text) < 2000
    np.testing.assert_array_equal(np.asarray(pickle.loads(text)), np.asarray(G))


@pytest.mark.slow
def test_a_product_takes_the_memory_of_a_few_chunks(tmp_path: pathlib.Path) -> None:
    K = ntkseq.gram(kernels.Dense(), X[:, 0], store=tmp_path / "K", tile=8)
    K.times(np.ones(200))
    tracemalloc.start()
    K.times(np.ones(200))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    chunk = K.chunk_rows**2 * K.dtype.itemsize
    assert most < 40 * chunk


def test_more_than_memory_is_not_turned_into_an_array_by_chance(both: Any, monkeypatch: Any) -> None:
    from ntkseq.grams import protocol

    monkeypatch.setattr(protocol, "IMPLICIT", 1000)
    with pytest.raises(ValueError, match=r"this Gram is on disk, and as an array it takes"):
        np.asarray(both[0])
