"""Is the residual of gradient descent that of running it?"""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq.bounds import du2019
from ntkseq.grams.base import DenseGram


def problem(seed=0, n=12):
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(n, n + 3))
    return A @ A.T / n, rng.normal(size=n)


def descend(K, y, eta, steps):
    f = np.zeros_like(y)
    for _ in range(steps):
        f = f - eta * K @ (f - y)
    return np.linalg.norm(f - y)


@pytest.mark.parametrize("share", [0.5, 1.0, 1.9])
@pytest.mark.parametrize("steps", [1, 7, 200])
def test_the_residual_is_that_of_running_gradient_descent(share, steps):
    K, y = problem()
    eta = share / np.linalg.eigvalsh(K)[-1]
    bound = du2019(K, y, eta=eta, steps=steps)
    assert bound.certified
    assert bound.value == pytest.approx(descend(K, y, eta, steps), rel=1e-7)  # k eta n eps tr K
    assert bound.delta is None and "probability" not in bound.verdict


def test_the_default_leaves_at_most_a_hundredth_of_the_labels():
    K, y = problem()
    bound = du2019(K, y)
    constants = bound.constants
    assert bound.value <= 0.01 * np.linalg.norm(y)
    assert descend(K, y, constants.eta, constants.steps) <= bound.value * (1 + 1e-9)


def test_the_bound_holds_for_every_matrix_within_the_rounding(x64):
    K, y = problem()
    rounding, rng, steps = 0.01, np.random.default_rng(1), 30
    eta = 1.0 / np.linalg.eigvalsh(K)[-1]
    bound = du2019(DenseGram(jnp.asarray(K), rounding=rounding), y, eta=eta, steps=steps)
    residuals = []
    for _ in range(50):
        E = rng.normal(size=K.shape)
        E = E + E.T
        residuals.append(descend(K + rounding * E / np.linalg.norm(E, 2), y, eta, steps))
    assert du2019(K, y, eta=eta, steps=steps).value < max(residuals) <= bound.value
    assert bound.value < 2 * max(residuals)


def test_the_recalled_rate_stands_beside_and_is_the_weaker_one():
    K, y = problem()
    bound = du2019(K, y, steps=50)
    rate = next(term for term in bound.terms if term.name == "Du et al. 2019")
    least = np.linalg.eigvalsh(K)[0]
    expected = (1 - 0.5 * bound.constants.eta * least) ** 25 * np.linalg.norm(y)
    assert rate.value == pytest.approx(expected, rel=1e-9)
    assert rate.provenance == "recalled" and not rate.counted
    assert rate.value >= bound.value
    assert any(term.value is None for term in bound.terms), "the width is a rate only"


def test_a_step_size_that_diverges_is_not_certified():
    K, y = problem()
    eta = 3.0 / np.linalg.eigvalsh(K)[-1]
    bound = du2019(K, y, eta=eta, steps=5)
    assert not bound.certified
    assert bound.value == pytest.approx(descend(K, y, eta, 5), rel=1e-9)
    far = du2019(K, y, eta=eta, steps=10**5)
    assert far.value == math.inf and "diverges" in far.reason


def test_conflicting_labels_need_a_number_of_steps():
    K, y = np.ones((2, 2)), [1.0, -1.0]
    bound = du2019(K, y)
    assert math.isnan(bound.value) and "pass steps" in bound.reason
    bound = du2019(K, y, steps=1000)
    assert bound.value == pytest.approx(math.sqrt(2)), "nothing of the conflict is ever fitted"
    assert bound.vacuous


def test_the_residual_does_not_depend_on_the_units_of_the_kernel():
    K, y = problem()
    assert du2019(1e3 * K, y).value == pytest.approx(du2019(K, y).value, rel=1e-9)


def test_wrong_input_is_refused_at_the_door():
    K, y = problem()
    with pytest.raises(ValueError, match="eta"):
        du2019(K, y, eta=0.0)
    with pytest.raises(ValueError, match="steps"):
        du2019(K, y, steps=0)
