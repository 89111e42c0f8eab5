"""Do the Rademacher bounds have the right constants, and do they hold in simulation?"""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq._notices import PrecisionWarning
from ntkseq.bounds import margin, rademacher
from ntkseq.bounds.svm import hard_margin
from ntkseq.grams.base import DenseGram
from ntkseq.predictors import ridge

# "relu last" of the theory's golden numbers: the tangent kernel of a ReLU recurrent network at three inputs
GOLDEN = np.array(
    [
        [5.213941522885513, 2.425448414818013, 1.266685472247238],
        [2.425448414818013, 4.900023011963991, 1.8898886080451844],
        [1.266685472247238, 1.8898886080451844, 3.075277020456515],
    ]
)
LABELS = np.array([1.0, -1.0, 0.5])


def arc_cosine(x1, x2):
    """The kernel of a random ReLU layer at unit vectors, K(x, x) = 1/2, entry by entry as in the textbook."""
    cosine = np.clip(x1 @ x2.T, -1, 1)
    angle = np.arccos(cosine)
    return (np.sin(angle) + (np.pi - angle) * cosine) / (2 * np.pi)


def sphere(rng, n, d=4):
    x = rng.normal(size=(n, d))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def named(bound, name):
    return next(term for term in bound.terms if term.name == name)


def status(bound, name):
    return next(a.status for a in bound.assumptions if a.name == name)


def test_the_terms_on_the_golden_kernel_are_the_golden_numbers():
    bound = rademacher(GOLDEN, LABELS, delta=0.3)  # |f| = 1.006, so i = 2 and 2 i (i+1)/0.3 = 2/0.05
    assert bound.constants.norm_squared == pytest.approx(1.0115521450705445, rel=1e-12)
    assert bound.constants.i == 2
    assert named(bound, "confidence").value == pytest.approx(2.3523008270990564, rel=1e-12)
    assert named(bound, "capacity").value == pytest.approx(4 * math.sqrt(13.189241555306019) / 3, rel=1e-12)
    assert named(bound, "training loss").value < 1e-13
    assert bound.value == pytest.approx(sum(term.value for term in bound.terms))
    assert bound.certified and bound.vacuous


def test_a_fine_grid_makes_the_capacity_that_of_the_norm_itself():
    bound = rademacher(GOLDEN, LABELS, B0=1e-4)
    # within one grid step of the golden 2 sqrt(y'K^-1 y tr K)/n
    assert 2.435077510710068 < named(bound, "capacity").value < 2.435077510710068 * (1 + 1e-4)


def test_the_sharper_form_has_the_known_diagonal_and_a_third_of_the_confidence_term():
    bound = rademacher(GOLDEN, LABELS, kappa=2.5, delta=0.05)
    assert named(bound, "capacity").value == pytest.approx(2 * 2 * 2.5 / math.sqrt(3), rel=1e-12)
    assert named(bound, "confidence").value == pytest.approx(math.sqrt(math.log(6 / 0.05) / 6), rel=1e-12)
    assert bound.certified
    assert status(bound, "kappa") == "declared"


def test_a_kappa_that_the_diagonal_contradicts_fails():
    bound = rademacher(GOLDEN, LABELS, kappa=2.0)
    assert status(bound, "kappa") == "fails"
    assert not bound.certified and "<=" not in bound.verdict


def test_settings_that_were_tried_are_paid_for():
    one, ten = rademacher(GOLDEN, LABELS), rademacher(GOLDEN, LABELS, tried=10, delta=0.5)
    assert named(ten, "confidence").value == pytest.approx(named(one, "confidence").value, rel=1e-12)


def test_the_bound_does_not_change_with_the_units_of_the_kernel():
    for kappa in (None, 2.5):
        bound = rademacher(GOLDEN, LABELS, reg=0.1, B0=0.3, kappa=kappa)
        other = rademacher(100 * GOLDEN, LABELS, reg=10.0, B0=0.03, kappa=None if kappa is None else 10 * kappa)
        assert other.value == pytest.approx(bound.value, rel=1e-10)


def test_the_training_loss_of_a_ridge_fit_is_that_of_its_residuals():
    fit = ridge(GOLDEN, LABELS, reg=2.0)
    residuals = np.abs(fit.residuals)
    bound = rademacher(GOLDEN, LABELS, reg=2.0)
    assert named(bound, "training loss").value == pytest.approx(np.minimum(1, residuals).mean(), rel=1e-10)
    assert bound.constants.norm_squared == pytest.approx(fit.rkhs_norm**2, rel=1e-10)
    squared = rademacher(GOLDEN, LABELS, reg=2.0, loss="squared")
    assert named(squared, "training loss").value == pytest.approx(np.minimum(1, residuals**2).mean(), rel=1e-10)
    assert named(squared, "capacity").value == pytest.approx(2 * named(bound, "capacity").value)


def test_the_training_loss_is_clipped_at_one():
    bound = rademacher(GOLDEN, 100 * LABELS, reg=50.0)
    assert named(bound, "training loss").value == 1.0
    one_off = rademacher(np.eye(4), [0.0, 0.0, 0.0, 10.0], reg=1.0)  # residuals 0, 0, 0, 5
    assert named(one_off, "training loss").value == pytest.approx(0.25)


def test_the_rounding_of_the_gram_raises_the_bound_by_what_it_may_hide(x64):
    reg, rounding, rng = 0.5, 0.05, np.random.default_rng(0)
    dual = np.linalg.solve(GOLDEN + reg * np.eye(3), LABELS)
    norms, losses = [], []
    for _ in range(200):
        E = rng.normal(size=(3, 3))
        E = E + E.T
        exact = GOLDEN + rounding * E / np.linalg.norm(E, 2)
        norms.append(dual @ exact @ dual)
        losses.append(np.minimum(1, np.abs(exact @ dual - LABELS)).mean())
    bound = rademacher(DenseGram(jnp.asarray(GOLDEN), rounding=rounding), LABELS, reg=reg)
    plain = rademacher(GOLDEN, LABELS, reg=reg)
    assert plain.constants.norm_squared < max(norms) <= bound.constants.norm_squared
    assert named(plain, "training loss").value < max(losses) <= named(bound, "training loss").value
    assert bound.constants.norm_squared < 1.2 * max(norms)


@pytest.mark.parametrize("function", [rademacher, margin])
def test_duplicate_inputs_with_different_labels_give_nan_with_advice(function):
    bound = function(np.ones((2, 2)), [1.0, -1.0])
    assert math.isnan(bound.value)
    assert "reg > 0" in bound.reason and "duplicate" in bound.reason
    assert not bound.certified and "no value" in bound.verdict
    assert status(bound, "positive definite") == "unresolved"
    regularised = function(np.ones((2, 2)), [1.0, -1.0], reg=0.1)
    assert regularised.certified
    assert named(regularised, "training loss").value == pytest.approx(1.0)


def test_an_interpolant_hidden_by_rounding_is_refused(x64):
    K = np.array([[1.0, 0.999], [0.999, 1.0]])  # least eigenvalue 1e-3
    assert math.isnan(rademacher(DenseGram(jnp.asarray(K), rounding=2e-3), [1.0, -1.0]).value)
    assert rademacher(DenseGram(jnp.asarray(K), rounding=1e-4), [1.0, -1.0]).certified


def test_a_float32_gram_is_bounded_with_its_own_rounding():
    array = jnp.asarray(GOLDEN, jnp.float32)
    once = 0.5 * float(jnp.finfo(jnp.float32).eps) * float(np.linalg.norm(GOLDEN))
    bound = rademacher(DenseGram(array, rounding=once), LABELS)
    assert bound.certified
    with pytest.warns(PrecisionWarning, match="K holds float32 numbers of unknown rounding"):
        bare = rademacher(array, LABELS)
    assert not bare.certified and "rounding: unchecked" in bare.objections
    loss = named(bound, "training loss").value  # what float32 entries may hide
    assert 1e-8 < loss < 1e-6
    assert bound.constants.norm_squared == pytest.approx(1.0115521450705445, rel=1e-6)


def test_a_matrix_that_is_no_kernel_is_not_certified():
    indefinite = np.array([[1.0, 2.0], [2.0, 1.0]])
    bound = rademacher(indefinite, [1.0, 1.0], reg=1.5)
    assert status(bound, "kernel") == "fails"
    assert not bound.certified
    bound = rademacher(indefinite, [1.0, 1.0], reg=0.5)
    assert math.isnan(bound.value) and "larger reg" in bound.reason


def test_the_margin_bound_on_interpolated_labels_is_the_loss_bound():
    y = np.array([1.0, -1.0, 1.0])
    first, second = margin(GOLDEN, y), rademacher(GOLDEN, y)
    assert first.value == pytest.approx(second.value, rel=1e-12)
    assert first.quantity == "P(sign f(x) != y)"


def test_a_wider_margin_costs_training_loss_and_saves_capacity():
    y = np.array([1.0, -1.0, 1.0])
    wide = margin(GOLDEN, y, gamma=2.0)
    assert named(wide, "training loss").value == pytest.approx(0.5)
    assert named(wide, "capacity").value == pytest.approx(0.5 * named(margin(GOLDEN, y), "capacity").value)


def test_the_support_vector_machine_has_the_smaller_norm_at_the_same_margin():
    rng = np.random.default_rng(0)
    x = sphere(rng, 60)
    K, y = arc_cosine(x, x), np.sign(x[:, 0])
    interpolant, machine = margin(K, y, B0=0.1), margin(K, y, B0=0.1, fit="svm")
    assert machine.certified and machine.value < interpolant.value
    assert named(machine, "training loss").value < 1e-6
    assert machine.constants.norm_squared < 0.5 * interpolant.constants.norm_squared


def simulate(bound_of, risk_of, n, noise, draws=50):
    """(bound, risk on fresh data) over draws of a linear target on the sphere, with noise in the labels."""
    pairs = []
    for seed in range(draws):
        rng = np.random.default_rng(seed)
        x, fresh = sphere(rng, n), sphere(rng, 500)
        y, truth = (z[:, 0] + noise * rng.uniform(-1, 1, len(z)) for z in (x, fresh))
        K, K_cross = arc_cosine(x, x), arc_cosine(fresh, x)
        np.fill_diagonal(K, 0.5)
        pairs.append((bound_of(K, y), risk_of(K, y, K_cross, truth)))
    return pairs


@pytest.mark.slow(but=["100-0.5-5.0-0.7071067811865476-True"])
@pytest.mark.parametrize(
    ("n", "noise", "reg", "kappa", "useful"),
    [
        (100, 0.0, 0.0, None, True),
        (100, 0.0, 0.0, math.sqrt(0.5), True),
        (200, 0.5, 1.0, None, True),
        (100, 0.5, 5.0, math.sqrt(0.5), True),
        (100, 0.5, 1e-3, None, False),  # fits the noise: the norm is large and the bound must be, too
    ],
)
def test_the_certified_bound_is_never_below_the_test_loss_in_fifty_draws(n, noise, reg, kappa, useful):
    def risk(K, y, K_cross, truth):
        return np.minimum(1, np.abs(ridge(K, y, reg=reg)(K_cross) - truth)).mean()

    pairs = simulate(lambda K, y: rademacher(K, y, reg=reg, kappa=kappa, B0=0.5), risk, n=n, noise=noise)
    assert all(bound.certified for bound, _ in pairs)
    assert all(bound.value >= loss for bound, loss in pairs)
    assert all(bound.vacuous != useful for bound, _ in pairs)


@pytest.mark.slow
@pytest.mark.parametrize("fit", ["ridge", "svm"])
def test_the_certified_margin_bound_is_never_below_the_classification_error_in_fifty_draws(fit):
    reg = 10.0

    def bound_of(K, y):
        return margin(K, np.sign(y), gamma=0.5, reg=reg, B0=0.5, kappa=math.sqrt(0.5), fit=fit)

    def risk(K, y, K_cross, truth):
        y = np.sign(y)
        dual = ridge(K, y, reg=reg).dual if fit == "ridge" else hard_margin(K, y, reg=reg).dual
        return np.mean(np.sign(K_cross @ dual) != np.sign(truth))

    pairs = simulate(bound_of, risk, n=200, noise=0.2)
    assert all(bound.certified and bound.value >= error for bound, error in pairs)
    assert np.mean([bound.vacuous for bound, _ in pairs]) < 0.2
    assert np.mean([error for _, error in pairs]) > 0.02, "the problem should not be too easy to test anything"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"delta": 0.0}, "delta"),
        ({"delta": 1.0}, "delta"),
        ({"B0": 0.0}, "B0"),
        ({"reg": -1.0}, "reg"),
        ({"kappa": 0.0}, "kappa"),
        ({"tried": 0}, "tried"),
        ({"loss": "hinge"}, "loss"),
    ],
)
def test_options_outside_their_range_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        rademacher(GOLDEN, LABELS, **options)


def test_wrong_data_are_refused_at_the_door():
    with pytest.raises(ValueError, match="one label per example"):
        rademacher(GOLDEN, np.ones((3, 2)))
    with pytest.raises(ValueError, match="square"):
        rademacher(GOLDEN[:2], LABELS[:2])
    with pytest.raises(ValueError, match=r"-1 and \+1"):
        margin(GOLDEN, LABELS)
    with pytest.raises(ValueError, match="gamma"):
        margin(GOLDEN, np.sign(LABELS), gamma=0.0)
