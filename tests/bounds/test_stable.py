"""Are the constants of stability right, do its bounds hold, and do the data turn its assumptions?"""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import ridge
from ntkseq.bounds import rademacher, stability
from ntkseq.bounds import stable as module
from ntkseq.grams.base import DenseGram
from tests.bounds import risk_worlds

pytestmark = pytest.mark.usefixtures("x64")


def problem(seed: int, n: int = 60, d: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, d))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return np.exp(x @ x.T - 1), 0.5 * np.sign(x[:, 0])


def term(bound, name):
    return next(t.value for t in bound.terms if t.name == name)


def status(bound, name):
    return next(a.status for a in bound.assumptions if a.name == name)


def worst_change(rng: np.random.Generator, n: int, reg: float) -> float:
    """What one example changes at a point, both chosen badly; features of length 1, |y| <= 1."""
    p = int(rng.integers(1, 4))
    phi = rng.standard_normal((n, p))
    phi /= np.linalg.norm(phi, axis=1, keepdims=True)
    phi[:-1] *= 10.0 ** rng.uniform(-3, 0)
    A = phi[:-1].T @ phi[:-1] + reg * np.eye(p)
    u = np.linalg.solve(A, phi[-1])
    y = np.sign(-phi[:-1] @ u)  # the others against the last
    others = np.linalg.solve(A, phi[:-1].T @ y)
    all_ = np.linalg.solve(A + np.outer(phi[-1], phi[-1]), phi[:-1].T @ y + phi[-1])
    return float(np.linalg.norm(all_ - others))  # at the point of that direction


def test_leaving_one_example_out_never_changes_more_than_beta_says():
    rng, shares = np.random.default_rng(0), []
    for _ in range(400):
        n, reg = int(rng.choice([1, 2, 5, 40])), 10.0 ** rng.uniform(-2, 3)
        shares.append(worst_change(rng, n, reg) / module._change(n, 1.0, reg, 1.0))
    assert max(shares) <= 1.0
    assert max(shares) > 0.999, "of a single example beta is what it changes: no smaller constant is right"


def test_with_many_examples_beta_is_within_a_factor_of_what_is_reached():
    rng = np.random.default_rng(1)
    reached = max(worst_change(rng, 100, reg) for reg in np.geomspace(0.3, 30, 200))
    shares = [worst_change(rng, 100, reg) / module._change(100, 1.0, reg, 1.0) for reg in np.geomspace(0.3, 300, 300)]
    assert reached > 0.5 and max(shares) > 0.25


def test_the_terms_are_those_of_the_page():
    K, y = problem(0)
    bound = stability(K, y, reg=120.0, kappa=1.0, M=0.5, form="bounded differences", delta=0.1, tried=3)
    t, beta = 1 / 120, 0.5 * (1 / 121) * (1 + math.sqrt(59 / 120) / 2)
    assert bound.constants.t == pytest.approx(t) and bound.constants.beta == pytest.approx(beta, rel=1e-12)
    assert term(bound, "stability") == pytest.approx(2 * beta)
    assert term(bound, "spread") == pytest.approx((240 * beta + 1) * math.sqrt(math.log(30) / 120))
    second = stability(K, y, reg=120.0, kappa=1.0, M=0.5, form="second moment", delta=0.1, tried=3)
    assert term(second, "spread") == pytest.approx(math.sqrt((1 / 240 + 4 * beta**2) * 29))
    assert stability(K, y, reg=120.0, kappa=1.0, delta=0.1, tried=3).value <= min(second.value, bound.value) + 0.1
    strong = stability(K, y, reg=0.25, kappa=1.0, M=0.5)
    assert strong.constants.beta == pytest.approx(0.5 * 1.0 * (1 + math.sqrt(59)), rel=1e-12)  # t = 4, c = sqrt(t)/2


def test_the_smaller_spread_is_taken_by_what_is_known_beforehand():
    K, y = problem(0)
    assert stability(K, y, reg=60.0, kappa=1.0, M=0.5).constants.form == "second moment"
    assert stability(K, y, reg=60.0, kappa=1.0, M=0.5, delta=1e-6).constants.form == "bounded differences"


def test_the_measured_losses_are_those_of_the_fit_and_of_n_fits():
    K, y = problem(1, 20)
    fit = ridge(K, y, reg=2.0)
    bound = stability(K, y, reg=2.0, kappa=1.0, M=0.5)
    assert term(bound, "training loss") == pytest.approx(np.abs(fit.residuals).mean(), rel=1e-9)
    errors = []
    for i in range(20):
        rest = np.delete(np.arange(20), i)
        errors.append(abs(ridge(K[np.ix_(rest, rest)], y[rest], reg=2.0)(K[i, rest][None])[0] - y[i]))
    left_out = stability(K, y, reg=2.0, kappa=1.0, M=0.5, of="leave-one-out")
    assert term(left_out, "leave-one-out loss") == pytest.approx(np.mean(errors), rel=1e-9)
    assert term(left_out, "stability") == pytest.approx(0.5 * term(bound, "stability"))


@pytest.mark.parametrize("of", ["training", "leave-one-out"])
def test_rounding_raises_the_losses_by_what_it_may_hide(of):
    K, y = problem(2, 15)
    rounding, rng, found = 0.02, np.random.default_rng(0), []
    name = "training loss" if of == "training" else "leave-one-out loss"
    for _ in range(40):
        E = rng.standard_normal(K.shape)
        E = E + E.T
        other = K + rounding * E / np.linalg.norm(E, 2)
        found.append(term(stability(other, y, reg=1.0, kappa=1.1, M=0.5, of=of), name))
    held = stability(DenseGram(jnp.asarray(K), rounding=rounding), y, reg=1.0, kappa=1.1, M=0.5, of=of)
    plain = stability(K, y, reg=1.0, kappa=1.1, M=0.5, of=of)
    assert term(plain, name) < max(found) <= term(held, name) < 1.5 * max(found)
    assert term(plain, "arithmetic") < 1e-12 < term(held, "arithmetic") < 0.1


def gaps(n: int, reg: float, trials: int, of: str) -> np.ndarray:
    """Risk minus measured loss of many samples of a coin: one direction, labels -1/2 or 1/2; in closed form."""
    heads = np.random.default_rng(0).binomial(n, 0.5, trials)
    total = heads - 0.5 * n
    f = total / (n + reg)
    risk = 0.5 * np.abs(f - 0.5) + 0.5 * np.abs(f + 0.5)
    up, down = (total, total) if of == "training" else (total - 0.5, total + 0.5)
    size = n + reg - (of != "training")
    return risk - (heads * np.abs(up / size - 0.5) + (n - heads) * np.abs(down / size + 0.5)) / n


def test_the_mean_gap_is_at_most_what_the_expected_form_says():
    n, reg = 30, 10.0
    K, y = np.ones((n, n)), np.where(np.arange(n) % 2 == 0, 0.5, -0.5)
    for of in ("training", "leave-one-out"):
        bound = stability(K, y, reg=reg, kappa=1.0, M=0.5, of=of, form="expected")
        found = gaps(n, reg, 200_000, of)
        assert bound.certified and bound.delta is None and "mean over samples" in bound.verdict
        assert found.mean() <= bound.value
    assert 0.1 * bound.value < gaps(n, reg, 200_000, "training").mean()


def test_the_second_moment_is_that_of_a_law_that_reaches_it():
    """Losses 0 or 1 by a fair coin, whatever f says: their mean has the variance 1/(4n), and none smaller is right."""
    n, delta = 50, 0.2
    mean = np.random.default_rng(0).binomial(n, 0.5, 100_000) / n
    spread = module._second_moment(n, 0.0, -math.log(delta))
    assert np.var(mean) * (1 / delta - 1) == pytest.approx(spread**2, rel=0.02)


@pytest.mark.slow
def test_no_certified_bound_is_below_the_exact_risk_in_many_worlds():
    played = [risk_worlds.fitted(np.random.default_rng([12, case]), "stability") for case in range(400)]
    assert [case for case in played if case.violated] == []
    assert np.mean([case.bound.certified for case in played]) > 0.9
    assert np.mean([case.bound.vacuous for case in played]) < 0.9


def test_no_certified_bound_is_below_the_exact_risk():
    assert not any(risk_worlds.fitted(np.random.default_rng([13, case]), "stability").violated for case in range(15))


def test_it_says_something_where_the_ridge_is_a_tenth_of_the_examples():
    bound = stability(np.ones((900, 900)), 0.3 * np.ones(900), reg=90.0, kappa=1.0, M=0.3)
    assert bound.certified and bound.value < 0.15
    assert stability(np.ones((900, 900)), 0.3 * np.ones(900), reg=1.0, kappa=1.0, M=0.3).vacuous


def test_the_margin_bounds_the_classification_error():
    K, y = problem(3)
    bound = stability(K, np.sign(y), reg=60.0, kappa=1.0, loss="margin", gamma=0.2)
    assert (
        bound.quantity == "P(sign f(x) != y)"
        and bound.constants.beta > 4 * stability(K, np.sign(y), reg=60.0, kappa=1.0).constants.beta
    )


def test_labels_and_kappa_that_the_data_contradict_fail():
    K, y = problem(4)
    assert status(stability(K, y, reg=1.0, kappa=1.0, M=0.5), "labels") == "declared"
    wrong = stability(K, y, reg=1.0, kappa=1.0, M=0.4)
    assert status(wrong, "labels") == "fails" and not wrong.certified
    wrong = stability(K, y, reg=1.0, kappa=0.9)
    assert status(wrong, "kappa") == "fails" and "<=" not in wrong.verdict
    with pytest.warns(UserWarning, match="unknown rounding"):
        bare = stability(jnp.asarray(K, jnp.float32), y, reg=1.0, kappa=1.1)
    assert status(bare, "rounding") == "unchecked" and not bare.certified
    bad = stability([[1.0, 2.0], [2.0, 1.0]], [0.5, 0.5], reg=0.5, kappa=1.0)
    assert math.isnan(bad.value) and bad.reason and status(bad, "kernel") == "fails"


def test_the_published_form_stands_beside_and_is_not_counted():
    beside = stability(*problem(5), reg=60.0, kappa=1.0).terms[-1]
    assert beside.provenance == "recalled" and not beside.counted and not beside.explicit


@pytest.mark.parametrize(
    ("options", "words"),
    [({"reg": 0.0}, "reg"), ({"kappa": 0.0}, "kappa"), ({"M": -1.0}, "M"), ({"of": "test"}, "of"),
     ({"form": "chebyshev"}, "form"), ({"loss": "hinge"}, "loss"), ({"delta": 1.0}, "delta"),
     ({"gamma": 0.0}, "gamma"), ({"tried": 0}, "tried")],
)  # fmt: skip
def test_options_outside_their_range_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        stability(*problem(6), **({"reg": 1.0, "kappa": 1.0} | options))


def test_it_is_unlike_rademacher_a_statement_on_one_ridge():
    K, y = problem(7)
    assert "reg" in next(a.statement for a in stability(K, y, reg=1.0, kappa=1.0).assumptions
                         if a.name == "fixed beforehand")  # fmt: skip
    assert "reg" not in next(a.statement for a in rademacher(K, y, reg=1.0).assumptions if a.name == "fixed beforehand")
