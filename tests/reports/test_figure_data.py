"""Are the numbers behind a picture those that were drawn?"""

from __future__ import annotations

import dataclasses

import numpy as np

from ntkseq.reports import plots
from ntkseq.reports.figure_data import MOST_ROWS, drawn, some
from tests.reports import examples


def test_lines_and_bars_of_all_panels_are_listed_and_levels_are_not():
    ax = plots.axes()
    ax.plot([1.0, 2.0], [3.0, 4.0], label="first")
    ax.errorbar([5.0], [6.0], yerr=[0.1], label="second")
    ax.axhline(7.0)
    ax.set_xlabel("step")
    ax.set_ylabel("loss")
    (table,) = drawn(ax)
    assert table.header == ("curve", "step", "loss")
    assert table.rows == (("first", 1.0, 3.0), ("first", 2.0, 4.0), ("second", 5.0, 6.0))
    bars = plots.axes()
    bars.bar([0, 1], [2.0, 3.0], label="height")
    assert drawn(bars)[0].rows == (("height", 0, 2.0), ("height", 1, 3.0))


def test_a_small_heat_map_is_listed_and_a_large_one_is_left_to_the_arrays():
    ax = plots.axes()
    ax.imshow(np.array([[1.0, 2.0], [3.0, 4.0]]))
    assert drawn(ax)[0].rows == ((0, 1.0, 2.0), (1, 3.0, 4.0))
    large = plots.axes()
    large.imshow(np.zeros((40, 40)))
    assert drawn(large) == ()


def test_a_long_curve_shows_its_ends():
    kept = some(10_000)
    assert len(kept) <= MOST_ROWS and kept[0] == 0 and kept[-1] == 9_999 and some(3) == [0, 1, 2]


def numbers_of(report):
    return {figure.name: figure.numbers[0] for figure in report.figures if figure.numbers}


def test_the_tables_of_a_report_hold_its_numbers():
    made = examples.report()
    held = numbers_of(made)
    assert [row[2] for row in held["predictions"].rows] == made.prediction.scores.tolist()
    assert [row[1] for row in held["eigenvalues"].rows] == made.spectrum.values.tolist()
    assert held["bounds"].rows[0][2] == made.bounds["rademacher"].value
    K, y = np.asarray(made.gram.array, np.float64), made.y
    R = K / np.sqrt(np.outer(np.diagonal(K), np.diagonal(K)))
    assert np.isclose(held["kernel"].rows[0][2], R[np.ix_(y == 0, y == 1)].mean())
    codes = np.array([0, 1, 1, 0])
    many = dataclasses.replace(
        examples.report(classes=("a", "b", "c")),
        y_test=codes,
        prediction=dataclasses.replace(made.prediction, scores=np.eye(3)[codes], codes=np.array([0, 1, 0, 0])),
    )
    assert numbers_of(many)["predictions"].rows == (("a", "a", 2), ("b", "a", 1), ("b", "b", 1))
