"""Do the sentences on MAML for regression follow the numbers?"""

from __future__ import annotations

import math

from ntkseq.studies.maml_regression import MamlRegression
from ntkseq.studies.maml_regression.sentences import Summary, findings

STOPS = ((-0.6, 36, 36, 196), (0.1, 95, 96, 210), (0.9, 300, None, None))
ONE = Summary("log", -0.75, False, (0.00093, 0.0032), (1.7, 6.0), (39.0, 680.0), STOPS)


def test_bounds_that_hold_and_the_best_rate_are_said():
    first, sharp, tasks, rates, after = findings(
        MamlRegression(), [ONE], outside=0, risks=7306, far=0, dots=144, most=2.4
    )
    assert (
        first.startswith("None of 7306 exact risks is outside its derived bounds.") and "at most 2.4 standard" in first
    )
    assert "1.7 to 6 times the exact risk" in sharp and "39 to 680 times for 2 of 2 problems" in sharp
    assert tasks.endswith("the exact risk goes from 0.00093 to 0.0032 (log).")
    assert "least at the inner rate beta_tr lambda_1 = -0.75 (log)" in rates
    assert "0.2 of the risk at the start is first reached after 36 steps, at the rate -0.6; bounds alone" in rates
    assert after.endswith("ntkseq study maml-regression --out maml-regression-report-next --runs 800")


def test_an_end_of_the_grid_a_target_beyond_and_conditions_that_fail_are_said():
    one = Summary("log", 1.4, True, (0.1,), (2.0, math.nan), (math.nan, math.nan), ((0.1, 5, None, None),))
    _, sharp, rates, _ = findings(MamlRegression(quick=True), [one], outside=0, risks=5, far=0, dots=4, most=1.0)
    assert "(its conditions fail for 1 of 2 problems)" in sharp and sharp.endswith("conditions hold for no problem.")
    assert rates == "The exact risk is least at the inner rate beta_tr lambda_1 = 1.4, an end of the grid (log)."


def test_a_contradiction_is_said():
    first = findings(MamlRegression(), [ONE], outside=1, risks=5, far=2, dots=4, most=9.0)[0]
    assert first.startswith("1 of 5 exact risks is outside its derived bounds, which contradicts what is proved.")
    assert first.endswith("2 of 4 simulated means are more than 4 standard errors from the exact risk: one is wrong.")
