"""Do the bounds of the effective ranks hold for every spectrum within the errors?"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ntkseq.spectra.measures import KINDS, choose, nonnegative, rank_of
from ntkseq.spectra.propagation import rank_bounds

OPTIONS: dict[str, dict] = {
    "numerical": {"tol": 0.05},
    "energy": {"quantile": 0.8},
    "r": {"k": 1},
    "R": {"k": 2},
    "ridge": {"ridge": 0.3},
    "ridge2": {"ridge": 0.3},
}


def moved(s: np.ndarray, errors: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A spectrum within the errors: random, or at a corner, or pushed towards or away from flatness."""
    sign = [
        rng.uniform(-1, 1, s.size),
        rng.choice([-1.0, 1.0], s.size),
        np.where(np.arange(s.size) < rng.integers(0, s.size + 1), -1.0, 1.0),
        np.where(np.arange(s.size) < rng.integers(0, s.size + 1), 1.0, -1.0),
    ][rng.integers(4)]
    return -np.sort(-np.maximum(s + sign * errors, 0.0))


@pytest.mark.parametrize("kind", KINDS)
@given(st.integers(1, 12), st.floats(-8, 0.5), st.integers(0, 10**6))
@settings(max_examples=60)
def test_every_spectrum_within_the_errors_has_its_rank_within_the_bounds(kind: str, n: int, size: float, seed: int):
    rng = np.random.default_rng(seed)
    s = -np.sort(-(10.0 ** rng.uniform(-3, 0, n)))
    errors = np.full(n, 10.0**size * (s[0] if seed % 2 else s[-1]))
    choice = choose(kind, **OPTIONS.get(kind, {}))
    lower, upper = rank_bounds(s, errors, choice)
    for _ in range(8):
        rank = rank_of(moved(s, errors, rng), choice)
        assert math.isnan(lower) or lower <= rank <= upper


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("numerical", "energy")])
def test_the_bounds_close_as_the_errors_vanish(kind: str):
    s, choice = np.array([4.0, 2.0, 1.0, 0.5]), choose(kind, **OPTIONS.get(kind, {}))
    widths = []
    for error in (1e-3, 1e-6):
        lower, upper = rank_bounds(s, np.full(4, error), choice)
        assert lower <= rank_of(s, choice) <= upper
        widths.append(upper - lower)
    assert widths[1] < 1e-2 * widths[0] < 1e-3


def test_counting_ranks_are_exact_where_no_error_reaches_the_threshold():
    s, errors = np.array([4.0, 2.0, 1.0, 0.1]), np.full(4, 1e-3)
    assert rank_bounds(s, errors, choose("numerical", tol=0.1)) == (3, 3)
    assert rank_bounds(s, errors, choose("numerical", tol=0.25)) == (2, 3)
    assert rank_bounds(s, errors, choose("energy", quantile=0.9)) == (2, 2)
    assert rank_bounds(s, errors, choose("energy", quantile=16 / 21.01)) == (1, 2)
    assert rank_bounds(s, np.full(4, 0.2), choose("numerical")) == (3, 4)


def test_unresolved_tails_are_nan_and_unresolved_matrices_are_anything():
    s = np.array([4.0, 2.0, 1e-4])
    assert all(math.isnan(x) for x in rank_bounds(s, np.full(3, 1e-3), choose("r", k=2)))
    assert all(math.isnan(x) for x in rank_bounds(s, np.zeros(3), choose("R", k=3)))
    assert rank_bounds(s, np.full(3, 5.0), choose("entropy")) == (0, 3)
    assert rank_bounds(np.zeros(3), np.zeros(3), choose("entropy")) == (0, 0)
    assert rank_bounds(nonnegative([1.0]), np.full(1, np.inf), choose("stable")) == (0, 1)
