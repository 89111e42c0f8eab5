"""Are the estimators what scikit-learn asks for, tuned by the leave-one-out they state, and calibrated?"""

from __future__ import annotations

import copy
import pathlib
import pickle
import re
import runpy
import subprocess
import sys
from typing import Any

import jax
import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed")
import sklearn
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import estimator_checks_generator

import ntkseq
from ntkseq import kernels, predictors
from ntkseq.interop import sklearn_fit, sklearn_kernels
from ntkseq.interop.sklearn import NTKClassifier, NTKRegressor, NTKTransformer
from ntkseq.interop.sklearn_inputs import Batch

RNG = np.random.default_rng(0)
KERNEL = kernels.Recurrent(sigma_b=0.3)
DENSE = kernels.Dense(sigma_w=1.4, sigma_b=0.5)
X = RNG.standard_normal((24, 8, 1))
Y = np.where(X[:, :4, 0].sum(axis=1) > 0, "up", "down")

CHECKED = [
    NTKClassifier(KERNEL),
    NTKRegressor(KERNEL),
    NTKTransformer(KERNEL, n_components=10, random_state=0),
    NTKClassifier(DENSE, layout="nd"),
    NTKRegressor(DENSE, layout="nd"),
    NTKTransformer(DENSE, n_components=10, random_state=0, layout="nd"),
]
# None is expected to fail. scikit-learn skips check_array_api_input, for estimators that do not claim arrays of other
# libraries.


@pytest.mark.slow
@pytest.mark.parametrize(
    ("estimator", "check"),
    # not parametrize_with_checks, which takes 15 s to write names of cases that hold every argument
    [
        pytest.param(one, check, id=f"{check.func.__name__}, {type(one).__name__} {one.get_params()['layout']}")
        for estimator in CHECKED
        for one, check in estimator_checks_generator(estimator)
    ],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_scikit_learn_has_nothing_to_object(estimator: Any, check: Any):
    check(estimator)


@pytest.mark.slow
def test_a_short_name_is_the_kernel_of_that_name_alone_and_among_others():
    scores = [NTKClassifier(k, reg=0.1).fit(X, Y).decision_function(X) for k in ("recurrent", kernels.Recurrent())]
    assert np.array_equal(*scores)
    assert len(NTKClassifier(["linear", KERNEL], reg=0.1).fit(X, Y).loo_errors_) == 2


@pytest.mark.parametrize("estimator", CHECKED[:3])
def test_a_clone_has_the_same_parameters_and_those_of_the_kernel_can_be_set(estimator: Any):
    copied = clone(estimator)
    assert repr(copied.get_params()) == repr(estimator.get_params())
    assert copied.set_params(kernel__sigma_w=1.3, cache_size=7) is copied
    assert copied.kernel.sigma_w == 1.3 and estimator.kernel.sigma_w == 1.0 and copied.cache_size == 7
    assert copied.get_params()["kernel__sigma_w"] == 1.3 and "kernel__sigma_w" not in copied.get_params(deep=False)


def test_arguments_of_kernels_within_kernels_are_reached_and_what_goes_together_is_set_together():
    model = NTKClassifier(0.5 * (KERNEL + kernels.Bidirectional()))
    model.set_params(kernel__factor=2.0, kernel__kernel__second__sigma_b=0.7)
    assert model.kernel.factor == 2.0 and model.kernel.kernel.second.sigma_b == 0.7
    for depth in (2, 3, 1):
        model.set_params(kernel=KERNEL, kernel__depth=depth, kernel__sigma_w=(1.0,) * depth)
        again = KERNEL.with_(depth=depth, sigma_w=(1.0,) * depth, train="WUbR")
        assert model.kernel.depth == depth and model.kernel.train == again.train


@pytest.mark.parametrize(
    ("kernel", "params", "said"),
    [
        ("auto", {"kernel__sigma_w": 1.0}, "kernel must be a Kernel for its arguments to be set"),
        (KERNEL, {"kernel__sigma_q": 1.0}, "kernel has no argument 'sigma_q'; Recurrent takes sigma_w"),
        (KERNEL, {"kernel__sigma_w__deep": 1.0}, "kernel has no argument 'sigma_w__deep'"),
        (KERNEL, {"kernel__sigma_w": -1.0}, "sigma_w must be"),
        (KERNEL, {"C": 1.0}, "Invalid parameter 'C'"),
    ],
)
def test_a_parameter_that_is_none_is_refused(kernel: Any, params: Any, said: str):
    with pytest.raises(ValueError, match=said):
        NTKClassifier(kernel).set_params(**params)


@pytest.mark.slow(cases=["model7-y7-kernel must be positive"])
@pytest.mark.parametrize(
    ("model", "y", "said"),
    [
        (NTKClassifier("rbf"), Y, "kernel must be a Kernel, a list"),
        (NTKClassifier([]), Y, "kernel must be a Kernel, a list"),
        (NTKClassifier(KERNEL, reg="gcv"), Y, 'reg must be "loo" or a number'),
        (NTKClassifier(KERNEL, reg=-1.0), Y, "reg must be"),
        (NTKClassifier(KERNEL, cache_size=-1), Y, "cache_size must be"),
        (NTKClassifier(KERNEL), ["up"] * 24, "at least two classes"),
        (NTKClassifier(KERNEL), X[:, 0, 0], "continuous"),
        (NTKClassifier(0.0 * KERNEL), Y, "kernel must be positive"),
        (NTKRegressor(KERNEL), np.full(24, np.nan), "NaN"),
        (NTKTransformer([KERNEL, DENSE]), None, "kernel must be one Kernel"),
        (NTKTransformer(KERNEL, n_components=0), None, "n_components must be"),
    ],
)
def test_what_cannot_be_fitted_is_refused(model: Any, y: Any, said: str):
    with pytest.raises(ValueError, match=said):
        model.fit(X, y)


@pytest.mark.slow
def test_the_leave_one_out_error_is_that_of_fits_without_each_example():
    model = NTKClassifier(DENSE, layout="nd").fit(X[:, :, 0], Y)
    targets = predictors.one_hot(Y)
    K = np.asarray(ntkseq.gram(DENSE, X[:, :, 0].astype(np.float32)), np.float64) + model._offset
    residuals = []
    for i in range(24):
        rest = np.delete(np.arange(24), i)
        dual = np.linalg.solve(K[np.ix_(rest, rest)] + model.reg_ * np.eye(23), targets[rest])
        residuals.append(targets[i] - K[i, rest] @ dual)
    assert model.loo_error_ == pytest.approx(np.mean(np.square(residuals)), rel=1e-6)
    right = np.argmax(targets - residuals, axis=1) == np.argmax(targets, axis=1)
    assert model.loo_accuracy_ == pytest.approx(np.mean(right))


@pytest.mark.slow
def test_of_several_kernels_the_one_of_least_leave_one_out_error_is_taken():
    each = [DENSE.with_(sigma_b=b) for b in (0.0, 0.5, 2.0)]
    model = NTKClassifier(each, layout="nd").fit(X[:, :, 0], Y)
    errors = [NTKClassifier(one, layout="nd").fit(X[:, :, 0], Y).loo_error_ for one in each]
    np.testing.assert_allclose(model.loo_errors_, errors)
    assert model.kernel_ is each[int(np.argmin(errors))] and model.loo_error_ == min(errors)
    fixed = NTKClassifier(each, reg=0.1, layout="nd").fit(X[:, :, 0], Y)
    assert fixed.reg_ == 0.1 and len(fixed.loo_errors_) == 3


def truth(x: np.ndarray, size: float) -> np.ndarray:
    """Probabilities of three classes."""
    z = size * np.stack([np.sin(2 * x[:, 0]), x[:, 1] * x[:, 2], 0.5 * x[:, 0] + 0.5], axis=1)
    return np.exp(sklearn_fit.log_softmax(z))


@pytest.mark.parametrize(
    "model", [NTKClassifier(DENSE), NTKRegressor([kernels.Recurrent(), DENSE]), NTKTransformer(DENSE)]
)
def test_a_kernel_of_vectors_says_which_layout_it_needs(model: Any) -> None:
    with pytest.raises(ValueError, match=r'layout must be "nd" for kernels\.Dense, which takes vectors'):
        model.fit(X[:, :, 0], np.arange(len(X), dtype=float) // (len(X) // 2))


@pytest.mark.slow
@pytest.mark.parametrize("size", [0.5, 2.0, 8.0])
def test_probabilities_are_as_often_right_as_they_say(size: float):
    rng, gaps, uncalibrated = np.random.default_rng(1), [], []
    for _ in range(6):
        x, xq = rng.standard_normal((160, 3)), rng.standard_normal((2000, 3))
        y = np.array([rng.choice(3, p=p) for p in truth(x, size)])
        model = NTKClassifier(DENSE, layout="nd").fit(x, y)
        p, q = model.predict_proba(xq), truth(xq, size)
        np.testing.assert_allclose(p.sum(axis=1), 1.0)
        top = np.arange(len(p)), np.argmax(p, axis=1)
        gaps.append(np.mean(p[top] - q[top]))
        model.temperature_ = 1.0
        uncalibrated.append(np.mean(model.predict_proba(xq)[top] - q[top]))
    assert abs(np.mean(gaps)) < 0.04
    assert size < 1 or abs(np.mean(uncalibrated)) > 0.1  # of labels almost by chance there is nothing to calibrate


@pytest.mark.slow
def test_a_class_that_is_always_right_is_not_certain():
    x = np.concatenate([np.full((10, 2), 1.0), np.full((10, 2), -1.0)]) + 0.01 * RNG.standard_normal((20, 2))
    p = NTKClassifier(DENSE, layout="nd").fit(x, [0] * 10 + [1] * 10).predict_proba(x)
    assert p.max(axis=1).min() > 0.85 and p.max() < 0.99


@pytest.mark.slow(cases=["labels0"])
@pytest.mark.parametrize("labels", [[True, False], [3, -1], [0.5, 1.5], ["a", "b"], ["a", "b", "c"]])
def test_labels_come_back_as_they_are(labels: list[Any]):
    y = np.array([labels[i % len(labels)] for i in range(24)])
    if isinstance(labels[0], float):
        y = y * 2
    model = NTKClassifier(DENSE, reg=0.1, layout="nd").fit(X[:, :, 0], y)
    assert model.classes_.tolist() == sorted(set(y.tolist())) and model.predict(X[:, :, 0]).dtype == y.dtype
    scores = model.decision_function(X[:, :, 0])
    assert scores.shape == ((24,) if len(labels) == 2 else (24, 3))


@pytest.mark.slow
def test_intervals_of_the_regressor_hold_new_targets_as_often_as_they_say():
    rng, inside = np.random.default_rng(2), []
    prior = kernels.Dense(kind="nngp", sigma_w=1.4, sigma_b=0.5)
    for _ in range(5):
        x = rng.standard_normal((400, 2)).astype(np.float32)
        root = np.linalg.cholesky(np.asarray(prior(x), np.float64) + 1e-5 * np.eye(400))
        y = 7.0 + 3.0 * (root @ rng.standard_normal((400, 2)) + 0.3 * rng.standard_normal((400, 2)))
        mean, std = NTKRegressor(prior, layout="nd").fit(x[:100], y[:100]).predict(x[100:], return_std=True)
        inside.append(np.mean(np.abs(y[100:] - mean) < 1.96 * std, axis=0))
    assert np.mean(inside) == pytest.approx(0.95, abs=0.03)


@pytest.mark.slow
def test_targets_of_unlike_size_are_predicted_as_they_would_be_in_other_units():
    y = np.stack([X[:, 0, 0], X[:, 1, 0] ** 2], axis=1)
    one, other = (NTKRegressor(DENSE, layout="nd").fit(X[:, :, 0], y * scale + 5.0) for scale in ([1, 1], [1e4, 1e-3]))
    shifted = (other.predict(X[:5, :, 0]) - 5.0) / [1e4, 1e-3]
    np.testing.assert_allclose(shifted, one.predict(X[:5, :, 0]) - 5.0, rtol=1e-4, atol=1e-4)
    assert one.reg_ == pytest.approx(other.reg_)


def test_the_interpolant_has_no_standard_deviation():
    model = NTKRegressor(DENSE, reg=0.0, layout="nd").fit(X[:, :, 0], X[:, 0, 0])
    np.testing.assert_allclose(model.predict(X[:, :, 0]), X[:, 0, 0], atol=1e-3)
    with pytest.raises(ValueError, match="reg = 0"):
        model.predict(X[:, :, 0], return_std=True)


@pytest.mark.slow
def test_with_all_examples_as_landmarks_a_linear_machine_is_the_kernel_machine():
    x, y = X[:, :, 0], X[:, 0, 0] ** 2
    features = NTKTransformer(DENSE, n_components=24, random_state=0, layout="nd")
    linear = make_pipeline(features, Ridge(alpha=0.3, fit_intercept=False)).fit(x, y)
    fit = ntkseq.ridge(ntkseq.gram(DENSE, x.astype(np.float32)), y, reg=0.3)
    new = RNG.standard_normal((6, 8))
    wanted = fit(ntkseq.gram(DENSE, new.astype(np.float32), x.astype(np.float32)))
    np.testing.assert_allclose(linear.predict(new), wanted, atol=1e-4)


@pytest.mark.slow
def test_features_that_rounding_ate_are_dropped():
    twice = np.concatenate([X[:6, :, 0], X[:6, :, 0]])
    made = NTKTransformer(DENSE, n_components=12, layout="nd").fit(twice)
    assert made.transform(twice).shape == (12, 6)
    assert made.get_feature_names_out().tolist()[:1] == ["ntktransformer0"]


def ragged() -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    lengths = np.array([8 - i % 4 for i in range(24)])
    return [row[:length] for row, length in zip(X, lengths, strict=True)], X, lengths


@pytest.mark.slow
def test_lists_lengths_and_nan_padding_give_one_model():
    parts, padded, lengths = ragged()
    nan = np.where(np.arange(8)[None, :, None] < lengths[:, None, None], padded, np.nan)
    wanted = NTKClassifier(KERNEL, reg=0.1).fit(parts, Y).decision_function(parts)
    assert np.abs(wanted - NTKClassifier(KERNEL, reg=0.1).fit(padded, Y).decision_function(padded)).max() > 0.01
    of_nan = NTKClassifier(KERNEL, reg=0.1).fit(nan, Y).decision_function(nan)
    of_lengths = NTKClassifier(KERNEL, reg=0.1).fit(padded, Y, lengths=lengths).decision_function(padded, lengths)
    np.testing.assert_allclose(of_nan, wanted, atol=1e-5)
    np.testing.assert_allclose(of_lengths, wanted, atol=1e-5)


@pytest.mark.slow
@pytest.mark.skipif(sklearn.__version__ < "1.8", reason="drops what is routed to the score of a pipeline")
def test_lists_and_routed_lengths_go_through_a_pipeline_and_a_cross_validation_alike():
    parts, padded, lengths = ragged()
    by_list = cross_validate(make_pipeline("passthrough", NTKClassifier(KERNEL, reg=0.1)), parts, Y, cv=3)
    with sklearn.config_context(enable_metadata_routing=True):
        model = NTKClassifier(KERNEL, reg=0.1).set_fit_request(lengths=True).set_score_request(lengths=True)
        routed = cross_validate(make_pipeline("passthrough", model), padded, Y, cv=3, params={"lengths": lengths})
    np.testing.assert_array_equal(by_list["test_score"], routed["test_score"])


@pytest.mark.slow
def test_lengths_that_got_lost_on_the_way_are_asked_for():
    parts, padded, lengths = ragged()
    model = NTKClassifier(KERNEL, reg=0.1).fit(padded, Y, lengths=lengths)
    for call in (model.predict, model.predict_proba, lambda x: model.score(x, Y)):
        with pytest.raises(ValueError, match="lengths were given at the fit and are not here"):
            call(padded)
    whole = model.decision_function(padded, lengths=np.full(24, 8))
    assert np.abs(whole - model.decision_function(parts)).max() > 0.01


@pytest.mark.slow
def test_features_of_ragged_sequences_go_to_any_estimator():
    parts, _, _ = ragged()
    model = make_pipeline(NTKTransformer(KERNEL, n_components=20, random_state=0), LogisticRegression())
    assert cross_val_predict(model, parts, Y, cv=3).shape == (24,)


@pytest.mark.slow
def test_a_grid_reaches_the_kernel_in_a_pipeline():
    pipeline = make_pipeline("passthrough", NTKClassifier(DENSE, layout="nd"))
    grid = {"ntkclassifier__kernel__sigma_w": [0.5, 1.5], "ntkclassifier__reg": [0.01, "loo"]}
    search = GridSearchCV(pipeline, grid, cv=3, error_score="raise").fit(X[:, :, 0], Y)
    assert search.best_estimator_[-1].kernel_.sigma_w in (0.5, 1.5)


@pytest.mark.slow(but=["<lambda>"])
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_fitted_model_can_be_copied_and_stored(copied: Any):
    model = NTKRegressor(DENSE, layout="nd").fit(X[:, :, 0], X[:, 0, 0])
    for one, other in zip(model.predict(X[:3, :, 0], True), copied(model).predict(X[:3, :, 0], True), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_kept_examples_give_the_gram_matrix_of_the_fit():
    parts, _, _ = ragged()
    model = NTKRegressor(KERNEL, reg=0.1).fit(parts, X[:, 0, 0])
    K = ntkseq.gram(model.kernel_, model.X_fit_, lengths=model.lengths_fit_)
    y = X[:, 0, 0]
    fit = ntkseq.ridge(np.asarray(K, np.float64) + model._offset, (y - y.mean()) / y.std(), reg=0.1)
    np.testing.assert_allclose(model.predict(parts), (fit.y - fit.residuals) * y.std() + y.mean(), atol=1e-4)


@pytest.mark.slow
def test_the_example_chooses_a_kernel_and_says_how_sure_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(sys, "argv", ["classify_series.py"])
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        runpy.run_path(str(pathlib.Path(__file__).parents[2] / "examples" / "classify_series.py"))
    said = capsys.readouterr().out
    left_out, unseen = re.findall(r"accuracy (?:left out while tuning|on 439 unseen series): (\d\.\d+)", said)
    assert float(left_out) > 0.95 and float(unseen) > 0.93 and said.count("is right on") == 3


def test_auto_scales_its_kernels_to_the_data_and_leaves_out_what_takes_too_long():
    small, wide = (
        Batch(np.full(shape, 3.0, np.float32), np.full(shape[0], shape[1]), 3) for shape in ((4, 5, 2), (300, 900, 1))
    )
    kernel = sklearn_kernels.candidates("auto", small)[0]
    assert kernel.sigma_u == pytest.approx(1 / 3) and len(sklearn_kernels.candidates("auto", small)) == 12
    assert {one.read for one in sklearn_kernels.candidates("auto", small)} == {"last", "mean"}
    assert {one.read for one in sklearn_kernels.candidates("auto", wide)} == {"last", "steps"}
    vectors = sklearn_kernels.candidates("auto", Batch(np.zeros((4, 3), np.float32), None, 2))
    assert [one.depth for one in vectors] == [1, 1, 2, 2, 3, 3] and vectors[0].sigma_w == (2**0.5,)


@pytest.mark.slow
def test_the_default_classifies_sequences_by_what_comes_late():
    x = np.random.default_rng(3).standard_normal((48, 6, 1))
    y = x[:, -1, 0] > 0
    assert NTKClassifier().fit(x[:32], y[:32]).score(x[32:], y[32:]) > 0.8


@pytest.mark.slow
def test_without_scikit_learn_one_line_says_what_to_install():
    code = "import sys; sys.modules['sklearn'] = None\nfrom ntkseq import interop\ninterop.flax\ninterop.sklearn"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "ImportError: scikit-learn >= 1.6 is not installed" in run.stderr.splitlines()[-1]
    assert "pip install 'ntkseq[study]'" in run.stderr.splitlines()[-1]


@pytest.mark.slow
def test_series_of_unequal_length_are_cross_validated_though_those_of_a_fold_are_equal():
    series = [row[: 8 - (i == 0), 0] for i, row in enumerate(X)]
    found = cross_validate(NTKClassifier(KERNEL, reg=0.1), series, Y, cv=3, error_score="raise")["test_score"]
    columns = [row[:, None] for row in series]
    np.testing.assert_array_equal(
        found, cross_validate(NTKClassifier(KERNEL, reg=0.1), columns, Y, cv=3, error_score="raise")["test_score"]
    )


@pytest.mark.parametrize("size", [2.0**660, 2.0**-660])
def test_targets_whose_squares_leave_float64_are_fitted_as_those_of_any_size(size: float):
    z = X[:, 0, 0]
    mean, std = NTKRegressor(KERNEL).fit(X, z).predict(X[:3], return_std=True)
    large = NTKRegressor(KERNEL).fit(X, z * size).predict(X[:3], return_std=True)
    np.testing.assert_array_equal(large, [mean * size, std * size])


def test_one_example_says_nothing_of_how_sure_a_prediction_is():
    model = NTKRegressor(KERNEL).fit(X[:1], [1.0])
    assert model.predict(X[:1]) == pytest.approx(1.0)
    with pytest.raises(ValueError, match="return_std needs two examples"):
        model.predict(X[:1], return_std=True)
