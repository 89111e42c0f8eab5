"""Does the finite fully connected network compute its equation, and refuse what it cannot read?"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq.models import Dense


@pytest.mark.slow(but=["2-none"])
@pytest.mark.parametrize(("depth", "input_scale"), [(1, "dim"), (3, "dim"), (2, "none")])
def test_the_network_equals_its_loop(depth, input_scale, x64):
    sigma_w, sigma_b = np.linspace(1.5, 0.7, depth), np.linspace(0.1, 0.4, depth)
    model = Dense(
        width=6,
        depth=depth,
        sigma_w=tuple(sigma_w),
        sigma_b=tuple(sigma_b),
        sigma_r=0.9,
        activation="tanh",
        outputs=2,
        input_scale=input_scale,
    )
    x = jnp.array([0.3, -1.2, 2.0])
    params = model.init(jax.random.key(0), x)
    h, fan = np.asarray(x), 3 if input_scale == "dim" else 1
    for i, layer in enumerate(jax.tree.map(np.asarray, params["layers"])):
        h = np.tanh(sigma_w[i] / np.sqrt(fan) * layer["W"] @ h + sigma_b[i] * layer["b"])
        fan = 6
    wanted = 0.9 / np.sqrt(6) * np.asarray(params["R"]) @ h
    np.testing.assert_allclose(np.asarray(model.apply(params, x)), wanted, rtol=1e-13)


@pytest.mark.slow(but=["train3"])
@pytest.mark.parametrize("train", ["W", "bR", "", ("W", "R")])
def test_only_trained_groups_have_gradients(train):
    model = Dense(width=6, depth=2, sigma_b=0.4, train=train, activation="tanh")
    x = jnp.array([0.3, -1.2], jnp.float32)
    params = model.init(jax.random.key(0), x)
    grads = jax.grad(lambda p: model.apply(p, x)[0])(params)
    per_layer = (train, train) if isinstance(train, str) else train
    moved = [{name for name, leaf in layer.items() if jnp.any(leaf != 0)} for layer in grads["layers"]]
    assert moved == [set(letters) - {"R"} for letters in per_layer]
    assert bool(jnp.any(grads["R"] != 0)) == ("R" in per_layer[-1])


def test_shapes_follow_the_example():
    params = Dense(width=4, depth=2, outputs=3).init(jax.random.key(0), jnp.zeros(5))
    assert [layer["W"].shape for layer in params["layers"]] == [(4, 5), (4, 4)]
    assert params["R"].shape == (3, 4) and params["layers"][0]["b"].shape == (4,)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 0}, "width must be an integer >= 1"),
        ({"depth": 0}, "depth must be an integer >= 1"),
        ({"sigma_b": -0.1}, "sigma_b must be a finite standard deviation"),
        ({"train": "WUbR"}, "letters out of 'WbR'.*W: weights"),
        ({"input_scale": "x"}, "input_scale must be one of"),
    ],
)
def test_wrong_arguments_are_refused_at_the_door(changes, message):
    with pytest.raises(ValueError, match=message):
        Dense(**{"width": 3, **changes})


def test_wrong_inputs_are_refused_at_the_door():
    model, x = Dense(width=3), jnp.ones((2,), jnp.float32)
    params = model.init(jax.random.key(0), x)
    with pytest.raises(ValueError, match=r"one example of shape \(d,\); got \(1, 2\). A batch: jax.vmap"):
        model.apply(params, x[None])
    with pytest.raises(ValueError, match=r"\['W'\] must have shape \(3, 3\) for x of shape \(3,\); got \(3, 2\)"):
        model.apply(params, jnp.ones((3,), jnp.float32))
    with pytest.raises(ValueError, match="which has no length"):
        model.apply(params, x, length=1)
    with pytest.raises(ValueError, match="x must be finite"):
        model.apply(params, x * jnp.nan)
