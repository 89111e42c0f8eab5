"""Is a Taylor polynomial of a network the network up to the next order?"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import empirical
from tests.empirical.functions import FUNCTIONS


def made(name: str = "rnn_outputs") -> tuple[Any, Any, Any]:
    f, params, inputs = FUNCTIONS[name].make(jnp.float64)
    return f, params, inputs(jax.random.key(1), 3)


def moved(params: Any, step: float) -> Any:
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: leaf + step * jnp.asarray(rng.standard_normal(leaf.shape)), params)


@pytest.mark.slow
@pytest.mark.parametrize("degree", [1, 2])
def test_the_error_falls_with_the_next_power_of_the_step(x64, degree: int) -> None:
    f, params, x = made()
    polynomial = empirical.taylor(f, params, degree)
    errors = []
    for step in (1e-2, 5e-3):
        there = moved(params, step)
        exact = jax.vmap(f, (None, 0))(there, x)
        errors.append(np.abs(polynomial.batch(there, x) - exact).max())
    assert abs(np.log2(errors[0] / errors[1]) - degree - 1) < 0.2


@pytest.mark.slow
def test_at_its_own_parameters_it_is_the_function(x64) -> None:
    f, params, x = made()
    exact = jax.vmap(f, (None, 0))(params, x)
    for degree in (1, 2):
        polynomial = empirical.taylor(f, params, degree)
        np.testing.assert_allclose(polynomial.batch(polynomial.params, x), exact, rtol=1e-14)
        np.testing.assert_allclose(polynomial(params, x[0]), exact[0], rtol=1e-14)


def test_its_kernel_is_that_of_the_function_wherever_it_is_taken(x64) -> None:
    f, params, x = made()
    linear = empirical.linearize(f, params)
    kernel = empirical.NTK(linear, moved(params, 0.3), outputs="full")
    exact = empirical.NTK(f, params, outputs="full")(x)
    np.testing.assert_allclose(kernel(x), exact, rtol=0, atol=1e-12 * np.abs(exact).max())


def test_what_is_not_trained_stays(x64) -> None:
    f, params, x = made()
    names = list(empirical.NTK(f, params).by_leaf(x))
    linear = empirical.linearize(f, params, trainable=lambda name: name == names[0])
    there = moved(params, 0.1)
    only = jax.tree.unflatten(jax.tree.structure(params), [jax.tree.leaves(there)[0], *jax.tree.leaves(params)[1:]])
    np.testing.assert_allclose(linear.batch(there, x), linear.batch(only, x), rtol=1e-14)


def test_bad_input_is_named() -> None:
    f, params, inputs = FUNCTIONS["rnn"].make(jnp.float32)
    x = inputs(jax.random.key(0), 2)
    with pytest.raises(ValueError, match="degree"):
        empirical.taylor(f, params, 3)
    linear = empirical.linearize(f, params)
    with pytest.raises(ValueError, match="structure of the parameters"):
        linear(jnp.ones(3), x[0])
    with pytest.raises(ValueError, match="must have shape"):
        linear(jax.tree.map(lambda leaf: leaf[None], params), x[0])
