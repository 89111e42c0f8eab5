"""Is a sheet strict JSON, does its summary claim no more than its bounds, and is a wrong one refused at once?"""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from ntkseq.reports import Figure, Section, Sheet, Table, plots
from tests.reports import examples


def test_the_keys_that_readers_rely_on_are_there():
    found = examples.sheet().to_dict()
    assert found["schema"] == "ntkseq-sheet-1"
    assert {"title", "question", "expect", "command", "facts", "notes", "numbers", "sections", "provenance"} <= set(
        found
    )
    assert found["numbers"]["slope"] == {"lower": -0.6, "estimate": -0.5, "upper": -0.4, "resolved": True}
    assert found["facts"][0] == {"label": "drift at width 64", "value": "0.12"}
    assert found["sections"][1]["bounds"]["rademacher"]["measured_on_test"] == 0.4
    assert found["sections"][0]["tables"][0]["rows"][0][:2] == [64, 0.123456]
    assert found["arrays"] == {"drift": [2], "kernel.names": [2]}


def test_what_is_not_finite_is_null_with_a_note_in_strict_json():
    found = examples.sheet().to_dict()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["numbers"]["worst"] is None and found["numbers"]["worst_note"] == "inf"
    assert found["numbers"]["runs"] == [{"drift": None, "drift_note": "nan"}]


def test_the_summary_has_question_facts_bounds_and_notes_and_no_more_certainty_than_there_is():
    lines = examples.sheet().summary()
    assert lines[:2] == ["Made", "Does the kernel stand still?"]
    assert lines[2:4] == ["drift at width 64  0.12", "slope              -0.5"]
    assert [("<=" in line) for line in lines[4:7]] == [True, False, True]
    assert lines[7] == "note: The least eigenvalue is not resolved."


def test_the_summary_has_no_control_characters_and_no_empty_lines():
    lines = Sheet("a\x1b[31m", "", facts=(("1\n2", "b"),)).summary()
    assert lines == ["a?[31m", "b  1 2"]


def test_a_figure_is_drawn_when_it_is_wanted():
    drawn = []
    figure = Figure("a", lambda: drawn.append(1) or plots.axes(), "a")
    sheet = Sheet("t", "q", sections=(Section("s", figures=(figure,)),))
    assert not drawn and sheet.figures == (figure,)
    ax = figure.axes()
    assert drawn == [1] and Figure("b", ax, "b").axes() is ax


def test_two_figures_of_one_name_are_refused():
    figure = Figure("a", plots.axes, "a")
    with pytest.raises(ValueError, match="'a' comes twice"):
        Sheet("t", "q", sections=(Section("s", figures=(figure,)), Section("r", figures=(figure,))))


@pytest.mark.parametrize("name", ["file", "allow_pickle", "../up", "", "a b"])
def test_a_name_that_is_no_word_is_refused_for_an_array(name: str):
    with pytest.raises(ValueError, match="arrays must have names"):
        Sheet("t", "q", arrays={name: np.zeros(2)})


def test_an_array_of_objects_is_refused():
    with pytest.raises(ValueError, match=r"numbers or text.*'a' has dtype object"):
        Sheet("t", "q", arrays={"a": np.array([{}], dtype=object)})


def test_a_row_with_another_number_of_cells_is_refused():
    with pytest.raises(ValueError, match="row 1 has 1"):
        Table(("a", "b"), ((1, 2), (math.pi,)))


def test_another_format_than_svg_and_png_is_refused():
    with pytest.raises(ValueError, match="kind must be"):
        Figure("a", plots.axes, "a", kind="gif")
