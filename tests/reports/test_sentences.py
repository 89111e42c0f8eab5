"""Do the sentences of a report follow its numbers: each turn of them, when the numbers turn?"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ntkseq import bounds
from ntkseq.reports import sentences
from tests.reports import examples


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"test_error": 0.0, "test_interval": (0.0, 0.04)}, "tells 'a' from 'b' without an error on 4 examples"),
        ({"test_error": 0.02, "test_interval": (0.0, 0.04)}, "with an error of 2.00 %"),
        ({"test_interval": (0.0, 0.04)}, "; always saying the most frequent class errs on 50.00 %."),
        ({"test_interval": (0.1, 0.6)}, ": it is not told from always saying the most frequent class"),
        ({"test_interval": (0.6, 0.9)}, ": it is worse than always saying the most frequent class"),
        ({"test_interval": None}, "some were trained on, so that this is too little"),
    ],
)
def test_errors_are_put_beside_the_most_frequent_class(changes, said):
    assert said in sentences.separation(dataclasses.replace(examples.report().prediction, **changes), ("a", "b"))


def test_what_is_resolved_is_counted_and_float64_named_where_it_may_help():
    whole, part = examples.report().spectrum, examples.report(singular=True).spectrum
    assert sentences.resolution(whole, "float32").startswith("All 6 directions of the examples are resolved in float32")
    told = sentences.resolution(part, "float32")
    assert told.startswith("5 of 6 directions of the examples are told from zero in float32.")
    assert told.endswith(" float64 may resolve the others, but for equal examples.")
    assert sentences.resolution(part, "float64").endswith("Near-duplicate examples do that.")


@pytest.mark.slow
def test_what_is_proved_is_said_in_words_and_its_absence_too():
    made = examples.report()
    assert sentences.proved(made.bounds, "", None, 6) == (
        "Nothing is proved of the error: the certified bounds say nothing at n = 6."
    )
    x = np.linspace(-1.0, 1.0, 200)
    table = bounds.table(np.outer(x, x), np.sign(x), reg=0.1)
    key = next(iter(table.rows))
    told = sentences.proved(table.rows, key, 0.015, 200)
    assert f"the chance of an error on a new example is at most {table.rows[key].shown} ({key}:" in told
    assert told.startswith("Proved, with probability at least 0.95:") and told.endswith(
        "On the test examples it is 0.015."
    )


def test_the_n_from_which_a_bound_would_speak_is_where_its_parts_come_to_its_trivial_level():
    bound = examples.report().bounds["rademacher"]
    n = sentences.enough(bound, 6)
    loss, *rest = [term.value for term in bound.terms if term.counted]
    at = lambda size: loss + sum(rest) * np.sqrt(6 / size)  # noqa: E731
    assert bound.vacuous and at(n) <= 1.0 < at(0.9 * n)
    told = sentences.vacuous(examples.report().bounds, 6, 2.0)
    assert f"rademacher would from about n = {n:,} on" in told and "say nothing at n = 6" in told
    assert "so far because" not in told
    near = dataclasses.replace(bound, terms=(dataclasses.replace(bound.terms[0], value=0.9999), *bound.terms[1:]))
    assert sentences.vacuous({"rademacher": near}, 6, 2.0).endswith(
        " on, so far because its loss on its own examples is 0.9999."
    )
    worse = dataclasses.replace(bound, terms=(dataclasses.replace(bound.terms[0], value=1.0), *bound.terms[1:]))
    assert sentences.enough(worse, 6) is None
