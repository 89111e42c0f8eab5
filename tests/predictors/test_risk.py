"""Do the examples of a ridge fit predict its risk, within the intervals that are stated?"""

from __future__ import annotations

import json

import numpy as np
import pytest

import ntkseq
from ntkseq import grams, kernels
from ntkseq.grams import DenseGram
from ntkseq.predictors import left_out, one_hot, predicted_risk, ridge, select_reg
from tests.predictors.tables import tables


def gaussian(x1, x2, width):
    squares = (x1**2).sum(-1)[:, None] + (x2**2).sum(-1) - 2 * x1 @ x2.T
    return np.exp(-0.5 * squares / width**2)


def drawn(design, rng, n):
    """Inputs, targets and the width of a kernel."""
    d, width = {"signs": (4, 1.5), "many features": (30, 8.0), "rare class": (3, 1.5), "values": (2, 1.0)}[design]
    x, noise = rng.normal(size=(n, d)), rng.normal(size=n)
    f = {
        "signs": np.sin(2 * x[:, 0]) + 0.5 * x[:, 1] + 0.5 * noise,
        "many features": x[:, 0] + 0.5 * x[:, 1] + 0.5 * noise,
        "rare class": x[:, 0] + 0.3 * noise - 1.6,
        "values": np.sin(2 * x[:, 0]) + 0.3 * noise,
    }[design]
    return x, f if design == "values" else np.where(f > 0, 1.0, -1.0), width


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    x, y, width = drawn("signs", rng, 60)
    return gaussian(x, x, width), y


def test_leave_one_out_and_gcv_are_the_formulas(problem):
    K, y = problem
    found, fit = predicted_risk(K, y, reg=0.1), ridge(K, y, reg=0.1)
    B = np.linalg.inv(K + 0.1 * np.eye(60))
    assert found.leave_one_out.value == pytest.approx(fit.loo_error)
    assert found.gcv.value == pytest.approx(60 * np.sum((B @ y) ** 2) / np.trace(B) ** 2)
    assert found.zero_one.value == np.mean(y * fit.loo_predictions <= 0)
    assert found.effective_dimension == pytest.approx(fit.effective_dimension)
    assert found.omniscient.value == pytest.approx(found.gcv.value, rel=0.05)
    assert found.leave_one_out.trained_on == 59 and found.gcv.trained_on == 60


def test_classes_in_columns_are_decided_by_the_largest(problem):
    K, _ = problem
    y = one_hot(np.arange(60) % 3)
    found, fit = predicted_risk(K, y, reg=0.1), ridge(K, y, reg=0.1)
    assert found.leave_one_out.value == pytest.approx(fit.loo_error) and found.outputs == 3
    assert found.zero_one.value == np.mean(np.argmax(fit.loo_predictions, axis=1) != np.arange(60) % 3)


def test_the_units_of_the_kernel_do_not_matter(problem):
    K, y = problem
    one, other = predicted_risk(K, y, reg=0.1), predicted_risk(1e-160 * K, y, reg=1e-161)
    for a, b in zip(one.estimates, other.estimates, strict=True):
        assert (b.value, b.lower, b.upper) == pytest.approx((a.value, a.lower, a.upper), rel=1e-6)
    assert other.kappa == pytest.approx(1e-160 * one.kappa) and other.reg == pytest.approx(1e-161)


@pytest.mark.slow
@pytest.mark.parametrize("design", ["signs", "many features"])
def test_the_variance_is_that_of_trials_and_taking_losses_for_independent_is_too_little(design):
    rng, errors, stated, naive = np.random.default_rng(1), [], [], []
    for _ in range(120):
        x, y, width = drawn(design, rng, 40)
        found = predicted_risk(K := gaussian(x, x, width), y, reg=0.02).leave_one_out
        xq, yq, _ = drawn(design, rng, 500)
        f = gaussian(xq, x, width) @ np.linalg.solve(K + 0.02 * np.eye(40), y)
        errors.append(found.value - np.mean((f - yq) ** 2))
        stated.append(found.standard_error**2)
        naive.append(found.spread**2 / 40)
    assert 0.8 <= np.mean(stated) / np.mean(np.square(errors)) <= 1.8
    assert np.mean(naive) < 0.75 * np.mean(np.square(errors))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("design", "trials"),
    [
        ("signs", 40),
        ("many features", 40),
        *(pytest.param(one, 200, marks=pytest.mark.slow) for one in ("signs", "many features", "rare class", "values")),
    ],
)
def test_intervals_hold_the_risk_of_the_fitted_predictor(design, trials):
    rng, held = np.random.default_rng(2), []
    for trial in range(trials):
        n, reg = 30 + 40 * (trial % 3), (0.02, 0.5)[trial % 2]
        x, y, width = drawn(design, rng, n)
        found = predicted_risk(K := gaussian(x, x, width), y, reg=reg)
        if found.reason:
            continue
        xq, yq, _ = drawn(design, rng, 1000)
        f = gaussian(xq, x, width) @ np.linalg.solve(K + reg * np.eye(n), y)
        risks = {"squared error": np.mean((f - yq) ** 2), "zero-one error": np.mean(yq * f <= 0)}
        held.append([(on := one.on(1000)).lower <= risks[one.loss] <= on.upper for one in found.estimates])
    assert len(held) > 0.6 * trials and np.all(np.mean(held, axis=0) >= 0.9)  # of 0.95


def test_the_interval_on_few_examples_is_longer(problem):
    one = predicted_risk(*problem, reg=0.1).zero_one
    few, many = one.on(10), one.on(10**9)
    assert few.lower < one.lower and one.upper < few.upper
    assert (many.lower, many.upper) == pytest.approx((one.lower, one.upper), rel=1e-4)


def test_what_was_tried_makes_the_interval_longer(problem):
    K, y = problem
    regs = np.logspace(-3, 1, 20)
    best = select_reg(K, y, regs).reg
    alone, of_many = predicted_risk(K, y, reg=best), predicted_risk(K, y, reg=best, tried=len(regs))
    for a, b in zip(alone.estimates, of_many.estimates, strict=True):
        assert b.value == a.value and b.lower < a.lower and a.upper < b.upper
        assert b.level == pytest.approx(1 - 0.05 / 20)


@pytest.mark.parametrize("rounding", [1e-6, 1e-3])
def test_rounding_of_k_is_part_of_every_estimate(rounding):
    rng = np.random.default_rng(3)
    x, y, width = drawn("signs", rng, 50)
    K = gaussian(x, x, width)
    truth = predicted_risk(DenseGram(K, rounding=0.0), y, reg=0.1)
    for trial in range(12):
        u = rng.normal(size=(50, 50)) if trial else np.eye(50)
        E = (u + u.T) * rounding / np.linalg.norm(u + u.T, 2)
        found = predicted_risk(DenseGram(K + E, rounding=rounding), y, reg=0.1)
        for one, exact in zip(found.estimates, truth.estimates, strict=True):
            assert abs(one.value - exact.value) <= one.rounding + exact.rounding
            assert one.rounding > exact.rounding or one.loss == "zero-one error"
            assert one.estimated == "" and one.upper - one.lower > 2 * one.rounding


def test_a_gram_that_is_not_resolved_has_an_open_interval_and_a_reason(problem):
    K, y = problem
    found = predicted_risk(DenseGram(K, rounding=0.5), y, reg=0.01)
    for one in found.estimates:
        assert one.lower == 0.0 and (one.upper == np.inf or (one.loss == "zero-one error" and one.upper == 1.0))
    assert "rounding" in found.leave_one_out.reason and "rounding" in repr(found)


@pytest.mark.parametrize("labels", [np.ones(60), one_hot(np.zeros(60, int), classes=[0, 1])])
def test_labels_of_one_class_have_no_interval_but_a_reason(problem, labels):
    found = predicted_risk(problem[0], labels, reg=0.1)
    assert "one value" in found.reason
    for one in found.estimates:
        assert one.reason == found.reason and one.lower == 0.0 and one.upper in (1.0, np.inf)


def test_no_error_among_the_examples_is_no_certainty():
    y = np.where(np.arange(40) % 2, 1.0, -1.0)
    found = predicted_risk(np.outer(y, y) + np.eye(40), y, reg=0.1)
    assert found.zero_one.value == 0.0 and 0.05 < found.zero_one.upper < 0.2


@pytest.mark.slow
def test_an_array_is_estimated_and_a_gram_is_not(problem, x64):
    rng = np.random.default_rng(4)
    x = rng.normal(size=(20, 3))
    y = np.where(x[:, 0] > 0, 1.0, -1.0)
    kernel = kernels.Dense()
    for K in (ntkseq.gram(kernel, x), kernel(x), ntkseq.lazy(kernel, x)):
        assert predicted_risk(K, y, reg=0.1).leave_one_out.estimated == ""
    assert "array" in predicted_risk(np.array(kernel(x)), y, reg=0.1).leave_one_out.estimated
    with pytest.warns(grams.PrecisionWarning):
        assert "array" in predicted_risk(np.array(kernel(x), np.float32), y, reg=0.1).leave_one_out.estimated


def test_nothing_is_ever_certified_and_all_of_it_can_be_written(problem):
    found = predicted_risk(DenseGram(problem[0], rounding=0.5), problem[1], reg=0.01)
    assert not found.certified and not any(one.certified for one in found.estimates)
    written = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert written["certified"] is False and written["leave_one_out"]["upper"] is None
    assert "<=" not in repr(found) and "certified" in repr(found)


def test_losses_that_one_example_makes_are_called_that():
    rng = np.random.default_rng(5)
    y = rng.normal(size=50)
    y[3] = 40.0
    found = predicted_risk(np.eye(50) + 0.1, y, reg=0.1).leave_one_out
    assert found.share > 0.9 and "one example's" in repr(found)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(K=np.ones((1, 1)), y=[1.0]), "two examples"),
        (dict(y=np.ones(59)), r"y must have shape \(60,\)"),
        (dict(reg=-1.0), "reg must be a finite number >= 0"),
        (dict(K=np.ones((60, 60)), reg=0.0), "cannot be told from|positive definite"),
        (dict(K=-np.eye(60)), "positive semi-definite"),
        (dict(level=1.0), "level must lie strictly between"),
        (dict(tried=0), "tried must be an integer >= 1"),
        (dict(y=np.full(60, 1e200)), "squares are finite"),
    ],
)
def test_what_cannot_be_predicted_from_is_refused(problem, change, message):
    with pytest.raises(ValueError, match=message):
        predicted_risk(**(dict(K=problem[0], y=problem[1], reg=0.1) | change))


@pytest.mark.data
def test_risks_on_real_tables_are_predicted(data_dir):
    """Within 20 % in the median, inside 0.95 intervals for that many test examples in nine of ten cases."""
    off, inside = {}, {}
    for table in tables(data_dir):
        m, K, y = table.m, table.K, table.y
        scale = float(np.mean(np.diagonal(K)))
        for share in (0.01, 0.3):
            fit = ridge(K[:m, :m], y[:m], reg=share * scale)
            residuals = (y[m:] - fit(K[m:, :m])).reshape(len(y) - m, -1)
            risks = {"squared error": float(np.mean(residuals**2))}
            if table.targets != "values":
                risks["zero-one error"] = float(np.mean(left_out.wrong(y[m:].reshape(residuals.shape), residuals)))
            for one in predicted_risk(K[:m, :m], y[:m], reg=share * scale).estimates:
                on, risk = one.on(len(y) - m), risks[one.loss]
                off.setdefault((one.method, one.loss), {}).setdefault(table.name, []).append(
                    abs(one.value / risk - 1) if risk else float(one.value > 0)
                )
                inside.setdefault((one.method, one.loss), []).append(on.lower <= risk <= on.upper)
    assert len(off) == 4
    for kind, tables_ in off.items():
        assert len(tables_) >= 50 or kind[1] == "zero-one error"
        assert np.median([np.median(one) for one in tables_.values()]) <= 0.2, kind
        assert np.mean(inside[kind]) >= 0.9, kind
        print(kind, len(tables_), np.median([np.median(one) for one in tables_.values()]), np.mean(inside[kind]))
