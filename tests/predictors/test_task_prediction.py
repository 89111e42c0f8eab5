"""Tests of ntkseq.predictors.few_shot: against the predictor in JAX, training written out, and several outputs."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import kernels
from ntkseq._struct import struct
from ntkseq.data.tasks import Support, Tasks, sinusoids
from ntkseq.data.tasks import few_shot_tasks as cut
from ntkseq.kernels.base import Kernel
from ntkseq.kernels.inner import Prox
from ntkseq.predictors.task_prediction import few_shot


@struct
class Bell(Kernel):
    """exp(-(x - y)^2 / 2), which compiles in no time."""

    def prepare(self, x: Any, lengths: Any = None) -> Any:
        return {"x": jnp.asarray(x)}

    def tile(self, left: Any, right: Any) -> Any:
        return jnp.exp(-jnp.square(left["x"][:, 0][:, None] - right["x"][:, 0][None, :]) / 2)


KERNEL = kernels.Meta(Bell(), kernels.GD(steps=3, lr=0.1))


def waves(n: int = 4, key: int = 0, dtype: Any = None) -> Tasks:
    return sinusoids(n, shots=3, queries=2, key=jax.random.key(key), reach=2.0, dtype=dtype)


@pytest.mark.slow
@pytest.mark.parametrize(("ours", "theirs"), [({"reg": 0.3}, Prox(0.3)), ({"time": 2.0}, kernels.Flow(2.0))])
def test_it_is_the_predictor_of_the_kernel(ours, theirs, x64) -> None:
    train, new = waves(dtype=jnp.float64), waves(3, 1, jnp.float64)
    fit = few_shot(KERNEL, train, **ours)
    np.testing.assert_allclose(
        fit(new), KERNEL.predict(train.inputs, train.labels, new.inputs, outer=theirs), rtol=1e-9, atol=1e-10
    )
    np.testing.assert_allclose(fit(train), fit.fitted, rtol=1e-9, atol=1e-10)


@pytest.mark.slow
def test_a_linear_model_trained_step_by_step_goes_there(x64) -> None:
    """Gradient flow of a linear model of the adapted functions, by 20000 small steps."""
    train, new = waves(dtype=jnp.float64), waves(3, 1, jnp.float64)
    both = Tasks(*(jax.tree.map(lambda a, b: jnp.concatenate([a, b]), train[i], new[i]) for i in range(3)))
    J = np.linalg.cholesky(np.asarray(KERNEL.blocks(both)).reshape(14, 14) + 1e-12 * np.eye(14))  # rows: features
    fit = few_shot(KERNEL, train, time=1.0)
    rest, w = (fit.labels - fit.start).ravel(), np.zeros(14)
    for _ in range(20000):
        w = w - 5e-5 * J[:8].T @ (J[:8] @ w - rest)
    np.testing.assert_allclose(fit(new).ravel(), fit.adapted(new).ravel() + J[8:] @ w, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_outputs_share_the_kernel_and_lengths_come_with_the_tasks() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((24, 4, 2)).astype(np.float32), np.arange(24) % 4
    train, new = (
        cut(x, y, shots=1, queries=2, ways=3, tasks=3, lengths=rng.integers(1, 5, 24), key=jax.random.key(k))
        for k in (0, 1)
    )
    kernel = kernels.Meta(kernels.Recurrent(sigma_w=1.3), kernels.GD(steps=2, lr=0.05))
    fit = few_shot(kernel, train, reg=0.1)
    got = fit(new, lengths=new.lengths)
    assert got.shape == (3, 6, 3) and fit.start.shape == (3, 6, 3)
    for c in range(3):
        one, other = (
            Tasks(Support(t.support.x, t.support.y[..., c]), t.query, t.labels[..., c], t.lengths) for t in (train, new)
        )
        alone = few_shot(kernel, one, reg=0.1)
        np.testing.assert_allclose(alone(other, lengths=new.lengths), got[..., c], rtol=1e-6, atol=1e-7)
    by = kernel.predict(
        one.inputs, one.labels, other.inputs, outer=Prox(0.1), lengths=train.lengths, lengths2=new.lengths
    )
    np.testing.assert_allclose(by, got[..., 2], rtol=1e-3, atol=1e-4)
    assert np.abs(fit(new) - got).max() > 1e-3  # lengths matter


@pytest.mark.slow
def test_the_ridge_is_chosen_by_tasks_left_out(x64) -> None:
    """Beside fits without each task; and the candidate that queries of one task favour is not the one."""
    tasks = waves(5, dtype=jnp.float64)
    regs, errors = [1e-3, 0.1, 10.0], []
    fit = few_shot(KERNEL, tasks, reg=1.0)
    K, rest = np.asarray(fit.gram), (fit.labels - fit.start).ravel()
    for reg in regs:
        off = []
        for i in range(5):
            out = np.arange(10) // 2 == i
            dual = np.linalg.solve(K[~out][:, ~out] + reg * np.eye(8), rest[~out])
            off.append(rest[out] - K[out][:, ~out] @ dual)
        errors.append(np.mean(np.square(off)))
    chosen = fit.select_reg(regs)
    np.testing.assert_allclose(chosen.loo_errors, errors, rtol=1e-8)
    assert chosen.reg == regs[int(np.argmin(errors))]
    again = fit.refit(reg=0.1)
    np.testing.assert_allclose(again(tasks), few_shot(KERNEL, tasks, reg=0.1)(tasks), rtol=1e-12)
    for call, words in ((lambda: fit.refit(), "give reg="), (lambda: fit.select_reg([]), "at least one candidate"),
                        (lambda: fit.select_reg([0.0]), "regs must")):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            call()


@pytest.mark.slow
def test_nothing_adapts_without_an_algorithm_and_one_task_is_enough() -> None:
    plain = kernels.Meta(Bell(), algorithm="none")
    fit = few_shot(plain, waves(1), reg=0.1)
    assert not fit.start.any()
    base = np.asarray(plain.base(waves(1).query[0]))
    np.testing.assert_allclose(np.asarray(fit.gram), base, rtol=1e-5)
    np.testing.assert_allclose(
        fit.fitted[0], base @ np.linalg.solve(base + 0.1 * np.eye(2), np.asarray(waves(1).labels[0])), rtol=1e-4
    )


@pytest.mark.slow
def test_a_query_of_its_own_support_has_no_interpolant() -> None:
    tasks = waves()
    tasks = tasks._replace(query=tasks.support.x[:, :2], labels=tasks.support.y[:, :2])
    kernel = kernels.Meta(Bell(), kernels.Flow(jnp.inf))
    with pytest.raises(ValueError, match="cannot be told from zero"):
        few_shot(kernel, tasks, reg=0)
    fit = few_shot(kernel, tasks, reg=0.1)  # and with a ridge adaptation answers alone
    np.testing.assert_allclose(fit(tasks), tasks.labels, atol=0.1)


@pytest.mark.slow(
    cases=[
        "<lambda>-\\\\(4, 3, k\\\\); got \\\\(4, 3\\\\)",
        "<lambda>-give reg=.*got reg=None, time=None",
        "<lambda>-got reg=0.1, time=1.0",
        "<lambda>-kernel must be a kernels.Meta; got Bell",
        "<lambda>-labels must be given",
        "<lambda>-labels must have shape \\\\(4, 2\\\\).*got \\\\(4, 1\\\\)",
    ]
)
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: few_shot(KERNEL.base, t, reg=0.1), "kernel must be a kernels.Meta; got Bell"),
        (lambda t: few_shot(KERNEL, t), "give reg=.*got reg=None, time=None"),
        (lambda t: few_shot(KERNEL, t, reg=0.1, time=1.0), "got reg=0.1, time=1.0"),
        (lambda t: few_shot(KERNEL, t.inputs, reg=0.1), "labels must be given"),
        (lambda t: few_shot(KERNEL, t, t.labels[:, :1], reg=0.1), r"labels must have shape \(4, 2\).*got \(4, 1\)"),
        (lambda t: few_shot(KERNEL, t, t.labels[0], reg=0.1), r"labels must have shape \(4, 2\).*got \(2,\)"),
        (lambda t: few_shot(KERNEL, ((t.support.x, None), t.query), t.labels, reg=0.1), r"shape \(4, 3\); got None"),
        (lambda t: few_shot(KERNEL, t, jnp.eye(2)[None].repeat(4, 0), reg=0.1), r"\(4, 3, k\); got \(4, 3\)"),
        (lambda t: few_shot(KERNEL, 3.0, t.labels, reg=0.1), "xs, ys"),
        (lambda t: few_shot(KERNEL, t, reg=0.1)(t._replace(support=Support(t.support.x, None))), "got None"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_one_sentence(call, message) -> None:
    with pytest.raises(ValueError, match=message):
        call(waves())
