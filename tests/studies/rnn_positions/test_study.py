"""Tests of `ntkseq.studies.rnn_positions.study`, its sections and sheet."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from ntkseq import bounds, kernels, norms
from ntkseq.reports import Sheet
from ntkseq.studies.recurrent.targets import KERNEL
from ntkseq.studies.rnn_positions.cases import at_step, target
from ntkseq.studies.rnn_positions.study import RnnPositions
from tests.studies.reruns import assert_the_command_does_it_again

SMALL = RnnPositions(
    length=5, examples=(6, 12), functions=("sin",), sources=("far", "all"), draws=2, n_test=60, probes=20, widths=(16,),
    sgd_examples=(8,), seeds=1, epochs=4,
)  # fmt: skip
TINY = dataclasses.replace(SMALL, length=3, sources=("all",), draws=1, n_test=20, probes=4, examples=(4, 6), epochs=1)


@pytest.fixture(scope="module")
def sheet() -> Sheet:
    return SMALL.run()


def test_every_case_is_on_the_sheet(sheet: Sheet):
    assert [(case["function"], case["source"]) for case in sheet.numbers["cases"]] == [("sin", "far"), ("sin", "all")]
    for case in sheet.numbers["cases"]:
        assert case["positions"] == [2, 3, 4] and case["n"] == [6, 12]
        (run,) = case["networks"]
        assert run["steps"] == 4 and run["diverged_at"] is None and 0 < run["error"] < 1
        assert math.isclose(np.mean(run["error_by_step"]), run["error"], rel_tol=1e-9)
    assert sheet.arrays["sin-all.error"].shape == (2, 2, 3)
    assert sheet.arrays["sin-all.gain"].shape == sheet.arrays["sin-far.gain-8-16-0"].shape == (4, 3)
    assert sheet.arrays["sin-far.loss-8-16-0"].shape == (4,)


def test_errors_are_below_certified_bounds_and_norms_of_steps_below_theirs(sheet: Sheet):
    assert sheet.numbers["violations"] == 0 and sheet.numbers["broken"] == 0
    assert sheet.numbers["checks"] == 2 * (2 * 2 * 2 + 3)
    for case in sheet.numbers["cases"]:
        assert all(case["certified"])
        assert case["bound"][-1] > case["error"][-1]
        assert all(np.array(case["bound_by_step"]) > case["error_by_step"])
        assert all(np.array(case["norm_squared_alone"]) <= np.array(case["norm_bound"]) * (1 + 1e-5))
        assert case["risk_certified"] and case["risk_bound"] > case["bound"][-1]
        assert case["norm_squared"][-1] < case["norm_bound_all"]
        # one function of all steps interpolates each of them
        assert case["norm_squared"][-1] >= max(case["norm_squared_alone"]) * (1 - 1e-5)
        assert case["price"] >= 1 and case["norm_squared"][0] < case["norm_squared"][1]


def test_numbers_are_those_of_the_library(sheet: Sheet):
    case = sheet.numbers["cases"][1]
    rng = np.random.default_rng(0)
    directions = np.zeros((5, 5, 4))
    directions[..., :-1] = rng.standard_normal((5, 5, 3))
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    f = target("sin", "all", directions, 1.0)
    assert math.isclose(case["kernel_diagonal"], 5 * 4 / 4, rel_tol=1e-5)
    law = norms.Tokens.declared([1.0] * 5, common=[1.0, 0, 0, 0, 0], features=4)
    norm, risk = norms.every_step_norm(f, KERNEL, law), bounds.every_step_risk(f, KERNEL, law, n=12, B0=0.5 / 5**0.5)
    assert norm.value is not None and math.isclose(case["norm_bound_all"], norm.value * 5, rel_tol=1e-5)
    assert risk.value is not None and math.isclose(case["risk_bound"], risk.value, rel_tol=1e-5)
    for j in (2, 3, 4):
        law = norms.Tokens.declared([1.0] * (j + 1), common=[1.0] + [0.0] * j, features=4)
        norm = norms.rkhs_norm(at_step(f, j), KERNEL, law).value
        assert norm is not None and math.isclose(case["norm_bound"][j - 2], norm * 5, rel_tol=1e-5)


def test_the_bounds_of_single_steps_hold_at_once(sheet: Sheet):
    case = sheet.numbers["cases"][0]
    own = np.mean(case["bound_by_step"])
    assert own > case["bound"][-1]  # the same capacity on average, and a union over the steps
    # sqrt(log(i (i+1) 3/delta)/(2n)) against the same without 3: furthest apart where i (i+1) is least
    confidence = [math.sqrt(math.log(x / 0.05) / 24) for x in (1, 3)]
    assert own - case["bound"][-1] < confidence[1] - confidence[0] + 1e-3


def test_the_share_of_a_token_that_a_step_cannot_see_is_zero(sheet: Sheet):
    for source in ("far", "all"):
        effect = sheet.arrays[f"sin-{source}.effect"]
        for a, token in ((0, 3), (0, 4), (1, 4)):  # output at 2 + a, token counted from 1 in row token - 1
            assert effect[token - 1, a] == 0 and effect[a + 1, a] > 0
    gain = sheet.arrays["sin-far.gain"]
    assert np.isfinite(gain[0]).all() and np.isnan(gain[1:]).all()  # nothing else counts for the target


def test_its_pictures_can_be_drawn_and_the_theorem_has_no_value(sheet: Sheet):
    for figure in sheet.figures:
        figure.axes().figure.canvas.draw()
    proved, theorem = (section for section in sheet.sections if section.bounds)
    (said,) = theorem.bounds.values()
    assert said.value is None and not said.certified
    assert set(proved.bounds) == {"rademacher_steps", "every_step_risk"}
    assert all(bound.certified and (bound.value or 0) > proved.measured[name] for name, bound in proved.bounds.items())


def test_the_certified_number_of_sequences_is_where_the_bound_reaches_a_half(sheet: Sheet):
    (table,) = next(section.tables for section in sheet.sections if section.heading == "What is proved")
    case, row = sheet.numbers["cases"][0], table.rows[0]
    norm = math.sqrt(case["norm_bound_all"] / 5)
    bounded = 2 * math.ceil(norm / (0.5 / 5**0.5)) * 0.5 / 5**0.5 * np.mean(np.sqrt([1.5, 3, 5]))
    i = math.ceil(norm / (0.5 / 5**0.5))
    n = ((bounded + math.sqrt(math.log(i * (i + 1) / 0.05) / 2)) / 0.5) ** 2
    assert row[-1] == pytest.approx(n, rel=1e-4)


@pytest.mark.slow
def test_the_command_line_does_it_again(tmp_path, capsys):
    first = assert_the_command_does_it_again(TINY, "sin-all.error", tmp_path, capsys)
    assert first.numbers["cases"][0]["positions"] == [2]  # one step alone is enough
    assert TINY.name == "rnn-positions"


def test_quick_changes_what_was_not_asked_for():
    quick = RnnPositions(quick=True, widths=(32,))
    assert quick.widths == (32,) and quick.examples == RnnPositions.quick_values["examples"] and quick.seeds == 2
    assert quick.command == "ntkseq study rnn-positions --widths 32 --quick"


@pytest.mark.slow
def test_duplicates_are_said_and_ridge_takes_the_place_of_the_interpolant():
    # one feature beside that of the first token: every token is one of two
    sheet = dataclasses.replace(TINY, features=2, examples=(4, 12)).run()
    assert any("Singular kernel matrix" in note and "ridge regression with reg" in note for note in sheet.notes)
    assert sheet.numbers["broken"] == 0 and all(sheet.numbers["cases"][0]["certified"])
    for figure in sheet.figures:
        figure.axes()


@pytest.mark.slow
def test_one_sequence_and_networks_that_diverge():
    sheet = dataclasses.replace(TINY, examples=(1, 2), sgd_examples=(1,), rate=1e6, epochs=30).run()
    assert any("1 of 1 networks diverged" in note for note in sheet.notes)
    assert sheet.numbers["broken"] == 0
    for figure in sheet.figures:
        figure.axes().figure.canvas.draw()


@pytest.mark.slow
def test_functions_without_a_proof_are_said():
    sheet = dataclasses.replace(TINY, functions=("geometric",)).run()
    assert any("No finite bound of the norm at some steps for geometric (all)" in note for note in sheet.notes)
    assert any("No finite bound of the norm of all steps for geometric (all)" in note for note in sheet.notes)
    assert sheet.numbers["violations"] == 0 and math.isinf(sheet.numbers["cases"][0]["norm_bound"][0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 2}, "length must be 3 or more"),
        ({"length": 0}, "length must be"),
        ({"functions": ("relu",)}, "relu"),
        ({"functions": ()}, "functions must be different ones"),
        ({"sources": ("all", "all")}, "sources must be different ones"),
        ({"examples": (8,)}, "examples must be two or more"),
        ({"examples": (0, 8)}, "examples must be"),
        ({"widths": ()}, "widths must be different ones"),
        ({"sgd_examples": (4, 4)}, "sgd_examples must be different ones"),
        ({"features": 1}, "features must be 2 or more"),
        ({"probes": 1}, "probes must lie in 2..n_test = 500"),
        ({"probes": 501}, "probes must lie in 2..n_test = 500"),
        ({"eps_x": 0.0}, "eps_x must be"),
        ({"delta": 0.0}, "delta must lie"),
        ({"seed": -1}, "seed must be"),
    ],
)
def test_bad_options_are_turned_away(options, message):
    with pytest.raises(ValueError, match=message):
        RnnPositions(**options)


@pytest.mark.slow
def test_short_tokens_are_another_kernel_with_the_same_labels():
    x = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    directions = np.random.default_rng(1).normal(size=(4, 4, 3))
    long, short = (target("exp", "all", directions, eps) for eps in (1.0, 0.25))
    np.testing.assert_allclose(long(x), short(0.25 * x), rtol=1e-5)
    assert not np.allclose(kernels.every_step(KERNEL, x[None]), kernels.every_step(KERNEL, 0.25 * x[None]))
