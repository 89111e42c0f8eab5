"""Tests of `ntkseq.studies.recurrent.sgd`."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import concepts, empirical, gram, kernels, predictors
from ntkseq.studies.recurrent.sgd import papers_network, papers_sgd, step_size

KERNEL = kernels.Recurrent.preset("allen-zhu-li")
TARGET = concepts.Additive([(1, [0.6, 0.8, 0.0], "sin")])


def drawn(n: int, m: int = 20, t: int = 3):
    one = concepts.sample(TARGET, n + m, t, 3, key=jax.random.key(0), eps_x=1.0)
    x, y = np.asarray(one.x), np.asarray(one.y)
    return x[:n], y[:n], x[n:], y[n:]


def papers(W, A, B, x):
    """f = B h_t as the papers write it, its pre-activations g_t and states h_t."""
    h, states, before = np.zeros(len(W)), [np.zeros(len(W))], []
    for token in x:
        g = W @ h + A @ token
        h = np.maximum(g, 0)
        before.append(g)
        states.append(h)
    return B @ h, before, states


@pytest.mark.slow
def test_one_pass_is_that_of_the_papers_written_as_loops():
    x, y, x_test, y_test = drawn(5)
    width, eta = 8, 0.05
    net = papers_network(width)
    start, _ = jax.random.split(jax.random.key(3))
    group = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), net.init(start, jnp.asarray(x[0])))["forward"]
    W, A, B = (group["layers"][0]["W"] * math.sqrt(2 / width), group["layers"][0]["U"] * math.sqrt(2 / width),
               group["R"][0])  # fmt: skip
    first = W.copy()
    for x_i, y_i in zip(x, y, strict=True):  # one pass, one example a step
        f, before, states = papers(W, A, B, x_i)
        f_0 = papers(first, A, B, x_i)[0]
        back, gradient = B * (before[-1] > 0), np.zeros_like(W)
        for s in reversed(range(len(x_i))):
            gradient += np.outer(back, states[s])
            back = (W.T @ back) * (before[s - 1] > 0) if s else back
        W = W - eta * (f - f_0 - y_i) * gradient
    wanted = [papers(W, A, B, one)[0] - papers(first, A, B, one)[0] for one in x_test]
    found = papers_sgd(x, y, x_test, y_test, width=width, lr=eta * width / 2, epochs=1, batch=1, seed=3)
    assert found.steps == 5 and found.batch == 1
    np.testing.assert_allclose(found.predicted, wanted, rtol=1e-5, atol=2e-6)  # float32
    moved = np.linalg.norm(W - first) / np.linalg.norm(first)
    assert math.isclose(found.moved, moved, rel_tol=1e-4)


@pytest.mark.slow
def test_the_kernel_of_the_network_tends_to_twice_the_preset():
    x = drawn(6, t=4)[0]
    limit = 2 * np.asarray(gram(KERNEL, x))

    def gap(width: int) -> float:
        net = papers_network(width)
        off = []
        for seed in range(6):
            params = net.init(jax.random.key(seed), jnp.asarray(x[0]))
            K = empirical.NTK(net.apply, params)
            off.append(np.asarray(gram(K, x)) - limit)
        return float(np.linalg.norm(np.mean(off, axis=0)) / np.linalg.norm(limit))

    # means over 6 seeds scatter by about 1/sqrt(6 width) times a number of order 3: 0.04 at 1024
    assert gap(1024) < 0.1
    assert gap(1024) < 0.6 * gap(64)


@pytest.mark.slow
def test_a_wide_network_does_what_kernel_descent_does():
    x, y, x_test, y_test = drawn(16)
    K, cross = gram(KERNEL, x), gram(KERNEL, x_test, x)
    lr = step_size(K, batch=16)
    kernel = predictors.gradient_flow(2 * K, y, steps=30, lr=lr / 16)(2 * np.asarray(cross, np.float64))
    off = []
    for width in (64, 1024):
        runs = [papers_sgd(x, y, x_test, y_test, width=width, lr=lr, epochs=30, batch=16, seed=s) for s in (0, 1, 2)]
        off.append(np.sqrt(np.mean([np.mean((run.predicted - kernel) ** 2) for run in runs])))
    assert off[1] < 0.5 * off[0] and off[1] < 0.15


@pytest.mark.slow
def test_the_start_is_subtracted():
    x, y, x_test, y_test = drawn(4)
    found = papers_sgd(x, y, x_test, y_test, width=32, lr=1e-7, epochs=1, batch=4, seed=0)
    assert np.abs(found.predicted).max() < 1e-4  # nothing moved: f - f_0 = 0, though f_0 is of the size of 1
    assert math.isclose(found.train_error, np.mean(np.minimum(1, np.abs(y))), rel_tol=1e-3)


def test_step_size_is_that_of_the_curvature():
    K = np.diag([4.0, 1.0, 1.0, 2.0])
    assert math.isclose(step_size(K, batch=4), 1 / (2 * (4 / 4 * 0.75 + 4 / 4)))
    assert math.isclose(step_size(K, batch=1, rate=0.5, factor=1.0), 0.5 / 4)
    assert step_size(K, batch=100) == step_size(K, batch=4)


@pytest.mark.slow
def test_a_network_with_a_large_kernel_takes_shorter_steps():
    x, y, x_test, y_test = drawn(4)
    options = {"width": 8, "lr": 1e-3, "epochs": 1, "batch": 4}
    limit = float(gram(KERNEL, x[:1])[0, 0])
    for seed in range(4):
        net = papers_network(8)
        params = net.init(jax.random.split(jax.random.key(seed))[0], jnp.asarray(x[0]))
        own = np.max(np.diagonal(np.asarray(gram(empirical.NTK(net.apply, params), x))))
        found = papers_sgd(x, y, x_test, y_test, seed=seed, diagonal=limit, **options)
        assert math.isclose(found.ratio, own / (2 * limit), rel_tol=1e-4)
        assert math.isclose(found.lr, 1e-3 / max(1.0, found.ratio), rel_tol=1e-9)
    assert math.isnan(papers_sgd(x, y, x_test, y_test, seed=0, **options).ratio)


@pytest.mark.slow
def test_divergence_is_said_and_leaves_no_number():
    x, y, x_test, y_test = drawn(8)
    found = papers_sgd(x, y, x_test, y_test, width=16, lr=1e4, epochs=20, batch=8, seed=0)
    assert found.diverged_at is not None and math.isnan(found.errors.mean) and math.isnan(found.train_error)


@pytest.mark.slow(cases=["options0"])
@pytest.mark.parametrize("options", [{"batch": 0}, {"epochs": 0}, {"lr": 0.0}])
def test_bad_options_are_turned_away(options):
    x, y, x_test, y_test = drawn(4)
    with pytest.raises(ValueError, match=next(iter(options))):
        papers_sgd(x, y, x_test, y_test, **({"width": 8, "lr": 0.1, "epochs": 1, "batch": 2, "seed": 0} | options))
