"""Do probes see the network that is trained, where training moves more than its parameters, and say so where not?"""

from __future__ import annotations

import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import training
from ntkseq._struct import static, struct
from ntkseq.spectra import effective_ranks
from ntkseq.training.state import listed
from tests import oracles

X = jnp.asarray(np.random.default_rng(0).standard_normal((6, 3)) * 3 + 2, jnp.float32)
Y = jnp.sign(X[:, 0])
PARAMS = {"A": jnp.ones((2, 3)) / 3, "v": jnp.array([1.0, -1.0])}
STATE = {"mean": jnp.zeros(2), "var": jnp.ones(2), "count": jnp.int32(0)}


def f(params: Any, state: Any, x: Any) -> Any:
    """Batch normalisation by running averages, written by hand."""
    h = (params["A"] @ x - state["mean"]) / jnp.sqrt(state["var"])
    return (params["v"] @ jnp.tanh(h))[None]


def step(params: Any, state: Any) -> tuple[Any, Any]:
    """One of gradient descent by the statistics of the batch, which the averages follow."""

    def loss(params: Any) -> Any:
        h = X @ params["A"].T
        mean, var = h.mean(0), h.var(0)
        out = jnp.tanh((h - mean[None]) / jnp.sqrt(var[None])) @ params["v"]
        return jnp.mean((out - Y) ** 2) / 2, (mean, var)

    slope, (mean, var) = jax.grad(loss, has_aux=True)(params)
    params = jax.tree.map(lambda w, g: w - 0.1 * g, params, slope)
    mean, var = 0.5 * state["mean"] + 0.5 * mean, 0.5 * state["var"] + 0.5 * var
    return params, {"mean": mean, "var": var, "count": state["count"] + 1}


def probes(f: Any = f, every: int = 3) -> list[Any]:
    attention = lambda params, state, x: jax.nn.softmax(jnp.outer(x, x) * state["var"][0])  # noqa: E731
    return [
        training.KernelProbe(f, X, y=Y, every=every, trainable=r"^\['A'\]$|'v'"),
        training.LossProbe(f, {"train": (X, Y)}, every=every),
        training.AttentionRankProbe(attention, X, every=every),
        training.MovementProbe(every=every),
    ]


def check(history: Any, params: Any, state: Any) -> None:
    """The last row against explicit Jacobians at these parameters and this state."""
    now = lambda params, x: f(params, state, x)  # noqa: E731
    K = oracles.explicit_ntk(now, params, X)[:, :, 0, 0]
    out = np.asarray(jax.vmap(now, (None, 0))(params, X))[:, 0]
    kernel, loss = history["kernel"], history["loss"]
    np.testing.assert_allclose(kernel["trace"][-1], np.trace(K), rtol=1e-5)
    np.testing.assert_allclose(kernel["outputs"][-1][:, 0], out, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(loss["train_loss"][-1], np.mean((out - np.asarray(Y)) ** 2) / 2, rtol=1e-5)
    ranks = jax.vmap(lambda x: effective_ranks(_attention(state, x), "entropy"))(X)
    np.testing.assert_allclose(history["attention"]["rank_entropy"][-1], np.mean(ranks), rtol=1e-5)
    moved = [np.sum((np.asarray(params[k]) - np.asarray(PARAMS[k])) ** 2) for k in params]
    np.testing.assert_allclose(history["movement"]["distance"][-1], np.sqrt(sum(moved)), rtol=1e-5)


def _attention(state: Any, x: Any) -> Any:
    return jax.nn.softmax(jnp.outer(x, x) * state["var"][0])


@pytest.mark.slow
def test_probes_of_every_kind_see_the_state_that_is_passed_along():
    params, state = PARAMS, STATE
    history = training.track(probes(), params, state)
    check(history, params, state)
    for number in range(1, 7):
        params, state = step(params, state)
        history = history.update(number, params, state)
    assert history["kernel"].steps.tolist() == [0, 3, 6]
    check(history, params, state)
    assert not np.allclose(state["var"], 1, rtol=0.5)  # or the test would show nothing


@pytest.mark.slow
def test_a_tape_in_a_scan_sees_it_too():
    history = training.track(probes(), PARAMS, STATE)

    @jax.jit
    def train(params: Any, state: Any, tape: Any) -> Any:
        def one(carry: Any, number: Any) -> Any:
            params, state, tape = carry
            params, state = step(params, state)
            return (params, state, tape.update(number, params, state)), None

        return jax.lax.scan(one, (params, state, tape), jnp.arange(1, 7))[0]

    params, state, tape = train(PARAMS, STATE, history.tape(slots=2))
    check(history.extend(tape), params, state)


@pytest.mark.slow
def test_a_trained_part_of_the_parameters_is_named_as_without_a_state():
    only = training.KernelProbe(f, X, trainable=r"^\['v'\]")
    K = oracles.explicit_ntk(lambda v, x: f({**PARAMS, "v": v}, STATE, x), PARAMS["v"], X)
    table = training.track([only], PARAMS, STATE)["kernel"]
    np.testing.assert_allclose(table["trace"][0], np.trace(K[:, :, 0, 0]), rtol=1e-5)


@pytest.mark.slow
def test_a_state_that_diverged_leaves_a_row_of_nan():
    history = training.track([training.KernelProbe(f, X, every=1)], PARAMS, STATE)
    history = history.update(1, PARAMS, {**STATE, "mean": jnp.full(2, jnp.nan)})
    assert np.isnan(history["kernel"]["trace"][1])


def test_a_state_is_passed_always_or_never():
    tracked = training.track([training.MovementProbe(every=1)], PARAMS, STATE)
    without = training.track([training.MovementProbe(every=1)], PARAMS)
    for refused, message in (
        (lambda: tracked.update(1, PARAMS), "state must be passed, since tracking began with one; got None"),
        (lambda: tracked.tape(1).update(1, PARAMS), "state must be passed"),
        (lambda: without.update(1, PARAMS, STATE), "state must be left out, since tracking began without one"),
        (lambda: without.tape(1).update(1, PARAMS, STATE), "state must be left out"),
        (lambda: tracked.update(1, PARAMS, {"mean": jnp.zeros(2)}), "state must be like those that tracking began"),
        (
            lambda: training.sgd.train(f, PARAMS, (X, Y), lr=0.1, steps=1, key=jax.random.key(0), probes=tracked),
            "failed for one example",  # f(params, state, x) is no function of one example
        ),
        (
            lambda: training.sgd.train(lambda p, x: f(p, STATE, x), PARAMS, (X, Y), lr=0.1, steps=1,
                                     key=jax.random.key(0), probes=tracked),
            "state must be passed",
        ),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            refused()


def test_a_probe_of_your_own_is_not_given_a_state_that_is_not_there():
    @struct
    class Largest(training.Probe):
        every: Any = static(default=1)
        name: str = static(default="largest")
        kind = "largest"

        def measure(self, params: Any, start: Any) -> Any:
            return jnp.max(params["A"])

        def reduce(self, measured: Any, memory: Any) -> dict[str, Any]:
            return {"largest": measured}

    assert training.track([Largest()], PARAMS).update(1, PARAMS)["largest"]["largest"].shape == (2,)


def test_a_function_that_holds_nothing_is_tracked_without_a_word():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        training.track(probes(), PARAMS, STATE)
        training.track([training.LossProbe(lambda p, x: f(p, STATE, x), {"train": (X, Y)})], PARAMS)


def test_many_names_are_counted():
    assert listed(["a", "b"]) == "a, b"
    assert listed([str(k) for k in range(9)]).endswith("5 and 3 more")
