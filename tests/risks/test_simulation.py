"""Does running MAML give the exact risk, within an honest error?"""

from __future__ import annotations

import itertools

import jax
import numpy as np
import pytest

from ntkseq import risks
from ntkseq.risks import MixedRegression

SPECTRA = {
    "power": np.arange(1.0, 21) ** -1.5, "exponential": np.exp(-0.5 * np.arange(20)),
    "two levels": np.array([1.0] * 4 + [0.1] * 16),
}  # fmt: skip


def case(spectrum: str, beta: float, alpha: float) -> MixedRegression:
    lam = SPECTRA[spectrum]
    return MixedRegression(
        lam, 0.3, 0.2, 0.5, n1=5, n2=3, m=8, beta_tr=beta / lam.max(), beta_te=0.2, alpha=alpha / lam.max()
    )


@pytest.mark.slow(but=["two levels--0.5-0.03"])
@pytest.mark.parametrize(("spectrum", "beta", "alpha"), [("exponential", 0.5, 0.1), ("two levels", -0.5, 0.03)])
def test_runs_agree_with_the_exact_risk(spectrum: str, beta: float, alpha: float):
    problem = case(spectrum, beta, alpha)
    found = risks.simulate(problem, 60, 300, key=jax.random.key(0), horizons=[1, 20, 60])
    exact = risks.risk(problem, 60).total[found.horizons - 1]
    assert found.mean[0] == pytest.approx(exact[0], rel=1e-5) and found.error[0] < 1e-6 * exact[0]
    assert (np.abs(found.mean - exact) < 4 * found.error + 1e-5 * exact).all()
    assert (found.error[1:] < 0.1 * exact[1:]).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spectrum", "beta", "alpha"), list(itertools.product(SPECTRA, [-0.5, 0.0, 0.2, 0.8], [0.02, 0.1]))
)
def test_runs_agree_with_the_exact_risk_on_a_grid(spectrum: str, beta: float, alpha: float):
    problem = case(spectrum, beta, alpha)
    found = risks.simulate(problem, 200, 400, key=jax.random.key(0))
    assert abs(found.mean[-1] - risks.risk(problem, 200).total[-1]) < 4 * found.error[-1]


@pytest.mark.slow
def test_the_error_is_the_spread_of_repeated_simulations():
    problem = case("exponential", 0.5, 0.1)
    exact = risks.risk(problem, 30).total[-1]
    found = [risks.simulate(problem, 30, 60, key=jax.random.key(k)) for k in range(60)]
    z = np.array([(one.mean[-1] - exact) / one.error[-1] for one in found])
    assert 0.7 < np.sqrt(np.mean(z**2)) < 1.3  # 60 draws: 3 standard errors are 0.27


@pytest.mark.slow
def test_looking_more_often_changes_nothing():
    problem = case("power", 0.2, 0.1)
    once = risks.simulate(problem, 40, 5, key=jax.random.key(1))
    often = risks.simulate(problem, 40, 5, key=jax.random.key(1), horizons=[3, 17, 40])
    np.testing.assert_allclose(often.mean[-1], once.mean[-1], rtol=1e-6)
    assert once.runs == 5 and np.isnan(risks.simulate(problem, 3, 1, key=jax.random.key(0)).error).all()


@pytest.mark.slow
def test_a_run_that_diverges_is_not_hidden():
    problem = case("power", 0.2, 60.0)
    assert not np.isfinite(risks.simulate(problem, 400, 3, key=jax.random.key(0)).mean[-1])


def test_horizons_that_make_no_sense_are_refused():
    problem = case("power", 0.2, 0.1)
    for horizons, said in (([5, 5], "ascending"), ([0, 2], "ascending"), ([11], "exceed"), ([1.5], "integers")):
        with pytest.raises(ValueError, match=said):
            risks.simulate(problem, 10, 2, key=jax.random.key(0), horizons=horizons)
