"""Does the finite Elman network compute equation (recurrent.1), and refuse what it cannot read?"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import activations
from ntkseq.models import Model, Recurrent
from tests.models import explicit

SCALES = dict(sigma_w=1.4, sigma_u=1.1, sigma_b=0.3, sigma_r=0.9, sigma_h=0.7)
X = explicit.sequences()


def loop(model, params, x, length, phi, starts=None):
    """(recurrent.1) one unit of time and one layer after the other, in NumPy."""
    x, n = np.asarray(x)[:length], model.width
    scale = lambda name, i: np.broadcast_to(np.asarray(getattr(model, name)), (model.depth,))[i]  # noqa: E731
    out = 0.0
    for which, name in enumerate(model.directions):
        stack = jax.tree.map(np.asarray, params[name])
        h = []
        for i in range(model.depth):
            if model.h0 == "zero":
                h.append(np.zeros(n))
            else:
                raw = stack["layers"][i]["h0"] if model.h0 == "shared" else starts[which][i]
                h.append(model.sigma_h * raw)
        read = []
        for token in x if name == "forward" else x[::-1]:
            below, fan = token, x.shape[1] if model.input_scale == "dim" else 1
            for i, layer in enumerate(stack["layers"]):
                u = scale("sigma_w", i) / np.sqrt(n) * layer["W"] @ h[i] + scale("sigma_b", i) * layer["b"]
                h[i] = phi(u + scale("sigma_u", i) / np.sqrt(fan) * layer["U"] @ below)
                below, fan = h[i], n
            read.append(h[-1])
        R = stack["R"]
        if model.read == "steps":
            f = sum(R[t] @ read[t] for t in range(len(read)))
        else:
            f = R @ {"last": read[-1], "mean": sum(read) / len(read), "sum": sum(read)}[model.read]
        out = out + model.sigma_r / np.sqrt(n) * f
    return out


def relu(z):
    return np.maximum(z, 0)


@pytest.mark.slow
@pytest.mark.parametrize("direction", ["forward", "reversed", "both"])
@pytest.mark.parametrize("read", ["last", "mean", "sum", "steps"])
def test_the_network_equals_its_loop_for_sequences_of_different_length(read, direction, x64):
    model = Recurrent(width=7, read=read, direction=direction, depth=2, outputs=2, **SCALES)
    x = jnp.asarray(X)
    params = model.init(jax.random.key(3), x[0])
    lengths = jnp.array([4, 2, 1])
    got = jax.vmap(model.apply, in_axes=(None, 0, 0))(params, x, lengths)
    wanted = [loop(model, params, x[i], int(lengths[i]), relu) for i in range(3)]
    np.testing.assert_allclose(np.asarray(got), wanted, rtol=1e-12, atol=1e-13)


@pytest.mark.slow(but=["steps-reversed-3"])
@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize(("read", "direction"), [("last", "forward"), ("mean", "both"), ("steps", "reversed")])
def test_the_network_equals_its_loop_without_a_length_and_from_a_shared_initial_state(read, direction, depth, x64):
    model = Recurrent(width=7, read=read, direction=direction, depth=depth, h0="shared", **SCALES)
    x = jnp.asarray(X[1])
    params = model.init(jax.random.key(3), x)
    np.testing.assert_allclose(np.asarray(model.apply(params, x)), loop(model, params, x, 4, relu), rtol=1e-12)


@pytest.mark.slow
def test_scales_may_differ_by_layer_and_inputs_may_go_unscaled(x64):
    per_layer = dict(sigma_w=(1.4, 0.5), sigma_u=(0.8, 1.3), sigma_b=(0.0, 0.6))
    model = Recurrent(width=6, depth=2, sigma_r=1.2, activation="tanh", input_scale="none", **per_layer)
    x = jnp.asarray(X[0])
    params = model.init(jax.random.key(0), x)
    np.testing.assert_allclose(np.asarray(model.apply(params, x)), loop(model, params, x, 4, np.tanh), rtol=1e-12)


@pytest.mark.slow
def test_independent_initial_states_follow_their_key(x64):
    model = Recurrent(width=8, h0="independent", depth=2, direction="both", activation="identity", **SCALES)
    x = jnp.asarray(X[0])
    params, key = model.init(jax.random.key(0), x), jax.random.key(5)
    starts = [[jax.random.normal(k, (8,)) for k in jax.random.split(own, 2)] for own in jax.random.split(key, 2)]
    wanted = loop(model, params, x, 3, lambda z: z, starts=jax.tree.map(np.asarray, starts))
    np.testing.assert_allclose(np.asarray(model.apply(params, x, 3, key=key)), wanted, rtol=1e-12)
    assert model.apply(params, x, 3, key=jax.random.key(6)) != model.apply(params, x, 3, key=key)


@pytest.mark.slow
@pytest.mark.parametrize("read", ["last", "mean", "sum", "steps"])
def test_padding_is_never_looked_at_by_values_or_gradients(read):
    model = Recurrent(width=5, read=read, direction="both", sigma_b=0.3)
    x = jnp.asarray(X[0], jnp.float32)
    params = model.init(jax.random.key(0), x)
    both = [x, x.at[2:].set(jnp.nan)]
    values = [model.apply(params, z, length=2) for z in both]
    grads = [jax.grad(lambda p, z=z: model.apply(p, z, length=2)[0])(params) for z in both]
    np.testing.assert_array_equal(values[0], values[1])
    jax.tree.map(np.testing.assert_array_equal, grads[0], grads[1])
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(grads[1]))


@pytest.mark.slow
def test_a_state_that_would_overflow_in_the_padding_has_finite_gradients():
    model = Recurrent(width=4, sigma_w=1e3, activation="identity")
    x = jnp.ones((40, 1), jnp.float32)
    params = model.init(jax.random.key(0), x)
    assert not bool(jnp.isfinite(model.apply(params, x)).all())  # 40 steps do overflow
    grads = jax.grad(lambda p: model.apply(p, x, length=2)[0])(params)
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(grads))


@pytest.mark.slow(but=[""])
@pytest.mark.parametrize("train", ["W", "U", "bR", ""])
def test_only_trained_groups_have_gradients(train):
    model = Recurrent(width=5, train=train, h0="shared", sigma_h=0.7, sigma_b=0.3)
    x = jnp.asarray(X[0], jnp.float32)
    params = model.init(jax.random.key(1), x)
    grads = jax.grad(lambda p: model.apply(p, x)[0])(params)["forward"]
    moved = {name: bool(jnp.any(leaf != 0)) for name, leaf in {**grads["layers"][0], "R": grads["R"]}.items()}
    assert moved == {name: name in train for name in ("W", "U", "b", "R", "h0")}


def test_layers_may_train_different_groups_and_gradients_pass_through_held_layers():
    model = Recurrent(width=5, depth=2, train=("U", "R"), sigma_b=0.3)
    x = jnp.asarray(X[0], jnp.float32)
    params = model.init(jax.random.key(1), x)
    grads = jax.grad(lambda p: model.apply(p, x)[0])(params)["forward"]
    moved = [{name for name, leaf in layer.items() if jnp.any(leaf != 0)} for layer in grads["layers"]]
    assert moved == [{"U"}, set()] and bool(jnp.any(grads["R"] != 0))


@pytest.mark.slow
def test_parameters_have_the_shapes_and_the_dtype_of_the_example():
    model = Recurrent(width=5, depth=2, outputs=3, read="steps", direction="both", h0="shared")
    params = model.init(jax.random.key(0), jax.ShapeDtypeStruct((4, 2), jnp.float16))
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype(jnp.float16)}
    shapes = jax.tree.map(jnp.shape, params, is_leaf=lambda leaf: hasattr(leaf, "shape"))
    first, second = ({"W": (5, 5), "U": (5, m), "b": (5,), "h0": (5,)} for m in (2, 5))
    stack = {"layers": (first, second), "R": (4, 3, 5)}
    assert shapes == {"forward": stack, "reversed": stack}
    assert isinstance(model, Model)


def test_raw_parameters_are_standard_normal_and_all_different():
    params = Recurrent(width=200, depth=2, direction="both").init(jax.random.key(0), jnp.zeros((3, 200)))
    big = [np.asarray(leaf) for leaf in jax.tree.leaves(params) if leaf.size == 40_000]
    assert len(big) == 8
    for leaf in big:  # 5 standard errors of 40 000 draws: 0.025 for the mean, 0.035 for the variance
        assert abs(leaf.mean()) < 0.025 and abs(leaf.var() - 1) < 0.036
    products = np.corrcoef([leaf.ravel() for leaf in big]) - np.eye(8)
    assert np.abs(products).max() < 0.025


def test_hyper_parameters_are_leaves_and_a_second_call_compiles_nothing(caplog):
    x = jnp.asarray(X[0], jnp.float32)

    def make(sigma_w, slope):
        return Recurrent(width=3, sigma_w=sigma_w, activation=activations.LeakyRelu(slope))

    params = make(1.4, 0.1).init(jax.random.key(0), x)
    grads = jax.grad(lambda s: make(*s).apply(params, x)[0])((1.4, 0.1))
    assert all(float(g) != 0 for g in grads)
    make(1.4, 0.1).apply(params, x)
    other, new = make(0.3, 0.2), x + 1
    with jax.log_compiles(), caplog.at_level("WARNING"):
        jax.block_until_ready(other.apply(params, new))
    assert [r.message for r in caplog.records if "ompil" in r.message] == []


def _net(**changes):
    return Recurrent(**{"width": 3, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 0}, "width must be an integer >= 1; got 0"),
        ({"depth": 0}, "depth must be an integer >= 1"),
        ({"outputs": 0}, "outputs must be an integer >= 1"),
        ({"sigma_w": -1.0}, "sigma_w must be a finite standard deviation"),
        ({"sigma_h": float("nan")}, "sigma_h must be a finite"),
        ({"read": "first"}, "read must be one of 'last'"),
        ({"direction": "backward"}, "direction must be one of"),
        ({"h0": "random"}, "h0 must be one of"),
        ({"input_scale": "d"}, "input_scale must be one of"),
        ({"activation": "swash"}, "activation must be one of"),
        ({"train": "WX"}, "letters out of 'WUbR'"),
        ({"train": ("W", "U")}, "or 1 such strings"),
    ],
)
def test_wrong_arguments_are_refused_at_the_door(changes, message):
    with pytest.raises(ValueError, match=message):
        _net(**changes)


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((4,), {}, r"one example of shape \(t, d\); got \(4,\)"),
        ((1, 4, 2), {}, "jax.vmap"),
        ((0, 2), {}, "no empty axis"),
        ((4, 3), {}, r"params\['forward'\]\['layers'\]\[0\]\['U'\] must have shape \(3, 3\)"),
        ((4, 2), {"length": 0}, r"must lie in 1\.\.4 .*got 0"),
        ((4, 2), {"length": 5}, r"must lie in 1\.\.4 .*got 5"),
        ((4, 2), {"length": 2.0}, "must be one integer; got dtype float32"),
        ((4, 2), {"length": np.array([2, 3])}, "must be one integer"),
        ((4, 2), {"key": "any"}, 'key is for h0="independent"'),
    ],
)
def test_wrong_inputs_are_refused_at_the_door(shape, options, message):
    params = _net().init(jax.random.key(0), jnp.zeros((4, 2), jnp.float32))
    with pytest.raises(ValueError, match=message):
        _net().apply(params, jnp.zeros(shape, jnp.float32), **options)


def test_nan_inside_the_sequence_is_refused():
    x = jnp.zeros((4, 2), jnp.float32).at[2, 1].set(jnp.nan)
    params = _net().init(jax.random.key(0), x)
    with pytest.raises(ValueError, match=r"x must be finite; .*\(2, 1\)"):
        _net().apply(params, x, length=3)


def test_init_looks_at_shape_and_dtype_alone():
    padded = jnp.full((4, 2), jnp.nan, jnp.float32)
    made, wanted = (_net().init(jax.random.key(0), x) for x in (padded, jnp.ones((4, 2), jnp.float32)))
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), made, wanted))


@pytest.mark.slow
def test_params_of_another_model_length_or_dtype_are_refused():
    x = jnp.zeros((4, 2), jnp.float32)
    key = jax.random.key(0)
    with pytest.raises(ValueError, match="params do not fit Recurrent"):
        _net(depth=2).apply(_net().init(key, x), x)
    with pytest.raises(
        ValueError, match=r"\['R'\] must have shape \(4, 1, 3\) for x of shape \(4, 2\); got \(3, 1, 3\)"
    ):
        _net(read="steps").apply(_net(read="steps").init(key, x[:3]), x)
    with pytest.raises(ValueError, match="must have one dtype; got x float32 and params"):
        _net().apply(_net().init(key, x.astype(jnp.float16)), x)


def test_scales_for_another_number_of_layers_are_refused():
    model = _net(depth=3, sigma_u=(1.0, 2.0))
    with pytest.raises(ValueError, match=r"sigma_u must be a number or one number per layer, shape \(3,\)"):
        model.apply(model.init(jax.random.key(0), jnp.zeros((4, 2))), jnp.zeros((4, 2)))


def test_keys_are_checked_and_a_missing_one_is_named():
    model = _net(h0="independent")
    x = jnp.zeros((4, 2), jnp.float32)
    params = model.init(jax.random.key(0), x)
    with pytest.raises(ValueError, match=r"cannot know which example it is given; got key=None. Pass key="):
        model.apply(params, x)
    with pytest.raises(ValueError, match="key must be one random key; got int 3"):
        model.apply(params, x, key=3)
    with pytest.raises(ValueError, match="key must be one random key; got int 0"):
        model.init(0, x)
