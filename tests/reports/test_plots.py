"""Do the plots show the numbers they are given?"""

from __future__ import annotations

import numpy as np
import pytest

from ntkseq.grams import DenseGram
from ntkseq.grams import plots as gram_plots
from ntkseq.reports import plots
from ntkseq.spectra import Interval, spectrum
from tests.reports import examples


def test_the_heat_map_is_sorted_by_class_and_scaled_to_correlations():
    K = np.array([[4.0, 0.0, 2.0], [0.0, 1.0, 0.0], [2.0, 0.0, 4.0]])
    ax = plots.kernel_map(K, np.array([0, 1, 0]), ("a", "b"))
    shown = np.asarray(ax.images[0].get_array())
    assert np.allclose(shown, [[1.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 1.0]])


def test_a_large_kernel_is_shown_with_fewer_cells():
    n = 2 * gram_plots.MOST_CELLS + 3
    ax = plots.kernel_map(np.eye(n), np.zeros(n, int), ("a", "b"))
    assert max(np.asarray(ax.images[0].get_array()).shape) <= gram_plots.MOST_CELLS


def test_an_eigenvalue_that_is_not_told_from_zero_is_marked_by_its_upper_end():
    eigen = spectrum(DenseGram(np.diag([1.0, 0.1, -1e-17]).astype(np.float32), rounding=6e-8))
    ax = plots.eigenvalues(eigen)
    (marked,) = [line for line in ax.lines if line.get_marker() == "v"]
    assert marked.get_xdata().tolist() == [3]
    assert marked.get_ydata()[0] == pytest.approx(float(eigen.values[2] + eigen.errors[2]))


def test_bars_add_up_to_the_bound_in_units_of_its_trivial_level():
    bound = examples.report().bounds["rademacher"]
    ax = plots.bound_bars({"rademacher": bound}, measured={"rademacher": 0.25})
    assert sum(patch.get_width() for patch in ax.patches) == pytest.approx(bound.value / bound.trivial)
    assert 0.25 in [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "D" and len(line.get_xdata())]


def test_only_estimates_are_hatched():
    bounds = examples.report().bounds
    assert {p.get_hatch() for p in plots.bound_bars({"r": bounds["rademacher"]}).patches} == {None}
    assert {p.get_hatch() for p in plots.bound_bars({"a": bounds["arora2019"]}).patches} == {"////"}


def test_a_bound_without_a_value_has_no_bar():
    ax = plots.bound_bars({"arora2019": examples.report(singular=True).bounds["arora2019"]})
    assert not ax.patches and "no value" in ax.texts[0].get_text()


def test_wrong_predictions_of_two_classes_are_marked():
    found = examples.report().prediction  # predicts 1, 0, 1, 0
    ax = plots.predictions(found, np.array([0, 0, 1, 1]), ("a", "b"))
    wrong = [line.get_xdata().tolist() for line in ax.lines if line.get_marker() == "X"]
    assert sorted(x for part in wrong for x in part) == [-2.0, 0.5]


def test_many_classes_become_a_confusion_matrix():
    made = examples.report(classes=("a", "b", "c"))
    ax = plots.predictions(made.prediction, made.y_test, made.classes)
    assert np.allclose(np.asarray(ax.images[0].get_array()), np.eye(3))


def test_each_plot_draws_into_axes_that_it_is_given():
    from matplotlib.figure import Figure

    made = examples.report()
    ax = Figure().subplots()
    assert plots.ranks(made.ranks, 6, ax) is ax
    assert plots.eigenvalues(made.spectrum, Figure().subplots()) is not ax


def test_rank_intervals_are_drawn():
    made = examples.report()
    rank = type(made.ranks[0])("wide", "formula", Interval(2.0, 3.0, 4.0))
    ax = plots.ranks([rank], 6)
    assert [2.0, 4.0] in [list(line.get_xdata()) for line in ax.lines]


def test_foreign_text_is_cut_and_never_taken_for_mathematics():
    assert plots.plain("a$b") == r"a\$b"
    assert len(plots.plain("x" * 100)) == 24
    assert plots.plain("a\nb\x00") == "a?b?"
