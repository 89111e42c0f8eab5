"""Do the sentences on a training run follow its rows?"""

from __future__ import annotations

import numpy as np

from ntkseq.studies.history import sheet
from ntkseq.studies.history_sentences import NEXT, findings
from ntkseq.training import ProbeTable
from tests.reports import runs

STEPS = np.array([0, 10, 20])


def test_losses_go_from_their_first_to_their_last_row_and_turn_where_they_turn():
    table = ProbeTable(STEPS, {"train_loss": np.array([2.0, 1.0, 0.1]), "test_loss": np.array([2.0, 0.5, 0.9])})
    (told,) = findings({"loss": ("loss", table)})
    assert told == (
        "From step 0 to 20 the train loss went from 2 to 0.1; the test loss went from 2 to 0.9, least 0.5 at step 10."
    )
    lost = ProbeTable(STEPS, {"train_loss": np.array([2.0, 9.0, np.nan])})
    assert "the run diverged" in findings({"loss": ("loss", lost)})[0]


def test_the_move_of_the_kernel_and_the_steps_at_which_it_is_resolved_are_counted():
    table = ProbeTable(
        STEPS,
        {
            "distance": np.array([0.0, 0.1, 0.25]), "distance_error": np.array([0.0, 0.001, 0.0025]),
            "resolved": np.array([True, True, False]),
        },
    )  # fmt: skip
    moved, resolved, after = findings({"kernel": ("kernel", table)})
    assert moved == "The kernel of probe 'kernel' ended 25 % (+- 0.25 %) of its size away from where it began."
    assert "told from zero at 2 of 3 steps" in resolved and after == NEXT


def test_the_report_of_a_run_opens_with_them():
    said = sheet(runs.history()).findings
    assert 3 <= len(said) <= 5 and said[-1] == NEXT and any("train loss" in sentence for sentence in said)
