"""Tests of `ntkseq.studies.rnn_additive.study`, its runs, sections and sheet."""

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
from ntkseq.studies.recurrent.targets import KERNEL, function
from ntkseq.studies.rnn_additive.cases import cases as measured_cases
from ntkseq.studies.rnn_additive.cases import profiles, target
from ntkseq.studies.rnn_additive.study import RnnAdditive
from tests.studies.reruns import assert_the_command_does_it_again

SMALL = RnnAdditive(
    steps=(3, 4), examples=(8, 16), functions=("linear", "sin"), places=("late", "all"), draws=2, n_test=60,
    widths=(16,), sgd_examples=(8,), seeds=1, epochs=4,
)  # fmt: skip


@pytest.fixture(scope="module")
def sheet() -> Sheet:
    return SMALL.run()


def cases(sheet: Sheet, **wanted):
    return [one for one in sheet.numbers["cases"] if all(one[key] == value for key, value in wanted.items())]


def test_every_case_is_on_the_sheet(sheet: Sheet):
    assert len(sheet.numbers["cases"]) == 2 * 2 * 2 * 2  # lengths, functions, places, norms
    assert {case["eps_x"] for case in sheet.numbers["cases"]} == {1.0, 3**-1.5, 4**-1.5}
    trained = [case for case in sheet.numbers["cases"] if case["networks"]]
    assert {(case["place"], case["eps_x"]) for case in trained} == {("late", 1.0)} and len(trained) == 4
    assert all(run["steps"] == 4 and 0 < run["error"] < 1 for case in trained for run in case["networks"])
    assert sheet.arrays["sin-all-t4-short.error"].shape == (2, 2)
    assert sheet.arrays["linear-late-t4-plain.loss-8-16-0"].shape == (4,)


def test_errors_are_below_certified_bounds_and_norms_below_theirs(sheet: Sheet):
    assert sheet.numbers["violations"] == 0 and sheet.numbers["broken"] == 0
    assert sheet.numbers["checks"] == 16 * 2 * 2
    for case in sheet.numbers["cases"]:
        assert case["risk_certified"] and case["risk_bound"] > case["error"][-1]
        assert all(norm <= case["norm_bound"] * (1 + 1e-5) for norm in case["norm_squared"])
        assert case["norm_squared"][0] < case["norm_squared"][1]  # more labels, a larger norm


def test_numbers_are_those_of_the_library(sheet: Sheet):
    (case,) = cases(sheet, t=4, function="sin", place="all", eps_x=1.0)
    rng = np.random.default_rng(0)
    directions = np.zeros((4, 4))
    directions[:, :3] = rng.standard_normal((4, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    f = target("sin", "all", directions, 1.0)
    law = norms.Tokens.declared([1.0] * 4, common=[1.0, 0, 0, 0], features=4)
    norm = norms.rkhs_norm(f, KERNEL, law)
    assert norm.value is not None and math.isclose(case["norm_bound"], norm.value * 3, rel_tol=1e-5)  # K(x, x) = 3
    risk = bounds.target_risk(f, KERNEL, law, n=16, B0=0.5 / 3**0.5)
    assert risk.value is not None and math.isclose(case["risk_bound"], risk.value, rel_tol=1e-5)


@pytest.mark.slow
def test_short_tokens_change_kernel_and_norm_but_not_the_labels():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((4, 3)).astype(np.float32)
    directions = rng.standard_normal((4, 3))
    long, short = (target("exp", "all", directions, eps) for eps in (1.0, 0.125))
    assert np.allclose(long(x), short(0.125 * x), rtol=1e-5)
    assert not np.allclose(gram(KERNEL, x[None]), gram(KERNEL, 0.125 * x[None]))


@pytest.mark.slow
def test_the_risk_bound_at_fewer_examples_is_that_of_the_library():
    quiet = lambda key, name: contextlib.nullcontext()  # noqa: E731
    case = next(measured_cases(SMALL, 4, 1.0, networks=False, mark=Fingerprint(), clock=quiet))
    x = case.sample[0]
    for n in (8, 16):
        bound = bounds.target_risk(case.target, KERNEL, x, n=n, B0=0.5 / case.kappa)
        assert bound.value is not None and math.isclose(case.risk_at(n), bound.value, rel_tol=1e-9)
    assert case.sizes == (8, 16) and not case.trained and case.broken == case.violations == 0
    low = dataclasses.replace(case, risk=dataclasses.replace(case.risk, value=1e-6, constants=case.risk.constants))
    assert low.broken == 4  # a bound that does not hold is counted, for every draw and size
    small = dataclasses.replace(case.risk.constants, norm=1e-3)
    assert dataclasses.replace(case, risk=dataclasses.replace(case.risk, constants=small)).violations == 4


def test_draws_are_different_ones(sheet: Sheet):
    first, second = sheet.arrays["linear-late-t4-plain.error"]
    assert not np.isclose(first, second).any()


def test_places_are_the_last_but_one_the_second_and_all_between():
    directions = np.ones((6, 2))
    where = {
        place: [p for p, _, _ in target("linear", place, directions, 1.0).parts] for place in ("late", "early", "all")
    }
    assert where == {"late": [4], "early": [1], "all": [1, 2, 3, 4]}
    x = np.ones((6, 2), np.float32)
    assert math.isclose(float(target("linear", "all", directions, 1.0)(x)), 4 * 2 / 4**0.5, rel_tol=1e-6)


def test_the_memory_of_the_sheet_is_that_of_the_tokens(sheet: Sheet):
    assert sheet.numbers["memory_share"]["short tokens"] == profiles(4, 4**-1.5, 4).share.tolist()
    law = norms.Tokens.declared([1, 0.5, 0.5], common=[1, 0, 0], features=2)
    np.testing.assert_allclose(profiles(3, 0.5, 2).share, norms.memory_profile(KERNEL, law).share, rtol=1e-6)


def test_its_pictures_can_be_drawn_and_theorems_have_no_value(sheet: Sheet):
    for figure in sheet.figures:
        figure.axes().figure.canvas.draw()
    said = next(section.bounds for section in sheet.sections if section.bounds)
    assert set(said) == {"allen_zhu_li2019", "wang_shen2021"}
    assert all(bound.value is None and not bound.certified for bound in said.values())


def test_the_command_line_does_it_again(sheet: Sheet, tmp_path, capsys):
    one = dataclasses.replace(SMALL, steps=(3,), functions=("linear",), places=("late",), short=0.0)
    assert_the_command_does_it_again(one, "linear-late-t3-plain.error", tmp_path, capsys)
    assert one.name == "rnn-additive"


def test_quick_changes_what_was_not_asked_for():
    quick = RnnAdditive(quick=True, widths=(32,))
    assert quick.widths == (32,) and quick.examples == RnnAdditive.quick_values["examples"] and quick.draws == 3
    assert quick.command == "ntkseq study rnn-additive --widths 32 --quick"
    assert RnnAdditive(quick=True).command == "ntkseq study rnn-additive --quick"


@pytest.mark.slow
def test_functions_without_a_proof_are_said():
    one = dataclasses.replace(SMALL, steps=(3,), functions=("geometric",), places=("late",), short=0.0)
    sheet = one.run()
    assert any("No finite bound of the norm for geometric, late, t = 3" in note for note in sheet.notes)
    (case,) = sheet.numbers["cases"]
    assert math.isinf(case["norm_bound"]) and not case["risk_certified"] and sheet.numbers["violations"] == 0
    for figure in sheet.figures:
        figure.axes()


@pytest.mark.slow
def test_networks_that_diverge_are_said():
    one = dataclasses.replace(
        SMALL, steps=(3,), functions=("linear",), places=("late",), short=0.0, rate=1e5, epochs=20
    )
    sheet = one.run()
    assert any("1 of 1 networks diverged" in note for note in sheet.notes)
    for figure in sheet.figures:
        figure.axes().figure.canvas.draw()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"functions": ("relu",)}, "relu"),
        ({"functions": ()}, "functions must be different ones"),
        ({"steps": ()}, "steps must be different ones"),
        ({"steps": (2, 4)}, "steps must be 3 or more"),
        ({"examples": (8,)}, "different ones, two or more"),
        ({"examples": (8, 8)}, "examples must be different ones"),
        ({"examples": (0, 8)}, "examples must be"),
        ({"widths": (8, 8)}, "widths must be different ones"),
        ({"sgd_examples": ()}, "sgd_examples must be different ones"),
        ({"places": ("late", "late")}, "places must be different ones"),
        ({"features": 1}, "features must be 2 or more"),
        ({"rate": 0.0}, "rate must be"),
        ({"delta": 1.0}, "delta must lie"),
        ({"short": -1.0}, "short must be"),
        ({"seed": -1}, "seed must be"),
    ],
)
def test_bad_options_are_turned_away(options, message):
    with pytest.raises(ValueError, match=message):
        RnnAdditive(**options)


def test_functions_have_their_names():
    assert float(function("square")(3.0)) == 9.0 and float(function("cube")(-2.0)) == -8.0
    assert math.isclose(float(function("sin")(1.0)), math.sin(1.0), rel_tol=1e-6)


def test_the_kernel_beside_a_network_was_trained_as_long(sheet: Sheet):
    (case,) = cases(sheet, t=4, function="linear", place="late", eps_x=1.0)
    (run,) = case["networks"]
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(0), 4), 0)
    rng = np.random.default_rng(0)
    directions = np.zeros((4, 4))
    directions[:, :3] = rng.standard_normal((4, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    f = target("linear", "late", directions, 1.0)
    drawn = concepts.sample(f, 16 + 60, 4, 4, key=key, eps_x=1.0)
    K, y = np.asarray(gram(KERNEL, drawn.x), np.float64), np.asarray(drawn.y, np.float64)
    fitted, coefficients = np.zeros(8), np.zeros(8)
    lr = run["lr"] * max(1.0, run["own_diagonal"])  # of the limit
    for _ in range(4000):  # small steps on the mean of |f - y|^2/2 with the network's kernel 2 K, for the time lr steps
        coefficients += lr * run["steps"] / 4000 * (y[:8] - fitted) / 8
        fitted = 2 * K[:8, :8] @ coefficients
    error = np.mean(np.minimum(1, np.abs(2 * K[16:, :8] @ coefficients - y[16:])))
    assert math.isclose(run["kernel_error"], error, rel_tol=1e-3)
