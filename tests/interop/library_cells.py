"""The recurrent cells of other libraries as functions, for tests: their own code and initialisers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

X = np.random.RandomState(0).randn(2, 6, 3).astype(np.float32)  # n = 2 sequences, t = 6, d = 3
Maker = Callable[[int], tuple[Any, Callable[[int], Any], Callable[[Any, jax.Array], jax.Array]]]
"""h -> (what `limit_of` takes, seed -> params, (params, x) -> the last state)."""


def last(step: Callable[[Any, jax.Array], Any], carry: Any, x: jax.Array) -> Any:
    return jax.lax.scan(lambda c, u: (step(c, u), None), carry, x)[0]


def start(h: int, lstm: bool) -> Any:
    zero = jnp.zeros(h)
    return (zero, zero) if lstm else zero


def of_nnx(name: str) -> Maker:
    from flax import nnx

    lstm = "LSTM" in name

    def make(h: int) -> Any:
        new = lambda seed: getattr(nnx, name)(3, h, rngs=nnx.Rngs(seed))  # noqa: E731
        structure = nnx.split(new(0))[0]

        def apply(params: Any, x: jax.Array) -> jax.Array:
            cell = nnx.merge(structure, params)
            found = last(lambda c, u: cell(c, u)[0], start(h, lstm), x)
            return found[1] if lstm else found

        return new(0), lambda seed: nnx.split(new(seed))[1], apply

    return make


def of_linen(name: str) -> Maker:
    from flax import linen

    lstm = "LSTM" in name

    def make(h: int) -> Any:
        cell = getattr(linen, name)(features=h)
        zero = start(h, lstm)
        init = jax.jit(cell.init)

        def apply(params: Any, x: jax.Array) -> jax.Array:
            found = last(lambda c, u: cell.apply({"params": params}, c, u)[0], zero, x)
            return found[1] if lstm else found

        return cell, lambda seed: init(jax.random.key(seed), zero, jnp.ones(3))["params"], apply

    return make


def of_equinox(name: str) -> Maker:
    import equinox as eqx

    lstm = "LSTM" in name

    def make(h: int) -> Any:
        new = lambda seed: getattr(eqx.nn, name)(3, h, key=jax.random.key(seed))  # noqa: E731

        def apply(params: Any, x: jax.Array) -> jax.Array:
            found = last(lambda c, u: params(u, c), start(h, lstm), x)
            return found[0] if lstm else found

        return new(0), new, apply

    return make


def of_haiku(name: str) -> Maker:
    import haiku as hk

    def make(h: int) -> Any:
        new = lambda: getattr(hk, name)(h)  # noqa: E731

        def run(x: jax.Array) -> jax.Array:
            cell = new()
            return hk.dynamic_unroll(cell, x, cell.initial_state(None))[0][-1]

        both = hk.transform(run)
        init = jax.jit(both.init)
        return new, lambda seed: init(jax.random.key(seed), jnp.ones((2, 3))), lambda p, x: both.apply(p, None, x)

    return make


ROWS: dict[str, tuple[Callable[[str], Maker], str]] = {
    "nnx.GRUCell": (of_nnx, "GRUCell"),
    "nnx.LSTMCell": (of_nnx, "LSTMCell"),
    "nnx.OptimizedLSTMCell": (of_nnx, "OptimizedLSTMCell"),
    "nnx.SimpleCell": (of_nnx, "SimpleCell"),
    "linen.GRUCell": (of_linen, "GRUCell"),
    "linen.LSTMCell": (of_linen, "LSTMCell"),
    "linen.OptimizedLSTMCell": (of_linen, "OptimizedLSTMCell"),
    "linen.SimpleCell": (of_linen, "SimpleCell"),
    "equinox.GRUCell": (of_equinox, "GRUCell"),
    "equinox.LSTMCell": (of_equinox, "LSTMCell"),
    "haiku.GRU": (of_haiku, "GRU"),
    "haiku.LSTM": (of_haiku, "LSTM"),
    "haiku.VanillaRNN": (of_haiku, "VanillaRNN"),
}


def tangent_kernel(params: Any, apply: Any, key: jax.Array, x: jax.Array) -> jax.Array:
    """The tangent kernel of r.h_T/sqrt(h), r = -1 or 1, between two examples."""
    h = jax.eval_shape(apply, params, x[0]).shape[0]
    r = jax.random.rademacher(key, (h,), jnp.float32) * h**-0.5
    J = jax.vmap(lambda u: jax.grad(lambda p: jnp.sum(r * apply(p, u)), allow_int=True)(params))(x)
    leaves = [a.reshape(2, -1) for a in jax.tree.leaves(J) if jnp.issubdtype(a.dtype, jnp.floating)]
    return jnp.sum(jnp.stack([a @ a.T for a in leaves]), axis=0)


def measured(init: Any, apply: Any, h: int, seeds: int, tangent: bool) -> tuple[np.ndarray, np.ndarray]:
    """Mean over seeds and its standard error: <h_T, h'_T>/h, or the tangent kernel of r.h_T/sqrt(h), r = -1 or 1."""
    x = jnp.asarray(X)

    @jax.jit
    def one(params: Any, key: jax.Array) -> jax.Array:
        if not tangent:
            states = jax.vmap(lambda u: apply(params, u))(x)
            return states @ states.T / h
        return tangent_kernel(params, apply, key, x)

    found = np.stack([np.asarray(one(init(s), jax.random.key(s)), np.float64) for s in range(seeds)])
    return found.mean(axis=0), found.std(axis=0, ddof=1) / seeds**0.5
