"""Can the command line of a study be told from its record, and are its options checked by their types?"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pytest

from ntkseq.reports import Sheet
from ntkseq.studies.base import NamedStudy


@dataclasses.dataclass(frozen=True)
class Example(NamedStudy):
    """An example."""

    name = "a"
    question = "What does an example ask?"
    expect = "Nothing."
    quick_values: ClassVar[Mapping[str, Any]] = {"n_train": 5, "plots": False}

    plots: bool = True
    n_train: int | None = None
    widths: tuple[int, ...] = (64, 256)
    names: tuple[str, ...] = ()
    rate: float = 1.0
    seed: int = 0

    def measure(self, clock, mark) -> Sheet:
        with clock("load", "data"):
            mark.add("data")
        return Sheet("An example", "", facts=(("1", "is one"),))


@dataclasses.dataclass(frozen=True)
class Slope(Example):
    two_or_more = ("widths",)


@pytest.mark.parametrize(
    ("study", "said"),
    [
        (Example(), "ntkseq study a"),
        (Example(quick=True, plots=True, n_train=3), "ntkseq study a --n-train 3 --quick"),
        (Example(plots=False), "ntkseq study a --no-plots"),
        (Example(n_train=3, widths=(1, 2)), "ntkseq study a --n-train 3 --widths 1 2"),
        (Example(names=("b c",), out="d", seed=4), "ntkseq study a --out d --names 'b c' --seed 4"),
    ],
)
def test_the_command_names_what_was_changed_and_nothing_else(study, said: str):
    assert study.command == said


def test_quick_changes_defaults_and_nothing_that_was_asked_for():
    quick, asked = Example(quick=True), Example(quick=True, n_train=7)
    assert (quick.n_train, quick.plots, asked.n_train) == (5, False, 7)
    assert Example().n_train is None and Example().plots


@pytest.mark.parametrize(("cls", "widths"), [(Example, ()), (Example, (1, 1)), (Slope, (1,))])
def test_lists_of_options_hold_different_ones(cls, widths):
    with pytest.raises(ValueError, match=r"widths must be different ones, (one|two) or more"):
        cls(widths=widths)
    assert cls(widths=(1, 2)).names == ()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"n_train": np.int64(-2)}, "n_train must be an integer >= 1"),
        ({"n_train": 0}, "n_train must be an integer >= 1; got 0"),
        ({"widths": (2, -1)}, "widths must be an integer >= 1; got -1"),
        ({"widths": (2.5,)}, "widths must be an integer"),
        ({"plots": 1}, "plots must be"),
        ({"names": "abc"}, "names must be a list"),
        ({"seed": -1}, "seed must be an integer >= 0"),
        ({"seed": 2**32}, "seed must be an integer of at most"),
    ],
)
def test_options_that_do_not_fit_their_types_are_turned_away(options, said: str):
    with pytest.raises(ValueError, match=said):
        Example(**options)


def test_a_whole_number_stands_for_any_other_number():
    assert Example(rate=0).rate == 0  # no count
    assert Example(n_train=np.int64(3)).n_train == 3


def test_a_sheet_says_what_was_asked_and_how_to_do_it_again():
    seen: list[str] = []

    def stage(name: str):
        seen.append(name)
        return contextlib.nullcontext()

    sheet = Example(seed=3).run(stage)
    assert (sheet.title, sheet.question, sheet.expect) == ("An example", Example.question, "Nothing.")
    assert sheet.command == sheet.provenance["command"] == "ntkseq study a --seed 3" and seen == ["data"]
    assert sheet.provenance["config"]["widths"] == (64, 256) and list(sheet.provenance["seconds"]) == ["load"]
