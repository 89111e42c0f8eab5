"""Is the record of a study strict JSON, and does its summary claim no more than its bounds?"""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest

from ntkseq._outward import outward
from ntkseq.reports.record import bound_line, strict
from ntkseq.spectra import Interval
from tests.reports import examples


def test_the_keys_that_readers_rely_on_are_there():
    found = examples.report().to_dict()
    assert {"min_eigenvalue", "effective_rank", "bounds", "prediction", "provenance"} <= set(found)
    assert set(found["min_eigenvalue"]) == {"lower", "estimate", "upper", "resolved"}
    assert set(found["bounds"]) == {"rademacher", "arora2019", "du2019"}
    assert found["effective_rank"]["r_1"]["estimate"] is None


def test_bounds_without_a_value_are_null_in_strict_json():
    found = examples.report(singular=True).to_dict()
    text = json.dumps(found, allow_nan=False)
    assert json.loads(text) == found
    assert found["min_eigenvalue"]["resolved"] is False
    assert found["bounds"]["arora2019"]["value"] is None and "zero" in found["bounds"]["arora2019"]["reason"]
    assert found["condition"]["upper"] is None and found["condition"]["upper_note"] == "inf"


def test_strict_says_what_a_null_was():
    assert strict({"a": math.nan, "b": [1.0, -math.inf]}) == {"a": None, "a_note": "nan", "b": [1.0, None]}
    assert strict({"n": np.int32(3), "x": np.arange(2.0), "t": (1, "s"), "f": np.float32(0.5)}) == {
        "n": 3, "x": [0.0, 1.0], "t": [1, "s"], "f": 0.5,
    }  # fmt: skip


def test_the_summary_has_at_most_ten_lines_and_writes_less_or_equal_only_where_certified():
    made = examples.report()
    lines = made.summary()
    assert len(lines) <= 10
    assert made.bounds["rademacher"].certified and not made.bounds["arora2019"].certified
    (certified,) = [line for line in lines if line.startswith("rademacher")]
    (estimate,) = [line for line in lines if line.startswith("arora2019")]
    assert "<=" in certified
    assert "estimate" in estimate and "not certified" in estimate


def test_the_first_line_is_what_is_proved_and_says_so_where_nothing_is():
    made = examples.report()
    assert made.summary()[0].startswith("proved       no bound is certified and says something here; class 'a' is -1")
    best = dataclasses.replace(made, best="rademacher")
    assert best.summary()[0] == f"proved       {best.headline}; {best.problem}"
    assert best.headline.startswith("E min(1, |f(x) - y|) <= ")
    assert best.headline.endswith(" with probability at least 0.95 (rademacher), 0.4 on the test examples")
    told = dataclasses.replace(best, predicted=Interval(0.1, 0.2, 0.3))
    assert told.headline.endswith("0.4 on the test examples; the ridge fit is predicted to err on 0.2 in [0.1, 0.3]")
    assert told.to_dict()["predicted_risk"]["upper"] == 0.3 and told.to_dict()["best_bound"] == "rademacher"


def test_a_bound_without_a_value_says_why():
    assert "cannot be told from zero" in bound_line(examples.report(singular=True).bounds["arora2019"])


@pytest.mark.parametrize("value", [1.23401, 0.99999, 2.5859999, 1e-7 / 3, 123456.0, 9.9999])
def test_what_stands_behind_less_or_equal_is_never_below_the_bound(value: float):
    assert value <= float(outward(value)) <= value * 1.002
