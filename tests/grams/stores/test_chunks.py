"""Do chunks lie on disk as zarr v3, so that others read them?"""

from __future__ import annotations

import pathlib
import pickle
from typing import Any

import numpy as np
import pytest

import ntkseq
from ntkseq import grams, kernels
from ntkseq.grams.stores.chunks import Chunks, MissingChunk
from ntkseq.grams.stores.layout import Layout

X = np.random.default_rng(0).standard_normal((150, 2)).astype(np.float32)


def chunks(path: pathlib.Path, **changed: Any) -> Chunks:
    known = {"shape": (10, 10), "symmetric": True, "dtype": np.dtype(np.float32), "chunk": 4, "tile": 2, "batch": 1}
    return Chunks(path, Layout(**known | changed)).create()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_chunk_is_read_as_it_was_written(tmp_path: pathlib.Path, dtype: Any) -> None:
    made = pickle.loads(pickle.dumps(chunks(tmp_path / "K", dtype=np.dtype(dtype))))
    values = np.random.default_rng(1).standard_normal((4, 4)).astype(dtype)
    made.write(0, 1, values)
    made.write(2, 2, values[:2, :2])  # at the end of the matrix
    np.testing.assert_array_equal(made.read(0, 1), values)
    np.testing.assert_array_equal(made.read(2, 2), values[:2, :2])
    assert made.missing().tolist() == [[0, 0], [0, 2], [1, 1], [1, 2]] and made.damaged() == []
    with pytest.raises(MissingChunk, match=r"chunk \(1, 1\) of .* is not computed yet"):
        made.read(1, 1)


def test_every_flipped_bit_and_every_cut_is_seen(tmp_path: pathlib.Path) -> None:
    made = chunks(tmp_path / "K")
    made.write(0, 0, np.ones((4, 4), np.float32))
    file = made.file(0, 0)
    data = file.read_bytes()
    for bit in range(8 * len(data)):
        other = bytearray(data)
        other[bit // 8] ^= 1 << bit % 8
        file.write_bytes(other)
        assert made.damaged() == [(0, 0)]
    for length in (*range(len(data)), len(data) + 1):
        file.write_bytes((data + b"\0")[:length])
        assert made.damaged() == [(0, 0)]
    file.write_bytes(data)
    assert made.damaged() == []


@pytest.mark.slow
def test_tensorstore_reads_it(tmp_path: pathlib.Path) -> None:
    tensorstore = pytest.importorskip("tensorstore")
    K = ntkseq.gram(kernels.Dense(), X, store=tmp_path / "K")
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(tmp_path / "K")}}
    found = tensorstore.open(spec, open=True, read=True).result()
    values, upper = np.asarray(found.read().result()), np.triu_indices(150)
    np.testing.assert_array_equal(values[upper], np.asarray(K)[upper])
    assert np.isnan(values[149, 0])  # of a symmetric matrix only chunks on and above the diagonal are there
    data = bytearray(K.chunks.file(0, 1).read_bytes())
    data[5] ^= 1
    K.chunks.file(0, 1).write_bytes(data)
    with pytest.raises(ValueError, match="Digest mismatch"):
        found[:64, 64:128].read().result()


def test_zarr_reads_it(tmp_path: pathlib.Path) -> None:
    zarr = pytest.importorskip("zarr")
    K = ntkseq.gram(kernels.Dense(), X, X[:70], store=tmp_path / "K")
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "K", mode="r")[:], np.asarray(K))


def test_without_crc32c_it_is_said_what_to_install(tmp_path: pathlib.Path, monkeypatch: Any) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "crc32c", None)
    with pytest.raises(ImportError, match=r'pip install "ntkseq\[store\]"'):
        ntkseq.gram(kernels.Dense(), X, store=tmp_path / "K")
    assert not (tmp_path / "K").exists() or grams.open(tmp_path / "K").chunks.there().sum() == 0
