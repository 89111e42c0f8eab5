"""Does the entropy of weights that are known within intervals lie within its bounds, and are these close?"""

from __future__ import annotations

import numpy as np
import pytest

from ntkseq.spectra import entropy


def value(s: np.ndarray) -> float:
    p = s / s.sum()
    p = p[p > 0]
    return float(-np.sum(p * np.log(p)))


@pytest.mark.parametrize("n", [1, 2, 3, 6])
@pytest.mark.parametrize("width", [0.03, 0.3, 1.5])
def test_no_choice_of_weights_leaves_the_bounds_and_the_extreme_ones_come_near(n: int, width: float) -> None:
    rng = np.random.default_rng(n)
    s = np.exp(1.5 * rng.normal(size=n))
    low, high = s * np.exp(-width * rng.random(n)), s * np.exp(width * rng.random(n))
    lower, upper = entropy.bounds(low, high)
    inside = [value(low + (high - low) * rng.random(n)) for _ in range(2000)]
    corners = [value(np.where([k >> i & 1 for i in range(n)], high, low)) for k in range(2**n)]  # the least is at one
    clipped = [value(np.clip(level, low, high)) for level in np.exp(np.linspace(-6, 6, 2001))]  # the largest is such
    assert lower <= min(*inside, *corners) + 1e-12 and upper >= max(*inside, *clipped) - 1e-12
    assert upper <= max(clipped) + 0.01
    assert lower >= min(corners) - (0.01 if width < 1 else np.log(n))


def test_weights_that_are_known_have_one_entropy() -> None:
    s = np.array([5.0, 1.0, 1e-9, 0.0])
    lower, upper = entropy.bounds(s, s)
    assert value(s) - 0.002 <= lower <= value(s) + 1e-15 and value(s) - 1e-15 <= upper <= value(s) + 0.002


def test_nothing_known_is_said_so() -> None:
    assert entropy.bounds(np.zeros(3), np.array([1.0, 2.0, 0.0])) == (0.0, pytest.approx(np.log(2)))
