"""A Gram goes wherever an array goes: loops, parts, methods, operators; lazy ones row by row."""

import functools
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import grams, kernels


@functools.cache
def made(kind: str):
    x = jax.random.normal(jax.random.key(0), (5, 3))
    kernel = kernels.Dense()
    return {
        "Dense": lambda: grams.gram(kernel, x),
        "Lazy": lambda: grams.lazy(kernel, x, tile=2),
        "cross": lambda: grams.gram(kernel, x, x[:3]),
        "Lazy cross": lambda: grams.lazy(kernel, x, x[:3]),
        "Operator": lambda: grams.Operator(lambda V: np.asarray(made("Dense")) @ V, 5, diagonal=made("Dense").diag()),
    }[kind]()


KINDS = ("Dense", "Lazy", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("cross", "Lazy cross", "Operator")))
MASK = np.array([True, False, True, False, False])


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_loops_over_the_rows_end_and_give_the_rows(kind):
    K, A = made(kind), np.asarray(made(kind))
    np.testing.assert_allclose(np.stack(list(K)), A, rtol=1e-6)
    np.testing.assert_allclose(sum(K), A.sum(0), rtol=1e-5)
    first, *_, last = K
    np.testing.assert_allclose([first, last], A[[0, -1]], rtol=1e-6)
    assert len(list(zip(K, range(99), strict=False))) == 5 and len(list(reversed(K))) == 5


@pytest.mark.slow
def test_a_loop_over_a_lazy_gram_holds_a_block_of_rows_at_a_time(monkeypatch):
    K, held = made("Lazy"), []
    monkeypatch.setattr(sys.modules["ntkseq.grams.protocol"], "_BLOCK", 2 * 5 * 4)
    rows = grams.LazyGram.rows
    monkeypatch.setattr(grams.LazyGram, "rows", lambda self, which: held.append(which) or rows(self, which))
    np.testing.assert_allclose(np.stack(list(K)), np.asarray(K), rtol=1e-6)
    assert held == [slice(0, 2), slice(2, 4), slice(3, 5)]


@pytest.mark.slow(cases=["7-Dense"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "index",
    [7, -6, 5, (0, 9), (slice(None), -9), [0, 9], (0, 0, 0), jnp.array([7]), np.array([-8]), 1.0, MASK[:2]],
    ids=repr,
)
def test_an_index_beyond_the_matrix_is_an_index_error(kind, index):
    with pytest.raises(IndexError):
        made(kind)[index]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_parts_are_those_of_the_array(kind):
    K, A = made(kind), np.asarray(made(kind))
    for index in (
        *(0, -1, np.int64(2), slice(1, 3), slice(None, None, -1), [0, 2, 2], MASK, jnp.array([3, 1]), ..., None, []),
        *((2, 1), (slice(None), 1), (1, slice(1)), (slice(3, None), [0, 2]), ([0, 2], [1, 2]), np.ix_([3, 0], [1, 2])),
        *(([4, 0], slice(1, 2)), (slice(None), [2, 0]), (slice(4, 0, -2), 0), (MASK, 1), A > 1, (..., 0), slice(9, 9)),
        *((slice(None), slice(2)), (slice(None), np.array([[0, 1], [1, 2]])), np.array([[0, 4], [1, 2]]), True),
    ):
        got, wanted = K[index], A[np.asarray(index) if isinstance(index, jax.Array) else index]
        assert np.shape(got) == wanted.shape, index
        np.testing.assert_allclose(got, wanted, rtol=1e-6, err_msg=str(index))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_what_arrays_do_a_gram_does(kind):
    K, A, v = made(kind), np.asarray(made(kind)), np.arange(1.0, 6.0, dtype=np.float32)
    w = v[: K.shape[1]]
    for name, do in {
        "T": lambda K: K.T,
        "mT": lambda K: K.mT,
        "np.transpose": np.transpose,
        "K.transpose": lambda K: K.transpose(1, 0),
        "K / 2": lambda K: K / 2,
        "K + 1": lambda K: K + 1,
        "1 + K": lambda K: 1 + K,
        "K - 0.3": lambda K: K - 0.3,
        "0.3 - K": lambda K: 0.3 - K,
        "K * 3": lambda K: K * 3,
        "-0.1 K": lambda K: -0.1 * K,
        "NumPy c K": lambda K: np.float64(3) * K,
        "-K": lambda K: -K,
        "+K": lambda K: +K,
        "abs": abs,
        "K + K": lambda K: K + K,
        "K - K": lambda K: K - K,
        "K * K": lambda K: K * K,
        "K + array": lambda K: K + A,
        "array - K": lambda K: A - K,
        "K / array": lambda K: K / A,
        "K / 0": lambda K: K[:1] * 0 + 1 / (1 + abs(K)),
        "2 / K": lambda K: 2 / (K + 9.0),
        "K ** 2": lambda K: K**2,
        "K // 1": lambda K: K // 1.0,
        "K % 1": lambda K: K % 1.0,
        "K @ v": lambda K: K @ w,
        "K @ V": lambda K: K @ np.stack([w, w], 1),
        "v @ K": lambda K: v @ K,
        "V @ K": lambda K: np.stack([v, v]) @ K,
        "K @ K'": lambda K: K @ K.T,
        "dot": lambda K: K.dot(w),
        "K > 1": lambda K: K > 1,
        "K <= 1": lambda K: K <= 1,
        "K == K": lambda K: (K == K).all(),
        "K != 0": lambda K: (K != 0).any(),
        "in": lambda K: np.asarray(1e9 in K),
        "mean": lambda K: K.mean(),
        "mean 0": lambda K: K.mean(axis=0),
        "np.mean": np.mean,
        "sum": lambda K: K.sum(),
        "sum 1": lambda K: K.sum(1),
        "np.sum": lambda K: np.sum(K, axis=0),
        "trace": lambda K: K.trace(),
        "diagonal": lambda K: K.diagonal if isinstance(K, grams.Operator) else K.diagonal(),  # its argument
        "max": lambda K: K.max(),
        "std": lambda K: K.std(axis=0),
        "argmax": lambda K: K.argmax(axis=1),
        "reshape": lambda K: K.reshape(-1),
        "astype": lambda K: K.astype(np.float64),
        "np.sqrt": lambda K: np.sqrt(abs(K)),
        "np.linalg.svd": lambda K: np.linalg.svd(K, compute_uv=False),
        "np.concatenate": lambda K: np.concatenate([K, K]),
        "size": lambda K: np.asarray((K.size, K.ndim)),
    }.items():
        got, wanted = np.asarray(do(K)), np.asarray(do(A))
        np.testing.assert_allclose(got, wanted, rtol=2e-4, atol=1e-4, err_msg=name)
    assert K.astype(np.float64).dtype == np.float64 and K.nbytes == K.size * np.dtype(K.dtype).itemsize


def test_float64_operands_of_numpy_are_not_rounded():
    K, v = made("Dense"), np.random.default_rng(0).standard_normal(5)
    np.testing.assert_allclose(K @ v, np.asarray(K, np.float64) @ v, rtol=1e-14)
    np.testing.assert_array_equal(v * K, v * np.asarray(K, np.float64))


def test_what_no_array_does_is_refused_in_a_line():
    K = made("Dense")
    for wrong in (lambda: K + "a", lambda: K + kernels.Dense(), lambda: K * None):
        with pytest.raises(TypeError, match="unsupported operand"):
            wrong()
    with pytest.raises(TypeError, match="cannot be set"):
        K[0, 0] = 1.0
    with pytest.raises(AttributeError, match="no attribute 'matmul'"):
        K.matmul(K)
    with pytest.raises(ValueError, match="ambiguous"):
        bool(K)
    with pytest.raises(ValueError, match="axes must be"):
        K.transpose(2, 0)
    assert (K == None) is False and {K: 1}[K] == 1  # noqa: E711


def test_a_gram_is_an_array_under_jit_and_vmap():
    K = made("Dense")
    A = np.asarray(K)
    got = jax.jit(lambda K: (2 * K + 1, K.T - K, K[0], K.sum(), K @ K[0]))(K)
    for one, wanted in zip(got, (2 * A + 1, A.T - A, A[0], A.sum(), A @ A[0]), strict=True):
        np.testing.assert_allclose(one, wanted, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(jnp.sum(K), A.sum(), rtol=1e-6)


@pytest.mark.slow
def test_a_lazy_gram_that_is_too_large_goes_by_rows_and_products_or_says_why_not(monkeypatch):
    K, A = made("Lazy"), np.asarray(made("Lazy"))
    monkeypatch.setattr(sys.modules["ntkseq.grams.protocol"], "IMPLICIT", 60)
    for do in (
        *(lambda K: K[3], lambda K: K[1:4], lambda K: K[:, 2], lambda K: K[[4, 0], 1], lambda K: np.stack(list(K))),
        *(lambda K: K @ A[0], lambda K: A[0] @ K, lambda K: K.T[0], lambda K: (2 * K)[0], lambda K: (K / 3)[0]),
        *(lambda K: K.sum(), lambda K: K.sum(axis=0), lambda K: K.mean(), lambda K: K.mean(1), lambda K: K.trace()),
    ):
        np.testing.assert_allclose(do(K), do(A), rtol=1e-5)
    for do in (
        *(lambda K: -K, lambda K: K + 1, lambda K: K + K, lambda K: K * A, lambda K: K @ K, lambda K: K.max()),
        *(lambda K: K[:4], lambda K: K[A > 1], lambda K: K.std(), np.asarray, jnp.asarray, lambda K: K**2, abs),
    ):
        with pytest.raises(ValueError, match=r"this Gram is lazy.*lazy\(c \* kernel, x\)") as told:
            do(K)
        assert "\n" not in str(told.value)
