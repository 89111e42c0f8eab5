"""Are the filters those of the recursions they stand for?"""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.integrate

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
