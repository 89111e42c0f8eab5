"""Are values strict JSON, and does the line of a bound claim no more than it?"""

from __future__ import annotations

import math

import numpy as np
import pytest

from ntkseq._outward import outward
from ntkseq.reports.record import bound_line, strict
from tests.reports import examples


def test_strict_says_what_a_null_was():
    assert strict({"a": math.nan, "b": [1.0, -math.inf]}) == {"a": None, "a_note": "nan", "b": [1.0, None]}
    assert strict({"n": np.int32(3), "x": np.arange(2.0), "t": (1, "s"), "f": np.float32(0.5)}) == {
        "n": 3, "x": [0.0, 1.0], "t": [1, "s"], "f": 0.5,
    }  # fmt: skip


def test_a_bound_without_a_value_says_why():
    assert "cannot be told from zero" in bound_line(examples.report(singular=True).bounds["arora2019"])


@pytest.mark.parametrize("value", [1.23401, 0.99999, 2.5859999, 1e-7 / 3, 123456.0, 9.9999])
def test_what_stands_behind_less_or_equal_is_never_below_the_bound(value: float):
    assert value <= float(outward(value)) <= value * 1.002
