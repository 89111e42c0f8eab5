"""Does the report on targets that are numbers say what ridge regression by hand says, and no word of classes?"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import ntkseq
from ntkseq import bounds
from ntkseq.data import Dataset
from ntkseq.reports import Folder, Report, Sheet
from ntkseq.studies import Study, run
from ntkseq.studies.tangent.inputs import problem
from ntkseq.studies.tangent.ridge import Centre

RNG = np.random.default_rng(0)
X = RNG.normal(size=(16, 3, 2)).astype(np.float32)
Y = (X.sum((1, 2)) + 0.1 * RNG.normal(size=16)).astype(np.float32)
HELD = Dataset(jnp.asarray(X[:12]), jnp.asarray(Y[:12]), None, jnp.asarray(X[12:]), jnp.asarray(Y[12:]), name="held")


@pytest.fixture(scope="module")
def made():
    return run(Study(HELD, read="last", reg=0.1))


@pytest.mark.slow
def test_errors_and_bound_are_those_of_ridge_regression_by_hand(made):
    assert isinstance(made, Sheet)
    K, K_test = made.arrays["K"].astype(np.float64), made.arrays["K_test"].astype(np.float64)
    y, y_test = Y[:12].astype(np.float64), Y[12:].astype(np.float64)
    inverse = np.linalg.inv(K + 0.1 * np.eye(12))
    c = made.numbers["centre"]
    assert abs(c - y.mean()) <= y.std() / 200
    predicted = c + K_test @ inverse @ (y - c)
    found = made.numbers["root_mean_squared_error"]
    assert np.allclose(made.arrays["prediction"], predicted, rtol=1e-9)
    assert found["test"] == pytest.approx(np.sqrt(np.mean((predicted - y_test) ** 2)))
    assert found["train"] == pytest.approx(np.sqrt(np.mean((y - c - K @ inverse @ (y - c)) ** 2)))
    assert found["loo"] == pytest.approx(np.sqrt(np.mean(np.square(list(_left_out(K, y, c))))))
    assert found["mean"] == pytest.approx(np.sqrt(np.mean((y.mean() - y_test) ** 2)))
    direct = ntkseq.gram(Study("digits", read="last").build(), X[:12])
    assert np.array_equal(made.arrays["K"], np.asarray(direct.array))
    (section,) = (section for section in made.sections if section.bounds)
    bound = section.bounds["rademacher"]
    centre = Centre.of(y)
    same = bounds.rademacher(direct, y - c, reg=0.1, loss="squared", tried=centre.tried)
    assert bound.value == same.value and bound.certified and centre.value == c
    assert section.measured["rademacher"] == pytest.approx(np.mean(np.minimum(1, (predicted - y_test) ** 2)))


def _left_out(K, y, c):
    """y_i minus what is predicted at x_i by a fit without it, whose centre is in steps of a hundredth, too."""
    for i in range(12):
        rest = np.arange(12) != i
        at = round(y[rest].mean(), 2)  # the step of `Centre.of(Y[:12])`
        yield y[i] - at - K[i, rest] @ np.linalg.solve(K[np.ix_(rest, rest)] + 0.1 * np.eye(11), y[rest] - at)


@pytest.mark.slow
def test_nothing_is_said_of_classes(made, tmp_path):
    with Folder(tmp_path / "out") as folder:
        folder.write(made)
    text = (tmp_path / "out" / "report.json").read_text() + "\n".join(made.summary())
    text = text.replace("speak of two classes and are left out", "").replace('"classes": []', "")
    assert "class" not in text and "misclassified" not in text and '"source": "held"' in text
    assert {"rounding_stated", "rounding_estimated", "sampled"} <= set(made.arrays)  # for `ntkseq spectrum`


def test_a_part_is_held_out_of_numbers_without_a_split():
    posed = problem(Study(Dataset(jnp.asarray(X), jnp.asarray(Y))), values=True)
    assert len(posed.train.y) == 12 and len(posed.test.y) == 4 and posed.split == "drawn with seed 0"
    assert sorted([*posed.train.y, *posed.test.y]) == sorted(Y.tolist()) and posed.classes == ()
    assert posed.summary.startswith("data: 12 training and 4 test sequences, t = 3, d = 2, targets from ")


def test_a_data_set_in_memory_is_studied_as_the_file_that_holds_it(tmp_path):
    np.savez(tmp_path / "held.npz", x=X[:12], y=Y[:12], x_test=X[12:], y_test=Y[12:])
    file = problem(Study(str(tmp_path / "held.npz"), targets="values"), values=True)
    assert problem(Study(HELD), values=True).fingerprint() == file.fingerprint()


@pytest.mark.slow
def test_classes_in_memory_are_studied_by_codes_and_by_signs():
    codes = jnp.asarray((Y > 0).astype(np.int32))
    held = Dataset(jnp.asarray(X), codes, name="held", classes=("low", "high"))
    posed, signed = problem(Study(held)), problem(Study(held.signs()))
    assert posed.fingerprint() == signed.fingerprint() and posed.classes == ("low", "high")
    report = run(held)
    assert isinstance(report, Report) and report.provenance["config"]["source"] == "held"
    assert "(held, in memory)" in report.provenance["command"]


@pytest.mark.slow
def test_targets_far_from_zero_are_predicted_as_those_around_zero(made):
    far = Dataset(HELD.x, jnp.asarray(Y[:12] + 1024), None, HELD.x_test, jnp.asarray(Y[12:] + 1024), name="far")
    moved: Any = run(Study(far, read="last", reg=0.1))
    first, second = (one.numbers["root_mean_squared_error"] for one in (made, moved))
    assert second["test"] == pytest.approx(first["test"], abs=1e-3) and second["test"] < 1
    centre = f"{moved.numbers['centre']:g}"
    assert centre.startswith("102") and any(f"Targets are centred: {centre}, the mean of" in n for n in moved.notes)


def test_the_end_of_the_grid_is_said_where_the_ridge_lies_there():
    noise = Dataset(HELD.x, jnp.asarray(np.tile([1.0, -1.0], 6)), None, HELD.x_test, HELD.y_test, name="noise")
    assert any("the largest of them" in note for note in run(Study(noise, read="last")).notes)


def test_inputs_divided_by_their_largest_norm_leave_no_certified_bound():
    made: Any = run(Study(HELD, read="last", reg=0.1, normalise="max-norm"))
    assert not any(bound.certified for section in made.sections for bound in section.bounds.values())


def test_a_study_of_bare_arrays_says_how_to_ask_for_it_and_a_path_is_one(tmp_path):
    make: Any = Study
    with pytest.raises(ValueError, match=r"source must be 'digits', .* or arrays with their labels, Study\(x, y\)"):
        make(X)
    asked = make(tmp_path / "a.npz")
    assert asked.source == str(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Study(HELD, label="first"), "label is for files; got a data set in memory"),
        (lambda: Study(HELD, test="a.npz"), "test is for files"),
        (lambda: Study("a.npz", targets="values", positive="b"), "positive picks classes; targets='values' has none"),
        (lambda: run(Study(HELD, positive="b")), "held: positive picks classes; the targets are numbers"),
        (lambda: run(Study(HELD, targets="classes")), "held: targets='classes', but the data set has none"),
        (lambda: problem(Study(HELD)), "held: this study is about classes; got targets that are numbers"),
        (lambda: run(Dataset(jnp.asarray(X), None)), "data: a study needs labels; this data set has none"),
        (lambda: run(Dataset(jnp.asarray(X), jnp.arange(16))), "data: y holds whole numbers without classes"),
        (lambda: run(Dataset(jnp.asarray(X), jnp.full(16, jnp.nan))), "y must be finite; got 16 NaN"),
        (lambda: run(Study("digits", targets="values")), "targets is for files; got source 'digits'"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(make, message):
    with pytest.raises(ValueError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("y", [np.full(12, 0.5), 101325 + 0.01 * np.arange(12)])
def test_targets_that_hardly_differ_are_studied_too(y):
    x = np.random.default_rng(0).normal(size=(12, 3, 1)).astype(np.float32)
    made = run(Study(x, y, targets="values", n_test=4))
    assert isinstance(made, Sheet) and made.numbers["root_mean_squared_error"]["test"] < 0.1
    assert "it does no better" in made.findings[0] or "% less" in made.findings[0]
