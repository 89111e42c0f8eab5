"""Does junk get an answer of one line from this library, at every public callable that the sweep knows?"""

from __future__ import annotations

import collections
import json
import os
import pathlib
import subprocess
import sys
from typing import Any

import pytest

from ntkseq import _checks

BUDGET = {"foreign": 33, "accepted": 0, "long": 7, "unnamed": 75}
"""Errors of other libraries, NaN and masked numbers taken without a word, messages of several lines, and those that do
not spell the name of the argument: as many as were left when the sweep was made. They may only fall."""


@pytest.mark.slow
def test_junk_is_answered_in_one_line_and_nan_is_never_taken() -> None:
    script = pathlib.Path(__file__).parent / "junk.py"
    run = subprocess.run([sys.executable, str(script)], env=os.environ | {"JAX_PLATFORMS": "cpu"}, capture_output=True)
    found: dict[str, Any] = json.loads(run.stdout)
    assert found["broken"] == [] and found["calls"] > 7000
    by_kind: dict[str, list[str]] = collections.defaultdict(list)
    for title, argument, what, wrong in found["wrong"]:
        by_kind[wrong.split(":")[0]].append(f"{title}({argument}={what}): {wrong}")
    over = {kind: found for kind, found in by_kind.items() if len(found) > BUDGET[kind]}
    assert over == {}


@pytest.mark.parametrize("value", ["0.1", None, [0.1], 1j, True, float("nan"), 10**400])
def test_what_is_no_number_is_said_in_one_short_line(value: Any) -> None:
    for check in (_checks.number, _checks.probability, _checks.nonnegative):
        with pytest.raises(ValueError, match=r"^delta must .*; got ") as caught:
            check("delta", value)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 250
