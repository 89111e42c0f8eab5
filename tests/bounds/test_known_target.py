"""Do the bounds for a known target hold in simulation, without being empty, and agree with each other?"""

from __future__ import annotations

import math

import jax
import numpy as np
import pytest

from ntkseq import concepts, kernels
from ntkseq.bounds.kernel import rademacher
from ntkseq.bounds.known_target import sample_size, target_risk
from ntkseq.concepts import series
from ntkseq.norms.rkhs import rkhs_norm
from ntkseq.norms.tokens import Tokens

PAPER = kernels.Recurrent.preset("allen-zhu-li")
LINEAR = series.polynomial([0.0, 1.0])


def sphere(rng, *shape):
    x = rng.normal(size=shape)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def number(bound):
    """The value, which is not None here."""
    assert bound.value is not None
    return bound.value


def experiment(seed, t, n, d=5, test=200):
    """A linear additive target: the risk bounds, and the measured test error of the interpolant."""
    rng = np.random.default_rng(seed)
    x = sphere(rng, n + test, t, d)
    target = concepts.Additive([(p, sphere(rng, d) / t, LINEAR) for p in range(t)])
    y = np.asarray(jax.vmap(target)(x))
    K = np.asarray(PAPER(x))
    predicted = K[n:, :n] @ np.linalg.solve(K[:n, :n], y[:n])
    error = float(np.mean(np.minimum(1, np.abs(predicted - y[n:]))))
    ours = target_risk(target, PAPER, Tokens.measured(x[:n], rounded=True), n=n, B0=0.25)
    return error, ours, rademacher(K[:n, :n], y[:n], B0=0.25)


@pytest.mark.slow
@pytest.mark.parametrize("t", [2, 4])
def test_the_bounds_lie_above_the_test_error(x64, t):
    for seed in range(4):
        error, ours, data = experiment(seed, t, 80)
        assert ours.certified and data.certified
        assert error <= min(number(ours), number(data))


@pytest.mark.slow
@pytest.mark.parametrize("t", [2, 3, 4, 6])
def test_the_bounds_are_not_vacuous_with_a_thousand_examples(x64, t):
    error, ours, data = experiment(0, t, 1000, test=1000)
    assert ours.certified and data.certified
    assert error <= number(ours) < 0.5
    assert error <= number(data) < 0.5
    assert error < 0.05


def test_terms_are_the_formula():
    target = concepts.Additive([(2, [0.6, 0.8], LINEAR)])
    law = Tokens.declared([1.0] * 3, features=2)
    bound = target_risk(target, PAPER, law, n=50, delta=0.1, B0=0.5, tried=3)
    norm = math.sqrt(rkhs_norm(target, PAPER, law).value or 0.0)
    i, kappa = math.ceil(norm / 0.5), math.sqrt(3 * 2 / 4)  # kappa^2 = T (T-1)/4
    assert bound.terms[0].value == pytest.approx(2 * i * 0.5 * kappa / math.sqrt(50), rel=1e-10)
    assert bound.terms[1].value == pytest.approx(math.sqrt(math.log(i * (i + 1) * 3 / 0.1) / 100), rel=1e-12)


def test_the_sample_size_is_where_the_bound_reaches_eps():
    target = concepts.Additive([(1, [0.6, 0.8], "sin")])
    law = Tokens.declared([1.0] * 3, features=2)
    found = sample_size(target, PAPER, law, eps=0.2)
    n = int(found.value or 0)
    assert found.certified and "least n" in found.verdict
    assert number(target_risk(target, PAPER, law, n=n)) <= 0.2 < number(target_risk(target, PAPER, law, n=n - 1))


def test_without_a_norm_there_is_no_number():
    target = concepts.Additive([(1, [1.0, 0.0], "geometric")])
    law = Tokens.declared([1.0] * 3, features=2)
    for bound in (target_risk(target, PAPER, law, n=10), sample_size(target, PAPER, law, eps=0.1)):
        assert bound.value == math.inf and not bound.certified and "not proven" in bound.verdict


def test_options_that_do_not_fit_are_refused():
    target, law = concepts.Additive([(1, [1.0], LINEAR)]), Tokens.declared([1.0] * 3)
    for options, match in (
        ({}, "n must be given"),
        ({"n": 0}, "n must be an integer"),
        ({"n": 9, "delta": 2.0}, "delta must lie"),
        ({"n": 9, "B0": 0.0}, "B0 must be"),
    ):
        with pytest.raises(ValueError, match=match):
            target_risk(target, PAPER, law, **options)
    with pytest.raises(ValueError, match="eps must lie"):
        sample_size(target, PAPER, law, eps=1.5)
