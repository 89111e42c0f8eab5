"""Tests of `ntkseq.studies.finetune.study` as a whole, and of its sheet."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ntkseq.reports import Folder
from ntkseq.spectra import Interval
from ntkseq.studies.finetune.measures import Optimiser, Outcome
from ntkseq.studies.finetune.networks import Texts
from ntkseq.studies.finetune.sheet import sheet
from ntkseq.studies.finetune.study import Finetune
from ntkseq.training import KernelPart, KernelRegime, RegimeTest

LAZY = KernelRegime(
    "kernel",
    RegimeTest("linearisation", Interval(0.91, 0.95, 0.99), 0.9, "holds"),
    RegimeTest("features", Interval(0.0, 0.1, 0.2), 0.5, "holds"),
    {"logits": Interval(0.91, 0.95, 0.99), "accuracy": Interval(-np.inf, 1.0, np.inf)},
    (Interval(0.0, 0.1, 0.2),), 1e-6, {"head": KernelPart(0.75, 0.5, Interval(0.1, 0.2, 0.3))}, 10, 0.95,
)  # fmt: skip
NOT = dataclasses.replace(
    LAZY, verdict="not kernel", split={},
    linearisation=RegimeTest("linearisation", Interval(0.1, 0.2, 0.3), 0.9, "fails"),
)  # fmt: skip


def test_the_sheet_says_what_was_found_in_words_tables_and_pictures(tmp_path) -> None:
    both = np.array([[0.0, 1.0], [0.1, 0.9]])
    found = [
        Outcome("full", 7, (0.1, 0.2), (0.5, 0.25, 0.3), NOT, both),
        Outcome("head", 3, (0.3, 0.3), (0.5, 0.4, 0.4), LAZY, both),
    ]
    steps = [Optimiser("SGD", np.eye(2), 1.0, 0.1, 0.0, 0.25, (0.1, 0.01))]
    x, y = np.zeros((2, 3, 4)), np.array([1.0, -1.0])
    made = sheet(found, steps, Texts(x, np.array([0, 1]), (x, y), (x, y)), (3.0, 2.0))
    assert made.facts == (("not kernel", "full fine-tuning: regime"), ("kernel", "head only: regime"))
    assert made.sections[0].text[0].startswith("Full fine-tuning is not in the kernel regime: linearisation fails")
    (part,) = made.sections[0].tables[1].rows
    assert part[:4] == ("head only", "head", 0.75, 0.5) and str(part[4]) == "0.2 in [0.1, 0.3]"
    assert made.numbers["methods"]["full"]["test_error"] == {"before": 0.5, "after": 0.25, "linearised": 0.3}
    assert made.numbers["optimisers"]["SGD"]["missed"] == 0.01
    with Folder(tmp_path / "report") as folder:
        folder.write(made)
    assert (tmp_path / "report" / "report.html").read_text().count("<img") == len(made.figures) == 4


@pytest.mark.slow
def test_every_way_is_tested_and_the_head_alone_is_a_kernel() -> None:
    small = Finetune(
        window=6, width=8, heads=2, depth=1, rank=2, pretraining=5, steps=10, batch=8, n_pre=64, n_train=24, n_test=80,
        n_kernel=40,
    )  # fmt: skip
    made = small.run()
    assert [fact[1].split(":")[0] for fact in made.facts] == ["full fine-tuning", "LoRA", "head only"]
    head = made.numbers["methods"]["head"]
    assert head["verdict"] == "kernel" and head["change"]["estimate"] == 0.0 and head["parameters"] == 40
    assert [row[0] for row in made.sections[1].tables[0].rows] == ["SGD", "Adam", "SignGD"]
    assert 0 < made.numbers["optimisers"]["SignGD"]["asymmetry"] < 1
    assert all(one["missed"] < 0.2 for one in made.numbers["optimisers"].values())


def test_the_command_does_it_again() -> None:
    assert Finetune(quick=True).command == "ntkseq study finetune --quick"
    assert Finetune(methods=("head",), steps=5).command == "ntkseq study finetune --methods head --steps 5"
