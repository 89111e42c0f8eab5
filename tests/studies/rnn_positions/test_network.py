"""Tests of `ntkseq.studies.rnn_positions.network`: one network with an output at every step, trained by SGD."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import kernels
from ntkseq.studies.recurrent.sgd import papers_network, step_size
from ntkseq.studies.rnn_positions.network import _squares, network, positions_sgd

PAPER = kernels.Recurrent.preset("allen-zhu-li")


def sequences(seed, n, t, d=3):
    x = np.random.default_rng(seed).normal(size=(n, t, d)).astype(np.float32)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


@pytest.mark.slow
def test_its_outputs_are_those_of_the_papers_network_at_the_end_of_every_shorter_sequence():
    x, net = sequences(0, 1, 6)[0], papers_network(24)
    params = net.init(jax.random.key(1), x)
    found = network(24, 2)(params, x)
    wanted = [float(net.apply(params, x, length=j + 1)[0]) for j in range(2, 6)]
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


@pytest.mark.slow
def test_its_kernel_at_the_start_is_twice_that_of_every_step_on_average():
    x, f = sequences(1, 1, 4), network(512, 1)
    found = []
    for seed in range(12):
        params = papers_network(512).init(jax.random.key(seed), x[0])

        def of(W, params=params):
            return f({"forward": params["forward"] | {"layers": (params["forward"]["layers"][0] | {"W": W},)}}, x[0])

        gradients = np.asarray(jax.jacrev(of)(params["forward"]["layers"][0]["W"]), np.float64)
        found.append(np.einsum("tij,sij->ts", gradients, gradients))
        assert math.isclose(float(_squares(f, params, x)[0]), np.trace(found[-1]), rel_tol=1e-3)
    K = np.asarray(kernels.every_step(PAPER, x))[0, 0, 1:, 1:]
    spread = np.std(found, axis=0, ddof=1) / math.sqrt(12)
    assert (np.abs(np.mean(found, axis=0) - 2 * K) < 3.5 * spread).all()
    assert (spread < 0.1 * 2 * K.max()).all()


def test_the_step_is_the_inverse_curvature_of_a_batch():
    rng = np.random.default_rng(0)
    A = rng.normal(size=(12, 12))
    K = A @ A.T  # four sequences of three steps
    whole = 1 / (2 * np.linalg.eigvalsh(K)[-1] / 4)
    blocks = [np.linalg.eigvalsh(K[i : i + 3, i : i + 3])[-1] for i in range(0, 12, 3)]
    assert step_size(K, 3, batch=1) == pytest.approx(1 / (2 * max(blocks)))
    assert whole > step_size(K, 3, batch=4) > step_size(K, 3, batch=2) > step_size(K, 3, batch=1)
    assert step_size(K, 3, batch=2, rate=0.5) == pytest.approx(0.5 * step_size(K, 3, batch=2))
    with pytest.raises(ValueError, match="rate must be"):
        step_size(K, 3, batch=1, rate=0.0)


@pytest.mark.slow
def test_wide_networks_do_as_gradient_descent_of_the_kernel():
    x, t = sequences(2, 24, 5), 5
    y = np.sin(x[:, 1:4] @ np.array([1.0, 0.5, -0.5], np.float32)).astype(np.float32)[:, :3]  # at steps 2, 3, 4
    K = np.asarray(kernels.every_step(PAPER, x), np.float64)[:, :, 2:, 2:].transpose(0, 2, 1, 3).reshape(72, 72)
    train, test = K[:24, :24], K[24:, :24]  # eight sequences
    lr, steps = step_size(train, t - 2, batch=8), 60
    dual = np.zeros(24)
    for _ in range(steps):
        dual -= lr * (2 * train @ dual - y[:8].ravel()) / 8
    run = positions_sgd(
        x[:8], y[:8], x[8:], y[8:], width=2048, lr=lr, epochs=steps, batch=8, seed=0,
        trace=float(np.trace(K[:3, :3])),
    )  # fmt: skip
    assert run.steps == steps and run.predicted.shape == (16, 3)
    wanted = (2 * test @ dual).reshape(16, 3)
    off = np.linalg.norm(run.predicted - wanted) / np.linalg.norm(wanted)
    assert off < 0.25 and np.linalg.norm(wanted) > 1
    assert run.errors.mean == pytest.approx(np.minimum(1, np.abs(run.predicted - y[8:])).mean(), rel=1e-5)


@pytest.mark.slow
def test_a_network_whose_own_kernel_is_larger_takes_shorter_steps():
    x = sequences(3, 6, 4)
    y = np.ones((6, 2), np.float32)
    options = {"width": 32, "lr": 0.1, "epochs": 1, "batch": 2, "seed": 0}
    small, large = (positions_sgd(x, y, x, y, trace=trace, **options) for trace in (1e-3, 1e3))
    assert small.ratio > 1 > large.ratio and large.lr == 0.1
    assert small.lr == pytest.approx(0.1 / small.ratio)


def test_padding_of_the_label_axis_sets_the_first_step():
    x = sequences(4, 1, 6)
    params = papers_network(8).init(jax.random.key(0), x[0])
    assert network(8, 4)(params, x[0]).shape == (2,)
    np.testing.assert_array_equal(network(8, 4)(params, x[0]), network(8, 2)(params, x[0])[2:])
    assert jnp.result_type(network(8, 4)(params, x[0])) == jnp.float32
