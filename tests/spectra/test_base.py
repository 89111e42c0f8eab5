"""Do the numbers read from a spectrum carry honest intervals, and do they print what is not resolved?"""

from __future__ import annotations

import dataclasses
import math

import jax
import numpy as np
import pytest

from ntkseq.spectra import FullSpectrum, Interval, spectrum
from ntkseq.spectra.decay import decay
from ntkseq.spectra.ranks import Numerical, Participation, Tail


def made(values: list[float], error: float = 0.0, vectors: np.ndarray | None = None) -> FullSpectrum:
    array = np.array(values, np.float64)
    return FullSpectrum(
        values=array,
        errors=np.full(array.size, error),
        vectors=vectors,
        trace=float(array.sum()),
        norm_fro=float(np.linalg.norm(array)),
        rounding=error,
        method="by hand",
    )


def test_an_interval_rounds_outwards_and_each_question_has_its_own_answer():
    interval = Interval.around(1.0, 1e-20)
    assert interval.lower < 1.0 < interval.upper and interval.resolved and interval.positive and interval.finite
    assert not Interval.around(1.0, 1.0).resolved and not Interval.around(1.0, 1.0).positive
    below = Interval.around(-1.0, 0.5)
    assert below.resolved and not below.positive
    unknown, open_ = Interval(math.nan, math.nan, math.nan), Interval(1.0, 2.0, math.inf)
    assert not unknown.resolved and not unknown.positive and not unknown.finite and not unknown.within(2.0)
    assert open_.positive and not open_.finite and not open_.within(1e300)
    assert Interval(1.0, 1.5, 2.0).within(2.0) and not Interval(1.0, 1.5, 2.0).within(1.9)
    assert 0.5 in Interval.around(1.0, 0.6) and 0.3 not in Interval.around(1.0, 0.6)


def test_intervals_print_their_bounds_or_a_small_error():
    assert str(Interval(0.125, 0.25, 0.375)) == "0.25 in [0.125, 0.375]"
    assert str(Interval.around(0.25, 0.125)) == "0.25 in [0.1249, 0.3751]"  # its ends are one float further out
    assert str(Interval.around(-1e-9, 1e-6)) == "-1e-09 in [-1.002e-06, 9.99e-07]"
    assert str(Interval(0.25, 0.25, 0.25)) == "0.25 +- 0.0e+00"
    assert str(Interval(1.0, 1.00000004, 1.00000014)) == "1 +- 1.5e-07"  # of the number that is printed
    assert str(Interval(2.0, math.inf, math.inf)) == "inf in [2, inf]"


def test_extreme_eigenvalues_come_with_their_intervals():
    s = made([4.0, 2.0, 0.5], 0.25)
    assert s.n == 3 and s.resolved == 3 and s.semidefinite
    least, largest = s.min_eigenvalue, s.max_eigenvalue
    assert (least.lower, least.estimate, least.upper) == pytest.approx((0.25, 0.5, 0.75)) and least.resolved
    assert (largest.lower, largest.estimate, largest.upper) == pytest.approx((3.75, 4.0, 4.25))


def test_errors_of_any_order_leave_the_extremes_right_and_no_wider_than_the_others_allow():
    rng = np.random.default_rng(0)
    for _ in range(300):
        n = int(rng.integers(1, 8))
        exact = -np.sort(-rng.standard_normal(n))
        values = -np.sort(-(exact + 0.3 * rng.standard_normal(n)))
        wider = 1 + rng.random(n) * rng.integers(0, 5, n)  # near duplicates have any order
        errors = np.abs(values - exact) * wider + 1e-15
        s = dataclasses.replace(made(list(values)), errors=errors)
        assert exact[-1] in s.min_eigenvalue and exact[0] in s.max_eigenvalue
        assert s.min_eigenvalue.estimate in s.min_eigenvalue and s.max_eigenvalue.estimate in s.max_eigenvalue
        assert s.resolved <= int(np.sum(exact > 0)) and (s.semidefinite or exact[-1] < 0)
    s = dataclasses.replace(made([4.0, 1.0, -0.1, -0.2]), errors=np.array([4.5, 0.5, 0.05, 1.0]))
    assert s.min_eigenvalue.upper == pytest.approx(-0.05) and not s.semidefinite  # the last alone does not tell
    assert s.resolved == 2 and s.max_eigenvalue.lower == pytest.approx(0.5)  # nor does the first


def test_the_condition_is_infinite_above_until_the_least_eigenvalue_is_resolved():
    resolved = made([4.0, 0.5], 0.25).condition
    assert (resolved.lower, resolved.estimate, resolved.upper) == pytest.approx((5.0, 8.0, 17.0)) and resolved.finite
    loose = made([4.0, 0.125], 0.25).condition
    assert (loose.lower, loose.estimate, loose.upper) == pytest.approx((10.0, 32.0, math.inf)) and not loose.finite
    below = made([4.0, -0.125], 0.25).condition
    assert below.estimate == math.inf and below.lower == pytest.approx(30.0) and not below.finite
    negative = made([4.0, -1.0], 0.25).condition
    assert math.isnan(negative.estimate) and math.isnan(negative.lower) and negative.upper == math.inf
    one = made([2.0]).condition
    assert one.lower == 1.0 and one.estimate == 1.0 and one.finite


@pytest.mark.filterwarnings("ignore:K holds float32 numbers")
def test_the_condition_interval_holds_the_condition_of_a_known_matrix():
    n = 40
    index = np.arange(1, n + 1)
    A = np.minimum(index[:, None], index).astype(np.float32)
    exact = (np.sin((2 * n - 1) * np.pi / (4 * n + 2)) / np.sin(np.pi / (4 * n + 2))) ** 2
    condition = spectrum(A).condition
    assert exact in condition and condition.upper / condition.lower < 1.01


def test_numerical_rank_counts_the_resolved_eigenvalues_and_tails_stop_there():
    s = made([4.0, 2.0, 1e-3, -1e-3], 1e-2)
    assert s.effective_rank("numerical") == 2 == s.resolved
    assert s.effective_rank(Numerical(1e-4)) == 3
    assert s.effective_rank(Tail(1)) == pytest.approx(2.001 / 2)
    assert math.isnan(s.effective_rank(Tail(2))) and math.isnan(s.effective_rank(Tail(2, Participation())))


def test_small_negative_eigenvalues_count_as_zero_and_clear_ones_raise():
    assert made([4.0, 2.0, -1e-3], 1e-2).effective_rank("stable") == pytest.approx(1.25)
    bad = made([4.0, 2.0, -1.0], 1e-2)
    assert not bad.semidefinite
    for call in (bad.effective_rank, bad.effective_rank_interval, bad.decay_exponent):
        with pytest.raises(ValueError, match="positive semi-definite"):
            call()


def test_effective_rank_intervals_hold_the_estimate_and_say_whether_it_is_known():
    s = made([4.0, 2.0, 1.0], 1e-3)
    rank = s.effective_rank_interval("participation")
    assert rank.lower < rank.estimate == s.effective_rank("participation") < rank.upper and rank.within(2.0)
    assert not made([1.0] + [0.0] * 99, 0.1).effective_rank_interval("intrinsic").within(2.0)
    missing = s.effective_rank_interval(Tail(3))
    assert math.isnan(missing.lower) and not missing.within(2.0)


def test_the_decay_of_a_spectrum_stops_before_the_noise():
    values = 2.0 * np.arange(1, 101) ** -1.5
    s = made(list(values), 1e-3)
    fit = s.decay_exponent()
    assert fit.exponent == pytest.approx(1.5) and fit.last == int(np.sum(values > 1e-2))
    part, direct = s.decay_exponent(first=2, last=9), decay(values, s.errors, first=2, last=9)
    assert (part.first, part.last) == (2, 9)
    assert (part.exponent, part.standard_error, part.error) == (direct.exponent, direct.standard_error, direct.error)
    assert 0 < part.error < fit.error


def test_alignment_equals_its_definition_and_needs_vectors():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((12, 5)), rng.choice([-1, 1], 12)
    K = X @ X.T
    s = spectrum(K)
    assert s.alignment(y) == pytest.approx(y @ K @ y / (y @ y) / np.linalg.norm(K), rel=1e-12)
    curve = s.alignment_curve(y)
    assert s.vectors is not None
    for k in (1, 4, 12):
        inside = s.vectors[:, :k].T @ y
        assert curve[k - 1] == pytest.approx(inside @ inside / 12, rel=1e-12)
    assert curve[-1] == pytest.approx(1.0) and (np.diff(curve) >= 0).all()
    for call in (spectrum(K, vectors=False).alignment, spectrum(K, vectors=False).alignment_curve):
        with pytest.raises(ValueError, match="vectors=True"):
            call(y)


def test_a_spectrum_prints_its_numbers_in_aligned_lines():
    text = str(made([4.0, 2.0, 1.0, 0.5], 1e-9))
    lines = text.splitlines()
    assert lines[0] == "Spectrum" and len(lines) == 10
    assert all(line[2] != " " and line[18:20] == "  " and line[20] != " " for line in lines[1:])
    assert "least eigenvalue  0.5 +- 1.1e-09" in text
    assert "condition         8 +- " in text
    assert "entropy 3.12, stable 1.33, participation 2.65" in text
    assert "by hand" in text and "rounding of K 1e-09" in text
    assert repr(made([4.0, 2.0], 1e-9)) == "FullSpectrum(n=2, least 2 +- 1.0e-09, largest 4, rounding 1.0e-09)"


def test_what_is_not_resolved_prints_so():
    text = str(made([4.0, 1e-4], 1e-3))
    assert "not resolved: 0.0001 in [-0.0009001, 0.001101], zero is inside" in text
    assert "condition         at least 3635" in text
    assert "decay exponent    not fitted: 1 usable eigenvalue(s), 3 are needed" in text
    negative = str(made([4.0, -1.0], 1e-3))
    assert "negative beyond its error" in negative and "not defined" in negative
    assert "at least" not in negative
    assert "n                 1" in str(spectrum(np.zeros((1, 1))))


def test_loosely_known_effective_ranks_print_their_bounds():
    line = next(line for line in str(made([4.0, 2.0, 1.0], 0.1)).splitlines() if "effective rank" in line)
    assert line.count("[") == 3


def test_a_spectrum_is_a_pytree():
    s = made([4.0, 2.0], 1e-3)
    doubled = jax.tree.map(lambda leaf: 2 * leaf, s)
    assert isinstance(doubled, FullSpectrum) and doubled.values.tolist() == [8.0, 4.0] and doubled.method == "by hand"
