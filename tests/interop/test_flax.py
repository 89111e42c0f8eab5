"""Are flax models, linen and nnx, functions whose empirical kernel is exact, with nothing but parameters in it?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq.empirical import ntk
from ntkseq.interop import flax
from tests import oracles

pytest.importorskip("flax", reason="flax is not installed")
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*:UserWarning"),
]

X = np.random.default_rng(0).standard_normal((3, 5, 4)).astype(np.float32)
TOKENS = np.random.default_rng(0).integers(0, 7, (3, 5)).astype(np.int32)


@pytest.fixture(autouse=True)
def promotion() -> Any:
    """flax is written for JAX's default rules."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def recurrent() -> tuple[Any, Any, Any]:
    from flax import linen

    class Net(linen.Module):
        @linen.compact
        def __call__(self, x: Any) -> Any:
            h = linen.RNN(linen.GRUCell(6))(x[None])[0]
            return linen.Dense(2)(linen.BatchNorm(use_running_average=True)(h).mean(0))

    net = Net()
    variables = net.init(jax.random.key(1), X[0])
    return lambda: flax.function(net, variables), lambda x: net.apply(variables, x), X


def image() -> tuple[Any, Any, Any]:
    from flax import linen

    class Net(linen.Module):
        @linen.compact
        def __call__(self, x: Any) -> Any:
            return linen.Dense(2)(linen.relu(linen.Conv(4, (3, 3))(x)).mean((1, 2)))

    x = X.reshape(3, 5, 2, 2)
    net = Net()
    variables = net.init(jax.random.key(1), x)
    return lambda: flax.function(net, variables, batched=True), lambda a: net.apply(variables, a[None])[0], x


def scanned() -> tuple[Any, Any, Any]:
    from flax import linen

    class Block(linen.Module):
        @linen.compact
        def __call__(self, h: Any, _: Any) -> Any:
            return h + linen.tanh(linen.Dense(4)(h)), None

    class Net(linen.Module):
        @linen.compact
        def __call__(self, x: Any) -> Any:
            repeat = linen.scan(linen.remat(Block), variable_axes={"params": 0}, split_rngs={"params": True}, length=3)
            return linen.Dense(2)(repeat()(x, None)[0].mean(0))

    net = Net()
    variables = net.init(jax.random.key(1), X[0])
    return lambda: flax.function(net, variables), lambda x: net.apply(variables, x), X


def new_interface() -> tuple[Any, Any, Any]:
    from flax import nnx

    class Net(nnx.Module):
        def __init__(self, rngs: Any) -> None:
            self.tokens = nnx.Embed(7, 4, rngs=rngs)
            self.cell = nnx.RNN(nnx.GRUCell(4, 6, rngs=rngs))
            self.drop = nnx.Dropout(0.5, rngs=rngs, deterministic=True)
            self.norm = nnx.BatchNorm(6, use_running_average=True, rngs=rngs)
            self.out = nnx.Linear(6, 2, rngs=rngs)

        def __call__(self, tokens: Any) -> Any:
            return self.out(self.drop(self.norm(self.cell(self.tokens(tokens)[None])[0])).mean(0))

    net = Net(nnx.Rngs(0))
    return lambda: flax.function(net), net, TOKENS


def shared() -> tuple[Any, Any, Any]:
    """One layer that stands in the model twice is one parameter."""
    from flax import nnx

    class Net(nnx.Module):
        def __init__(self, rngs: Any) -> None:
            self.first = nnx.Linear(4, 4, rngs=rngs)
            self.second = self.first

        def __call__(self, x: Any) -> Any:
            return self.second(jnp.tanh(self.first(x))).mean(0)

    net = Net(nnx.Rngs(0))
    return lambda: flax.function(net), net, X


MODELS: dict[str, Callable[[], tuple[Any, Any, Any]]] = {
    "linen, recurrent": recurrent, "linen, batched": image, "linen, scan and remat": scanned,
    "nnx": new_interface, "nnx, shared": shared,
}  # fmt: skip
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


def test_only_parameters_count() -> None:
    make, *_ = MODELS["nnx"]()
    _, params = make()
    assert all(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in jax.tree.leaves(params))
    assert not any("mean" in str(path) for path, _ in jax.tree.leaves_with_path(params))
    make, *_ = MODELS["nnx, shared"]()
    assert len(jax.tree.leaves(make()[1])) == 2


def test_a_model_is_never_changed() -> None:
    from flax import nnx

    net = nnx.Sequential(nnx.Linear(4, 4, rngs=nnx.Rngs(0)), nnx.BatchNorm(4, rngs=nnx.Rngs(0)))  # training mode
    f, params = flax.function(net)
    first = f(params, X[0])
    np.testing.assert_array_equal(f(params, X[0]), first)
    np.testing.assert_array_equal(net.layers[1].mean[...], 0.0)
    net.layers[0].kernel[...] = net.layers[0].kernel[...] * 0
    np.testing.assert_array_equal(f(params, X[0]), first)


def test_what_is_no_model_is_named() -> None:
    from flax import linen

    net = linen.Dense(2)
    variables = net.init(jax.random.key(0), X[0])
    for given, message in (
        ((net,), "collection 'params'; got NoneType"),
        ((net, variables["params"]), "got the keys"),
        ((linen.Dense, variables), "got the class Dense"),
        ((3,), "got int"),
        ((net.bind(variables),), "not bound"),
    ):
        with pytest.raises(ValueError, match=message):
            flax.function(*given)
