"""Are studies found by their names, and can their command line be told from the record?"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ntkseq import data
from ntkseq.studies import digits, named
from ntkseq.studies.spec import Reading


def fields(cls):
    return {field.name for field in dataclasses.fields(cls)}


@dataclasses.dataclass(frozen=True)
class Example:
    """What does an
    example ask?

    More words.
    """

    quick: bool = False
    plots: bool = True
    n_train: int | None = None
    widths: tuple[int, ...] = dataclasses.field(default_factory=lambda: (64, 256))


def test_every_named_study_can_be_found_and_is_what_the_command_line_needs():
    for name in named.STUDIES:
        cls = named.find(name)
        study = cls()
        assert isinstance(study, named.Named), name
        assert dataclasses.is_dataclass(cls) and cls.__doc__ and study.command == f"ntkseq study {name}"
    assert len(named.listing()) == len(named.STUDIES)


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match="no study 'nope'; the named ones are"):
        named.find("nope")


def test_a_study_is_listed_by_its_name_and_the_first_sentence_of_its_class(monkeypatch):
    monkeypatch.setattr(named, "STUDIES", {"example": "anywhere:Example"})
    monkeypatch.setattr(named, "find", lambda name: Example)
    assert named.listing() == ["example: What does an example ask?"]


@pytest.mark.parametrize(
    ("study", "said"),
    [
        (Example(), "ntkseq study a"),
        (Example(quick=True, plots=False), "ntkseq study a --no-plots --quick"),
        (Example(n_train=3, widths=(1, 2)), "ntkseq study a --n-train 3 --widths 1 2"),
    ],
)
def test_the_command_names_what_was_changed_and_nothing_else(study, said: str):
    assert named.command("a", study) == said


def test_quick_changes_defaults_and_nothing_that_was_asked_for():
    quick, asked = Example(quick=True), Example(quick=True, n_train=7)
    for study in (quick, asked):
        named.fill(study, {"n_train": 5, "plots": False})
    assert (quick.n_train, quick.plots, asked.n_train) == (5, False, 7)
    plain = Example()
    named.fill(plain, {"n_train": 5})
    assert plain == Example()


@pytest.mark.parametrize(("widths", "least"), [((), 1), ((1, 1), 1), ((1,), 2)])
def test_lists_of_options_hold_different_ones(widths, least):
    with pytest.raises(ValueError, match=r"widths must be different ones, (one|two) or more"):
        named.distinct(Example(widths=widths), "widths", least=least)
    named.distinct(Example(widths=(1, 2)), "widths", least=least)


def test_the_passages_of_a_head_are_read_whole():
    assert named.passage(digits.__doc__, "Question").startswith("The images are read row by row, 8 steps of 8")
    expect = named.passage(digits.__doc__, "Numbers to expect")
    assert expect.startswith("No test error") and expect.endswith("about 22.")
    two = "Title.\n\nNumbers to expect: a\nb.\n\nWith colon: c.\n\nTime: d."
    assert named.passage(two, "Numbers to expect") == "A b.\n\nWith colon: c."
    with pytest.raises(ValueError, match="no passage 'Time'"):
        named.passage("Title.", "Time")


@pytest.mark.parametrize("name", [name for name in named.STUDIES if "source" in fields(named.find(name))])
def test_a_named_study_reads_its_file_as_the_options_of_reading_say(name, tmp_path):
    path = tmp_path / "channels.npz"
    x = np.random.default_rng(0).standard_normal((40, 1, 8)).astype(np.float32)
    np.savez(path, x=x, y=np.arange(40) % 4)
    cls = named.find(name)
    chosen = {"tasks": ("classes",)} if name == "attention-rank" else {}
    with pytest.raises(ValueError, match="layout='nct'"):  # what a message names, the study has
        cls(source=str(path), **chosen).run()
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "load", lambda path, **options: seen.append(options) or 1 / 0)
        with pytest.raises(ZeroDivisionError):
            cls(source=str(path), layout="nct", tokens="real", test="other.npz", **chosen).run()
    asked = Reading(layout="nct", tokens="real", test="other.npz").reading
    assert seen and {**seen[0], "dtype": None} == asked | {"dtype": None}
