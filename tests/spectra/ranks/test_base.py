"""Do the bounds of the effective ranks hold for every spectrum within the errors?"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ntkseq.spectra.clipping import nonnegative
from ntkseq.spectra.ranks import (
    Dimension,
    EffectiveRank,
    Energy,
    Entropy,
    Numerical,
    Participation,
    Stable,
    Tail,
)
from ntkseq.spectra.ranks.short import SHORT

RANKS = (
    *SHORT.values(), Numerical(0.05), Energy(0.8), Tail(1), Tail(2, Participation()), Tail(1, Entropy()),
    Dimension(0.3), Dimension(0.3, power=2),
)  # fmt: skip


def moved(s: np.ndarray, errors: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A spectrum within the errors: random, or at a corner, or pushed towards or away from flatness."""
    sign = [
        rng.uniform(-1, 1, s.size),
        rng.choice([-1.0, 1.0], s.size),
        np.where(np.arange(s.size) < rng.integers(0, s.size + 1), -1.0, 1.0),
        np.where(np.arange(s.size) < rng.integers(0, s.size + 1), 1.0, -1.0),
    ][rng.integers(4)]
    return -np.sort(-np.maximum(s + sign * errors, 0.0))


@pytest.mark.slow(cases=["Entropy(power=1)", "Entropy(power=2)", "Tail(k=1, rest=Entropy())"])
@pytest.mark.parametrize("rank", RANKS, ids=str)
@given(st.integers(1, 12), st.floats(-8, 0.5), st.integers(0, 10**6))
@settings(max_examples=60)
def test_every_spectrum_within_the_errors_has_its_rank_within_the_bounds(
    rank: EffectiveRank, n: int, size: float, seed: int
):
    rng = np.random.default_rng(seed)
    s = -np.sort(-(10.0 ** rng.uniform(-3, 0, n)))
    errors = np.full(n, 10.0**size * (s[0] if seed % 2 else s[-1]))
    lower, upper = rank.bounds(s, errors)
    for _ in range(8):
        assert math.isnan(lower) or lower <= rank.of(moved(s, errors, rng)) <= upper


@pytest.mark.parametrize("rank", [rank for rank in RANKS if not isinstance(rank, (Numerical, Energy))], ids=str)
def test_the_bounds_close_as_the_errors_vanish(rank: EffectiveRank):
    s = np.array([4.0, 2.0, 1.0, 0.5])
    widths = []
    for error in (1e-3, 1e-6):
        lower, upper = rank.bounds(s, np.full(4, error))
        assert lower <= rank.of(s) <= upper
        widths.append(upper - lower)
    assert widths[1] < 1e-2 * widths[0] < 1e-3


def test_counts_are_exact_where_no_value_crosses_or_reaches_the_threshold():
    s, errors = np.array([4.0, 2.0, 1.0, 0.1]), np.full(4, 1e-3)
    assert Numerical(0.1).bounds(s, errors) == (3, 3)
    assert Numerical(0.25).bounds(s, errors) == (2, 3)
    assert Energy(0.9).bounds(s, errors) == (2, 2)
    assert Energy(16 / 21.01).bounds(s, errors) == (1, 2)
    assert Numerical().bounds(s, np.full(4, 0.2)) == (3, 4)


def test_unresolved_tails_are_nan_and_unresolved_matrices_are_anything():
    s = np.array([4.0, 2.0, 1e-4])
    assert all(math.isnan(x) for x in Tail(2).bounds(s, np.full(3, 1e-3)))
    assert all(math.isnan(x) for x in Tail(3, Participation()).bounds(s, np.zeros(3)))
    assert Entropy().bounds(s, np.full(3, 5.0)) == (0, 3)
    assert Entropy().bounds(np.zeros(3), np.zeros(3)) == (0, 0)
    assert Stable().bounds(nonnegative([1.0]), np.full(1, np.inf)) == (0, 1)
