"""Are the functions that empirical kernels are tested on, and the oracle they are compared with, right themselves?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import oracles
from tests.empirical.functions import FUNCTIONS, complex_of

each = pytest.mark.parametrize("name", FUNCTIONS)
each = pytest.mark.parametrize("name", FUNCTIONS)


def made(name: str, dtype: Any, n: int = 4) -> tuple[Any, Any, Any]:
    f, params, inputs = FUNCTIONS[name].make(dtype)
    return f, params, inputs(jax.random.key(1), n)


def square(K: np.ndarray) -> np.ndarray:
    """(n, m, o, o) as (n o, m o)."""
    n, m, o, _ = K.shape
    return K.transpose(0, 2, 1, 3).reshape(n * o, m * o)


def jacobian_by_differences(f: Callable[[Any, Any], Any], params: Any, x: Any) -> np.ndarray:
    """(n o, p) by central differences of fourth order, over all entries of all leaves that are floats."""
    leaves, tree = jax.tree.flatten(params)
    moving = [i for i, leaf in enumerate(leaves) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    start = np.concatenate([np.ravel(leaves[i]) for i in moving])

    @jax.jit
    def value(flat: jax.Array) -> jax.Array:
        own, at = list(leaves), 0
        for i in moving:
            own[i] = flat[at : at + leaves[i].size].reshape(leaves[i].shape)
            at += leaves[i].size
        return jnp.ravel(jax.vmap(f, (None, 0))(tree.unflatten(own), x))

    h = float(np.finfo(start.dtype).eps) ** 0.2
    columns = []
    for direction in np.eye(start.size) * h:
        one = (value(start + direction) - value(start - direction)) / (2 * h)
        two = (value(start + 2 * direction) - value(start - 2 * direction)) / (4 * h)
        columns.append((4 * one - two) / 3)
    return np.stack(columns, axis=1)


def test_the_table_covers_what_it_is_for() -> None:
    assert len(FUNCTIONS) >= 60
    assert {case.outputs for case in FUNCTIONS.values()} >= {1, 2, 3, 4}
    assert all(name == case.name for name, case in FUNCTIONS.items())


@pytest.mark.slow(cases=["rows_filled", "transformer_scanned_layers", "transformer_scanned_remat", "transformer_tied"])
@each
def test_a_case_is_one_function_with_the_same_numbers_in_every_dtype(name: str) -> None:
    leaves = []
    for dtype in (jnp.float32, jnp.float64):
        with jax.enable_x64(dtype == jnp.float64):
            f, params, x = made(name, dtype)
            y = jax.eval_shape(jax.vmap(f, (None, 0)), params, x)  # under strict promotion, see conftest.py
        assert y.shape == (4, FUNCTIONS[name].outputs) and y.dtype == dtype
        leaves.append(jax.tree.leaves((params, x)))
        assert {leaf.dtype for leaf in leaves[-1]} <= {
            np.dtype(d) for d in (dtype, complex_of(dtype), "i4", "i1", "u1", "?")
        }
    for single, double in zip(*leaves, strict=True):
        np.testing.assert_array_equal(np.asarray(single, double.dtype), double)


def test_a_case_is_the_same_every_time() -> None:
    first, again = (jax.tree.leaves(made("maml_task", jnp.float32)[1:]) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


@pytest.mark.slow(but=["odd_leaves"])
@each
def test_the_oracle_is_symmetric_positive_and_within_tolerance_of_itself_in_float64(name: str) -> None:
    with jax.enable_x64(True):
        exact = oracles.explicit_ntk(*made(name, jnp.float64))
    K = oracles.explicit_ntk(*made(name, jnp.float32))
    n, o = 4, FUNCTIONS[name].outputs
    assert K.shape == exact.shape == (n, n, o, o) and K.dtype == np.float64
    assert np.abs(K - exact).max() < FUNCTIONS[name].tolerance(jnp.float32) * np.abs(exact).max()
    for full in (square(K), square(exact)):
        np.testing.assert_allclose(full, full.T, rtol=1e-14, atol=1e-14 * np.abs(full).max())
        values = np.linalg.eigvalsh(full)
        assert values[0] > -1e-13 * values[-1] and values[-1] > 0


@pytest.mark.slow(but=["odd_leaves", "while_loop"])
@pytest.mark.parametrize("name", ["rnn_outputs", "maml_task", "while_loop", "odd_leaves", "slices_overlapping"])
def test_the_oracle_equals_finite_differences(x64, name: str) -> None:
    f, params, x = made(name, jnp.float64, 3)
    J = jacobian_by_differences(f, params, x)
    K = square(oracles.explicit_ntk(f, params, x))
    # the differences leave h^4 = 2e-13 times the fifth derivative, and eps / h = 3e-13
    np.testing.assert_allclose(K, J @ J.T, rtol=0, atol=1e-8 * np.abs(K).max())


def test_custom_rules_are_what_the_oracle_follows(x64) -> None:
    f, params, x = made("custom_vjp", jnp.float64, 3)
    J = jacobian_by_differences(f, params, x)
    K = square(oracles.explicit_ntk(f, params, x))
    assert np.abs(K - J @ J.T).max() > 0.1 * np.abs(K).max()


@pytest.mark.slow(but=["while_loop"])
@pytest.mark.parametrize("name", ["padded_sequence", "while_loop"])
def test_two_batches_give_the_block_between_them(x64, name: str) -> None:
    f, params, x = made(name, jnp.float64, 5)
    left, right = (jax.tree.map(lambda a, s=s: a[s], x) for s in (slice(0, 2), slice(2, 5)))
    block = oracles.explicit_ntk(f, params, left, right)
    np.testing.assert_allclose(block, oracles.explicit_ntk(f, params, x)[:2, 2:], rtol=1e-12, atol=1e-14)


def test_an_error_of_the_function_is_not_taken_for_a_missing_mode() -> None:
    def f(params: Any, x: Any) -> Any:
        raise ValueError("not this one")

    with pytest.raises(ValueError, match="not this one"):
        oracles.explicit_ntk(f, jnp.ones(2), jnp.ones((1, 2)))
