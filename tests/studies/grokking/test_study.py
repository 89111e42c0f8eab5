"""Tests of `ntkseq.studies.grokking.study` as a whole, and of its runs."""

from __future__ import annotations

import numpy as np
import pytest

from ntkseq.reports import Folder, Sheet
from ntkseq.studies.grokking import Grokking
from ntkseq.studies.grokking.runs import records


@pytest.fixture(scope="module")
def sheet() -> Sheet:
    return Grokking(networks=("mlp",), p=11, fraction=0.7, width=64, steps=1000, seeds=2, records=6, accuracy=0.7).run()


def test_the_square_network_ends_with_functions_of_the_sum_and_began_without(sheet: Sheet, tmp_path) -> None:
    found = sheet.numbers["mlp"]
    assert all(one > 0.7 for one in found["accuracy"]["test"]) and found["k"] == 20
    assert found["held"]["read-out"] == [[1, 2, 3, 4, 5]] * 2 and found["held"]["input"] == [[]] * 2
    overlap = sheet.arrays["mlp-0.overlap"]  # (records, layers, features)
    assert overlap[0, 0, 0] > 0.95 and overlap[0, 1, 1] < 0.2 < 0.8 < overlap[-1, 1, 1]
    assert sheet.findings[0].startswith("The MLP knows 70% of the training pairs by step")
    with Folder(tmp_path / "report") as folder:
        folder.write(sheet)
    assert (tmp_path / "report" / "report.html").read_text().count("<img") == 4


@pytest.mark.slow
def test_the_transformer_runs_and_every_layer_is_looked_at() -> None:
    made = Grokking(networks=("transformer",), p=5, width_transformer=8, steps=3, seeds=1, records=3).run()
    assert made.numbers["transformer"]["layers"] == ["embedding", "attention", "two layers", "read-out", "all"]
    assert np.isfinite(made.arrays["transformer-0.overlap"]).all()


def test_the_command_does_it_again_and_bad_options_are_turned_away() -> None:
    assert Grokking(quick=True).command == "ntkseq study grokking --quick"
    assert Grokking(p=11, networks=("mlp",)).command == "ntkseq study grokking --networks mlp --p 11"
    assert records(1000, 4) == (0, 20, 141, 1000) and records(3, 4) == (0, 3)
    for given, message in (
        ({"p": 8}, "p must be an odd number"), ({"width_transformer": 6}, "multiple of 4"),
        ({"fraction": 1.0}, "fraction"), ({"records": 2}, "records must be 3 or more"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            Grokking(**given)
