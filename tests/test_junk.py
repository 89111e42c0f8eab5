"""Does junk get an answer of one line from this library, at every public callable that the sweep knows?"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from typing import Any

import pytest

from ntkseq import _checks


@pytest.mark.slow
def test_junk_is_answered_in_one_line_and_nan_is_never_taken() -> None:
    script = pathlib.Path(__file__).parent / "junk.py"
    run = subprocess.run([sys.executable, str(script)], env=os.environ | {"JAX_PLATFORMS": "cpu"}, capture_output=True)
    found: dict[str, Any] = json.loads(run.stdout)
    assert found["broken"] == [] and found["calls"] > 20_000
    assert [f"{title}({argument}={what}): {wrong}" for title, argument, what, wrong in found["wrong"]] == []


@pytest.mark.parametrize("value", ["0.1", None, [0.1], 1j, True, float("nan"), 10**400])
def test_what_is_no_number_is_said_in_one_short_line(value: Any) -> None:
    for check in (_checks.number, _checks.probability, _checks.nonnegative):
        with pytest.raises(ValueError, match=r"^delta must .*; got ") as caught:
            check("delta", value)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 250


@pytest.mark.parametrize(
    "check", [_checks.flag, _checks.text, _checks.real, lambda name, x: _checks.ascending(name, x, 0)]
)
@pytest.mark.parametrize("value", [None, 1j, [[1.0], [1.0, 2.0]], float("nan"), {}, _checks])
def test_what_is_of_another_kind_is_said_in_one_short_line(check: Any, value: Any) -> None:
    with pytest.raises(ValueError, match=r"^given must .*; got ") as caught:
        check("given", value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 250
