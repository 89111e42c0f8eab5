"""Are the recalled rates those of their page, and the ranks behind them inside their intervals?"""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import effective_rank, spectra
from ntkseq.bounds import benign_overfitting, caponnetto_devito2007
from ntkseq.bounds import rates as module
from ntkseq.grams.base import DenseGram

pytestmark = pytest.mark.usefixtures("x64")
OPTIONS = {"noise": 0.1, "norm": 0.5}


def spiked() -> np.ndarray:
    return np.diag([300.0, 200.0, 40.0] + [0.5] * 597)


def test_the_rate_is_made_of_the_ranks_of_the_spectrum():
    K, n = spiked(), 50
    bound = benign_overfitting(K, n=n, center=False, delta=0.1, constant=2.0, **OPTIONS)
    values = np.diagonal(K)
    ranks = [effective_rank(values, spectra.ranks.Tail(k)) for k in range(6)]
    k = next(k for k, r in enumerate(ranks) if r >= n)
    R = effective_rank(values, spectra.ranks.Tail(k, spectra.ranks.Participation()))
    c = bound.constants
    assert (c.k, c.k_lower, c.k_upper) == (k, 3, 3) and c.R_k == pytest.approx(R)
    assert c.r_0 == pytest.approx(ranks[0])
    log = math.log(10)
    assert bound.terms[0].value == pytest.approx(2 * 0.25 * 0.5 * max(math.sqrt(ranks[0] / n), math.sqrt(log / n)))
    assert bound.terms[1].value == pytest.approx(2 * log * 0.01 * (3 / n + n / R))
    assert not bound.certified and bound.provenance == "recalled"


def test_the_interval_of_k_holds_that_of_every_spectrum_within_the_errors():
    rng = np.random.default_rng(0)
    values = np.concatenate([10.0 / np.arange(1, 21), np.full(200, 0.3)])
    errors = np.full(220, 0.03)
    k, low, high = module._leading(values, errors, 80.0)
    assert k is not None and low is not None and high is not None and low < k < high
    for _ in range(300):
        moved = np.sort(values + errors * rng.uniform(-1, 1, 220) * rng.choice([0.1, 1.0]))[::-1]
        found = module._leading(moved, np.zeros(220), 80.0)[0]
        assert found is None or low <= found <= high


def test_the_mean_of_the_features_is_taken_away():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 200)) + 10.0
    centred = x - x.mean(axis=0)
    first = benign_overfitting(x @ x.T, n=20, **OPTIONS).constants
    second = benign_overfitting(centred @ centred.T, n=20, center=False, **OPTIONS).constants
    assert first.k == second.k == 0 and first.R_k == pytest.approx(second.R_k, rel=1e-9)
    assert benign_overfitting(x @ x.T, n=20, center=False, **OPTIONS).constants.k == 1


def test_where_no_tail_is_long_enough_it_says_so():
    bound = benign_overfitting(np.eye(20), **OPTIONS)
    assert math.isnan(bound.value) and "more examples" in bound.reason and bound.constants.k is None


def test_the_effective_dimension_has_its_interval_and_the_condition_a_status():
    K = spiked() / 300
    bound = caponnetto_devito2007(K, reg=600.0, kappa=1.0, norm=0.5, noise=0.1, M=0.3, decay=2.0)
    c, values = bound.constants, np.diagonal(K)
    N, l = np.sum(values / (values + 600)), 1.0  # noqa: E741
    C = 32 * math.log(120) ** 2
    assert c.dimension_lower <= c.dimension <= c.dimension_upper and c.dimension == pytest.approx(N)
    assert c.factor == pytest.approx(C)
    parts = [l * 0.25 / 4 * (1 + 1 / 600), 0.25 / (600**2 * l), 0.09 / (600**2 * l), 0.01 * N / 600]
    assert bound.value == pytest.approx(C * sum(parts), rel=1e-9)
    status = {a.name: a.status for a in bound.assumptions}
    assert status["enough examples"] == "holds" and not bound.certified
    assert bound.terms[-1].value == pytest.approx(600 ** (-2 / 3)) and not bound.terms[-1].counted
    weak = caponnetto_devito2007(K, reg=0.1, kappa=0.9, norm=0.5, noise=0.1, M=0.3)
    status = {a.name: a.status for a in weak.assumptions}
    assert status["enough examples"] == status["kappa"] == "fails"
    held = caponnetto_devito2007(DenseGram(jnp.asarray(K), rounding=0.01), reg=1.0, kappa=1.1, **OPTIONS, M=0.3)
    assert held.constants.dimension_lower < 0.99 * held.constants.dimension < held.constants.dimension_upper


@pytest.mark.parametrize(
    ("call", "options", "words"),
    [
        (benign_overfitting, {"n": 7}, "n must"),
        (benign_overfitting, {"noise": -1.0}, "noise"),
        (benign_overfitting, {"b": 0.0}, "b must"),
        (caponnetto_devito2007, {"reg": 0.0}, "reg"),
        (caponnetto_devito2007, {"decay": 1.0}, "decay"),
        (caponnetto_devito2007, {"M": -1.0}, "M must"),
    ],
)
def test_options_outside_their_range_are_refused(call, options, words):
    more = {} if call is benign_overfitting else {"reg": 1.0, "kappa": 1.0, "M": 1.0}
    with pytest.raises(ValueError, match=words):
        call(np.eye(6), **(OPTIONS | more | options))
