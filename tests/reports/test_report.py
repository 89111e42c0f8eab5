"""Is the report on classes a sheet that is made of what it holds, and does it claim no more than its bounds?"""

from __future__ import annotations

import dataclasses
import json

import numpy as np

from ntkseq.reports import Sheet
from ntkseq.spectra import Interval
from tests.reports import examples


def test_the_keys_that_readers_rely_on_are_there():
    document = examples.report().to_dict()
    assert list(document) == list(examples.sheet().to_dict()) and document["schema"] == "ntkseq-sheet-1"
    found = document["numbers"]
    assert {"min_eigenvalue", "effective_rank", "bounds", "prediction", "spectrum", "data"} <= set(found)
    assert set(found["min_eigenvalue"]) == {"lower", "estimate", "upper", "resolved"}
    assert set(found["bounds"]) == {"rademacher", "arora2019", "du2019"}
    assert found["effective_rank"]["r_1"]["estimate"] is None


def test_bounds_without_a_value_are_null_in_strict_json():
    found = examples.report(singular=True).to_dict()
    text = json.dumps(found, allow_nan=False)
    assert json.loads(text) == found
    found = found["numbers"]
    assert found["min_eigenvalue"]["resolved"] is False
    assert found["bounds"]["arora2019"]["value"] is None and "zero" in found["bounds"]["arora2019"]["reason"]
    assert found["condition"]["upper"] is None and found["condition"]["upper_note"] == "inf"


def test_a_report_is_a_sheet_that_follows_what_it_holds():
    made = examples.report()
    assert isinstance(made, Sheet) and repr(made).startswith("Report(made: study")
    other = dataclasses.replace(made, prediction=dataclasses.replace(made.prediction, test_error=0.75))
    assert "25.00 %" in made.findings[0] and "75.00 %" in other.findings[0]
    assert other.numbers["prediction"]["test_error"] == 0.75 and other.facts[0][0] == "75.00 %"
    assert {"K", "K_test", "rounding_stated", "eigenvalues", "classes"} <= set(made.arrays)
    assert np.array_equal(made.arrays["K"], made.gram.array)


def test_the_summary_writes_less_or_equal_only_where_certified():
    made = examples.report()
    lines = made.summary()
    assert made.bounds["rademacher"].certified and not made.bounds["arora2019"].certified
    (certified,) = [line for line in lines if line.startswith("rademacher  ")]
    (estimate,) = [line for line in lines if line.startswith("arora2019  ")]
    assert "<=" in certified
    assert "estimate" in estimate and "not certified" in estimate


def test_the_first_fact_is_what_is_proved_and_a_finding_says_where_nothing_is():
    made = examples.report()
    assert any(one.startswith("Nothing is proved of the error") for one in made.findings)
    assert not any("≤" in value for value, _ in made.facts)
    best = dataclasses.replace(made, best="rademacher")
    value, label = best.facts[0]
    assert value == f"≤ {made.bounds['rademacher'].shown}" and label.startswith("E min(1, |f(x) - y|): certified, with")
    assert label.endswith(" probability at least 0.95 (rademacher); on the test examples 0.4")
    told = dataclasses.replace(best, predicted=Interval(0.1, 0.2, 0.3))
    assert told.facts[1] == ("0.2", "test error of the ridge fit as predicted, not certified; 0.2 in [0.1, 0.3]")
    found = told.to_dict()["numbers"]
    assert found["predicted_risk"]["upper"] == 0.3 and found["best_bound"] == "rademacher"
    assert f"≤ {made.bounds['rademacher'].shown}  {label}" in best.summary()  # a long label stands behind its value
