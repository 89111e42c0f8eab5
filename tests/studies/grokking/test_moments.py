"""Are moments and their order told by intervals that hold what records leave open?"""

from __future__ import annotations

import numpy as np
import pytest

from ntkseq.studies.grokking.moments import Moment, first, lead, over_seeds


def test_a_moment_lies_between_two_records_or_never_comes():
    steps = np.array([0, 10, 20, 40])
    assert first(steps, np.array([False, False, True, False])) == Moment(10.0, 20.0)
    assert first(steps, np.array([True, True, True, True])) == Moment(0.0, 0.0)
    assert not first(steps, np.zeros(4, bool)).came


def test_the_order_is_told_only_where_seeds_and_records_leave_no_doubt():
    early = [Moment(10.0, 12.0), Moment(11.0, 13.0), Moment(10.0, 12.0)]
    late = [Moment(100.0, 110.0), Moment(105.0, 115.0), Moment(95.0, 105.0)]
    ahead, back = lead(early, late), lead(late, early)
    assert ahead is not None and back is not None and ahead.lower > 0 and back.upper < 0
    assert (ahead.lower, ahead.upper) == pytest.approx((-back.upper, -back.lower))
    near = lead(early, [Moment(11.0, 14.0)] * 3)
    assert near is not None and not near.resolved
    alone = lead(early[:1], late[:1])
    assert alone is not None and not alone.finite and alone.estimate == 94.0
    assert lead(early, [*late[:2], Moment(200.0, np.inf)]) is None and over_seeds([Moment(5.0, np.inf)]) is None


def test_intervals_of_a_mean_moment_hold_it_in_nineteen_of_twenty_cases():
    rng, missed = np.random.default_rng(0), 0
    for _ in range(200):
        truth = 50.0 + 10.0 * rng.normal(size=4)
        width = rng.choice([0.5, 20.0])
        after = np.floor(truth / width) * width
        found = over_seeds([Moment(float(a), float(a + width)) for a in after])
        assert found is not None
        missed += 50.0 not in found
    assert missed <= 0.05 * 200
