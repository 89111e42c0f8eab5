"""Are equinox models functions whose empirical kernel is exact?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import training
from ntkseq.empirical import ntk
from ntkseq.empirical.methods import held as programs
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


@pytest.mark.slow(but=["convolution"])
@each
def test_the_kernel_is_that_of_the_model(name: str) -> None:
    make, want, x = MODELS[name]()
    f, params = make()
    np.testing.assert_allclose(f(params, x[0]), want(x[0]), rtol=1e-5, atol=1e-6)
    exact = np.diagonal(oracles.explicit_ntk(f, params, x), axis1=2, axis2=3).mean(axis=2)
    values = np.asarray(ntk.NTK(f, params)(x), np.float64)
    assert np.abs(values - exact).max() < 1e-5 * np.abs(exact).max()


@pytest.mark.slow(but=["convolution"])
@each
def test_the_same_model_again_compiles_nothing(name: str) -> None:
    make, _, x = MODELS[name]()
    ntk.NTK(*make())(x)
    sizes = programs._prepare._cache_size(), programs._square._cache_size()
    ntk.NTK(*make())(x)
    assert sizes == (programs._prepare._cache_size(), programs._square._cache_size())


def normed() -> tuple[Any, Any]:
    """A model with running averages, in training mode, and its state."""
    import equinox as eqx

    class Net(eqx.Module):
        inner: Any
        norm: Any
        drop: Any
        out: Any

        def __init__(self, key: Any) -> None:
            self.inner, self.out = eqx.nn.Linear(4, 6, key=key), eqx.nn.Linear(6, 1, key=key)
            self.norm = eqx.nn.BatchNorm(6, "batch", mode="batch", momentum=0.5)
            self.drop = eqx.nn.Dropout(0.5)

        def __call__(self, x: Any, state: Any, key: Any = None) -> Any:
            h, state = self.norm(self.inner(x), state)
            return self.out(self.drop(jnp.tanh(h), key=key)), state

    return eqx.nn.make_with_state(Net)(jax.random.key(0))


def answer(pair: Any, x: Any) -> Any:
    return pair[0](x, pair[1])[0]


@pytest.mark.slow
def test_the_probes_of_a_model_in_training_are_those_of_the_trained_model() -> None:
    import equinox as eqx

    model, state = normed()
    x = jnp.asarray(np.random.default_rng(1).standard_normal((12, 4)) * 3 + 2, jnp.float32)
    y = jnp.sign(x[:, 0])
    quiet = eqx.nn.inference_mode
    f, params, state = equinox.stateful(quiet(model), state)
    probes = [training.KernelProbe(f, x, every=4), training.LossProbe(f, {"train": (x, y)}, every=4)]
    history = training.track(probes, params, state)

    @eqx.filter_jit
    def step(model: Any, state: Any, key: Any) -> Any:
        def loss(model: Any) -> Any:
            keys = jax.random.split(key, len(x))
            run = jax.vmap(model, in_axes=(0, None, 0), out_axes=(0, None), axis_name="batch")
            out, new = run(x, state, keys)
            return jnp.mean((out[:, 0] - y) ** 2), new

        slope, new = eqx.filter_grad(loss, has_aux=True)(model)
        return eqx.apply_updates(model, jax.tree.map(lambda g: -0.05 * g, slope)), new

    for number in range(1, 5):
        model, state = step(model, state, jax.random.key(number))
        history = history.update(number, eqx.filter(model, eqx.is_inexact_array), state)
    trained = quiet(model)
    out = np.asarray(jax.vmap(lambda a: trained(a, state)[0])(x))[:, 0]
    np.testing.assert_allclose(history["loss"]["train_loss"][-1], np.mean((out - y) ** 2) / 2, rtol=1e-5)
    now, rest = eqx.partition(trained, eqx.is_inexact_array)
    K = oracles.explicit_ntk(lambda p, a: eqx.combine(p, rest)(a, state)[0], now, x)[:, :, 0, 0]
    np.testing.assert_allclose(history["kernel"]["trace"][-1], np.trace(K), rtol=1e-5)
    assert abs(history["kernel"]["trace"][0] / np.trace(K) - 1) > 0.1


@pytest.mark.slow
def test_a_state_inside_the_model_is_no_parameter_and_is_said_to_be_held() -> None:
    import equinox as eqx

    model, state = normed()
    model = eqx.nn.inference_mode(model)
    f, params = equinox.function((model, state), call=answer)
    K = ntk.NTK(f, params)(X)
    exact = oracles.explicit_ntk(lambda p, x: f((p, params[1]), x), params[0], X)[:, :, 0, 0]
    np.testing.assert_allclose(K, exact, rtol=1e-5)  # the running averages add nothing
    count = len(jax.tree.leaves(eqx.filter(model, eqx.is_inexact_array)))
    assert len(jax.tree.leaves(params)) == count
    closed, _ = equinox.function(model, call=lambda model, x: model(x, state)[0])
    plain = lambda p, x: eqx.combine(p, model)(x, state)[0]  # noqa: E731
    for g, given in ((f, params), (closed, params[0]), (plain, params[0])):
        with pytest.warns(
            UserWarning, match="f holds the (state Net.norm|equinox.nn.State state).* held at their values"
        ):
            training.track([training.LossProbe(g, {"train": (X, np.zeros(3, np.float32))})], given)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m, x: m.out(m.drop(m.inner(x))), "requires a key"),
        (lambda m, x: m.out(m.drop(m.inner(x), key=jax.random.key(1))), "a random mask, as of dropout, in drop"),
        (lambda m, x: m(x, normed()[1], jax.random.key(1))[0], "average over a batch"),
    ],
)
def test_a_model_in_training_mode_is_refused_in_one_line(call: Any, words: str) -> None:
    f, params = equinox.function(normed()[0], call=call)
    with pytest.raises(ValueError, match=f"^f must not .*{words}") as raised:
        ntk.NTK(f, params)(X)
    assert "\n" not in str(raised.value)


def test_a_model_without_a_state_has_none_to_pass() -> None:
    import equinox as eqx

    net = eqx.nn.MLP(4, 2, 8, 1, key=jax.random.key(0))
    with pytest.raises(ValueError, match=r"state must hold arrays.*equinox.function\(model\)"):
        equinox.stateful(net, None)


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


def test_lengths_reach_a_model_that_takes_them() -> None:
    eqx = pytest.importorskip("equinox")

    class Net(eqx.Module):
        w: Any

        def __call__(self, x: Any, length: Any, *, key: Any = None) -> Any:
            return jnp.tanh(x[length - 1] @ self.w)

    x, lengths = np.random.default_rng(0).normal(size=(3, 4, 2)).astype(np.float32), jnp.array([4, 2, 1])
    f, params = equinox.function(Net(jnp.ones((2, 1))))
    last = np.stack([one[n - 1] for one, n in zip(x, lengths.tolist(), strict=True)])
    g = equinox.function(Net(jnp.ones((2, 1))), call=lambda model, z: model(z[None], 1))[0]
    np.testing.assert_allclose(ntk.NTK(f, params)(x, lengths=lengths), ntk.NTK(g, params)(last), rtol=1e-5)
