"""Does the certificate of a linearised network hold, and does it say what its parameters have seen?"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from ntkseq import bounds, models
from ntkseq.grams import DenseGram
from tests.bounds import linearised_worlds as worlds

RNG = np.random.default_rng(0)
X = RNG.standard_normal((90, 3)).astype(np.float32)
Y = np.where(X[:, 0] + 0.3 * X[:, 1] > 0, 1.0, -1.0)
NET = models.Dense(width=16)
PARAMS = NET.init(jax.random.key(0), X[0])
ONE = bounds.Search(priors=(bounds.Prior(),), inequalities=(bounds.Kl(),))
ARGMAX = dataclasses.replace(ONE, loss="argmax")
COLOURS = np.argmax(X @ np.random.default_rng(1).standard_normal((3, 3)), axis=1)
THREE = {"U": RNG.standard_normal((16, 3)), "b": np.zeros(16), "V": RNG.standard_normal((16, 3))}
THREE = {name: leaf.astype(np.float32) for name, leaf in THREE.items()}


def TWO(params: Any, x: Any) -> Any:
    """Its second output less the first is NET."""
    return jnp.concatenate([-0.5 * NET.apply(params, x), 0.5 * NET.apply(params, x)])


def certified(**changed: Any) -> bounds.LinearisedBound:
    return bounds.linearised_network(**dict(f=NET.apply, params=PARAMS, x=X, y=Y, seen=(), search=ONE) | changed)


def status(bound: bounds.Bound, name: str) -> str:
    return next(one.status for one in bound.assumptions if one.name == name)


@pytest.mark.slow
def test_no_bound_is_below_the_exact_risk():
    played = [worlds.linearised(np.random.default_rng([5, seed]), n=20) for seed in range(8)]
    assert not [case.bound for case in played if case.violated]
    assert all(case.bound.certified for case in played)


@pytest.mark.slow
def test_no_bound_is_below_the_exact_risk_in_many_worlds():
    played = [worlds.linearised(np.random.default_rng([6, seed])) for seed in range(600)]
    assert not [case.bound for case in played if case.violated]
    told = [case.bound.value / case.risk for case in played if not case.bound.vacuous and case.risk > 0]
    assert np.median(told) < 3 and len(told) > 450


def test_it_is_the_bound_of_the_kernel_of_its_gradients():
    said = certified(centred=True)
    K = said.gradients.astype(np.float64) @ said.gradients.astype(np.float64).T
    of_kernel = ONE.best(DenseGram(K, 0.0), Y)
    assert said.certified and said.value == pytest.approx(of_kernel.value, rel=1e-6) and said.value < 0.5
    assert said.constants.information_gain == pytest.approx(of_kernel.constants.information_gain, rel=1e-4)
    assert "gradients as this program computes them" in said.applies_to and "f(params" not in said.applies_to


@pytest.mark.slow
def test_an_ordinary_gram_of_an_empirical_kernel_is_not_certified_and_this_is():
    from ntkseq import empirical, gram

    measured = bounds.pac_bayes(gram(empirical.NTK(NET.apply, PARAMS), X), Y)
    assert not measured.certified and status(measured, "rounding of K") == "unresolved"
    assert certified(centred=True).certified


@pytest.mark.slow
def test_the_predictor_has_the_loss_that_is_stated():
    for centred in (True, False):
        said = certified(centred=centred)
        wrong = scipy.stats.norm.cdf(-Y * said.mean(X) / np.sqrt(said.variance(X)))
        assert wrong.mean() == pytest.approx(said.constants.loss, rel=1e-5)
        drawn = np.stack([said.draw(X[:2], jax.random.key(i)) for i in range(300)])
        assert np.abs(drawn.mean(axis=0) - said.mean(X[:2])).max() < 0.3 * np.sqrt(said.variance(X[:2]).max())
    assert said.mean(X) != pytest.approx(certified(centred=True).mean(X), rel=0.1)


@pytest.mark.parametrize("predictor", ["gibbs", "mean"])
def test_two_outputs_have_the_bound_of_their_difference(predictor: str):
    search, asked = (dataclasses.replace(one, predictor=predictor) for one in (ONE, ARGMAX))
    one = certified(search=search)
    for y in (np.where(Y > 0, 1, 0), np.stack([-Y, Y], axis=1)):
        two = certified(f=TWO, y=y, search=asked)
        assert two.certified and two.value == pytest.approx(one.value, rel=1e-9)
    assert two.mean(X)[:, 1] - two.mean(X)[:, 0] == pytest.approx(one.mean(X), rel=1e-5)
    assert two.variance(X[:4])[:, 1, 1] == pytest.approx(0.25 * one.variance(X[:4]), rel=1e-5)
    assert "argmax" in two.quantity and "sign" not in two.applies_to


def classified(**changed: Any) -> bounds.LinearisedBound:
    given: dict[str, Any] = dict(f=worlds.network, params=THREE, x=X, y=COLOURS, seen=(), search=ARGMAX, centred=True)
    return bounds.linearised_network(**given | changed)


def test_of_several_classes_no_bound_is_below_the_exact_risk():
    played = [worlds.three_classes(np.random.default_rng([7, seed]), n=12) for seed in range(4)]
    assert not [case.bound for case in played if case.violated]
    assert all(case.bound.certified for case in played)


@pytest.mark.slow
def test_of_several_classes_no_bound_is_below_the_exact_risk_in_many_worlds():
    played = [worlds.three_classes(np.random.default_rng([8, seed])) for seed in range(200)]
    assert not [case.bound for case in played if case.violated]
    told = [case.bound.value / case.risk for case in played if not case.bound.vacuous and case.risk > 0]
    assert np.median(told) < 3 and len(told) > 120


def test_the_loss_of_several_classes_is_that_of_the_drawn_outputs():
    said = classified()
    right = np.array([worlds.largest(said.mean(X), said.variance(X), label) for label in range(3)])
    exact = 1.0 - right[COLOURS, np.arange(90)].mean()
    assert exact - 1e-4 < said.constants.loss < exact + 2e-3 and said.value < 0.5
    assert said.draw(X[:2], jax.random.key(0)).sum(axis=1) == pytest.approx(np.zeros(2), abs=1e-5)
    assert said.values.shape == (90, 3) and said.gradients.shape[0] == 180


def test_of_labels_that_say_nothing_the_bound_is_near_what_nobody_can_beat():
    """One gradient for all examples: the commonest of three classes is the best answer."""
    y, x = np.resize([2, 2, 2, 2, 0, 2, 1, 2, 2, 2], 300), np.ones((300, 1), np.float32)
    said = bounds.linearised_network(lambda w, x: w * x, np.zeros(3, np.float32), x, y, seen=(), search=ARGMAX)
    assert said.certified and 0.2 < said.value < 1.6 * 0.2


def test_examples_count_and_not_their_outputs():
    said = classified(x=np.concatenate([X, X[:7]]), y=np.concatenate([COLOURS, COLOURS[:7]]))
    assert (said.constants.n, said.constants.rows) == (97, 97) and "7 of the examples repeat another" in str(said)
    prior = bounds.Search(priors=(bounds.LearnedPrior(examples=(40, 41)),), loss="argmax")
    part = classified(seen=np.arange(30), search=prior, units=np.arange(90) // 2)
    assert (part.constants.n, part.constants.rows, part.constants.seen) == (29, 58, 32)
    assert part.constants.predictor.seen.tolist() == [*range(60), *range(80, 84)]
    assert part.constants.predictor.paying.tolist() == [*range(60, 80), *range(84, 180)]


def test_what_classes_cost_is_the_relative_entropy_of_the_two_laws_on_all_their_coordinates():
    said = classified(x=X[:25], y=COLOURS[:25])
    K = said.gradients.astype(np.float64) @ said.gradients.astype(np.float64).T
    drawn = said.constants.predictor
    post, mean = drawn.covariance(K, K), np.asarray(drawn.mean(K))
    of_spread = np.trace(np.linalg.solve(K, post)) - 50 + np.linalg.slogdet(K)[1] - np.linalg.slogdet(post)[1]
    assert said.constants.divergence == pytest.approx(0.5 * (of_spread + mean @ np.linalg.solve(K, mean)), rel=1e-3)
    loss, price = said.constants.loss, said.constants.price
    assert said.value == pytest.approx(bounds.Kl().upper(loss, loss, said.constants.divergence, price, 25))


@pytest.mark.parametrize("loss", ["absolute", "squared"])
def test_losses_of_numbers_are_averaged_over_outputs(loss: str):
    y = np.clip(X[:, :2], -1, 1)
    search = dataclasses.replace(ONE, loss=loss)
    said = certified(f=TWO, y=y, search=search, centred=True)
    K = said.gradients.astype(np.float64) @ said.gradients.astype(np.float64).T
    of_rows = search.best(DenseGram(K, 0.0), y.ravel(), units=np.repeat(np.arange(90), 2))
    assert said.certified and said.value == pytest.approx(of_rows.value, rel=1e-6)
    assert "mean over 2 outputs" in said.quantity and said.mean(X[:5]).shape == (5, 2)
    assert status(said, "i.i.d.") == "declared" and said.variance(X[:5]).shape == (5, 2, 2)


def test_rows_that_the_parameters_have_seen_do_not_pay():
    seen = np.arange(30)
    rows = [certified(seen=seen, search=bounds.Search(priors=(prior,))) for prior in (
        bounds.Prior(), bounds.LearnedPrior(0.5, scale=0.0), bounds.LearnedPrior(examples=(40, 41)),
        bounds.LearnedPrior(0.001), bounds.LearnedPrior(examples=tuple(range(30)), scale=0.0),
    )]  # fmt: skip
    assert [one.constants.n for one in rows] == [60, 30, 58, 60, 60]
    for one in rows:
        assert one.certified and not np.isin(seen, one.constants.predictor.paying).any()
        assert "have looked at 30 others" in str(one)


def test_units_of_rows_that_were_seen_do_not_pay_either():
    said = certified(seen=[0], units=np.repeat(np.arange(30), 3))
    assert (said.constants.n, said.constants.rows) == (29, 87)


def test_of_parameters_of_which_nobody_knows_what_they_have_seen_nothing_is_certified():
    lost = certified(seen=None)
    assert status(lost, "blind prior") == "unchecked" and not lost.certified
    assert lost.value == certified().value and status(certified(), "blind prior") == "declared"
    with pytest.raises(TypeError, match="seen"):
        bounds.linearised_network(NET.apply, PARAMS, X, Y)  # pyright: ignore[reportCallIssue]


def test_gradients_that_do_not_come_out_the_same_certify_nothing(monkeypatch: pytest.MonkeyPatch):
    from ntkseq.empirical import gradients

    own, calls = gradients._at, []

    def shaken(*arguments: Any) -> Any:
        calls.append(0)
        value, row = own(*arguments)
        return value, row * np.float32(1 + 1e-7 * (len(calls) > 90))

    monkeypatch.setattr(gradients, "_at", shaken)
    said = certified()
    assert status(said, "gradients") == "unresolved" and not said.certified and "16 of 16" in str(said)


def test_the_network_itself_is_what_a_tested_share_tests_where_its_gradients_add_nothing():
    """Zero gradients: the predictor is f(params, .), and its error is counted on the rows that it has not seen."""
    flat = lambda params, x: jax.lax.stop_gradient(params) @ x[:1] + 0.0 * params  # noqa: E731
    search = bounds.Search(priors=(bounds.LearnedPrior(0.5, scale=0.0),))
    said = bounds.linearised_network(flat, jnp.ones((1,)), X, Y, seen=np.arange(40), search=search)
    assert said.mean(X) == pytest.approx(X[:, 0], rel=1e-6)
    paying = said.constants.predictor.paying
    assert said.constants.loss == pytest.approx(np.mean(Y[paying] * X[paying, 0] <= 0)) and said.value < 0.5


@pytest.mark.slow
def test_sequences_of_several_lengths():
    x = RNG.standard_normal((40, 4, 2)).astype(np.float32)
    lengths = np.resize([4, 2, 3], 40)
    net = models.Recurrent(width=8)
    said = bounds.linearised_network(
        net.apply, net.init(jax.random.key(0), x[0]), x, np.sign(x[:, 0, 0]), seen=(), centred=True, lengths=lengths
    )
    assert said.certified and said.mean(x[:3], lengths=lengths[:3]).shape == (3,)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"search": bounds.Search(kernels=("a", "b"))}, "search must have one kernel"),
    ({"search": bounds.Search(loss="argmax")}, "loss='zero-one' for an f of one output"),
    ({"f": TWO}, "loss='argmax' for an f of 2 outputs"),
    ({"f": TWO, "search": ARGMAX}, r"classes 0..1 of 2 outputs"),
    ({"f": TWO, "search": ARGMAX, "y": np.ones((90, 2))}, "one of them the largest"),
    ({"f": TWO, "search": bounds.Search(loss="absolute")}, r"y must have shape \(90, 2\)"),
    ({"seen": [90]}, "seen"),
    ({"seen": np.arange(90)}, "seen and units must leave"),
    ({"seen": np.arange(90) < 9}, r"seen must be indices of examples; got a mask.* Pass numpy.flatnonzero\(mask\)"),
    ({"y": np.arange(90.0)}, "labels"),
    ({"units": [1, 2]}, "units"),
    ({"centred": "yes"}, "centred"),
]


@pytest.mark.parametrize(("changed", "named"), REFUSED)
def test_what_does_not_fit_is_refused_by_name(changed: dict[str, Any], named: str):
    with pytest.raises(ValueError, match=named):
        certified(**changed)


@pytest.mark.parametrize("none", [range(0), jnp.arange(0)])
def test_no_rows_seen_may_be_said_by_any_empty_sequence(none: Any):
    assert certified(seen=none).value == certified(seen=()).value


def test_parameters_that_are_traced_are_refused_by_name():
    with pytest.raises(ValueError, match="params is needed as numbers"):
        jax.jit(lambda params: certified(params=params).value)(PARAMS)
