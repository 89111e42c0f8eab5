"""Do the inequalities of quadrature and of random probes hold, and would a wrong rule be found out?"""

from __future__ import annotations

import numpy as np
import pytest

from ntkseq.spectra.quadrature import Rule, lanczos, trace_bounds
from ntkseq.spectra.tail import overshoot


def same(V: np.ndarray) -> np.ndarray:
    return V


def probed(lam: np.ndarray, probes: int, steps: int, seed: int = 0) -> tuple[Rule, np.ndarray]:
    z = np.random.default_rng(seed).standard_normal((lam.size, probes))
    return lanczos(lambda V: lam[:, None] * V, same, z, steps, 0.0, float(lam.max()), 1e-13), z


LAM = np.sort(np.random.default_rng(3).random(80) ** 4)
BERNSTEIN = {"ridge": lambda x: x / (x + 1e-2), "log": lambda x: np.log1p(x / 1e-2), "root": lambda x: np.sqrt(x)}


@pytest.mark.parametrize("steps", [1, 2, 5, 20])
@pytest.mark.parametrize("name", BERNSTEIN)
def test_gauss_is_above_and_radau_below_and_both_close_in(name: str, steps: int):
    f = BERNSTEIN[name]
    rule, z = probed(LAM, 6, steps)
    truth = float(np.mean(np.sum(z**2 * f(LAM)[:, None], axis=0)))
    low, high = rule.bernstein(f)
    assert low <= truth * (1 + 1e-12) and truth <= high * (1 + 1e-12)
    assert high - low < truth * {1: 2.0, 2: 1.0, 5: 0.2, 20: 1e-2}[steps]


@pytest.mark.parametrize("steps", [1, 3, 10, 30])
def test_markov_and_stieltjes_hold_for_steps_and_squares(steps: int):
    rule, z = probed(LAM, 5, steps)
    for f in (lambda x: (x > 0.1) * 1.0, lambda x: (x > 0.5) * 1.0, lambda x: x**2, lambda x: np.minimum(x, 0.3)):
        truth = float(np.mean(np.sum(z**2 * f(LAM)[:, None], axis=0)))
        low, high = rule.monotone(f)
        assert low <= truth <= high


def test_a_space_that_is_exhausted_gives_exact_sums():
    lam = np.repeat([1.0, 0.5, 0.1], [3, 4, 5])
    rule, z = probed(lam, 4, 9)
    assert all(rule.ended) and all(len(nodes) == 3 for nodes in rule.nodes)
    truth = float(np.mean(np.sum(z**2 * (lam > 0.3)[:, None], axis=0)))
    assert rule.monotone(lambda x: (x > 0.3) * 1.0) == pytest.approx((truth, truth), rel=1e-12)


def test_nodes_stay_in_the_complement_that_is_probed():
    lam = np.append(np.full(30, 1e-9) * np.linspace(0.99, 1, 30), [1.0, 2.0])

    def project(V: np.ndarray) -> np.ndarray:
        return np.where(np.arange(32)[:, None] < 30, V, 0.0)

    z = project(np.random.default_rng(0).standard_normal((32, 3)))
    rule = lanczos(lambda V: lam[:, None] * V, project, z, 10, 0.0, 1.0, 1e-24)
    assert rule.top < 1.1e-9 and min(nodes[0] for nodes in rule.nodes) > 0.9e-9


def test_the_bounds_of_a_trace_fail_as_rarely_as_they_say_and_not_never():
    rng = np.random.default_rng(0)
    for a in (np.full(50, 1.0), np.append(np.full(3, 1.0), np.full(40, 0.01)), np.array([1.0])):
        outside = 0
        for _ in range(4000):
            mean = float(np.mean(rng.standard_normal((2, a.size)) ** 2 @ a))
            low, high = trace_bounds(mean, mean, 1.0, 2, 0.2)
            outside += not low <= a.sum() <= high
        assert outside <= 0.2 * 4000
    mean = float(np.mean(rng.standard_normal((2, 50)) ** 2 @ np.full(50, 1.0)))
    assert trace_bounds(mean, mean, 0.01, 2, 0.2)[1] < trace_bounds(mean, mean, 1.0, 2, 1e-6)[1]


@pytest.mark.parametrize("spectrum", ["gap", "flat", "power"])
def test_the_largest_eigenvalue_is_beyond_the_overshoot_as_rarely_as_stated(spectrum: str):
    n, steps, delta = 60, 3, 0.5
    lam = {"gap": np.append(np.full(n - 1, 0.5), 1.0), "flat": np.linspace(0, 1, n), "power": 1 / np.arange(1, n + 1.0)}
    values = lam[spectrum]
    missed = 0
    for seed in range(400):
        rule, _ = probed(values, 1, steps, seed)
        missed += values.max() > rule.top * (1 + overshoot(n, steps, 1, delta))
    assert missed <= delta * 400
    assert overshoot(n, 20, 4, 1e-6) < overshoot(n, 10, 4, 1e-6) < overshoot(n, 10, 2, 1e-6)
    # the bound is no empty one: an adversarial gap comes within a small factor of it
    assert overshoot(n, 40, 10, 1e-6) < 0.01
