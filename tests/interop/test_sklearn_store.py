"""Is the kernel of two examples computed once, and is what comes from the store what a Gram matrix would hold?"""

from __future__ import annotations

import collections
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed")
from sklearn.model_selection import GridSearchCV, KFold

import ntkseq
from ntkseq import kernels
from ntkseq.interop import sklearn_store
from ntkseq.interop.sklearn import NTKClassifier
from ntkseq.interop.sklearn_inputs import Batch

RNG = np.random.default_rng(0)
KERNEL = kernels.Recurrent(sigma_b=0.3)


@pytest.fixture(autouse=True)
def empty():
    sklearn_store.forget()
    yield
    sklearn_store.forget()


@pytest.fixture
def pairs(monkeypatch: pytest.MonkeyPatch) -> collections.Counter[Any]:
    """How often each pair of examples was computed, by kernel and the first numbers of both."""
    found: collections.Counter[Any] = collections.Counter()

    def counted(kernel: Any, x: Any, x2: Any = None, **lengths: Any) -> Any:
        rows = [float(a) for a in x[:, 0, 0]]
        columns = rows if x2 is None else [float(a) for a in x2[:, 0, 0]]
        both = {(min(a, b), max(a, b)) for a in rows for b in columns}  # of a square one triangle is computed
        found.update((float(kernel.sigma_w), *pair) for pair in both)
        return ntkseq.gram(kernel, x, x2, **lengths)

    monkeypatch.setattr(sklearn_store, "entries", SimpleNamespace(gram=counted))
    return found


def sequences(n: int, t: int = 3) -> Batch:
    x = RNG.standard_normal((n, t, 1)).astype(np.float32)
    return Batch(x, np.full(n, t, np.int32), 3)


@pytest.mark.slow
def test_a_grid_of_five_kernels_computes_the_kernel_of_two_examples_once_for_each(pairs: collections.Counter[Any]):
    n, grid = 40, [0.6, 0.8, 1.0, 1.2, 1.4]
    x = RNG.standard_normal((n, 3))
    y = np.where(x[:, 0] > 0, "up", "down")
    search = GridSearchCV(NTKClassifier(KERNEL), {"kernel__sigma_w": grid, "reg": [0.1, 1.0]}, cv=KFold(5))
    search.fit(x, y)
    assert set(pairs.values()) == {1} and len(pairs) == 5 * n * (n + 1) // 2


def test_without_room_nothing_is_kept(pairs: collections.Counter[Any]):
    batch = sequences(8)
    for megabytes in (0, 1e-6):
        K = [sklearn_store.square(KERNEL, batch, megabytes) for _ in range(2)]
        np.testing.assert_array_equal(K[0].array, K[1].array)
    assert set(pairs.values()) == {4} and not sklearn_store._LEDGERS


def test_the_kernel_longest_out_of_use_goes_first():
    batch, room = sequences(16), 2.5 * 16**2 * 5 / 2**20  # two ledgers of float32 and a mask
    scales = (0.5, 1.0, 1.5)
    for scale in (*scales[:2], scales[0], scales[2]):
        sklearn_store.square(KERNEL.with_(sigma_w=scale), batch, room)
    assert len(sklearn_store._LEDGERS) == 2
    names = {sklearn_store._name(KERNEL.with_(sigma_w=scale)) for scale in (scales[0], scales[2])}
    assert {key[0] for key in sklearn_store._LEDGERS} == names


@pytest.mark.slow
@pytest.mark.parametrize("h0", ["zero", "independent"])
def test_equal_examples_are_what_the_kernel_says_they_are(h0: str):
    kernel = KERNEL.with_(h0=h0, sigma_h=0.7)
    x = sequences(5).x[[0, 1, 2, 3, 4, 1, 1]]
    batch = Batch(x, np.full(7, 3, np.int32), 3)
    wanted = np.asarray(ntkseq.gram(kernel, x)), np.asarray(ntkseq.gram(kernel, x, x))
    few = batch.take(np.array([1, 3, 5]))
    sklearn_store.cross(kernel, batch.take(np.array([0, 2, 4])), few, 10)
    for _ in range(2):
        np.testing.assert_allclose(sklearn_store.square(kernel, batch, 10).array, wanted[0], rtol=2e-6)
        np.testing.assert_allclose(sklearn_store.cross(kernel, batch, batch, 10), wanted[1], rtol=2e-6)
    assert (np.abs(wanted[0] - wanted[1]).max() > 0.1) == (h0 == "independent")


@pytest.mark.slow
def test_a_sequence_is_the_same_however_it_is_padded(pairs: collections.Counter[Any]):
    short, long = sequences(8, 3), sequences(8, 5)
    lengths = np.array([3, 3, 2, 3, 1, 3, 3, 3], np.int32)
    x = np.where(np.arange(3)[None, :, None] < lengths[:, None, None], short.x, 0)
    sklearn_store.square(KERNEL, Batch(x, lengths, 3), 10)
    padded = Batch(np.pad(x, ((0, 0), (0, 2), (0, 0))), lengths, 3)
    both = Batch(np.concatenate([padded.x, long.x]), np.concatenate([lengths, long.lengths]), 3)
    sklearn_store.square(KERNEL, padded, 10)
    assert set(pairs.values()) == {1}
    wanted = ntkseq.gram(KERNEL, both.x, lengths=both.lengths)
    np.testing.assert_allclose(sklearn_store.square(KERNEL, both, 10).array, np.asarray(wanted), rtol=2e-6)


@pytest.mark.slow
def test_another_precision_is_another_matrix(x64: None):
    batch = sequences(8)
    K32 = sklearn_store.square(KERNEL, batch, 10)
    K64 = sklearn_store.square(KERNEL, Batch(batch.x.astype(np.float64), batch.lengths, 3), 10)
    assert K32.dtype == np.float32 and K64.dtype == np.float64
    assert float(K64.rounding) < 1e-6 * float(K32.rounding)


@pytest.mark.slow
def test_the_error_of_a_kept_matrix_is_no_less_than_that_of_a_fresh_one():
    batch = sequences(24)
    wanted = float(ntkseq.gram(KERNEL, batch.x).rounding)
    sklearn_store.square(KERNEL, batch.take(np.arange(9)), 10)
    for _ in range(2):
        assert float(sklearn_store.square(KERNEL, batch, 10).rounding) >= 0.99 * wanted


@pytest.mark.slow
def test_a_kernel_with_several_numbers_for_a_pair_is_refused():
    network = ntkseq.empirical.NTK(lambda W, x: W @ x[-1], np.ones((2, 1), np.float32), outputs="full")
    with pytest.raises(ValueError, match='outputs="mean"'):
        sklearn_store.square(network, sequences(4), 10)
