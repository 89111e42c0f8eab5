"""Does a PAC-Bayes bound hold where the risk is known, and do its assumptions turn with the data?"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import numpy as np
import pytest
import scipy.stats

from ntkseq import bounds, gram, kernels, predictors
from ntkseq._notices import PrecisionWarning
from ntkseq.grams import DenseGram
from tests.bounds import worlds

pytestmark = pytest.mark.usefixtures("x64")


def sample(n: int, seed: int = 0, noise: float = 0.0, p: int = 5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, p)) / math.sqrt(p)
    return x, np.where(x[:, 0] > 0, 1.0, -1.0) * np.where(rng.random(n) < noise, -1.0, 1.0)


X, Y = sample(120)
K = X @ X.T


@pytest.mark.slow(but=["absolute"])
@pytest.mark.parametrize("loss", ["zero-one", "absolute", "squared"])
def test_no_bound_is_below_the_exact_risk(loss: str):
    played = [worlds.process(np.random.default_rng([3, seed]), loss, n=40) for seed in range(12)]
    assert not [case.bound for case in played if case.violated]
    assert all(case.bound.certified for case in played)


@pytest.mark.slow
def test_no_bound_is_below_the_exact_risk_in_many_worlds():
    played = [
        worlds.process(np.random.default_rng([4, s]), ("zero-one", "absolute", "squared")[s % 3]) for s in range(240)
    ]
    assert not [case.bound for case in played if case.violated]
    told = [case.bound.value / case.risk for case in played if not case.bound.vacuous and case.risk > 0]
    assert np.median(told) < 2.5 and np.mean([case.bound.vacuous for case in played]) < 0.3


@pytest.mark.slow
def test_a_tested_share_fails_as_often_as_promised_and_not_never():
    """The exact tail of a test is no looser than it must be: with delta = 0.3 it fails in some samples, 0.3 at most."""
    failed = 0
    rng = np.random.default_rng(0)
    for _ in range(150):
        x, y = sample(60, int(rng.integers(10**6)), noise=0.2)
        said = bounds.pac_bayes(x @ x.T, y, prior=bounds.LearnedPrior(0.5, scale=0.0), delta=0.3)
        known = said.constants.predictor
        fresh, _ = sample(4000, int(rng.integers(10**6)), noise=0.0)
        wrong = np.mean(np.asarray(known.mean(fresh @ x.T)) * fresh[:, 0] <= 0)
        failed += 0.8 * wrong + 0.2 * (1 - wrong) > said.value
    assert 3 <= failed <= 0.3 * 150


def test_terms_are_those_of_the_spectrum():
    said = bounds.pac_bayes(K, Y, posterior=bounds.Regression(0.5), prior=bounds.Prior(2.0))
    values = np.clip(np.linalg.eigvalsh(K), 0, None)
    told = said.constants
    assert told.information_gain == pytest.approx(0.5 * np.sum(np.log1p(values / 0.5)), rel=1e-9)
    assert told.effective_dimension == pytest.approx(np.sum(values / (values + 0.5)), rel=1e-9)
    dual = np.linalg.solve(K + 0.5 * np.eye(120), Y)
    assert told.norm == pytest.approx(0.5 * dual @ K @ dual / 2.0, rel=1e-7)
    assert told.divergence == pytest.approx(told.information_gain - 0.5 * told.effective_dimension + told.norm)
    sigma = np.sqrt(2.0 * np.diagonal(K - K @ np.linalg.solve(K + 0.5 * np.eye(120), K)))
    assert told.loss == pytest.approx(np.mean(scipy.stats.norm.cdf(-Y * (K @ dual) / sigma)), rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("predictor", ["gibbs", "mean"])
@pytest.mark.parametrize("posterior", ["regression", "optimal"])
def test_zero_one_loss_knows_neither_the_scale_of_the_prior_nor_the_unit_of_the_kernel(posterior: Any, predictor: str):
    found = [
        bounds.pac_bayes(c * K, Y, prior=bounds.Prior(s), posterior=posterior, predictor=predictor).value
        for c, s in ((1, 1), (1, 1e6), (1e-8, 1), (1e4, 1))
    ]
    assert found == pytest.approx([found[0]] * 4, rel=1e-3) and found[0] < {"gibbs": 0.5, "mean": 0.95}[predictor]


@pytest.mark.slow(but=["prior1"])
@pytest.mark.parametrize("prior", [bounds.Prior(), bounds.LearnedPrior(0.4, scale=0.2)])
def test_the_predictor_has_the_loss_that_is_stated(prior: Any):
    said = bounds.pac_bayes(K, Y, prior=prior)
    known = said.constants.predictor
    paying = known.paying
    mean, sigma = known.mean(K)[paying], np.sqrt(known.variance(K, K))[paying]
    assert np.mean(scipy.stats.norm.cdf(-Y[paying] * mean / sigma)) == pytest.approx(said.constants.loss, rel=1e-6)
    assert len(paying) == said.constants.n == 120 - said.constants.seen
    drawn = np.stack([known.draw(K[:3], K[:3, :3], jax.random.key(i)) for i in range(400)])
    assert np.abs(drawn.mean(axis=0) - known.mean(K[:3])).max() < 0.3 * math.sqrt(known.variance(K, K).max())
    assert np.cov(drawn.T) == pytest.approx(known.covariance(K[:3], K[:3, :3]), abs=0.3 * known.variance(K, K).max())


def test_several_classes():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 3))
    y = predictors.one_hot(x.argmax(axis=1))
    drawn = bounds.pac_bayes(x @ x.T, y, loss="argmax", prior=bounds.LearnedPrior(0.3, scale=0.03))
    tested = bounds.pac_bayes(x @ x.T, y, loss="argmax", prior=bounds.LearnedPrior(0.3, scale=0.0), predictor="mean")
    assert drawn.certified and tested.certified and drawn.value < 0.35 and tested.value < 0.2
    fresh = rng.standard_normal((2000, 3))
    known = drawn.constants.predictor
    sigma = np.sqrt(known.variance(fresh @ x.T, fresh @ fresh.T))[:, None]
    values = np.asarray(known.mean(fresh @ x.T)) + sigma * rng.standard_normal((2000, 3))
    assert np.mean(values.argmax(axis=1) != fresh.argmax(axis=1)) < drawn.value
    assert "argmax" in drawn.quantity and "tested on the others" in tested.applies_to


def test_a_loss_of_your_own_is_that_of_the_closed_form():
    own = bounds.LipschitzLoss(lambda f, y: np.minimum(1, np.abs(f - y)), 1.0)
    options = {"posterior": bounds.Regression(1.0), "prior": bounds.Prior()}
    closed, ruled = (bounds.pac_bayes(K, Y, loss=one, **options).value for one in ("absolute", own))
    assert closed <= ruled <= closed + 0.01


@pytest.mark.slow
def test_the_mean_of_labels_that_are_noise_is_not_told_apart_from_a_coin():
    rng = np.random.default_rng(0)
    said = bounds.pac_bayes(K, rng.choice([-1.0, 1.0], 120), predictor="mean")
    assert said.certified and said.value > 0.5


def test_few_examples_say_nothing_and_say_so():
    said = bounds.pac_bayes(np.eye(2), [1.0, -1.0])
    assert said.vacuous or said.value > 0.9
    assert bounds.pac_bayes([[1.0]], [1.0], delta=1e-9).value > 0.9999
    assert "(vacuous)" in bounds.pac_bayes(np.zeros((3, 3)), np.ones(3)).verdict


@pytest.mark.slow
def test_statuses_turn():
    copied = bounds.pac_bayes(np.ones((40, 40)), np.ones(40))
    assert "39 of the examples repeat another" in copied.assumptions[0].evidence
    counted = bounds.pac_bayes(K, Y, tried=7).assumptions[1]
    assert counted.status == "declared" and "7 settings" in counted.statement
    lost = bounds.pac_bayes(K, Y, tried=None)
    assert lost.assumptions[1].status == "unchecked" and not lost.certified
    broken = bounds.pac_bayes(K - 0.5 * np.eye(120), Y)
    assert broken.assumptions[3].status == "fails" and not broken.certified
    with pytest.warns(PrecisionWarning):
        rough = bounds.pac_bayes(np.asarray(K, np.float32), Y)
    assert rough.assumptions[4].status == "unchecked"
    x = jax.random.normal(jax.random.key(0), (8, 3, 2))
    sampled = bounds.pac_bayes(gram(kernels.Gated("gru", particles=256), x), np.resize([1.0, -1.0], 8))
    assert sampled.assumptions[4].status == "unresolved" and not sampled.certified


@pytest.mark.slow
def test_what_is_tried_is_paid_for():
    found = [bounds.pac_bayes(K, Y, tried=tried, posterior="regression").value for tried in (1, 10, 1000)]
    assert found[0] < found[1] < found[2]
    best = bounds.pac_bayes(K, Y, inequality="best", posterior="regression").constants
    assert best.price == pytest.approx(math.log(7 / 0.05)) and best.settings == 1


def test_rows_of_one_unit_count_once():
    units = np.repeat(np.arange(60), 2)
    alone = bounds.pac_bayes(K[::2, ::2], Y[::2], posterior=bounds.Regression(1.0), prior=bounds.Prior())
    doubled = bounds.pac_bayes(np.kron(K[::2, ::2], np.ones((2, 2))), Y[::2].repeat(2), units=units,
                               posterior=bounds.Regression(2.0))  # fmt: skip
    assert doubled.value == pytest.approx(alone.value, rel=1e-6)  # a copy of each row in its unit changes nothing
    assert doubled.constants.n == 60 and doubled.constants.rows == 120
    assert doubled.assumptions[0].name == "i.i.d. units" and "row of a new unit" in doubled.applies_to
    learned = bounds.pac_bayes(K, Y, units=[f"s{i}" for i in units], prior=bounds.LearnedPrior(0.5, scale=0.1))
    paying = learned.constants.predictor.paying
    assert (np.bincount(units[paying], minlength=60) % 2 == 0).all() and len(paying) == 60
    tested = bounds.pac_bayes(K, Y, units=units, prior=bounds.LearnedPrior(0.5, scale=0.0))
    assert tested.value > bounds.pac_bayes(K, Y, prior=bounds.LearnedPrior(0.5, scale=0.0)).value - 0.1


def test_units_of_different_sizes_weigh_the_same():
    units = np.array([0] * 58 + list(range(1, 63)))
    said = bounds.pac_bayes(K, Y, units=units, posterior=bounds.Regression(1.0))
    known = said.constants.predictor
    wrong = scipy.stats.norm.cdf(-Y * known.mean(K) / np.sqrt(known.variance(K, K)))
    assert said.constants.loss == pytest.approx((wrong[:58].mean() + wrong[58:].sum()) / 63, rel=1e-6)


def test_tasks_that_depend_within_are_not_taken_for_examples():
    """Labels of a task are all alike: with rows as examples the bound would be far below what 20 tasks can say."""
    rng = np.random.default_rng(0)
    tasks = np.repeat(np.arange(20), 10)
    y = rng.choice([-1.0, 1.0], 20)[tasks]
    same = (tasks[:, None] == tasks) * 1.0
    wrong, right = (bounds.pac_bayes(same, y, units=u).value for u in (None, tasks))
    assert wrong < 0.25 < 0.45 < right  # the truth for a new task is 1/2


def test_rows_that_the_kernel_has_seen_do_not_pay():
    said = bounds.pac_bayes(K, Y, prior=bounds.LearnedPrior(examples=tuple(range(70)), scale=0.0))
    assert said.constants.seen == 70 and said.constants.predictor.paying.tolist() == list(range(70, 120))
    assert said.applies_to == "ridge regression on 70 examples, tested on the others"
    for bad in ((), (-1,), (0.5,), (120,), tuple(range(120))):
        with pytest.raises(ValueError, match="examples"):
            bounds.pac_bayes(K, Y, prior=bounds.LearnedPrior(examples=bad))


@pytest.mark.parametrize("scale", [0.0, 0.1])
def test_a_prior_that_learned_does_not_know_the_unit_of_the_kernel(scale: float):
    prior = bounds.LearnedPrior(0.3, scale=scale)
    found = [bounds.pac_bayes(c * K, Y, prior=prior) for c in (1.0, 1e-6, 1e4)]
    assert [one.value for one in found] == pytest.approx([found[0].value] * 3, rel=1e-3)
    spread = [
        one.constants.predictor.variance(c * K, c * K).max() for one, c in zip(found, (1, 1e-6, 1e4), strict=True)
    ]
    assert spread == pytest.approx([spread[0]] * 3, rel=0.05)


def test_a_prior_that_learns_looks_at_nothing_else():
    """Whatever the examples that pay are, ridge and kernel are those of the share, to the last bit."""
    rng, prior = np.random.default_rng(0), bounds.LearnedPrior(0.4, scale=0.1)
    paying = prior.split(np.arange(120))[1]
    found = []
    for size in (1.0, 100.0):
        x, y = X.copy(), Y.copy()
        x[paying], y[paying] = size * rng.standard_normal((len(paying), 5)), rng.choice([-1.0, 1.0], len(paying))
        other = DenseGram(x @ x.T, 1e-4 * size**2, entrywise=1e-6)
        searched = bounds.Search(kernels=("a", "b"), priors=(prior,)).best({"a": other, "b": K + 1.0}, y).constants
        found.append((bounds.pac_bayes(other, y, prior=prior).constants.reg, searched.reg, searched.kernel))
    assert found[0] == found[1]


@pytest.mark.parametrize("bad", [np.zeros(3, int), np.zeros(120), [[1]]])
def test_units_that_do_not_fit_are_refused(bad: Any):
    with pytest.raises(ValueError, match="units"):
        bounds.pac_bayes(K, Y, units=bad)


def test_rounding_only_raises_it():
    exact = bounds.pac_bayes(K, Y, posterior=bounds.Regression(1.0)).value
    rounded = [
        bounds.pac_bayes(DenseGram(K, r), Y, posterior=bounds.Regression(1.0)).value for r in (1e-8, 1e-4, 1e-2, 0.5)
    ]
    assert exact < rounded[0] < rounded[1] < rounded[2] < rounded[3] and rounded[0] < exact + 1e-4


@pytest.mark.slow
def test_the_margin_form_is_better_than_twice_where_margins_are_wide():
    x = np.resize([-1.0, 1.0], 400)
    said = bounds.pac_bayes(np.outer(x, x), x, predictor="mean")
    assert "margin" in said.constants.form and said.value < 0.04


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"delta": 0.0}, "delta"),
    ({"delta": 1.0}, "delta"),
    ({"tried": 0}, "tried"),
    ({"predictor": "median"}, "predictor"),
    ({"loss": "hinge"}, "loss"),
    ({"inequality": "hoeffding"}, "inequality"),
    ({"posterior": "laplace"}, "posterior"),
    ({"loss": "squared", "predictor": "mean"}, "classifiers"),
    ({"loss": "argmax"}, "one largest entry"),
    ({"posterior": bounds.Centred(Y), "prior": bounds.LearnedPrior(0.5)}, "Centred"),
    ({"prior": bounds.LearnedPrior(0.001)}, "share"),
]


@pytest.mark.parametrize(("options", "named"), REFUSED)
def test_what_does_not_fit_is_refused_by_name(options: dict[str, Any], named: str):
    with pytest.raises(ValueError, match=named):
        bounds.pac_bayes(K, Y, **options)


@pytest.mark.parametrize("y", [np.where(Y > 0, 1.0, 0.0), Y[:-1], np.full(120, np.nan)])
def test_labels_that_do_not_fit_are_refused(y: np.ndarray):
    with pytest.raises(ValueError, match=r"y must|y has"):
        bounds.pac_bayes(K, y)


def test_it_is_written_without_its_predictor():
    said = bounds.pac_bayes(K, Y)
    assert "predictor" not in said.to_dict()["constants"] and said.to_dict()["constants"]["n"] == 120
    assert dataclasses.is_dataclass(said.constants)


@pytest.mark.parametrize(
    ("prior", "rank"), [(bounds.Prior(), None), (bounds.Prior(), 3), (bounds.LearnedPrior(share=0.5), None)]
)
def test_a_matrix_of_unknown_rounding_says_nothing_and_no_number_is_lost(prior, rank):
    K = DenseGram(np.eye(20), rounding=float("inf"))
    assert bounds.pac_bayes(K, np.array([1.0, -1.0] * 10), prior=prior, rank=rank).value == 1.0
