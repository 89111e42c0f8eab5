"""Is the influence of examples that of refitting without them, and do its errors hold what rounding does?"""

from __future__ import annotations

import numpy as np
import pytest

from ntkseq import predictors
from ntkseq.grams import DenseGram

RNG = np.random.default_rng(0)


def gaussian(x1, x2):
    return np.exp(-0.5 * ((x1[:, None] - x2[None]) ** 2).sum(-1))


X, QUERIES = RNG.normal(size=(14, 2)), RNG.normal(size=(5, 2))
K, CROSS = gaussian(X, X), gaussian(QUERIES, X)
Y = np.sin(2 * X[:, 0]) + 0.3 * RNG.normal(size=14)


def refitted(K, y, cross, left, reg):
    """What a fit without the examples in `left` predicts."""
    rest = np.setdiff1d(np.arange(len(K)), left)
    return predictors.ridge(K[np.ix_(rest, rest)], y[rest], reg=reg)(cross[:, rest])


@pytest.mark.parametrize("y", [Y, np.stack([Y, Y**2, -Y], 1)], ids=["one output", "three outputs"])
@pytest.mark.parametrize("groups", [None, [[0], [3, 1], [13, 5, 7, 2, 0], list(range(13))]], ids=["each", "groups"])
def test_influence_is_the_change_of_predictions_by_refitting(y, groups):
    found = predictors.influence(K, y, CROSS, reg=0.05, groups=groups)
    whole = predictors.ridge(K, y, reg=0.05)(CROSS)
    np.testing.assert_allclose(found.predictions, whole, atol=1e-12)
    assert found.values.shape == (5, 14 if groups is None else 4, *y.shape[1:])
    for i, left in enumerate(found.groups):
        wanted = refitted(K, y, CROSS, list(left), 0.05)
        np.testing.assert_allclose(found.left_out[:, i], wanted, atol=1e-11)
        assert np.all(np.abs(found.values[:, i] - (whole - wanted)) <= found.errors[:, i] + 1e-14)


def test_influence_on_the_examples_themselves_has_the_leave_one_out_residuals_on_its_diagonal():
    found, fit = predictors.influence(K, Y, reg=0.1), predictors.ridge(K, Y, reg=0.1)
    np.testing.assert_allclose(np.diagonal(found.left_out), fit.loo_predictions, atol=1e-12)


def test_the_loss_of_leaving_out_is_that_of_refitting():
    y, yq = np.stack([Y, Y**2], 1), RNG.normal(size=(5, 2))
    found = predictors.influence(K, y, CROSS, reg=0.1, groups=[[1, 2]])
    without = refitted(K, y, CROSS, [1, 2], 0.1)
    wanted = ((yq - without) ** 2).sum(1) - ((yq - found.predictions) ** 2).sum(1)
    np.testing.assert_allclose(found.loss(yq)[:, 0], wanted, atol=1e-12)
    with pytest.raises(ValueError, match=r"shape of the predictions, \(5, 2\)"):
        found.loss(yq[:, 0])


@pytest.mark.parametrize("reg", [1e-1, 1e-9])
def test_errors_hold_what_rounding_of_the_kernel_does(reg):
    rng = np.random.default_rng(1)
    rounding = 1e-8
    for _ in range(20):
        E, e = rng.normal(size=(14, 14)), rng.normal(size=(5, 14))
        E, e = E + E.T, e * rounding / np.linalg.norm(e, 2)
        E *= rounding / np.linalg.norm(E, 2)
        known = DenseGram(K + E, rounding, True), DenseGram(CROSS + e, rounding, False)
        found = predictors.influence(known[0], Y, known[1], reg=reg, groups=[[0], [1, 2, 3]])
        exact = predictors.influence(K, Y, CROSS, reg=reg, groups=[[0], [1, 2, 3]])
        assert np.all(np.abs(found.values - exact.values) <= found.errors)
        assert np.isfinite(found.errors).all()
    assert np.isinf(predictors.influence(DenseGram(K, 0.2, True), Y, reg=reg).errors).all()


def test_errors_hold_what_the_solution_loses_in_float64():
    import fractions

    n, reg = 6, 1e-10
    K = gaussian(X[:n] / 30, X[:n] / 30)  # condition number 1e11
    exact = [[fractions.Fraction(float(v)) for v in row] for row in K]

    def solve(rest, y):  # Gauss, in rational numbers
        rows = [[exact[i][j] + (fractions.Fraction(reg) if i == j else 0) for j in rest] + [y[i]] for i in rest]
        for i in range(len(rest)):
            for k in range(len(rest)):
                if k != i:
                    factor = rows[k][i] / rows[i][i]
                    rows[k] = [a - factor * b for a, b in zip(rows[k], rows[i], strict=True)]
        return [row[-1] / row[i] for i, row in enumerate(rows)]

    y = [fractions.Fraction(float(v)) for v in Y[:n]]
    found = predictors.influence(DenseGram(K, 0.0, True), Y[:n], reg=reg)

    def predicted(rest):
        dual = solve(rest, y)
        return [sum(exact[j][i] * a for i, a in zip(rest, dual, strict=True)) for j in range(n)]

    whole = predicted(range(n))
    for i in range(n):
        without = predicted([k for k in range(n) if k != i])
        wanted = np.array([float(a - b) for a, b in zip(whole, without, strict=True)])
        assert np.all(np.abs(found.values[:, i] - wanted) <= found.errors[:, i])


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (dict(groups=[[0, 0]]), r"groups\[0\] must hold different indices in 0..13"),
        (dict(groups=[[1], [14]]), r"groups\[1\] must hold different indices in 0..13"),
        (dict(groups=[[]]), r"groups\[0\] must be a list of indices"),
        (dict(groups=[]), "groups must hold at least one group"),
        (dict(groups=[list(range(14))]), "leave an example"),
        (dict(K_cross=CROSS.T), "looks transposed"),
        (dict(reg=0.0), "reg must be a finite number > 0"),
    ],
)
def test_what_cannot_be_left_out_is_refused(changed, told):
    given = dict(K=K, y=Y, K_cross=CROSS, reg=0.1) | changed
    with pytest.raises(ValueError, match=told):
        predictors.influence(**given)
