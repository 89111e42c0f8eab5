"""Tests of `ntkseq.bounds.steps`: the bound for one predictor with outputs at every step."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import concepts, kernels
from ntkseq._notices import PrecisionWarning
from ntkseq.bounds.kernel import rademacher
from ntkseq.bounds.steps import rademacher_each_step, rademacher_steps
from ntkseq.grams import as_gram
from ntkseq.grams.base import DenseGram

PAPER = kernels.Recurrent.preset("allen-zhu-li")


def kernel_of(rng, n, t):
    """A positive definite kernel between all steps, (n, n, t, t), whose diagonal differs from step to step."""
    features = rng.normal(size=(n, t, 2 * n * t)) * np.sqrt(np.arange(1.0, t + 1))[None, :, None] / math.sqrt(2 * n * t)
    return np.einsum("itp,jsp->ijts", features, features)


def named(bound, name) -> Any:
    return next(term for term in bound.terms if term.name == name)


def status(bound, name):
    return next(a.status for a in bound.assumptions if a.name == name)


@pytest.mark.parametrize("options", [{}, {"reg": 0.3}, {"kappa": 2.0}, {"tried": 4, "delta": 0.01, "B0": 0.2}])
def test_with_one_step_it_is_the_bound_for_one_output(options):
    rng = np.random.default_rng(0)
    K, y = kernel_of(rng, 30, 1), rng.normal(size=30)
    one, other = rademacher_steps(K, y[:, None], **options), rademacher(K[:, :, 0, 0], y, **options)
    assert one.certified and other.certified
    for term, same in zip(one.terms, other.terms, strict=True):
        assert term.value == pytest.approx(same.value, rel=1e-9)


def test_terms_are_the_formula():
    rng = np.random.default_rng(1)
    n, t, reg, B0, delta = 12, 3, 0.4, 0.5, 0.1
    K, y = kernel_of(rng, n, t), rng.normal(size=(n, t))
    bound = rademacher_steps(K, y, reg=reg, B0=B0, delta=delta, tried=3)
    matrix, labels = np.zeros((n * t, n * t)), np.zeros(n * t)
    for i in range(n):
        for a in range(t):
            labels[i * t + a] = y[i, a]
            for j in range(n):
                for b in range(t):
                    matrix[i * t + a, j * t + b] = K[i, j, a, b]
    dual = np.linalg.solve(matrix + reg * np.eye(n * t), labels)
    norm = math.sqrt(dual @ matrix @ dual)
    i = math.ceil(norm / B0)
    loss = np.mean([min(1.0, abs(f - label)) for f, label in zip(matrix @ dual, labels, strict=True)])
    capacity = 2 / t * sum(i * B0 * math.sqrt(sum(K[j, j, a, a] for j in range(n))) / n for a in range(t))
    assert named(bound, "training loss").value == pytest.approx(loss, rel=1e-9)
    assert named(bound, "capacity").value == pytest.approx(capacity, rel=1e-9)
    confidence = 3 * math.sqrt(math.log(2 * i * (i + 1) * 3 / delta) / (2 * n))
    assert named(bound, "confidence").value == pytest.approx(confidence, rel=1e-12)
    assert bound.value == pytest.approx(loss + capacity + confidence, rel=1e-9)
    assert bound.constants.norm_squared == pytest.approx(norm**2, rel=1e-9)


def test_known_ceilings_of_the_steps_sharpen_it():
    rng = np.random.default_rng(2)
    K, y = kernel_of(rng, 12, 3), rng.normal(size=(12, 3))
    ceilings = np.sqrt(np.einsum("iitt->it", K).max(axis=0) * 1.1)
    bound = rademacher_steps(K, y, kappa=ceilings, B0=0.5)
    i = bound.constants.i
    assert named(bound, "capacity").value == pytest.approx(2 * i * 0.5 * ceilings.mean() / math.sqrt(12), rel=1e-9)
    assert named(bound, "confidence").value == pytest.approx(math.sqrt(math.log(i * (i + 1) / 0.05) / 24), rel=1e-9)
    assert bound.certified and status(bound, "kappa") == "declared"
    low = rademacher_steps(K, y, kappa=np.where(np.arange(3) == 1, 0.5 * ceilings, ceilings))
    assert status(low, "kappa") == "fails" and not low.certified


def test_the_loss_of_some_steps_pays_for_the_norm_of_all():
    rng = np.random.default_rng(3)
    K, y = kernel_of(rng, 20, 4), rng.normal(size=(20, 4))
    whole = rademacher_steps(K, y, reg=1.0)
    parts = [rademacher_steps(K, y, reg=1.0, steps=[a]) for a in range(4)]
    assert {part.constants.norm_squared for part in parts} == {whole.constants.norm_squared}
    for name in ("training loss", "capacity"):
        assert np.mean([named(part, name).value for part in parts]) == pytest.approx(named(whole, name).value)
    assert named(parts[0], "capacity").value < named(parts[3], "capacity").value  # its diagonal is smaller
    assert "steps" in next(a.statement for a in parts[0].assumptions if a.name == "fixed beforehand")
    assert "mean over t in [2] of" in parts[2].quantity


def test_the_bounds_of_each_step_are_those_of_single_steps_with_all_of_them_counted():
    rng = np.random.default_rng(3)
    K, y = kernel_of(rng, 20, 4), rng.normal(size=(20, 4))
    kappa = 2 * np.sqrt(np.einsum("iitt->it", K).max(axis=0))
    for tried, reg, given in ((1, 0.5, None), (2, 0.0, kappa)):
        found = rademacher_each_step(K, y, reg=reg, kappa=given, tried=tried)
        wanted = [rademacher_steps(K, y, steps=[a], reg=reg, kappa=given, tried=4 * tried) for a in range(4)]
        assert [str(bound) for bound in found] == [str(bound) for bound in wanted]
        assert all(bound.certified for bound in found)


def test_one_function_of_all_steps_has_a_larger_norm_than_each_step_alone():
    rng = np.random.default_rng(4)
    K, y = kernel_of(rng, 10, 3), rng.normal(size=(10, 3))
    joint = rademacher_steps(K, y).constants.norm_squared
    alone = [rademacher_steps(K[:, :, a : a + 1, a : a + 1], y[:, a : a + 1]).constants.norm_squared for a in range(3)]
    assert max(alone) < joint


def test_norms_of_several_outputs_add_up_and_their_losses_are_averaged():
    rng = np.random.default_rng(5)
    K, y = kernel_of(rng, 10, 2), rng.normal(size=(10, 2, 3))
    whole = rademacher_steps(K, y, reg=0.5)
    parts = [rademacher_steps(K, y[:, :, o], reg=0.5) for o in range(3)]
    summed = sum(part.constants.norm_squared for part in parts)
    assert whole.constants.norm_squared == pytest.approx(summed, rel=1e-9) and whole.constants.outputs == 3
    loss = np.mean([named(part, "training loss").value for part in parts])
    assert named(whole, "training loss").value == pytest.approx(loss, rel=1e-9)


def test_a_gram_of_all_points_is_the_same_as_the_kernel_by_steps():
    rng = np.random.default_rng(6)
    K, y = kernel_of(rng, 8, 3), rng.normal(size=(8, 3))
    matrix = K.transpose(0, 2, 1, 3).reshape(24, 24)
    assert rademacher_steps(matrix, y, reg=0.1).value == rademacher_steps(K, y, reg=0.1).value


def test_the_rounding_of_the_gram_raises_norm_trace_and_loss_by_what_it_may_hide(x64):
    reg, rounding, rng = 0.5, 0.05, np.random.default_rng(7)
    n, t = 4, 2
    matrix = kernel_of(rng, n, t).transpose(0, 2, 1, 3).reshape(n * t, n * t)
    y = rng.normal(size=(n, t))
    dual = np.linalg.solve(matrix + reg * np.eye(n * t), y.ravel())
    norms, losses, traces = [], [], []
    for _ in range(300):
        E = rng.normal(size=matrix.shape)
        exact = matrix + rounding * (E + E.T) / np.linalg.norm(E + E.T, 2)
        norms.append(dual @ exact @ dual)
        off = np.minimum(1, np.abs(exact @ dual - y.ravel())).reshape(n, t)
        losses.append(off.mean(axis=0))
        traces.append(np.diagonal(exact).reshape(n, t).sum(axis=0))
    given = DenseGram(jnp.asarray(matrix), rounding=rounding)
    bound, plain = rademacher_steps(given, y, reg=reg), rademacher_steps(matrix, y, reg=reg)
    assert plain.constants.norm_squared < max(norms) <= bound.constants.norm_squared
    assert named(plain, "training loss").value < np.max(np.mean(losses, axis=1)) <= named(bound, "training loss").value
    for a in range(t):
        one = named(rademacher_steps(given, y, reg=reg, steps=[a]), "training loss").value
        assert max(loss[a] for loss in losses) <= one
        assert max(trace[a] for trace in traces) <= bound.constants.trace_by_step[a]
        assert max(trace[a] for trace in traces) > plain.constants.trace_by_step[a]
    worst = max(np.sqrt(trace).mean() for trace in traces)
    assert named(bound, "capacity").value >= 2 * bound.constants.i * worst / n


def test_duplicate_sequences_with_different_labels_give_nan_with_advice():
    rng = np.random.default_rng(8)
    K = kernel_of(rng, 5, 2)
    twice = np.array([0, 1, 2, 3, 4, 0])
    K, y = K[np.ix_(twice, twice)], rng.normal(size=(6, 2))
    bound = rademacher_steps(K, y)
    assert bound.value is not None and math.isnan(bound.value) and "duplicate" in bound.reason
    assert not bound.certified and "no value" in bound.verdict
    assert rademacher_steps(K, y, reg=0.1).certified


@pytest.mark.slow
def test_a_step_whose_kernel_is_zero_is_singular():
    x = np.random.default_rng(9).normal(size=(4, 3, 2)).astype(np.float32)
    K = kernels.every_step(PAPER, x)
    y = np.ones((4, 3))
    assert math.isnan(rademacher_steps(K, y).constants.norm_squared)  # W plays no role before the second step
    later = as_gram(K).take(np.arange(12).reshape(4, 3)[:, 1:].ravel())
    assert rademacher_steps(later, y[:, 1:]).certified
    with pytest.warns(PrecisionWarning, match="K holds float32 numbers of unknown rounding"):
        assert not rademacher_steps(K[:, :, 1:, 1:], y[:, 1:]).certified  # a slice is another array


def experiment(seed, n, t, noise, reg, test=300) -> Any:
    """Bounds of all steps and of each one, and their measured losses, for a target of the papers' class."""
    rng = np.random.default_rng(seed)
    beta = rng.normal(size=(t, t, 3))
    beta /= np.linalg.norm(beta, axis=-1, keepdims=True)
    parts = [(i, j, 0, beta[i, j] / (2 * math.sqrt(j - 1)), "sin") for j in range(2, t) for i in range(1, j)]
    target = concepts.PositionToPosition(parts)
    x = rng.normal(size=(n + test, t, 3))
    x /= np.linalg.norm(x, axis=-1, keepdims=True)
    x[:, 0] = [0.0, 0.0, 1.0]
    y = np.asarray(jax.vmap(target)(x))[:, 2:, 0] + noise * rng.uniform(-1, 1, (n + test, t - 2))
    K = np.asarray(kernels.every_step(PAPER, x[:n]))[:, :, 2:, 2:]
    cross = np.asarray(kernels.every_step(PAPER, x[n:], x[:n]))[:, :, 2:, 2:]
    points = (t - 2) * n
    matrix = K.transpose(0, 2, 1, 3).reshape(points, points)
    dual = np.linalg.solve(matrix + reg * np.eye(points), y[:n].ravel())
    f = cross.transpose(0, 2, 1, 3).reshape(-1, points) @ dual
    losses = np.minimum(1, np.abs(f.reshape(test, t - 2) - y[n:])).mean(axis=0)
    kappa = math.sqrt(t * (t - 1) / 4)  # of the last step, at least that of the others
    bound = [rademacher_steps(K, y[:n], reg=reg, B0=0.1, kappa=kappa)]
    bound += [rademacher_steps(K, y[:n], reg=reg, B0=0.1, kappa=kappa, steps=[a]) for a in range(t - 2)]
    return bound, [losses.mean(), *losses]


@pytest.mark.slow
@pytest.mark.parametrize(("n", "noise", "reg"), [(30, 1.0, 0.05), (60, 0.0, 0.0), (60, 1.0, 3.0)])
def test_the_bound_is_never_below_the_measured_loss(x64, n, noise, reg):
    for seed in range(8):
        found, losses = experiment(seed, n, 5, noise, reg)
        assert all(bound.certified for bound in found)
        assert all(bound.value >= loss for bound, loss in zip(found, losses, strict=True))


@pytest.mark.slow
def test_the_bound_is_not_vacuous_with_enough_sequences(x64):
    found, losses = experiment(0, 400, 4, 0.0, 0.0)
    assert all(bound.certified and not bound.vacuous for bound in found)
    assert all(bound.value >= loss for bound, loss in zip(found, losses, strict=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"delta": 1.0}, "delta must lie"),
        ({"B0": 0.0}, "B0 must be"),
        ({"reg": -1.0}, "reg must be"),
        ({"tried": 0}, "tried must be"),
        ({"steps": []}, "steps must be different integers"),
        ({"steps": [0, 0]}, "steps must be different integers"),
        ({"steps": [0.5]}, "steps must be different integers"),
        ({"steps": [2]}, "steps must lie in 0..1"),
        ({"steps": [-1]}, "steps must lie in 0..1"),
        ({"kappa": 0.0}, "kappa must be finite"),
        ({"kappa": [1.0, 2.0, 3.0]}, "kappa must be finite"),
    ],
)
def test_options_outside_their_range_are_refused(options, message):
    K = kernel_of(np.random.default_rng(0), 4, 2)
    with pytest.raises(ValueError, match=message):
        rademacher_steps(K, np.ones((4, 2)), **options)


def test_wrong_data_are_refused_at_the_door():
    K = kernel_of(np.random.default_rng(0), 4, 2)
    with pytest.raises(ValueError, match="a label at every step"):
        rademacher_steps(K, np.ones(4))
    with pytest.raises(ValueError, match=r"K must have shape \(4, 4, 3, 3\)"):
        rademacher_steps(K, np.ones((4, 3)))
    with pytest.raises(ValueError, match=r"or \(12, 12\)"):
        rademacher_steps(np.eye(8), np.ones((4, 3)))
    with pytest.raises(ValueError, match="y"):
        rademacher_steps(K, np.full((4, 2), np.nan))
