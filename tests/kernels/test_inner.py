"""Tests of ntkseq.kernels.inner: values against loops and solves, derivatives against differences and decimals."""

from __future__ import annotations

from decimal import Decimal, localcontext

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from ntkseq.kernels.inner import GD, Flow, Inner, Prox, warn_if_unstable

LOOPS: dict[str, Inner] = {
    "one step": GD(1, 0.1),
    "seven steps": GD(7, 0.15),
    "mean": GD(4, 0.3, "mean"),
    "flow": Flow(0.7),
    "long flow": Flow(40.0),
    "end": Flow(),
    "prox": Prox(0.5),
}
every = pytest.mark.parametrize("name", LOOPS)


def gram(s: int = 4, rank: int = 6) -> np.ndarray:
    J = np.random.default_rng(0).standard_normal((s, rank))
    return J @ J.T


def steps_of(K: np.ndarray, lr: float, steps: int) -> np.ndarray:
    """T by running gradient descent on the coefficients: f = K a, a <- a + lr (y - K a), a = T y."""
    a = np.zeros_like(K)
    for _ in range(steps):
        a = a + lr * (np.eye(len(K)) - K @ a)
    return a


def oracle(name: str, K: np.ndarray) -> np.ndarray:
    if name == "prox":
        return np.linalg.inv(K + 0.5 * np.eye(len(K)))
    if name == "end":
        return scipy.linalg.pinvh(K, rtol=1e-10)
    if name in ("flow", "long flow"):
        time = {"flow": 0.7, "long flow": 40.0}[name]
        n = len(K)  # the exponential of [[-K, I], [0, 0]] holds the integral of e^{-K u} beside it
        big = np.block([[-K, np.eye(n)], [np.zeros((n, n)), np.zeros((n, n))]]) * time
        return scipy.linalg.expm(big)[:n, n:]
    lr, steps = {"one step": (0.1, 1), "seven steps": (0.15, 7), "mean": (0.3 / len(K), 4)}[name]
    return steps_of(K, lr, steps)


@every
def test_the_transfer_is_what_the_inner_loop_does(name, x64) -> None:
    K = gram()
    np.testing.assert_allclose(LOOPS[name].transfer(jnp.asarray(K)), oracle(name, K), rtol=1e-10, atol=1e-12)


@every
def test_a_rank_deficient_support_has_the_limit(name, x64) -> None:
    K = gram(rank=2)
    want = oracle(name, K)
    np.testing.assert_allclose(LOOPS[name].transfer(jnp.asarray(K)), want, rtol=1e-9, atol=1e-9 * np.abs(want).max())


@pytest.mark.slow(but=["end"])
@every
def test_first_derivatives_at_equal_and_zero_eigenvalues_are_those_of_differences(name, x64) -> None:
    """K has the eigenvalues 0, 0, 2, 2: the derivative through eigenvectors would be NaN."""
    Q = np.linalg.qr(np.random.default_rng(1).standard_normal((4, 4)))[0]
    K = Q @ np.diag([0, 0, 2.0, 2.0]) @ Q.T
    # the rank is held for the pseudo-inverse, and no eigenvalue goes below 0: move K as A K A^T
    A = np.random.default_rng(2).standard_normal((4, 4))

    def moved(h: float) -> np.ndarray:
        M = np.eye(4) + h * A
        return M @ K @ M.T

    h = 1e-5
    want = (oracle(name, moved(h)) - oracle(name, moved(-h))) / (2 * h)
    _, got = jax.jvp(LOOPS[name].transfer, (jnp.asarray(K),), (jnp.asarray(A @ K + K @ A.T),))
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6 * np.abs(want).max())
    weights = np.random.default_rng(3).standard_normal((4, 4))
    back = jax.grad(lambda K: jnp.sum(weights * LOOPS[name].transfer(K)))(jnp.asarray(K))
    np.testing.assert_allclose(np.sum(back * (A @ K + K @ A.T)), np.sum(weights * want), rtol=1e-6)


@pytest.mark.slow(but=["loop3-reg"])
@pytest.mark.parametrize(
    ("loop", "field"), [(GD(5, 0.15), "lr"), (GD(3, 0.2, "mean"), "lr"), (Flow(0.7), "time"), (Prox(0.5), "reg")]
)
def test_derivatives_in_the_numbers_of_a_loop_are_those_of_differences(loop, field, x64) -> None:
    K = jnp.asarray(gram(rank=3))
    K = jnp.concatenate([jnp.concatenate([K, K[:, :1]], 1), jnp.concatenate([K[:1], K[:1, :1]], 1)])  # a duplicate
    got = getattr(jax.grad(lambda loop: jnp.sum(loop.transfer(K)[0]))(loop), field)
    h, at = 1e-6, getattr(loop, field)

    def value(number: float) -> float:
        changed = {"lr": lambda: GD(loop.steps, number, loop.reduction), "time": lambda: Flow(number)}
        return float(jnp.sum((changed[field]() if field in changed else Prox(number)).transfer(K)[0]))

    np.testing.assert_allclose(got, (value(at + h) - value(at - h)) / (2 * h), rtol=1e-6)


def exact(name: str, a: float, b: float) -> float:
    """(T(a) - T(b)) / (a - b) in 80 digits; equal points are moved apart by 1e-30."""
    with localcontext() as context:
        context.prec = 80
        one, two = Decimal(a), Decimal(b)
        if a == b:
            one, two = one + Decimal("1e-30"), two + Decimal("2e-30")

        def T(w: Decimal) -> Decimal:
            if name == "prox":
                return 1 / (w + Decimal("0.5"))
            if name == "flow":
                return Decimal(4) if w == 0 else (1 - (-4 * w).exp()) / w
            return Decimal(1000) / 256 if w == 0 else (1 - (1 - w / 256) ** 1000) / w

        return float((T(one) - T(two)) / (one - two))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "loop"), [("flow", Flow(4.0)), ("gd", GD(1000, 2.0**-8)), ("prox", Prox(0.5))])
def test_divided_differences_keep_their_digits(name, loop, dtype) -> None:
    with jax.enable_x64(True):
        w = np.array([0, 0, 1e-9, 1e-3, 0.125, 0.3, 0.3000001, 1.0, 7.0, 19.0, 300.0], dtype)
        got = jax.jit(lambda loop, w: loop.divided(w))(loop.in_dtype(dtype), jnp.asarray(w))
        assert got.dtype == dtype
    want = np.array([[exact(name, float(a), float(b)) for b in w] for a in w])
    np.testing.assert_allclose(got, want, rtol=16 * np.finfo(dtype).eps)  # measured: 4 eps


def test_many_small_steps_are_the_flow(x64) -> None:
    K = jnp.asarray(gram())
    np.testing.assert_allclose(GD(2**20, 2.0**-20).transfer(K), Flow(1.0).transfer(K), rtol=1e-5)
    np.testing.assert_allclose(Flow(1e6).transfer(K), Flow().transfer(K), rtol=1e-12)
    np.testing.assert_array_equal(GD(0, 0.1).transfer(K), jnp.zeros((4, 4)))


def test_two_equal_support_points_in_single_precision_do_not_blow_up_the_pseudo_inverse() -> None:
    K = gram().astype(np.float32)
    K = np.block([[K, K[:, :1]], [K[:1], K[:1, :1]]])
    K[0, 4] = K[4, 0] = np.nextafter(np.nextafter(K[0, 0], 0), 0)  # two roundings apart
    T = np.asarray(Flow().transfer(jnp.asarray(K)), np.float64)
    want = scipy.linalg.pinvh(K.astype(np.float64), rtol=1e-5)
    np.testing.assert_allclose(T, want, atol=1e-4 * np.abs(want).max())


def test_a_sweep_over_step_sizes_and_times_compiles_once() -> None:
    traced = []

    @jax.jit
    def transfer(loop: Inner, K: jax.Array) -> jax.Array:
        traced.append(type(loop))
        return loop.transfer(K)

    K = jnp.eye(2)
    for loop in (GD(2, 0.1), GD(2, 0.2), Flow(1.0), Flow(jnp.inf), Prox(0.5), Prox(2.0)):
        transfer(loop, K)
    assert traced == [GD, Flow, Prox]


def test_a_batch_of_kernels_is_taken_one_by_one(x64) -> None:
    K = jnp.asarray(np.stack([gram(), gram(rank=2)]))
    for loop in (GD(4, 0.3, "mean"), Flow(0.7)):
        np.testing.assert_allclose(loop.transfer(K)[1], loop.transfer(K[1]), rtol=1e-12, atol=1e-14)


def test_stability_tells_the_largest_step_size(x64) -> None:
    K = jnp.asarray(np.stack([np.diag([1.0, 4.0]), np.diag([1.0, 20.0])]))
    stable, rate, limit = GD(3, 0.2).stability(K)
    assert stable.tolist() == [True, False]
    np.testing.assert_allclose(rate, [0.8, 4.0])
    np.testing.assert_allclose(limit, [0.5, 0.1])
    np.testing.assert_allclose(GD(3, 0.2, "mean").stability(K).limit, [1.0, 0.2])
    assert not GD(3, -0.1).stability(K).stable.any()
    assert Flow(1e9).stability(K).stable.all() and Prox(1e-9).stability(K).stable.all()
    with pytest.warns(UserWarning, match=r"1 of 2 tasks.*is 4 for task 1. With lr below 0.1 "):
        warn_if_unstable(GD(3, 0.2), K)
    warn_if_unstable(GD(3, 0.09), K)
    below = GD(400, 0.99 * float(limit[1])).transfer(K[1])
    above = GD(400, 1.01 * float(limit[1])).transfer(K[1])
    assert np.abs(below).max() < 2 < 20 < np.abs(above).max()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GD(-1, 0.1), "steps must be an integer >= 0; got -1"),
        (lambda: GD(True, 0.1), "steps must be"),
        (lambda: GD(1, np.nan), "lr must be one finite number"),
        (lambda: GD(1, np.ones(2)), "lr must be one finite number"),
        (lambda: GD(1, "fast"), "lr must be a number"),
        (lambda: GD(1, 0.1, "max"), "reduction must be one of"),
        (lambda: Flow(-1.0), "time must be one finite number >= 0"),
        (lambda: Flow(1.0, 2.0), "cutoff must lie in"),
        (lambda: Prox(0.0), "reg must be one finite number > 0"),
    ],
)
def test_wrong_numbers_are_refused_in_one_sentence(make, message) -> None:
    with pytest.raises(ValueError, match=message):
        make()
