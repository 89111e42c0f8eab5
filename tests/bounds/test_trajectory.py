"""Is the predicted factor one where the kernel is constant, and does the assumption fail when it fails?"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import training
from ntkseq.bounds.trajectory import Trajectory, learning_speed
from ntkseq.spectra import Interval


class Table:
    """A table as `training.KernelProbe` writes it."""

    def __init__(self, steps: Any, least: Any, largest: Any, error: Any = 0.0) -> None:
        self.steps = np.asarray(steps)
        least, largest = (np.asarray(values, np.float64) for values in (least, largest))
        self.columns = {
            "min_eigenvalue": least,
            "min_eigenvalue_lower": least - error,
            "min_eigenvalue_upper": least + error,
        }
        self.columns |= {"max_eigenvalue": largest, "max_eigenvalue_error": np.broadcast_to(error, largest.shape)}

    def __getitem__(self, name: str) -> np.ndarray:
        return self.columns[name]


def test_residuals_of_a_linear_model_are_never_above_the_factor():
    """300 random linear models, descended in their parameters; some beyond the stable rate."""
    slack = []
    for case in range(300):
        rng = np.random.default_rng(case)
        n = int(rng.integers(1, 7))
        X, y = rng.standard_normal((n, n + int(rng.integers(0, 3)))), rng.standard_normal(n)
        eigenvalues, vectors = np.linalg.eigh(X @ X.T)
        lr = float(rng.uniform(0.05, 2.1)) * n / eigenvalues[-1]
        record = np.unique(np.concatenate([[0], rng.integers(1, 40, 4)]))
        w, observed = rng.standard_normal(X.shape[1]), []
        if case % 3 == 0:  # all that is left lies along the slowest direction: the factor is met
            slow = vectors[:, np.argmax(np.abs(1 - lr * eigenvalues / n))]
            w = np.linalg.lstsq(X, y + slow, rcond=None)[0]
        for step in range(int(record[-1]) + 1):
            if step in record:
                observed.append(np.sum((X @ w - y) ** 2) / (2 * n))
            w = w - lr / n * X.T @ (X @ w - y)
        r = len(record)
        table = Table(record, [eigenvalues[0]] * r, [eigenvalues[-1]] * r, 1e-14 * eigenvalues[-1])
        run = learning_speed(table, lr=lr, n=n, whole=True, losses=observed)
        assert run.observed is not None
        floor = 1e-13 * np.linalg.norm(y) / np.sqrt(2 * n * observed[0])  # f - y rounds
        assert (run.observed <= run.factor_upper * (1 + 1e-12) + floor).all()
        assert not run.slower[run.factor > 1e-6].any()
        assert (run.factor_lower <= run.factor).all() and (run.factor <= run.factor_upper).all()
        if case % 3 == 0:
            slack.append(np.max(np.abs(run.observed - run.factor) / np.maximum(run.factor, 1e-3)))
    assert max(slack) < 1e-9, "and it is met"


@pytest.mark.slow
def test_one_step_of_descent_is_the_kernel_averaged_between_its_ends(x64):
    """(training.2), with the Jacobian averaged over the segment by Gauss-Legendre quadrature, and (training.4)."""

    def outputs(params, x):
        return jnp.tanh(x @ params["W"]) @ params["v"]

    rng = np.random.default_rng(0)
    x, y = jnp.asarray(rng.standard_normal((5, 3))), jnp.asarray(rng.standard_normal(5))
    start = {"W": jnp.asarray(rng.standard_normal((3, 4))), "v": jnp.asarray(rng.standard_normal(4))}
    lr, n = 0.7, 5

    def jacobian(params):
        return jnp.concatenate([leaf.reshape(n, -1) for leaf in jax.tree.leaves(jax.jacobian(outputs)(params, x))], 1)

    left = outputs(start, x) - y
    slopes = jax.grad(lambda params: jnp.sum((outputs(params, x) - y) ** 2) / (2 * n))(start)
    after = jax.tree.map(lambda leaf, slope: leaf - lr * slope, start, slopes)
    nodes, weights = np.polynomial.legendre.leggauss(16)
    between = sum(
        0.5 * weight * jacobian(jax.tree.map(lambda a, b, u=0.5 * (node + 1): a + u * (b - a), start, after))
        for node, weight in zip(nodes, weights, strict=True)
    )
    mean, K = np.asarray(between @ jacobian(start).T), np.asarray(jacobian(start) @ jacobian(start).T)
    following = np.asarray(outputs(after, x) - y)
    np.testing.assert_allclose(following, left - lr / n * mean @ left, rtol=0, atol=1e-10)
    eigenvalues = np.linalg.eigvalsh(K)
    rate = learning_speed(Table([0], eigenvalues[:1], eigenvalues[-1:]), lr=lr, n=n, whole=True).rate[0]
    changed = rate + lr / n * np.linalg.norm(mean - K, 2)
    assert np.linalg.norm(following) <= changed * np.linalg.norm(left)
    assert np.linalg.norm(mean - mean.T) > 1e-3 * np.linalg.norm(mean), "it is not symmetric: no eigenvalues to use"


def test_the_factor_is_the_product_of_the_rates_over_all_steps():
    table = Table([0, 3, 10, 11], [1.0, 0.5, 2.0, 9.0], [2.0, 5.0, 6.0, 9.0])
    run = learning_speed(table, lr=0.8, n=2, whole=True)
    rates = [max(abs(1 - 0.4 * a), abs(1 - 0.4 * b)) for a, b in ((1, 2), (0.5, 5), (2, 6))]
    expected = [1.0, rates[0] ** 3, rates[0] ** 3 * rates[1] ** 7, rates[0] ** 3 * rates[1] ** 7 * rates[2]]
    np.testing.assert_allclose(run.rate[:3], rates, rtol=1e-14)
    np.testing.assert_allclose(run.factor, expected, rtol=1e-13)
    assert rates[1] == 1.0 and rates[2] > 1, "the upper end of the spectrum counts as well"
    np.testing.assert_allclose(run.recalled, (1 - 0.8 * 1.0 / 4) ** (run.steps / 2), rtol=1e-14)


def test_the_interval_of_the_rate_holds_the_rate_of_every_kernel_within_the_errors():
    rng = np.random.default_rng(0)
    hits = np.zeros(2)
    for _ in range(300):
        least, largest = np.sort(rng.uniform(0, 4, 2))
        error = rng.uniform(0, 1)
        run = learning_speed(Table([0], [least], [largest], error), lr=1.0, n=2, whole=True)
        for ends in ([-1, -1], [1, 1], [-1, 1], [1, -1], rng.uniform(-1, 1, 2)):
            inner = np.array([least, largest]) + error * np.asarray(ends)
            rate = np.abs(1 - inner / 2).max()
            assert run.rate_lower[0] <= rate <= run.rate_upper[0]
            hits += np.abs([run.rate_lower[0] - rate, run.rate_upper[0] - rate]) < 1e-12
    assert (hits > 100).all(), "and it is no wider than that"


def halving(lr: float, steps: int) -> tuple[Any, np.ndarray]:
    """Two examples with outputs a_i^2/2 of their own: K = diag(a^2) shrinks as they are trained towards 0."""
    history = training.track(
        [training.KernelProbe(lambda a, x: jnp.sum(x * a**2 / 2)[None], jnp.eye(2), every=1)], jnp.array([2.0, 1.0])
    )
    a, least = np.array([2.0, 1.0]), [1.0]
    params = jnp.asarray(a, jnp.float32)
    for step in range(1, steps + 1):
        a = a - lr / 2 * a * a**2 / 2
        params = params - lr / 2 * params * params**2 / 2
        least.append(float(a.min() ** 2))
        history = history.update(step, params)
    return history["kernel"], np.array(least)


@pytest.mark.slow
def test_the_assumption_fails_at_the_step_at_which_the_least_eigenvalue_has_halved():
    table, least = halving(0.4, 20)
    run = learning_speed(table, lr=0.4, n=2, whole=True)
    expected = int(np.argmax(least < 0.5))
    assert 3 < expected < 18 and np.abs(least - 0.5).min() > 1e-3, "far from rounding"
    assert run.first_failure == expected
    assert run.status == ("holds",) * expected + ("fails",) * (21 - expected)
    assert f"fell below lambda_0/2 by step {expected}" in str(run)


def test_an_interval_that_holds_the_threshold_is_unresolved():
    table = Table([0, 1, 2, 3], [1.0, 0.9, 0.5, 0.2], [1.0] * 4, 0.1)
    run = learning_speed(table, lr=0.1, n=2, whole=True)
    assert run.status == ("holds", "holds", "unresolved", "fails")
    assert run.first_failure == 3
    zero = learning_speed(Table([0, 1, 2], [0.05, 0.05, 0.5], [1.0] * 3, 0.1), lr=0.1, n=2, whole=True)
    assert zero.status == ("unresolved",) * 3, "half of what may be zero is no assumption"


def test_a_part_of_the_training_set_proves_only_failures_of_the_whole():
    failures = 0
    for case in range(200):
        rng = np.random.default_rng(case)
        J = rng.standard_normal((6, 8))
        kernels = [J @ J.T, *(0.5 * rng.uniform(0.2, 2) * (J + E) @ (J + E).T for E in rng.normal(size=(4, 6, 8)))]
        whole, part = ([np.linalg.eigvalsh(K[:m, :m]) for K in kernels] for m in (6, 4))
        tables = [Table(range(5), [s[0] for s in spectra], [s[-1] for s in spectra]) for spectra in (whole, part)]
        truth = learning_speed(tables[0], lr=0.1, n=6, whole=True)
        known = learning_speed(tables[1], lr=0.1, n=6, whole=False, start=float(whole[0][0]))
        assert "holds" not in known.status
        assert all(t == "fails" for t, k in zip(truth.status, known.status, strict=True) if k == "fails")
        failures += known.status.count("fails")
        unknown = learning_speed(tables[1], lr=0.1, n=6, whole=False)
        assert set(unknown.status) == {"unresolved"} and np.isnan(unknown.recalled).all()
        assert unknown.start.lower <= whole[0][0] <= unknown.start.upper
        assert (known.factor_lower <= truth.factor * (1 + 1e-12)).all() and np.isnan(known.factor_upper[1:]).all()
    assert failures > 10


def test_a_part_can_fall_below_half_of_its_own_start_while_the_whole_does_not():
    whole = Table([0, 1], [0.01, 0.01], [1.0, 1.0])
    part = Table([0, 1], [1.0, 0.4], [1.0, 1.0])  # of diag(1, 0.01) and diag(0.4, 0.01): the first example
    assert learning_speed(whole, lr=0.1, n=2, whole=True).first_failure is None
    found = learning_speed(part, lr=0.1, n=2, whole=False)
    assert found.probe_status == ("holds", "fails")
    assert found.status == ("unresolved", "unresolved") and found.first_failure is None


def test_the_start_may_be_that_of_the_limit():
    table = Table([0, 1], [1.0, 0.7], [1.0, 1.0])
    assert learning_speed(table, lr=0.1, n=2, whole=True).first_failure is None
    assert learning_speed(table, lr=0.1, n=2, whole=True, start=Interval(1.6, 1.7, 1.8)).first_failure == 1


def test_a_run_that_diverged_is_unknown_from_there_on():
    run = learning_speed(Table([0, 1, 2], [1.0, np.nan, 1.0], [1.0, np.nan, 1.0]), lr=0.1, n=2, whole=True)
    assert run.status[1] == "unresolved"
    assert np.isfinite(run.factor[:2]).all() and np.isnan(run.factor[2])
    far = learning_speed(Table([0, 10**6], [1.0, 1.0], [9.0, 9.0]), lr=1.0, n=2, whole=True)
    assert far.factor[1] == np.inf, "lr beyond 2 n / lambda_max: nothing is promised"


def printed(**options: Any) -> tuple[Trajectory, str]:
    table = Table(range(0, 400, 10), np.linspace(1.0, 0.4, 40), np.full(40, 2.0), 1e-3)
    run = learning_speed(table, lr=0.5, n=4, losses=0.5 * 0.9 ** np.arange(0, 400, 10), **options)
    return run, str(run)


@pytest.mark.parametrize("whole", [True, False])
def test_it_prints_estimates_with_their_provenance_and_never_a_bound(whole: bool):
    run, text = printed(whole=whole)
    assert "<=" not in text and "not certified" in text
    assert "[derived" in text and "[recalled" in text
    assert len(text.splitlines()) < 25 and "40 records, 12 shown" in text
    assert ("may be much larger" in text) == (not whole)
    assert f"observed above the estimate at {int(run.slower.sum())} of 40" in text
    assert ("fell below" in text) == whole


def test_a_run_slower_than_the_kernel_lets_expect_is_seen():
    table = Table([0, 10], [1.0, 1.0], [1.0, 1.0])
    rate = (1 - 0.1) ** 10
    slower, quicker = (
        learning_speed(table, lr=0.2, n=2, whole=True, losses=[1.0, (f * rate) ** 2]) for f in (1.01, 0.99)
    )
    assert slower.slower.tolist() == [False, True] and not quicker.slower.any()
    assert not learning_speed(table, lr=0.2, n=2, whole=True).slower.any()


def test_wrong_input_is_refused_at_the_door():
    good = Table([0, 1], [1.0, 1.0], [1.0, 1.0])
    with pytest.raises(ValueError, match="lr"):
        learning_speed(good, lr=0.0, n=2, whole=True)
    with pytest.raises(ValueError, match="n must be"):
        learning_speed(good, lr=0.1, n=0, whole=True)
    with pytest.raises(ValueError, match=r"steps from 0.*got \[1, 2\]"):
        learning_speed(Table([1, 2], [1.0, 1.0], [1.0, 1.0]), lr=0.1, n=2, whole=True)
    with pytest.raises(ValueError, match="must have shape"):
        learning_speed(Table([0, 1], [1.0], [1.0]), lr=0.1, n=2, whole=True)
    with pytest.raises(ValueError, match="finite at initialisation"):
        learning_speed(Table([0], [np.nan], [1.0]), lr=0.1, n=2, whole=True)
    with pytest.raises(ValueError, match=r"training\.KernelProbe.*there are distance"):
        learning_speed(training.ProbeTable(np.array([0]), {"distance": np.zeros(1)}), lr=0.1, n=2, whole=True)
    with pytest.raises(ValueError, match="start"):
        learning_speed(good, lr=0.1, n=2, whole=False, start=-1.0)
    with pytest.raises(ValueError, match="one per record"):
        learning_speed(good, lr=0.1, n=2, whole=True, losses=[1.0])
    with pytest.raises(ValueError, match="first > 0"):
        learning_speed(good, lr=0.1, n=2, whole=True, losses=[0.0, 1.0])
