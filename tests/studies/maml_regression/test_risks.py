"""Are the problems of the study what it says, and what it reads off them?"""

from __future__ import annotations

import dataclasses
import math

import jax
import numpy as np
import pytest

from ntkseq import risks
from ntkseq.studies.maml_regression.options import KINDS
from ntkseq.studies.maml_regression.risks import (
    Course,
    course,
    lower,
    outside,
    slopes,
    stable,
    sweep,
    upper,
)
from ntkseq.studies.maml_regression.study import MamlRegression

STUDY = MamlRegression(d=5, steps=80, runs=64, rates=(0.1, -0.5), n1=3, n2=2, m=4, start=1.0)


@pytest.fixture(scope="module")
def one() -> Course:
    return course(STUDY, "log", -0.5, 2.0, key=jax.random.key(0))


@pytest.mark.parametrize("kind", KINDS)
def test_a_problem_is_that_of_its_formulas(kind: str):
    found = STUDY.problem(kind, -0.5, 3.0)
    assert found.spectrum[0] == 1 and (np.diff(found.spectrum) <= 0).all()
    assert found.alpha * found.spectrum.sum() == pytest.approx(STUDY.step)
    np.testing.assert_allclose(found.start, [1, 1 / 2, 1 / 3, 1 / 4, 1 / 5])
    growing = [STUDY.spread * (math.log(i + 1) / math.log(2)) ** 1.5 for i in range(1, 6)]
    np.testing.assert_allclose(found.spread, growing, rtol=1e-12)
    assert (found.beta_tr, found.beta_te, found.n1, found.n2, found.m) == (-0.5, STUDY.rate_te, 3, 2, 4)


def test_spectra_are_what_they_are_called():
    found = {kind: STUDY.problem(kind, 0.1, 0.0).spectrum for kind in KINDS}
    np.testing.assert_allclose(found["power"], [1, 1 / 4, 1 / 9, 1 / 16, 1 / 25])
    np.testing.assert_allclose(found["levels"], [1, 1, 2 / 3, 2 / 3, 2 / 3])
    np.testing.assert_allclose(found["exponential"], np.exp(-np.arange(5) / 10))
    np.testing.assert_allclose(found["log"], [(math.log(2) / math.log(i + 1)) ** 2 / i for i in range(1, 6)])


@pytest.mark.slow
def test_runs_lie_around_the_exact_risk_and_that_between_its_bounds(one: Course):
    assert one.batches.shape == (8, len(one.horizons)) and one.horizons[-1] == 80
    assert (one.away < 4).all() and one.outside == 0
    scatter = one.batches.std(axis=0, ddof=1) / math.sqrt(8)  # from 8 batches alone: within a factor of 3
    assert (scatter < 3 * one.error).all() and (one.error < 3 * scatter).all()


def test_a_risk_beyond_a_bound_is_counted(one: Course):
    risk = one.exact.total.copy()
    risk[3], risk[7], risk[9] = 2 * upper(one.derived)[3], 0.5 * lower(one.derived)[7], math.inf
    assert outside(risk, one.derived) == 3
    silent = dataclasses.replace(one.derived, upper_variance=np.full(80, np.nan))
    assert outside(risk, silent) == 1  # the one below


def test_stopping_times_are_first_crossings_and_bracketed(one: Course):
    eps = 0.6 * float(one.exact.total[0])
    early, exact, late = one.stopping(eps)
    assert exact is not None and early is not None and late is not None
    assert exact == next(t for t, risk in enumerate(one.exact.total, 1) if risk < eps)
    assert late == next(t for t, risk in enumerate(upper(one.derived), 1) if risk < eps)
    assert 1 < early <= exact < late < 80
    assert one.stopping(2 * float(upper(one.derived).max())) == (1, 1, 1)
    assert one.stopping(0.1 * float(lower(one.derived).min())) == (None, None, None)


def test_weights_are_split_where_steps_have_learnt(one: Course):
    p, counts = one.problem, []
    for T in (20, 40, 80):
        shorter = risks.Risk(one.exact.bias[:T], one.exact.variance[:T], True)
        Xi, count = dataclasses.replace(one, exact=shorter).weights()
        expected = [
            te / (T * mu) if p.alpha * T * mu >= 1 else T * p.alpha**2 * mu * te
            for mu, te in zip(p.mu_tr, p.mu_te, strict=True)
        ]
        np.testing.assert_allclose(Xi, expected, rtol=1e-12)
        assert count == sum(p.alpha * T * mu >= 1 for mu in p.mu_tr)
        counts.append((count, sum(p.alpha * T * te >= 1 for te in p.mu_te)))
    assert all(0 < count < 5 for count, _ in counts[1:]) and any(count != wrong for count, wrong in counts)


def test_the_slope_of_a_power_law_is_its_exponent(one: Course):
    T = np.arange(1, 81)
    law = dataclasses.replace(one.exact, bias=3.0 * T**-0.7, variance=np.zeros(80))
    scale = np.geomspace(0.9, 1.1, 8)[:, None] * one.horizons**-0.4
    exact, simulated = slopes(STUDY, dataclasses.replace(one, exact=law, batches=scale))
    for end in (exact.lower, exact.estimate, exact.upper):
        assert end == pytest.approx(-0.7, abs=1e-10)
    assert simulated.estimate == pytest.approx(-0.4, abs=1e-10)


def test_slopes_are_those_of_the_last_decade_and_hold_their_neighbours(one: Course):
    exact, _ = slopes(STUDY, one)
    log_R, log_T = np.log(one.exact.total), np.log(np.arange(1, 81))
    local = [(log_R[k + 1] - log_R[k]) / (log_T[k + 1] - log_T[k]) for k in range(7, 79)]  # T = 8 .. 80
    assert exact.lower == pytest.approx(min(local)) and exact.upper == pytest.approx(max(local))
    assert exact.lower <= exact.estimate <= exact.upper


def test_a_sweep_is_its_problems_one_by_one():
    found = sweep(STUDY, "levels", [-0.4, 0.2])
    for k, rate in enumerate((-0.4, 0.2)):
        alone = risks.risk(STUDY.problem("levels", rate, STUDY.growths[0]), 80)
        assert found.total[k] == pytest.approx(alone.total[-1], rel=1e-12)
    assert outside(found.total, found.derived) == 0


def test_the_limit_that_is_named_is_the_limit():
    problem = STUDY.problem("log", 0.1, 0.0)
    limit = problem.alpha_max * problem.spectrum.sum()
    for share in (0.999, 1.001):
        study = dataclasses.replace(STUDY, step=share * limit)
        if share < 1:
            assert stable(study, study.problem("log", 0.1, 0.0), "log").alpha > 0
        else:
            with pytest.raises(ValueError, match=f"step must be below {limit:.3g} for the spectrum 'log'"):
                stable(study, study.problem("log", 0.1, 0.0), "log")
