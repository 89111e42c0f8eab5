"""Does the test of the kernel regime know a linear model, one that learns features, and how little it has seen?"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ntkseq import empirical, training
from ntkseq.training import fine_tuning


def network(params: Any, x: Any) -> Any:
    """Two layers in the mean-field scaling, times the gain: a large gain is lazy, a small one learns features."""
    W, v, gain = params
    return gain[None] * jnp.mean(v * jnp.tanh(W @ x))[None]


def sets(n: int, seed: int = 0) -> tuple[Any, Any]:
    x = np.random.default_rng(seed).standard_normal((n, 4)).astype(np.float32)
    return jnp.asarray(x), np.where(x[:, 0] * x[:, 1] + 0.3 * x[:, 2] > 0, 1, -1)


@functools.cache
def tuned(gain: float, width: int = 24, steps: int = 300) -> tuple[Any, Any, Any]:
    """Parameters at the start, of the network and of its linearisation, fine-tuned by the same steps."""
    rng = np.random.default_rng(1)
    start = tuple(
        jnp.asarray(a, jnp.float32) for a in (rng.standard_normal((width, 4)), rng.standard_normal(width), gain)
    )
    x, y = sets(64)
    target = jnp.asarray(y, jnp.float32)

    def trained(f: Any) -> Any:
        def loss(params: Any) -> Any:
            return jnp.mean(jax.nn.softplus(-target * jax.vmap(f, (None, 0))(params, x)[:, 0]))

        step = optax.sgd(0.5 * width / gain**2)

        def one(carry: Any, _: Any) -> Any:
            params, state = carry
            slope = jax.grad(loss)(params)
            updates, state = step.update((*slope[:2], jnp.zeros_like(slope[2])), state, params)
            return (optax.apply_updates(params, updates), state), None

        return jax.jit(lambda: jax.lax.scan(one, (start, step.init(start)), length=steps)[0][0])()

    linear = empirical.linearize(network, start)
    return start, trained(network), trained(lambda params, x: linear.batch(params, x[None])[0])


OPTIONS: Any = dict(loss="logistic", trainable=r"\[[01]\]")


@pytest.mark.slow
def test_a_linear_model_is_a_kernel_by_every_measure() -> None:
    def f(W: Any, x: Any) -> Any:
        return W @ x

    x, y = sets(400, 3)
    W = jnp.array([[0.0, 0, 0, 0]]), jnp.array([[1.0, 2.0, 0.5, 0.0]])
    y = np.where(x @ W[1][0] > 0, 1, -1)
    for measure in fine_tuning.MEASURES:
        found = training.kernel_regime(f, *W, W[1], (x, y), loss="logistic", measure=measure, along=[0.5 * W[1]])
        assert found.verdict == "kernel", str(found)
        assert len(found.changes) == 2 and found.changes[1].upper <= 2 * found.floor < 1e-4
        assert 1.0 in found.recovered[measure]


@pytest.mark.slow
def test_a_large_gain_is_lazy_and_a_small_one_learns_features() -> None:
    test = sets(600, 5)
    lazy = training.kernel_regime(network, *tuned(200.0), test, **OPTIONS)
    assert lazy.verdict == "kernel", str(lazy)
    learner = training.kernel_regime(network, *tuned(0.5), test, **OPTIONS)
    assert learner.verdict == "not kernel", str(learner)
    assert learner.features.verdict == "fails" and learner.features.value.lower > 0.5


@pytest.mark.slow
def test_too_few_examples_are_undecided_and_more_decide() -> None:
    start, end, linear = tuned(200.0)
    few = training.kernel_regime(network, start, end, linear, sets(9, 5), **OPTIONS)
    assert few.verdict == "undecided" and "10 at least" in few.linearisation.reason
    close = training.kernel_regime(network, *tuned(0.5), sets(12, 5), change=30.0, share=0.0, **OPTIONS)
    assert close.verdict == "undecided", str(close)


@pytest.mark.slow
def test_what_did_not_move_is_undecided() -> None:
    start = tuned(200.0, steps=1)[0]
    found = training.kernel_regime(network, start, start, start, sets(50), **OPTIONS)
    assert found.verdict == "undecided" and "changed too little" in found.linearisation.reason
    assert not found.recovered["logits"].finite and found.features.verdict == "holds"


@pytest.mark.slow
def test_head_and_backbone_make_the_kernel_and_a_frozen_backbone_stays() -> None:
    start, end, linear = tuned(0.5)
    options = OPTIONS | {"examples": 40}
    found = training.kernel_regime(network, start, end, linear, sets(60), head=r"\[1\]", **options)
    head, backbone = found.split["head"], found.split["backbone"]
    assert abs(head.start + backbone.start - 1) < 1e-5 and abs(head.end + backbone.end - 1) < 1e-5
    x = sets(60)[0][:40]
    parts = empirical.NTK(network, start, trainable=r"\[[01]\]").by_leaf(x)
    assert abs(head.start - float(jnp.trace(parts["[1]"]) / sum(map(jnp.trace, parts.values())))) < 1e-5
    only = start[0], start[1] + 1.0, start[2]
    still = training.kernel_regime(network, start, only, only, sets(60), loss="logistic", trainable=r"\[1\]")
    assert still.features.verdict == still.linearisation.verdict == "holds"
    assert still.changes[0].estimate == 0.0 and still.changes[0].upper <= 2 * still.floor


@pytest.mark.slow
def test_the_interval_of_a_change_holds_as_often_as_it_says() -> None:
    """Kernels x x' and x M x' of normal x: changed^2 = |M - I|^2 / d. Heavy tails: squares of products."""
    rng, d, n, runs, level = np.random.default_rng(0), 3, 60, 200, 0.9
    M = np.eye(d) + 0.4 * rng.standard_normal((d, d))
    M = 0.5 * (M + M.T)
    exact = np.linalg.norm(M - np.eye(d)) / np.sqrt(d)
    held = 0
    for _ in range(runs):
        x = rng.standard_normal((n, d))
        sides = [_of(x @ A @ x.T) for A in (np.eye(d), M)]
        held += exact in fine_tuning._change(*sides, level)
    assert held / runs >= level - 3 * np.sqrt(level * (1 - level) / runs)


def _of(K: np.ndarray) -> Any:
    measured = object.__new__(fine_tuning._Measured)
    measured.K, measured.error, measured.size = K, 0.0, 1.0
    return measured


@pytest.mark.slow
def test_the_rounding_of_the_kernels_is_in_the_change(x64) -> None:
    start, end, linear = tuned(0.5)
    x, y = sets(40)
    found = training.kernel_regime(network, start, end, linear, (x, y), **OPTIONS)
    up = lambda tree: jax.tree.map(lambda leaf: leaf.astype(jnp.float64), tree)  # noqa: E731
    fine = training.kernel_regime(network, up(start), up(end), up(linear), (up(x), y), **OPTIONS)
    assert found.changes[0].lower <= fine.changes[0].lower and fine.changes[0].upper <= found.changes[0].upper
    assert abs(found.changes[0].estimate - fine.changes[0].estimate) <= found.floor * 2


@pytest.mark.slow(cases=["change1-head must be found in the paths of some leaves"])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict(measure="accuracy", loss=lambda f, y: f[0] * y), '"accuracy" needs a loss by name'),
        (dict(head="nothing"), "head must be found in the paths of some leaves"),
        (dict(tuned=(jnp.ones(2),)), "tuned must have the structure"),
        (dict(along=[()]), "along must have the structure"),
        (dict(share=float("nan")), "share must be"),
        (dict(measure="margin"), "measure must be one of"),
    ],
)
def test_what_cannot_be_tested_is_refused(change: dict[str, Any], words: str) -> None:
    start = tuned(200.0, steps=1)[0]
    arguments = {"params": start, "tuned": start, "linear": start, "test": sets(20), **OPTIONS, **change}
    with pytest.raises(ValueError, match=words):
        training.kernel_regime(network, **arguments)
