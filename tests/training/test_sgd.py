"""Does training do the steps that a plain loop does, stop where it diverges, and say what is wrong with its inputs?"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ntkseq import models
from ntkseq.training import sgd
from ntkseq.training.batches import Batches
from ntkseq.training.history import track
from ntkseq.training.probes import MovementProbe

KEY = jax.random.key(5)
NET = models.Recurrent(width=6)
traces: list[int] = []


def affine(params: Any, x: Any) -> Any:
    """Two outputs; easy enough for NumPy."""
    return params["W"] @ x + params["b"]


def start(dtype: Any = np.float32, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {"W": rng.standard_normal((2, 3)).astype(dtype), "b": rng.standard_normal(2).astype(dtype)}


def points(n: int = 10, dtype: Any = np.float32, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, 3)).astype(dtype), rng.standard_normal((n, 2)).astype(dtype)


def numpy_sgd(lr: float, rows: np.ndarray, momentum: float = 0.0) -> tuple[list[dict[str, np.ndarray]], list[float]]:
    """All iterates and losses of the squared loss, by hand, in float64."""
    theta, (x, y) = start(np.float64), points(dtype=np.float64)
    speed = {name: np.zeros_like(leaf) for name, leaf in theta.items()}
    iterates, losses = [theta], []
    for row in rows:
        residual = x[row] @ theta["W"].T + theta["b"] - y[row]
        losses.append(0.5 * np.mean(np.sum(residual**2, axis=1)))
        slope = {"W": residual.T @ x[row] / len(row), "b": residual.mean(axis=0)}
        speed = {name: momentum * speed[name] + slope[name] for name in theta}
        theta = {name: theta[name] - lr * speed[name] for name in theta}
        iterates.append(theta)
    return iterates, losses


def optax_loop(f: Any, params: Any, data: Any, optimizer: Any, loss: Any, rows: np.ndarray) -> tuple[Any, list[float]]:
    """The plain loop that anybody would write."""
    state, losses = optimizer.init(params), []

    @jax.jit
    def one_step(params: Any, state: Any, batch: Any) -> Any:
        *x, y = batch

        def mean(params: Any) -> Any:
            return jnp.mean(jax.vmap(lambda *one: loss(f(params, *one[:-1]), one[-1]))(*x, y))

        value, slope = jax.value_and_grad(mean)(params)
        updates, state = optimizer.update(slope, state, params)
        return optax.apply_updates(params, updates), state, value

    for row in rows:
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            params, state, value = one_step(params, state, tuple(part[row] for part in data))
        losses.append(float(value))
    return params, losses


def close(tree: Any, other: Any, **tolerance: float) -> None:
    assert jax.tree.structure(tree) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(tree), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(np.asarray(a, np.float64), np.asarray(b, np.float64), **tolerance)


@pytest.mark.slow(but=["1-once", "None-once", "None-shuffle"])
@pytest.mark.parametrize("order", ["shuffle", "once", "replacement"])
@pytest.mark.parametrize("batch", [1, 3, None])
def test_plain_steps_are_those_of_a_loop_in_numpy(x64, order: str, batch: int | None) -> None:
    batches = Batches(10, batch, order, KEY)
    steps = min(batches.max_steps, 12)
    trained = sgd.train(
        affine, start(np.float64), points(dtype=np.float64), lr=0.1, batch=batch, order=order, steps=steps, key=KEY
    )
    iterates, losses = numpy_sgd(0.1, batches.indices(0, steps))
    close(trained.params, iterates[-1], rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(trained.losses, losses, rtol=1e-12)
    assert trained.losses.dtype == np.float64 and trained.step == steps and trained.diverged_at is None


@pytest.mark.slow(cases=["None"])
@pytest.mark.parametrize("every", [None, 7, 100])
def test_long_runs_keep_every_loss_whatever_breaks_them(x64, every: int | None) -> None:
    probes = () if every is None else (MovementProbe(every=every),)
    trained = sgd.train(
        affine, start(np.float64), points(dtype=np.float64), lr=0.02, batch=3, steps=600, key=KEY, probes=probes
    )
    iterates, losses = numpy_sgd(0.02, Batches(10, 3, "shuffle", KEY).indices(0, 600))
    np.testing.assert_allclose(trained.losses, losses, rtol=1e-10)
    close(trained.params, iterates[-1], rtol=1e-11, atol=1e-12)


def test_one_pass_is_the_loop_over_the_rows_in_order() -> None:
    trained = sgd.train(affine, start(), points(), lr=0.05, order="once", epochs=1, key=KEY)
    iterates, losses = numpy_sgd(0.05, np.arange(10)[:, None])
    close(trained.params, iterates[-1], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(trained.losses, losses, rtol=1e-4)


@pytest.mark.slow(cases=["0.5-6", "all-0"])
@pytest.mark.parametrize(("average", "first"), [("all", 0), (0.5, 6), (0.25, 9), (0.01, 11), (1.0, 0)])
def test_the_average_is_that_of_the_iterates_before_the_last_one(x64, average: Any, first: int) -> None:
    trained = sgd.train(
        affine, start(np.float64), points(dtype=np.float64), lr=0.1, batch=2, steps=12, key=KEY, average=average
    )
    iterates, _ = numpy_sgd(0.1, Batches(10, 2, "shuffle", KEY).indices(0, 12))
    for name in ("W", "b"):
        mean = np.mean([theta[name] for theta in iterates[first:12]], axis=0)
        np.testing.assert_allclose(np.asarray(trained.average[name]), mean, rtol=1e-13, atol=1e-14)


def test_a_long_average_in_float32_keeps_its_digits() -> None:
    # the gradient is 0 at the start, so every iterate is the same number, and so is their mean
    trained = sgd.train(
        lambda p, x: p * x, np.float32([0.1]), (np.ones((1, 1)), np.float32([[0.1]])), lr=0.1, steps=20_000, key=KEY,
        average="all",
    )  # fmt: skip
    assert np.asarray(trained.average) == np.asarray(trained.params) == np.float32([0.1])
    assert np.add.accumulate(np.full(20_000, np.float32(0.1)))[-1] / 20_000 != np.float32(0.1)  # what a plain sum says


@pytest.mark.slow
def test_momentum_is_that_of_a_loop_in_numpy(x64) -> None:
    data = points(dtype=np.float64)
    trained = sgd.train(affine, start(np.float64), data, optax.sgd(0.05, momentum=0.9), batch=2, steps=15, key=KEY)
    iterates, losses = numpy_sgd(0.05, Batches(10, 2, "shuffle", KEY).indices(0, 15), momentum=0.9)
    close(trained.params, iterates[-1], rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(trained.losses, losses, rtol=1e-11)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["logistic", "cross_entropy", "own"])
def test_each_loss_is_the_one_written_out(name: str) -> None:
    x, y = points()
    loss, targets, params, f = {
        "logistic": (
            lambda out, y: jnp.log1p(jnp.exp(-y * out[0])), np.sign(y[:, 0]), start(),
            lambda p, x: affine(p, x)[:1],
        ),
        "cross_entropy": (lambda out, y: -jax.nn.log_softmax(out)[y], np.arange(10) % 2, start(), affine),
        "own": (lambda out, y: jnp.sum(jnp.abs(out - y)), y, start(), affine),
    }[name]  # fmt: skip
    optimizer = optax.adam(0.05)
    trained = sgd.train(
        f, params, (x, targets), optimizer, loss=loss if name == "own" else name, batch=4, epochs=4, key=KEY
    )
    rows = Batches(10, 4, "shuffle", KEY).indices(0, 8)
    wanted, losses = optax_loop(f, params, (x, targets), optimizer, loss, rows)
    close(trained.params, wanted, rtol=2e-4, atol=2e-5)
    np.testing.assert_allclose(trained.losses, losses, rtol=1e-4)
    assert trained.step == 8


@pytest.mark.slow
def test_ragged_sequences_train_on_what_counts() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((6, 4, 2)).astype(np.float32), np.sign(rng.standard_normal(6)).astype(np.float32)
    lengths = np.array([4, 1, 2, 3, 4, 2])
    params = NET.init(jax.random.key(0), x[0])
    given = dict(lr=0.1, batch=2, steps=9, key=KEY)
    trained = sgd.train(NET.apply, params, (x, y, lengths), **given)
    rows = Batches(6, 2, "shuffle", KEY).indices(0, 9)
    wanted, losses = optax_loop(
        NET.apply, params, (jnp.asarray(x), jnp.asarray(lengths, jnp.int32), jnp.asarray(y)), optax.sgd(0.1),
        lambda out, y: 0.5 * (out[0] - y) ** 2, rows,
    )  # fmt: skip
    close(trained.params, wanted, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(trained.losses, losses, rtol=1e-4)
    padded = np.where(np.arange(4)[None, :, None] < lengths[:, None, None], x, 7.0).astype(np.float32)
    close(sgd.train(NET.apply, params, (padded, y, lengths), **given).params, trained.params, rtol=0)


@pytest.mark.slow(but=["plain-<lambda>"])
@pytest.mark.parametrize("trainable", ["W", lambda path: "W" in path])
@pytest.mark.parametrize("optimizer", [optax.adamw(0.1, weight_decay=0.1), None], ids=["adamw", "plain"])
def test_frozen_leaves_stay_and_the_others_train_as_if_alone(trainable: Any, optimizer: Any) -> None:
    params = start() | {"count": np.array([3, 4], np.int32)}
    data, given = points(), dict(lr=0.1 if optimizer is None else None, batch=2, steps=6, key=KEY, average="all")
    trained = sgd.train(affine, params, data, optimizer, trainable=trainable, **given)
    for tree in (trained.params, trained.average):
        np.testing.assert_array_equal(tree["b"], params["b"])
        np.testing.assert_array_equal(tree["count"], params["count"])
    alone = sgd.train(lambda p, x: affine({"b": params["b"], **p}, x), {"W": params["W"]}, data, optimizer, **given)
    np.testing.assert_allclose(np.asarray(trained.params["W"]), np.asarray(alone.params["W"]), rtol=1e-6)
    assert np.abs(np.asarray(trained.params["W"]) - params["W"]).min() > 1e-4


def test_integer_leaves_are_carried_past_any_optimizer() -> None:
    params = start() | {"count": np.array([3, 4], np.int32)}
    trained = sgd.train(affine, params, points(), optax.adamw(0.1), steps=3, key=KEY)
    plain = sgd.train(affine, start(), points(), optax.adamw(0.1), steps=3, key=KEY)
    np.testing.assert_array_equal(trained.params["count"], params["count"])
    close({k: trained.params[k] for k in ("W", "b")}, plain.params, rtol=0)


def test_half_precision_parameters_stay_so_and_their_loss_is_wide() -> None:
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.bfloat16), start())
    data = (jnp.asarray(points()[0], jnp.bfloat16), points()[1])
    trained = sgd.train(affine, params, data, lr=0.1, batch=None, steps=30, key=KEY, average="all")
    assert {leaf.dtype for leaf in jax.tree.leaves((trained.params, trained.average))} == {jnp.dtype(jnp.bfloat16)}
    assert trained.losses.dtype == np.float32 and trained.losses[-1] < 0.7 * trained.losses[0]


def counted_loss(prediction: Any, y: Any) -> Any:
    traces.append(1)
    return jnp.sum(jnp.square(prediction - y))


def test_one_program_serves_any_number_of_steps_rates_starts_and_probes() -> None:
    def run(**changes: Any) -> None:
        given: dict[str, Any] = dict(lr=0.1, loss=counted_loss, batch=2, steps=5, key=KEY) | changes
        sgd.train(affine, given.pop("params", start()), points(), **given)

    run()
    before = len(traces)
    run()
    door = len(traces) - before  # what a call asks of the loss before any step
    run(steps=700, probes=(MovementProbe(every=7),))
    run(lr=0.2, params=start(seed=4), key=jax.random.key(9))
    assert len(traces) == before + 3 * door and door <= 1


@pytest.mark.slow
def test_probes_see_the_iterates_of_their_steps(x64) -> None:
    probes = (MovementProbe(every=3), MovementProbe(every=(1, 10), name="now_and_then"))
    given = dict(lr=0.1, batch=2, steps=11, key=KEY)
    trained = sgd.train(affine, start(np.float64), points(dtype=np.float64), probes=probes, **given)
    assert trained.history is not None
    iterates, _ = numpy_sgd(0.1, Batches(10, 2, "shuffle", KEY).indices(0, 11))
    for name, steps in (("movement", [0, 3, 6, 9]), ("now_and_then", [0, 1, 10])):
        table = trained.history[name]
        assert table.steps.tolist() == steps
        moved = [np.sqrt(sum(np.sum((iterates[s][k] - iterates[0][k]) ** 2) for k in "Wb")) for s in steps]
        np.testing.assert_allclose(table["distance"], moved, rtol=1e-12, atol=1e-15)
    history = track(probes, start(np.float64))
    again = sgd.train(affine, start(np.float64), points(dtype=np.float64), probes=history, **given)
    np.testing.assert_array_equal(again.history["movement"]["distance"], trained.history["movement"]["distance"])
    close(sgd.train(affine, start(np.float64), points(dtype=np.float64), **given).params, trained.params, rtol=0)
    assert len(history["movement"]) == 1  # the one handed in is as it was


def test_divergence_is_returned_with_what_was_seen_before() -> None:
    given = dict(lr=1e6, batch=None, key=KEY, average="all", probes=(MovementProbe(every=1),))
    trained = sgd.train(affine, start(), points(), steps=100, **given)
    at = trained.diverged_at
    assert at is not None and 2 < at < 20 and trained.step == at
    assert trained.losses.shape == (at,) and np.isfinite(trained.losses).all()
    assert trained.history["movement"].steps.tolist() == list(range(at + 1))
    assert sgd.train(affine, start(), points(), steps=100, **given | dict(probes=())).diverged_at == at
    fine = sgd.train(affine, start(), points(), steps=at - 1, **given)
    np.testing.assert_array_equal(fine.losses, trained.losses[:-1])
    assert fine.diverged_at is None and "diverged at" in repr(trained) and "diverged" not in repr(fine)


def test_a_loss_without_end_at_the_start_is_divergence_at_0() -> None:
    trained = sgd.train(affine, start(), points(), lr=0.1, loss=lambda f, y: jnp.log(-jnp.sum(f * f)), steps=5, key=KEY)
    assert trained.diverged_at == 0 and trained.step == 0 and trained.losses.shape == (0,) and trained.average is None
    close(trained.params, start(), rtol=0)


def test_divergence_in_the_very_last_step_is_seen() -> None:
    trained = sgd.train(affine, start(), points(), optax.sgd(np.float32(np.inf)), steps=1, key=KEY)
    assert trained.diverged_at == 1 and trained.losses.shape == (1,)


def test_the_parameters_handed_in_are_not_touched() -> None:
    params = jax.tree.map(jnp.asarray, start())
    sgd.train(affine, params, points(), optax.adam(0.1), steps=4, key=KEY)
    close(params, start(), rtol=0)


def test_progress_is_shown_when_asked_for(capsys) -> None:
    sgd.train(affine, start(), points(), lr=0.1, steps=300, key=KEY, progress=True)
    assert "fit: 100%" in capsys.readouterr().err
    sgd.train(affine, start(), points(), lr=0.1, steps=300, key=KEY)
    assert capsys.readouterr().err == ""


X, Y = points()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(data=(X[:0], Y[:0])), "at least one example; got n = 0"),
        (dict(data=(X * np.nan, Y)), "the x of data must be finite"),
        (dict(data=(X, Y * np.nan)), "y must be finite"),
        (dict(data=(X, Y * np.nan), loss=lambda f, y: jnp.sum(f - y)), "y must be finite"),
        (dict(data=(X, Y[:9])), r"y must have shape \(10,\) or \(10, k\)"),
        (dict(data=(X, Y[:, :1])), r"y must have one number per output, \(10, 2\); got \(10, 1\)"),
        (dict(data=(X[:, :2], Y)), "f.params, x. failed for one example"),
        (dict(data=X), r"data must be \(x, y\) or \(x, y, lengths\); got ndarray"),
        (dict(data=(X[..., None], Y, np.ones(9, int))), r"lengths= needs f\(params, x, length\)"),
        (dict(data=(X, np.arange(10)), loss="cross_entropy"), r"y must hold classes 0..1.*got 0..9"),
        (dict(data=(X, Y[:, 0]), loss="logistic"), "one output and labels -1/.1"),
        (dict(loss="hinge"), "loss must be one of 'squared', 'logistic', 'cross_entropy'; got 'hinge'"),
        (dict(loss=lambda f, y: f - y), "must return one floating number for one example"),
        (dict(loss=lambda f, y: f @ y.reshape(5, 3)), "failed for one prediction of shape"),
        (dict(steps=None), "give steps or epochs, one of them; got neither"),
        (dict(epochs=2), "give steps or epochs, one of them; got both"),
        (dict(steps=0), "steps must be an integer >= 1; got 0"),
        (dict(steps=11, order="once"), "steps must be at most 10; got 11: 10 examples are 10 batches of 1"),
        (dict(steps=2**31), "steps must be at most 2147483646"),
        (dict(batch=11), "batch must be at most the number of examples, 10; got 11"),
        (dict(optimizer=optax.sgd(0.1)), "give an optimizer, or lr=.*got both"),
        (dict(lr=None), "give an optimizer, or lr=.*got neither"),
        (dict(lr=0.0), "lr must be a finite number > 0; got 0.0"),
        (dict(lr=None, optimizer=0.1), "optimizer must be one of optax.*got float"),
        (dict(order="twice"), "order must be one of"),
        (dict(key=None), "key must be one random key"),
        (dict(average="some"), "average must be None, 'all' or a share"),
        (dict(average=1.5), "average must be None, 'all' or a share"),
        (dict(average=True), "average must be None, 'all' or a share"),
        (dict(trainable="Q"), "trainable= must choose a floating leaf of params"),
        (dict(params={"W": X * np.nan}), "params at .'W'. must be finite"),
        (dict(probes=(3,)), "probes must be probes.*got int"),
        (dict(probes=track((MovementProbe(),), {"other": np.ones(3)})), "params must be like those"),
        (dict(probes=track((MovementProbe(every=1),), start()).update(1, start())), "step must not go back"),
        (dict(checkpoint_every=5), "checkpoint_every needs checkpoint="),
        (dict(checkpoint="run.zip"), "checkpoint must be the path of an .npz file; got 'run.zip'"),
    ],
)
def test_wrong_inputs_are_named(changes: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = dict(params=start(), data=points(), lr=0.1, steps=3, key=KEY) | changes
    with pytest.raises(ValueError, match=message):
        sgd.train(affine, given.pop("params"), given.pop("data"), given.pop("optimizer", None), **given)
