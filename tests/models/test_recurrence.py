"""Which parameters does a recurrent block have, and which of them are trained?"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq.blocks import Linear, Recurrent
from ntkseq.cells import LRU, S4D, Elman
from ntkseq.models.serial import Serial

X = jnp.ones((4, 2), jnp.float32)


def test_both_directions_share_the_width() -> None:
    model = Serial(Recurrent(Elman()), Recurrent(Elman(), "both"), width=5)
    shapes = jax.tree.map(lambda shape: shape.shape, model.shapes(X.shape))
    tree = lambda n, m: {"W": (n, n), "U": (n, m), "b": (n,)}  # noqa: E731
    assert shapes["blocks"] == (tree(5, 2), {"forward": tree(3, 5), "reversed": tree(2, 5)})


@pytest.mark.slow(but=["U"])
@pytest.mark.parametrize("train", ["", "Wb", "U"])
def test_only_trained_groups_have_gradients(train: str) -> None:
    model = Serial(Recurrent(Elman("tanh", sigma_b=0.3, train=train)), width=3)
    params = model.init(jax.random.key(0), X)
    grads = jax.grad(lambda p: model.apply(p, X)[0])(params)["blocks"][0]
    assert {name for name, leaf in grads.items() if bool(jnp.any(leaf != 0))} == set(train)


@pytest.mark.slow
def test_one_unit_leaves_the_other_direction_empty() -> None:
    model = Serial(Recurrent(Elman(), "both"), width=1)
    assert bool(jnp.isfinite(model.apply(model.init(jax.random.key(0), X), X)).all())


@pytest.mark.slow
@pytest.mark.parametrize("direction", ["forward", "both"])
def test_a_linear_recurrent_unit_is_its_complex_recursion_and_starts_in_its_ring(direction: str, x64: None) -> None:
    model = Serial(Recurrent(LRU(0.4, 0.8, 1.5, sigma_u=0.7), direction), width=6, read="last")
    x = jax.random.normal(jax.random.key(1), (4, 2), jnp.float64)
    params = model.init(jax.random.key(0), x)
    own = params["blocks"][0]["forward"] if direction == "both" else params["blocks"][0]
    p = {name: np.asarray(leaf) for name, leaf in own.items()}
    lam = np.exp(-np.exp(p["nu"]) + 1j * np.exp(p["theta"]))
    assert (np.abs(lam) > 0.4).all() and (np.abs(lam) < 0.8).all() and (np.exp(p["theta"]) < 1.5).all()
    np.testing.assert_allclose(np.exp(p["gamma"]), np.sqrt(1 - np.abs(lam) ** 2), rtol=1e-12)
    B, C = (p[name][..., 0] + 1j * p[name][..., 1] for name in "BC")
    h = np.zeros(len(lam))
    for token in np.asarray(x):
        h = lam * h + np.exp(p["gamma"]) * 0.7 / 2 * (B @ token)
    states = (C @ h).real / np.sqrt(len(lam))
    R = np.asarray(params["R"])[0]
    if direction == "forward":
        assert float(model.apply(params, x)[0]) == pytest.approx(R @ states / np.sqrt(6), rel=1e-10)
    else:
        got = model.with_(outputs=6).apply({**params, "R": np.sqrt(6) * jnp.eye(6)}, x)
        np.testing.assert_allclose(got[:3], states, rtol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("train", ["", "n", "tC", "gB"])
def test_only_trained_groups_of_a_linear_recurrent_unit_have_gradients(train: str) -> None:
    model = Serial(Recurrent(LRU(train=train)), width=3)
    params = model.init(jax.random.key(0), X)
    grads = jax.grad(lambda p: model.apply(p, X)[0])(params)["blocks"][0]
    assert {name[0] for name, leaf in grads.items() if bool(jnp.any(leaf != 0))} == set(train)


@pytest.mark.slow
@pytest.mark.parametrize("direction", ["forward", "reversed", "both"])
def test_a_state_space_model_is_a_convolution_of_each_coordinate_with_its_own_response(direction, x64: None) -> None:
    x = np.random.default_rng(0).standard_normal((6, 4))
    block = Recurrent(S4D(6, 0.05, 0.8, 0.7, 0.4), direction)
    model = Serial(Linear(train=""), block, width=4, read="last", outputs=4)
    params = model.init(jax.random.key(0), x)
    params = {"blocks": ({"W": jnp.eye(4), "b": jnp.zeros(4)}, params["blocks"][1]), "R": 2 * jnp.eye(4)}
    got = model.with_(input_scale="none").apply(params, x, length=5)
    halves = {"forward": x[:5, :2], "reversed": x[4::-1, 2:]} if direction == "both" else {
        direction: x[:5] if direction == "forward" else x[4::-1]}  # fmt: skip
    want = []
    for way, tokens in halves.items():
        p = params["blocks"][1][way] if direction == "both" else params["blocks"][1]
        p = {name: np.asarray(leaf) for name, leaf in p.items()}
        dt = np.exp(p["log_dt"])
        assert ((dt > 0.05) & (dt < 0.8)).all() and np.allclose(p["log_re"], np.log(0.5))
        np.testing.assert_allclose(p["im"], np.broadcast_to(np.pi * np.arange(3), p["im"].shape))
        at = 4 if way == "forward" else 0  # the token that is read, counted in the order of the recursion
        for c in range(tokens.shape[1]):
            A, C = -0.5 + 1j * p["im"][c], (p["C"][c, :, 0] + 1j * p["C"][c, :, 1]) / np.sqrt(2)
            gain = C * (np.exp(dt[c] * A) - 1) / A
            response = [2 * np.sum(gain * np.exp(dt[c] * A * lag)).real for lag in range(at + 1)]
            want.append(0.7 * np.dot(response, tokens[at::-1, c]) + 0.4 * p["D"][c] * tokens[at, c])
    np.testing.assert_allclose(got, want, rtol=1e-10)


@pytest.mark.slow(but=["C"])
@pytest.mark.parametrize("train", ["", "d", "riD", "C"])
def test_only_trained_groups_of_a_state_space_model_have_gradients(train: str) -> None:
    model = Serial(Linear(train=""), Recurrent(S4D(4, train=train)), width=3, train_readout=False)
    params = model.init(jax.random.key(0), X)
    grads = jax.grad(lambda p: model.apply(p, X)[0])(params)["blocks"][1]
    letters = {"log_dt": "d", "log_re": "r", "im": "i", "C": "C", "D": "D"}
    assert {letters[name] for name, leaf in grads.items() if bool(jnp.any(leaf != 0))} == set(train)
