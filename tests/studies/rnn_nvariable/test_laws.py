"""Tests of `ntkseq.studies.rnn_nvariable.laws`."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ntkseq import norms
from ntkseq.norms.power_series import diagonal, expand
from ntkseq.studies.recurrent.targets import KERNEL
from ntkseq.studies.rnn_nvariable.laws import crossings, late_exponent, memory, reached, straight


def test_a_crossing_is_where_a_power_law_has_the_error():
    sizes = [10, 40, 100]
    law = [2 * n**-0.5 for n in sizes]
    np.testing.assert_allclose(crossings(sizes, [law], 0.25), [64.0])
    np.testing.assert_allclose(crossings(sizes, [law], law[1]), [40.0])  # on a size itself


def test_the_last_crossing_counts():
    np.testing.assert_allclose(crossings([1, 2, 4, 8], [[1.0, 0.1, 1.0, 0.25]], 0.5), [math.sqrt(32)])


def test_errors_that_never_or_always_reach_it_are_open():
    assert crossings([1, 2], [[1.0, 0.9], [0.1, 0.1], [0.1, math.nan]], 0.5).tolist() == [math.inf, 0.0, math.inf]
    assert crossings([1, 2], [[math.nan, 0.1]], 0.5).tolist() == [2.0]
    never = reached([1, 2], [[1.0, 0.9], [1.0, 0.8]], 0.5)
    assert (never.lower, never.upper) == (2.0, math.inf)
    always = reached([1, 2], [[0.1, 0.1], [0.2, 0.1]], 0.5)
    assert (always.lower, always.upper) == (0.0, 1.0)
    mixed = reached([1, 4], [[1.0, 0.25], [1.0, 0.9], [1.0, 0.25]], 0.5)
    assert mixed.lower == pytest.approx(2.0) and math.isinf(mixed.upper) and mixed.estimate == pytest.approx(2.0)


def test_the_interval_of_a_sample_size_covers_its_geometric_mean():
    rng = np.random.default_rng(0)
    sizes = [8, 64, 512]
    hits = 0
    for _ in range(400):
        factors = np.exp(rng.normal(0, 0.3, (3, 1)))
        found = reached(sizes, factors * np.array(sizes) ** -0.5, 0.1)  # n = 100 factor^2, geometric mean 100
        hits += 100.0 in found
    assert abs(hits / 400 - 0.95) < 0.033  # 3 standard errors


def test_one_draw_has_no_interval():
    found = reached([1, 4], [[1.0, 0.25]], 0.5)
    assert found.lower == 0 and math.isinf(found.upper) and not found.resolved


def test_shapes_that_do_not_fit_are_turned_away():
    for errors in ([1.0, 0.5], [[1.0]], []):
        with pytest.raises(ValueError, match="errors must be"):
            crossings([1, 2], errors, 0.5)


def test_a_straight_line_is_that_of_numpy_and_its_interval_covers():
    rng = np.random.default_rng(1)
    x = np.array([1.0, 2.0, 4.0, 7.0, 9.0])
    hits = np.zeros(2)
    for _ in range(400):
        y = 3 - 0.5 * x + rng.normal(0, 0.4, 5)
        line = straight(x, y)
        assert line is not None
        np.testing.assert_allclose((line.slope.estimate, line.level.estimate), np.polyfit(x, y, 1), rtol=1e-8)
        np.testing.assert_allclose(line.misfit, np.std(y - np.polyval(np.polyfit(x, y, 1), x)), rtol=1e-8)
        hits += (-0.5 in line.slope, 3.0 in line.level)
    assert (abs(hits / 400 - 0.95) < 0.033).all()


def test_lines_through_too_little_have_no_interval_or_are_none():
    two = straight([1, 2], [3, 5])
    assert two is not None and two.slope.estimate == pytest.approx(2) and math.isinf(two.slope.upper)
    assert straight([1, 1], [3, 5]) is None and straight([1, 2], [3, math.inf]) is None


@pytest.mark.parametrize("c", [0.0, 0.25, 0.75])
def test_the_memory_law_comes_nearer_with_the_length(c: float):
    # a plain recursion of k0 in scalars, independent of the power series
    total, squares, seen = 0.0, 0.0, []
    for _ in range(200):
        squares += 1.0
        rho = (total + c) / squares
        seen.append(math.log((math.pi - math.acos(rho)) / math.pi))
        total = squares * (math.sqrt(1 - rho * rho) + rho * (math.pi - math.acos(rho))) / math.pi
    exact = -np.cumsum(seen)
    fits = {
        t: memory(norms.memory_profile(KERNEL, norms.Tokens.declared([1.0] * t, common=[c] * t)), c) for t in (32, 200)
    }
    np.testing.assert_allclose(-np.log(fits[200].seen), exact, rtol=1e-9)
    np.testing.assert_allclose(fits[200].local, math.log(exact[199] / exact[99]) / math.log(2), rtol=1e-9)
    assert abs(fits[200].power.estimate - 2 / 3) < abs(fits[32].power.estimate - 2 / 3)
    assert fits[200].power.estimate == pytest.approx(2 / 3, abs=0.065)  # 0.729 at c = 3/4
    assert fits[200].held.estimate == pytest.approx(fits[200].law, rel=0.09)
    assert fits[200].law == 1.0086 * (1 - c) ** (1 / 3)


def test_a_law_of_too_few_steps_is_turned_away():
    with pytest.raises(ValueError, match="16 steps or more"):
        memory(norms.memory_profile(KERNEL, norms.Tokens.declared([1.0] * 8)), 0.0)


@pytest.mark.slow
def test_late_coefficients_fall_as_derived():
    found = {}
    for t in (512, 2048):
        law = norms.Tokens.declared([1.0] * t, common=[1.0] + [0.0] * (t - 1))
        found[t] = diagonal(KERNEL, law) / expand(KERNEL, law, [[t - 2]], degree=4).scaled[0, 1:]
    slopes = np.log(found[2048] / found[512]) / math.log(4)
    np.testing.assert_allclose(slopes, [late_exponent(p) for p in (1, 2, 3, 4)], atol=0.05)
