"""Do the intervals of extrapolated widths hold, and is none stated where the draws do not allow one?"""

from __future__ import annotations

import math

import numpy as np
import pytest

from ntkseq.empirical.verdicts import extrapolate

LAWS = {
    "chi2": lambda rng, size: rng.chisquare(4, size) / 4,
    "lognormal": lambda rng, size: np.exp(0.7 * rng.standard_normal(size) - 0.245),
    "squared normal": lambda rng, size: rng.chisquare(1, size),
}


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize(("widths", "count"), [((16, 64), 40), ((16, 64, 256), 8), ((32, 64, 128, 256), 12)])
def test_the_interval_of_the_width_holds_the_truth(law: str, widths: tuple[int, ...], count: int) -> None:
    rng = np.random.default_rng(0)
    missed = stated = 0
    for _ in range(300):
        squares = LAWS[law](rng, (len(widths), count)) / np.asarray(widths)[:, None]
        at, low, high, refused = extrapolate(widths, squares, 1 / 30)  # the truth is 900
        if not refused:
            stated += 1
            missed += not low <= 900 <= high
            assert low <= at <= high
    assert stated > 90 and missed / stated < 0.08  # 0.05, and two standard errors of 300


def draws(slope: float, count: int = 20, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).chisquare(4, (3, count)) / 4 * np.array([16.0, 64.0, 256.0])[:, None] ** slope


def test_no_width_is_stated_where_the_draws_do_not_allow_one() -> None:
    widths = (16, 64, 256)
    for squares, why in ((draws(0.0), "may not fall at all"), (draws(-1.0, 4), "4 networks of each width are too few")):
        *ends, refused = extrapolate(widths, squares, 0.01)
        assert why in refused and np.isnan(ends).all()
    steep = draws(-3.0)  # deviation like width^-1.5: within the widths it can be read off, beyond them it may not last
    assert "not yet like width^(-1/2)" in extrapolate(widths, steep, 1e-4)[3]
    at, low, high, refused = extrapolate(widths, steep, 64**-1.5)
    assert refused == "" and low < 64 < high and abs(math.log(at / 64)) < 0.3
