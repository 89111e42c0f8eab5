"""Does the finite GRU or LSTM compute its equations, and refuse what it cannot read?"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq.cells import GRU, LSTM
from ntkseq.models.base import Model
from ntkseq.models.gated import Gated
from tests.models import explicit

SCALES = dict(sigma_w=1.4, sigma_u=1.1, sigma_b=0.3)
X = explicit.sequences()
CELLS = {
    "gru": GRU(**SCALES),
    "lstm": LSTM(**SCALES),
    "gru, after": GRU((1.4, 0.9, 1.2), 1.1, (0.3, 0.1, 0.2), 0.5, "after"),
    "gru, after, no bias inside": GRU(**SCALES, reset="after"),
    "lstm, offset": LSTM(1.4, (1.1, 0.7, 0.9, 1.3), 0.3, forget=-0.8),
}


def loop(model, params, x, length):
    """One step after the other, in NumPy, in the words of the textbook."""
    sigmoid = lambda u: 1 / (1 + np.exp(-u))  # noqa: E731
    x, n = np.asarray(x)[:length], model.width
    gates = jax.tree.map(np.asarray, params["gates"])
    fan = x.shape[1] if model.input_scale == "dim" else 1
    cell, h, c = model.cell, np.zeros(n), np.zeros(n)
    of = lambda name, gate: np.broadcast_to(getattr(cell, name), len(cell.gates))[cell.gates.index(gate)]  # noqa: E731
    states = []
    for token in x:

        def u(gate, m, token=token):
            return past(gate, m) + now(gate, token)

        def past(gate, m):
            return of("sigma_w", gate) / np.sqrt(n) * gates[gate]["W"] @ m

        def now(gate, token=token):
            raw = gates[gate]
            return of("sigma_u", gate) / np.sqrt(fan) * raw["U"] @ token + of("sigma_b", gate) * raw["b"]

        if isinstance(cell, GRU):
            update, reset = sigmoid(u("z", h)), sigmoid(u("r", h))
            if cell.reset == "after":
                candidate = np.tanh(now("g") + reset * (past("g", h) + (cell.sigma_c or 0) * gates["g"].get("c", 0)))
            else:
                candidate = np.tanh(u("g", reset * h))
            h = update * h + (1 - update) * candidate
        else:
            entry, forget, exit_ = sigmoid(u("i", h)), sigmoid(u("f", h) + cell.forget), sigmoid(u("o", h))
            c = forget * c + entry * np.tanh(u("g", h))
            h = exit_ * np.tanh(c)
        states.append(h)
    pooled = {"last": h, "sum": sum(states), "mean": sum(states) / len(states)}[model.read]
    return model.sigma_r / np.sqrt(n) * np.asarray(params["R"]) @ pooled


@pytest.mark.slow(but=["gru, after, no bias inside-sum"])
@pytest.mark.parametrize("read", ["last", "mean", "sum"])
@pytest.mark.parametrize("cell", CELLS)
def test_the_network_equals_its_loop_for_sequences_of_different_length(cell, read, x64):
    model = Gated(width=7, cell=CELLS[cell], read=read, outputs=2, sigma_r=0.9)
    x = jnp.asarray(X)
    params = model.init(jax.random.key(3), x[0])
    lengths = jnp.array([4, 2, 1])
    got = jax.vmap(model.apply, in_axes=(None, 0, 0))(params, x, lengths)
    wanted = [loop(model, params, x[i], int(lengths[i])) for i in range(3)]
    np.testing.assert_allclose(np.asarray(got), wanted, rtol=1e-12, atol=1e-13)


def test_without_a_length_all_steps_count_and_inputs_may_go_unscaled(x64):
    model = Gated(width=7, cell=CELLS["gru"], read="mean", input_scale="none", sigma_r=0.9)
    params = model.init(jax.random.key(3), jnp.asarray(X[1]))
    np.testing.assert_allclose(np.asarray(model.apply(params, X[1])), loop(model, params, X[1], 4), rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("cell", CELLS)
def test_padding_is_never_looked_at_by_values_or_gradients(cell):
    model = Gated(width=5, cell=CELLS[cell])
    x = jnp.asarray(X[0], jnp.float32)
    params = model.init(jax.random.key(0), x)
    both = [x, x.at[2:].set(jnp.nan)]
    values = [model.apply(params, z, length=2) for z in both]
    grads = [jax.grad(lambda p, z=z: model.apply(p, z, length=2)[0])(params) for z in both]
    np.testing.assert_array_equal(values[0], values[1])
    jax.tree.map(np.testing.assert_array_equal, grads[0], grads[1])
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(grads[1]))


@pytest.mark.slow(but=["gru, after, no bias inside-W"])
@pytest.mark.parametrize("train", ["W", "bR"])
@pytest.mark.parametrize("cell", CELLS)
def test_only_trained_groups_have_gradients(cell, train):
    own = dataclasses.replace(CELLS[cell], train=train.replace("R", ""))
    model = Gated(width=5, cell=own, train_readout="R" in train)
    x = jnp.asarray(X[0], jnp.float32)
    grads = jax.grad(lambda p: model.apply(p, x)[0])(model.init(jax.random.key(1), x))
    assert bool(jnp.any(grads["R"] != 0)) == ("R" in train)
    for raw in grads["gates"].values():
        wanted = set(train) - {"R"} | ({"c"} if "b" in train and "c" in raw else set())
        assert {name for name, leaf in raw.items() if jnp.any(leaf != 0)} == wanted


def test_parameters_have_the_shapes_and_the_dtype_of_the_example():
    params = Gated(width=5, cell="lstm", outputs=3).init(jax.random.key(0), jax.ShapeDtypeStruct((4, 2), jnp.float16))
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype(jnp.float16)}
    one = {"W": (5, 5), "U": (5, 2), "b": (5,)}
    assert jax.tree.map(jnp.shape, params) == {"gates": dict.fromkeys("ifgo", one), "R": (3, 5)}
    assert isinstance(Gated(width=5), Model)


def test_hyper_parameters_are_leaves_and_a_second_call_compiles_nothing(caplog):
    x = jnp.asarray(X[0], jnp.float32)
    params = Gated(width=3).init(jax.random.key(0), x)
    grad = jax.grad(lambda s: Gated(width=3, cell=GRU(sigma_w=s)).apply(params, x)[0])(1.4)
    assert float(grad) != 0
    Gated(width=3, cell=GRU(sigma_w=1.4)).apply(params, x)
    other, new = Gated(width=3, cell=GRU(sigma_w=0.3)), x + 1
    with jax.log_compiles(), caplog.at_level("WARNING"):
        jax.block_until_ready(other.apply(params, new))
    assert [r.message for r in caplog.records if "ompil" in r.message] == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 0}, "width must be an integer >= 1; got 0"),
        ({"outputs": 0}, "outputs must be an integer >= 1"),
        ({"cell": "rnn"}, "cell must be one of 'gru', 'lstm', or a cells.GRU or cells.LSTM; got 'rnn'"),
        ({"sigma_r": -1.0}, "sigma_r must be a finite standard deviation"),
        ({"read": "steps"}, "read must be one of 'last'"),
        ({"input_scale": "d"}, "input_scale must be one of"),
    ],
)
def test_wrong_arguments_are_refused_at_the_door(changes, message):
    with pytest.raises(ValueError, match=message):
        Gated(**{"width": 3, **changes})


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((4,), {}, r"one example of shape \(t, d\); got \(4,\)"),
        ((4, 3), {}, r"params\['gates'\]\['g'\]\['U'\] must have shape \(3, 3\)"),
        ((4, 2), {"length": 5}, r"must lie in 1\.\.4 .*got 5"),
    ],
)
def test_wrong_inputs_are_refused_at_the_door(shape, options, message):
    net = Gated(width=3)
    params = net.init(jax.random.key(0), jnp.zeros((4, 2), jnp.float32))
    with pytest.raises(ValueError, match=message):
        net.apply(params, jnp.zeros(shape, jnp.float32), **options)
