"""Does a row say what was measured, and does a table say so to a newcomer?"""

from __future__ import annotations

import dataclasses
import functools
import math

import pytest

from benchmarks import machine, report
from benchmarks.machine import Ceilings, Work
from benchmarks.report import Report
from benchmarks.timing import Timing

RATES = Ceilings(1e11, 5e10, 4e10, 1e10, 1e9, 2e9)


@pytest.fixture(autouse=True)
def rates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "ceilings", functools.cache(lambda: RATES))


def timing(median: float, first: float = 3.0) -> Timing:
    return Timing(first, median, 0.9 * median, 1.2 * median, 5)


def test_a_timed_row_has_ratio_rates_and_its_share_of_the_limit(capsys: pytest.CaptureFixture[str]):
    out = Report("case")
    out.table("Speed", "Seconds.")
    out.time("n = 4", timing(0.5), timing(2.0), peer="a loop", work=Work(flops=1e10, pair_steps=1e9), memory=3 << 20,
             least=5)  # fmt: skip
    (row,) = out.rows
    assert row.ratio == 4.0 and row.reached is False and row.wanted == ">= 5"
    assert row.details["FLOP/s"] == 2e10 and row.details["ns per pair-step"] == 0.5
    assert row.details["share of the limit"] == pytest.approx(0.2) and row.limit == "arithmetic"
    assert row.details["share at best"] == pytest.approx(0.2 / 0.9)
    printed = capsys.readouterr().out
    assert "Speed\nSeconds.\n" in printed and "what" in printed and "ratio" in printed
    assert "NO n = 4" in printed and "500 ms" in printed and "2 s" in printed and "4x" in printed
    assert (
        "first call 2.5 s longer" in printed and "peak 3 MiB" in printed and "0.2 of what arithmetic allows" in printed
    )


def test_the_limit_is_the_rate_that_needs_the_most_time():
    assert Work(flops=1e11, bytes=1e9, exponentials=5e9, roots=1e9).floor(RATES) == (5.0, "exp")
    assert Work(flops=1e11).floor(dataclasses.replace(RATES, loops=4e11)) == (0.25, "arithmetic")
    assert Work(flops=1e11, double=True).floor(RATES) == (2.0, "arithmetic")
    seconds, limit = Work(pair_steps=5).floor(RATES)
    assert math.isnan(seconds) and limit == ""


def test_a_difference_above_its_limit_misses_and_nan_misses(capsys: pytest.CaptureFixture[str]):
    out = Report("case")
    out.agree("close", 1e-7, 1e-6, peer="float64")
    out.agree("far", 1e-5, 1e-6, peer="float64")
    out.agree("broken", float("nan"), 1e-6, peer="float64")
    assert [row.reached for row in out.rows] == [True, False, False]
    assert report.missed(out.rows) == out.rows[1:]
    assert out.rows[2].ours is None


def test_two_rows_of_one_name_are_a_mistake():
    out = Report("case")
    out.add("n", 1.0)
    with pytest.raises(AssertionError, match="two rows of case are called 'n'"):
        out.add("n", 2.0)


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [(2.0, "s", "2 s"), (2e-3, "s", "2 ms"), (2e-9, "s", "0.002 us"), (0.0, "s", "0 us"), (3 << 20, "B", "3 MiB"),
     (7.0, "passes", "7 passes"), (0.0, "", "0"), (None, "s", "")],
)  # fmt: skip
def test_numbers_are_said_at_their_scale(value: float | None, unit: str, said: str):
    assert report.number(value, unit) == said


def test_a_row_keeps_its_zeros_and_its_failures():
    out = Report("case")
    out.add("bits", 0.0, most=0.0)
    out.add("more bits", 1.0, most=0.0)
    one, two = (report.as_dict(row) for row in out.rows)
    assert one["ours"] == 0.0 and one["reached"] is True and two["reached"] is False


def test_memory_that_was_not_seen_is_left_out_and_misses_nothing(capsys: pytest.CaptureFixture[str]):
    out = Report("case")
    out.versus("peak", float("nan"), 1.0, "B", peer="the result", least=0.5)
    assert out.rows == [] and "left out: peak" in capsys.readouterr().out
