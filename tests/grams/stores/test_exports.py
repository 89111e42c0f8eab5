"""Is one file of NumPy made of a store, without its entries in memory?"""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pytest

import ntkseq
from ntkseq import kernels

X = np.random.default_rng(0).standard_normal((150, 2)).astype(np.float32)


@pytest.fixture(scope="module")
def K(tmp_path_factory: Any) -> Any:
    return ntkseq.gram(kernels.Dense(), X, store=tmp_path_factory.mktemp("stored") / "K")


@pytest.mark.slow
def test_an_npy_and_an_npz_hold_all_entries(K: Any, tmp_path: pathlib.Path) -> None:
    K.export(tmp_path / "K.npy")
    K.export(tmp_path / "K.npz")
    np.testing.assert_array_equal(np.load(tmp_path / "K.npy", mmap_mode="r"), np.asarray(K))
    with np.load(tmp_path / "K.npz") as held:
        np.testing.assert_array_equal(held["K"], np.asarray(K))
        assert float(held["rounding"]) == K.rounding and bool(held["rounding_stated"]) and not bool(held["sampled"])


def test_the_command_line_reads_the_npz(K: Any, tmp_path: pathlib.Path) -> None:
    from ntkseq.studies.stored_grams import Stored, stored

    K.export(tmp_path / "K.npz")
    assert any("least eigenvalue" in line or "min" in line for line in stored(Stored(str(tmp_path / "K.npz"))))


@pytest.mark.slow
def test_a_transposed_matrix_is_written_as_it_is_read(tmp_path: pathlib.Path) -> None:
    C = ntkseq.gram(kernels.Dense(), X, X[:70], store=tmp_path / "C")
    C.T.export(tmp_path / "C.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "C.npy"), np.asarray(C).T)


def test_what_cannot_be_written_is_refused_and_leaves_nothing(K: Any, tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match=r"path must be that of an .npy or .npz file"):
        K.export(tmp_path / "K.txt")
    with pytest.raises(OSError, match=r"cannot be written"):
        K.export(tmp_path / "nowhere" / "K.npy")
    K.chunks.drop(0, 1)
    with pytest.raises(ValueError, match=r"an export needs chunk"):
        K.export(tmp_path / "K.npy")
    assert list(tmp_path.iterdir()) == []
