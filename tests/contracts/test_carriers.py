"""Every carrier of a Gram matrix answers the same questions, and its rounding is true against float64."""

from __future__ import annotations

import atexit
import functools
import pickle
import tempfile
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

import ntkseq
from ntkseq import grams, kernels, spectra
from ntkseq.grams.arrays import products, symmetric
from ntkseq.grams.centred import CentredGram
from ntkseq.grams.lazy_meta import LazyTasks

N = 9
KERNEL = kernels.Recurrent(sigma_w=1.4, sigma_b=0.2)
OTHER = kernels.Dense(sigma_w=1.2, depth=2)
INNER = kernels.Meta(OTHER, kernels.GD(steps=2, lr=0.05))
EPS = float(np.finfo(np.float64).eps)


def sequences(n: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((n, 3, 2)).astype(np.float32)


def vectors(n: int) -> np.ndarray:
    return sequences(n)[:, 0]


def tasks(n: int) -> Any:
    x = np.random.default_rng(1).standard_normal((n, 3, 2)).astype(np.float32)
    return (x[:, :2], np.ones((n, 2), np.float32)), x[:, 2:]


def wide(kernel: Any, x: Any) -> np.ndarray:
    """The matrix of the same inputs in float64."""
    with jax.enable_x64(True):
        x = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), x)
        return np.asarray(ntkseq.gram(kernel, x).array)


def exact(n: int) -> np.ndarray:
    return wide(KERNEL, sequences(n))


def doubled(make: Callable[..., Any], n: int) -> Any:
    """A Gram that was made in the 64-bit mode, handed to the 32-bit mode."""
    with jax.enable_x64(True):
        return make(KERNEL, sequences(n).astype(np.float64))


class Product:
    """A product that can be pickled."""

    def __init__(self, n: int) -> None:
        self.A = exact(n)

    def __call__(self, V: Any) -> np.ndarray:
        return self.A @ V


def operator(n: int, known: bool = True) -> grams.Operator:
    diagonal = exact(n).diagonal() if known else None
    return grams.Operator(Product(n), n, rounding=1e-12 * n, diagonal=diagonal, dtype=np.float64)


def centred(A: np.ndarray) -> np.ndarray:
    H = np.eye(len(A)) - 1.0 / len(A)
    return H @ A @ H


def half(n: int) -> int:
    return (n + 1) // 2


def gram(n: int) -> grams.DenseGram:
    return ntkseq.gram(KERNEL, sequences(n))


def lazy(n: int) -> grams.LazyGram:
    return ntkseq.lazy(KERNEL, sequences(n), tile=4)


FOLDER = tempfile.TemporaryDirectory()
atexit.register(FOLDER.cleanup)


def stored(n: int) -> grams.StoredGram:
    return ntkseq.gram(KERNEL, sequences(n), store=f"{FOLDER.name}/{n}")


def audited_on_disk(n: int) -> Any:
    return grams.audit(stored(n), KERNEL, sequences(n), pairs=50)


# name: the Gram of n examples, and the exact matrix
CARRIERS: dict[str, tuple[Callable[[int], Any], Callable[[int], np.ndarray]]] = {
    "DenseGram, JAX float32": (gram, exact),
    "DenseGram, JAX float64": (lambda n: doubled(ntkseq.gram, n), exact),
    "DenseGram, NumPy float32": (lambda n: grams.computed(np.asarray(gram(n)), KERNEL, sequences(n)), exact),
    "DenseGram, NumPy float64": (lambda n: grams.DenseGram(exact(n)), exact),
    "DenseGram, exact": (
        lambda n: grams.DenseGram(np.asarray(gram(n)), rounding=0.0), lambda n: np.asarray(gram(n), float),
    ),
    "DenseGram, an array with its origin": (lambda n: grams.as_gram(KERNEL(sequences(n))), exact),
    "DenseGram of tasks": (lambda n: ntkseq.gram(INNER, tasks(n)), lambda n: wide(INNER, tasks(n))),
    "Lazy": (lazy, exact),
    "Lazy, float64": (lambda n: doubled(ntkseq.lazy, n), exact),
    "Lazy, another kernel": (lambda n: ntkseq.lazy(OTHER, vectors(n)), lambda n: wide(OTHER, vectors(n))),
    "Lazy of tasks": (lambda n: ntkseq.lazy(INNER, tasks(n)), lambda n: wide(INNER, tasks(n))),
    "Stored": (stored, exact),
    "Stored, float64": (
        lambda n: doubled(lambda k, x: ntkseq.gram(k, x, store=f"{FOLDER.name}/{n}, float64"), n), exact,
    ),
    "Stored, audited": (audited_on_disk, exact),
    "Stored, hold": (lambda n: audited_on_disk(n).hold(), exact),
    "Centred Stored": (lambda n: spectra.centred(stored(n)), lambda n: centred(exact(n))),
    "Operator": (operator, exact),
    "Operator without diagonal": (lambda n: operator(n, known=False), exact),
    "Audited": (lambda n: grams.audit(gram(n), KERNEL, sequences(n), pairs=50), exact),
    "Centred Dense": (lambda n: spectra.centred(gram(n)), lambda n: centred(exact(n))),
    "Centred Lazy": (lambda n: spectra.centred(lazy(n)), lambda n: centred(exact(n))),
    "Centred Operator": (lambda n: spectra.centred(operator(n)), lambda n: centred(exact(n))),
    "part": (lambda n: grams.as_gram(gram(n)[: half(n), : half(n)]), lambda n: exact(n)[: half(n), : half(n)]),
    "take": (lambda n: gram(n).take(np.arange(n)[::2]), lambda n: exact(n)[::2, ::2]),
    "K / 3": (lambda n: gram(n) / 3, lambda n: exact(n) / 3),
    "3 K, lazy": (lambda n: 3 * lazy(n), lambda n: 3 * exact(n)),
    "K.T": (lambda n: gram(n).T, exact),
    "K + L": (lambda n: gram(n) + ntkseq.gram(OTHER, vectors(n)), lambda n: exact(n) + wide(OTHER, vectors(n))),
    "hold": (lambda n: lazy(n).hold(), exact),
    "products": (lambda n: products(gram(n)), exact),
}  # fmt: skip


@functools.cache
def made(name: str, n: int) -> tuple[Any, np.ndarray, np.ndarray]:
    """The Gram, its own entries in float64, and the exact matrix."""
    make, oracle = CARRIERS[name]
    K = make(n)
    return K, np.asarray(K).astype(np.float64), oracle(n)


def once(K: Any) -> float:
    """What one rounding of an entry to its dtype may change, where products and norms are of entries before it."""
    return float(np.finfo(K.dtype).eps) if isinstance(K, LazyTasks) else 0.0


NOW = ("Lazy", "Stored", "Audited", "Centred Operator")
CASES = [(name, N) for name in CARRIERS] + [(name, 1) for name in NOW]
LATER = [pytest.param((name, 1), marks=pytest.mark.slow) for name in CARRIERS if name not in NOW]


@pytest.fixture(params=CASES + LATER, ids=lambda case: f"{case[0]}, n = {case[1]}")
def carrier(request: pytest.FixtureRequest) -> tuple[Any, np.ndarray, np.ndarray]:
    return made(*request.param)


@pytest.mark.slow(
    cases=[
        "3 K, lazy, n = 9",
        "Audited, n = 1",
        "DenseGram of tasks, n = 9",
        "DenseGram, JAX float32, n = 9",
        "DenseGram, JAX float64, n = 9",
        "DenseGram, NumPy float32, n = 9",
        "DenseGram, NumPy float64, n = 9",
        "DenseGram, an array with its origin, n = 9",
        "DenseGram, exact, n = 9",
        "K + L, n = 9",
        "Lazy of tasks, n = 9",
        "Lazy, another kernel, n = 9",
        "Lazy, n = 1",
        "Lazy, n = 9",
        "Stored, audited, n = 9",
        "Stored, n = 1",
        "take, n = 9",
    ]
)
def test_the_stated_rounding_holds_in_norm_and_entry_by_entry(carrier: Any) -> None:
    K, A, true = carrier
    error = A - true
    assert np.isfinite(K.rounding) and np.linalg.norm(error, 2) <= K.rounding
    if K.frobenius:
        assert np.linalg.norm(error) <= K.rounding
    if K.entrywise is not None:
        size = np.sqrt(true.diagonal())
        assert (np.abs(error) <= K.entrywise * np.outer(size, size) * (1 + 1e-3)).all()
    assert isinstance(K.estimated, str) and K.stated in (True, False) and 0 <= K.chance < 1


@pytest.mark.slow(cases=["DenseGram of tasks, n = 9", "Lazy of tasks, n = 9", "Lazy, another kernel, n = 9"])
def test_shape_and_dtype_are_those_of_the_entries(carrier: Any) -> None:
    K, A, true = carrier
    assert K.shape == true.shape == A.shape and len(K) == len(true) and K.ndim == 2 and K.size == true.size
    assert K.dtype == np.asarray(K).dtype and K.symmetric
    np.testing.assert_array_equal(np.asarray(K.dense()), np.asarray(K))


@pytest.mark.slow(cases=["Centred Lazy, n = 9", "DenseGram of tasks, n = 9", "Lazy of tasks, n = 9"])
def test_the_diagonal_comes_in_the_precision_of_the_entries(carrier: Any) -> None:
    K, A, true = carrier
    if K.known_trace() is None:
        with pytest.raises(ValueError, match="the diagonal of this Operator is not known"):
            K.diag()
        return
    own = np.asarray(K.diag())
    assert own.dtype == np.asarray(K).dtype
    np.testing.assert_allclose(own.astype(np.float64), A.diagonal(), rtol=0, atol=4 * len(A) * EPS * np.abs(true).max())


@pytest.mark.slow(cases=["3 K, lazy, n = 9", "Lazy, another kernel, n = 9", "Lazy, float64, n = 9", "Lazy, n = 1"])
def test_trace_and_norm_are_summed_in_float64(carrier: Any) -> None:
    K, A, true = carrier
    trace, norm = K.known_trace(), K.norm_fro()
    if trace is not None:
        assert trace == pytest.approx(np.trace(A), rel=1e-13, abs=4 * len(A) * EPS * np.trace(np.abs(true)) + 1e-14)
        assert abs(trace - np.trace(true)) <= len(A) * K.rounding
    if np.isfinite(norm):
        of = K.of.norm_fro() if isinstance(K, CentredGram) else norm  # a difference of squares
        assert abs(norm**2 - np.linalg.norm(A) ** 2) <= 8 * len(A) * (EPS + once(K)) * of**2
        assert K.known_norm() == norm  # by now no pass is needed
    else:
        assert K.known_norm() is None


@pytest.mark.slow(cases=["Lazy of tasks, n = 9", "Lazy, another kernel, n = 9", "Lazy, float64, n = 9", "Lazy, n = 1"])
def test_products_are_those_of_the_entries(carrier: Any) -> None:
    K, A, true = carrier
    V = np.random.default_rng(2).standard_normal((len(A), 3))
    room = (8 * len(A) * EPS + once(K)) * np.linalg.norm(true) * np.linalg.norm(V) + 1e-15
    for given in (V, V[:, 0], V[:, :0]):
        found = K.times(given)
        assert found.dtype == np.float64 and found.shape == given.shape
        np.testing.assert_allclose(
            found, A @ given, rtol=0, atol=max(room, np.linalg.norm(found - true @ given) * 1e-3)
        )
        assert np.linalg.norm(found - true @ given) <= K.rounding * np.linalg.norm(given) + room
    with pytest.raises(ValueError, match="V must be finite"):
        K.times(V * np.nan)
    with pytest.raises(ValueError, match="V must be a vector"):
        K.times(np.ones(len(A) + 1))


@pytest.mark.slow(
    cases=[
        "3 K, lazy, n = 9",
        "DenseGram, JAX float32, n = 9",
        "Lazy of tasks, n = 9",
        "Lazy, another kernel, n = 9",
        "Lazy, float64, n = 9",
        "Lazy, n = 1",
        "Lazy, n = 9",
        "part, n = 9",
    ]
)
def test_rows_columns_blocks_and_entries_are_those_of_the_array(carrier: Any) -> None:
    K, A, _ = carrier
    whole, last = np.asarray(K), len(A) - 1
    room = dict(rtol=2e-6 if whole.dtype == np.float32 else 1e-13, atol=1e-14 * float(np.abs(A).max()) * len(A))
    np.testing.assert_allclose(np.asarray(K.rows([last, 0])), whole[[last, 0]], **room)
    for index in (0, -1, slice(1, 5), (0, last), (slice(0, 3), slice(1, 4)), (slice(None), last), [last, 0]):
        np.testing.assert_allclose(np.asarray(K[index]), whole[index], **room, err_msg=str(index))
    np.testing.assert_allclose(np.stack(list(K)), whole, **room)
    with pytest.raises(IndexError):
        K[len(A)]


def test_held_and_on_the_host_it_is_the_same_matrix(carrier: Any) -> None:
    K, _, true = carrier
    held, host = K.hold(), symmetric(K)
    # every column of an operator is a product, off by its own error
    stated = K.rounding * len(true) ** 0.5 if K.by_product else K.rounding
    assert held.held and held.shape == K.shape and held.entrywise == K.entrywise
    assert stated <= held.rounding <= stated * (1 + 1e-15)
    np.testing.assert_array_equal(np.asarray(held), np.asarray(K))
    assert host.matrix.dtype == np.float64 and np.array_equal(host.matrix, host.matrix.T)
    assert np.linalg.norm(host.matrix - true, 2) <= host.rounding <= 2 * stated + 1e-12 * np.linalg.norm(true)
    assert symmetric(host) is host and products(K).shape == K.shape


@pytest.mark.slow(cases=["Lazy of tasks, n = 9", "Lazy, another kernel, n = 9", "Lazy, float64, n = 9"])
def test_every_eigenvalue_and_sum_of_them_lies_where_the_spectrum_says(carrier: Any) -> None:
    K, _, true = carrier
    values = np.linalg.eigvalsh(true)[::-1]
    full = ntkseq.spectrum(K, "dense")
    assert (np.abs(full.values - values) <= full.errors + 8 * len(true) * EPS * values[0] + 1e-15).all()
    some = ntkseq.spectrum(K, spectra.MatrixFree(k=2, probes=4, steps=6))
    k = some.values.size
    assert (np.abs(some.values - values[:k]) <= some.errors + 8 * len(true) * EPS * values[0] + 1e-15).all()
    slack = 8 * len(true) * EPS * values[0] + 1e-15
    assert some.least.lower - slack <= values[-1] <= some.least.upper + slack
    if not np.isnan(some.trace.estimate):
        assert some.trace.lower - slack <= values.sum() <= some.trace.upper + slack


@pytest.mark.slow(cases=["3 K, lazy, n = 9", "Lazy, another kernel, n = 9", "Lazy, float64, n = 9", "Lazy, n = 1"])
def test_multiples_and_sums_are_grams_whose_rounding_holds(carrier: Any) -> None:
    K, _, true = carrier
    for found, wanted in ((K / 7, true / 7), (0.3 * K, 0.3 * true), (K + K, 2 * true), (-K, -true), (K - K, 0 * true)):
        assert isinstance(found, grams.Gram) and found.shape == K.shape and found.symmetric
        assert np.linalg.norm(np.asarray(found, np.float64) - wanted, 2) <= found.rounding


def test_copies_through_pickle_and_through_a_pytree_are_the_same(carrier: Any) -> None:
    K, A, _ = carrier
    copies = [pickle.loads(pickle.dumps(K))]
    if isinstance(K, grams.DenseGram):  # what is held is a pytree
        copies.append(jax.tree.map(lambda leaf: leaf, K))
    for copy in copies:
        assert type(copy) is type(K) and copy.rounding == K.rounding and copy.dtype == K.dtype
        np.testing.assert_array_equal(np.asarray(copy), A)


def test_numbers_that_are_not_finite_are_refused_in_words() -> None:
    bad = np.full((2, 2), np.nan)
    with pytest.raises(ValueError, match="array must be finite; got 4 NaN"):
        grams.DenseGram(bad, rounding=0.0)
    with pytest.raises(ValueError, match="K must be finite; got 4 NaN"):
        grams.as_gram(bad)
    with pytest.raises(ValueError, match="what product returned must be finite"):
        grams.Operator(lambda V: V * np.nan, 2, rounding=0.0).times(np.ones(2))
    with pytest.raises(ValueError, match="overflow"):
        ntkseq.lazy(KERNEL, 1e25 * sequences(3)).dense()
    rebuilt = jax.tree.map(lambda leaf: leaf * np.nan, grams.DenseGram(np.eye(2), rounding=0.0))
    with pytest.raises(ValueError, match="K must be finite"):
        ntkseq.spectrum(rebuilt)
