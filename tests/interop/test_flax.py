"""Are flax models, linen and nnx, functions whose empirical kernel is exact, with nothing but parameters in it?"""

from __future__ import annotations

import functools
import importlib.util
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ntkseq import training
from ntkseq._struct import static, struct
from ntkseq.empirical import ntk
from ntkseq.empirical.methods import held as programs
from ntkseq.interop import flax
from ntkseq.training import held
from tests import oracles

pytest.importorskip("flax", reason="flax is not installed")
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*:UserWarning"),
]

X = np.random.default_rng(0).standard_normal((3, 5, 4)).astype(np.float32)
TOKENS = np.random.default_rng(0).integers(0, 7, (3, 5)).astype(np.int32)


@struct
class Calls(training.Probe):
    """A probe that has a function, and looks at nothing."""

    f: Any = static()
    every: Any = static(default=100)
    name: str = static(default="calls")
    kind = "calls"

    def measure(self, params: Any, start: Any, state: Any = None) -> Any:
        return ()

    def reduce(self, measured: Any, memory: Any) -> dict[str, Any]:
        return {"seen": True}


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


@pytest.mark.slow(but=["nnx, shared"])
@each
def test_the_kernel_is_that_of_the_model(name: str) -> None:
    make, want, x = MODELS[name]()
    f, params = make()
    np.testing.assert_allclose(f(params, x[0]), want(x[0]), rtol=1e-5, atol=1e-6)
    exact = np.diagonal(oracles.explicit_ntk(f, params, x), axis1=2, axis2=3).mean(axis=2)
    values = np.asarray(ntk.NTK(f, params)(x), np.float64)
    assert np.abs(values - exact).max() < 1e-5 * np.abs(exact).max()


@pytest.mark.slow(but=["nnx, shared"])
@each
def test_the_same_model_again_compiles_nothing(name: str) -> None:
    make, _, x = MODELS[name]()
    ntk.NTK(*make())(x)
    sizes = programs._prepare._cache_size(), programs._square._cache_size()
    ntk.NTK(*make())(x)
    assert sizes == (programs._prepare._cache_size(), programs._square._cache_size())


def test_only_parameters_count() -> None:
    make, *_ = MODELS["nnx"]()
    _, params = make()
    assert all(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in jax.tree.leaves(params))
    assert not any("mean" in str(path) for path, _ in jax.tree.leaves_with_path(params))
    make, *_ = MODELS["nnx, shared"]()
    assert len(jax.tree.leaves(make()[1])) == 2


def test_a_model_is_never_changed() -> None:
    from flax import nnx

    net = nnx.Sequential(nnx.Linear(4, 4, rngs=nnx.Rngs(0)), nnx.Dropout(0.5, rngs=nnx.Rngs(0)))  # training mode
    f, params = flax.function(net)
    first = f(params, X[0])
    np.testing.assert_array_equal(f(params, X[0]), first)
    assert net.layers[1].rngs.count[...] == 0
    net.layers[0].kernel[...] = net.layers[0].kernel[...] * 0
    np.testing.assert_array_equal(f(params, X[0]), first)


def moved() -> dict[str, Callable[[], tuple[Any, Any]]]:
    """Models of which training moves more than parameters, as (f, params) and what f holds, by name."""
    from flax import linen, nnx

    class Decoder(nnx.Module):
        def __init__(self) -> None:
            self.attention = nnx.MultiHeadAttention(2, 4, 4, decode=True, rngs=nnx.Rngs(0))
            self.attention.init_cache((1, 5, 4))

        def __call__(self, x: Any) -> Any:
            return self.attention(x[None, :1])[0, 0]

    class Averaged(nnx.Module):
        def __init__(self) -> None:
            self.inner = nnx.Linear(4, 2, rngs=nnx.Rngs(0))
            self.ema = nnx.Variable(jnp.zeros((4, 2)))

        def __call__(self, x: Any) -> Any:
            return self.inner(x).mean(0) + (x @ self.ema[...]).mean(0)

    def norm() -> Any:
        net = nnx.Sequential(nnx.Linear(4, 4, rngs=nnx.Rngs(0)), nnx.BatchNorm(4, rngs=nnx.Rngs(0)))
        net.eval()
        return flax.function(net, call=lambda model, x: model(x).mean(0))

    def spectral() -> Any:
        net = nnx.SpectralNorm(nnx.Linear(4, 4, rngs=nnx.Rngs(0)), rngs=nnx.Rngs(0))
        net.eval()
        return flax.function(net, call=lambda model, x: model(x).mean(0))

    def cell() -> Any:
        net = linen.BatchNorm(use_running_average=True)
        return flax.function(net, net.init(jax.random.key(0), X[0]), call=lambda self, x: self(x).mean(0))

    return {
        r"the running average \['layers'\]\[1\]\['mean'\]": norm,
        r"the running average \['batch_stats'\]": spectral,
        r"the running average \['batch_stats'\]\['mean'\]": cell,
        r"the cache \['attention'\]\['cached_key'\]": lambda: flax.function(Decoder()),
        r"the Variable \['ema'\]": lambda: flax.function(Averaged()),
    }


@pytest.mark.slow(but=["the Variable \\\\['ema'\\\\]"])
@pytest.mark.parametrize("name", moved() if importlib.util.find_spec("flax") else ())
def test_what_training_moves_is_said_by_name_when_tracking_begins(name: str) -> None:
    f, params = moved()[name]()
    with pytest.warns(UserWarning, match=f"f holds .*{name}.* held at their values of now"):
        training.track([training.MovementProbe(), Calls(f)], params)
    ntk.NTK(f, params)(X)  # which is asked about one moment only: nothing to say


@pytest.mark.slow(cases=["linen, scan and remat"])
@each
def test_a_model_that_holds_nothing_of_the_kind_is_tracked_without_a_word(name: str) -> None:
    if name in ("linen, recurrent", "nnx"):
        pytest.skip("it has a batch normalisation")
    f, params = MODELS[name]()[0]()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        training.track([Calls(f)], params)


def test_a_plain_function_that_closes_over_a_model_is_looked_into() -> None:
    from flax import linen, nnx

    net = nnx.BatchNorm(4, use_running_average=True, rngs=nnx.Rngs(0))
    graph, _, rest = nnx.split(net, nnx.Param, ...)
    other = linen.BatchNorm(use_running_average=True)
    variables = other.init(jax.random.key(0), X[0])
    f, _ = flax.function(net)
    for g in (
        lambda p, x: nnx.merge(graph, p, rest)(x),
        jax.jit(lambda p, x: nnx.merge(graph, p, rest)(x)),
        functools.partial(lambda rest, p, x: nnx.merge(graph, p, rest)(x), rest),
        lambda p, x: other.apply({**variables, "params": p}, x),
        lambda p, x: f(p, x)[:1],
    ):
        assert any("the running average" in name for name in held.held(g))
    assert held.held(lambda p, x: nnx.merge(graph, p, {})(x)) == ()


@pytest.mark.slow
def test_the_probes_of_a_model_in_training_are_those_of_the_trained_model() -> None:
    from flax import nnx

    class Net(nnx.Module):
        def __init__(self, rngs: Any) -> None:
            self.inner = nnx.Linear(4, 8, rngs=rngs)
            self.norm = nnx.BatchNorm(8, momentum=0.5, rngs=rngs)
            self.drop = nnx.Dropout(0.5, rngs=rngs)
            self.out = nnx.Linear(8, 1, rngs=rngs)

        def __call__(self, x: Any) -> Any:
            return self.out(self.drop(nnx.relu(self.norm(self.inner(x)))))

    x = jnp.asarray(3 * X.reshape(15, 4) + 2)
    y = jnp.sign(x[:, 0])
    net = Net(nnx.Rngs(0))
    optimizer = nnx.Optimizer(net, optax.sgd(0.05), wrt=nnx.Param)
    net.eval()
    f, params, state = flax.stateful(net)
    probes = [training.KernelProbe(f, x, every=5), training.LossProbe(f, {"train": (x, y)}, every=5)]
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        history = training.track(probes, params, state)
    net.train()

    @nnx.jit
    def step(net: Any, optimizer: Any) -> None:
        optimizer.update(net, nnx.grad(lambda model: jnp.mean((model(x)[:, 0] - y) ** 2))(net))

    for number in range(1, 6):
        step(net, optimizer)
        history = history.update(number, nnx.state(net, nnx.Param), nnx.state(net, nnx.BatchStat))
    net.eval()
    out = np.asarray(net(x))[:, 0]
    np.testing.assert_allclose(history["loss"]["train_loss"][-1], np.mean((out - y) ** 2) / 2, rtol=1e-5)
    graph, now, rest = nnx.split(net, nnx.Param, ...)
    K = oracles.explicit_ntk(lambda p, a: nnx.merge(graph, p, rest)(a[None])[0], now, x)[:, :, 0, 0]
    np.testing.assert_allclose(history["kernel"]["trace"][-1], np.trace(K), rtol=1e-5)


def test_a_model_with_other_numbers_in_its_state_is_the_same_function() -> None:
    from flax import nnx

    net = nnx.BatchNorm(4, use_running_average=True, rngs=nnx.Rngs(0))
    f, *_ = flax.stateful(net)
    net.mean[...] = net.mean[...] + 1
    again, params, state = flax.stateful(net)
    assert again == f and hash(again) == hash(f)  # so nothing is compiled anew
    assert f != flax.function(net)[0]
    np.testing.assert_allclose(f(params, state, X[0]), net(X[0]), rtol=1e-6)


@pytest.mark.slow
def test_the_collections_of_linen_are_passed_along() -> None:
    from flax import linen

    class Net(linen.Module):
        @linen.compact
        def __call__(self, x: Any, train: bool = False) -> Any:
            h = linen.BatchNorm(use_running_average=not train, momentum=0.5)(linen.Dense(6)(x))
            return linen.Dense(1)(linen.tanh(h))

    x = jnp.asarray(3 * X.reshape(15, 4) + 2)
    net = Net()
    variables = net.init(jax.random.key(0), x)
    f, params, state = flax.stateful(net, variables)
    history = training.track([training.KernelProbe(f, x, every=1)], params, state)
    _, state = net.apply(variables, x, train=True, mutable=["batch_stats"])
    history = history.update(1, params, state)
    K = oracles.explicit_ntk(lambda p, a: net.apply({**state, "params": p}, a), params, x)[:, :, 0, 0]
    np.testing.assert_allclose(history["kernel"]["trace"][-1], np.trace(K), rtol=1e-5)
    assert abs(history["kernel"]["trace"][0] / np.trace(K) - 1) > 0.1


def left_on() -> dict[str, Callable[[], tuple[Any, Any]]]:
    """What was left in training mode, by the words of the refusal."""
    from flax import linen, nnx

    class Noisy(nnx.Module):
        def __init__(self) -> None:
            self.inner, self.rngs = nnx.Linear(4, 2, rngs=nnx.Rngs(0)), nnx.Rngs(0)

        def __call__(self, x: Any) -> Any:
            return self.inner(x + jax.random.normal(self.rngs.noise(), x.shape)).mean(0)

    mean = lambda model, x: model(x).mean(0)  # noqa: E731

    def attention(**mode: Any) -> Any:
        return nnx.MultiHeadAttention(2, 4, dropout_rate=0.5, decode=False, **mode, rngs=nnx.Rngs(0))

    batch = linen.BatchNorm(use_running_average=False)
    drop = linen.Sequential([linen.Dense(2), linen.Dropout(0.5, deterministic=False)])
    keys = {"params": jax.random.key(0), "dropout": jax.random.key(1)}

    def closed(**rngs: Any) -> Any:
        return lambda p, x: drop.apply({"params": p}, x, rngs=rngs).mean(0), drop.init(keys, X[0])["params"]

    return {
        "a random mask, as of dropout, in layers.1": lambda: flax.function(
            nnx.Sequential(nnx.Linear(4, 4, rngs=nnx.Rngs(0)), nnx.Dropout(0.5, rngs=nnx.Rngs(0))), call=mean
        ),
        "a random mask, as of dropout, in MultiHeadAttention": lambda: flax.function(
            attention(deterministic=False), call=mean
        ),
        "leave open whether it drops, and flax says: No `deterministic` argument was .* MultiHeadAttention. Switch": (
            lambda: flax.function(attention(), call=mean)
        ),
        "random numbers of the model's own": lambda: flax.function(Noisy()),
        'needs PRNG for "dropout"': lambda: flax.function(drop, drop.init(keys, X[0])),
        "a random mask, as of dropout, in Sequential/layers_1": lambda: closed(dropout=jax.random.key(1)),
        "move a running average, and layers.1 does": lambda: flax.function(
            nnx.Sequential(nnx.Linear(4, 4, rngs=nnx.Rngs(0)), nnx.BatchNorm(4, rngs=nnx.Rngs(0))), call=mean
        ),
        "move a running average, and SpectralNorm does": lambda: flax.function(
            nnx.SpectralNorm(nnx.Linear(4, 4, rngs=nnx.Rngs(0)), rngs=nnx.Rngs(0)), call=mean
        ),
        'move a running average, and flax says: Cannot update variable "mean"': lambda: flax.function(
            batch, batch.init(jax.random.key(0), X[0])
        ),
    }


@pytest.mark.parametrize("name", left_on() if importlib.util.find_spec("flax") else ())
def test_a_model_in_training_mode_is_refused_in_one_line(name: str) -> None:
    f, params = left_on()[name]()
    for refused in (lambda: ntk.NTK(f, params)(X), lambda: training.track([training.KernelProbe(f, X)], params)):
        with pytest.raises(ValueError, match=f"^f must not .*{name}") as raised:
            refused()
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("make", [flax.function, flax.stateful])
def test_a_flag_that_is_none_is_refused_before_the_model_is_looked_at(make: Any, untyped: None) -> None:
    with pytest.raises(ValueError, match=r"^batched must be True or False"):
        make(None, batched=np.zeros(2))


def test_a_model_of_nnx_that_f_closes_over_is_refused_with_the_way_out() -> None:
    from flax import nnx

    net = nnx.Sequential(nnx.Linear(4, 2, rngs=nnx.Rngs(0)), nnx.Dropout(0.5, rngs=nnx.Rngs(0)))
    with pytest.raises(ValueError, match=r"f must not change what it holds.* make f by interop.flax.function"):
        ntk.NTK(lambda p, x: net(x * p).mean(0), jnp.ones(4))(X)


def test_averages_that_a_loop_of_nnx_only_hands_on_are_no_training_mode() -> None:
    from flax import nnx

    class Net(nnx.Module):
        def __init__(self) -> None:
            @nnx.split_rngs(splits=2)
            @nnx.vmap(in_axes=0, out_axes=0)
            def make(rngs: Any) -> Any:
                return nnx.BatchNorm(4, rngs=rngs)

            self.norms = make(nnx.Rngs(0))

        def __call__(self, x: Any) -> Any:
            return nnx.scan(lambda x, norm: norm(x), in_axes=(nnx.Carry, 0), out_axes=nnx.Carry)(x, self.norms).mean(0)

    net = Net()
    net.eval()
    f, params = flax.function(net)
    np.testing.assert_allclose(f(params, X[0]), net(X[0]), rtol=1e-6)


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


@pytest.mark.slow
def test_lengths_reach_a_model_that_takes_them_and_are_refused_by_one_that_does_not() -> None:
    nnx = pytest.importorskip("flax.nnx")

    class Net(nnx.Module):
        def __init__(self) -> None:
            self.rnn = nnx.RNN(nnx.GRUCell(2, 3, rngs=nnx.Rngs(0)), return_carry=True)

        def __call__(self, x: Any, length: Any) -> Any:
            return self.rnn(x[None], seq_lengths=length[None])[0][0]

    x = np.random.default_rng(0).normal(size=(3, 4, 2)).astype(np.float32)
    lengths = jnp.array([4, 2, 1])
    f, params = flax.function(Net())
    pair, same = flax.function(Net(), call=lambda model, one: model(*one))
    kernel = ntk.NTK(f, params)
    np.testing.assert_allclose(kernel(x, lengths=lengths), ntk.NTK(pair, same)((x, lengths)), rtol=1e-5)
    padded = np.where(np.arange(4)[None, :, None] < np.asarray(lengths)[:, None, None], x, 7.0)
    np.testing.assert_allclose(kernel(padded, lengths=lengths), kernel(x, lengths=lengths), rtol=1e-5)
    g, params = flax.function(nnx.Linear(2, 1, rngs=nnx.Rngs(0)), call=lambda model, x: model(x).mean(0))
    with pytest.raises(ValueError, match=r"lengths= needs f\(params, x, length\).*`call` behind it"):
        ntk.NTK(g, params)(x, lengths=lengths)


def test_a_norm_that_takes_the_steps_of_one_example_for_a_batch_is_told() -> None:
    from flax import nnx

    rngs = nnx.Rngs(0)
    model = nnx.Sequential(nnx.Linear(4, 4, rngs=rngs), nnx.GroupNorm(4, num_groups=2, rngs=rngs))
    with pytest.warns(UserWarning, match=r"the model holds layers\.1 \(GroupNorm\).*pass batched=True"):
        f, params = flax.function(model)
    assert float(jnp.abs(f(params, X[0]) - model(X)[0]).max()) > 0.1
    f, params = flax.function(model, batched=True)
    np.testing.assert_allclose(f(params, X[0]), model(X)[0], atol=1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        flax.function(model, call=lambda model, x: model(x))  # meant so
