"""Tests of ntkseq.models.adapt: the inner loop against NumPy, its derivatives against products of Hessians."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from ntkseq._struct import replace
from ntkseq.models import Dense, Recurrent
from ntkseq.models.adaptation import adapt, squared_error


def small(params: Any, x: jax.Array) -> jax.Array:
    """A network of two units with two outputs, no model of the library."""
    return params["out"] @ jnp.tanh(params["in"] @ x)


def case() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    params = {"in": jnp.asarray(rng.standard_normal((2, 3))), "out": jnp.asarray(rng.standard_normal((2, 2)))}
    xs, ys, xq = (jnp.asarray(rng.standard_normal(shape)) for shape in ((4, 3), (4, 2), (2, 3)))
    return params, ((xs, ys), xq)


def by_hand(params: Any, task: Any, lr: float, steps: int, moving: tuple[str, ...] = ("in", "out")) -> np.ndarray:
    """Gradient descent with the gradients of the network written out."""
    (xs, ys), xq = jax.tree.map(np.asarray, task)
    W, V = np.array(params["in"]), np.array(params["out"])
    for _ in range(steps):
        h = np.tanh(xs @ W.T)
        r = h @ V.T - ys
        dV, dW = r.T @ h, ((r @ V) * (1 - h**2)).T @ xs
        V, W = V - lr * dV * ("out" in moving), W - lr * dW * ("in" in moving)
    return np.tanh(xq @ W.T) @ V.T


@pytest.mark.parametrize("steps", [0, 1, 3])
@pytest.mark.parametrize(
    ("algorithm", "moving"), [("maml", ("in", "out")), ("fomaml", ("in", "out")), ("anil", ("out",))]
)
def test_the_answers_are_those_of_gradient_descent_by_hand(algorithm, moving, steps, x64) -> None:
    params, task = case()
    learner = jax.jit(adapt(small, lr=0.05, steps=steps, algorithm=algorithm, head="out"))
    np.testing.assert_allclose(learner(params, task), by_hand(params, task, 0.05, steps, moving), rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["maml", "fomaml", "anil"])
def test_the_jacobian_is_the_product_of_the_hessians_of_the_steps(algorithm, x64) -> None:
    """J_meta = J(x) (I - lr H_1) (I - lr H_0); without the Hessians for first order; on the head alone for ANIL."""
    params, ((xs, ys), xq) = case()
    flat, unravel = ravel_pytree(params)
    head = np.arange(flat.size) >= params["in"].size if algorithm == "anil" else np.ones(flat.size, bool)

    def loss(v: jax.Array) -> jax.Array:
        return sum(jnp.sum(jnp.square(small(unravel(v), x) - y)) / 2 for x, y in zip(xs, ys, strict=True))

    end, product = flat, np.eye(flat.size)
    gradient, hessian = jax.jit(jax.grad(loss)), jax.jit(jax.hessian(loss))
    for _ in range(2):
        if algorithm != "fomaml":
            product = (np.eye(flat.size) - 0.05 * head[:, None] * np.asarray(hessian(end))) @ product
        end = end - 0.05 * jnp.asarray(head * np.asarray(gradient(end)))
    final = jax.jacrev(lambda v: jax.vmap(small, in_axes=(None, 0))(unravel(v), xq))(end)
    learner = adapt(small, lr=0.05, steps=2, algorithm=algorithm, head="out")
    got = jax.jit(jax.jacrev(lambda v: learner(unravel(v), ((xs, ys), xq))))(flat)
    np.testing.assert_allclose(got, np.asarray(final) @ product, rtol=1e-11, atol=1e-13)


def test_forward_and_reverse_derivatives_agree_and_the_step_size_has_one(x64) -> None:
    params, task = case()

    def answers(lr: Any, params: Any) -> jax.Array:
        return adapt(small, lr=lr, steps=3)(params, task)

    tangent = jax.jit(jax.jacfwd(answers))(0.05, params)
    h = 1e-6
    want = (by_hand(params, task, 0.05 + h, 3) - by_hand(params, task, 0.05 - h, 3)) / (2 * h)
    np.testing.assert_allclose(tangent, want, rtol=1e-7)
    np.testing.assert_allclose(jax.jit(jax.jacrev(answers))(0.05, params), tangent, rtol=1e-11)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("net", "example"),
    [
        (Dense(width=5, outputs=2), (3,)),
        pytest.param(Recurrent(width=4, direction="both"), (3, 2), marks=pytest.mark.slow),
    ],
    ids=["dense", "recurrent"],
)
def test_anil_moves_the_read_outs_of_the_models_and_nothing_else(net, example) -> None:
    x = jax.random.normal(jax.random.key(0), (4, *example))
    params = net.init(jax.random.key(1), x[0])
    task = ((x[:3], jnp.ones((3, net.outputs))), x[3:])
    got = jax.jit(adapt(net.apply, lr=0.1, steps=2, algorithm="anil"))(params, task)
    held = replace(net, train="R")  # the same network with all gradients but the read-out's cut
    np.testing.assert_allclose(got, jax.jit(adapt(held.apply, lr=0.1, steps=2))(params, task), rtol=1e-6)
    everything = jax.jit(adapt(net.apply, lr=0.1, steps=2))(params, task)
    assert got.shape == (1, net.outputs) and np.abs(got - everything).max() > 1e-4


@pytest.mark.slow
def test_inputs_may_be_pairs_of_sequences_and_lengths() -> None:
    net = Recurrent(width=4)
    x, lengths = jax.random.normal(jax.random.key(0), (4, 3, 2)), jnp.array([3, 1, 2, 2])
    params = net.init(jax.random.key(1), x[0])
    learner = jax.jit(adapt(lambda p, one: net.apply(p, *one), lr=0.1, steps=1))
    cut = lambda part: (x[part], lengths[part])  # noqa: E731
    first = learner(params, ((cut(slice(3)), jnp.ones(3)), cut(slice(3, 4))))
    x = x.at[1, 1:].set(9.0).at[3, 2:].set(9.0)  # behind the lengths
    np.testing.assert_array_equal(first, learner(params, ((cut(slice(3)), jnp.ones(3)), cut(slice(3, 4)))))


def test_a_batch_of_tasks_compiles_the_loop_once_however_many_steps() -> None:
    traced = []

    def apply(params: jax.Array, x: jax.Array) -> jax.Array:
        traced.append(0)
        return jnp.sum(params * x)[None]

    tasks = ((jnp.ones((5, 3, 2)), jnp.ones((5, 3))), jnp.ones((5, 1, 2)))
    learner = jax.jit(jax.vmap(adapt(apply, lr=0.1, steps=100), in_axes=(None, 0)))
    np.testing.assert_allclose(learner(jnp.zeros(2), tasks), 1.0, rtol=1e-5)
    count = len(traced)
    assert count < 10
    learner(jnp.ones(2), tasks)
    assert len(traced) == count


def test_the_squared_error_is_half_a_sum_and_takes_flat_labels_for_one_output() -> None:
    outputs = jnp.array([[1.0], [3.0]])
    assert squared_error(outputs, jnp.array([0, 1])) == 2.5
    assert squared_error(outputs, jnp.array([[0.0], [1.0]])) == 2.5


TASK = ((jnp.ones((3, 2)), jnp.ones(3)), jnp.ones((1, 2)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: adapt(lambda p, x: x, lr=0.1, steps=1, algorithm="reptile"), "algorithm must be one of"),
        (lambda: adapt(lambda p, x: x, lr=0.1, steps=-1), "steps must be an integer >= 0; got -1"),
        (lambda: adapt(lambda p, x: x, lr=np.ones(2), steps=1), "lr must be one finite number"),
        (lambda: adapt(lambda p, x: x, lr=np.inf, steps=1), "lr must be one finite number"),
        (lambda: adapt(lambda p, x: x[:1], lr=0.1, steps=1)(0.0, jnp.ones(3)), r"a task must be \(\(xs, ys\), xq\)"),
        (lambda: adapt(lambda p, x: x[:1], lr=0.1, steps=1)(0.0, ((TASK[1], jnp.ones(3)), TASK[1])), "Give every"),
        (lambda: adapt(lambda p, x: x[:1], lr=0.1, steps=1)(0.0, ((TASK[1], None), TASK[1])), "Give every support"),
        (lambda: adapt(lambda p, x: p * x, lr=0.1, steps=1)(jnp.float32(1), TASK), "targets must have the shape"),
        (
            lambda: adapt(lambda p, x: p["a"] * x[:1], lr=0.1, steps=1, algorithm="anil")({"a": jnp.float32(1)}, TASK),
            "head='R' names none of the parameters",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(call, message) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.slow
@pytest.mark.parametrize("derivative", [jax.jacrev, jax.jacfwd])
def test_implicit_maml_ends_at_the_minimiser_and_has_its_derivative(derivative, x64) -> None:
    """On a linear model R = K (K' + reg)^-1 and J_meta = X - R X'; Newton ends what one step begins."""
    x = jax.random.normal(jax.random.key(0), (2, 5, 4))
    y = jax.random.normal(jax.random.key(1), (2, 3))
    start = jnp.asarray([0.3, -0.2, 0.5, 0.1])
    learner = adapt(lambda p, x: (x @ p)[None], lr=0.1, steps=1, algorithm="imaml", reg=0.5)
    answers = lambda p: jax.vmap(learner, (None, 0))(p, ((x[:, :3], y), x[:, 3:]))[..., 0]  # noqa: E731
    want, slopes = [], []
    for task, labels in zip(np.asarray(x), np.asarray(y), strict=True):
        S, Q = task[:3], task[3:]
        R = Q @ S.T @ np.linalg.inv(S @ S.T + 0.5 * np.eye(3))
        want.append(Q @ start + R @ (labels - S @ start))
        slopes.append(Q - R @ S)
    np.testing.assert_allclose(answers(start), want, rtol=1e-12)
    np.testing.assert_allclose(jax.jit(derivative(answers))(start), slopes, rtol=1e-10, atol=1e-12)


@pytest.mark.slow
def test_the_derivative_of_implicit_maml_is_that_of_many_steps(x64) -> None:
    params, task = case()
    flat, unravel = ravel_pytree(params)

    def loss(v: jax.Array, start: jax.Array) -> jax.Array:
        (xs, ys), _ = task
        away = jnp.sum(jnp.square(v - start))
        return squared_error(jax.vmap(small, (None, 0))(unravel(v), xs), ys) + 2.0 * away / 2

    def settled(start: jax.Array) -> jax.Array:
        end = jax.lax.fori_loop(0, 400, lambda _, v: v - 0.05 * jax.grad(loss)(v, start), start)
        return jax.vmap(small, (None, 0))(unravel(end), task[1])

    learner = adapt(small, lr=0.05, steps=400, algorithm="imaml", reg=2.0)
    got = jax.jit(jax.jacrev(lambda v: learner(unravel(v), task)))(flat)
    np.testing.assert_allclose(got, jax.jit(jax.jacfwd(settled))(flat), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(("algorithm", "reg"), [("imaml", None), ("imaml", 0.0), ("imaml", -1.0), ("maml", 0.5)])
def test_reg_belongs_to_implicit_maml(algorithm, reg) -> None:
    with pytest.raises(ValueError, match="reg"):
        adapt(small, lr=0.1, steps=1, algorithm=algorithm, reg=reg)
