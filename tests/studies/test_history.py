"""Does the sheet of a history say what its tables hold, and is a file refused that holds something else?"""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from ntkseq.reports.page import page
from ntkseq.studies.history import Recorded, recorded, sheet
from ntkseq.training import History, ProbeTable
from tests.reports import runs

RUN = runs.history()


def changed(history=RUN, table="kernel", **columns):
    one = {**history[table].columns, **columns}
    made = ProbeTable(history[table].steps, {name: values for name, values in one.items() if values is not None})
    return dataclasses.replace(history, tables={**history.tables, table: made})


@pytest.mark.slow
def test_every_table_has_its_pictures():
    found = sheet(RUN)
    assert [section.heading for section in found.sections] == ["Kernel", "Loss", "Movement", "Attention"]
    assert [figure.name for figure in found.figures] == [
        "kernel-leading_eigenvalues", "kernel-drift", "kernel-rotation", "kernel-ranks", "kernel-alignment",
        "loss-losses",
        "loss-losses-error", "attention-attention-entropy", "attention-attention-stable",
    ]  # fmt: skip
    assert page(found).count("<img") == 9


def test_all_columns_are_among_the_arrays_bit_by_bit():
    found = sheet(RUN)
    assert np.array_equal(found.arrays["kernel.top"], RUN["kernel"]["top"])
    assert np.array_equal(found.arrays["loss.steps"], RUN["loss"].steps)
    assert len(found.arrays) == sum(len(table.columns) + 1 for table in RUN.tables.values())


def test_the_numbers_are_first_and_last_rows_in_strict_json():
    found = json.loads(json.dumps(sheet(RUN).to_dict(), allow_nan=False))["numbers"]
    assert found["loss"]["last"]["train_loss"] == RUN["loss"]["train_loss"][-1]
    assert found["kernel"]["first"]["resolved"] is True and found["kernel"]["about"]["n"] == runs.N


def test_a_least_eigenvalue_that_is_not_told_from_zero_is_never_given_as_a_number():
    found = sheet(RUN)
    (value,) = [value for value, label in found.facts if label.startswith("least eigenvalue")]
    start, _, end = value.partition(" → ")
    assert start == f"{RUN['kernel']['min_eigenvalue'][0]:.3g}" and end.startswith("below ")
    assert float(end.removeprefix("below ")) >= RUN["kernel"]["min_eigenvalue_upper"][-1]
    hidden = int((~RUN["kernel"]["resolved"]).sum())
    assert found.notes == (
        f"At {hidden} of 21 steps the least eigenvalue of kernel is not told from zero: only its upper end is known "
        "there.",
    )
    assert not sheet(runs.history(unresolved=False)).notes


def test_the_drift_comes_with_an_error_that_is_not_rounded_down():
    ((value, label),) = [fact for fact in sheet(RUN).facts if fact[1].startswith("drift")]
    assert float(value) == pytest.approx(RUN["kernel"]["distance"][-1], rel=1e-3)
    assert float(label.rpartition("+- ")[2]) >= RUN["kernel"]["distance_error"][-1]


def test_a_run_that_diverged_says_so():
    columns = {name: values.copy() for name, values in RUN["kernel"].columns.items()}
    for values in columns.values():
        values[-2:] = False if values.dtype == bool else np.nan
    found = sheet(changed(**columns))
    hidden = int((~RUN["kernel"]["resolved"][:-2]).sum())
    assert found.notes[0].startswith(f"At {hidden} of 21 steps the least eigenvalue of kernel is not told from zero")
    assert found.notes[1:] == ("At 2 of 21 steps kernel is not finite: the run diverged.",)
    found.figures[0].axes()


def test_what_a_probe_did_not_measure_is_left_out():
    nothing = np.full(len(RUN["kernel"].steps), np.nan)
    names = [f.name for f in sheet(changed(alignment=nothing, rotation=None, rank_stable=None)).figures]
    assert "kernel-drift" in names
    assert not {"kernel-alignment", "kernel-rotation", "kernel-ranks"} & set(names)
    assert "loss-losses-error" not in [figure.name for figure in sheet(runs.history(classify=False)).figures]


def test_two_kernels_and_the_numbers_of_a_loop_stand_side_by_side():
    more = {"late": RUN["kernel"], "logged": ProbeTable(RUN["kernel"].steps, {"rate": np.ones(21)})}
    history = dataclasses.replace(RUN, tables={**RUN.tables, **more}, about={**RUN.about, "late": {"kind": "kernel"}})
    found = sheet(history)
    assert "Kernel: late" in [section.heading for section in found.sections]
    (logged,) = [section for section in found.sections if section.heading == "Logged"]
    assert logged.tables[0].header == ("step", "rate")


@pytest.mark.slow
def test_the_page_of_a_long_run_stays_small():
    long = runs.history(every=1, last=5000)
    history = dataclasses.replace(long, tables={"kernel": long["kernel"]})
    found = sheet(history)
    assert {figure.kind for figure in found.figures} == {"png"} and len(page(found)) < 1_000_000
    assert {figure.kind for figure in sheet(RUN).figures} == {"svg"}


def test_a_long_table_shows_first_and_last_rows_and_some_between():
    rows = sheet(RUN).sections[0].tables[0].rows
    assert len(rows) <= 12 and rows[0][0] == 0 and rows[-1][0] == 2000


@pytest.mark.parametrize("suffix", ["npz", "json"])
def test_a_saved_history_has_the_sheet_of_the_one_in_memory(tmp_path, suffix: str):
    path = tmp_path / f"run.{suffix}"
    RUN.save(path)
    found = recorded(Recorded(str(path), out="a b"))
    assert found.title == "run: a training run" and found.command == f"ntkseq report {path} --out 'a b'"
    assert found.facts == sheet(RUN).facts
    assert all(np.array_equal(found.arrays[name], values) for name, values in sheet(RUN).arrays.items())


BAD = {
    "no rows": (History({}, {}), "holds no row"),
    "no column": (changed(min_eigenvalue_upper=None), "no column 'min_eigenvalue_upper'"),
    "a column of another shape": (changed(min_eigenvalue=np.zeros((21, 2))), r"column 'min_eigenvalue' .* \(21, 2\)"),
    "top of one axis": (changed(top=np.zeros(21)), "column 'top'"),
    "steps that go back": (
        dataclasses.replace(RUN, tables={"loss": ProbeTable(RUN["loss"].steps[::-1], RUN["loss"].columns)}),
        "ascending steps",
    ),
    "a name that is no word": (
        dataclasses.replace(RUN, tables={"../up": RUN["loss"]}, about={"../up": {"kind": "loss"}}),
        "arrays must have names",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_history_of_something_else_is_refused(case: str):
    history, said = BAD[case]
    with pytest.raises(ValueError, match=said):
        sheet(history)


@pytest.mark.parametrize("about", [{"kernel": 3}, {"kernel": {"kind": ["x"]}}, {}])
def test_settings_that_are_none_do_no_harm(about):
    history = dataclasses.replace(RUN)
    object.__setattr__(history, "about", about)  # as it comes from a file: nobody has looked at the types
    found = sheet(history)
    assert ("kernel-leading_eigenvalues" in [figure.name for figure in found.figures]) == ("kind" not in str(about))
    assert found.to_dict()


def test_a_refusal_names_the_file(tmp_path):
    path = tmp_path / "run.npz"
    changed(top=None).save(path)
    with pytest.raises(ValueError, match=r"run\.npz: table 'kernel' says it is of kind 'kernel', but has no column"):
        recorded(Recorded(str(path)))
    with pytest.raises(ValueError, match="wanted a history as"):
        recorded(Recorded("run.csv"))


def test_overlaps_with_features_are_shown_by_layer_and_feature():
    column = np.array([[[0.2, 0.5]], [[0.4, 0.9]]])
    table = ProbeTable(
        np.array([0, 10]),
        {"overlap": column, "overlap_lower": column - 0.1, "overlap_upper": column + 0.05, "floor": column * 0 + 0.6}
        | {"above": column > 0.65, "resolved": np.ones((2, 1), bool)},
    )
    about = {"kind": "features", "layers": ["all"], "features": ["first", "second"], "k": 3}
    (section,) = sheet(History({"features": table}, {"features": about})).sections
    (shown,) = section.tables
    assert shown.rows[1][:2] == ("all", "second") and shown.rows[1][4:] == (0.6, True) and "3 leading" in shown.caption
    assert shown.rows[1][3].lower == 0.8 and shown.rows[0][5] is False
    with pytest.raises(ValueError, match="overlaps of shape"):
        sheet(History({"features": table}, {"features": about | {"features": ["first"]}}))
