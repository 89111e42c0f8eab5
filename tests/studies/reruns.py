"""Does the command line of a study make the same numbers again, and another seed others?"""

from __future__ import annotations

import dataclasses
import pathlib
import shlex
from typing import Any

import numpy as np

from ntkseq import cli
from ntkseq.reports import Sheet


def assert_the_command_does_it_again(study: Any, key: str, folder: pathlib.Path, capsys: Any) -> Sheet:
    """Run a study and its command; `key` names an array that the seed changes. Returns the sheet of the study."""
    words = shlex.split(study.command)
    assert words[:3] == ["ntkseq", "study", study.name]
    first = study.run()
    assert cli.main([*words[1:], "--out", str(folder / "again")]) == 0
    capsys.readouterr()
    again = np.load(folder / "again" / "arrays.npz")
    assert sorted(again.files) == sorted(first.arrays)
    for name, array in first.arrays.items():
        np.testing.assert_array_equal(again[name], array)
    other = dataclasses.replace(study, seed=study.seed + 1).run()
    assert not np.array_equal(other.arrays[key], first.arrays[key])
    assert other.provenance["data_sha256"] != first.provenance["data_sha256"]
    return first
