"""Do runs of the study of attention ranks measure what plain loops measure, and are its heads what bounds speak of?"""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest

from ntkseq.models import Serial
from ntkseq.studies.attention_rank.heads import frozen, ramp, readout
from ntkseq.studies.attention_rank.networks import KINDS, Bench, scaled
from ntkseq.studies.attention_rank.study import AttentionRank
from ntkseq.studies.attention_rank.tasks import Examples, Task, classes

ASKED = AttentionRank(width=8, heads=2, depth=1, hidden=3, steps=20, batch=8, rate=0.03, delta=0.05)


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(classes("digits", ("0", "1", "2"), 40, 0), ASKED)


@pytest.fixture(scope="module")
def run(bench: Bench):
    return bench.measure(24, 0, 1.0, 0, watch=True)


@pytest.mark.slow
def test_a_gap_is_test_minus_training_loss_with_the_interval_of_the_test_mean(run):
    assert run.gap.estimate == pytest.approx(run.test.estimate - run.train)
    assert run.gap.upper - run.gap.lower == pytest.approx(run.test.upper - run.test.lower)
    assert 0 <= run.train_clipped <= 1 and run.test_clipped.estimate <= 1
    assert run.history["loss"]["test_loss"][-1] == pytest.approx(run.test.estimate, rel=1e-5)
    assert run.history["loss"]["train_error"][-1] == pytest.approx(run.train_error)
    assert run.apart is None


@pytest.mark.slow
def test_training_makes_the_training_loss_smaller(run):
    losses = run.history["loss"]["train_loss"]
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.slow
def test_every_definition_of_rank_becomes_one_number_between_one_and_the_length(run):
    numbers = run.numbers()
    assert len(numbers) == 20 and {f"{kind}, mean" for kind in KINDS} <= set(numbers)
    assert all(1 - 1e-4 <= value <= 8 for value in numbers.values())
    assert all(numbers[f"{kind}, mean"] <= numbers[f"{kind}, max"] for kind in KINDS)
    assert len(run.ranks.layers) == 1 and run.ranks.layers[0].mean["entropy"].shape == (2,)


def test_larger_queries_at_the_start_make_attention_sharper(bench: Bench):
    net, x = bench.transformer, bench.task.test.x[0]
    params = net.init(jax.random.key(0), x)
    flat, sharp = (net.attention_weights(scaled(params, sigma), x)[0] for sigma in (1e-4, 50.0))
    np.testing.assert_allclose(flat, 1 / 8, atol=1e-3)
    assert float(np.max(np.asarray(sharp), axis=-1).mean()) > 0.7
    changed = jax.tree.map(lambda a, b: bool(np.any(np.asarray(a) != np.asarray(b))), params, scaled(params, 2.0))
    names = [str(path[-1]) for path, moved in jax.tree_util.tree_leaves_with_path(changed) if moved]
    assert names == ["['Q']"]  # the queries of its one attention block, nothing else


@pytest.mark.slow
def test_certified_bounds_stay_above_the_test_loss(bench: Bench):
    """With 40 examples all four are above 1, which no loss exceeds: this shows that they speak of the head and of the
    loss that were measured. The next test has a bound that says something.
    """
    head, lazy = bench.certify(40, 0, 1.0, 0)
    assert (head.kind, lazy.kind) == ("head", "frozen")
    assert set(head.bounds) == {"norms", "ranks of weights", "Schatten norms"} and set(lazy.bounds) == {
        "frozen attention"
    }
    for one in (head, lazy):
        for name, bound in one.bounds.items():
            assert bound.certified and not one.violated(name) and not one.beyond(name)
            training = next(term.value for term in bound.terms if term.name == "training loss")
            assert training == pytest.approx(one.train, abs=1e-3)
            assert one.allowed(name) > one.gap.estimate


def test_where_the_bound_of_frozen_attention_says_something_it_is_above_the_loss_and_near_it():
    n = 20_000  # one token, always 1; one label in five is -1
    signs = np.where(np.arange(n) % 5 == 0, -1.0, 1.0).astype(np.float32)
    part = Examples(np.ones((n, 1, 1), np.float32), np.zeros(n, np.int32), signs)
    found = frozen((n, 0, 1.0), np.ones((n, 1, 1)), part, np.ones((n, 1, 1)), part, delta=0.05)
    bound = found.bounds["frozen attention"]
    assert found.test.estimate == pytest.approx(0.2 + 0.8 * 0.4, abs=0.01)  # f is the mean of the labels, 0.6
    assert bound.certified and not bound.vacuous and not found.violated("frozen attention")
    assert found.test.estimate <= bound.value <= 1.2 * found.test.estimate
    halved = dataclasses.replace(found, bounds={"frozen attention": dataclasses.replace(bound, value=bound.value / 2)})
    assert halved.violated("frozen attention")


@pytest.mark.slow
def test_a_bound_that_is_too_low_counts_as_violated(bench: Bench):
    lazy = bench.certify(40, 0, 1.0, 0)[1]
    bound = dataclasses.replace(lazy.bounds["frozen attention"], value=lazy.test.lower - 1e-6)
    between = dataclasses.replace(bound, value=lazy.test.estimate - 1e-6)
    low, middle = (dataclasses.replace(lazy, bounds={"frozen attention": b}) for b in (bound, between))
    assert low.violated("frozen attention") and low.beyond("frozen attention")
    assert middle.beyond("frozen attention") and not middle.violated("frozen attention")


def test_the_readout_minimises_what_it_says():
    rng = np.random.default_rng(0)
    A, x = rng.random((30, 3, 3)), rng.standard_normal((30, 3, 2)).astype(np.float32)
    signs = np.sign(rng.standard_normal(30)).astype(np.float32)
    part = Examples(x, np.zeros(30, np.int32), signs)
    U = readout(A, part)

    def objective(V):
        f = np.array([np.sum(V * (A[i] @ x[i].astype(np.float64))) for i in range(30)])
        return np.mean((f - signs) ** 2) + np.sum(V**2) / np.sqrt(30)

    least = objective(U)
    for _ in range(50):
        assert objective(U + 1e-2 * rng.standard_normal(U.shape)) > least
    found = frozen((30, 0, 1.0), A, part, A, part, delta=0.05)
    f = np.array([np.sum(U * (A[i] @ x[i].astype(np.float64))) for i in range(30)])
    assert found.train == found.test.estimate == pytest.approx(np.mean(ramp(f, signs)))


def test_the_ramp_lies_between_the_error_and_one():
    f, y = np.array([-2.0, -0.5, 0.5, 1.5, 0.0]), np.array([1.0, 1, 1, 1, -1])
    assert ramp(f, y).tolist() == [1, 1, 0.5, 0, 1]


@pytest.mark.slow
def test_sequences_of_several_lengths_are_trained_and_bounded():
    rng = np.random.default_rng(1)
    lengths = np.array([1, 4, 2, 3] * 8, np.int32)
    x = rng.standard_normal((32, 4, 3)).astype(np.float32)
    x /= 2 * np.linalg.norm(x, axis=2, keepdims=True)
    x[np.arange(4) >= lengths[:, None]] = 0
    y = (np.arange(32) % 2).astype(np.int32)
    whole = Examples(x, y, np.where(y == 1, 1.0, -1.0).astype(np.float32), lengths)

    def take(which):
        return Examples(whole.x[which], whole.y[which], whole.signs[which], lengths[which])

    task = Task("ragged", "", "", 32, 2, "mean", False, take, whole)
    small = Bench(task, ASKED)
    run = small.measure(16, 0, 1.0, 0)
    assert run is not None and np.isfinite(run.gap.estimate) and isinstance(small.transformer, Serial)
    assert all(not one.violated(name) for one in small.certify(16, 0, 1.0, 0) for name in one.bounds)


@pytest.mark.slow
def test_a_run_that_diverges_is_no_run():
    wild = Bench(classes("digits", ("0", "1"), 20, 0), dataclasses.replace(ASKED, rate=1e30))
    assert wild.measure(8, 0, 1.0, 0) is None
    assert [one.kind for one in wild.certify(8, 0, 1.0, 0)] == ["frozen"]
