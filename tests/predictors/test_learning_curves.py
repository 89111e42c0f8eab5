"""Are learning curves measured as said, and predicted from one spectrum?"""

from __future__ import annotations

import json

import jax
import numpy as np
import pytest

import ntkseq
from ntkseq import kernels
from ntkseq.grams import DenseGram
from ntkseq.predictors import learning_curve, one_hot, predicted_risk, ridge
from tests.predictors.tables import tables

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(160, 4))
    f = np.sin(2 * x[:, 0]) + 0.5 * x[:, 1] + 0.3 * rng.normal(size=160)
    return np.exp(-0.2 * ((x[:, None] - x) ** 2).sum(-1)), f


@pytest.mark.parametrize("kind", ["values", "signs", "one-hot"])
def test_measured_losses_are_those_of_fits_on_the_first_of_an_order(problem, kind):
    K, f = problem
    y = {"values": f, "signs": np.sign(f), "one-hot": one_hot(np.digitize(f, [-0.5, 0.5]))}[kind]
    curve = learning_curve(K, y, reg=0.1, key=KEY, sizes=[50, 10], draws=3)
    assert curve.sizes.tolist() == [10, 50] and curve.squared.losses.shape == (3, 2)
    for draw, key in enumerate(jax.random.split(KEY, 3)):
        order = np.asarray(jax.random.permutation(key, 160))
        for at, m in enumerate((10, 50)):
            S, rest = order[:m], order[m:]
            out = ridge(K[np.ix_(S, S)], y[S], reg=0.1)(K[np.ix_(rest, S)])
            assert curve.squared.losses[draw, at] == pytest.approx(np.mean((out - y[rest]) ** 2), rel=1e-9)
            if kind == "values":
                assert curve.zero_one is None
                continue
            wrong = out * y[rest] <= 0 if kind == "signs" else np.argmax(out, 1) != np.argmax(y[rest], 1)
            assert curve.zero_one.losses[draw, at] == np.mean(wrong)
    spread = np.std(curve.squared.losses, axis=0, ddof=1) / np.sqrt(3)
    np.testing.assert_allclose(curve.squared.measured, np.mean(curve.squared.losses, axis=0))
    np.testing.assert_allclose(
        curve.squared.upper - curve.squared.measured, 4.302653 * spread, rtol=1e-6
    )  # t, 2 freedom


@pytest.mark.parametrize("kind", ["values", "signs", "one-hot"])
@pytest.mark.parametrize("reg", [0.02, 0.5])
def test_one_spectrum_predicts_the_measured_curve(problem, kind, reg):
    K, f = problem
    y = {"values": f, "signs": np.sign(f), "one-hot": one_hot(np.digitize(f, [-0.5, 0.5]))}[kind]
    curve = learning_curve(K, y, reg=reg, key=KEY, sizes=[8, 20, 50, 120], draws=40)
    spread = curve.squared.upper - curve.squared.measured
    share = 0.15 if reg == 0.02 else 0.06  # the less a ridge hides, the more the examples' own leverages matter
    assert np.all(np.abs(curve.squared.predicted - curve.squared.measured) <= share * curve.squared.measured + spread)
    assert np.all(np.diff(curve.kappa) < 0)
    inside = (curve.squared.predicted_lower <= curve.squared.measured) & (
        curve.squared.measured <= curve.squared.predicted_upper
    )
    assert np.all(inside)
    if kind != "values":
        off = np.abs(curve.zero_one.predicted - curve.zero_one.measured)
        assert np.all(off <= 0.15 * curve.zero_one.measured + curve.zero_one.upper - curve.zero_one.measured)


def test_the_curve_ends_in_leave_one_out_and_begins_in_fits_on_one_example(problem):
    K, f = problem
    y = np.sign(f)
    curve = learning_curve(K, y, reg=0.1, key=KEY, sizes=[1, 159], draws=2)
    whole = predicted_risk(K, y, reg=0.1)
    assert curve.whole.to_dict() == whole.to_dict()
    assert curve.squared.predicted[1] == pytest.approx(whole.leave_one_out.value, rel=0.01)
    assert curve.zero_one.predicted[1] == pytest.approx(whole.zero_one.value, rel=0.05)
    assert curve.omniscient[1] == pytest.approx(whole.omniscient.value)
    alone = [(y - K[:, i] * y[i] / (K[i, i] + 0.1))[np.arange(160) != i] for i in range(160)]
    assert curve.squared.predicted[0] == pytest.approx(np.mean(np.square(alone)), rel=0.03)


def test_the_same_key_draws_the_same(problem):
    K, f = problem
    one, same = (learning_curve(K, f, reg=0.1, key=KEY, draws=3) for _ in range(2))
    other = learning_curve(K, f, reg=0.1, key=jax.random.key(1), draws=3)
    assert one.to_dict() == same.to_dict()
    assert not np.array_equal(one.squared.losses, other.squared.losses)
    np.testing.assert_array_equal(one.squared.predicted, other.squared.predicted)
    assert len(one.sizes) == 8 and one.sizes[0] == 5 and one.sizes[-1] == 128


@pytest.mark.slow(but=["0.001"])
@pytest.mark.parametrize("rounding", [1e-6, 1e-3])
def test_rounding_of_k_is_part_of_the_prediction(problem, rounding):
    K, f = problem[0][:40, :40], problem[1][:40]
    rng = np.random.default_rng(1)
    given = dict(y=np.sign(f), reg=0.3, key=KEY, sizes=[5, 20, 39], draws=2)
    truth = learning_curve(DenseGram(K, rounding=0.0), **given)
    for trial in range(6):
        u = rng.normal(size=(40, 40)) if trial else np.eye(40)
        E = (u + u.T) * rounding / np.linalg.norm(u + u.T, 2)
        found = learning_curve(DenseGram(K + E, rounding=rounding), **given)
        for one, exact in ((found.squared, truth.squared), (found.zero_one, truth.zero_one)):
            assert np.all(np.abs(one.predicted - exact.predicted) <= one.rounding + exact.rounding)
            assert np.all(one.predicted_upper - one.predicted > one.rounding)


def test_a_gram_that_is_not_resolved_leaves_the_prediction_open(problem):
    K, f = problem
    curve = learning_curve(DenseGram(K, rounding=50.0), np.sign(f), reg=0.01, key=KEY, sizes=[100], draws=2)
    assert curve.squared.predicted_upper[0] == np.inf and curve.zero_one.predicted_upper[0] == 1.0
    written = json.loads(json.dumps(curve.to_dict(), allow_nan=False))
    assert written["squared"]["predicted_upper"] == [None] and written["certified"] is False


@pytest.mark.slow
def test_two_examples_and_the_interpolant(x64):
    x = np.array([[0.0, 1.0], [1.0, 0.5]])
    K = ntkseq.gram(kernels.Dense(), x)
    curve = learning_curve(K, [1.0, -1.0], reg=0.0, key=KEY, draws=2)
    assert curve.sizes.tolist() == [1] and np.all(np.isfinite(curve.squared.predicted))
    entries = np.asarray(K)
    f = entries[0, 1] / np.diagonal(entries)[[1, 0]] * [-1.0, 1.0]
    assert np.min(np.abs(curve.squared.losses[0, 0] - (f - [1.0, -1.0]) ** 2)) < 1e-12


def test_labels_of_one_value_leave_the_prediction_open(problem):
    curve = learning_curve(problem[0], np.ones(160), reg=0.1, key=KEY, sizes=[20], draws=2)
    assert curve.whole.reason and curve.squared.predicted_upper[0] == np.inf


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(sizes=[0, 5]), r"sizes must lie in 1\.\.159"),
        (dict(sizes=[160]), r"sizes must lie in 1\.\.159"),
        (dict(sizes=[]), "sizes must be a list of integers"),
        (dict(sizes=[2.5]), "sizes must be a list of integers"),
        (dict(draws=1), "draws must be an integer >= 2"),
        (dict(y=np.ones(3)), r"y must have shape \(160,\)"),
        (dict(key=3), "key must be one random key"),
        (dict(K=np.ones((160, 160)), reg=0.0), "positive definite"),
        (dict(K=np.ones((1, 1)), y=[1.0]), "two examples"),
    ],
)
@pytest.mark.usefixtures("untyped")
def test_what_makes_no_curve_is_refused(problem, change, message):
    with pytest.raises(ValueError, match=message):
        learning_curve(**(dict(K=problem[0], y=problem[1], reg=0.1, key=KEY) | change))


@pytest.mark.data
def test_curves_of_real_tables_are_predicted(data_dir):
    """Within 10 % of the measured mean in the median, for zero-one too, and in the interval in nine of ten cases."""
    off, inside = {"squared": [], "zero_one": []}, {"squared": [], "zero_one": []}
    for table in tables(data_dir, seed=1, most=200):
        if table.kernel == "relu, 3":
            continue
        K, n = table.K, len(table.y)
        scale = float(np.mean(np.diagonal(K)))
        share = 0.01 if table.kernel == "Gaussian" else 0.3
        given = dict(sizes=[n // 16, n // 4, 3 * n // 4], draws=12)
        curve = learning_curve(K, table.y, reg=share * scale, key=KEY, **given)
        for name in off:
            one = getattr(curve, name)
            if one is not None:
                off[name].append(np.abs(one.predicted / np.maximum(one.measured, 1e-9) - 1))
                inside[name].append((one.predicted_lower <= one.measured) & (one.measured <= one.predicted_upper))
    for name, errors in off.items():
        print(name, len(errors), np.median(errors, axis=0), np.mean(inside[name], axis=0))
        assert np.median(errors) <= 0.1 and np.mean(inside[name]) >= 0.9
