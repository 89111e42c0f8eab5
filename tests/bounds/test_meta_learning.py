"""Tests of ntkseq.bounds.meta_kernel: its formula by hand, tasks as sample size, simulated tasks, singular kernels."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq._bound import Bound
from ntkseq.bounds.meta_learning import meta_kernel
from ntkseq.data.tasks import Tasks, linear_regression
from ntkseq.grams.base import DenseGram


def features(N: int = 6, q: int = 3, P: int = 40, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((N, q, P)) / P**0.5


def values(bound: Bound) -> list[float]:
    return [float(term.value or 0.0) for term in bound.terms]


def phi_of(J: np.ndarray) -> np.ndarray:
    flat = J.reshape(-1, J.shape[-1])
    return flat @ flat.T


@pytest.mark.parametrize(("loss", "slope"), [("absolute", 1), ("squared", 2), ("margin", 1)])
def test_the_terms_are_those_of_the_theorem(loss, slope) -> None:
    rng = np.random.default_rng(1)
    Phi, y = phi_of(features()), np.sign(rng.standard_normal((6, 3)))
    start = 0.1 * rng.standard_normal((6, 3))
    dual = np.linalg.solve(Phi + 0.2 * np.eye(18), (y - start).ravel())
    F = start.ravel() + Phi @ dual
    i = math.ceil(math.sqrt(dual @ Phi @ dual) / 0.5)
    assert i > 1
    losses = {"absolute": np.abs(F - y.ravel()), "squared": (F - y.ravel()) ** 2, "margin": 1 - y.ravel() * F}
    want = [
        np.mean(np.clip(losses[loss], 0, 1)),
        2 * slope * i * 0.5 * math.sqrt(np.trace(Phi) / 3) / 6,
        3 * math.sqrt(math.log(2 * i * (i + 1) * 4 / 0.1) / 12),
    ]
    bound = meta_kernel(Phi, y, start, reg=0.2, loss=loss, delta=0.1, B0=0.5, tried=4)
    np.testing.assert_allclose(values(bound), want, rtol=1e-10)
    assert bound.certified and bound.value == pytest.approx(sum(want)) and "4 settings" in str(bound)
    sharp = meta_kernel(Phi, y, start, reg=0.2, loss=loss, delta=0.1, B0=0.5, tried=4, kappa=1.5)
    want[1:] = 2 * slope * i * 0.5 * 1.5 / 6**0.5, math.sqrt(math.log(i * (i + 1) * 4 / 0.1) / 12)
    np.testing.assert_allclose(values(sharp), want, rtol=1e-10)


def test_more_queries_of_the_same_tasks_make_no_smaller_bound() -> None:
    """Every query twice, under twice the ridge, is the same function."""
    J, y = features(), np.sign(np.random.default_rng(1).standard_normal((6, 3)))
    one = meta_kernel(phi_of(J), y, reg=0.2)
    two = meta_kernel(phi_of(np.repeat(J, 2, axis=1)), np.repeat(y, 2, axis=1), reg=0.4)
    np.testing.assert_allclose(values(two), values(one), rtol=1e-9)


def test_the_capacity_is_not_below_the_rademacher_complexity_of_tasks() -> None:
    """Of the ball under the linear loss, by 4000 draws of signs; nearly reached where queries agree."""
    J = np.repeat(features(8, 1), 3, axis=1) + 0.05 * features(8, 3, seed=2)
    signs = np.sign(np.random.default_rng(3).standard_normal((4000, 8)))
    sums = np.linalg.norm(np.einsum("ri,iqp->rp", signs, J) / 3, axis=1) / 8  # sup over |w| <= 1
    measured, error = 2 * sums.mean(), 2 * sums.std() / 4000**0.5
    bound = meta_kernel(phi_of(J), 1e-6 * np.ones((8, 3)), reg=1.0)
    capacity = values(bound)[1]  # i = 1, B0 = 1
    assert measured - 4 * error <= capacity <= 1.2 * measured


def test_outputs_share_the_largest_norm_and_their_mean_is_bounded() -> None:
    y = np.random.default_rng(1).standard_normal((6, 3, 2)) * [1.0, 3.0]
    Phi = phi_of(features())
    both, first, second = (meta_kernel(Phi, y[..., c], reg=0.2) for c in (slice(None), 0, 1))
    a, b, c = map(values, (both, first, second))
    assert a[0] == pytest.approx((b[0] + c[0]) / 2)
    assert a[1] == pytest.approx(max(b[1], c[1]))
    assert both.constants.norm == pytest.approx(max(first.constants.norm, second.constants.norm))


def adapted(tasks: Tasks, steps: int = 3, lr: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """Features J_meta (N, q, d) and answers R y' of the linear model, the inner loop run in plain numpy."""
    X, y, Q = (np.asarray(a, np.float64) for a in (*tasks.support, tasks.query))
    H, M, w = X.transpose(0, 2, 1) @ X, np.eye(X.shape[2]), np.zeros((len(X), X.shape[2], 1))
    for _ in range(steps):
        M, w = M - lr * H @ M, w - lr * (H @ w - X.transpose(0, 2, 1) @ y[..., None])
    return Q @ M, (Q @ w)[..., 0]


@pytest.mark.slow
def test_a_stable_inner_loop_only_shrinks_the_kernel_of_a_query_with_itself(x64) -> None:
    """What makes sup Theta(x, x) a kappa^2; steps beyond the edge of stability break it."""
    tasks = linear_regression(50, 4, 2, [1.0, 0.5, 0.1], key=jax.random.key(1), dtype=jnp.float64)
    theta = np.sum(np.square(tasks.query), axis=2)
    largest = np.linalg.norm(np.asarray(tasks.support.x), 2, axis=(1, 2)).max() ** 2
    for rate, stable in ((0.3, True), (1.9, True), (3.0, False)):
        own = np.sum(np.square(adapted(tasks, lr=rate / largest)[0]), axis=2)
        assert bool((own <= theta * (1 + 1e-12)).all()) == stable


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["absolute", "squared"])
def test_it_is_not_below_the_loss_on_new_tasks(loss, x64) -> None:
    """Six draws of 300 tasks of mixed linear regression, beside the loss on 4000 new ones; none may be above."""
    spectrum, rng = [1.0, 0.5, 0.1], jax.random.split(jax.random.key(0), 7)

    def made(n: int, key: jax.Array) -> Tasks:
        how = {"mean": 0.5, "spread": 0.3, "noise": 0.2, "dtype": jnp.float64}
        return linear_regression(n, 4, 2, spectrum, key=key, **how)

    new = made(4000, rng[6])
    J_new, G_new = adapted(new)
    for key in rng[:6]:
        tasks = made(300, key)
        J, G = adapted(tasks)
        y = np.asarray(tasks.labels)
        bound = meta_kernel(phi_of(J), y, G, reg=1.0, loss=loss)
        w = np.linalg.solve(J.reshape(-1, 3).T @ J.reshape(-1, 3) + np.eye(3), J.reshape(-1, 3).T @ (y - G).ravel())
        off = np.abs(G_new + J_new @ w - np.asarray(new.labels))
        risk = np.minimum(1, off if loss == "absolute" else off**2).mean()
        assert bound.certified and bound.value is not None and risk < bound.value < 1.0
        assert values(bound)[0] == pytest.approx(risk, abs=0.06)


def test_a_singular_kernel_fits_what_lies_in_its_range_and_nothing_else() -> None:
    J = features(N=4, q=3, P=5)  # 12 queries, rank 5
    inside = (J @ np.ones(5)).reshape(4, 3)
    bound = meta_kernel(phi_of(J), inside)
    assert bound.certified and bound.constants.norm == pytest.approx(5**0.5, rel=1e-6)  # w = 1 is the least
    assert values(bound)[0] == pytest.approx(0.0, abs=1e-6)
    for kind in ("derived", "recalled"):
        outside = meta_kernel(phi_of(J), inside + np.eye(4, 3), kind=kind)
        assert outside.value == math.inf and "outside its range as" in outside.reason and not outside.certified
        assert "no value" in outside.verdict
    nothing = meta_kernel(np.zeros((4, 4)), np.zeros((2, 2)))
    assert nothing.constants.norm == 0 and nothing.constants.i == 1
    assert meta_kernel(np.zeros((4, 4)), np.ones((2, 2))).value == math.inf


def test_the_published_form_is_never_certified() -> None:
    Phi, y = phi_of(features()), np.random.default_rng(1).standard_normal((6, 3))
    start = 0.5 * y
    bound = meta_kernel(Phi, y, start, kind="recalled", delta=0.1)
    want = math.sqrt(0.25 * y.ravel() @ np.linalg.solve(Phi, y.ravel()) / 6) + math.sqrt(math.log(10) / 6)
    assert bound.value == pytest.approx(want) and bound.provenance == "recalled"
    assert not bound.certified and "recalled" in bound.verdict and "<=" not in bound.verdict


def test_what_rounding_hides_is_added() -> None:
    """The bound from a kernel that states its error is not below that of any kernel within it."""
    J, y = features(), np.sign(np.random.default_rng(1).standard_normal((6, 3)))
    exact, rng = phi_of(J), np.random.default_rng(2)
    for _ in range(5):
        noise = rng.standard_normal((18, 18))
        noise = 1e-3 * (noise + noise.T) / np.linalg.norm(noise + noise.T, 2)
        computed = exact + noise
        dual = np.linalg.solve(computed + 0.2 * np.eye(18), y.ravel())
        bound = meta_kernel(DenseGram(computed, rounding=1e-3), y, reg=0.2)
        assert bound.constants.norm >= math.sqrt(dual @ exact @ dual)
        assert values(bound)[0] >= np.minimum(1, np.abs(exact @ dual - y.ravel())).mean()
        assert bound.constants.trace >= np.trace(exact)
    near = meta_kernel(DenseGram(exact, rounding=1e-3, entrywise=1e-6), y, reg=0.2)
    assert np.trace(exact) < near.constants.trace < np.trace(exact) + 1e-4


def test_a_kernel_above_kappa_is_said() -> None:
    bound = meta_kernel(np.eye(4), np.ones((2, 2)), reg=0.1, kappa=0.9)
    assert not bound.certified and "kappa: fails" in bound.verdict


def test_one_task_has_a_bound_that_says_nothing() -> None:
    bound = meta_kernel(np.eye(2), np.ones((1, 2)))
    assert bound.certified and bound.vacuous


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda K, y: meta_kernel(K, y.ravel()), r"labels must have shape \(N, q\).*got \(4,\)"),
        (lambda K, y: meta_kernel(K, y, y[:1]), r"start must have the shape of labels, \(2, 2\); got \(1, 2\)"),
        (lambda K, y: meta_kernel(K, np.ones((3, 2))), "y must have shape"),
        (lambda K, y: meta_kernel(K, np.ones((2, 0))), r"got \(2, 0\)"),
        (lambda K, y: meta_kernel(K, 0.5 * y, loss="margin"), "needs labels -1 and"),
        (lambda K, y: meta_kernel(K, y * np.nan), "labels must"),
        (lambda K, y: meta_kernel(K, y, kind="exact"), "kind must be"),
        (lambda K, y: meta_kernel(K, y, kind="recalled", reg=0.1), "speaks of the interpolant; got reg=0.1"),
        (lambda K, y: meta_kernel(K, y, loss="hinge"), "loss must be"),
        (lambda K, y: meta_kernel(K, y, delta=0.0), "delta must"),
        (lambda K, y: meta_kernel(K, y, reg=-1.0), "reg must"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(call, message) -> None:
    with pytest.raises(ValueError, match=message):
        call(np.eye(4), np.ones((2, 2)))
