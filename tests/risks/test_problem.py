"""Is a mixed regression problem the one that was described, whatever the basis it came in?"""

from __future__ import annotations

import numpy as np
import pytest

from ntkseq import risks
from ntkseq.risks import MixedRegression
from tests.risks.problems import golden


def test_operators_and_limits_are_the_numbers_of_the_theory_file():
    problem = golden()
    np.testing.assert_allclose(problem.mu_tr, [0.5423828125, 0.37900390625, 0.221728515625, 0.119580078125], rtol=1e-13)
    np.testing.assert_allclose(problem.mu_te, [0.4345, 0.34525, 0.213625, 0.1181875], rtol=1e-13)
    assert problem.alpha_max == pytest.approx(1.6751528842774976, rel=1e-12)
    assert problem.best_rate == pytest.approx(0.5657994443041172, rel=1e-12)
    assert golden(beta_te=problem.best_rate).irreducible == pytest.approx(0.23799254862338975, rel=1e-12)
    assert golden(beta_te=0.0).irreducible == pytest.approx(0.2875, rel=1e-12)
    assert problem.irreducible == pytest.approx(0.24224375, rel=1e-12)


def test_the_best_rate_is_where_the_remaining_loss_is_least():
    rates = np.linspace(0, 1, 401)
    losses = [golden(beta_te=rate).irreducible for rate in rates]
    assert rates[np.argmin(losses)] == pytest.approx(golden().best_rate, abs=2.5e-3)
    assert np.isnan(golden(spread=0.0, noise=0.0).best_rate)


def test_the_remaining_loss_is_that_of_adapting_from_the_mean_task():
    problem = golden()
    rng, runs, d, m = np.random.default_rng(0), 40_000, problem.d, problem.m
    x = rng.normal(size=(runs, m + 1, d)) * np.sqrt(problem.spectrum)
    theta = rng.normal(size=(runs, d)) * problem.spread  # theta* is 0
    y = np.einsum("rnd,rd->rn", x, theta) + problem.noise * rng.normal(size=(runs, m + 1))
    adapted = problem.beta_te / m * np.einsum("rnd,rn->rd", x[:, :m], y[:, :m])
    loss = 0.5 * (np.einsum("rd,rd->r", x[:, m], adapted) - y[:, m]) ** 2
    assert abs(loss.mean() - problem.irreducible) < 4 * loss.std() / np.sqrt(runs)


def test_a_rotated_problem_is_the_same_problem():
    rng = np.random.default_rng(1)
    problem = golden()
    V = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    mixed = rng.normal(size=(4, 4))
    tasks = mixed @ mixed.T  # does not commute with Sigma
    rest = {name: getattr(problem, name) for name in ("noise", "n1", "n2", "m", "beta_tr", "beta_te", "alpha")}
    turned = MixedRegression.of(V @ np.diag(problem.spectrum) @ V.T, V @ problem.start, V @ tasks @ V.T, **rest)
    plain = problem.with_(spread=np.sqrt(np.diag(tasks)))
    np.testing.assert_allclose(turned.spread, plain.spread, rtol=1e-12)
    np.testing.assert_allclose(risks.risk(turned, 30).total, risks.risk(plain, 30).total, rtol=1e-11)
    assert not MixedRegression.of(np.diag([2.0, 1.0]), 1.0).spread.any()  # without Sigma_theta: one task


def test_directions_without_variance_are_dropped_and_change_nothing():
    more = golden(spectrum=[1, 0, 0.5, 0.25, 0.125, 1e-14], start=[1, 9, -0.5, 0.25, 2.0, 7],
                  spread=np.sqrt([0.1, 5, 0.2, 0.3, 0.4, 5]))  # fmt: skip
    assert (more.d, more.dropped) == (4, 2)
    assert more.with_(alpha=0.1).dropped == 2
    np.testing.assert_array_equal(risks.risk(more, 20).total, risks.risk(golden(), 20).total)
    nothing = MixedRegression([0.0, 0.0], 1.0, noise=1.0)
    assert nothing.d == 0 and not risks.risk(nothing, 5).total.any() and risks.limit(nothing) == 0
    assert nothing.alpha_max == np.inf


def test_the_step_size_limit_separates_growth_from_decay():
    problem = golden()
    for factor, settles in ((0.99, True), (1.01, False)):
        curve = risks.risk(problem.with_(alpha=factor * problem.alpha_max, noise=0.0, spread=0.0), 40_000)
        sums = curve.bias * np.arange(1, 40_001) ** 2
        assert curve.stable is settles
        assert bool(sums[-1] < 1.001 * sums[20_000]) == settles


def test_a_kernel_stands_for_the_covariance_of_its_features():
    rng = np.random.default_rng(2)
    features, missing = rng.normal(size=(40, 6)), rng.normal(size=6)  # missing = theta* - w_0
    problem = MixedRegression.of_kernel(features @ features.T, features @ missing, n1=4, n2=3, beta_tr=0.1)
    direct = MixedRegression.of(features.T @ features / 40, missing, n1=4, n2=3, beta_tr=0.1)
    assert problem.d == 6 and "40 examples" in problem.surrogate and not direct.surrogate
    np.testing.assert_allclose(problem.spectrum, direct.spectrum, rtol=1e-10)
    np.testing.assert_allclose(problem.start**2, direct.start**2, rtol=1e-8)


def test_what_is_no_problem_is_refused():
    for wrong, said in (
        ({"spectrum": [1.0, -1.0]}, "eigenvalues >= 0"),
        ({"spectrum": [[1.0]]}, "eigenvalues >= 0"),
        ({"spectrum": [1.0, np.nan]}, "spectrum must be finite"),
        ({"start": [1.0, 2.0]}, "start must be"),
        ({"spread": -1.0}, "spread must be"),
        ({"noise": -1.0}, "noise"),
        ({"n1": 0}, "n1"),
        ({"m": 0}, "m must"),
        ({"beta_tr": np.inf}, "beta_tr"),
        ({"alpha": -0.1}, "alpha"),
    ):
        with pytest.raises(ValueError, match=said):
            golden(**wrong)
    with pytest.raises(ValueError, match="positive semi-definite"):
        MixedRegression.of(np.diag([1.0, -0.5]), 1.0)
    with pytest.raises(ValueError, match="positive semi-definite"):
        MixedRegression.of(np.eye(2), 1.0, np.diag([1.0, -0.5]))
    with pytest.raises(ValueError, match="shape of Sigma"):
        MixedRegression.of(np.eye(2), 1.0, np.eye(3))
    with pytest.raises(ValueError, match="residual"):
        MixedRegression.of_kernel(np.eye(3), [1.0, 2.0])
    with pytest.raises(ValueError, match="positive eigenvalue"):
        MixedRegression.of_kernel(np.zeros((3, 3)), 1.0)
