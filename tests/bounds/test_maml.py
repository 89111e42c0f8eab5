"""Do the bounds on MAML lie on their side of the exact risk, and fall silent where their conditions fail?"""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from ntkseq import risks
from ntkseq.bounds import maml_forms, maml_lower, maml_sides, maml_upper
from ntkseq.risks import MixedRegression
from tests.risks.problems import golden


def some(rng: np.random.Generator, reach: float, most: float) -> MixedRegression:
    """A random problem with |beta| lambda_1 up to reach, its step size up to `most` of what the upper bound allows."""
    d = int(rng.integers(1, 25))
    lam = [rng.random(d) + 1e-3, np.arange(1.0, d + 1) ** -rng.uniform(1, 3), np.exp(-rng.random() * np.arange(d))]
    lam = lam[int(rng.integers(3))] * rng.choice([0.03, 1.0, 20.0])
    n1, n2, m = (int(k) for k in rng.choice([1, 2, 5, 30], 3))
    rates = rng.uniform(-reach, reach, 2) / lam.max()
    size = rng.choice([0.0, 0.1, 3.0], 3)
    problem = MixedRegression(
        lam, size[0] * rng.normal(size=d), size[1] * rng.random(d), size[2] * rng.random(),
        n1=n1, n2=n2, m=m, beta_tr=rates[0], beta_te=rates[1],
    )  # fmt: skip
    c, _ = maml_forms.derived_constants(problem)
    limit = min(1 / problem.mu_tr.max(), 1 / (c * lam.sum()) if c > 0 else math.inf)
    return problem.with_(alpha=limit * most * 10 ** rng.uniform(-3, 0))


def outside(seed: int, count: int) -> list[tuple[int, str]]:
    """The problems whose exact risk is not between the derived bounds at some horizon, T = 1 included."""
    rng, wrong = np.random.default_rng(seed), []
    for k in range(count):
        problem = some(rng, 2.0, 0.999)
        steps = int(rng.choice([3, 40, 300]))
        exact, sides = risks.risk(problem, steps).total, maml_sides(problem, np.arange(1, steps + 1))
        assert sides.upper_holds.all() and sides.lower_holds.all()
        slack = 1e-12 * exact  # the exact risk is a sum of up to 300 rounded terms
        if (sides.upper_bias + sides.upper_variance < exact - slack).any():
            wrong.append((k, "above"))
        if (sides.lower_bias + sides.lower_variance > exact + slack).any():
            wrong.append((k, "below"))
    return wrong


@pytest.mark.slow
def test_the_exact_risk_lies_between_the_derived_bounds():
    assert outside(0, 100) == []


@pytest.mark.slow
def test_the_exact_risk_lies_between_the_derived_bounds_in_2000_problems():
    assert outside(1, 2000) == []


def test_bounds_are_the_numbers_of_the_theory_file():
    upper, lower = maml_upper(golden(), 50), maml_lower(golden(), 50)
    assert upper.value == pytest.approx(0.4540106540953442, rel=1e-11)
    assert lower.value == pytest.approx(0.2668131574750087, rel=1e-11)
    assert [t.value for t in upper.terms] == pytest.approx([0.4043663368998742, 0.04964431719546998], rel=1e-11)
    assert [t.value for t in lower.terms] == pytest.approx([0.26565871610474046, 0.0011544413702682652], rel=1e-11)
    assert upper.constants.c == pytest.approx(0.642066925700966, rel=1e-11)
    assert upper.constants.f == pytest.approx(0.27964747178260274, rel=1e-11)
    assert upper.constants.alpha_max == golden().alpha_max
    Xi = [0.0160218941303565, 0.01635638732910156, 0.00592084426879883, 0.0017666088104248]
    np.testing.assert_allclose(maml_forms.effective(golden(), 50), Xi, rtol=1e-12)


def test_the_papers_form_has_the_numbers_of_the_theory_file():
    problem = golden(alpha=0.01)
    upper, lower = maml_upper(problem, 50, form="paper"), maml_lower(problem, 50, form="paper")
    assert upper.value == pytest.approx(3.729665882252618, rel=1e-12)
    known = {"c": 35.99871636302519, "f": 12.175391555820784, "g": 0.4943896484375, "C": 1.1978969515137268}
    assert {name: getattr(upper.constants, name) for name in known} == pytest.approx(known, rel=1e-12)
    assert upper.constants.alpha_limit == pytest.approx(0.01481534307931957, rel=1e-12)
    factor = 1 / (1 - 0.01 / upper.constants.alpha_limit)  # which the recalled form has and this one leaves out
    bias, variance = (term.value for term in lower.terms)
    assert bias + factor * variance == pytest.approx(0.010083592277393172, rel=1e-12)


def test_the_papers_lower_form_with_its_factor_would_be_false():
    limit = maml_upper(golden(alpha=0.01), 50, form="paper").constants.alpha_limit
    problem = golden(start=0.0, alpha=0.99 * limit)
    exact = risks.risk(problem, 200).total[-1]
    assert exact == pytest.approx(3.604510921431412e-4, rel=1e-11)
    lower = maml_lower(problem, 200, form="paper")
    assert lower.value < exact < lower.value / (1 - 0.99)
    assert lower.value / (1 - 0.99) == pytest.approx(1.8467455878796008e-3, rel=1e-9)


@pytest.mark.slow
def test_the_papers_forms_hold_where_they_speak():
    rng, spoken = np.random.default_rng(2), 0
    for _ in range(150):
        problem = some(rng, 0.95, 1.0)
        problem = problem.with_(alpha=problem.alpha * 0.02)
        horizons = np.array([1, 2, 9, 100])
        sides, exact = maml_sides(problem, horizons, form="paper"), risks.risk(problem, 100).total[horizons - 1]
        holds, below = sides.upper_holds, sides.lower_holds
        spoken += int(below.sum())
        assert not below[0]  # T = 1
        assert ((sides.upper_bias + sides.upper_variance)[holds] >= exact[holds] * (1 - 1e-12)).all()
        assert ((sides.lower_bias + sides.lower_variance)[below] <= exact[below] * (1 + 1e-12)).all()
    assert spoken > 100


def test_derived_bounds_are_certified_and_print_their_side():
    upper, lower = maml_upper(golden(), 50), maml_lower(golden(), 50)
    assert upper.certified and lower.certified and lower.lower and not upper.lower
    assert str(upper).endswith("E excess risk of the averaged iterate, T = 50 <= 0.4541")
    assert str(lower).endswith("E excess risk of the averaged iterate, T = 50 >= 0.2668")
    assert float(lower.verdict.split(">= ")[1]) <= lower.value
    assert not lower.vacuous and not upper.vacuous
    assert maml_lower(golden(start=0.0), 1).vacuous  # 0: the risk is that anyhow
    assert json.loads(json.dumps(lower.to_dict()))["lower"] is True


def test_the_papers_forms_and_networks_are_never_certified():
    problem = golden(alpha=0.01)
    for bound in (maml_upper(problem, 50, form="paper"), maml_lower(problem, 50, form="paper")):
        assert bound.computable and not bound.certified and bound.provenance == "recalled"
        assert {a.status for a in bound.assumptions} == {"holds", "declared"}
    rng = np.random.default_rng(0)
    features = rng.normal(size=(30, 4))
    network = MixedRegression.of_kernel(features @ features.T, features @ np.ones(4), n1=4, n2=3, alpha=0.01)
    for bound in (maml_upper(network, 50), maml_lower(network, 50)):
        assert bound.computable and not bound.certified
        assert any(a.status == "unchecked" and "30 examples" in a.evidence for a in bound.assumptions)


@pytest.mark.parametrize(
    ("changes", "form", "steps", "says"),
    [
        ({"alpha": 0.9}, "derived", 50, "alpha c tr Sigma < 1"),
        ({"alpha": 2.5}, "derived", 50, "alpha mu_max <= 1"),
        ({"alpha": 0.05}, "paper", 50, "alpha c tr Sigma < 1"),
        ({"alpha": 0.0}, "paper", 50, "0 < alpha"),
        ({"beta_tr": -1.01, "alpha": 1e-6}, "paper", 50, "|beta_tr| lambda_1 < 1"),
        ({"beta_te": 1.0, "alpha": 1e-6}, "paper", 50, "|beta_te| lambda_1 < 1"),
    ],
)
def test_a_condition_that_fails_leaves_no_number_but_its_name(changes: dict, form: str, steps: int, says: str):
    bound = maml_upper(golden(**changes), steps, form=form)
    assert math.isnan(bound.value) and says in bound.reason and not bound.certified and says in bound.verdict
    assert any(a.status == "fails" and says in a.statement for a in bound.assumptions)
    sides = maml_sides(golden(**changes), np.array([steps]), form=form)
    assert np.isnan(sides.upper_variance).all() and np.isnan(sides.upper_bias).all()


def test_lower_bounds_fall_silent_alone():
    assert maml_lower(golden(alpha=0.9), 50).certified  # it needs no limit but alpha mu_max <= 1
    one = maml_lower(golden(alpha=0.01), 1, form="paper")
    assert math.isnan(one.value) and "T >= 2" in one.reason
    assert maml_upper(golden(alpha=0.01), 1, form="paper").computable
    assert "alpha mu_max <= 1" in maml_lower(golden(alpha=2.5), 50).reason


def test_at_one_step_and_without_steps_the_lower_bound_is_exact():
    problem = golden()
    assert maml_lower(problem, 1).value == pytest.approx(risks.risk(problem, 1).total[0], rel=1e-11)
    still = golden(alpha=0.0)
    value = 0.5 * np.sum(still.mu_te * still.start**2)
    for bound in (maml_upper(still, 9), maml_lower(still, 9)):
        assert bound.value == pytest.approx(value, rel=1e-12) and bound.certified


def test_without_variance_of_inputs_there_is_no_risk_to_bound():
    nothing = MixedRegression([0.0], 1.0, noise=1.0)
    assert maml_upper(nothing, 5).value == 0 and maml_lower(nothing, 5).value == 0
    assert math.isnan(maml_upper(nothing, 5, form="paper").value)


def test_the_constants_dominate_the_moments_entry_by_entry():
    problem = golden(beta_tr=1.4, n1=1)
    c, f = maml_forms.derived_constants(problem)
    mu, Q = problem.mu_tr, problem.moments.Q
    gap = c * np.outer(mu, problem.spectrum) - (Q - np.diag(mu**2))
    assert gap.min() == pytest.approx(0, abs=1e-12) and (gap >= -1e-12).all()
    assert (f * mu - problem.moments.pi).min() == pytest.approx(0, abs=1e-12)


def test_the_variance_that_is_kept_is_its_double_sum():
    alpha, mu, pi = 0.1, np.array([9.0, 1.0, 1e-3, 1e-7]), np.array([1.0, 2.0, 3.0, 4.0])
    for T in (1, 2, 17, 60):
        a = 1 - alpha * mu
        c = alpha**2 * pi * np.array([sum((a ** (2 * k) for k in range(t)), np.zeros(4)) for t in range(T)])
        pairs = sum(a ** abs(t - s) * c[min(s, t)] for s in range(T) for t in range(T)) / T**2
        found = maml_forms._kept(alpha, mu, pi, np.array([[float(T)]]))[0]
        assert (found <= pairs * (1 + 1e-13)).all()
        np.testing.assert_allclose(found, pairs, rtol=1e-4)


def test_sides_are_the_bounds_one_by_one_over_grids_too():
    problem, horizons = golden(alpha=0.01), np.array([[2, 5], [50, 900]])
    for form in ("derived", "paper"):
        sides = maml_sides(problem, horizons, form=form)
        for index in np.ndindex(2, 2):
            upper = maml_upper(problem, int(horizons[index]), form=form)
            lower = maml_lower(problem, int(horizons[index]), form=form)
            assert sides.upper_bias[index] + sides.upper_variance[index] == upper.value
            assert sides.lower_bias[index] + sides.lower_variance[index] == lower.value
    grid = maml_sides(problem, horizons, axes={"beta_tr": [-0.3, 0.2, 0.5], "alpha": [0.01, 5.0]})
    assert grid.upper_bias.shape == grid.lower_holds.shape == (3, 2, 2, 2)
    one = maml_sides(problem.with_(beta_tr=0.5, alpha=0.01), horizons)
    np.testing.assert_array_equal(grid.upper_variance[2, 0], one.upper_variance)
    np.testing.assert_array_equal(grid.lower_bias[2, 0], one.lower_bias)
    assert not grid.upper_holds[:, 1].any() and np.isnan(grid.lower_bias[:, 1]).all()


def test_larger_constants_give_a_larger_bound_of_the_paper():
    problem = golden(alpha=1e-4)
    plain = maml_sides(problem, 50, form="paper")
    for name, value in (("c1", 4.0), ("sigma_x", 1.2), ("C", 2.0)):
        assert maml_sides(problem, 50, form="paper", **{name: value}).upper_variance > plain.upper_variance
    assert maml_sides(problem, 50, form="paper", b1=2.0).lower_variance > plain.lower_variance


def test_what_the_bounds_do_not_know_is_refused():
    with pytest.raises(ValueError, match="form must be"):
        maml_upper(golden(), 5, form="exact")
    with pytest.raises(ValueError, match="no constants"):
        maml_upper(golden(), 5, c1=3.0)
    with pytest.raises(ValueError, match="constants of the paper"):
        maml_upper(golden(), 5, form="paper", c2=3.0)
    with pytest.raises(ValueError, match="MixedRegression"):
        maml_upper([1.0], 5)
    with pytest.raises(ValueError, match="steps"):
        maml_lower(golden(), 0)
    with pytest.raises(ValueError, match="horizons"):
        maml_sides(golden(), [0, 1])
