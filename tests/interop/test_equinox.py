"""Are equinox models functions whose empirical kernel is exact?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq.empirical import ntk
from ntkseq.interop import equinox
from tests import oracles

pytest.importorskip("equinox", reason="equinox is not installed")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

X = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
TOKENS = np.random.default_rng(0).integers(0, 7, (3, 5)).astype(np.int32)


@pytest.fixture(autouse=True)
def promotion() -> Any:
    """equinox is written for JAX's default rules."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def mlp() -> tuple[Any, Any, Any]:
    import equinox as eqx

    net = eqx.nn.MLP(4, 2, 8, 1, key=jax.random.key(0))
    return lambda: equinox.function(net), net, X


def use(model: Any, tokens: Any) -> Any:
    """Embedding, LSTM over time, attention, read-out of the mean."""
    embedding, cell, attention, out = model

    def step(carry: Any, u: Any) -> Any:
        carry = cell(u, carry)
        return carry, carry[0]

    start = (jnp.zeros(6, embedding.weight.dtype),) * 2
    _, h = jax.lax.scan(step, start, jax.vmap(embedding)(tokens))
    return out(attention(h, h, h).mean(0))


def parts() -> tuple[Any, Any, Any]:
    import equinox as eqx

    k = jax.random.split(jax.random.key(2), 4)
    model = (
        eqx.nn.Embedding(7, 4, key=k[0]), eqx.nn.LSTMCell(4, 6, key=k[1]), eqx.nn.MultiheadAttention(2, 6, key=k[2]),
        eqx.nn.Linear(6, 2, key=k[3]),
    )  # fmt: skip
    return lambda: equinox.function(model, call=use), lambda tokens: use(model, tokens), TOKENS


def image() -> tuple[Any, Any, Any]:
    import equinox as eqx

    conv = eqx.nn.Conv1d(1, 3, 2, key=jax.random.key(0))
    net = eqx.nn.Sequential([conv, eqx.nn.Lambda(jnp.tanh), eqx.nn.Lambda(lambda h: h.mean(1))])
    return lambda: equinox.function(net), net, X[:, None]


MODELS: dict[str, Callable[[], tuple[Any, Any, Any]]] = {"MLP": mlp, "LSTM and attention": parts, "convolution": image}
each = pytest.mark.parametrize("name", MODELS)


@each
def test_the_kernel_is_that_of_the_model(name: str) -> None:
    make, want, x = MODELS[name]()
    f, params = make()
    np.testing.assert_allclose(f(params, x[0]), want(x[0]), rtol=1e-5, atol=1e-6)
    exact = np.diagonal(oracles.explicit_ntk(f, params, x), axis1=2, axis2=3).mean(axis=2)
    values = np.asarray(ntk.NTK(f, params)(x), np.float64)
    assert np.abs(values - exact).max() < 1e-5 * np.abs(exact).max()


@each
def test_the_same_model_again_compiles_nothing(name: str) -> None:
    make, _, x = MODELS[name]()
    ntk.NTK(*make())(x)
    sizes = ntk._prepare._cache_size(), ntk._square._cache_size()
    ntk.NTK(*make())(x)
    assert sizes == (ntk._prepare._cache_size(), ntk._square._cache_size())


def test_what_is_no_model_is_named() -> None:
    import equinox as eqx

    for given, message in (
        (3, "got int"),
        (eqx.nn.MLP, "got the class MLP"),
        (lambda x: x, "that can be called; got function"),
        (eqx.nn.Lambda(jnp.tanh), "without any"),
    ):
        with pytest.raises(ValueError, match=message):
            equinox.function(given)
