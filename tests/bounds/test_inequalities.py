"""Does each PAC-Bayes inequality keep its promise where everything is known: a finite set of coins?"""

from __future__ import annotations

import math

import numpy as np
import pytest

from ntkseq.bounds.inequalities import SEVERAL, Bernstein, Catoni, Inequality, Kl, as_inequalities

ALL = pytest.mark.parametrize("inequality", SEVERAL, ids=lambda one: one.name)


def coins(seed: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Expected losses of 30 hypotheses, and their losses on n examples, which they share."""
    rng = np.random.default_rng(seed)
    p = rng.beta(0.5, 2.0, 30)
    return p, (rng.random((n, 1)) < p).astype(float)


@ALL
def test_it_holds_for_the_worst_posterior_as_often_as_promised(inequality: Inequality):
    n, delta, failed = 30, 0.2, 0
    for seed in range(80):
        p, losses = coins(seed, n)
        seen = losses.mean(axis=0)
        # all Gibbs posteriors towards what was underestimated, and all single hypotheses
        tilted = [np.exp(s * (p - seen)) for s in (0.0, 3.0, 30.0, 300.0)] + list(np.eye(30)[::3])
        for rho in tilted:
            rho = rho / rho.sum()
            kl = float(np.sum(rho[rho > 0] * np.log(30 * rho[rho > 0])))
            if inequality.upper(float(rho @ seen), float(rho @ seen), kl, math.log(1 / delta), n) < rho @ p:
                failed += 1
                break
    assert failed / 80 <= delta


@ALL
def test_slopes_are_those_of_the_bound(inequality: Inequality):
    q, kl, price, n, h = 0.13, 4.0, 3.0, 120, 1e-5
    value, of_loss, of_kl = inequality.slopes(q, kl, price, n)
    assert value == pytest.approx(inequality.upper(q, q, kl, price, n), rel=1e-9)
    upper = [inequality.upper(q + s * h, q + s * h, kl, price, n) for s in (1, -1)]
    assert of_loss == pytest.approx((upper[0] - upper[1]) / (2 * h), rel=1e-4)
    upper = [inequality.upper(q, q, kl + 10 * s * h, price, n) for s in (1, -1)]
    assert of_kl == pytest.approx((upper[0] - upper[1]) / (20 * h), rel=1e-4)


def test_catoni_at_the_strength_to_come_is_sharper_by_maurers_constant():
    q, kl, price, n = 0.05, 10.0, 3.0, 500
    p = Kl().upper(q, q, kl, price, n)
    strength = math.log(p * (1 - q) / (q * (1 - p)))
    assert Catoni(strength).upper(q, q, kl, price, n) < p


def test_bernstein_is_sharper_where_losses_are_small_and_not_rare():
    q, second, n = 0.2, 0.045, 500
    best = min(Bernstein(s).upper(q, second, 5.0, 3.0, n) for s in (0.2, 0.3, 0.4, 0.5))
    assert best < Kl().upper(q, second, 5.0, 3.0, n)


def test_a_small_strength_is_no_cancellation():
    for s in (1e-2, 1e-4, 1e-8, 1e-12):
        exact = s / 2 + s**2 / 3 + s**3 / 4
        assert exact <= Bernstein(s)._share <= exact * (1 + 1e-3)


@pytest.mark.parametrize("made", [lambda: Catoni(0.0), lambda: Catoni(math.inf), lambda: Bernstein(1.0)])
def test_a_strength_outside_its_range_is_refused(made):
    with pytest.raises(ValueError, match="strength"):
        made()


def test_short_names():
    assert as_inequalities("kl") == (Kl(),) and as_inequalities(Catoni(3.0)) == (Catoni(3.0),)
    assert len(as_inequalities("best")) > 3
    with pytest.raises(ValueError, match="inequality"):
        as_inequalities("hoeffding")
