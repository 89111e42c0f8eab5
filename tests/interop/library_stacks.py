"""Stacks of layers of other libraries as functions, for tests: their own code and initialisers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tests.interop import library_cells
from tests.interop.library_cells import X

Made = tuple[Any, Callable[[int], Any], Callable[[Any, jax.Array], jax.Array]]
"""What `limit_of` takes, seed -> params, (params, x) -> (n, h), what stands behind the last layer at the last step."""


def heads(h: int) -> int:
    """So many that heads and their coordinates grow alike, as the limit needs."""
    return int(h**0.5)


def of_nnx(build: Callable[[Any, Any, int], Any]) -> Callable[[int], Made]:
    from flax import nnx

    def make(h: int) -> Made:
        new = lambda seed: build(nnx, nnx.Rngs(seed), h)  # noqa: E731
        structure = nnx.split(new(0))[0]
        return (
            new(0),
            lambda seed: nnx.split(new(seed))[1],
            lambda params, x: nnx.merge(structure, params)(x)[:, -1],
        )

    return make


def of_linen(build: Callable[[Any, int], Any]) -> Callable[[int], Made]:
    from flax import linen

    def make(h: int) -> Made:
        module = build(linen, h)
        init = jax.jit(module.init)
        return (
            module,
            lambda seed: init(jax.random.key(seed), jnp.asarray(X)),
            lambda params, x: module.apply(params, x)[:, -1],
        )

    return make


def of_equinox(h: int) -> Made:
    """The loops over steps and tokens are the user's."""
    import equinox as eqx

    def new(seed: int) -> Any:
        keys = jax.random.split(jax.random.key(seed), 4)
        return [
            eqx.nn.GRUCell(3, h, key=keys[0]),
            eqx.nn.LayerNorm(h),
            eqx.nn.MultiheadAttention(heads(h), h, key=keys[1]),
            eqx.nn.Dropout(0.3, inference=True),
            eqx.nn.LSTMCell(h, h, key=keys[2]),
        ]

    def apply(layers: Any, x: jax.Array) -> jax.Array:
        gru, norm, attention, dropout, lstm = layers
        states = jax.lax.scan(lambda c, u: (gru(u, c),) * 2, jnp.zeros(h), x)[1]
        tokens = jax.vmap(norm)(states)
        tokens = dropout(attention(tokens, tokens, tokens))
        return jax.lax.scan(lambda c, u: (lstm(u, c), None), (jnp.zeros(h),) * 2, tokens)[0][0]

    rest = eqx.partition(new(0), eqx.is_array)[1]
    return (
        new(0),
        lambda seed: eqx.partition(new(seed), eqx.is_array)[0],
        lambda layers, x: jax.vmap(lambda one: apply(eqx.combine(layers, rest), one))(x),
    )


def of_haiku(h: int) -> Made:
    import haiku as hk

    new = lambda: hk.DeepRNN([hk.GRU(h), jax.nn.relu, hk.LSTM(h), jnp.tanh, hk.Linear(h)])  # noqa: E731

    def run(x: jax.Array) -> jax.Array:
        core = new()
        return hk.dynamic_unroll(core, x, core.initial_state(len(x)), time_major=False)[0][:, -1]

    both = hk.transform(run)
    init = jax.jit(both.init)
    return new, lambda seed: init(jax.random.key(seed), jnp.asarray(X)), lambda p, x: both.apply(p, None, x)


def _two_ways(nnx: Any, rngs: Any, h: int) -> Any:
    """Both directions, then one that turns the tokens round for all behind it."""
    rnn = lambda d, n, **how: nnx.RNN(nnx.SimpleCell(d, n, rngs=rngs), **how)  # noqa: E731
    return nnx.Sequential(
        nnx.Bidirectional(rnn(3, h), rnn(3, h)),
        nnx.Linear(2 * h, h, rngs=rngs),
        nnx.relu,
        rnn(h, h, reverse=True),
        rnn(h, h),
    )


def _gated(nnx: Any, rngs: Any, h: int) -> Any:
    return nnx.Sequential(
        nnx.RNN(nnx.GRUCell(3, h, rngs=rngs)),
        nnx.LayerNorm(h, rngs=rngs),
        nnx.Bidirectional(
            nnx.RNN(nnx.OptimizedLSTMCell(h, h, rngs=rngs)), nnx.RNN(nnx.OptimizedLSTMCell(h, h, rngs=rngs))
        ),
        nnx.relu,
        nnx.Linear(2 * h, h, rngs=rngs),
        nnx.tanh,
    )


def _attended(linen: Any, h: int) -> Any:
    return linen.Sequential([
        linen.RNN(linen.GRUCell(h), reverse=True, keep_order=True),
        linen.LayerNorm(),
        linen.MultiHeadDotProductAttention(heads(h), qkv_features=h),
        linen.Dense(h),
        linen.gelu,
    ])  # fmt: skip


def _plain(linen: Any, h: int) -> Any:
    rnn = lambda: linen.RNN(linen.SimpleCell(h), reverse=True)  # noqa: E731
    return linen.Sequential([linen.Dense(h), linen.tanh, rnn(), rnn()])


STACKS: dict[str, tuple[str, Callable[[], Callable[[int], Made]]]] = {
    "nnx, two ways": ("flax", lambda: of_nnx(_two_ways)),
    "nnx, gated": ("flax", lambda: of_nnx(_gated)),
    "linen, attended": ("flax", lambda: of_linen(_attended)),
    "linen, plain": ("flax", lambda: of_linen(_plain)),
    "equinox": ("equinox", lambda: of_equinox),
    "haiku": ("haiku", lambda: of_haiku),
}


def measured(made: Made, seeds: int, tangent: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Mean of <h, h'>/n over seeds and its standard error; or of the tangent kernel of r.h/sqrt(n), r = -1 or 1."""
    _, init, apply = made
    x = jnp.asarray(X)

    @jax.jit
    def one(params: Any, key: jax.Array) -> jax.Array:
        if tangent:
            return library_cells.tangent_kernel(params, lambda p, u: apply(p, u[None])[0], key, x)
        states = apply(params, x)
        return jnp.matmul(states, states.T, precision="highest") / states.shape[1]

    found = np.stack([np.asarray(one(init(s), jax.random.key(s)), np.float64) for s in range(seeds)])
    return found.mean(axis=0), found.std(axis=0, ddof=1) / seeds**0.5
