"""Helpers that run commands and look at what they say and leave."""

from __future__ import annotations

import json
import pathlib

import pytest

from ntkseq import cli

FILES = ["arrays.npz", "report.html", "report.json"]


def names(folder=".") -> list[str]:
    return sorted(path.name for path in pathlib.Path(folder).iterdir())


def refused(capsys, *words: str) -> str:
    """The one line that is said when a command is refused."""
    before = names()
    assert cli.main(words) == 2
    said = capsys.readouterr()
    assert said.out == "" and names() == before
    lines = [line for line in said.err.splitlines() if line.startswith("ntkseq: ")]
    assert len(lines) == 1 and said.err.rstrip().endswith(lines[0]) and "Traceback" not in said.err
    return lines[0]


def document_of(capsys, *words: str) -> dict:
    """The JSON document of a command that is told to be quiet, and is."""
    assert cli.main([*words, "--json", "--quiet"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    return json.loads(said.out, parse_constant=pytest.fail)


def said_before(capsys, *words: str) -> list[str]:
    """What a command says on standard error before it computes."""
    assert cli.main(words) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.rstrip().endswith("ntkseq: computed")
    return [line.strip() for line in said.err.splitlines()]
