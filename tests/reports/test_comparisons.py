"""Do the comparisons with the limit show the numbers they are given?"""

from __future__ import annotations

import numpy as np
import pytest

from ntkseq.reports import comparisons
from ntkseq.spectra import Interval
from ntkseq.training.lazy_training import laziness

WIDTHS = np.array([256.0, 64.0, 1024.0])
DRIFTS = 2.0 * WIDTHS[:, None] ** -0.5 * np.array([[0.5, 2.0]])  # geometric mean: factor 1


def line(ax, start):
    (found,) = [one for one in ax.lines if (one.get_label() or "").startswith(start)]
    return found


def test_drift_against_width_shows_geometric_means_in_order_of_width():
    ax = comparisons.width(WIDTHS, DRIFTS)
    means = line(ax, "geometric mean")
    assert means.get_xdata().tolist() == [64.0, 256.0, 1024.0]
    assert np.allclose(means.get_ydata(), 2.0 * np.array([64.0, 256.0, 1024.0]) ** -0.5)
    assert len(line(ax, "a network").get_xdata()) == 6


def test_the_reference_line_has_its_slope_and_starts_at_the_first_mean():
    reference = line(comparisons.width(WIDTHS, DRIFTS), "slope -0.5")
    x, y = np.log(reference.get_xdata()), np.log(reference.get_ydata())
    assert np.allclose(np.diff(y) / np.diff(x), -0.5) and np.exp(y[0]) == pytest.approx(0.25)
    assert len(comparisons.width(WIDTHS, DRIFTS, reference=None).lines) == 2


def test_the_wedge_holds_the_lines_of_every_slope_of_the_interval():
    ax = comparisons.width(WIDTHS, DRIFTS, slope=Interval(-0.6, -0.5, -0.3))
    corners = ax.collections[0].get_paths()[0].vertices
    at_end = np.sort(corners[np.isclose(corners[:, 0], 1024.0), 1])
    middle, height = 256.0, 2.0 / 16.0
    assert at_end[0] == pytest.approx(height * 4.0**-0.6) and at_end[-1] == pytest.approx(height * 4.0**-0.3)
    assert middle in ax.lines[-1].get_xdata()
    assert line(ax, "slope -0.500 in [-0.600, -0.300]")


def test_the_slope_may_come_from_the_verdict_on_laziness_and_may_have_no_interval():
    found = laziness(WIDTHS, DRIFTS)
    ax = comparisons.width(WIDTHS, DRIFTS, slope=found)
    assert line(ax, f"slope {found.slope:.3f} in [{found.lower:.3f}, {found.upper:.3f}]")
    two = comparisons.width(WIDTHS[:2], DRIFTS[:2, 0], slope=laziness(WIDTHS[:2], DRIFTS[:2, 0]))
    assert not two.collections and "no interval" in line(two, "slope -0.500").get_label()


def test_a_network_that_was_not_run_is_left_out():
    drifts = DRIFTS.copy()
    drifts[0, 1] = np.nan
    means = line(comparisons.width(WIDTHS, drifts), "geometric mean")
    assert means.get_ydata()[1] == pytest.approx(drifts[0, 0])


@pytest.mark.parametrize(
    ("widths", "drifts", "said"),
    [
        ([1.0, 2.0], [1.0], "got shapes"),
        ([], [], "got shapes"),
        ([1.0, 2.0], [0.0, 1.0], "must be positive"),
        ([0.0, 2.0], [1.0, 1.0], "must be positive"),
        ([1.0, 2.0], [np.nan, 1.0], "must be positive"),
    ],
)
def test_what_has_no_place_on_logarithmic_axes_is_refused(widths, drifts, said):
    with pytest.raises(ValueError, match=said):
        comparisons.width(widths, drifts)


STEPS = np.array([0, 1, 10, 100])


def test_the_network_is_solid_and_its_linearisations_dashed():
    curves = {"network": [1.0, 0.5, 0.2, 0.1], "linearised": [1.0, 0.6, 0.3, np.nan]}
    ax = comparisons.linearised(STEPS, curves, errors={"linearised": [0.1, 0.1, 0.5, 0.1]})
    assert ax.lines[0].get_linestyle() == "-" and ax.lines[1].get_linestyle() != "-"
    assert np.array_equal(ax.lines[1].get_ydata(), curves["linearised"], equal_nan=True)
    corners = ax.collections[0].get_paths()[0].vertices
    assert corners[:, 1].max() == pytest.approx(1.1) and corners[:, 1].min() > 0
    assert ax.get_xscale() == "symlog" and ax.get_yscale() == "log"
    assert comparisons.linearised(STEPS, curves, log=False).get_yscale() == "linear"


def test_curves_of_another_length_than_the_steps_are_refused():
    with pytest.raises(ValueError, match=r"'a' has \(3,\)"):
        comparisons.linearised(STEPS, {"a": [1.0, 2.0, 3.0]})
    with pytest.raises(ValueError, match="one or more"):
        comparisons.linearised(STEPS, {})
