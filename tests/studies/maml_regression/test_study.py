"""Tests of `ntkseq.studies.maml_regression.study` as a whole, of its sheet and its pictures."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ntkseq.reports import Folder, Sheet
from ntkseq.studies.maml_regression import plots
from ntkseq.studies.maml_regression.risks import sweep
from ntkseq.studies.maml_regression.study import GRID, MamlRegression

SMALL = MamlRegression(
    spectra=("log",), d=6, steps=30, runs=32, rates=(0.1, 0.6), growths=(0.0, 2.0), n1=3, n2=2, m=4, start=1.0
)


@pytest.fixture(scope="module")
def sheet() -> Sheet:
    return SMALL.run()


def test_exact_bounded_and_simulated_risks_stand_together(sheet: Sheet):
    numbers = sheet.numbers["spectra"]["log"]
    assert [(p["rate"], p["growth"]) for p in numbers["problems"]] == [(0.1, 0.0), (0.6, 0.0), (0.1, 2.0)]
    for p in numbers["problems"]:
        assert p["lower"] <= p["risk"] <= p["upper"]
        assert abs(p["simulated"] - p["risk"]) < 4 * p["error"]
    assert sheet.expect.startswith("No exact risk of 7306")
    assert sheet.numbers["outside"] == 0 and sheet.numbers["risks"] == 3 * 30 + len(GRID)
    assert sheet.numbers["dots"] == 3 * len(sheet.arrays["log.rate_0.1.growth_0.horizons"])
    first = sheet.arrays["log.rate_0.1.growth_0.bias"][0]
    assert numbers["target"] == pytest.approx(0.2 * first)


def test_a_least_risk_at_an_end_of_the_grid_is_said(sheet: Sheet):
    far = dataclasses.replace(SMALL, rates=(0.1,), growths=(0.0,), start=10.0).run()
    for made, at_end in ((sheet, False), (far, True)):
        risks = made.arrays["log.sweep.bias"] + made.arrays["log.sweep.variance"]
        assert (int(np.argmin(risks)) in (0, len(GRID) - 1)) is at_end
        said = [label for _, label in made.facts if "of least risk" in label]
        assert said == ["log: rate beta_tr lambda_1 of least risk" + ", an end of the grid" * at_end]


def test_conditions_stand_with_the_numbers_that_decide_them(sheet: Sheet):
    table = next(t for t in sheet.sections[0].tables if t.header[:2] == ("form", "condition"))
    cells = {row[:2]: row[2:] for row in table.rows}
    assert table.header[2:] == ("beta_tr = 0.1", "0.6", "0.1, r = 2")
    assert cells["paper", "|beta_tr| lambda_1 < 1"] == ("holds: 0.1", "holds: 0.6", "holds: 0.1")
    share = cells["paper", "0 < alpha c tr Sigma < 1"]
    assert share[0].startswith("holds: 0.") and share[1].startswith("fails: ") and float(share[1].split()[1]) > 1
    assert all(cell.startswith("holds") for cell in cells["derived", "alpha c tr Sigma < 1"])
    risks = sheet.sections[0].tables[0]
    paper = [row[risks.header.index("paper's upper")] for row in risks.rows]
    assert np.isfinite(paper[0]) and np.isnan(paper[1])


def test_only_derived_bounds_are_written_as_bounds(sheet: Sheet):
    assert sheet.sections[0].bounds["upper"].certified and not sheet.sections[0].bounds["paper"].certified
    assert sheet.sections[0].bounds["lower"].certified and sheet.sections[0].bounds["lower"].lower


def test_it_can_be_written_with_all_its_pictures(sheet: Sheet, tmp_path):
    with Folder(tmp_path / "report") as folder:
        folder.write(sheet)
    page = (tmp_path / "report" / "report.html").read_text()
    assert page.count("<img") >= len(sheet.figures) == 5


def test_rates_are_shaded_where_a_condition_fails():
    found = sweep(SMALL, "log", GRID.tolist())
    ax = plots.rates(found, ())
    shaded: dict[object, np.ndarray] = {}
    for p in ax.patches:
        low, width = p.get_x(), p.get_width()  # pyright: ignore[reportAttributeAccessIssue]
        inside = (low <= GRID) & (low + width >= GRID)
        shaded[p.get_facecolor()] = shaded.get(p.get_facecolor(), False) | inside
    paper, derived = shaded.values()
    np.testing.assert_array_equal(paper, ~found.paper.upper_holds)
    np.testing.assert_array_equal(derived, ~found.derived.upper_holds)
    assert paper.any() and not paper.all() and GRID[derived].tolist() == [1.4]


def test_the_command_does_it_again():
    assert MamlRegression(quick=True).command == "ntkseq study maml-regression --quick"
    quick = MamlRegression(quick=True, d=50, rates=(0.3,), rate=0.3)
    assert quick.command == "ntkseq study maml-regression --d 50 --rates 0.3 --rate 0.3 --quick"
    assert quick.d == 50 and quick.steps == 600 and quick.runs == 160


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"spectra": ("log", "log")}, "spectra must be different ones"),
        ({"rates": ()}, "rates must be different ones"),
        ({"rates": (float("nan"),), "rate": float("nan")}, "rates must be a finite number; got nan"),
        ({"rate": 0.3}, "rate must be one of rates"),
        ({"rate_te": float("inf")}, "rate_te must be a finite number; got inf"),
        ({"growths": (-1.0,)}, "growths must be"),
        ({"growths": (2.0, 0.0)}, "growths must ascend"),
        ({"d": 2}, "d must be 3 or more"),
        ({"steps": 19}, "steps must be 20 or more"),
        ({"runs": 15}, "runs must be 16 or more"),
        ({"n1": 0}, "n1 must be"),
        ({"m": 0}, "m must be"),
        ({"noise": -1.0}, "noise must be"),
        ({"start": 0.0}, "start must be"),
        ({"step": 0.0}, "step must be"),
        ({"eps": 1.0}, "eps must"),
        ({"seed": -1}, "seed must be"),
    ],
)
def test_bad_options_are_turned_away(options, message):
    with pytest.raises(ValueError, match=message):
        MamlRegression(**options)


def test_a_step_size_that_is_not_stable_is_turned_away():
    with pytest.raises(ValueError, match=r"step must be below .* at the rate .* Lower --step"):
        dataclasses.replace(SMALL, step=5.0).run()
