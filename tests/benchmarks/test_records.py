"""Are results kept whole, and is a fall seen, and only a fall?"""

from __future__ import annotations

import dataclasses
import functools
import pathlib

import pytest

from benchmarks import machine, records
from benchmarks.records import Case, Results
from benchmarks.report import BEST_RATIO, BEST_SHARE, Report, Row
from benchmarks.timing import Timing

from .test_report import RATES


@pytest.fixture(autouse=True)
def rates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "ceilings", functools.cache(lambda: RATES))


def row(what: str = "n = 4", ratio: float = 4.0, share: float = 0.2, peer: str = "loop", seconds: float = 1.0) -> Row:
    details = {BEST_SHARE: share} | ({BEST_RATIO: ratio} if peer else {})
    return Row("Speed", what, "s", seconds, ratio * seconds, peer, ratio if peer else None, details=details)


def results(*rows: Row) -> Results:
    case = Case("abc", 0.0, 1.0, {}, {"Speed": "Seconds."}, rows)
    return Results(machine.description(), True, {"case": case})


def test_what_is_written_is_read_again(tmp_path: pathlib.Path):
    report = Report("case")
    report.table("Speed", "Seconds.")
    report.time("n = 4", Timing(3.0, 1.0, 0.9, 1.1, 5), Timing(3.0, 2.0, 1.9, 2.1, 5), peer="a loop")
    report.growth("in n", "n", [1, 2, 4], [1, 4, 16], 2.0)
    kept = Results(machine.description(), False)
    kept.put(report, 12.34, 0.5)
    kept.write(tmp_path / "new" / "file.json")
    again = records.read(tmp_path / "new" / "file.json")
    assert again == kept
    assert again.cases["case"].rows == tuple(report.rows)


def test_other_cases_of_a_file_stay(tmp_path: pathlib.Path):
    path = tmp_path / "file.json"
    results(row()).write(path)
    opened = records.opened(path, True)
    report = Report("other")
    report.add("x", 1.0)
    opened.put(report, 1.0, None)
    opened.write(path)
    assert set(records.read(path).cases) == {"case", "other"}


@pytest.mark.parametrize(
    ("text", "said"),
    [("nonsense", "is not JSON"), ("[]", "was not written by this program"), ('{"case": ""}', "lacks the format"),
     (f'{{"format": "{records.FORMAT}"}}', "is damaged: KeyError 'cases'")],
)  # fmt: skip
def test_what_is_no_file_of_results_is_refused_in_one_line(tmp_path: pathlib.Path, text: str, said: str):
    path = tmp_path / "file.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=said) as caught:
        records.read(path)
    assert "\n" not in str(caught.value)


def test_results_of_another_machine_or_size_are_not_mixed(tmp_path: pathlib.Path):
    path = tmp_path / "file.json"
    other = results(row())
    other.machine["processor"] = "another"
    other.write(path)
    with pytest.raises(ValueError, match="processor 'another' there"):
        records.opened(path, True)
    with pytest.raises(ValueError, match="holds quick sizes"):
        records.opened(path, False)
    assert records.opened(tmp_path / "none.json", True).cases == {}


@pytest.mark.parametrize(
    ("then", "now", "of", "fell"),
    [
        (row(ratio=4.0), row(ratio=3.1), "times the peer", False),
        (row(ratio=4.0), row(ratio=2.9), "times the peer", True),
        (row(ratio=4.0, seconds=1.0), row(ratio=4.0, seconds=9.0), "times the peer", False),  # a slower machine
        (row(peer="", share=0.4), row(peer="", share=0.29), "share of the limit", True),
        (row(peer="", share=0.4), row(peer="", share=0.5), "share of the limit", False),
        (row(ratio=4.0, share=0.2), row(ratio=1.0, share=0.2, peer="new peer"), "share of the limit", False),
    ],
)
def test_a_row_falls_beside_its_peer_or_the_machine(then: Row, now: Row, of: str, fell: bool):
    ((change,), gone, come) = records.compare(results(then), results(now), ["case"])
    assert (change.of, change.fell, gone, come) == (of, fell, [], [])


def test_seconds_alone_never_fall():
    one, two = (dataclasses.replace(row(), details={}, ours=s) for s in (1.0, 10.0))
    ((change,), _, _) = records.compare(results(one), results(two), ["case"])
    assert change.of == "seconds" and change.ratio == 0.1 and not change.fell


def test_rows_on_one_side_only_are_named():
    old, new = results(row("both"), row("old")), results(row("both"), row("new"))
    changes, gone, come = records.compare(old, new, ["case"])
    assert [change.what for change in changes] == ["both"]
    assert (gone, come) == (["case: Speed: old"], ["case: Speed: new"])


def test_of_two_runs_each_row_counts_where_it_did_better():
    one, two = (results(row("a", a), row("b", b)).cases["case"] for a, b in ((4.0, 1.0), (3.0, 2.0)))
    assert [r.details[BEST_RATIO] for r in records.better(one, two).rows] == [4.0, 2.0]


def test_a_folder_stands_for_the_file_of_this_kind_of_machine(tmp_path: pathlib.Path):
    path = records.place(tmp_path / "new", True)
    assert path.parent == tmp_path / "new" and path.name == f"{machine.kind(machine.description())}-quick.json"
    assert records.place(tmp_path / "file.json", True) == tmp_path / "file.json"
