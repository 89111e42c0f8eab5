"""Is the kernel of a tuned study the best of a grid that was fixed beforehand, and do the bounds pay for the choice?"""

from __future__ import annotations

import numpy as np
import pytest

from ntkseq import bounds, kernels, predictors
from ntkseq.reports import Report, Sheet
from ntkseq.studies import Study, run
from ntkseq.studies.tangent import tuning
from ntkseq.studies.tangent.ridge import choose_ridge

RNG = np.random.default_rng(3)
X = RNG.normal(size=(24, 4, 1)).astype(np.float32)
Y = np.where(X[:, -1, 0] + 0.3 * X[:, 0, 0] > 0, "up", "down")


@pytest.fixture(scope="module")
def study():
    return Study(X, Y, tune=True, sigma_b=0.2, n_test=8)


@pytest.fixture(scope="module")
def made(study):
    return run(study)


def test_the_grid_varies_what_was_not_set_and_nothing_else(study):
    names = [one.name for one in tuning.grid(study)]
    assert len(names) == 6 and names[0] == "recurrent:read=last,sigma_w=0.8"
    fixed = Study(X, Y, tune=True, kernel="recurrent:read=last,sigma_w=1.0", sigma_b=0.2)
    assert [one.name for one in tuning.grid(fixed)] == ["recurrent:read=last,sigma_w=1.0"]
    dense = [one.make((4, 1)) for one in tuning.grid(Study(X, Y, tune=True, kernel="dense"))]
    assert [(one.sigma_b, one.depth) for one in dense] == [(b, k) for b in (0.1, 0.7) for k in (1, 2, 3)]


@pytest.mark.slow
def test_each_name_of_the_grid_asks_for_that_kernel_again(study):
    for one in tuning.grid(study):
        again = Study(X, Y, kernel=one.name, sigma_b=0.2).kernels[0].make((4, 1))
        assert np.array_equal(np.asarray(again(X[:3])), np.asarray(one.make((4, 1))(X[:3])))


@pytest.mark.slow
def test_the_kernel_has_the_least_leave_one_out_error_of_all(made):
    assert isinstance(made, Report)
    signs = np.where(made.y == 1, 1.0, -1.0)
    errors = [error for _, error in made.compared]
    assert errors == sorted(errors) and len(errors) == 6
    reg, _ = choose_ridge(made.gram, signs, float(np.trace(np.asarray(made.gram.array, np.float64))))
    residuals = predictors.ridge(made.gram, signs, reg=reg).loo_residuals
    assert errors[0] == pytest.approx(float(np.mean(np.square(residuals))))


@pytest.mark.slow
def test_the_bounds_pay_for_every_kernel_that_was_looked_at(made):
    signs = np.where(made.y == 1, 1.0, -1.0)
    paid = bounds.table(made.gram, signs, reg=made.prediction.reg, tried=6).rows
    free = bounds.table(made.gram, signs, reg=made.prediction.reg).rows
    for key in ("rademacher", "gibbs"):
        assert made.bounds[key].value == paid[key].value > free[key].value
    assert made.predicted is None  # leave-one-out chose the kernel, and cannot foretell its error
    assert "chosen among 6" in made.notes[0] and "1/6 of delta" in made.notes[0]
    assert [one["kernel"] for one in made.numbers["compared"]] == [name for name, _ in made.compared]


@pytest.mark.slow
def test_the_depth_of_a_bound_is_that_of_the_kernel():
    for kernel, depth in (("dense:depth=3", 3), (kernels.Dense(depth=2), 2), ("dense", 1), (2.0 * kernels.Dense(), 1)):
        assert run(Study(X, Y, kernel=kernel)).bounds["cao_gu2019"].constants.depth == depth


@pytest.mark.slow
def test_numbers_are_tuned_too():
    values = run(Study(X, X[:, -1, 0].astype(np.float64) + 0.5, tune=True, sigma_b=0.2, sigma_w=0.8))
    assert isinstance(values, Sheet) and any("chosen among 2" in note for note in values.notes)
    assert "read-out: last" in values.question


def test_a_study_of_objects_alone_has_nothing_to_tune():
    with pytest.raises(ValueError, match="tune changes the scales of kernels with a short name"):
        Study(X, Y, tune=True, kernel=kernels.Dense())
