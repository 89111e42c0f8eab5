"""Tests of ntkseq.kernels.meta: published numbers, a plain loop, linear models of finite size, networks that widen."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntkseq
from ntkseq._struct import struct
from ntkseq.kernels import Dense, Recurrent
from ntkseq.kernels.base import Kernel
from ntkseq.kernels.inner import GD, Flow, Prox
from ntkseq.kernels.meta import Meta
from ntkseq.models.adaptation import adapt, squared_error


@struct
class Plane(Kernel):
    """exp(-(x - y)^2 / 2) + linear (1 + x y) of scalars."""

    linear: Any = 0.1

    def prepare(self, x: Any, lengths: Any = None) -> Any:
        return {"x": jnp.asarray(x)}

    def tile(self, left: Any, right: Any) -> Any:
        a, b = left["x"][:, None], right["x"][None, :]
        return jnp.exp(-jnp.square(a - b) / 2) + self.linear * (1 + a * b)


@struct
class Line(Kernel):
    """x . y + bias, the tangent kernel of a linear model."""

    bias: Any = 0.0

    def prepare(self, x: Any, lengths: Any = None) -> Any:
        return {"x": jnp.asarray(x)}

    def tile(self, left: Any, right: Any) -> Any:
        return jnp.matmul(left["x"], right["x"].T, precision="highest") + self.bias


def plane_tasks(dtype: Any = None) -> Any:
    return (jnp.array([[0.3, -0.5], [1.2, 0.7]], dtype), None), jnp.array([[0.0], [1.0]], dtype)


def erf_tasks() -> Any:
    """Queries (2, 3) and supports (3, 3) of two tasks, drawn task by task."""
    rng = np.random.default_rng(0)
    drawn = [(rng.standard_normal((2, 3)), rng.standard_normal((3, 3))) for _ in range(2)]
    return (np.stack([s for _, s in drawn]), None), np.stack([q for q, _ in drawn])


def tasks_of(shape: tuple[int, ...] = (3,), N: int = 3, s: int = 3, q: int = 2, seed: int = 5) -> Any:
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((N, s, *shape)), rng.standard_normal((N, s))), rng.standard_normal((N, q, *shape))


def loop_oracle(theta: np.ndarray, kin: np.ndarray, N: int, s: int, q: int, lr: float, steps: int) -> np.ndarray:
    """Phi from kernels between all points (task by task, queries before support) by running the inner loop on y."""
    phi = np.zeros((N * q, N * (q + s)))
    for i in range(N):
        block = slice(i * (q + s), (i + 1) * (q + s))
        K = kin[block, block]
        f = np.zeros((q + s, s))  # answers as linear functions of the support labels
        for _ in range(steps):
            f = f + lr * K[:, q:] @ (np.eye(s) - f[q:])
        for j in range(q):
            phi[i * q + j, i * (q + s) + j] = 1
            phi[i * q + j, i * (q + s) + q : (i + 1) * (q + s)] = -f[j]
    return phi @ theta @ phi.T


def points(tasks: Any) -> np.ndarray:
    (xs, _), xq = tasks
    return np.concatenate([xq, xs], axis=1).reshape(-1, *xq.shape[2:])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kernel", "want"),
    [
        (Meta(Plane(), algorithm="none"), (1.1, 0.7065306597126334, 1.2)),
        (Meta(Plane(), GD(0, 0.1)), (1.1, 0.7065306597126334, 1.2)),
        (Meta(Plane(), GD(1, 0.1)), (0.7239718308329866, 0.4354731669672376, 0.7196436447303493)),
        (Meta(Plane(), GD(5, 0.1)), (0.14627597390739222, 0.05737518122597490, 0.09545051316101649)),
        (Meta(Plane(), Flow(1.0)), (0.04040761966349793, 0.00374812926546741, 0.016349637495112535)),
        (Meta(Plane(), Flow()), (0.011440351362232537, -0.0019242093933476978, 0.001924292677160322)),
        (Meta(Plane(), Flow(1.0), "anil", Plane(0.0)), (0.04970604962323344, 0.01057915015761457, 0.03122476325075807)),
        (Meta(Plane(), Prox(0.5)), (0.06150672591624806, 0.017057524755194453, 0.04229628507141492)),
    ],
    ids=["none", "no steps", "one step", "five steps", "flow", "end", "anil", "prox"],
)
def test_the_published_numbers_on_scalars(kernel, want, x64) -> None:
    tasks = plane_tasks()
    got = kernel(tasks)
    np.testing.assert_allclose([got[0, 0], got[0, 1], got[1, 1]], want, rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(kernel.blocks(tasks).reshape(2, 2), got, rtol=1e-10, atol=1e-13)


def erf(kind: str = "ntk") -> Kernel:
    """The network of the published rows: its read-out has weights 1.5 and a bias 0.1 as its layers have."""
    return Dense(activation="erf", depth=2, sigma_w=1.5, sigma_b=0.1, sigma_r=1.5, kind=kind) + _Constant(0.01)


@struct
class _Constant(Kernel):
    """A read-out bias."""

    variance: Any = 0.0

    def prepare(self, x: Any, lengths: Any = None) -> Any:
        return {"one": jnp.ones((x.shape[0],), x.dtype)}

    def tile(self, left: Any, right: Any) -> Any:
        return self.variance * left["one"][:, None] * right["one"][None, :]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("algorithm", "row"),
    [
        ("maml", [2.14825244, 1.31614072, -0.44952551, 0.13360285]),
        pytest.param("anil", [2.36614284, 1.51412821, -0.58528553, -0.17239353], marks=pytest.mark.slow),
    ],
)
def test_the_published_rows_of_an_erf_network(algorithm, row, x64) -> None:
    inside = erf("nngp") if algorithm == "anil" else None
    kernel = Meta(erf(), GD(3, 0.1), algorithm, inside)
    got = kernel.blocks(jax.tree.map(jnp.asarray, erf_tasks())).reshape(4, 4)[0]
    np.testing.assert_allclose(got, row, atol=6e-9)


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", [pytest.param("maml", marks=pytest.mark.slow), "anil"])
def test_the_kernel_is_the_inner_loop_run_on_the_base_kernel(algorithm, x64) -> None:
    base = Dense(sigma_w=1.4, sigma_b=0.2)
    inside = Dense(sigma_w=1.4, sigma_b=0.2, kind="nngp") if algorithm == "anil" else base
    tasks = jax.tree.map(jnp.asarray, tasks_of())
    x = jnp.asarray(points(tasks))
    want = loop_oracle(np.asarray(base(x)), np.asarray(inside(x)), 3, 3, 2, lr=0.2, steps=3)
    kernel = Meta(base, GD(3, 0.2), algorithm)
    np.testing.assert_allclose(kernel.blocks(tasks).reshape(6, 6), want, rtol=1e-10, atol=1e-12)


@pytest.mark.slow
def test_recurrent_bases_take_padded_sequences_with_lengths(x64) -> None:
    tasks = jax.tree.map(jnp.asarray, tasks_of((4, 2), N=2, s=2, q=1))
    lengths = (jnp.array([[4, 2], [3, 1]]), jnp.array([[3], [4]]))
    base = Recurrent(sigma_w=1.3, sigma_b=0.1)
    x = jnp.asarray(points(tasks))
    K = np.asarray(base(x, lengths=jnp.array([3, 4, 2, 4, 3, 1])))
    want = loop_oracle(K, K, 2, 2, 1, lr=0.2, steps=2)
    kernel = Meta(base, GD(2, 0.2))
    np.testing.assert_allclose(ntkseq.gram(kernel, tasks, lengths=lengths).dense(), want, rtol=1e-10)


def linear(params: Any, x: jax.Array) -> jax.Array:
    return (jnp.matmul(params["w"], x, precision="highest") + params["b"])[None]


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["maml", "anil", "fomaml"])
def test_a_linear_model_of_finite_size_has_exactly_this_kernel(algorithm, x64) -> None:
    """The kernel of the adapted function by automatic differentiation through the inner loop."""
    tasks = jax.tree.map(jnp.asarray, tasks_of())
    params = {"w": jnp.asarray([0.3, -1.0, 0.5]), "b": jnp.asarray(0.2)}

    def jacobian(how: str) -> np.ndarray:
        learner = adapt(linear, squared_error, lr=0.07, steps=4, algorithm=how, head="w")
        rows = jax.jacrev(lambda p: jax.vmap(learner, in_axes=(None, 0))(p, tasks).ravel())(params)
        return np.concatenate([np.asarray(rows["w"]), np.asarray(rows["b"])[:, None]], axis=1)

    base, inside = Line(1.0), Line(0.0) if algorithm == "anil" else None
    kernel = Meta(base, GD(4, 0.07), algorithm, inside)
    if algorithm == "fomaml":
        got, want = kernel.first_order(tasks), jacobian("maml") @ jacobian("fomaml").T
        assert np.abs(got - got.T).max() > 0.1
        real = np.sort(np.linalg.eigvals(want).real)
        np.testing.assert_allclose(np.sort(kernel.first_order_eigenvalues(tasks).real), real, atol=1e-10)
    else:
        J = jacobian(algorithm)
        got, want = kernel(tasks), J @ J.T
    np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-12)


NETWORK = Dense(sigma_w=1.4, sigma_b=0.1, activation="erf")
bases = pytest.mark.parametrize("base", [Plane(), pytest.param(NETWORK, marks=pytest.mark.slow)], ids=["plane", "erf"])


@pytest.mark.slow
@bases
@pytest.mark.parametrize(
    "loop", [GD(3, 0.1), Flow(), pytest.param(Prox(0.1), marks=pytest.mark.slow)], ids=["gd", "end", "prox"]
)
def test_duplicates_in_the_support_and_queries_among_it_leave_values_and_gradients_finite(base, loop, x64) -> None:
    (xs, ys), xq = tasks_of(() if isinstance(base, Plane) else (3,), N=2, s=3, q=2)
    xs[0, 1] = xs[0, 0]  # two equal support points
    xq[1, 0] = xs[1, 2]  # a query that is a support point

    def total(kernel: Meta, xs: jax.Array, xq: jax.Array) -> jax.Array:
        return jnp.sum(kernel.blocks(((xs, ys), xq)))

    kernel = Meta(jax.tree.map(jnp.float64, base), loop.in_dtype(jnp.float64))
    grads = jax.jit(jax.grad(total, argnums=(0, 1, 2)))(kernel, jnp.asarray(xs), jnp.asarray(xq))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))
    phi = np.asarray(kernel(((xs, ys), xq)))
    assert np.linalg.eigvalsh(phi)[0] > -1e-12
    if isinstance(loop, Flow):
        assert abs(phi[2, 2]) < 1e-12 and phi[3, 3] > 1e-3  # that query is answered by its label alone


@pytest.mark.slow
@bases
def test_gradients_are_those_of_differences(base, x64) -> None:
    shape = () if isinstance(base, Plane) else (3,)
    (xs, ys), xq = jax.tree.map(jnp.asarray, tasks_of(shape, N=2, s=2, q=1))
    weights = jnp.asarray(np.random.default_rng(1).standard_normal((2, 1, 2, 1)))

    @jax.jit
    def total(kernel: Meta, xs: jax.Array, xq: jax.Array) -> jax.Array:
        return jnp.sum(weights * kernel.blocks(((xs, ys), xq)))

    kernel = Meta(jax.tree.map(jnp.float64, base), GD(3, jnp.float64(0.2)))
    at = (kernel, xs, xq)
    grads = jax.jit(jax.grad(total, argnums=(0, 1, 2)))(*at)
    rng, h = np.random.default_rng(2), 1e-5
    leaves, tree = jax.tree.flatten(at)
    for chosen in (leaves, [kernel.inner.lr], [jax.tree.leaves(kernel.base)[0]], [xs], [xq]):
        move = [jnp.asarray(rng.standard_normal(a.shape) * any(a is c for c in chosen)) for a in leaves]
        up, down = (tree.unflatten([a + sign * h * m for a, m in zip(leaves, move, strict=True)]) for sign in (1, -1))
        got = sum(float(jnp.sum(g * m)) for g, m in zip(jax.tree.leaves(grads), move, strict=True))
        np.testing.assert_allclose(got, (total(*up) - total(*down)) / (2 * h), rtol=1e-6)


@pytest.mark.slow
def test_a_permutation_of_the_tasks_permutes_the_blocks_and_a_mean_loss_divides_the_step(x64) -> None:
    (xs, ys), xq = jax.tree.map(jnp.asarray, tasks_of())
    kernel, order = Meta(Line(0.5), Flow(2.0)), np.array([2, 0, 1])
    got = kernel.blocks(((xs[order], ys[order]), xq[order]))
    np.testing.assert_allclose(got, kernel.blocks(((xs, ys), xq))[order][:, :, order], rtol=1e-12, atol=1e-13)
    mean = Meta(Line(0.5), GD(3, 0.6, "mean"))
    np.testing.assert_allclose(mean(((xs, ys), xq)), Meta(Line(0.5), GD(3, 0.2))(((xs, ys), xq)), rtol=1e-12)
    cross = kernel.blocks(((xs[:1, :2], None), xq[:1]), ((xs[1:], None), xq[1:, :1]))  # other sizes on the other side
    assert cross.shape == (1, 2, 2, 1)
    np.testing.assert_allclose(cross[0, :, :, 0], kernel(((xs[:1, :2], None), xq[:1]), ((xs[1:], None), xq[1:, :1])))


@pytest.mark.slow
@pytest.mark.parametrize("base", [Line(0.5), NETWORK], ids=["line", "erf"])
@pytest.mark.parametrize("loop", [GD(2, 0.02), Flow(0.5), Flow(), Prox(0.1)], ids=["gd", "flow", "end", "prox"])
def test_the_stated_rounding_covers_the_error_of_single_precision(base, loop) -> None:
    (xs, ys), xq = tasks_of((8,), N=4, s=3, q=2)
    xs, xq = xs.astype(np.float32), xq.astype(np.float32)  # the same points in both precisions
    kernel = Meta(base, loop)
    K = np.asarray(kernel(((xs, ys), xq)), np.float64)
    stated = kernel.entry_rounding(kernel.prepare(((xs, ys), xq)))
    with jax.enable_x64(True):
        exact = np.asarray(kernel(((xs.astype(np.float64), ys), xq.astype(np.float64))))
    root = np.sqrt(np.diagonal(exact))
    error = np.max(np.abs(K - exact) / np.outer(root, root))
    assert 0 < error < stated < 1e5 * error
    assert np.linalg.eigvalsh(exact)[0] > 0


@pytest.mark.slow
def test_a_query_that_the_support_answers_makes_the_stated_rounding_large() -> None:
    (xs, ys), xq = tasks_of(N=2)
    xq[0, 0] = xs[0, 0]
    kernel = Meta(Line(1.0), Flow())
    assert kernel.entry_rounding(kernel.prepare(((jnp.float32(xs), ys), jnp.float32(xq)))) > 0.1


@pytest.mark.slow
def test_an_inner_loop_that_diverges_is_told_with_its_limit() -> None:
    tasks = ((jnp.eye(2)[None] * jnp.array([1.0, 3.0])[:, None, None], None), jnp.ones((2, 1, 2)))
    kernel = Meta(Line(), GD(2, 0.5))  # eigenvalues 1 and 9
    with pytest.warns(UserWarning, match=r"diverges on 1 of 2 tasks.* is 4.5 for task 1\. With lr below 0.222 "):
        kernel.prepare(tasks)
    stable = kernel.stable(tasks)
    assert stable.stable.tolist() == [True, False]
    np.testing.assert_allclose(stable.limit, [2, 2 / 9], rtol=1e-6)
    assert Meta(Line(), Flow()).stable(tasks).stable.all()
    assert Meta(Line(), algorithm="none").stable(tasks).stable.tolist() == [True, True]


@pytest.mark.slow
def test_the_meta_trained_predictor_of_a_linear_model_is_the_one_of_gradient_descent(x64) -> None:
    train, test = (jax.tree.map(jnp.asarray, tasks_of((6,), N=2, seed=seed)) for seed in (5, 6))
    labels = jnp.asarray(np.random.default_rng(7).standard_normal((2, 2)))
    learner = adapt(lambda w, x: jnp.matmul(x, w)[None], squared_error, lr=0.05, steps=3)
    batch = jax.vmap(learner, in_axes=(None, 0))
    w = jnp.zeros(6)
    J = jax.jacrev(lambda w: batch(w, train).ravel())(w)  # affine in w: gradient descent from 0 ends here
    w = jnp.linalg.pinv(J) @ (labels.ravel() - batch(w, train).ravel())
    kernel = Meta(Line(), GD(3, 0.05))
    np.testing.assert_allclose(kernel.predict(train, labels, test), batch(w, test)[..., 0], rtol=1e-8)
    np.testing.assert_allclose(kernel.predict(train, labels, train), labels, rtol=1e-8)
    short = kernel.predict(train, labels, test, outer=Flow(0.0))
    np.testing.assert_allclose(short, batch(jnp.zeros(6), test)[..., 0], rtol=1e-8)  # adaptation alone


@pytest.mark.slow(cases=["<lambda>-support labels ys of train"])
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Meta("relu"), "base must be an ntkseq Kernel; got str"),
        (lambda: Meta(Plane(), 0.1), "inner must be GD, Flow or Prox"),
        (lambda: Meta(Plane(), algorithm="reptile"), "algorithm must be one of"),
        (lambda: Meta(Plane(), algorithm="anil"), 'Plane has no kind="nngp". Pass it as inner_kernel='),
        (lambda: Meta(Dense(train="W"), algorithm="anil"), 'holds fixed. Add "R" to train'),
        (lambda: Meta(Plane(), inner_kernel=3), "inner_kernel must be an ntkseq Kernel or None"),
        (lambda: Meta(2.0 * Recurrent(h0="independent")), "a kernel of the inputs alone"),
        (lambda: Meta(Plane(), algorithm="fomaml")(plane_tasks()), r"no symmetric kernel.*first_order\(tasks\)"),
        (lambda: Meta(Plane(), algorithm="fomaml").blocks(plane_tasks()), "no symmetric kernel"),
        (lambda: Meta(Plane())(jnp.ones((2, 3))), r"tasks must be \(\(xs, ys\), xq\)"),
        (lambda: Meta(Plane())(((jnp.ones((2, 3)), None), jnp.ones((3, 1)))), "must agree but for their second axis"),
        (
            lambda: Meta(Plane())(((jnp.ones((2, 0)), None), jnp.ones((2, 1)))),
            "must have support and query points",
        ),
        (lambda: Meta(Recurrent()).prepare(tasks_of((4, 2)), lengths=jnp.ones(3)), "a pair of arrays"),
        (lambda: Meta(Plane()).predict(plane_tasks(), jnp.ones((2, 1)), plane_tasks()), "support labels ys of train"),
        (lambda: Meta(Plane(), Flow()).finite(8), "takes steps of gradient descent"),
        (lambda: Meta(Plane()).finite(8), "Plane has no finite network"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(call, message) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["maml", "anil"])
def test_networks_that_widen_tend_to_the_kernel_with_the_root_of_the_width(algorithm) -> None:
    """Two hidden layers of erf, sigma_w 1.5, sigma_b 0.1: mean relative distance over 12 draws at each width."""
    tasks = jax.tree.map(jnp.float32, erf_tasks()[0][0]), jnp.float32(erf_tasks()[1])
    tasks = ((tasks[0], jnp.zeros((2, 3), jnp.float32)), tasks[1])
    kernel = Meta(Dense(activation="erf", depth=2, sigma_w=1.5, sigma_b=0.1, sigma_r=1.5), GD(3, 0.1), algorithm)
    exact = np.asarray(kernel.blocks(tasks)).reshape(4, 4)
    widths, distances = (64, 256, 1024), []
    for width in widths:
        net, learner = kernel.base.finite(width), kernel.finite(width)

        @jax.jit
        def phi(key: jax.Array, net: Any = net, learner: Any = learner) -> jax.Array:
            params = net.init(key, tasks[1][0, 0])
            rows = jax.jacrev(lambda p: jax.vmap(learner, in_axes=(None, 0))(p, tasks).ravel())(params)
            flat = [leaf.reshape(4, -1) for leaf in jax.tree.leaves(rows)]
            return sum(jnp.matmul(r, r.T, precision="highest") for r in flat)

        draws = [np.asarray(phi(jax.random.key(seed))) for seed in range(12)]
        distances.append(np.mean([np.linalg.norm(d - exact) / np.linalg.norm(exact) for d in draws]))
    slope = np.polyfit(np.log(widths), np.log(distances), 1)[0]
    assert abs(slope + 0.5) < 0.15 and distances[-1] < 0.06, (slope, distances)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_is_solved_in_float32(dtype) -> None:
    tasks = plane_tasks(dtype)
    want = Meta(Plane(), Flow(1.0))(jax.tree.map(lambda a: a.astype(jnp.float32), tasks))
    kernel = Meta(Plane(jnp.asarray(0.1, dtype)), Flow(1.0))
    np.testing.assert_allclose(np.asarray(kernel(tasks), np.float32), want, atol=0.05)
    assert Flow(1.0).transfer(jnp.eye(2, dtype=dtype)).dtype == dtype
