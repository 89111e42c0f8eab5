"""Does a bound print `<=` only when everything it rests on stands?"""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pytest

from ntkseq import bounds, references
from ntkseq._bound import Constants, total
from ntkseq.bounds import Assumption, Bound, Term

EXPLICIT = Term("capacity", "2 B/sqrt(n)", 0.25, explicit=True, provenance="derived")
HOLDS = Assumption("labels", "|y| <= 1", "holds", "largest 1")
DECLARED = Assumption("i.i.d.", "independent draws", "declared")


@dataclasses.dataclass(frozen=True)
class Numbers(Constants):
    K: Any
    n: Any
    grid: Any
    kappa: Any


def make(terms=(EXPLICIT,), assumptions=(HOLDS, DECLARED), **changes):
    fields = {"name": "test bound", "quantity": "risk", "delta": 0.05, "value": total(terms)} | changes
    return Bound(terms=tuple(terms), assumptions=tuple(assumptions), **fields)


def test_a_bound_whose_terms_and_assumptions_all_stand_is_certified():
    bound = make()
    assert bound.certified
    assert bound.verdict == "risk <= 0.25 with probability at least 0.95"
    assert str(bound).endswith(bound.verdict)


@pytest.mark.parametrize(
    ("terms", "assumptions", "why"),
    [
        (
            [EXPLICIT, Term("noise", "O(1/sqrt(n))", 0.1, explicit=False, provenance="derived")],
            [HOLDS],
            "constant taken as stated in noise",
        ),
        (
            [Term("capacity", "sqrt(2 b/n)", 0.1, explicit=True, provenance="recalled")],
            [HOLDS],
            "recalled, not verified, in capacity",
        ),
        ([EXPLICIT], [Assumption("labels", "|y| <= 1", "fails", "largest 3")], "labels: fails"),
        ([EXPLICIT], [HOLDS, Assumption("width", "m large", "unchecked")], "width: unchecked"),
        ([EXPLICIT], [HOLDS, Assumption("rank", "K > 0", "unresolved")], "rank: unresolved"),
    ],
)
def test_one_objection_turns_the_bound_into_an_estimate_that_says_why(terms, assumptions, why):
    bound = make(terms, assumptions)
    assert not bound.certified
    assert why in bound.verdict
    assert "<=" not in bound.verdict
    assert f"risk: estimate {bound.value:.4g}" in bound.verdict


def test_a_lower_bound_prints_its_own_side_rounded_down():
    term = Term("least", "b/n", 0.123456, explicit=True, provenance="derived")
    lower, upper = (make([term], delta=None, lower=side, trivial=None) for side in (True, False))
    assert lower.claim == lower.verdict == "risk >= 0.1234" and upper.verdict == "risk <= 0.1235"
    assert lower.to_dict()["lower"] is True and upper.to_dict()["lower"] is False
    recalled = make([Term("least", "b/n", 0.123456, explicit=True, provenance="recalled")], lower=True)
    assert ">=" not in recalled.verdict and "estimate 0.1235" in recalled.verdict
    negative = make(
        [Term("least", "b/n", -0.123456, explicit=True, provenance="derived")], delta=None, lower=True, trivial=None
    )
    assert negative.verdict == "risk >= -0.1235"


def test_a_lower_bound_says_nothing_from_its_trivial_value_down():
    for value, empty in ((0.0, True), (-1.0, True), (1e-9, False)):
        term = Term("least", "b/n", value, explicit=True, provenance="derived")
        assert make([term], lower=True, trivial=0.0).vacuous is empty
    assert not make(lower=True, trivial=None).vacuous and make(lower=True, value=math.nan).vacuous


def test_a_number_shown_beside_the_bound_is_no_part_of_it():
    beside = Term("rate", "O(.)", 7.0, explicit=False, provenance="recalled", counted=False)
    bound = make([EXPLICIT, beside])
    assert bound.value == 0.25
    assert bound.certified
    assert bound.provenance == "derived"
    assert "beside the bound" in str(bound)


def test_a_rate_gives_no_number():
    bound = make(
        [EXPLICIT, Term("width", "poly(n)", None, explicit=False, provenance="recalled")],
        reason="the source gives a rate",
    )
    assert bound.value is None
    assert not bound.certified
    assert bound.vacuous
    assert "no value" in bound.verdict and "the source gives a rate" in bound.verdict
    assert "rate only" in str(bound)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_value_that_is_not_finite_is_never_certified(value):
    bound = make([Term("capacity", "y'K^-1 y", value, explicit=True, provenance="derived")], reason="K is singular")
    assert not bound.certified
    assert bound.vacuous
    assert "K is singular" in bound.verdict
    assert "<=" not in bound.verdict


def test_the_provenance_is_that_of_the_worst_term():
    exact = Term("training loss", "mean l", 0.1, explicit=True, provenance="exact")
    recalled = Term("noise", "O(.)", 0.1, explicit=True, provenance="recalled")
    assert make([exact]).provenance == "exact"
    assert make([exact, EXPLICIT]).provenance == "derived"
    assert make([recalled, exact, EXPLICIT]).provenance == "recalled"


def test_a_bound_above_what_the_quantity_can_reach_is_vacuous_and_says_so():
    big = Term("capacity", "2 B/sqrt(n)", 1.0, explicit=True, provenance="derived")
    assert make([big]).vacuous
    assert make([big]).verdict.endswith("(vacuous)")
    assert not make([big], trivial=2.0).vacuous
    assert not make([big], trivial=None).vacuous


@pytest.mark.parametrize("value", [0.12341, 0.99999, 1.0, 1e-17, 123456.7, 0.25, 0.0])
def test_the_printed_upper_bound_is_never_below_the_value(value):
    verdict = make([Term("capacity", "b", value, explicit=True, provenance="derived")], trivial=None).verdict
    printed = float(verdict.split("<= ")[1].split(" ")[0])
    assert value <= printed <= value * 1.001


def test_the_dictionary_is_json_without_nan_and_says_what_was_lost():
    bound = make(
        [Term("capacity", "b", math.nan, explicit=True, provenance="derived")],
        reason="K is singular",
        constants=Numbers(np.float64(2.0), np.int64(3), np.array([1.0, math.inf]), None),
        references=("bartlett2002rademacher",),
    )
    entry = json.loads(json.dumps(bound.to_dict(), allow_nan=False))
    assert entry["value"] is None and entry["value_note"] == "nan"
    assert entry["reason"] == "K is singular"
    assert entry["terms"][0]["value"] is None and entry["terms"][0]["value_note"] == "nan"
    assert entry["constants"]["K"] == 2.0 and entry["constants"]["n"] == 3 and entry["constants"]["kappa"] is None
    assert entry["constants"]["grid"] == [1.0, None] and "not finite" in entry["constants"]["grid_note"]
    assert entry["certified"] is False


def test_the_dictionary_of_a_certified_bound_has_no_objections():
    entry = make().to_dict()
    assert entry["certified"] is True and entry["objections"] == []
    assert "value_note" not in entry


def test_the_print_shows_each_assumption_with_its_status_and_evidence():
    text = str(make())
    assert "holds" in text and "largest 1" in text
    assert "declared" in text and "independent draws" in text
    assert "derived" in text and "2 B/sqrt(n)" in text


def test_a_word_that_is_no_status_or_provenance_is_refused():
    with pytest.raises(ValueError, match="unresolved"):
        Assumption("labels", "|y| <= 1", "passed")
    with pytest.raises(ValueError, match="recalled"):
        Term("capacity", "b", 1.0, explicit=True, provenance="known")


def test_a_bound_is_cited():
    assert "Mendelson" in references.cite(make(references=("bartlett2002rademacher",)))


def test_what_a_term_claims_is_given_by_name_only():
    with pytest.raises(TypeError):
        Term("capacity", "2 B/sqrt(n)", 0.25, True, "derived")  # pyright: ignore[reportCallIssue]


def test_the_constants_of_every_bound_are_a_record_and_written_by_name():
    K, y = 0.5 * np.eye(4) + 0.5, np.array([1.0, -1.0, 1.0, 1.0])
    bound = bounds.margin(K, y, gamma=0.5, reg=0.1)
    assert bound.constants.gamma == bound.to_dict()["constants"]["gamma"] == 0.5
    plain = bounds.rademacher(K, y).to_dict()["constants"]
    assert "gamma" not in plain and plain["n"] == 4
    head = bounds.AttentionHead([0.5], [[1.0], [0.5]], 0.1 * np.eye(2))
    seen = bounds.attention_rank(head, np.ones((4, 3, 2)), y, Bx=2.0)
    there = seen.to_dict()["constants"]
    assert there["norm_V_op"] == seen.constants.norms["V_op"] and there["radius_V_op"] == seen.constants.radii["V_op"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        bound.constants.n = 5  # pyright: ignore[reportAttributeAccessIssue]
