"""Does kernel ridge regression agree with refitting, plain solves and permuted data?"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq.grams.base import DenseGram
from ntkseq.predictors import Ridge, one_hot, ridge, select_reg


def gaussian(x1, x2):
    return np.exp(-0.5 * ((x1[:, None] - x2[None]) ** 2).sum(-1))


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    x, xq = rng.normal(size=(25, 3)), rng.normal(size=(7, 3))
    y = np.sin(x[:, 0]) + 0.1 * rng.normal(size=25)
    return gaussian(x, x), y, gaussian(xq, x)


@pytest.mark.parametrize("reg", [0.0, 1e-3, 0.5])
def test_the_predictor_is_the_plain_solve(problem, reg):
    K, y, K_cross = problem
    fit = ridge(K, y, reg=reg)
    dual = np.linalg.solve(K + reg * np.eye(25), y)
    np.testing.assert_allclose(fit.dual, dual, rtol=1e-8)  # the condition number of K is about 1e4
    np.testing.assert_allclose(fit(K_cross), K_cross @ dual, rtol=1e-8)
    np.testing.assert_allclose(fit.residuals, reg * dual, atol=1e-12)
    np.testing.assert_allclose(fit.rkhs_norm**2, dual @ K @ dual, rtol=1e-10)
    np.testing.assert_allclose(fit.effective_dimension, np.trace(K @ np.linalg.inv(K + reg * np.eye(25))), rtol=1e-10)


@pytest.mark.parametrize("reg", [0.0, 1e-3, 0.5])
def test_leave_one_out_residuals_are_those_of_refitting_without_each_example(problem, reg):
    K, y, _ = problem
    fit = ridge(K, y, reg=reg)
    for i in range(25):
        rest = np.delete(np.arange(25), i)
        other = ridge(K[np.ix_(rest, rest)], y[rest], reg=reg)
        np.testing.assert_allclose(fit.loo_residuals[i], y[i] - other(K[i : i + 1, rest])[0], rtol=1e-7)
        np.testing.assert_allclose(fit.loo_predictions[i], other(K[i : i + 1, rest])[0], rtol=1e-6, atol=1e-9)
    assert fit.loo_error == pytest.approx(np.mean(fit.loo_residuals**2))


def test_outputs_are_fitted_independently(problem):
    K, y, K_cross = problem
    both = ridge(K, np.stack([y, -2 * y**2], axis=1), reg=0.1)
    single = [ridge(K, target, reg=0.1) for target in (y, -2 * y**2)]
    for k in range(2):
        np.testing.assert_allclose(both(K_cross)[:, k], single[k](K_cross), rtol=1e-12)
        np.testing.assert_allclose(both.loo_residuals[:, k], single[k].loo_residuals, rtol=1e-12)
    assert both.rkhs_norm**2 == pytest.approx(sum(fit.rkhs_norm**2 for fit in single))


def test_the_order_of_the_examples_does_not_matter(problem):
    K, y, K_cross = problem
    order = np.random.default_rng(1).permutation(25)
    fit, other = ridge(K, y, reg=0.1), ridge(K[np.ix_(order, order)], y[order], reg=0.1)
    np.testing.assert_allclose(other(K_cross[:, order]), fit(K_cross), rtol=1e-10)
    np.testing.assert_allclose(other.loo_residuals, fit.loo_residuals[order], rtol=1e-10)


def test_the_ridge_is_in_units_of_the_kernel(problem):
    K, y, K_cross = problem
    np.testing.assert_allclose(ridge(7 * K, y, reg=0.7)(7 * K_cross), ridge(K, y, reg=0.1)(K_cross), rtol=1e-10)


def test_a_gram_goes_in_where_an_array_goes_in(problem, x64):
    K, y, K_cross = problem
    fit = ridge(DenseGram(jnp.asarray(K)), y, reg=0.1)
    np.testing.assert_array_equal(fit(DenseGram(jnp.asarray(K_cross), symmetric=False)), ridge(K, y, reg=0.1)(K_cross))


def test_a_float32_jax_array_is_solved_in_float64_on_the_host(problem):
    K, y, _ = problem
    rounded = K.astype(np.float32)
    fit = ridge(jnp.asarray(rounded), jnp.asarray(y, jnp.float32), reg=0.1)
    np.testing.assert_array_equal(fit.dual, ridge(rounded.astype(np.float64), y.astype(np.float32), reg=0.1).dual)


def test_fitting_under_a_trace_is_refused_with_advice(problem):
    K, y, _ = problem
    with pytest.raises(ValueError, match="outside jit"):
        jax.jit(lambda K: ridge(K, y, reg=0.1).dual)(jnp.asarray(K, jnp.float32))


def test_predictions_from_a_float32_kernel_are_summed_in_float64(problem):
    K, y, K_cross = problem
    fit = ridge(K, y, reg=0.0)
    cross = K_cross.astype(np.float32)
    np.testing.assert_array_equal(fit(jnp.asarray(cross)), cross.astype(np.float64) @ fit.dual)


@pytest.mark.parametrize("outputs", [(), (2,)])
def test_the_predictor_can_be_traced_and_differentiated(problem, outputs, x64):
    K, y, K_cross = problem
    fit = ridge(K, np.broadcast_to(y.reshape(25, *[1] * len(outputs)), (25, *outputs)), reg=0.1)
    np.testing.assert_allclose(jax.jit(lambda f, c: f(c))(fit, jnp.asarray(K_cross)), fit(K_cross), rtol=1e-12)
    slope = jax.grad(lambda c: jnp.sum(fit(c)))(jnp.asarray(K_cross))
    np.testing.assert_allclose(slope[0], fit.dual.reshape(25, -1).sum(1), rtol=1e-12)


def test_select_reg_agrees_with_fitting_each_candidate(problem):
    K, y, _ = problem
    regs = [1e-3, 1e-2, 1e-1, 1.0, 10.0]
    chosen = select_reg(K, y, regs)
    errors = [ridge(K, y, reg=reg).loo_error for reg in regs]
    np.testing.assert_allclose(chosen.loo_errors, errors, rtol=1e-8)
    assert chosen.reg == regs[int(np.argmin(errors))]
    assert 0 < int(np.argmin(errors)) < 4, "the problem should have an inner optimum"


def test_select_reg_passes_over_candidates_that_a_singular_gram_forbids():
    K, y = np.ones((4, 4)), np.array([1.0, 1.0, -1.0, 1.0])
    chosen = select_reg(K, y, [0.0, 0.1])
    assert np.isnan(chosen.loo_errors[0])
    assert chosen.reg == 0.1
    with pytest.raises(ValueError, match="candidate above"):
        select_reg(K, y, [0.0])
    with pytest.raises(ValueError, match="at least one"):
        select_reg(K, y, [])


def test_interpolation_of_duplicate_inputs_is_refused_with_advice():
    with pytest.raises(ValueError, match="reg > 0"):
        ridge(np.ones((2, 2)), [1.0, -1.0], reg=0.0)
    assert isinstance(ridge(np.ones((2, 2)), [1.0, -1.0], reg=0.1), Ridge)


def test_interpolation_is_refused_when_the_rounding_of_the_gram_hides_the_least_eigenvalue(x64):
    K = np.array([[1.0, 0.999], [0.999, 1.0]])  # least eigenvalue 1e-3
    with pytest.raises(ValueError, match="cannot be told from zero"):
        ridge(DenseGram(jnp.asarray(K), rounding=2e-3), [1.0, -1.0], reg=0.0)
    assert np.isfinite(ridge(DenseGram(jnp.asarray(K), rounding=1e-4), [1.0, -1.0], reg=0.0).rkhs_norm)


def test_a_matrix_that_is_no_kernel_is_refused():
    with pytest.raises(ValueError, match="larger reg"):
        ridge(np.diag([1.0, -1.0]), [1.0, 1.0], reg=0.5)


@pytest.mark.parametrize(
    ("K", "y", "reg", "words"),
    [
        (np.eye(3)[:2], [1.0, 1.0], 0.1, "square"),
        (np.array([[1.0, 0.5], [0.0, 1.0]]), [1.0, 1.0], 0.1, "symmetric"),
        (np.array([[1.0, np.nan], [np.nan, 1.0]]), [1.0, 1.0], 0.1, "finite"),
        (np.eye(2), [1.0, 1.0, 1.0], 0.1, "one label per example"),
        (np.eye(2), np.ones((3, 2)), 0.1, "one row per example"),
        (np.eye(2), ["a", "b"], 0.1, "Encode two classes as -1/.1, more by predictors.one_hot"),
        (np.eye(2), [1.0, 1.0], -0.1, "reg"),
        (np.eye(2), [1.0, 1.0], np.nan, "reg"),
    ],
)
def test_wrong_input_is_refused_at_the_door(K, y, reg, words):
    with pytest.raises(ValueError, match=words):
        ridge(K, y, reg=reg)


def test_a_transposed_cross_gram_is_refused_with_advice(problem):
    K, y, K_cross = problem
    with pytest.raises(ValueError, match="transposed"):
        ridge(K, y, reg=0.1)(K_cross.T)


def test_one_hot_encodes_and_decodes():
    labels = np.array([3, 8, 3, 5])
    classes = np.unique(labels)
    targets = one_hot(labels)
    assert targets.shape == (4, 3)
    np.testing.assert_array_equal(classes[targets.argmax(axis=1)], labels)
    np.testing.assert_array_equal(one_hot(labels, classes=[8, 3, 5])[0], [0.0, 1.0, 0.0])
    with pytest.raises(ValueError, match="once in classes"):
        one_hot(labels, classes=[3, 8])


def matrix_of_outputs(n: int = 4, o: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(4)
    J = rng.standard_normal(((n + 2) * o, 30))
    K = J @ J.T
    return K[: n * o, : n * o], K[n * o :, : n * o], rng.standard_normal((n, o))


def test_ridge_of_the_matrix_of_all_outputs_takes_and_gives_outputs():
    K, cross, y = matrix_of_outputs()
    fit = ridge(K, y, reg=0.3)
    wanted = cross @ np.linalg.solve(K + 0.3 * np.eye(12), y.reshape(-1))
    np.testing.assert_allclose(fit(cross), wanted.reshape(2, 3), rtol=1e-10)
    assert fit.residuals.shape == fit.dual.shape == fit.loo_predictions.shape == (4, 3)
    with pytest.raises(ValueError, match="3 rows per query"):
        fit(cross[:4])
    with pytest.raises(ValueError, match="y must have shape"):
        ridge(K, y[:3], reg=0.3)


def test_an_example_is_left_out_with_all_its_outputs():
    K, _, y = matrix_of_outputs()
    fit, chosen = ridge(K, y, reg=0.3), select_reg(K, y, [0.3])
    for i in range(4):
        here = np.arange(12) // 3 == i
        rest = np.linalg.solve(K[np.ix_(~here, ~here)] + 0.3 * np.eye(9), y.reshape(-1)[~here])
        np.testing.assert_allclose(fit.loo_predictions[i], K[np.ix_(here, ~here)] @ rest, rtol=1e-8)
    assert chosen.loo_errors[0] == pytest.approx(fit.loo_error, rel=1e-8)


CODES = np.arange(8) % 3


@pytest.mark.parametrize("y", [CODES, CODES + 1, (CODES > 0).astype(int), CODES > 0, CODES.tolist(), CODES[:, None]])
def test_codes_of_classes_are_fitted_as_numbers_with_a_warning(y):
    with pytest.warns(UserWarning, match=r"y holds the whole numbers [01]\.\.[123], as class labels do"):
        fit = ridge(np.eye(8), y, reg=1.0)
    np.testing.assert_allclose(fit.dual, np.asarray(y) / 2)


@pytest.mark.parametrize("y", [CODES - 1.0, CODES * 1.0, np.arange(8), 1 - 2 * (CODES > 0), CODES * 2, one_hot(CODES)])
def test_other_targets_are_fitted_without_a_word(y):
    ridge(np.eye(8), y, reg=1.0)
