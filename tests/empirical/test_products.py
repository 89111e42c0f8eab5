"""Are K v, rows, the diagonal and the trace those of the explicit kernel, without the kernel?"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq.empirical import products
from ntkseq.empirical.function import function
from tests import oracles
from tests.empirical.functions import FUNCTIONS

N = 5
NAMES = ("rnn_outputs", "embedding_edges", "maml_task")


def made(name: str, outputs: str | int, **more: Any) -> tuple[Any, Any, np.ndarray]:
    f, params, inputs = FUNCTIONS[name].make(jnp.float64)
    x = inputs(jax.random.key(1), N)
    exact = oracles.explicit_ntk(f, params, x)
    if outputs == "pseudo":
        exact = exact.sum(axis=(2, 3)) / exact.shape[2]
    elif outputs != "full":
        exact = np.diagonal(exact, axis1=2, axis2=3)
        exact = exact if outputs == "diagonal" else exact[..., outputs] if isinstance(outputs, int) else exact.mean(2)
    made = function(f, params, outputs=outputs, **more)
    return made, made.inputs(x), exact


def close(computed: Any, exact: np.ndarray) -> None:
    np.testing.assert_allclose(computed, exact, rtol=0, atol=1e-12 * np.abs(exact).max())


def applied(K: np.ndarray, v: np.ndarray) -> np.ndarray:
    """K v for one column."""
    if K.ndim == 4:
        return np.einsum("nmoq,mq->no", K, v)
    return np.einsum("nmo,mo->no", K, v) if K.ndim == 3 else K @ v


@pytest.mark.slow
@pytest.mark.parametrize("outputs", ["full", "mean", "diagonal", "pseudo", 0])
@pytest.mark.parametrize("batch", [2, 5])
def test_products_rows_diagonal_and_trace(x64, outputs: str | int, batch: int) -> None:
    made_, x, K = made("rnn_outputs", outputs)
    v = np.random.default_rng(0).standard_normal((N, 3) if K.ndim > 2 else (N,))
    close(products.kernel_vector(made_, x, None, v, batch), applied(K, v))
    columns = np.stack([v, 2 * v - 1], axis=-1)
    many = products.kernel_vector(made_, x, None, columns, batch)
    close(many[..., 1], applied(K, 2 * v - 1))
    close(products.rows(made_, x, None, batch), K)
    own = np.stack([K[i, i] for i in range(N)])
    close(products.diagonal(made_, x, batch), own)
    close(products.trace(made_, x, batch), np.asarray(np.trace(own.sum(0)) if outputs == "full" else own.sum(0)))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_between_two_batches(x64, name: str) -> None:
    made_, x, K = made(name, "mean")
    some = jax.tree.map(lambda leaf: leaf[:1], x)
    close(products.rows(made_, some, x), K[:1])
    v = np.arange(1.0, N + 1)
    close(products.kernel_vector(made_, some, x, v), K[:1] @ v)


def test_a_product_is_symmetric(x64) -> None:
    made_, x, _ = made("rnn_outputs", "full")
    u, v = np.random.default_rng(0).standard_normal((2, N, 3))
    left = np.sum(u * np.asarray(products.kernel_vector(made_, x, None, v)))
    right = np.sum(v * np.asarray(products.kernel_vector(made_, x, None, u)))
    assert abs(left - right) < 1e-12 * abs(left)


@pytest.mark.slow
def test_rates_scale_products(x64) -> None:
    made_, x, K = made("rnn_outputs", "mean", rates={".": 0.25})
    v = np.arange(1.0, N + 1)
    close(products.kernel_vector(made_, x, None, v), 0.25 * K @ v)
    close(products.diagonal(made_, x), 0.25 * np.diagonal(K))
    close(products.rows(made_, x), 0.25 * K)


def test_memory_is_that_of_the_parameters_and_not_of_gradients() -> None:
    """Temporary bytes planned for 64 examples stay under a tenth of 64 gradients."""
    width, n = 256, 64
    f = lambda W, x: jnp.tanh(W @ jnp.tanh(W @ x))[:1]  # noqa: E731
    made_ = function(f, jnp.ones((width, width)) / width)
    x = made_.inputs(jnp.ones((n, width)))
    plan = products._kernel_vector.lower(made_, x, x, jnp.ones(n), 16).compile().memory_analysis()
    assert plan.temp_size_in_bytes < n * width * width * 4 / 10


@pytest.mark.slow
def test_products_compile_once() -> None:
    f, params, inputs = FUNCTIONS["rnn"].make(jnp.float32)
    made_ = function(f, params)
    x = made_.inputs(inputs(jax.random.key(0), N))
    products.kernel_vector(made_, x, None, jnp.ones(N))
    size = products._kernel_vector._cache_size()
    products.kernel_vector(function(f, params), x, None, 2 * jnp.ones(N))
    assert products._kernel_vector._cache_size() == size


@pytest.mark.parametrize(
    ("v", "batch", "message"),
    [
        (np.ones(N + 1, np.float32), None, "v must have shape"),
        (np.ones((N, 2, 2), np.float32), None, "v must have shape"),
        (np.full(N, np.nan, np.float32), None, "v"),
        (np.ones(N, np.float32), 0, "batch"),
    ],
)
def test_bad_input_is_named(v: np.ndarray, batch: int | None, message: str) -> None:
    f, params, inputs = FUNCTIONS["rnn"].make(jnp.float32)
    made_ = function(f, params)
    with pytest.raises(ValueError, match=message):
        products.kernel_vector(made_, made_.inputs(inputs(jax.random.key(0), N)), None, v, batch)
