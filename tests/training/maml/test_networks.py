"""Does meta-training do what its equations say, on tasks with known answers?"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ntkseq import empirical, kernels, models, risks
from ntkseq.data.tasks import Support, Tasks, linear_regression, sinusoids
from ntkseq.training import maml
from ntkseq.training.maml import networks


def linear(p, x):
    return (x @ p)[None]


def line_tasks(n: int = 6, key: int = 0, dtype=None) -> Tasks:
    return linear_regression(n, 4, 3, [1.0, 0.5], key=jax.random.key(key), mean=1.0, spread=0.1, dtype=dtype)


@pytest.mark.slow
def test_a_step_is_the_gradient_through_the_inner_step_written_out(x64) -> None:
    """w <- w - lr mean over tasks of M' X_out' (X_out A(w) - y_out)/q, M = 1 - b X_in' X_in."""
    tasks = line_tasks(dtype=jnp.float64)
    w = np.array([0.2, -0.4])
    f = maml.learner(linear, lr=0.05, steps=1)
    trained = maml.meta_train(f, jnp.asarray(w), tasks, lr=0.3, batch=2, steps=3, order="once", key=jax.random.key(1))
    for first in (0, 2, 4):
        slope = np.zeros(2)
        for i in (first, first + 1):
            X, y, Q, yq = (np.asarray(a[i]) for a in (tasks.support.x, tasks.support.y, tasks.query, tasks.labels))
            M = np.eye(2) - 0.05 * X.T @ X
            slope += M.T @ Q.T @ (Q @ (M @ w + 0.05 * X.T @ y) - yq) / 3 / 2
        w = w - 0.3 * slope
    np.testing.assert_allclose(trained.params, w, rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(("algorithm", "reg"), [("maml", None), ("imaml", 1.0), ("fomaml", None), ("anil", None)])
def test_every_algorithm_learns_sine_waves(algorithm, reg) -> None:
    net = models.Dense(width=32, sigma_b=0.3)
    tasks = sinusoids(32, shots=5, queries=5, key=jax.random.key(0))
    params = net.init(jax.random.key(1), tasks.query[0, 0])
    f = maml.learner(net.apply, lr=0.02, steps=2, algorithm=algorithm, reg=reg)
    trained = maml.meta_train(f, params, tasks, optax.adam(3e-3), steps=60, batch=8, key=jax.random.key(2))
    assert trained.losses[-10:].mean() < 0.9 * trained.losses[:10].mean()


@pytest.mark.slow
def test_the_average_of_the_iterates_is_that_of_the_theory(x64) -> None:
    """One pass of averaged SGD from w_0: the mean excess risk over runs is the exact one within its error."""
    problem = risks.MixedRegression([1.0, 0.5], [0.7, -0.3], 0.3, noise=0.2, n1=3, n2=2, beta_tr=0.2, alpha=0.1)
    f = maml.learner(linear, lr=0.2 / 3)
    values = []
    for seed in range(60):
        tasks = linear_regression(
            20, 3, 2, [1.0, 0.5], key=jax.random.key(seed), spread=0.3, noise=0.2, dtype=jnp.float64
        )
        trained = maml.meta_train(
            f,
            jnp.asarray([0.7, -0.3]),
            tasks,
            lr=0.1,
            batch=1,
            steps=20,
            order="once",
            average="all",
            key=jax.random.key(0),
        )
        values.append(float(np.sum(problem.mu_te * np.asarray(trained.average) ** 2) / 2))
    exact = risks.risk(problem, 20).total[-1]
    assert abs(np.mean(values) - exact) < 4 * np.std(values) / np.sqrt(59)


@pytest.mark.slow
@pytest.mark.parametrize("inner", ["maml", "imaml"])
def test_the_empirical_kernel_of_a_linear_learner_is_the_closed_form(inner, x64) -> None:
    """phi(x) = x: the closed form of kernels.Meta is exact, whatever the number of steps."""
    tasks = line_tasks(3, dtype=jnp.float64)
    reg = 0.7 if inner == "imaml" else None
    f = maml.learner(linear, lr=0.1, steps=4, algorithm=inner, reg=reg)
    found = np.asarray(empirical.NTK(f, jnp.zeros(2), outputs="full")(tasks.inputs))
    rows = []
    for X, Q in zip(np.asarray(tasks.support.x), np.asarray(tasks.query), strict=True):
        w, U = np.linalg.eigh(X @ X.T)
        w = np.maximum(w, 0)
        transfer = 1 / (w + 0.7) if reg else 0.1 * sum((1 - 0.1 * w) ** j for j in range(4))
        rows.append(Q - Q @ X.T @ (U * transfer) @ U.T @ X)
    J = np.stack(rows)
    np.testing.assert_allclose(found, np.einsum("iqd,jpd->ijqp", J, J), rtol=1e-9, atol=1e-12)


@pytest.mark.slow
def test_the_kernel_of_a_wide_learner_is_near_its_limit() -> None:
    kernel = kernels.Meta(kernels.Dense(sigma_w=1.4, sigma_b=0.3), kernels.GD(steps=2, lr=0.1))
    tasks = sinusoids(2, shots=3, queries=2, key=jax.random.key(0), reach=1.0)
    limit = np.asarray(kernel.blocks(tasks.inputs)).transpose(0, 2, 1, 3)
    net = kernel.base.finite(2048)
    f = maml.learner(net.apply, lr=0.1, steps=2)
    mean = np.mean(
        [
            np.asarray(empirical.NTK(f, net.init(jax.random.key(k), tasks.query[0, 0]), outputs="full")(tasks.inputs))
            for k in range(4)
        ],
        axis=0,
    )
    assert np.linalg.norm(mean - limit) < 0.08 * np.linalg.norm(limit)


def test_accuracy_counts_tasks() -> None:
    labels = np.array([[1.0, -1.0], [1.0, -1.0], [1.0, 1.0]])
    found = maml.scored([[0.3, -2.0], [-1.0, -1.0], [0.0, 1.0]], labels)  # a zero is no answer
    np.testing.assert_array_equal(found.per_task, [1.0, 0.5, 0.5])
    assert found.value == pytest.approx(2 / 3)
    assert found.error == pytest.approx(np.std([1, 0.5, 0.5], ddof=1) / np.sqrt(3))
    assert maml.scored(np.eye(3)[None], np.eye(3)[None]).value == 1.0
    assert "of 1 tasks" in str(maml.scored(np.eye(3)[None], np.eye(3)[None]))


@pytest.mark.slow
def test_the_accuracy_of_a_learner_is_that_of_its_answers() -> None:
    x = jnp.asarray(np.random.default_rng(0).standard_normal((3, 4, 2)), jnp.float32)
    labels = jnp.sign(x[..., 0])
    tasks = Tasks(Support(x, labels), x, labels)
    f = maml.learner(linear, lr=0.1, steps=50)
    found = maml.few_shot_accuracy(f, jnp.zeros(2), tasks)
    answers = np.stack([np.asarray(f(jnp.zeros(2), jax.tree.map(lambda a, i=i: a[i], tasks.inputs))) for i in range(3)])
    np.testing.assert_array_equal(found.per_task, (answers * np.asarray(labels) > 0).mean(1))


def test_learners_of_one_kind_are_equal() -> None:
    assert maml.learner(linear, lr=0.1) == maml.learner(linear, lr=0.1)
    assert maml.learner(linear, lr=0.1) != maml.learner(linear, lr=0.2)


@pytest.mark.slow(cases=["<lambda>-in front"])
@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: maml.meta_train(
                maml.learner(linear, lr=0.1), jnp.zeros(2), (1, 2), lr=0.1, steps=1, key=jax.random.key(0)
            ),
            "labels",
        ),
        (lambda: maml.learner(linear, lr=0.1, algorithm="reptile"), "reptile"),
        (lambda: maml.learner(linear, lr=0.1, steps=-1), "steps"),
        (lambda: maml.learner(linear, lr=float("nan")), "lr"),
        (lambda: maml.scored(np.zeros((2, 3)), np.zeros((2, 4))), "shape"),
        (lambda: maml.scored([[np.nan]], [[1.0]]), "answers"),
        (
            lambda: maml.few_shot_accuracy(
                maml.learner(linear, lr=0.1), jnp.zeros(2), line_tasks()._replace(labels=jnp.zeros((2, 3)))
            ),
            "in front",
        ),
    ],
)
def test_what_cannot_be_trained_is_refused(call, words) -> None:
    with pytest.raises(ValueError, match=words):
        call()


class _Unhashable:
    __hash__ = None

    def __init__(self, f: Any) -> None:
        self.f = f

    def __call__(self, params: Any, task: Any) -> Any:
        return self.f(params, task)


@pytest.mark.slow
def test_answers_of_equal_learners_are_compiled_once() -> None:
    net = models.Dense(width=4)
    tasks = sinusoids(2, shots=3, queries=2, key=jax.random.key(5))
    params = net.init(jax.random.key(6), tasks.query[0, 0])
    before = networks._compiled._cache_size()
    first, again = (networks.answers(maml.learner(net.apply, lr=0.1), params, tasks.inputs) for _ in range(2))
    assert networks._compiled._cache_size() == before + 1 and first.tolist() == again.tolist()
    unhashable = _Unhashable(maml.learner(net.apply, lr=0.1))
    np.testing.assert_allclose(networks.answers(unhashable, params, tasks.inputs), first, rtol=1e-6)
