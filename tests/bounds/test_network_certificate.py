"""Does the certificate of a network hold, say what it assumes, and refuse what it cannot speak of?"""

from __future__ import annotations

import math
import pathlib
import runpy
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import bounds
from ntkseq.bounds.binary_kl import kl_inverse, log_xi
from tests.bounds import worlds

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
X = RNG.standard_normal((120, 3)).astype(np.float32)
Y = np.sign(X[:, 0] + 0.3 * X[:, 1])
W0, W = jnp.zeros((1, 3)), jnp.array([[2.0, 0.6, 0.0]])
FEW = dict(c=1.0, s=0.5, draws=40, trial=2)


def linear(params: Any, x: Any) -> Any:
    return params @ x


def certified(**changed: Any) -> bounds.NetworkBound:
    return bounds.network(**dict(f=linear, w0=W0, w=W, x=X, y=Y, key=KEY) | FEW | changed)


def status(bound: bounds.Bound, name: str) -> str:
    return next(one.status for one in bound.assumptions if one.name == name)


@pytest.mark.slow
def test_the_value_is_that_of_its_parts():
    said = certified()
    at = said.constants
    price = at.kl + log_xi(120) + math.log(1 / (0.9 * 0.05))
    assert said.value == pytest.approx(kl_inverse(at.empirical_upper, price / 120), rel=1e-12)
    assert said.certified and at.empirical <= at.empirical_upper < said.value < 0.5
    assert at.movement == pytest.approx(0.5 * 4.36, rel=1e-6) and at.empirical == said.losses.mean()
    assert at.mean_network == 0.0 and (at.n, at.seen, at.p, at.rows) == (120, 0, 3, 3)


@pytest.mark.slow
def test_whom_the_prior_has_looked_at_does_not_pay():
    said = certified(seen=np.arange(50), w0=W, c=0.1)
    assert (said.constants.n, said.constants.seen, said.constants.movement) == (70, 50, 0.0)
    assert said.certified and "looked at 50 others" in str(said)


def test_a_prior_of_which_nobody_knows_what_it_has_seen_certifies_nothing():
    said = certified(seen=None)
    assert status(said, "prior") == "unchecked" and not said.certified
    assert said.value == certified().value and status(certified(), "prior") == "declared"


@pytest.mark.slow
def test_copies_are_counted_beside_the_assumption_of_independence():
    said = certified(x=np.concatenate([X, X[:7]]), y=np.concatenate([Y, Y[:7]]))
    assert "7 of the examples repeat another" in str(said) and "repeat" not in str(certified())
    of_the_seen = certified(x=np.concatenate([X, X[:7]]), y=np.concatenate([Y, Y[:7]]), seen=np.arange(120))
    assert of_the_seen.constants.n == 7


def test_every_prior_on_the_grid_is_paid_for_and_no_posterior():
    one = certified()
    more = certified(c=(1.0, 0.5), scales=(None, jnp.asarray(2.0)))
    assert (one.constants.priors, more.constants.priors) == (1, 4)
    same = certified(c=(1.0, 1.0), w=[W, W, W], s=(0.5, 0.5))
    assert same.constants.kl == one.constants.kl and same.constants.priors == 2
    spent = kl_inverse(same.constants.empirical_upper, (one.constants.kl + log_xi(120) + math.log(2 / 0.045)) / 120)
    assert same.value == pytest.approx(spent, rel=1e-12) and same.value > one.value


def test_among_steps_of_training_the_one_with_the_least_bound_is_taken():
    said = certified(w=[W0, 20 * W, W])
    assert said.constants.step == 2 and np.array_equal(said.posterior.mean, W)
    assert np.array_equal(certified(w=(W0, W)).posterior.mean, W)


@pytest.mark.slow
def test_the_network_less_its_start_is_spoken_of_where_that_is_asked_for():
    offset = lambda params, x: params["W"] @ x + params["b"]  # noqa: E731
    w0, w = {"W": W0, "b": jnp.full(1, 50.0)}, {"W": W, "b": jnp.full(1, 50.0)}
    plain, less = certified(f=offset, w0=w0, w=w), certified(f=offset, w0=w0, w=w, centred=True)
    assert plain.constants.mean_network > 0.3 and less.constants.mean_network == 0.0
    assert "f as it is" in plain.applies_to and "f(w0, x)" in less.applies_to


@pytest.mark.slow
def test_several_classes_by_the_largest_output():
    y = np.argmax(X, axis=1)
    said = certified(w0=jnp.zeros((3, 3)), w=3 * jnp.eye(3), y=y, s=0.1)
    assert said.certified and said.value < 2 / 3 and said.constants.mean_network == 0.0
    assert said.draw(KEY).shape == (3, 3)


@pytest.mark.slow
def test_few_rows_of_the_jacobian_make_a_posterior_too():
    said = certified(rows=2)
    assert said.constants.rows == 2 and said.certified
    deep = lambda params, x: jnp.tanh(params @ x)[:1]  # noqa: E731
    assert certified(f=deep, w0=jnp.ones((2, 3)), w=jnp.ones((2, 3)), rows=10).constants.rows <= 6


@pytest.mark.slow
def test_answers_of_a_draw_that_are_no_numbers_are_wrong_and_counted():
    said = certified(f=lambda params, x: jnp.log1p(params @ x / 100 + 0.02) - 0.02, c=1e4, s=1e7)
    assert any("no numbers" in term.note for term in said.terms)


def test_too_few_examples_have_a_reason_and_no_value():
    said = certified(x=X[:4], y=Y[:4])
    assert math.isnan(said.value) and "4 examples that pay" in said.reason and said.vacuous
    with pytest.raises(ValueError, match="4 examples"):
        said.draw(KEY)
    none = certified(seen=np.arange(120))
    assert math.isnan(none.value) and none.reason.startswith("0 examples")
    far = certified(w=1e6 * W)
    assert math.isnan(far.value) and "moved too far" in far.reason


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "another structure": (dict(w={"W": W}), r"w must be params of f, w0 and w of one structure"),
    "another shape": (dict(w=jnp.zeros((1, 4))), r"w must be params .*shape \(1, 3\)"),
    "no steps": (dict(w=[]), "w must be params like w0, or a list"),
    "half precision": (dict(w0=W0.astype(jnp.float16), w=W.astype(jnp.float16)), "float32 or float64; got float16"),
    "labels 0 and 1": (dict(y=(Y > 0).astype(int)), r"y must hold -1 or \+1"),
    "a class too many": (
        dict(w0=jnp.zeros((3, 3)), w=jnp.eye(3), y=np.argmax(X, 1) + 1),
        r"y must hold classes 0\.\.2",
    ),
    "labels of other n": (dict(y=Y[:5]), "y"),
    "delta": (dict(delta=1.0), "delta must lie strictly between 0 and 1"),
    "share": (dict(share=0.0), "share must lie strictly between 0 and 1"),
    "c": (dict(c=(1.0, 0.0)), "c must be one number > 0"),
    "s": (dict(s=-1.0), "s must be one number > 0"),
    "scales": (dict(scales=(jnp.asarray(-1.0),)), "scales must be one finite number > 0 per leaf"),
    "scales of another tree": (dict(scales=({"W": 1.0},)), "scales must have the structure of w0"),
    "seen beyond n": (dict(seen=[120]), r"seen must be different indices in 0\.\.119"),
    "NaN answers": (dict(f=lambda p, x: jnp.log(p @ x - 1)), r"f at w0 must answer with finite numbers.*x\[0\]"),
    "whole numbers that differ": (
        dict(f=lambda p, x: p["W"] @ x, w0={"W": W0, "k": jnp.asarray(1)}, w={"W": W, "k": jnp.asarray(2)}),
        "w must agree with w0",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_at_the_door(case: str):
    changed, said = REFUSED[case]
    with pytest.raises(ValueError, match=said):
        certified(**changed)


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_in_worlds_of_known_law_no_certificate_is_violated():
    cases = [worlds.network(np.random.default_rng([seed, 11])) for seed in range(60)]
    cases = [case for case in cases if case.bound.certified]
    assert len(cases) > 50 and not any(case.violated for case in cases)
    assert min(case.bound.value / case.risk for case in cases if case.risk > 0.05) < 2
    assert any(case.bound.constants.empirical_upper < case.risk for case in cases)  # there is something to bound


@pytest.mark.slow
def test_the_example_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(sys, "argv", ["network_certificate.py", "--quick"])
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        runpy.run_path(str(pathlib.Path(__file__).parents[2] / "examples" / "network_certificate.py"))
    assert capsys.readouterr().out.count("E error of the drawn network <=") == 3
