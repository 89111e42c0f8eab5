"""Tests of `ntkseq.studies.rnn_nvariable.study`, its runs, sections and sheet."""

from __future__ import annotations

import contextlib
import dataclasses
import math

import jax
import numpy as np
import pytest

from ntkseq import bounds, concepts, gram, norms
from ntkseq.reports import Sheet
from ntkseq.studies.provenance import Fingerprint
from ntkseq.studies.recurrent.targets import KERNEL
from ntkseq.studies.rnn_nvariable.cases import cases, remembered
from ntkseq.studies.rnn_nvariable.options import Setting, window
from ntkseq.studies.rnn_nvariable.study import RnnNVariable
from tests.studies.reruns import assert_the_command_does_it_again

SMALL = RnnNVariable(
    length=5, spans=(1, 2), variables=(1, 2), lengths=(4, 5), functions=("sin",), examples=(8, 16, 48), draws=2,
    n_test=80, eps=0.3, memory=16, fractions=(0.0, 0.5),
)  # fmt: skip


@pytest.fixture(scope="module")
def sheet() -> Sheet:
    return SMALL.run()


def test_every_setting_is_on_the_sheet_once(sheet: Sheet):
    met = [(c["t"], c["variables"], c["span"], c["place"]) for c in sheet.numbers["cases"]]
    grid = [(5, n, span, "late") for n in (1, 2) for span in (1, 2)]
    assert sorted(met) == sorted([*grid, (4, 2, 1, "late"), (4, 2, 1, "early"), (5, 2, 1, "early")])
    assert sheet.arrays["sin-N2-span2-late-t5.error"].shape == (2, 3)


def test_windows_end_before_the_last_token_or_begin_behind_the_first():
    assert window(10, 2, 5, "late") == (3, 8) and window(10, 2, 5, "early") == (1, 6)
    assert window(10, 3, 4, "late") == (4, 6, 8) and window(10, 1, 4, "late") == (4,)
    with pytest.raises(ValueError, match="at most t - 3"):
        window(10, 2, 8, "late")
    with pytest.raises(ValueError, match="at least N - 1"):
        window(10, 3, 1, "late")


def test_errors_norms_and_sample_sizes_stay_below_what_is_proved(sheet: Sheet):
    assert sheet.numbers["violations"] == 0 and sheet.numbers["broken"] == 0 and sheet.numbers["checks"] == 7 * 2 * 3
    for case in sheet.numbers["cases"]:
        assert case["certified"] and case["certified_n"] > case["measured_n"].lower
        assert all(norm <= case["norm_bound"] * (1 + 1e-5) for norm in case["norm_squared"])
        assert case["rademacher"] > case["error"][-1]


def test_numbers_are_those_of_the_library(sheet: Sheet):
    (case,) = [c for c in sheet.numbers["cases"] if (c["t"], c["variables"], c["span"]) == (5, 2, 2)]
    directions = np.zeros((2, 4))
    directions[:, :3] = np.random.default_rng(0).standard_normal((2, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    f = concepts.NVariable((1, 3), directions / 2**0.5, "sin")
    law = norms.Tokens.declared([1.0] * 5, common=[1.0] + [0.0] * 4, features=4)
    size = 5 * 4 / 4  # K(x, x)
    needed = bounds.sample_size(f, KERNEL, law, eps=0.3, B0=0.1 / size**0.5).value
    assert needed is not None and math.isclose(case["certified_n"], needed, rel_tol=1e-5)
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(0), 5), 1)  # the second draw
    x = concepts.sample(f, 48 + 80, 5, 4, key=key, eps_x=1.0).x
    y, K = np.asarray(jax.vmap(f)(x), np.float64), np.asarray(gram(KERNEL, x), np.float64)
    predicted = K[48:, :48] @ np.linalg.solve(K[:48, :48], y[:48])
    error = np.mean(np.minimum(1, np.abs(predicted - y[48:])))
    np.testing.assert_allclose(sheet.arrays["sin-N2-span2-late-t5.error"][1, -1], error, rtol=1e-4)


def test_what_is_certified_against_the_length_is_followed_to_the_end_of_memory():
    kernel = remembered(dataclasses.replace(SMALL, memory=64))
    lengths, late, early = kernel.lengths, kernel.needed["sin", "late"], kernel.needed["sin", "early"]
    assert lengths.tolist() == [8, 16, 32, 64]
    powers = [np.diff(np.log(n)) / np.diff(np.log(lengths)) for n in (late, early)]
    assert (np.diff(powers[1]) > 0.5).all()  # the early window bends upwards also in logarithms: no power
    assert powers[0][-1] < 3 < powers[1][-1]


def test_late_and_early_coefficients_are_those_of_the_memory_profile(sheet: Sheet):
    for row, t in enumerate(sheet.arrays["lengths"].astype(int)):
        law = norms.Tokens.declared([1.0] * t, common=[1.0] + [0.0] * (t - 1))
        share = norms.memory_profile(KERNEL, law).share
        np.testing.assert_allclose(sheet.arrays["late"][row, 0], 1 / share[-2], rtol=1e-10)
        np.testing.assert_allclose(sheet.arrays["early"][row, 0], 1 / share[1], rtol=1e-10)
        np.testing.assert_array_equal(sheet.arrays[f"share-t{t}"], share)


def test_tables_hold_the_fits_and_what_was_derived(sheet: Sheet):
    tables = {section.heading: section.tables for section in sheet.sections}
    law, coefficients = tables["Memory of the kernel"]
    assert [row[:2] for row in law.rows] == [(0.0, 16), (0.5, 16)]
    late = sheet.arrays["late"]
    for p, row in enumerate(coefficients.rows):
        assert row[0] == p + 1 and row[3] == pytest.approx(1 + (p + 1) / 3) and row[-1] == late[-1, p]
        assert row[2] == pytest.approx(math.log(late[-1, p] / late[-2, p]) / math.log(2))
    (growth,) = tables["Fitted growth"]
    (row,) = [row for row in growth.rows if row[0].replace("\u00a0", " ") == "sin, N = 2, t = 5: over l_0"]
    found = {c["span"]: c for c in sheet.numbers["cases"] if (c["t"], c["variables"], c["place"]) == (5, 2, "late")}
    ratio = math.log(found[2]["certified_n"] / found[1]["certified_n"])
    assert row[1] == pytest.approx(ratio / math.log(2)) and row[2] == pytest.approx(ratio) and row[3] is None
    assert row[4] == "rate 0.39"  # 0.6724/5^(1/3)
    measured = [found[span]["measured_n"] for span in (1, 2)]
    assert (row[5] is not None) == all(one.positive and one.finite for one in measured)


@pytest.mark.slow
def test_a_bound_below_what_was_measured_is_counted():
    study = dataclasses.replace(SMALL, variables=(2,), examples=(4, 8), n_test=20, draws=1)
    one = next(cases(study, mark=Fingerprint(), clock=lambda key, name: contextlib.nullcontext()))
    assert one.broken == 0 and one.certified_n > 8 > one.mean_errors[0, -1]
    assert dataclasses.replace(one, needed=dataclasses.replace(one.needed, value=1.0)).broken == 1
    assert dataclasses.replace(one, own=dataclasses.replace(one.own, value=1e-6)).broken == 1
    assert dataclasses.replace(one, risk=dataclasses.replace(one.risk, value=1e-6)).broken == 2


def test_its_pictures_can_be_drawn_and_the_theorem_has_no_value(sheet: Sheet):
    for figure in sheet.figures:
        figure.axes().figure.canvas.draw()
    (said,) = [bound for section in sheet.sections for bound in section.bounds.values()]
    assert said.value is None and not said.certified


def test_targets_have_directions_of_norm_one_together():
    f = Setting(8, 3, 4, "late", "exp").target(np.eye(3, 4))
    assert f.positions == (2, 4, 6) and f.span == 4 and math.isclose(np.linalg.norm(f.betas), 1.0)


@pytest.mark.slow
def test_the_command_line_does_it_again(tmp_path, capsys):
    one = dataclasses.replace(SMALL, variables=(2,), examples=(4, 8), n_test=20, draws=1)
    assert_the_command_does_it_again(one, "sin-N2-span2-late-t5.error", tmp_path, capsys)
    assert one.name == "rnn-nvariable"


def test_quick_changes_what_was_not_asked_for():
    quick = RnnNVariable(quick=True, eps=0.1)
    assert quick.eps == 0.1 and quick.spans == RnnNVariable.quick_values["spans"] and quick.draws == 3
    assert quick.command == "ntkseq study rnn-nvariable --eps 0.1 --quick"
    assert RnnNVariable(quick=True, length=9).command == "ntkseq study rnn-nvariable --length 9 --quick"
    assert RnnNVariable().command == "ntkseq study rnn-nvariable"


@pytest.mark.slow
def test_functions_without_a_proof_are_said_and_drawn():
    one = dataclasses.replace(SMALL, functions=("geometric",), variables=(2,), examples=(4, 8), n_test=20, draws=1)
    sheet = one.run()
    assert any("No finite bound of the norm for geometric, N = 2" in note for note in sheet.notes)
    assert any("not all draws reached 0.3 with 8 examples" in note for note in sheet.notes)
    assert all(math.isinf(case["certified_n"]) and not case["certified"] for case in sheet.numbers["cases"])
    for figure in sheet.figures:
        figure.axes().figure.canvas.draw()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"functions": ("relu",)}, "relu"),
        ({"functions": ()}, "functions must be different ones"),
        ({"spans": ()}, "spans must be different ones"),
        ({"spans": (2, 2)}, "spans must be different ones"),
        ({"spans": (3,)}, "spans must be different ones, two or more"),
        ({"spans": (2, 14)}, "at most t - 3"),
        ({"spans": (1, 4)}, "at least N - 1"),
        ({"variables": ()}, "variables must be different ones"),
        ({"variables": (0, 1)}, "variables must be"),
        ({"lengths": (4, 8)}, "at most t - 3"),
        ({"lengths": (8,)}, "lengths must be different ones, two or more"),
        ({"length": 1}, "at most t - 3"),
        ({"examples": (8,)}, "examples must be different ones, two or more"),
        ({"examples": (8, 8)}, "examples must be different ones"),
        ({"eps": 0.0}, "eps must lie"),
        ({"delta": 1.0}, "delta must lie"),
        ({"grid": 0.0}, "grid must be"),
        ({"memory": 8}, "memory must be 16"),
        ({"fractions": (1.0,)}, "fractions must lie"),
        ({"fractions": ()}, "fractions must be different"),
        ({"features": 1}, "features must be 2 or more"),
        ({"draws": 0}, "draws must be"),
        ({"seed": -1}, "seed must be"),
    ],
)
def test_bad_options_are_turned_away(options, message):
    with pytest.raises(ValueError, match=message):
        RnnNVariable(**options)


@pytest.mark.slow
def test_one_example_is_enough_to_begin_with():
    one = dataclasses.replace(SMALL, variables=(1,), examples=(1, 4), n_test=5, draws=1)
    assert one.run().numbers["violations"] == 0
