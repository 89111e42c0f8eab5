"""Tests of ntkseq.data.tasks: counts, labels and overlap of tasks cut out of data; the answers of made tasks."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq.data.held_out import by_class
from ntkseq.data.tasks import few_shot_tasks, linear_regression, sinusoids

KEY = jax.random.key(0)


def labelled(classes: int = 3, each: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Examples (n, 2) that hold their class and their number."""
    y = np.tile(np.arange(classes), each)
    return np.stack([y, np.arange(len(y))], axis=1).astype(np.float32), y


@pytest.mark.slow
def test_two_ways_keep_their_signs_and_share_no_example_between_support_and_query() -> None:
    x, y = labelled(2)
    tasks = few_shot_tasks(x, 2 * y - 1, shots=2, queries=3, tasks=20, key=KEY)
    (xs, ys), xq = tasks.inputs
    assert xs.shape == (20, 4, 2) and ys.shape == (20, 4) and xq.shape == (20, 6, 2) and tasks.labels.shape == (20, 6)
    np.testing.assert_array_equal(ys, 2 * xs[..., 0] - 1)
    np.testing.assert_array_equal(tasks.labels, 2 * xq[..., 0] - 1)
    for support, query in zip(np.asarray(xs[..., 1]), np.asarray(xq[..., 1]), strict=True):
        assert len({*support, *query}) == 10
    assert len({tuple(row) for row in np.asarray(xs[..., 1])}) > 15  # another draw for each task
    assert tasks.lengths is None and tasks.truth is None


def test_more_ways_are_one_hot_in_the_order_of_the_classes() -> None:
    x, y = labelled(5)
    tasks = few_shot_tasks(x, 10 * y, shots=1, queries=2, ways=3, tasks=60, key=KEY)
    (xs, ys), xq = tasks.inputs
    np.testing.assert_array_equal(ys, np.broadcast_to(np.eye(3), (60, 3, 3)))
    classes = np.asarray(xs[..., 0])
    assert (np.diff(classes) > 0).all() and len({tuple(row) for row in classes}) == 10  # all subsets of three in five
    np.testing.assert_array_equal(np.repeat(classes, 2, axis=1), xq[..., 0])
    np.testing.assert_array_equal(np.argmax(tasks.labels, axis=-1), np.tile(np.repeat(np.arange(3), 2), (60, 1)))


def test_permuted_labels_fit_support_and_query_of_a_task_and_change_between_tasks() -> None:
    x, y = labelled(2)
    tasks = few_shot_tasks(x, y, shots=1, tasks=20, permute=True, key=KEY)
    sign = np.asarray(tasks.support.y * (2 * tasks.support.x[..., 0] - 1))
    assert (np.abs(sign.sum(axis=1)) == 2).all() and len(np.unique(sign)) == 2
    np.testing.assert_array_equal(sign, tasks.labels * (2 * tasks.query[..., 0] - 1))


@pytest.mark.slow
def test_lengths_and_dtype_go_with_their_sequences_and_keys_decide_the_draw(x64) -> None:
    x = jnp.asarray(np.random.default_rng(0).standard_normal((8, 4, 2)), jnp.float32)
    lengths = np.arange(8) % 4 + 1
    x = x.at[:, 0, 0].set(jnp.asarray(lengths, jnp.float32))
    tasks = few_shot_tasks(x, np.arange(8) // 4, shots=2, tasks=5, lengths=lengths, key=KEY)
    np.testing.assert_array_equal(tasks.lengths[0], tasks.support.x[:, :, 0, 0])
    np.testing.assert_array_equal(tasks.lengths[1], tasks.query[:, :, 0, 0])
    assert {a.dtype for a in (tasks.support.x, tasks.support.y, tasks.query, tasks.labels)} == {jnp.dtype("float32")}
    again, other = (few_shot_tasks(x, np.arange(8) // 4, shots=2, tasks=5, key=k) for k in (KEY, jax.random.key(1)))
    np.testing.assert_array_equal(again.query, tasks.query)
    assert np.any(np.asarray(other.query != tasks.query))


@pytest.mark.slow
def test_sinusoids_answer_to_their_amplitude_and_phase() -> None:
    tasks = sinusoids(6, shots=4, queries=3, key=KEY, amplitude=(1.0, 2.0), reach=2.0)
    A, phase = np.asarray(tasks.truth).T[:, :, None]
    np.testing.assert_allclose(tasks.support.y, A * np.sin(tasks.support.x[..., 0] - phase), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(tasks.labels, A * np.sin(tasks.query[..., 0] - phase), rtol=1e-4, atol=1e-5)
    assert A.min() >= 1 and A.max() <= 2 and np.abs(tasks.query).max() <= 2
    noisy = sinusoids(6, shots=4, queries=3, key=KEY, amplitude=(1.0, 2.0), reach=2.0, noise=0.5)
    np.testing.assert_array_equal(noisy.labels, tasks.labels)
    assert 0.3 < np.std(noisy.support.y - tasks.support.y) < 0.7


@pytest.mark.slow
def test_linear_tasks_have_the_stated_moments(x64) -> None:
    """20000 draws: a standard error of 0.7 % of the variance, 4 of them allowed."""
    V = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))[0]
    spectrum, mean, spread = np.array([2.0, 1.0, 0.0]), np.array([1.0, -1.0, 0.5]), np.array([0.5, 0.0, 1.0])
    tasks = linear_regression(
        5000, 2, 2, spectrum, key=KEY, mean=mean, spread=spread, noise=0.3, rotation=V, dtype=jnp.float64
    )
    x = np.concatenate([tasks.support.x, tasks.query], axis=1).reshape(-1, 3)
    np.testing.assert_allclose(V.T @ (x.T @ x / len(x)) @ V, np.diag(spectrum), atol=0.06)
    theta = np.asarray(tasks.truth) @ V  # in the eigenbasis
    np.testing.assert_allclose(theta.mean(axis=0), mean, atol=4 * spread.max() / 5000**0.5)
    np.testing.assert_allclose(np.cov(theta.T), np.diag(spread**2), atol=0.09)
    residual = tasks.labels - np.einsum("nid,nd->ni", tasks.query, tasks.truth)
    np.testing.assert_allclose(np.std(residual), 0.3, rtol=0.03)


@pytest.mark.slow
def test_linear_tasks_without_noise_answer_to_their_theta(x64) -> None:
    exact = linear_regression(3, 2, 2, [2.0, 1.0, 0.0], key=KEY)
    assert np.all(exact.query[..., 2] == 0)
    np.testing.assert_allclose(exact.labels, np.einsum("nid,nd->ni", exact.query, exact.truth), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, y: few_shot_tasks(x, y, shots=0, key=KEY), "shots must be an integer >= 1; got 0"),
        (
            lambda x, y: few_shot_tasks(x, y, shots=4, queries=3, key=KEY),
            r"shots \+ queries = 4 \+ 3 examples; class 0 has 6",
        ),
        (lambda x, y: few_shot_tasks(x, y, shots=1, ways=4, key=KEY), r"ways must lie in 2\.\.3.*got 4"),
        (lambda x, y: few_shot_tasks(x, y, shots=1, ways=1, key=KEY), r"ways must lie in 2\.\.3.*got 1"),
        (lambda x, y: few_shot_tasks(x, y[:-1], shots=1, key=KEY), "y must have shape"),
        (lambda x, y: few_shot_tasks(x[:, 0], y, shots=1, key=KEY), "x must have shape"),
        (lambda x, y: few_shot_tasks(x, y, shots=1, lengths=y, key=KEY), "lengths belong to sequences"),
        (lambda x, y: sinusoids(2, shots=1, queries=1, key=KEY, phase=(1.0, 0.0)), "phase must be a range"),
        (lambda x, y: sinusoids(2, shots=1, queries=1, key=KEY, reach=0.0), "reach must be a finite number > 0"),
        (lambda x, y: linear_regression(2, 1, 1, [1.0, -1.0], key=KEY), "spectrum must be"),
        (lambda x, y: linear_regression(2, 1, 1, [1.0], key=KEY, mean=[1.0, 2.0]), "mean must be a finite number or"),
        (lambda x, y: linear_regression(2, 1, 1, [1.0], key=KEY, spread=-1.0), "spread must be standard deviations"),
        (lambda x, y: linear_regression(2, 1, 1, [1.0], key=KEY, rotation=[[2.0]]), "rotation must be an orthogonal"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(call, message) -> None:
    with pytest.raises(ValueError, match=message):
        call(*labelled())


def test_token_numbers_stay_integers_and_bring_their_lengths() -> None:
    x, y = np.arange(48).reshape(12, 4) % 7, np.repeat([0, 1], 6)
    tasks = few_shot_tasks(x, y, shots=2, queries=1, tasks=3, key=jax.random.key(0), lengths=np.arange(12) % 4 + 1)
    assert jnp.issubdtype(tasks.query.dtype, jnp.integer) and tasks.labels.dtype == jnp.float32
    assert (
        tasks.lengths[1].shape == (3, 2)
        and by_class(x, np.arange(12) % 4, held_out=(0, 1)).train.x.dtype == tasks.query.dtype
    )
    with pytest.raises(ValueError, match="x must fit int32"):
        few_shot_tasks(x + 2**40, y, shots=2, key=jax.random.key(0))
