"""Tests of ntkseq._keys: typed random keys in examples, parameters and states."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntkseq
from ntkseq import empirical, training
from ntkseq._keys import laid_open, made_again

Z = jax.random.normal(jax.random.key(0), (4, 3))
PARAMS = {"A": jax.random.normal(jax.random.key(1), (3, 5)), "B": jnp.ones((5, 2))}


def dropped(params: Any, x: Any) -> Any:
    kept = jax.random.bernoulli(x["key"], 0.7, (5,))
    return jnp.matmul(jnp.where(kept, jnp.tanh(x["z"] @ params["A"]), 0), params["B"], precision="highest")


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg"])
def test_keys_become_numbers_and_keys_again(impl) -> None:
    tree = {"key": jax.random.split(jax.random.key(3, impl=impl), 4), "z": Z}
    opened = laid_open(tree)
    assert all(jnp.issubdtype(leaf.dtype, jnp.number) for leaf in jax.tree.leaves(opened))
    again = made_again(opened)
    assert again["key"].dtype == tree["key"].dtype and (again["key"] == tree["key"]).all() and made_again(Z) is Z


@pytest.mark.slow
def test_keys_that_ride_with_the_examples_give_the_kernel_of_raw_keys() -> None:
    keys = jax.random.split(jax.random.key(2), 4)
    x, raw = {"z": Z, "key": keys}, {"z": Z, "key": jax.random.key_data(keys)}
    again = lambda params, x: dropped(params, {**x, "key": jax.random.wrap_key_data(x["key"])})  # noqa: E731
    want = empirical.NTK(again, PARAMS)(raw)
    kernel = empirical.NTK(dropped, PARAMS)
    np.testing.assert_allclose(kernel(x), want, rtol=1e-6)
    np.testing.assert_allclose(ntkseq.gram(kernel, x).dense(), want, rtol=1e-6)
    probes = [training.KernelProbe(dropped, x), training.LossProbe(dropped, {"a": (x, Z[:, :2])}, loss="squared")]
    assert np.isfinite(training.track(probes, PARAMS)["kernel"]["trace"]).all()


def test_keys_among_the_parameters_are_constants_and_stay_keys() -> None:
    params = PARAMS | {"key": jax.random.key(5)}
    f = lambda p, x: jnp.tanh(x @ p["A"]) @ p["B"]  # noqa: E731
    kernel = empirical.NTK(f, params)
    np.testing.assert_allclose(kernel(Z), empirical.NTK(f, PARAMS)(Z), rtol=1e-6)
    assert kernel.params["key"].dtype == params["key"].dtype and kernel.with_(params=params).function.names == [
        "['A']",
        "['B']",
    ]
    with pytest.raises(ValueError, match="f must not draw"):
        empirical.NTK(lambda p, x: dropped(p, {"z": x, "key": p["key"]}), params)(Z)


@pytest.mark.slow
def test_a_whole_state_of_flax_nnx_can_be_tracked() -> None:
    nnx = pytest.importorskip("flax.nnx")
    model = nnx.Sequential(nnx.Linear(3, 2, rngs=nnx.Rngs(0)), nnx.Dropout(0.5, deterministic=True, rngs=nnx.Rngs(1)))
    graph, state = nnx.split(model)
    f = lambda state, x: nnx.merge(graph, state)(x)  # noqa: E731
    history = training.track([training.KernelProbe(f, Z), training.MovementProbe()], state).update(100, state)
    assert history["movement"]["distance"].tolist() == [0.0, 0.0]
    assert empirical.NTK(f, state)(Z).shape == (4, 4)
