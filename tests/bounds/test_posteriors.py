"""Do posteriors serve the bound: regression, the best found by gradients, one around a predictor of your own?"""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.optimize

from ntkseq.bounds.gibbs import forms_of, prepared
from ntkseq.bounds.gibbs_losses import ZeroOne
from ntkseq.bounds.inequalities import Catoni, Kl
from ntkseq.bounds.posteriors import Centred, Form, Optimal, Problem, Regression, _Objective, as_choice, choose
from ntkseq.bounds.processes import LearnedPrior, Prior
from ntkseq.predictors import ridge


def problem(predictor: str = "gibbs", inequality=Kl(), prior=Prior(), seed: int = 0) -> Problem:  # noqa: B008
    rng = np.random.default_rng(seed)
    phi = rng.standard_normal((60, 8))
    y = np.where(phi[:, 0] + 0.3 * rng.standard_normal(60) > 0, 1.0, -1.0)
    process = prior.process(prepared(phi @ phi.T, y, ZeroOne()), np.arange(60))
    return Problem(process, prior.scale, forms_of(ZeroOne(), predictor), (inequality,), math.log(20))


@pytest.mark.parametrize("predictor", ["gibbs", "mean"])
@pytest.mark.parametrize("inequality", [Kl(), Catoni(1.0)])
@pytest.mark.parametrize("prior", [Prior(), LearnedPrior(0.3, scale=0.5)])
def test_the_gradient_is_that_of_the_bound(predictor: str, inequality, prior):
    given = problem(predictor, inequality, prior)
    process, told = given.process, given.process.told
    spectrum, basis = process.values[told], process.basis[:, told]
    rng = np.random.default_rng(1)
    at = np.concatenate([0.3 * rng.standard_normal(len(spectrum)), -rng.uniform(0.1, 2.0, len(spectrum))])
    for form in given.forms:
        objective = _Objective(given, form, inequality, spectrum, basis, basis**2)
        numeric = scipy.optimize.approx_fprime(at, lambda x, f=objective: f(x)[0], 1e-6)
        assert objective(at)[1] == pytest.approx(numeric, rel=2e-3, abs=2e-6)


def test_the_gradient_speaks_of_the_value_that_is_read():
    given = problem()
    process, told = given.process, given.process.told
    start = choose(given, Regression(2.0))
    spectrum, basis = process.values[told], process.basis[:, told]
    at = np.concatenate([np.sqrt(spectrum) * start.b[told, 0], np.log(1 - start.removed[told] * spectrum)])
    objective = _Objective(given, start.form, Kl(), spectrum, basis, basis**2)
    assert objective(at)[0] == pytest.approx(start.value, rel=1e-9)


def test_one_found_by_gradients_is_better_than_regression_and_that_than_one_noise():
    given = problem()
    optimal, regression, single = (choose(given, one) for one in (Optimal(), Regression(), Regression(1.0)))
    assert optimal.value < 0.99 * regression.value and regression.value <= single.value


def test_a_predictor_of_your_own_is_the_centre():
    given = problem()
    process = given.process
    fit = ridge((process.basis * process.values) @ process.basis.T, process.targets[:, 0], reg=1.0)
    found = choose(given, Centred(fit.dual, noise=1.0))
    assert process.basis @ found.b[:, 0] == pytest.approx(fit.dual)
    assert found.value == pytest.approx(choose(given, Regression(1.0)).value)
    with pytest.raises(ValueError, match="dual must have"):
        choose(given, Centred(fit.dual[:-1]))


def test_pairs_that_err_together_are_the_square_of_one():
    given = problem()
    one = choose(given, Regression(1.0))
    f = given.predictions(given.process.mean_at(one.b), given.process.variance_at(one.removed))
    p = ZeroOne().upper(f, given.labels)
    assert Form("", ZeroOne(), 4.0, 2).means(f, given.labels, np.zeros(60), given.process.weights)[0] == pytest.approx(
        np.mean(p**2)
    )


def test_all_examples_alike_leave_a_statement():
    process = Prior().process(prepared(np.ones((30, 30)), np.ones(30), ZeroOne()), np.arange(30))
    found = choose(Problem(process, 1.0, forms_of(ZeroOne(), "gibbs"), (Kl(),), 3.0), Optimal())
    assert 0 < found.value < 0.4
    nothing = Prior().process(prepared(np.zeros((30, 30)), np.ones(30), ZeroOne()), np.arange(30))
    assert choose(Problem(nothing, 1.0, forms_of(ZeroOne(), "gibbs"), (Kl(),), 3.0), Optimal()).value == 1.0


@pytest.mark.parametrize("made", [lambda: Regression(0.0), lambda: Optimal(0), lambda: Centred([1.0], -1.0)])
def test_numbers_that_are_none_are_refused(made):
    with pytest.raises(ValueError, match=r"noise|steps"):
        made()


def test_short_names():
    assert as_choice("optimal") == Optimal() and as_choice("prior") is None
    with pytest.raises(ValueError, match="posterior"):
        as_choice("laplace")
