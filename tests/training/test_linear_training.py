"""Does the recursion in outputs follow a linearised network whose parameters are trained?"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ntkseq import empirical, models, predictors
from ntkseq.training.lazy_training import deviation
from ntkseq.training.linear_training import Linearised, LinearRun, linearised


def network(outputs: int = 1, width: int = 12) -> tuple[Any, Any, Any, Any, Any]:
    """f, params, 7 training inputs, targets, 3 probe inputs."""

    def f(params: Any, x: Any) -> Any:
        h = jnp.tanh(params["U"] @ x[0])
        h = jnp.tanh(params["W"] @ h + params["U"] @ x[1])
        return params["V"] @ h

    rng = np.random.default_rng(outputs)
    draw = lambda *shape: jnp.asarray(rng.standard_normal(shape))  # noqa: E731
    params = {"U": draw(width, 3), "W": draw(width, width) / width**0.5, "V": draw(outputs, width) / width**0.5}
    return f, params, draw(7, 2, 3), draw(7, outputs), draw(3, 2, 3)


def descend(f: Any, params: Any, x: Any, y: Any, x_probe: Any, batches: Any, rates: Any) -> tuple[Any, Any]:
    """Outputs before and after each step of SGD on the parameters of the linearised network."""
    linear = empirical.linearize(f, params)

    def loss(params: Any, batch: Any) -> Any:
        rest = linear.batch(params, x[batch]) - y[batch]
        return jnp.mean(jnp.sum(rest**2, axis=1)) / 2

    slope = jax.jit(jax.grad(loss))
    seen = [(linear.batch(params, x), linear.batch(params, x_probe))]
    for batch, rate in zip(batches, rates, strict=True):
        params = jax.tree.map(lambda leaf, g, rate=rate: leaf - rate * g, params, slope(params, batch))
        seen.append((linear.batch(params, x), linear.batch(params, x_probe)))
    return tuple(np.stack(part) for part in zip(*seen, strict=True))


def close(found: Any, wanted: Any) -> None:
    np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-13 * np.abs(wanted).max())  # 12 steps of 100 additions


@pytest.mark.slow
@pytest.mark.parametrize("outputs", [2, 1])
def test_outputs_are_those_of_the_linearised_network_trained_on_the_same_batches(x64, outputs: int) -> None:
    f, params, x, y, x_probe = network(outputs)
    rng = np.random.default_rng(0)
    batches = rng.integers(0, 7, size=(12, 3))  # with examples that stand twice
    batches[4] = 2
    rates = rng.uniform(0.05, 0.2, 12)
    train, probe = descend(f, params, x, y, x_probe, batches, rates)
    linear = linearised(f, params, x, y, x_probe=x_probe)
    run = linear.follow(batches, rates, record=range(13))
    close(run.outputs, train)
    close(run.probe, probe)
    close(run.residuals, train - np.asarray(y))
    close(run.losses, np.mean(np.sum((train - np.asarray(y)) ** 2, axis=2), axis=1) / 2)
    some = linear.follow(batches, rates, record=[3, 4, 9])
    assert some.steps is not None and some.steps.tolist() == [3, 4, 9]
    close(some.outputs, train[[3, 4, 9]])
    close(some.probe, probe[[3, 4, 9]])
    close(some.times, [rates[:3].sum(), rates[:4].sum(), rates[:9].sum()])


@pytest.mark.slow
def test_full_batch_outputs_are_those_of_the_linearised_network(x64) -> None:
    f, params, x, y, x_probe = network(2)
    train, probe = descend(f, params, x, y, x_probe, [np.arange(7)] * 12, [0.1] * 12)
    run = linearised(f, params, x, y, x_probe=x_probe).follow(None, 0.1, record=[0, 5, 12])
    close(run.outputs, train[[0, 5, 12]])
    close(run.probe, probe[[0, 5, 12]])


def test_the_mean_of_the_outputs_kernels_is_another_network(x64) -> None:
    f, params, x, y, _ = network(2)
    exact = linearised(f, params, x, y)
    shared = Linearised(empirical.NTK(f, params)(x), exact.f0, exact.y)
    runs = [linear.follow(None, 0.1, record=[12]).outputs for linear in (exact, shared)]
    assert np.abs(runs[0] - runs[1]).max() > 0.01, "so the test above sees the coupling of outputs"


def shared(n: int = 9, o: int = 2) -> tuple[Any, ...]:
    rng = np.random.default_rng(4)
    features = rng.standard_normal((n + 3, 2 * n))
    K = features @ features.T
    return K[:n, :n], rng.standard_normal((n, o)), rng.standard_normal((n, o)), K[n:, :n], rng.standard_normal((3, o))


def test_full_batch_agrees_with_the_closed_form_of_predictors(x64) -> None:
    K, f0, y, cross, begin = shared()
    linear = Linearised(K, f0, y, cross, begin)
    lr = 0.4 * linear.limit
    run = linear.follow(None, lr, record=[17, 200])
    for i, steps in enumerate((17, 200)):
        closed = predictors.gradient_flow(K, y, steps=steps, lr=lr / len(y), f0=f0)  # of the sum over examples
        np.testing.assert_allclose(run.outputs[i], closed.fitted, rtol=0, atol=1e-12)
        np.testing.assert_allclose(run.probe[i], closed(cross, begin), rtol=0, atol=1e-11)
    assert not run.unstable


def test_gradient_flow_agrees_with_the_closed_form_of_predictors(x64) -> None:
    K, f0, y, cross, begin = shared()
    run = Linearised(K, f0, y, cross, begin).flow([0.0, 0.3, 40.0])
    np.testing.assert_allclose(run.outputs[0], f0, atol=1e-13)
    np.testing.assert_allclose(run.probe[0], begin, atol=1e-13)
    for i, time in ((1, 0.3), (2, 40.0)):
        closed = predictors.gradient_flow(K, y, time=time / len(y), f0=f0)
        np.testing.assert_allclose(run.outputs[i], closed.fitted, rtol=0, atol=1e-12)
        np.testing.assert_allclose(run.probe[i], closed(cross, begin), rtol=0, atol=1e-11)
    assert run.steps is None


def test_gradient_flow_is_the_limit_of_small_steps_with_coupled_outputs(x64) -> None:
    f, params, x, y, x_probe = network(2)
    linear = linearised(f, params, x, y, x_probe=x_probe)
    flow, errors = linear.flow([2.0]), []
    for steps in (200, 400):
        run = linear.follow(None, 2.0 / steps, record=[steps])
        errors.append([np.abs(run.outputs - flow.outputs).max(), np.abs(run.probe - flow.probe).max()])
        assert errors[-1][0] < 0.01 and errors[-1][1] < 0.01
    np.testing.assert_allclose(np.divide(*errors), 2.0, rtol=0.05)  # of first order in the step


def test_in_gradient_flow_a_direction_without_slope_stays_for_ever() -> None:
    ones = np.ones((2, 2), np.float32)
    rounded = ones + np.finfo(np.float32).eps * (1 - np.eye(2, dtype=np.float32))  # with an eigenvalue -1.2e-7
    run = Linearised(rounded, [0.0, 0.0], [1.0, -1.0], ones, [0.5, 0.5]).flow([1e12])
    np.testing.assert_allclose(run.outputs[0, :, 0], [0.0, 0.0], atol=1e-6)
    np.testing.assert_allclose(run.probe[0, :, 0], [0.5, 0.5], atol=1e-6)


def test_gradient_flow_begins_with_the_slope_that_the_kernel_says(x64) -> None:
    K, _, y, cross, _ = shared()
    run = Linearised(K, 0 * y, y, cross, np.zeros((3, 2))).flow([1e-20])
    np.testing.assert_allclose(run.probe[0], 1e-20 / len(y) * cross @ y, rtol=1e-12)


@pytest.mark.parametrize("n", [8, 600])  # by all eigenvalues, and by the largest
def test_the_limit_is_the_rate_above_which_descent_grows(x64, n: int) -> None:
    rng = np.random.default_rng(n)
    features = rng.standard_normal((n, n))
    linear = Linearised(features @ features.T, np.zeros(n), np.ones(n))
    assert linear.limit == pytest.approx(2 * n / np.linalg.norm(features, 2) ** 2, rel=1e-9)
    if n == 8:
        record = [0, 1000, 2000]
        below, above = (linear.follow(None, share * linear.limit, record=record) for share in (0.99, 1.01))
        assert not below.unstable and below.losses[2] < below.losses[1]
        assert above.unstable and above.losses[2] > 10 * above.losses[1]
        assert "unstable" in repr(above) and "unstable" not in repr(below)
        once = [0.1 * linear.limit] * 20
        once[3] = 1.5 * linear.limit
        assert linear.follow(None, once, record=[20]).unstable
        assert not linear.follow(None, once, record=[3]).unstable, "the step beyond comes later"


def test_batches_that_leave_the_range_are_unstable() -> None:
    linear = Linearised(np.eye(4, dtype=np.float32), np.zeros(4), np.ones(4))
    order = np.tile([[0, 0], [1, 2]], (100, 1))
    assert linear.follow(order, 50.0, record=[0, 200]).unstable
    assert not linear.follow(order, 0.5, record=[0, 200]).unstable


def test_float32_stays_and_small_residuals_keep_their_digits() -> None:
    linear = Linearised(np.diag(np.array([1.0, 0.5], np.float32)), [0.0, 0.0], [1.0, 1.0])
    run = linear.follow(None, 1.0, record=[0, 40])
    assert run.outputs.dtype == run.residuals.dtype == np.float32
    np.testing.assert_allclose(run.residuals[1, :, 0], [-(0.5**40), -(0.75**40)], rtol=1e-5)


def test_half_precision_kernels_are_followed_in_float32() -> None:
    K = jnp.eye(2, dtype=jnp.float16)
    linear = Linearised(K, [0.0, 0.0], [1.0, 1.0])
    assert linear.follow(None, 0.1, record=[1]).outputs.dtype == np.float32


@pytest.mark.slow
def test_rates_and_chosen_leaves_are_those_of_the_kernel(x64) -> None:
    f, params, x, y, x_probe = network(1)
    linear = linearised(f, params, x, y[:, 0], x_probe=x_probe, trainable="W|V", rates={"W": 0.5})
    kernel = empirical.NTK(f, params, trainable="W|V", rates={"W": 0.5})
    np.testing.assert_allclose(linear.K, kernel(x), rtol=1e-13)
    np.testing.assert_allclose(linear.K_probe, kernel(x_probe, x), rtol=1e-13)


@pytest.mark.slow
def test_sequences_of_several_lengths_are_followed(x64) -> None:
    net = models.Recurrent(width=6)
    x = jax.random.normal(jax.random.key(0), (4, 5, 2))
    lengths, short = np.array([5, 3, 2, 5]), np.array([2, 5, 1, 4])
    params = net.init(jax.random.key(1), x[0])
    linear = linearised(net.apply, params, x, np.ones(4), x_probe=x, lengths=lengths, lengths_probe=short)
    assert linear.f0_probe is not None
    for i in range(4):
        close(linear.f0[i], net.apply(params, x[i, : lengths[i]]))
        close(linear.f0_probe[i], net.apply(params, x[i, : short[i]]))
    slope = lambda one: jax.grad(lambda params: net.apply(params, one)[0])(params)  # noqa: E731
    inner = lambda a, b: sum(jnp.vdot(*pair) for pair in zip(*map(jax.tree.leaves, (a, b)), strict=True))  # noqa: E731
    assert linear.K_probe is not None
    close(linear.K[1, 2], inner(slope(x[1, :3]), slope(x[2, :2])))
    close(linear.K_probe[3, 1], inner(slope(x[3, :4]), slope(x[1, :3])))


@pytest.mark.slow
def test_a_wide_network_is_nearer_to_its_linearisation() -> None:
    """The network itself, by full-batch descent: relative deviations fall with the width."""
    found = []
    x = jax.random.normal(jax.random.key(0), (6, 4, 2))
    y = jnp.array([1.0, -1.0, 1.0, -1.0, 1.0, -1.0])
    for width in (16, 1024):
        net = models.Recurrent(width=width, activation="erf")
        params = net.init(jax.random.key(1), x[0])
        linear = linearised(net.apply, params, x, y)
        lr = float(np.float32(0.5 * linear.limit))
        run = linear.follow(None, lr, record=[0, 20])
        batch = jax.vmap(net.apply, (None, 0))
        slope = jax.jit(jax.grad(lambda p, batch=batch: 0.5 * jnp.mean((batch(p, x)[:, 0] - y) ** 2)))
        start, now = batch(params, x), params
        for _ in range(20):
            now = jax.tree.map(lambda leaf, g, lr=lr: leaf - lr * g, now, slope(now))
        found.append(deviation(jnp.stack([start, batch(now, x)]), run.outputs))
    assert not found[0].resolved[0] and not found[1].resolved[0], "at the start they are the same"
    assert found[0].resolved[1]
    assert found[1].relative[1] < found[0].relative[1] / 3  # 1/8 expected of 64^(-1/2)


def test_what_is_not_plain_descent_on_the_squared_loss_is_refused() -> None:
    linear = Linearised(np.eye(2, dtype=np.float32), [0.0, 0.0], [1.0, 1.0])
    with pytest.raises(ValueError, match=r'loss must be "squared".*linearize'):
        linear.follow(None, 0.1, record=[1], loss="logistic")
    with pytest.raises(ValueError, match=r"momentum must be 0.*linearize"):
        linear.follow(None, 0.1, record=[1], momentum=0.9)
    with pytest.raises(ValueError, match=r"lr must be a number.*linearize"):
        linear.follow(None, optax.sgd(0.1), record=[1])


def test_wrong_input_is_refused_at_the_door() -> None:
    K, ones = np.eye(3, dtype=np.float32), np.ones(3)
    linear = Linearised(K, ones, ones)
    for lr in (-0.1, np.nan, [[0.1]]):
        with pytest.raises(ValueError, match="lr must be finite"):
            linear.follow(None, lr, record=[1])
    with pytest.raises(ValueError, match="each of the 3 steps"):
        linear.follow(None, [0.1, 0.1], record=[3])
    for record in ([], [2, 1], [-1, 2], [0.5], [1, 1]):
        with pytest.raises(ValueError, match="record must be ascending"):
            linear.follow(None, 0.1, record=record)
    with pytest.raises(ValueError, match="reach to the last record, step 2"):
        linear.follow([[0, 1]], 0.1, record=[2])
    for batches in ([[0.5]], [0, 1], np.zeros((0, 2), int)):
        with pytest.raises(ValueError, match="batches must be integers"):
            linear.follow(batches, 0.1, record=[1])
    with pytest.raises(ValueError, match=r"indices in 0\.\.2; got -1\.\.3"):
        linear.follow([[-1, 3]], 0.1, record=[1])
    for times in ([-1.0], np.inf, []):
        with pytest.raises(ValueError, match="times must be finite"):
            linear.flow(times)
    with pytest.raises(ValueError, match="K must be positive semi-definite"):
        Linearised(-K, ones, ones).flow(1.0)
    with pytest.raises(ValueError, match="K must have shape"):
        Linearised(K[:2], ones, ones)
    with pytest.raises(ValueError, match="symmetric"):
        Linearised(np.triu(np.ones((3, 3), np.float32)), ones, ones)
    with pytest.raises(ValueError, match="one shape"):
        Linearised(K, ones, np.ones((3, 2)))
    with pytest.raises(ValueError, match=r"\(3, 3, 2, 2\) for 2"):
        Linearised(np.ones((3, 3, 1, 1), np.float32), np.ones((3, 2)), np.ones((3, 2)))
    with pytest.raises(ValueError, match="together"):
        Linearised(K, ones, ones, K)
    with pytest.raises(ValueError, match=r"K_probe must have shape \(m, 3\)"):
        Linearised(K, ones, ones, K[:, :2], ones)
    with pytest.raises(ValueError, match="K_probe must be finite"):
        Linearised(K, ones, ones, np.full((3, 3), np.inf, np.float32), ones)
    with pytest.raises(ValueError, match="f0_probe must have 1"):
        Linearised(K, ones, ones, K, np.ones((3, 2)))
    f, params, x, _, _ = network(2)
    with pytest.raises(ValueError, match=r"y must have shape \(7, 2\)"):
        linearised(f, jax.tree.map(lambda leaf: leaf.astype(jnp.float32), params), x, np.ones(7))


def test_losses_of_a_run_that_left_the_range_are_infinite_and_silent() -> None:
    far = np.full((1, 1, 1), 1e200)
    run = LinearRun(None, np.zeros(1), far, None, far, True)
    assert run.losses[0] == np.inf
