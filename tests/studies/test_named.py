"""Are studies found by their names, and do they say what they ask where docstrings are stripped?"""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from ntkseq import data
from ntkseq.studies import named
from ntkseq.studies.base import NamedStudy
from ntkseq.studies.records import Reading


def fields(cls):
    return {field.name for field in dataclasses.fields(cls)}


@pytest.mark.parametrize("name", named.STUDIES)
def test_every_named_study_can_be_found_and_is_what_the_command_line_needs(name: str):
    cls = named.find(name)
    study = cls()  # pyright: ignore[reportAbstractUsage]
    assert isinstance(study, NamedStudy) and cls.name == name and study.command == f"ntkseq study {name}"
    assert "seed" in fields(cls) and set(cls.quick_values) | set(cls.two_or_more) <= fields(cls)
    assert cls.question.endswith((".", "?")) and cls.expect.endswith(".")
    assert (cls.__doc__ or "").startswith(cls.summary)


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match="no study 'nope'; the named ones are"):
        named.find("nope")


@pytest.mark.slow
def test_studies_are_listed_and_ask_their_question_without_docstrings():
    code = (
        "from ntkseq.studies import named; print(*named.listing(), sep='\\n'); print(named.find('training').question)"
    )
    done = subprocess.run([sys.executable, "-OO", "-c", code], capture_output=True, text=True, check=True)
    *lines, question = done.stdout.splitlines()
    assert lines == named.listing() and question == named.find("training").question
    assert lines[0].startswith("training: Kernels through training: ")


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
