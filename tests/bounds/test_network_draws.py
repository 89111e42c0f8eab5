"""Does the mean over all draws lie below what some draws say, and are errors counted as they are?"""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq.bounds.binary_kl import kl_inverse
from ntkseq.bounds.network_draws import STAKES, mean_above, shares, wrong
from ntkseq.bounds.network_posterior import flattened
from tests.bounds.test_network_posterior import X, f, params, posterior

LAWS: dict[str, tuple[Callable[..., np.ndarray], float]] = {
    "rare errors": (lambda rng, m: (rng.random(m) < 0.02).astype(float), 0.02),
    "a coin": (lambda rng, m: (rng.random(m) < 0.5).astype(float), 0.5),
    "hardly varying": (lambda rng, m: 0.1 + 0.01 * rng.uniform(-1, 1, m), 0.1),
    "skew": (lambda rng, m: rng.beta(0.05, 0.45, m), 0.1),
}


@pytest.mark.slow(but=["5-hardly varying"])
@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("m", [5, 100])
def test_the_mean_of_the_law_is_exceeded_no_more_often_than_said(law: str, m: int):
    draw, mean = LAWS[law]
    rng, delta, trials = np.random.default_rng(0), 0.2, 150
    failed = np.mean([mean_above(draw(rng, m), -math.log(delta)) < mean for _ in range(trials)])
    assert failed <= delta + 3 * math.sqrt(delta / trials)


def test_it_is_the_root_of_the_mixture():
    losses, price = np.random.default_rng(0).uniform(0, 0.4, 50), math.log(30)
    q = mean_above(losses, price)
    mixture = lambda q: np.mean([np.prod([1 + stake * (q - x) for x in losses]) for stake in STAKES])  # noqa: E731
    assert mixture(q) >= 30 * (1 - 1e-12) and mixture(q - 1e-9) < 30


def test_losses_that_hardly_vary_cost_less_than_by_the_relative_entropy():
    losses = np.random.default_rng(0).normal(0.1, 0.01, 1000)
    mean = losses.mean()
    assert mean < mean_above(losses, math.log(200)) < mean + 0.01 < kl_inverse(mean, math.log(200) / 1000) - 0.01


@pytest.mark.parametrize("losses", [np.zeros(3), np.ones(3), np.array([0.5])])
def test_at_the_ends_it_stays_within_them(losses: np.ndarray):
    assert losses.mean() <= mean_above(losses, math.log(20)) <= 1.0


def test_wrong_is_a_sign_or_another_class_or_no_number():
    out = np.array([[1.0], [-1.0], [0.0], [np.nan]], np.float32)
    assert wrong(jnp.asarray(out), jnp.array([1, 1, 1, -1])).tolist() == [False, True, True, True]
    several = np.array([[1, 2, 0], [1, 2, 0], [2, 2, 0], [np.nan, 5, 0], [np.inf, 1, 0]], np.float32)
    assert wrong(jnp.asarray(several), jnp.array([1, 0, 0, 1, 0])).tolist() == [False, True, True, True, False]


@pytest.mark.slow
def test_what_is_counted_is_the_error_of_the_networks_that_draw_gives():
    made, y = posterior(params(), 1.0, 5.0), np.array([1, -1, 1, 1, -1, 1], np.int32)
    keys = jax.random.split(jax.random.key(5), 19)  # not a multiple of the batch
    law = (flattened(made.function.weights), made.roots, made.rows, made.shrink_of)
    x, before = (jnp.asarray(X, jnp.float32),), jnp.full((6, 1), 0.1, jnp.float32)
    losses, odd = shares(made.function, law, keys, x, jnp.asarray(y), before)
    loop = [
        np.mean([y[i] * (float(f(made.draw(key), jnp.asarray(X[i], jnp.float32))[0]) - 0.1) <= 0 for i in range(6)])
        for key in keys
    ]
    assert losses.tolist() == loop and odd == 0 and losses.std() > 0
