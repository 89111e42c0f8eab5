"""Do the pictures of a training run show the columns of its history, and never more certainty than there is?"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from matplotlib.figure import Figure

from ntkseq.reports import trajectories
from ntkseq.training.history import ProbeTable
from tests.reports import runs

RUN = runs.history()
TWO = {"narrow": runs.history(seed=1), "wide": runs.history(speed=0.2, every=0)}


def with_columns(history, table, **columns):
    changed = ProbeTable(history[table].steps, {**history[table].columns, **columns})
    return dataclasses.replace(history, tables={**history.tables, table: changed})


def line(ax, label):
    (found,) = [one for one in ax.lines if one.get_label() == label and len(one.get_xdata())]
    return found


def band(ax, i=0):
    """Lower and upper edge at each step."""
    corners = ax.collections[i].get_paths()[0].vertices
    steps = np.unique(corners[:, 0])
    return [(corners[corners[:, 0] == s, 1].min(), corners[corners[:, 0] == s, 1].max()) for s in steps]


def test_the_fan_has_a_line_per_eigenvalue_at_its_values():
    ax = trajectories.leading_eigenvalues(RUN)
    shown = [one.get_ydata() for one in ax.lines[:6]][::-1]
    assert np.array_equal(np.stack(shown, axis=1), RUN["kernel"]["top"])
    assert np.array_equal(ax.lines[0].get_xdata(), RUN["kernel"].steps)


def test_the_band_of_the_least_eigenvalue_is_its_interval():
    ax = trajectories.leading_eigenvalues(RUN)
    kernel = RUN["kernel"]
    edges = np.array(band(ax, 6))
    assert np.allclose(edges[:, 1], kernel["min_eigenvalue_upper"])
    floor = ax.get_ylim()[0]
    assert np.allclose(edges[:, 0], np.maximum(kernel["min_eigenvalue_lower"], floor))


@pytest.mark.parametrize("draw", [trajectories.leading_eigenvalues, trajectories.min_eigenvalue])
def test_a_least_eigenvalue_that_is_not_told_from_zero_is_a_triangle_and_no_point(draw):
    kernel = RUN["kernel"]
    hidden = ~kernel["resolved"]
    assert 0 < hidden.sum() < len(hidden)
    ax = draw(RUN)
    (marked,) = [one for one in ax.lines if one.get_marker() == "v" and len(one.get_xdata())]
    assert np.array_equal(marked.get_xdata(), kernel.steps[hidden])
    assert np.allclose(marked.get_ydata(), kernel["min_eigenvalue_upper"][hidden])
    (curve,) = [one for one in ax.lines if (one.get_label() or "").startswith("least")]
    assert np.array_equal(np.isnan(curve.get_ydata()), hidden)
    assert any("not told from zero" in text.get_text() for text in ax.get_legend().get_texts())


def test_without_unresolved_steps_nothing_is_said_of_zero():
    ax = trajectories.min_eigenvalue(runs.history(unresolved=False))
    assert not any("zero" in text.get_text() for text in ax.get_legend().get_texts())


def test_drift_shows_kernel_and_parameters_relative_to_the_start_and_no_zero():
    ax = trajectories.drift(RUN)
    assert np.array_equal(line(ax, "kernel").get_ydata()[1:], RUN["kernel"]["distance"][1:])
    assert np.isnan(line(ax, "kernel").get_ydata()[0])
    assert np.array_equal(line(ax, "parameters").get_ydata()[1:], RUN["movement"]["relative"][1:])
    assert ax.get_yscale() == "log"
    alone = dataclasses.replace(RUN, tables={"kernel": RUN["kernel"]})
    assert [text.get_text() for text in trajectories.drift(alone).get_legend().get_texts()] == ["kernel"]


def test_an_error_without_bound_stays_in_the_picture():
    r = len(RUN["kernel"].steps)
    ax = trajectories.drift(with_columns(RUN, "kernel", distance_error=np.full(r, np.inf)))
    assert np.isfinite(np.array(band(ax))).all() and ax.get_ylim()[1] < 10
    ax = trajectories.rotation(with_columns(RUN, "kernel", rotation_error=np.full(r, np.inf)))
    assert set(band(ax)) == {(0.0, 90.0)}


def test_rotation_is_in_degrees_between_0_and_90_with_its_error():
    ax = trajectories.rotation(RUN)
    assert np.allclose(ax.lines[0].get_ydata(), np.rad2deg(RUN["kernel"]["rotation"]))
    edges = np.array(band(ax))
    wanted = np.rad2deg(RUN["kernel"]["rotation"] + RUN["kernel"]["rotation_error"])
    assert np.allclose(edges[:, 1], np.minimum(wanted, 90.0)) and edges[:, 0].min() == 0.0


def test_ranks_have_their_intervals():
    ax = trajectories.ranks(RUN, kinds=("stable",))
    assert np.allclose(band(ax), np.stack([RUN["kernel"][f"rank_stable_{e}"] for e in ("lower", "upper")], axis=1))
    assert ax.get_ylabel() == "stable rank of K"


def test_losses_and_errors_are_told_apart_and_sets_keep_their_names():
    assert np.array_equal(line(trajectories.losses(RUN), "test").get_ydata(), RUN["loss"]["test_loss"])
    wrong = trajectories.losses(RUN, end="_error")
    assert np.array_equal(line(wrong, "train").get_ydata(), RUN["loss"]["train_error"])
    assert wrong.get_ylim()[0] == 0.0 and wrong.get_yscale() == "linear"
    regression = trajectories.losses(runs.history(classify=False), end="_error")
    assert not regression.lines  # all of them nan


def test_the_training_set_comes_first_whatever_the_order_in_the_file():
    turned = ProbeTable(RUN["loss"].steps, {name: RUN["loss"][name] for name in ("test_loss", "train_loss")})
    ax = trajectories.losses(dataclasses.replace(RUN, tables={"loss": turned}))
    assert [one.get_label() for one in ax.lines] == ["train", "test"]


def test_alignment_of_a_kernel_without_targets_is_not_drawn():
    nothing = np.full(len(RUN["kernel"].steps), np.nan)
    ax = trajectories.alignment(with_columns(RUN, "kernel", alignment_residual=nothing))
    assert np.array_equal(line(ax, "with the targets").get_ydata(), RUN["kernel"]["alignment"])
    assert len(ax.lines) == 1


def test_attention_has_a_thick_line_per_layer_at_the_mean_over_heads():
    ax = trajectories.attention(RUN, kind="stable")
    heads = RUN["attention"]["rank_stable"]
    for layer in range(3):
        assert np.allclose(line(ax, f"layer {layer + 1}").get_ydata(), heads[:, layer].mean(axis=1))
    assert sum(one.get_linewidth() < 1 for one in ax.lines) == heads[0].size
    flat = with_columns(RUN, "attention", rank_entropy=heads[:, 0, 0])
    assert np.allclose(line(trajectories.attention(flat), "layer 1").get_ydata(), heads[:, 0, 0])


OVERLAID = (
    trajectories.min_eigenvalue, trajectories.drift, trajectories.rotation, trajectories.ranks, trajectories.losses,
    trajectories.alignment,
)  # fmt: skip


@pytest.mark.parametrize("draw", OVERLAID)
def test_several_runs_are_overlaid_with_their_labels_and_a_colour_each(draw):
    ax = draw(TWO)
    assert line(ax, "narrow").get_color() != line(ax, "wide").get_color()
    assert {"narrow", "wide"} <= {text.get_text() for text in ax.get_legend().get_texts()}
    assert set(TWO["wide"]["kernel"].steps) == set(line(ax, "wide").get_xdata())


@pytest.mark.parametrize("draw", [*OVERLAID, trajectories.leading_eigenvalues, trajectories.attention])
def test_each_draws_into_the_axes_that_it_is_given_and_saves(draw, tmp_path):
    figure = Figure(layout="constrained")
    ax = figure.subplots()
    assert draw(RUN, ax) is ax
    figure.savefig(tmp_path / "a.svg")
    legend = ax.get_legend()
    if legend is not None:  # above the picture: no data are covered
        assert legend.get_window_extent().y0 >= ax.get_window_extent().y1


@pytest.mark.parametrize("draw", [*OVERLAID, trajectories.leading_eigenvalues, trajectories.attention])
def test_a_run_that_blew_up_is_drawn_as_far_as_it_has_numbers(draw, tmp_path):
    lost = dict(RUN.tables)
    for name, table in lost.items():
        columns = {}
        for key, values in table.columns.items():
            columns[key] = values.copy()
            columns[key][3:] = False if values.dtype == bool else np.nan
        lost[name] = ProbeTable(table.steps, columns)
    draw(dataclasses.replace(RUN, tables=lost)).figure.savefig(tmp_path / "a.svg")


def test_a_certificate_has_no_point_where_something_objects_and_shows_what_was_counted(tmp_path):
    columns = {"network": [0.9, 0.4, 0.2], "network_error": [0.5, 0.2, 0.1]}
    columns |= {"linearised": [0.3, 0.25, 0.2], "linearised_error": [0.2, 0.1, 0.1], "certified": [True, False, True]}
    table = ProbeTable(np.array([0, 5, 9]), {name: np.array(column) for name, column in columns.items()})
    one = dataclasses.replace(RUN, tables={"certificate": table})
    ax = trajectories.certificate(one)
    assert line(ax, "network, at most").get_ydata().tolist() == [0.9, 0.4, 0.2]
    np.testing.assert_array_equal(line(ax, "linearised, at most").get_ydata(), [0.3, np.nan, 0.2])
    assert [drawn.get_ydata().tolist() for drawn in ax.lines[1::2]] == [[0.5, 0.2, 0.1], [0.2, 0.1, 0.1]]
    both = trajectories.certificate({"a": one, "b": one})
    assert {"a", "b", "network", "linearised"} <= {text.get_text() for text in both.get_legend().get_texts()}


def test_the_step_axis_shows_0_and_is_logarithmic_only_where_steps_span_much():
    assert trajectories.losses(RUN).get_xscale() == "linear"
    ax = trajectories.losses(TWO["wide"])
    assert ax.get_xscale() == "symlog" and ax.get_xlim()[0] == 0.0


@pytest.mark.slow
def test_a_run_of_one_row_can_be_drawn(tmp_path):
    first = {name: ProbeTable(t.steps[:1], {k: v[:1] for k, v in t.columns.items()}) for name, t in RUN.tables.items()}
    for draw in (*OVERLAID, trajectories.leading_eigenvalues, trajectories.attention):
        draw(dataclasses.replace(RUN, tables=first)).figure.savefig(tmp_path / "a.svg")


def test_nothing_to_draw_is_refused():
    with pytest.raises(ValueError, match="one or more; got an empty mapping"):
        trajectories.min_eigenvalue({})


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (
            lambda: trajectories.min_eigenvalue(RUN, table="kernle"),
            "table must be a table of the history, .*'kernel'.*; got 'kernle'",
        ),
        (lambda: trajectories.min_eigenvalue(RUN, table="loss"), "table 'loss' has no column 'min_eigenvalue'; it has"),
        (lambda: trajectories.ranks(RUN, kinds=("rank",)), "table 'kernel' has no column 'rank_rank'"),
        (lambda: trajectories.ranks(RUN, kinds="stable"), "kinds must be a list of names of effective ranks"),
        (lambda: trajectories.ranks(RUN, kinds=()), "kinds must name one or more"),
        (lambda: trajectories.losses(RUN, end="_lost"), "end must be one of '_loss', '_error'"),
        (lambda: trajectories.drift(RUN["kernel"]), "histories must be a training.History or a mapping"),
    ],
)
@pytest.mark.usefixtures("untyped")
def test_what_a_history_does_not_hold_is_named(draw, words):
    with pytest.raises(ValueError, match=words):
        draw()
