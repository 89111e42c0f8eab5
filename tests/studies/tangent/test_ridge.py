"""Is the ridge the best of a grid that reaches far enough, and is the choice of a centre counted in full?"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from ntkseq.grams import DenseGram
from ntkseq.predictors import select_reg
from ntkseq.studies.tangent.ridge import Centre, choose_ridge

RNG = np.random.default_rng(1)
X = RNG.normal(size=20)
SMOOTH = DenseGram(np.exp(-0.5 * (X[:, None] - X) ** 2), rounding=0.0)
GRID = [10.0**k for k in range(-6, 3)]


def test_inside_the_grid_the_ridge_is_that_of_least_leave_one_out_error_and_no_end_is_named():
    y = np.sin(X) + 0.3 * RNG.normal(size=20)
    reg, how = choose_ridge(SMOOTH, y, 20.0)
    assert reg == select_reg(SMOOTH, y, GRID).reg
    assert how == "least leave-one-out error of 9, tr K/n times 1e-6 .. 1e2"


def test_where_less_is_better_the_grid_goes_down():
    reg, how = choose_ridge(SMOOTH, np.sin(X), 20.0)
    below = select_reg(SMOOTH, np.sin(X), [reg, 1e-6])
    assert reg < 1e-6 and below.reg == reg and f"tr K/n times {reg:.0e} ..".replace("e-0", "e-") in how


@pytest.mark.parametrize(
    ("shift", "y", "said"),
    [
        (0.5, np.sin(X), "the least of them, below it the error falls by less than 1 %"),
        (0.0, np.tile([1.0, -1.0], 10), "the largest of them, above it the error falls by less than 1 %"),
        (-0.05, np.sin(X), "the least that keeps K + reg positive in float64"),
    ],
)
def test_an_end_beyond_which_nothing_is_gained_is_named(shift, y, said):
    assert said in choose_ridge(DenseGram(SMOOTH.array + shift * np.eye(20), rounding=0.0), y, 20.0)[1]


def test_a_given_ridge_is_taken_and_a_zero_kernel_refused():
    assert choose_ridge(SMOOTH, X, 20.0, 0.5) == (0.5, "given")
    with pytest.raises(ValueError, match="the kernel is zero on these data"):
        choose_ridge(DenseGram(np.zeros((2, 2)), rounding=0.0), np.ones(2), 0.0)


@pytest.mark.parametrize("scale", [1e-8, 1.0, 3e5])
@pytest.mark.parametrize("mean", [0.0, -1.0, 1e4])
def test_a_centre_is_the_mean_but_for_a_200th_of_the_spread(scale, mean):
    y = scale * (mean + X)
    centre = Centre.of(y)
    assert abs(centre.value - y.mean()) <= y.std() / 200 * (1 + 1e-9)
    assert Fraction(centre.value) == Fraction(float(str(centre)))
    others = [np.delete(y, i).mean() for i in range(20)]
    assert np.abs(centre.left_out(y) - others).max() <= y.std() / 200 * (1 + 1e-9)


def test_a_centre_of_a_constant_is_that_number():
    assert [Centre.of(np.full(3, c)).value for c in (0.0, 0.1, -7.3e9)] == [0.0, 0.1, -7.3e9]


def test_the_shares_of_all_centres_sum_to_less_than_one():
    signed = [(digits, exponent) for digits in range(-60, 61) for exponent in range(-60, 61)]
    assert 0.5 < sum(1 / Centre(*pair).tried for pair in signed) < 1.0
