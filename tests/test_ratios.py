"""Do intervals of a ratio of means hold as often as they say, for skewed, rare and paired numbers?"""

from __future__ import annotations

import numpy as np
import pytest

from ntkseq import _ratios

RUNS = 300
LEVEL = 0.9
LOOSE = LEVEL - 3 * (LEVEL * (1 - LEVEL) / RUNS) ** 0.5
"""What a share of `RUNS` that hold may fall to by chance."""


def shares(rng: np.random.Generator, n: int, kind: str) -> tuple[np.ndarray, np.ndarray, float]:
    """a, b and the true ratio of their means, 0.8."""
    if kind == "normal":
        b = 1 + rng.standard_normal(n)
        return 0.8 * b + 0.3 * rng.standard_normal(n), b, 0.8
    moved = rng.standard_normal(n) ** 2  # as |f_1 - f_0|^2, and what is missed of it
    return moved - 0.2 * rng.standard_normal(n) ** 2, moved, 0.8


@pytest.mark.slow(but=["normal-12"])
@pytest.mark.parametrize(("kind", "n"), [("normal", 12), ("squares", 25), ("squares", 100)])
def test_an_interval_of_skewed_numbers_holds_as_often_as_it_says(kind: str, n: int) -> None:
    rng, held = np.random.default_rng(0), 0
    some = np.unique(np.concatenate([_ratios.SHARES[::12], [0.8]]))
    for _ in range(RUNS):
        a, b, exact = shares(rng, n, kind)
        _, low, high = _ratios.ratio(a, b, _ratios.skewed(LEVEL), some)
        held += low <= exact <= high
    assert held / RUNS >= LOOSE


def test_skewness_is_what_students_interval_misses() -> None:
    """Fourth powers of normal numbers, 25 of them: Student's interval of level 0.9 misses the mean in 30 of 100."""
    x = np.random.default_rng(1).standard_normal((25, 4000)) ** 4 - 3
    missed = 1 - _ratios.skewed(LEVEL)(x).mean()
    student = np.mean(np.abs(x.mean(axis=0)) > 1.7109 * x.std(axis=0, ddof=1) / 5)
    assert missed < 0.6 * student and student > 0.25, (missed, student)


@pytest.mark.parametrize("p", [0.02, 0.3])
def test_bets_hold_for_rare_events_too(p: float) -> None:
    """Of the examples that fine-tuning mends, 70 % are mended by the linearised network."""
    rng, wrong, n = np.random.default_rng(2), 0, 150
    for _ in range(RUNS):
        b = (rng.random(n) < p).astype(float)
        a = b * (rng.random(n) < 0.7)
        values = (a - 0.7 * b)[:, None]
        wrong += not _ratios.bounded(LEVEL, np.array([1.7]))(values)[0]
    assert wrong / RUNS <= 1 - LEVEL


def test_many_examples_resolve_a_share_by_bets() -> None:
    rng = np.random.default_rng(3)
    b = (rng.random(2000) < 0.4).astype(float)
    a = b * (rng.random(2000) < 0.7)
    middle, low, high = _ratios.ratio(a, b, _ratios.bounded(0.95, 1 + np.abs(_ratios.SHARES)))
    assert 0.6 < low < middle < high < 0.8 and abs(middle - 0.7) < 0.05


def test_nothing_that_moved_has_no_ratio_and_few_examples_no_interval() -> None:
    zero = np.zeros(20)
    _, low, high = _ratios.ratio(zero, zero, _ratios.skewed(LEVEL))
    assert (low, high) == (-np.inf, np.inf)
    _, low, high = _ratios.ratio(np.ones(9), np.ones(9), _ratios.skewed(LEVEL))
    assert (low, high) == (-np.inf, np.inf)
    middle, low, high = _ratios.ratio(np.ones(20), np.ones(20), _ratios.skewed(LEVEL))
    assert low < middle == 1 < high and high - low < 0.02
