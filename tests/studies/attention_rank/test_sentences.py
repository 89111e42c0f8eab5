"""Do the sentences on gaps and effective ranks follow the numbers?"""

from __future__ import annotations

import math

from ntkseq.spectra import Interval
from ntkseq.studies.attention_rank import AttentionRank
from ntkseq.studies.attention_rank.correlations import Exponent, Predictors
from ntkseq.studies.attention_rank.sentences import Speaking, Summary, findings

FALL = Exponent(-0.81, -0.93, -0.68, 18, 0)


def ranked(low: float, middle: float, high: float, share: float) -> Predictors:
    return Predictors(
        {"entropy, mean": Interval(low, middle, high), "n": Interval(-1, 0, 1)}, "entropy, mean", share, 18
    )


def test_a_fall_a_rank_that_orders_gaps_and_a_bound_that_says_something_are_said():
    one = Summary("digits", FALL, ranked(0.3, 0.6, 0.8, 0.99), Speaking("frozen", 2048, 0.8012, 0.63), 0, 36)
    gap, rank, bound, after = findings(AttentionRank(), [one], violated=0, checks=144)
    assert gap == "digits: the gap falls as n^-0.81 [-0.93, -0.68]."
    assert "entropy, mean orders the gaps best of 2, rho = 0.60 [0.3, 0.8]" in rank
    assert rank.endswith("it stays the best when runs are drawn again.")
    assert bound.startswith("None of 144 certified bounds is below the interval of the measured loss.")
    assert "the best says <= 0.802 where 0.63 was measured (frozen, n = 2048)" in bound
    assert after.endswith("ntkseq study attention-rank --out attention-rank-report-next --seeds 10")


def test_what_is_not_told_is_said():
    one = Summary("text", Exponent(-0.2, -0.5, 0.1, 6, 2), ranked(-0.2, 0.4, 0.8, 0.4), None, 0, 6)
    gap, rank, bound, _ = findings(AttentionRank(quick=True), [one], violated=0, checks=4)
    assert gap.startswith("text: whether the gap falls with n is not told") and "2 runs without a gap" in gap
    assert rank == (
        "text: among runs with one n no effective rank is told from useless (best of 2: entropy, mean, rho = 0.40 "
        "[-0.2, 0.8])."
    )
    assert bound.endswith("Of text they say nothing yet.")
    close = Summary("text", FALL, ranked(0.2, 0.4, 0.8, 0.4), None)
    assert "the others are not told from it" in findings(AttentionRank(), [close], violated=0, checks=4)[1]


def test_runs_that_failed_and_bounds_that_broke_are_said():
    none = Predictors({"a": Interval(-1, math.nan, 1)}, "", math.nan, 2)
    one = Summary("text", Exponent(math.nan, math.nan, math.nan, 1, 3), none, None, 2, 8, 1)
    gap, rank, bound, lost, _ = findings(AttentionRank(), [one], violated=1, checks=4)
    assert gap.endswith("too few runs have a gap above 0 for a power of n.")
    assert rank.endswith("no effective rank can be compared with the gap.")
    assert bound.startswith("1 of 4 certified bounds is below the interval of the measured loss")
    assert lost == "3 of 9 transformers and heads diverged and are left out; lower --rate."
