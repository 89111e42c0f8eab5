"""Tests of `ntkseq.studies.rnn_positions.step_regression` and of the targets in `rnn_positions.cases`."""

from __future__ import annotations

import contextlib
import dataclasses
import math

import jax
import numpy as np
import pytest

from ntkseq import concepts, kernels
from ntkseq.studies.provenance import Fingerprint
from ntkseq.studies.recurrent.targets import KERNEL
from ntkseq.studies.rnn_positions.cases import at_step, cases, target
from ntkseq.studies.rnn_positions.step_regression import alone, by_step, cross_points, fit, points, probed, used
from ntkseq.studies.rnn_positions.study import RnnPositions


def drawn(seed, n, t, d=3):
    x = np.random.default_rng(seed).normal(size=(n, t, d)).astype(np.float32)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def problem(n=10, m=7, t=5):
    x = drawn(0, n + m, t)
    K = points(kernels.every_step(KERNEL, x[:n]), relative=1e-6, square=True)
    y = np.random.default_rng(1).normal(size=(n + m, t - 2)).astype(np.float32)
    return x, K, cross_points(x[n:], x[:n]), y[:n], y[n:]


@pytest.mark.slow
def test_points_are_the_steps_of_a_sequence_next_to_each_other_from_the_third_on():
    x = drawn(0, 4, 5)
    K = np.asarray(kernels.every_step(KERNEL, x))
    made = np.asarray(points(K, relative=1e-6, square=True).array)
    for i in range(4):
        for j in range(4):
            for a in range(3):
                for b in range(3):
                    assert made[3 * i + a, 3 * j + b] == K[i, j, a + 2, b + 2]
    many = drawn(1, 150, 5)  # more than one piece
    beside = cross_points(many, x)
    np.testing.assert_allclose(beside[3 * 140 : 3 * 141], points(
        kernels.every_step(KERNEL, many[140:141], x), relative=0.0, square=False).array, rtol=1e-6)  # fmt: skip


@pytest.mark.slow
def test_the_stated_rounding_covers_all_pairs_of_steps(x64):
    x = drawn(2, 24, 12)
    x[1] = x[0] + 1e-4 * x[2]  # a near duplicate
    relative = KERNEL.entry_rounding(KERNEL.prepare(x))
    single = np.asarray(kernels.every_step(KERNEL, x), np.float64)
    exact = np.asarray(kernels.every_step(KERNEL, x.astype(np.float64)))
    own = np.sqrt(np.einsum("iitt->it", exact))
    size = own[:, None, :, None] * own[None, :, None, :]
    off = np.max(np.abs(single - exact)[..., 2:, 2:] / size[..., 2:, 2:])
    assert 0 < off <= relative


@pytest.mark.slow
def test_the_fit_is_the_interpolant_of_all_points():
    _, K, cross, y, y_test = problem()
    made = fit(K, cross, y, y_test, 6, delta=0.05, B0=0.5)
    matrix = np.asarray(K.array, np.float64)[:18, :18]
    f = (cross[:, :18] @ np.linalg.solve(matrix, y[:6].ravel())).reshape(7, 3)
    np.testing.assert_allclose(made.predicted, f, rtol=1e-6)
    np.testing.assert_allclose(made.by_step, np.minimum(1, np.abs(f - y_test)).mean(axis=0), rtol=1e-6)
    assert made.errors.mean == pytest.approx(made.by_step.mean()) and made.errors.points == 7
    assert made.reg == 0 and not made.reason and made.bound.certified
    assert made.bound.constants.n == 6  # sequences, not points
    assert made.bound.constants.norm_squared == pytest.approx(
        y[:6].ravel() @ np.linalg.solve(matrix, y[:6].ravel()), rel=1e-3
    )


@pytest.mark.slow
def test_probes_behind_the_tests_do_not_count_as_tests():
    _, K, cross, y, y_test = problem()
    made = fit(K, cross, y, y_test[:4], 6, delta=0.05, B0=0.5)
    assert made.predicted.shape == (7, 3) and made.errors.points == 4
    np.testing.assert_allclose(made.by_step, by_step(made.predicted[:4], y_test[:4]))


@pytest.mark.slow
def test_duplicates_get_a_ridge_and_a_reason():
    x, n = drawn(3, 6, 4), 6
    x[5] = x[0]
    K = points(kernels.every_step(KERNEL, x), relative=1e-6, square=True)
    y = np.random.default_rng(0).normal(size=(n, 2))
    made = fit(K, cross_points(x, x), y, y, n, delta=0.05, B0=0.5)
    assert made.reg > 0 and "cannot be told from zero" in made.reason and made.bound.certified
    assert np.isfinite(made.predicted).all()


@pytest.mark.slow
def test_a_step_alone_is_regression_on_its_own_kernel():
    x, K, cross, y, y_test = problem()
    for a in range(3):
        one = alone(K, cross, y, y_test, a, 8)
        last = kernels.Recurrent.preset("allen-zhu-li")(x[:8, : a + 3])  # the kernel of the sequence up to that step
        beside = kernels.Recurrent.preset("allen-zhu-li")(x[10:, : a + 3], x[:8, : a + 3])
        f = np.asarray(beside, np.float64) @ np.linalg.solve(np.asarray(last, np.float64), y[:8, a])
        np.testing.assert_allclose(one.predicted, f, rtol=1e-3, atol=1e-4)


def test_probes_replace_one_token_at_a_time():
    x = drawn(4, 9, 4)
    changed = probed(x, 3).reshape(4, 3, 4, 3)
    np.testing.assert_array_equal(changed[0], x[:3])
    for i in range(1, 4):
        for k in range(3):
            for t in range(4):
                from_ = (k - 1) % 3 if t == i else k
                np.testing.assert_array_equal(changed[i, k, t], x[from_, t])


@pytest.mark.slow
def test_use_of_tokens_is_one_for_the_target_and_less_for_what_misses_some():
    t, k = 5, 400
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(t, t, 3))
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    f = target("linear", "all", directions, 1.0)
    x = probed(drawn(5, k, t), k)
    y = np.asarray(jax.vmap(f)(x))[:, 2:, 0]
    own = used(y, y, k)
    for a in range(3):
        for token in range(1, t):
            if token < a + 2:
                # variance of <beta, x> for a uniform unit x in 3 dimensions, over k terms
                assert own.gain[token - 1, a] == pytest.approx(1, abs=1e-6)
                assert own.effect[token - 1, a] == pytest.approx(1 / 3 / (a + 1), rel=0.2)
            else:
                assert own.effect[token - 1, a] == 0 and math.isnan(own.gain[token - 1, a])
    half = used(0.5 * y + 7, y, k)
    np.testing.assert_allclose(half.gain, 0.5 * own.gain, rtol=1e-6)
    np.testing.assert_allclose(half.effect, 0.25 * own.effect, rtol=1e-5)


@pytest.mark.slow
def test_targets_read_the_token_before_the_second_or_all_and_steps_are_additive():
    t = 6
    directions = np.random.default_rng(0).normal(size=(t, t, 3))
    reads = {
        source: {(p.source, p.step) for p in target("sin", source, directions, 1.0).parts}
        for source in ("near", "far", "all")
    }
    assert reads["near"] == {(j - 1, j) for j in range(2, t)}
    assert reads["far"] == {(1, j) for j in range(2, t)}
    assert reads["all"] == {(i, j) for j in range(2, t) for i in range(1, j)}
    x = drawn(6, 1, t)[0]
    f = target("exp", "all", directions, 1.0)
    for j in range(2, t):
        one = at_step(f, j)
        assert isinstance(one, concepts.Additive)
        assert float(one(x[: j + 1])) == pytest.approx(float(f(x)[j, 0]), rel=1e-5)
        assert float(f(x)[j, 0]) == pytest.approx(
            sum(math.exp(float(x[i] @ directions[i, j])) for i in range(1, j)) / math.sqrt(j - 1), rel=1e-5
        )


@pytest.mark.slow
def test_a_case_counts_bounds_that_do_not_hold():
    study = RnnPositions(length=4, examples=(4, 8), functions=("sin",), sources=("near",), draws=2, n_test=20, probes=4,
                         widths=(8,), sgd_examples=(4,), seeds=1, epochs=1)  # fmt: skip
    (case,) = cases(study, mark=Fingerprint(), clock=lambda key, name: contextlib.nullcontext())
    assert case.broken == case.violations == 0 and case.checks == 2 * 2 * 2 + 2
    low = [dataclasses.replace(b, value=1e-9) for b in case.steps]
    assert dataclasses.replace(case, steps=low).broken == 2
    fits = [[dataclasses.replace(f, bound=dataclasses.replace(f.bound, value=1e-9)) for f in g] for g in case.fits]
    assert dataclasses.replace(case, fits=fits).broken == 4
    none = dataclasses.replace(case.risk, value=1e-9)
    assert dataclasses.replace(case, risk=none).broken == 4
    none = dataclasses.replace(case.risk, constants=dataclasses.replace(case.risk.constants, norm=1e-4))
    assert dataclasses.replace(case, risk=none).violations == 4
    small = [dataclasses.replace(b, value=1e-6) for b in case.norms]
    assert dataclasses.replace(case, norms=small).violations == 2
