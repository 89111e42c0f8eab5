"""Tests of ntkseq.grams.meta: the Gram matrix of tasks made of one of their points, and its rounding."""

from __future__ import annotations

import pickle
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntkseq
from ntkseq import empirical, kernels
from ntkseq._struct import struct
from ntkseq.data.tasks import Tasks, sinusoids
from ntkseq.grams import lazy_meta, meta
from ntkseq.kernels.base import Kernel


@struct
class Bell(Kernel):
    """exp(-(x - y)^2 / 2), which compiles in no time."""

    rounded: Any = 4e-6

    def prepare(self, x: Any, lengths: Any = None) -> Any:
        return {"x": jnp.asarray(x)}

    def tile(self, left: Any, right: Any) -> Any:
        return jnp.exp(-jnp.square(left["x"][:, 0][:, None] - right["x"][:, 0][None, :]) / 2)

    def entry_rounding(self, side: Any) -> float:
        return float(self.rounded) if side["x"].dtype == jnp.float32 else 1e-14


LOOP = kernels.GD(steps=3, lr=0.1)
KERNEL = kernels.Meta(Bell(), LOOP)


def waves(n: int = 6, dtype: Any = None, seed: int = 0) -> Tasks:
    return sinusoids(n, shots=3, queries=2, key=jax.random.key(seed), reach=2.0, dtype=dtype)


def double(tasks: Tasks) -> Any:
    return jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), tasks.inputs)


@pytest.mark.slow
@pytest.mark.parametrize("kernel", [KERNEL, kernels.Meta(Bell(), algorithm="none"), 2.5 * KERNEL])
def test_it_is_the_matrix_of_the_rows_with_a_rounding_that_covers_the_error(kernel, x64) -> None:
    tasks = waves(dtype=jnp.float32)
    found, rows = ntkseq.gram(kernel, tasks), ntkseq.lazy(kernel, tasks.inputs)
    side = kernel.prepare(tasks)  # each row with the support of its task
    np.testing.assert_allclose(found.array, kernel.tile(side, side), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.array, rows.dense(), rtol=1e-5, atol=1e-6)
    assert 0.05 * float(rows.rounding) < float(found.rounding) < 1.1 * float(rows.rounding)
    exact = ntkseq.gram(kernel, double(tasks)).array
    own = np.diagonal(exact)
    for gram in (found, rows):
        off = np.asarray(gram.dense(), np.float64) - exact
        assert (np.abs(off) <= gram.entrywise * np.sqrt(np.outer(own, own))).all() and off.any()
        assert np.linalg.norm(off) <= float(gram.rounding) < 1e-2 * np.linalg.norm(exact)


@pytest.mark.slow
def test_between_two_batches_of_tasks_it_is_the_matrix_of_the_rows(x64) -> None:
    one, two = waves(3, jnp.float32), waves(2, jnp.float32, seed=1)
    found = ntkseq.gram(KERNEL, one.inputs, two.inputs)
    exact = np.asarray(ntkseq.gram(KERNEL, double(one), double(two)).array)
    np.testing.assert_allclose(ntkseq.lazy(KERNEL, one.inputs, two.inputs).dense(), exact, rtol=1e-4, atol=1e-5)
    sizes = np.sqrt(np.outer(KERNEL.diag(double(one)), KERNEL.diag(double(two))))
    assert not found.symmetric and (np.abs(np.asarray(found) - exact) <= found.entrywise * sizes).all()
    with pytest.raises(ValueError, match="lengths2 belongs to x2"):
        ntkseq.gram(KERNEL, one.inputs, lengths2=(np.ones((3, 3)), np.ones((3, 2))))


@pytest.mark.slow
@pytest.mark.parametrize("two", [None, waves(3, seed=1).inputs], ids=["same", "cross"])
def test_a_lazy_gram_of_tasks_has_every_part_of_the_held_one(monkeypatch, two) -> None:
    tasks = waves().inputs
    held, lazy = ntkseq.gram(KERNEL, tasks, two), ntkseq.lazy(KERNEL, tasks, two)
    near: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-6}
    V = np.random.default_rng(0).standard_normal((held.shape[1], 2))
    monkeypatch.setattr(lazy_meta, "_ROWS", 2 * 5 * lazy.sides.shape[1])  # two tasks of five points
    for one, other in ((lazy, held), (pickle.loads(pickle.dumps(lazy)), held), (2.5 * lazy, 2.5 * held)):
        assert isinstance(one, lazy_meta.LazyTasks) and one.shape == other.shape
        np.testing.assert_allclose(one.times(V), other.times(V), **near)
        np.testing.assert_allclose(one.times(V[:, 0]), other.times(V)[:, 0], **near)
        np.testing.assert_allclose(one.rows([7, 0, 3]), other.rows([7, 0, 3]), **near)
        np.testing.assert_allclose(one.dense(), other.dense(), **near)
        assert one.norm_fro() == pytest.approx(other.norm_fro(), rel=1e-5)
        assert float(one.rounding) == pytest.approx(float(other.rounding), rel=0.1)
    np.testing.assert_allclose(lazy.T.times(V[:2].repeat(6, 0)), held.T.times(V[:2].repeat(6, 0)), **near)
    if two is None:
        np.testing.assert_allclose(lazy.diag(), held.diag(), **near)
        assert np.array_equal(lazy.dense(), lazy.dense().T) and lazy.symmetric
        least, other = ntkseq.spectrum(lazy).min_eigenvalue, ntkseq.spectrum(held).min_eigenvalue
        assert least.lower <= other.upper and other.lower <= least.upper
    else:
        with pytest.raises(ValueError, match="the diagonal of a cross Gram"):
            lazy.diag()


@pytest.mark.slow
def test_every_point_of_a_lazy_gram_of_tasks_is_computed_once(monkeypatch) -> None:
    seen = []
    tile = Bell.tile
    monkeypatch.setattr(Bell, "tile", lambda self, a, b: seen.append(len(a["x"]) * len(b["x"])) or tile(self, a, b))
    ntkseq.lazy(kernels.Meta(Bell(2e-5), LOOP), waves(7).inputs, tile=35).times(np.ones(14))
    assert max(seen) == 35**2  # not (14 * 4)^2


@pytest.mark.slow
@pytest.mark.parametrize("two", [None, waves(3, seed=1).inputs], ids=["same", "cross"])
def test_a_few_tasks_at_a_time_give_the_same_matrix(monkeypatch, two) -> None:
    tasks = waves().inputs
    whole = ntkseq.gram(KERNEL, tasks, two)
    monkeypatch.setattr(meta, "HELD", 10)  # two tasks of five points
    few = ntkseq.gram(KERNEL, tasks, two)
    np.testing.assert_allclose(few.array, whole.array, rtol=1e-5, atol=1e-6)
    assert few.entrywise == pytest.approx(whole.entrywise, rel=1e-3) and few.symmetric == (two is None)


def test_the_rounding_of_an_inner_kernel_of_ones_own_counts() -> None:
    found = [ntkseq.gram(kernels.Meta(Bell(), LOOP, inner_kernel=Bell(e)), waves()) for e in (4e-6, 4e-3)]
    np.testing.assert_array_equal(found[0].array, found[1].array)
    assert found[1].entrywise > 100 * found[0].entrywise


def test_a_part_has_the_rounding_of_its_entries() -> None:
    gram = ntkseq.gram(KERNEL, waves())
    part = gram.take(slice(2, 6))
    np.testing.assert_array_equal(part.array, np.asarray(gram.array)[2:6, 2:6])
    assert float(part.rounding) == pytest.approx(gram.entrywise * np.trace(part.array), rel=1e-5)


def test_an_inner_loop_that_diverges_is_told() -> None:
    kernel = kernels.Meta(Bell(), kernels.GD(steps=400, lr=50.0))
    with pytest.warns(UserWarning, match="the inner loop diverges"), pytest.raises(ValueError, match="overflows"):
        ntkseq.gram(kernel, waves())


def look_up(params: Any, x: Any) -> Any:
    return jnp.matmul(params["out"], jnp.tanh(params["table"][x].mean(0)), precision="highest")


def tokens(N: int, s: int, q: int) -> tuple[Any, Any]:
    """A model of tokens and N tasks of token numbers."""
    keys = jax.random.split(jax.random.key(0), 3)
    params = {"table": jax.random.normal(keys[0], (30, 8)), "out": jax.random.normal(keys[1], (1, 8)) / 3}
    x = jax.random.randint(keys[2], (N, s + q, 6), 0, 30)
    return empirical.NTK(look_up, params), ((x[:, :s], None), x[:, s:])


@pytest.mark.slow
def test_tasks_of_token_numbers_reach_an_empirical_base_as_integers(x64) -> None:
    base, tasks = tokens(2, 3, 2)
    K = np.asarray(base(np.concatenate([tasks[1], tasks[0][0]], axis=1).reshape(10, 6)), np.float64)
    phi = np.zeros((4, 10))
    for i in range(2):
        own, kin = slice(5 * i, 5 * i + 5), K[5 * i : 5 * i + 5, 5 * i : 5 * i + 5]
        f = np.zeros((5, 3))
        for _ in range(3):
            f = f + 0.1 * kin[:, 2:] @ (np.eye(3) - f[2:])
        phi[2 * i : 2 * i + 2, own] = np.concatenate([np.eye(2), -f[:2]], axis=1)
    found = ntkseq.gram(kernels.Meta(base, LOOP), tasks)
    np.testing.assert_allclose(found.array, phi @ K @ phi.T, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(kernels.Meta(base, LOOP)(tasks), found.array, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_it_costs_a_few_times_the_gram_of_its_points() -> None:
    base, tasks = tokens(20, 50, 30)
    x = np.concatenate([tasks[1], tasks[0][0]], axis=1).reshape(-1, 6)
    kernel = kernels.Meta(base, kernels.GD(3, 0.01))

    def seconds(kernel: Any, x: Any) -> float:
        best = np.inf
        for _ in range(4):
            start = time.perf_counter()
            ntkseq.gram(kernel, x)
            best = min(best, time.perf_counter() - start)
        return best

    assert seconds(kernel, tasks) < 8 * seconds(base, x) + 0.5  # 33 times before, over the rows of tiles
