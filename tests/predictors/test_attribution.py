"""Are attribution scores those of the gradients themselves, and are the errors of a sketch not too small?"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from ntkseq import empirical, predictors

KEY = jax.random.key(0)


def f(params, x):
    """A recurrent network of one layer."""
    h = jnp.zeros(params["W"].shape[0], x.dtype)
    for u in x:
        h = jnp.tanh(params["W"] @ h + params["U"] @ u)
    return params["V"] @ h


def models(count, outputs, width=8):
    def one(key):
        shapes = {"W": (width, width), "U": (width, 2), "V": (outputs, width)}
        return {
            name: jax.random.normal(jax.random.fold_in(key, i), s) / 2 for i, (name, s) in enumerate(shapes.items())
        }

    return [one(key) for key in jax.random.split(KEY, count)]


X, QUERIES = jax.random.normal(jax.random.key(1), (2, 20, 3, 2))
QUERIES = QUERIES[:6]
LABELS, ASKED = np.arange(20) % 3, np.arange(6) % 3


def by_gradients(params, scalar, slope, y, asked, damping, x=X, queries=QUERIES):
    """The weights and slopes of one model, in the space of its parameters."""

    gradient = jax.vmap(jax.grad(scalar), (None, 0, 0))

    def rows(x, y):
        s = np.asarray(jax.vmap(scalar, (None, 0, 0))(params, x, y), np.float64)
        flat = [np.reshape(leaf, (len(x), -1)) for leaf in jax.tree.leaves(gradient(params, x, y))]
        return s, np.concatenate(flat, axis=1, dtype=np.float64)

    s, A = rows(x, y)
    _, T = rows(queries, asked)
    reg = damping * np.sum(A * A) / len(A)
    return T @ np.linalg.solve(A.T @ A + reg * np.eye(A.shape[1]), A.T), slope(s, y)


def log_odds(params, x, label):
    p = jax.nn.softmax(f(params, x))[label]
    return jnp.log(p / (1 - p))


def both(s, y):
    """1 - p."""
    return 1 / (1 + np.exp(s))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["auto", "products"])
def test_scores_are_those_of_the_gradients_in_the_space_of_parameters(method, x64):
    nets = [jax.tree.map(lambda leaf: leaf.astype(jnp.float64), one) for one in models(2, 3)]
    x, queries = X.astype(jnp.float64), QUERIES.astype(jnp.float64)
    found = predictors.trak(f, nets, (x, LABELS), (queries, ASKED), damping=0.1, method=method)
    parts = [by_gradients(one, log_odds, both, LABELS, ASKED, 0.1, x, queries) for one in nets]
    wanted = np.mean([a for a, _ in parts], 0) * np.mean([q for _, q in parts], 0)
    np.testing.assert_allclose(found.scores, wanted, atol=1e-10 * np.abs(wanted).max())  # float64, condition 200
    assert np.all(np.abs(found.scores - wanted) <= found.rounding + 1e-12)
    assert found.sampling_error is None and found.models == 2
    without = []
    for m in range(2):
        rest = [part for i, part in enumerate(parts) if i != m]
        without.append(np.mean([a for a, _ in rest], 0) * np.mean([q for _, q in rest], 0))
    error = np.sqrt(1 / 2 * np.sum((np.array(without) - np.mean(without, 0)) ** 2, axis=0))
    np.testing.assert_allclose(found.model_error, error, rtol=1e-6)
    np.testing.assert_array_equal(found.top(2)[:, 0], np.argmax(wanted, axis=1))


@pytest.mark.slow
def test_one_logit_and_targets_are_those_of_the_gradients():
    (net,) = models(1, 1)
    signs, asked = np.where(LABELS > 0, 1.0, -1.0), np.where(ASKED > 0, 1, -1)
    odds = by_gradients(net, lambda p, x, y: y * f(p, x)[0], both, signs, asked.astype(float), 0.3)
    found = predictors.trak(f, [net], (X, signs), (QUERIES, asked), damping=0.3)
    np.testing.assert_allclose(found.scores, odds[0] * odds[1], atol=1e-5 * np.abs(odds[0]).max())  # float32
    assert found.model_error is None
    plain = by_gradients(net, lambda p, x, y: f(p, x)[0], lambda s, y: y - s, signs, asked, 0.3)
    found = predictors.trak(f, [net], (X, signs), (QUERIES, asked), damping=0.3, loss="squared")
    np.testing.assert_allclose(found.scores, plain[0] * plain[1], atol=1e-5 * np.abs(plain[0]).max())


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["squared", "cross-entropy"])
def test_scores_of_the_loss_are_slopes_of_the_loss_times_those_of_the_output(loss):
    (net,) = models(1, 1)
    asked = np.where(ASKED > 0, 1.0, -1.0)
    train, test = (X, np.where(LABELS > 0, 1.0, -1.0)), (QUERIES, asked)
    output, measured = (predictors.trak(f, [net], train, test, loss=loss, measure=m) for m in ("output", "loss"))
    s = np.array([f(net, x)[0] for x in QUERIES])
    slope = s - asked if loss == "squared" else -asked / (1 + np.exp(asked * s)) * asked
    np.testing.assert_allclose(measured.scores, slope[:, None] * output.scores, rtol=1e-5, atol=1e-8)


@pytest.mark.slow
def test_on_a_linear_model_scores_over_leverages_are_exact_leave_one_out(x64):
    rng = np.random.default_rng(0)
    x, queries, y = rng.normal(size=(20, 5)), rng.normal(size=(4, 5)), rng.normal(size=20)
    K, cross = x @ x.T, queries @ x.T
    reg = 0.2 * np.trace(K) / 20
    fit = predictors.ridge(K, y, reg=reg)
    given = (jnp.asarray(x), y), (jnp.asarray(queries), np.zeros(4))
    found = predictors.trak(lambda w, x: (w @ x)[None], [x.T @ fit.dual], *given, loss="squared", damping=0.2)
    leverage = np.diagonal(K @ np.linalg.inv(K + reg * np.eye(20)))
    exact = predictors.influence(K, y, cross, reg=reg)
    np.testing.assert_allclose(found.scores / (1 - leverage), exact.values, atol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("directions", [16, 64, 512], ids=["in directions", "in examples", "many"])
@pytest.mark.parametrize("damping", [0.03, 1.0])
def test_the_error_of_a_sketch_is_not_too_small(directions, damping):
    """Root mean square over 12 keys, 120 scores each; 1.1 is 1 and what 12 draws may do."""
    nets, train, test = models(2, 3), (X, LABELS), (QUERIES, ASKED)
    exact = predictors.trak(f, nets, train, test, damping=damping)
    squares = []
    for key in jax.random.split(jax.random.key(5), 12):
        method = empirical.Sketch(key, directions)
        found = predictors.trak(f, nets, train, test, damping=damping, method=method)
        squares.append((np.mean((found.scores - exact.scores) ** 2), np.mean(found.sampling_error**2)))
    true, stated = np.sqrt(np.mean(squares, axis=0))
    assert true <= 1.1 * stated
    assert directions < 512 or stated <= 2.0 * true  # and says something
    assert found.rounding is None


@pytest.mark.slow
def test_both_ways_to_solve_a_sketch_agree():
    """Twice the same 12 examples at twice the damping: each half weighs half, in the other space of the two."""
    (net,) = models(1, 3)
    method = empirical.Sketch(KEY, 16)
    x, y = X[:12], LABELS[:12]
    one = predictors.trak(f, [net], (x, y), (QUERIES, ASKED), method=method, damping=0.2)
    twice = jnp.concatenate([x, x]), np.tile(y, 2)
    two = predictors.trak(f, [net], twice, (QUERIES, ASKED), method=method, damping=0.4)
    np.testing.assert_allclose(two.scores[:, :12], one.scores / 2, rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(two.sampling_error[:, :12], one.sampling_error / 2, rtol=1e-4, atol=1e-8)


@pytest.mark.slow
def test_scores_foretell_what_retraining_without_examples_does():
    """Regularised logistic regression on 30 points, 24 of them each time, trained to the end by scipy."""
    rng = np.random.default_rng(2)
    x, queries = rng.normal(size=(30, 4)), rng.normal(size=(8, 4))
    y = np.where(x[:, 0] + 0.7 * rng.normal(size=30) > 0, 1, -1)
    asked = np.where(queries[:, 0] > 0, 1, -1)

    def trained(chosen):
        def objective(w):
            return np.logaddexp(0, -y[chosen] * (x[chosen] @ w)).sum() + 2.0 * w @ w

        return scipy.optimize.minimize(objective, np.zeros(4), method="BFGS").x

    subsets = predictors.data_subsets(30, 30, share=0.8, seed=1)
    outputs = np.array([asked * (queries @ trained(chosen)) for chosen in subsets])
    w = jnp.asarray(trained(np.ones(30, bool)), jnp.float32)
    given = (jnp.asarray(x, jnp.float32), y), (jnp.asarray(queries, jnp.float32), asked)
    found = predictors.trak(lambda w, x: (w @ x)[None], [w], *given, damping=1.0)
    score = predictors.datamodeling_score(found.scores, subsets, outputs)
    assert score.lower > 0.85
    assert predictors.datamodeling_score(-found.scores, subsets, outputs).value == pytest.approx(-score.value)


@pytest.mark.slow(cases=["changed8-all its gradients are zero"])
@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (dict(train=(X, LABELS + 1)), r"y of train must be in 0\.\.2 for 3 logits; got 3"),
        (dict(test=(QUERIES, ASKED - 1)), r"y of test must be in 0\.\.2 for 3 logits; got -1"),
        (dict(train=(X, LABELS + 0.5)), "y of train must be whole numbers"),
        (dict(train=X), r"train must be a pair \(x, y\)"),
        (dict(train=(X[:5], LABELS)), "train must have the examples along its first axis"),
        (dict(params=[]), "at least one model"),
        (dict(loss="squared"), "needs one output"),
        (dict(method=empirical.Sketch(KEY, 20)), "groups must divide the 20 directions"),
        (dict(params=[jax.tree.map(jnp.zeros_like, models(1, 3)[0])]), "all its gradients are zero"),
    ],
)
def test_what_cannot_be_attributed_is_refused(changed, told, untyped):
    given = dict(f=f, params=models(1, 3), train=(X, LABELS), test=(QUERIES, ASKED)) | changed
    with pytest.raises(ValueError, match=told):
        predictors.trak(**given)
