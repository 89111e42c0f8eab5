"""Do leaves share a delta exactly where their results are only added up, and is the kernel the same as without?"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from ntkseq import empirical
from ntkseq.empirical.structure import examine
from tests import oracles

D, H, T = 3, 4, 5


def cell(p: Any, h: jax.Array, u: jax.Array) -> jax.Array:
    return h @ p["W"] + u @ p["U"] + p["b"]


def shared(p: Any, h: jax.Array, u: jax.Array) -> jax.Array:
    return jnp.tanh(cell(p, h, u))


def gated(p: Any, h: jax.Array, u: jax.Array) -> jax.Array:
    return jnp.tanh((h @ p["W"]) * h + u @ p["U"])


def read_twice(p: Any, h: jax.Array, u: jax.Array) -> jax.Array:
    past = h @ p["W"]
    return jnp.tanh(past + u @ p["U"]) + 0.1 * past


def doubled(p: Any, h: jax.Array, u: jax.Array) -> jax.Array:
    now = u @ p["U"]
    return jnp.tanh(h @ p["W"] + (now + now))


def checkpointed(p: Any, h: jax.Array, u: jax.Array) -> jax.Array:
    return jnp.tanh(jax.checkpoint(lambda h, u: cell(p, h, u))(h, u))


def scaled(p: Any, h: jax.Array, u: jax.Array) -> jax.Array:
    return jnp.tanh((0.3 - (h @ p["W"] / H**0.5 + 1.0)) + 2.0 * -(u @ p["U"]))


def alternating(p: Any, h: jax.Array, u: jax.Array) -> jax.Array:
    h = jnp.tanh(h @ p["W"] + u @ p["U"])
    return jnp.tanh(h @ p["W"] - u @ p["U"])


def branched(p: Any, h: jax.Array, u: jax.Array) -> jax.Array:
    return jnp.tanh(lax.cond(u[0] > 0, lambda: cell(p, h, u), lambda: h @ p["W"]))


# name: (step, whether W and U have one delta)
STEPS = {
    "shared": (shared, True),
    "gated": (gated, False),
    "read twice": (read_twice, False),
    "doubled": (doubled, False),
    "checkpointed": (checkpointed, True),
    "branched": (branched, False),
    "alternating": (alternating, True),
    "scaled and subtracted": (scaled, True),
}


def network(step: Any) -> tuple[Any, Any, Any]:
    keys = jax.random.split(jax.random.key(0), 6)
    params = {
        "W": jax.random.normal(keys[0], (H, H)), "U": jax.random.normal(keys[1], (D, H)),
        "b": jax.random.normal(keys[2], (H,)), "V": jax.random.normal(keys[3], (H, 2)),
    }  # fmt: skip

    def f(p: Any, x: jax.Array) -> jax.Array:
        start = jnp.ones(H, x.dtype)
        return lax.scan(lambda h, u: (step(p, h, u), None), start, x)[0] @ p["V"]

    return f, params, jax.random.normal(keys[4], (6, T, D))


def members(kernel: empirical.NTK, x: Any) -> set[tuple[str, ...]]:
    names = kernel.function.names
    groups = examine(kernel.function, kernel.function.inputs(x)).groups
    return {tuple(names[k] for k in group.members) for group in groups}


@pytest.mark.slow(but=["full-read twice"])
@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("outputs", ["full", "mean", 0])
def test_the_kernel_is_exact_and_leaves_are_joined_where_they_may_be(x64, name: str, outputs: Any) -> None:
    step, joined = STEPS[name]
    f, params, x = network(step)
    kernel = empirical.NTK(f, params, outputs=outputs, method="structured")
    exact = oracles.explicit_ntk(f, params, x)
    if outputs == "mean":
        exact = np.trace(exact, axis1=2, axis2=3) / 2
    elif outputs == 0:
        exact = exact[:, :, 0, 0]
    np.testing.assert_allclose(kernel(x), exact, rtol=1e-11, atol=1e-11 * np.abs(exact).max())
    assert (("['U']", "['W']") in members(kernel, x)) == joined


@pytest.mark.slow
def test_scaled_leaves_share_a_delta_and_keep_their_scales(x64) -> None:
    f, params, x = network(lambda p, h, u: jnp.tanh(0.5 * cell({**p, "W": p["W"] * 0.7, "U": -p["U"] / 3}, h, u)))
    rates = {"W": 2.0, "U": 0.3}
    kernel = empirical.NTK(f, params, rates=rates, method="structured")
    assert ("['U']", "['W']") in members(kernel, x)
    roots = {"W": 2.0**0.5, "U": 0.3**0.5, "b": 1.0, "V": 1.0}
    slow = {name: leaf / roots[name] for name, leaf in params.items()}
    exact = oracles.explicit_ntk(lambda p, x: f({k: roots[k] * leaf for k, leaf in p.items()}, x), slow, x)
    np.testing.assert_allclose(kernel(x), np.trace(exact, axis1=2, axis2=3) / 2, rtol=1e-11)


@pytest.mark.slow
def test_each_leaf_has_a_part_and_an_order_of_its_own(x64) -> None:
    f, params, x = network(shared)
    kernel = empirical.NTK(f, params)
    parts = kernel.by_leaf(x)
    assert set(parts) == {"['U']", "['V']", "['W']", "['b']"}
    np.testing.assert_allclose(sum(parts.values()), kernel(x), rtol=1e-12)
    asked = kernel.with_(method=empirical.Cheapest(orders={"U": "weights"})).plan(x)
    assert [part.order for part in asked.parts if part.leaves == ("['U']",)] == ["weights"]
