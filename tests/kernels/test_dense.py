"""Is the kernel of a fully connected network the one of its textbook recursion?"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq.kernels import Dense, Recurrent
from tests import oracles

X = np.random.default_rng(1).standard_normal((4, 3)) * np.array([[1], [10], [0.01], [1]])


@pytest.mark.slow(but=["{'activation': 'erf', 'depth': 2, 'kind': 'nngp'}"])
@pytest.mark.parametrize(
    "choice",
    [
        {"depth": 3},
        {"activation": "abs", "train": "Wb", "depth": 2, "input_scale": "none"},
        {"activation": "erf", "depth": 2, "kind": "nngp"},
        {"activation": "gelu", "train": "R"},
        {"depth": 2, "train": ("", "WR")},
    ],
    ids=str,
)
def test_kernel_equals_the_textbook_recursion(choice, x64) -> None:
    scales = {"sigma_w": 1.3, "sigma_b": 0.2, "sigma_r": 0.7}
    arguments = {**choice, **scales}
    got = np.asarray(Dense(**arguments)(X))
    want = oracles.dense(X, dual=oracles.DUALS[arguments.pop("activation", "relu")], **arguments)
    root = np.sqrt(np.diagonal(want))
    assert np.max(np.abs(got - want) / np.outer(root, root)) < 1e-12


@pytest.mark.slow
def test_it_is_the_recurrent_kernel_of_one_step(x64) -> None:
    got = Dense(sigma_w=1.3, sigma_b=0.2)(X)
    np.testing.assert_allclose(got, Recurrent(sigma_u=1.3, sigma_b=0.2)(X[:, None]), rtol=1e-13)


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["relu", "erf"])
def test_many_features_are_summed_in_a_loop_with_the_same_result(activation, x64) -> None:
    x = np.random.default_rng(0).standard_normal((3, 61))
    want = oracles.dense(x, dual=oracles.DUALS[activation], sigma_w=1.3, sigma_b=0.1)
    np.testing.assert_allclose(Dense(sigma_w=1.3, sigma_b=0.1, activation=activation)(x), want, rtol=1e-12)


@pytest.mark.slow
def test_opposite_inputs_are_exact_when_there_is_a_bias(x64) -> None:
    x = jnp.asarray(np.concatenate([X, -X]).astype(np.float32))
    got = np.asarray(Dense(sigma_b=0.3)(x), float)
    want = np.asarray(Dense(sigma_b=0.3)(x.astype(jnp.float64)))
    root = np.sqrt(np.diagonal(want))
    assert np.max(np.abs(got - want) / np.outer(root, root)) < 3e-6
