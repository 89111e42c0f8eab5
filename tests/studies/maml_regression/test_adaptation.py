"""Is the loss of a new task what theory and drawing say?"""

from __future__ import annotations

import numpy as np
import pytest

from ntkseq import risks
from ntkseq.studies.maml_regression.adaptation import adaptation, drawn_losses
from ntkseq.studies.maml_regression.study import MamlRegression

STUDY = MamlRegression(d=5, steps=80, runs=64, rates=(0.1, -0.5), n1=3, n2=2, m=4, start=1.0)


def test_drawn_tasks_lose_what_the_formula_says():
    for rate in (0.0, 0.5):
        problem = STUDY.problem("log", 0.1, 1.0).with_(beta_te=rate)
        mean, error = drawn_losses(problem, 4000, seed=0)
        assert abs(mean - problem.irreducible) < 4 * error and error < 0.05 * mean
    direct = 0.5 * (np.sum(problem.spread**2 * problem.spectrum) + problem.noise**2)
    mean, error = drawn_losses(problem.with_(beta_te=0.0), 4000, seed=1)
    assert abs(mean - direct) < 4 * error


def test_losses_after_adaptation_have_their_least_at_the_best_rate():
    rates = np.round(np.arange(-20, 101, 5) / 100, 2).tolist()
    found = adaptation(STUDY, "log", 1.0, rates, [0.0, 0.5])
    nearest = rates[int(np.argmin(np.abs(np.asarray(rates) - found.best)))]
    assert rates[int(np.argmin(found.least))] == pytest.approx(nearest)
    assert found.unadapted == pytest.approx(found.least[rates.index(0.0)])
    k = rates.index(0.5)
    excess = risks.risk(STUDY.problem("log", STUDY.rate, 1.0).with_(beta_te=0.5), STUDY.early).total[-1]
    assert STUDY.early == 4 and found.trained[k] - found.least[k] == pytest.approx(excess, rel=1e-9)
    assert (found.away < 4).all()
