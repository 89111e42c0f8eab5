"""Do options come in the order of use, with their help, and make the record that was asked for?"""

from __future__ import annotations

import dataclasses
import re

import pytest

from ntkseq import cli
from ntkseq.studies import Study, named, options
from ntkseq.studies.accuracies import Scored
from ntkseq.studies.records import Reading


@pytest.mark.parametrize("words", [["study"], ["accuracy"], ["study", "training"]])
def test_options_for_reading_a_file_stand_behind_the_others_in_a_group_of_their_own(capsys, words):
    assert cli.main([*words, "--help"]) == 0
    own, reading = capsys.readouterr().out.split("file-reading options")
    names = [field.name for field in dataclasses.fields(Reading)]
    listed = [set(re.findall(r"^\W{1,4}--(\w[\w-]*)", part, re.MULTILINE)) for part in (own, reading)]
    assert listed[1] == set(names) and not listed[0] & listed[1] and "seed" in listed[0]


@pytest.mark.parametrize("cls", [Study, Scored, *map(named.find, named.STUDIES)])
def test_every_option_has_its_help_and_the_record_is_that_of_the_class(cls):
    assert set(options._helps(cls)) == {field.name for field in dataclasses.fields(cls)}
    argument = {Study: "source", Scored: "file"}.get(cls)
    asked = options.command(cls, argument)(**({argument: "a.npz"} if argument else {}))
    assert asked.record() == (cls(**{argument: "a.npz"}) if argument else cls())


def test_a_complaint_is_one_line():
    boxed = "╭─ Parsing error ─╮\n│ Error parsing x: no. │\n│ ──── │\n│ help │\n╰──╯"
    assert options.usage(boxed, "ntkseq study") == "no. See ntkseq study --help."
