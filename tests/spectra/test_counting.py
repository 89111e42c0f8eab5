"""Are effective ranks right over the whole range of their parameters, against exact arithmetic?"""

from __future__ import annotations

import math
from fractions import Fraction

import jax
import numpy as np
import pytest

from ntkseq import effective_rank, spectrum
from ntkseq.spectra import MatrixFree, counting, effective_ranks
from ntkseq.spectra.ranks import (
    EffectiveRank,
    Energy,
    Entropy,
    Intrinsic,
    Numerical,
    Participation,
    Stable,
)
from tests.spectra.exact_ranks import ALL, exact_rank, hard, inside

NEXT = float(np.nextafter(1, 0))
ONE = [
    ([1.0, 1e-9], 2),
    ([1.0, 0.3, 1e-8, 1e-9], 4),
    ([1.0, 1e-5, 1e-10, 0.0], 3),
    (list(10.0 ** -np.arange(12.0)), 12),
]


def _fractions(values: np.ndarray) -> list[Fraction]:
    return [Fraction(float(v)) for v in values]


@pytest.mark.parametrize(("values", "rank"), ONE)
def test_at_quantile_one_the_energy_rank_counts_the_positive_values(values: list[float], rank: int):
    assert effective_rank(values, Energy(1.0)) == rank
    found = spectrum(np.diag(values)).effective_rank_interval(Energy(1.0))
    assert found.lower <= rank <= found.upper
    exact = exact_rank(_fractions(np.array(values)), Energy(NEXT))
    assert effective_rank(values, Energy(NEXT)) == exact
    nearly = spectrum(np.diag(values)).effective_rank_interval(Energy(NEXT))
    assert nearly.lower <= exact <= nearly.upper


def test_the_quantile_is_the_float_that_was_given():
    # 0.9 is a float above 9/10, 0.7 one below 7/10
    assert effective_rank([1.0] * 10, Energy(0.9)) == 10
    assert effective_rank([1.0] * 10, Energy(0.7)) == 7
    assert counting.above(np.array([1.0, 0.1]), 0.1, 1.0) == 1
    assert counting.above(np.array([3.0, 0.3]), 0.1, 3.0) == 1  # 0.3 is below 3/10, 0.1 above 1/10
    assert counting.above(np.array([3.0, 3 * 0.1]), 0.1, 3.0) == 2  # and their product is rounded up


@pytest.mark.parametrize("quantile", [0.1, 0.5, 0.9, 1 - 1e-6, NEXT, 1.0])
def test_ranks_of_a_batch_reach_the_quantile(quantile: float):
    A = np.stack([np.diag(v) for v in ([1.0, 1e-2, 1e-4, 1e-5], [1.0, 1.0, 1.0, 1.0], [2.0, 1.0, 0.0, 0.0])])
    wanted = [exact_rank(_fractions(np.diagonal(a).astype(np.float32)), Energy(quantile)) for a in A]
    ranks = jax.jit(lambda A: effective_ranks(A, Energy(quantile)))(A.astype(np.float32))
    assert np.asarray(ranks).tolist() == wanted


def _sweep(cases: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(cases):
        s = hard(rng)
        errors = s * rng.choice([0.0, 1e-16, 1e-7, 0.3, 1.0, 2.0]) if rng.random() < 0.5 else np.full(
            s.size, s[0] * rng.choice([0.0, 1e-16, 1e-9, 1e-3, 0.6, 1.0])
        )  # fmt: skip
        if not np.isfinite(s[0] + errors[0]):
            continue
        exact, drawn = _fractions(s), inside(rng, s, errors)
        for rank in ALL:
            wanted, found = exact_rank(exact, rank), effective_rank(s, rank)
            case = f"{rank} of {s.tolist()} errors {errors.tolist()}"
            if wanted is None:
                assert math.isnan(found), case
            elif isinstance(rank, (Numerical, Energy)) and rank != Numerical():
                assert found == wanted, case
            elif rank != Numerical():
                assert abs(Fraction(found) - wanted) <= wanted * Fraction(1, 10**13) + Fraction(1, 10**300), case
            truth = None if drawn is None else exact_rank(drawn, rank)
            lower, upper = rank.bounds(s, errors)
            if truth is not None and not math.isnan(lower):
                near = Fraction(1, 10**80) if isinstance(rank, Entropy) else 0  # the oracle's own rounding
                held = Fraction(lower) * (1 - near) <= truth <= Fraction(upper) * (1 + near)
                assert held, f"{case}: {float(truth)} in [{lower}, {upper}]"


@pytest.mark.slow
def test_ranks_and_their_intervals_hold_the_exact_ones_over_all_parameters():
    _sweep(40, 0)


@pytest.mark.slow
def test_ranks_and_their_intervals_hold_the_exact_ones_on_many_hard_spectra():
    _sweep(500, 1)


@pytest.mark.parametrize("size", [1e-60, 1.0, 1e60])
@pytest.mark.parametrize(
    "rank",
    [Intrinsic(), Stable(), Participation(), Entropy(), *map(Numerical, (0.0, 0.3, 1.0, 7.0))],
    ids=str,
)
def test_ranks_of_a_spectrum_in_part_hold_the_exact_ones(rank: EffectiveRank, size: float):
    values = np.concatenate([2.0 ** -np.arange(4.0), np.full(16, 2.0**-6)]) * size
    part = spectrum(np.diag(values), MatrixFree(k=4))
    found, truth = part.effective_rank_interval(rank), exact_rank(_fractions(values), rank)
    assert truth is not None and Fraction(found.lower) <= truth <= Fraction(found.upper)
