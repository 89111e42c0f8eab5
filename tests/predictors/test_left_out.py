"""Are residuals without one and two examples those of refitting, and does their error hold what rounding does?"""

from __future__ import annotations

import numpy as np
import pytest

from ntkseq.grams import DenseGram
from ntkseq.predictors import left_out, one_hot, ridge


def gaussian(x1, x2, width=1.0):
    return np.exp(-0.5 * ((x1[:, None] - x2[None]) ** 2).sum(-1) / width**2)


@pytest.fixture(params=["values", "signs", "one-hot"])
def problem(request):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(14, 2))
    f = np.sin(2 * x[:, 0]) + 0.3 * rng.normal(size=14)
    y = {"values": f, "signs": np.where(f > 0, 1.0, -1.0), "one-hot": one_hot(np.digitize(f, [-0.5, 0.5]))}
    return gaussian(x, x), y[request.param]


def without(K, y, left, i, reg):
    """The output at example i of the fit without the examples in `left`."""
    rest = np.setdiff1d(np.arange(len(K)), left)
    return ridge(K[np.ix_(rest, rest)], y[rest], reg=reg)(K[i : i + 1, rest])[0]


def is_wrong(y, f):
    return y * f <= 0 if np.ndim(y) == 0 else np.argmax(f) != np.argmax(y)


@pytest.mark.parametrize("scale", [1.0, 1e-200, 3e150])
def test_residuals_without_one_are_those_of_refitting(problem, scale):
    K, y = problem
    known = left_out.problem(scale * K, y, scale * 0.1)
    found = left_out.one_left_out(known, known.reg, known.reg, known.rounding)
    wanted = np.array([y[i] - without(K, y, [i], i, 0.1) for i in range(14)]).reshape(14, -1)
    np.testing.assert_allclose(found.values, wanted, rtol=1e-9, atol=1e-12)
    assert np.all(np.abs(found.values - wanted) <= found.errors + 1e-14)


def test_losses_without_two_are_those_of_refitting(problem, monkeypatch):
    K, y = problem
    monkeypatch.setattr(left_out, "PAIRS", 14 * 3 * 4)  # in blocks of rows
    known = left_out.problem(K, y, 0.1)
    squared, zero_one = left_out.two_left_out(known, left_out.one_left_out(known, known.reg, known.reg, 0.0))
    losses = [lambda i, f: np.mean((y[i] - f) ** 2), lambda i, f: float(is_wrong(y[i], f))]
    for loss, found in zip(losses, (squared, zero_one), strict=True):
        if found is None:
            assert not known.classes
            continue
        one = [loss(i, without(K, y, [i], i, 0.1)) for i in range(14)]
        d = np.array(
            [[0.0 if i == j else one[i] - loss(i, without(K, y, [i, j], i, 0.1)) for j in range(14)] for i in range(14)]
        )
        pairs = 14 * 13
        mean = d.sum() / pairs
        covariance = np.sum(d * d.T) / pairs - 2 * np.mean(d.sum(1) / 13 * d.sum(0) / 13) + mean**2
        np.testing.assert_allclose(
            [found.drift, found.covariance, found.dependence], [mean, covariance, np.sum(d**2) / pairs], rtol=1e-8
        )


def test_classes_are_told_from_values():
    assert left_out.encode_classes(np.array([[1.0], [-1.0]]))
    assert not left_out.encode_classes(np.array([[1.0], [0.0]]))
    assert left_out.encode_classes(one_hot([0, 1, 2]) - 1 / 3)
    assert not left_out.encode_classes(np.array([[1.0, 1.0], [0.0, 1.0]]))
    assert not left_out.encode_classes(np.array([[0.2, 1.0], [0.0, 1.0]]))


@pytest.mark.parametrize("reg", [0.02, 0.5])
@pytest.mark.parametrize("rounding", [1e-9, 1e-4, 3e-3])
def test_what_rounding_does_is_within_the_error_and_comes_near_to_it(reg, rounding):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(20, 2))
    exact, y = gaussian(x, x) + 0.01 * np.eye(20), np.sin(2 * x[:, :1])
    plain = left_out.problem(DenseGram(exact, rounding=0.0), y, reg)
    B = np.linalg.inv(exact + reg * np.eye(20))
    nearest = 0.0
    for i in range(20):
        u = B[i] / np.linalg.norm(B[i])
        v = (B @ y)[:, 0] / np.linalg.norm(B @ y)
        E = np.outer(u, v) + np.outer(v, u)
        E *= rounding / np.linalg.norm(E, 2)
        known = left_out.problem(DenseGram(exact + E, rounding=rounding), y, reg)
        found = left_out.one_left_out(known, known.reg, float(known.lowest[0]) + known.reg, known.rounding)
        truth = left_out.one_left_out(plain, plain.reg, plain.reg, plain.rounding)
        off = np.abs(found.values - truth.values)
        assert np.all(off <= found.errors + truth.errors)
        nearest = max(nearest, float(np.max(off / found.errors)))
    assert nearest > 0.1


def test_an_example_within_its_error_of_zero_is_in_doubt():
    y = np.array([[1.0], [-1.0]])
    found = left_out.Residuals(np.array([[0.95], [-0.2]]), np.array([[0.1], [0.1]]))
    assert left_out.unsure(y, found).tolist() == [True, False]
    y = np.eye(3)
    found = left_out.Residuals(
        y - np.array([[0.5, 0.45, 0.0], [0.5, 0.2, 0.0], [0.0, 0.1, 0.9]]), np.full((3, 3), 0.04)
    )
    assert left_out.unsure(y, found).tolist() == [True, False, False]


@pytest.mark.parametrize("k", [1, 2, 5])
def test_the_probability_of_a_wrong_class_is_that_of_draws(k):
    rng = np.random.default_rng(2)
    y = np.where(rng.normal(size=(6, 1)) > 0, 1.0, -1.0) if k == 1 else np.eye(k)[rng.integers(0, k, 6)]
    residuals, spread = 0.8 * rng.normal(size=(6, k)), rng.uniform(0.3, 0.6, size=k)
    drawn = y - residuals + spread * rng.normal(size=(40_000, 6, k))
    wanted = np.mean(left_out.wrong(y, y - drawn), axis=0)
    np.testing.assert_allclose(left_out.expected_wrong(y, residuals, spread), wanted, atol=0.01)  # 4 standard errors
    np.testing.assert_array_equal(
        left_out.expected_wrong(y, residuals, 0.0 * spread), left_out.wrong(y, residuals).astype(float)
    )
