"""Do the sentences on grokking follow their numbers?"""

from __future__ import annotations

import dataclasses

import numpy as np

from ntkseq.studies.grokking import Grokking
from ntkseq.studies.grokking.networks import FAMILIES, frequency
from ntkseq.studies.grokking.runs import Outcome
from ntkseq.studies.grokking.sentences import delay, findings, frequencies, order
from ntkseq.studies.grokking.sheet import sheet

FEATURES = (*FAMILIES, frequency(1), frequency(2))
LAYERS = ("input", "read-out", "all")
WATCHED, STEPS = np.arange(0, 1010, 10), np.array([0, 20, 90, 110, 300, 1000])


def outcome(known: float, rises: float, shift: float = 0.0) -> Outcome:
    """Knows the training pairs at 50, the test pairs at `known`; read-out and all turn to a + b at `rises`."""
    overlap = np.zeros((len(STEPS), 3, 5))
    overlap[:, :, 0] = 0.9
    overlap[rises <= STEPS, 1:, 1] = 0.8
    overlap[rises <= STEPS, 1:, 3] = 0.9
    return Outcome(
        WATCHED, (50 + shift <= WATCHED) * 1.0, (known + shift <= WATCHED) * 1.0, STEPS, LAYERS, FEATURES, overlap,
        np.maximum(overlap - 0.05, 0), np.minimum(overlap + 0.05, 1), np.full(5, 0.2), np.ones((6, 3), bool), 4, None,
    )  # fmt: skip


GROKS = [outcome(600, 100, shift) for shift in (0.0, 10.0, 20.0, 10.0)]
NEVER = [*GROKS[:3], outcome(9999, 100)]
LATE = [outcome(100, 1000, shift) for shift in (0.0, 10.0, 20.0, 10.0)]


def test_grokking_and_its_absence_are_said():
    assert delay("mlp", GROKS, 0.8).startswith("The MLP knows 80% of the training pairs by step 55 [")
    assert delay("mlp", GROKS, 0.8).endswith("steps later: it groks.")
    some = delay("transformer", NEVER, 0.8)
    assert some.endswith("in 3 of 4 seeds, by step 600 to 620: in the others no grokking is seen.")
    assert delay("mlp", [outcome(9999, 100)] * 2, 0.8).endswith("of the test pairs never: no grokking is seen.")
    assert delay("mlp", [outcome(50, 100)] * 4, 0.8).endswith("steps).") and "a delay is not told" in delay(
        "mlp", [outcome(50, 100)] * 4, 0.8
    )
    unlearned = dataclasses.replace(GROKS[0], train=np.zeros(len(WATCHED)))
    assert "does not learn 80% of the training pairs in 1 of 2 seeds" in delay("mlp", [unlearned, GROKS[0]], 0.8)


def test_what_comes_first_is_said_only_where_an_interval_tells():
    assert order("mlp", GROKS, 0.8).endswith("steps before the test pairs are known.")
    late = [dataclasses.replace(one, steps=np.array([0, 20, 90, 950, 960, 1000])) for one in LATE]
    assert order("mlp", late, 0.8).endswith("steps after they are known.")
    near = [outcome(100, 100, shift) for shift in (0.0, 10.0, -10.0)]
    assert "which comes first is not told" in order("mlp", near, 0.8)
    untold = order("mlp", NEVER, 0.8)
    assert "not told: certainly before in 4 of 4 seeds. In 1 of 4 seeds it never is followed by" in untold
    many = [*NEVER, *NEVER]
    assert "before generalisation in more than half of all seeds (certainly before in 8 of 8 seeds)" in order(
        "mlp", many, 0.8
    )
    assert order("mlp", GROKS, 0.8, "input").endswith("is never above its floor.")


def test_frequencies_are_counted_and_the_sheet_holds_all_of_it():
    said = frequencies("mlp", GROKS)
    assert said.endswith("hold, of 2 frequencies of a + b, 0 (input), 1 (read-out) and 1 (all).")
    opened = findings(Grokking(quick=True), {"mlp": GROKS, "transformer": NEVER}, 0.8, 1, 9)
    assert len(opened) == 5 and opened[3].startswith("1 of 9 runs diverged")
    assert opened[4].endswith("ntkseq study grokking --out grokking-report-next")
    made = sheet({"mlp": GROKS, "transformer": NEVER}, 7, 0.8)
    moments, overlaps = made.sections[1].tables
    assert moments.rows[0][1] == "never in 4 of 4 seeds"
    assert moments.rows[1][2] is None and moments.rows[1][3] == "4 of 4"
    assert overlaps.rows[1][2] == "0.000 → 0.800" and overlaps.rows[1][4] == "1 of 2"
    assert made.numbers["mlp"]["held"]["read-out"] == [[1]] * 4
    assert made.figures[-1].axes().get_ylabel() == "frequency of a + b"
