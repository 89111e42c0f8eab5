"""Are the filters those of the recursions they stand for?"""

from __future__ import annotations

import itertools
import math
from decimal import Decimal, localcontext

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate

from ntkseq import kernels, ridge
from ntkseq._filters import Clock

VALUES = np.array([0.0, 1e-12, 1e-5, 0.3, 1.0, 1.7])


@pytest.mark.parametrize("steps", [1, 2, 7])
@pytest.mark.parametrize("lr", [0.2, 1.1])
def test_descent_is_the_loop(steps: int, lr: float):
    learned, total = np.zeros_like(VALUES), np.zeros_like(VALUES)
    for _ in range(steps):
        total += lr * learned
        learned += lr * (1.0 - VALUES * learned)
    clock = Clock(lr * steps, steps, lr)
    np.testing.assert_allclose(clock.phi(VALUES), learned, rtol=1e-12)
    np.testing.assert_allclose(clock.psi(VALUES), total, rtol=1e-4)


@pytest.mark.parametrize("time", [0.1, 3.0])
def test_flow_is_the_solution_of_its_equation(time: float):
    for value in VALUES:
        grown = scipy.integrate.quad(lambda s, w=value: math.exp(-w * s), 0, time)[0]
        assert Clock(time).phi(np.array([value]))[0] == pytest.approx(grown, rel=1e-10)
        before = scipy.integrate.quad(lambda s, w=value: Clock(s).phi(np.array([w]))[0], 0, time)[0]
        assert Clock(time).psi(np.array([value]))[0] == pytest.approx(before, rel=1e-4)


def test_flow_without_end_is_the_inverse():
    assert Clock(math.inf).phi(np.array([2.0, 0.5])).tolist() == [0.5, 2.0]


GRID = np.array([0.0, 5e-324, 1e-300, 1e-17, 3e-16, 1e-9, 1e-3, 0.3, 1.0, 1.7, 1.9999999, 40.0, 1e100])
EPS = np.finfo(np.float64).eps


def exact(w: float, time: float, steps: int | None = None) -> float:
    """(1 - exp(-time w)) / w, or (1 - (1 - lr w)^steps) / w with lr = time / steps, in 700 digits."""
    with localcontext() as context:
        context.prec, x, t = 700, Decimal(w), Decimal(time)
        if w == 0:
            return time
        return float((1 - ((-t * x).exp() if steps is None else (1 - t / steps * x) ** steps)) / x)


@pytest.mark.slow
def test_flow_has_all_digits_in_numpy_and_jax(x64) -> None:
    for time in (1e-3, 1.0, 7.0, 1e4, 1e200):
        want = [exact(w, time) for w in GRID]
        np.testing.assert_allclose(Clock(time).phi(GRID), want, rtol=4 * EPS)
        np.testing.assert_allclose(kernels.Flow(time).value(jnp.asarray(GRID)), want, rtol=4 * EPS)
    assert float(kernels.Flow(np.float32(1e38)).value(jnp.float32([1e3]))[0]) == np.float32(1e-3)  # it was 0


def test_descent_has_all_digits_in_numpy_and_jax(x64) -> None:
    for lr, steps in itertools.product((0.25, 1.0), (1, 2, 3, 1000, 2**20 + 1)):
        w = GRID[lr * GRID < 2]
        want = [exact(float(one), lr * steps, steps) for one in w]
        room = 16 * EPS * (np.abs(want) + np.where(lr * w > 1, lr, 0.0))  # close to 2 an even power leaves little of 1
        assert np.all(np.abs(Clock(lr * steps, steps, lr).phi(w) - want) <= room)
        assert np.all(np.abs(np.asarray(kernels.GD(steps, lr).value(jnp.asarray(w))) - want) <= room)


def test_tikhonov_is_what_ridge_solves(x64) -> None:
    J = np.random.default_rng(0).standard_normal((5, 7))
    K, y = J @ J.T, np.arange(5.0)
    for reg in (1e-3, 1.0, 1e3):
        np.testing.assert_allclose(
            kernels.Prox(reg).transfer(jnp.asarray(K)) @ y, ridge(K, y, reg=reg).dual, rtol=1e-11
        )
