"""Is a computation known again in another process, and told from every other?"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ntkseq import models
from ntkseq.empirical import fingerprint

X = jax.ShapeDtypeStruct((3,), jnp.float32)


def of(f: Any, *arguments: Any) -> dict[str, Any]:
    return fingerprint.fingerprint(f, *(arguments or (X,)))


def rich() -> list[dict[str, Any]]:
    """Loops, branches, keys, custom derivatives, constants, a recurrent and an attention network, adam."""

    def f(x: Any) -> Any:
        noise = jax.random.bernoulli(jax.random.key(3), 0.5, x.shape)
        held = jnp.asarray(np.arange(3, dtype=np.float32))
        x = jnp.where(noise, jax.nn.relu(x) + held, jax.nn.gelu(x))
        x = jax.lax.fori_loop(0, 3, lambda i, v: jnp.sin(v) + i, x)
        x, _ = jax.lax.scan(lambda v, a: (jax.nn.silu(v) * a, a), x, held)
        return jax.lax.cond(x[0] > 0, jnp.tanh, lambda v: jax.lax.while_loop(lambda u: u[0] < 1, lambda u: u + 1, v), x)

    found = [of(f)]
    for net in (models.Recurrent(width=4), models.Gated(width=4)):
        x = jnp.zeros((3, 2))
        params = net.init(jax.random.key(0), x)
        found += fingerprint.parts(net.apply, params, x, lambda p, y: jnp.sum((p - y) ** 2), jnp.zeros(1)).values()
    adam = optax.adamw(optax.cosine_decay_schedule(0.1, 100))
    params = {"a": jnp.zeros(3), "b": jnp.zeros((2, 2))}
    state = adam.init(params)
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        return [*found, of(adam.update, params, state, params)]


@pytest.mark.slow
def test_another_process_finds_the_same() -> None:
    here = pathlib.Path(__file__)
    code = (
        f"import sys, json; sys.path[:0] = [{str(here.parent)!r}]; import test_fingerprint as t; "
        "print(json.dumps(t.rich()))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONHASHSEED": "7", "JAX_PLATFORMS": "cpu"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    there = json.loads(run.stdout.splitlines()[-1])
    first, again = json.loads(json.dumps(rich())), json.loads(json.dumps(rich()))
    for one, two, other in zip(first, again, there, strict=True):
        assert one["equations"] == two["equations"] == other["equations"]
        assert fingerprint.same(one, other) and fingerprint.same(one, two)
    assert len({one["equations"] for one in first}) == len(first) - 1  # the loss is there twice


def test_names_and_jit_do_not_count() -> None:
    def one(x: Any) -> Any:
        return jnp.sum(jax.nn.relu(x) * 2.0)

    two = jax.jit(lambda values: jnp.sum(jax.jit(jax.nn.relu)(values) * 2.0))
    assert of(one)["equations"] == of(two)["equations"]


def test_every_number_counts() -> None:
    numbers = [of(lambda x, c=c: x * c) for c in (1e-5, 1.0000001e-5, 0.0, 1.0, jnp.float32(1.0))]
    assert len({one["equations"] for one in numbers}) >= 4
    assert not fingerprint.same(numbers[0], numbers[1])


def test_arrays_count_beyond_the_rounding_of_another_machine() -> None:
    held = np.random.default_rng(0).standard_normal(1000).astype(np.float32)
    wide = jax.ShapeDtypeStruct(held.shape, jnp.float32)
    at = lambda array: of(lambda x: x @ jnp.asarray(array), wide)  # noqa: E731
    rounded, moved, ints = np.nextafter(held, np.float32(9.0)), held.copy(), np.arange(3)
    moved[5] += 1e-3
    assert fingerprint.same(at(held), at(rounded))
    assert not fingerprint.same(at(held), at(moved)) and not fingerprint.same(at(held), at(held[::-1].copy()))
    assert "other numbers in the arrays" in fingerprint.difference(at(held), at(moved))
    first, second = (of(lambda x, i=i: x[i]) for i in (ints, ints[::-1].copy()))
    assert not fingerprint.same(first, second)


def test_a_derivative_of_its_own_counts() -> None:
    def made(slope: float) -> Any:
        @jax.custom_vjp
        def act(x: Any) -> Any:
            return jnp.tanh(x)

        act.defvjp(lambda x: (jnp.tanh(x), x), lambda x, g: (g * slope,))
        return lambda w, x: act(w * x)

    square = lambda p, y: jnp.sum((p - y) ** 2)  # noqa: E731
    one, two = (fingerprint.parts(made(s), jnp.ones(3), jnp.ones(3), square, jnp.ones(3)) for s in (0.5, 0.25))
    assert not fingerprint.same(one["what f computes"], two["what f computes"])
    assert fingerprint.same(one["what the loss computes"], two["what the loss computes"])


def test_a_difference_is_said_in_operations() -> None:
    tanh, relu = of(lambda x: jnp.sum(jnp.tanh(x))), of(lambda x: jnp.sum(jnp.sin(jnp.sin(x))))
    assert fingerprint.difference(tanh, relu) == "had tanh and has sin 2 times, among 3 operations"
