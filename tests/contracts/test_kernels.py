"""Does every kernel keep the promises of `kernels.base.Kernel`? A new kernel enters the table below."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import activations, blocks
from ntkseq._struct import struct
from ntkseq.blocks import Linear
from ntkseq.cells import GRU, LRU, LSTM, S4D, ControlledResNet, Elman, Leaky
from ntkseq.empirical import NTK, Cheapest, Jacobian, Method, Products, Sketch
from ntkseq.empirical.versions import cast
from ntkseq.kernels import (
    GD,
    Attention,
    Bidirectional,
    Dense,
    Flow,
    Gated,
    Kernel,
    LeakyRecurrent,
    LinearRecurrent,
    Meta,
    Recurrent,
    Serial,
    Transformer,
)
from tests.empirical.own_method import Gradients

N = 6
RAGGED = np.array([5, 2, 5, 1, 4, 5])


def sequences() -> tuple[np.ndarray, np.ndarray]:
    """(6, 5, 2) with unequal norms, a near-duplicate and a duplicate."""
    x = np.random.default_rng(0).standard_normal((N, 5, 2)) * np.array([1, 1, 1, 30, 0.1, 1])[:, None, None]
    x[2] = x[0] + 1e-3 * x[1]
    x[5] = x[0]
    return x.astype(np.float32), RAGGED


def tokens() -> tuple[np.ndarray, np.ndarray]:
    """As `sequences`, with norms of one size."""
    x = np.random.default_rng(0).standard_normal((N, 5, 2))
    x[2], x[5] = x[0] + 1e-3 * x[1], x[0]
    return x.astype(np.float32), RAGGED


def vectors() -> tuple[np.ndarray, None]:
    return sequences()[0].reshape(N, -1), None


@struct
class OneQuery(Meta):
    """Tasks packed into one array (n, 1 + s, d): the query, then its support."""

    def points(self, tasks: Any, lengths: Any = None, name: str = "tasks") -> Any:
        packed = not isinstance(tasks, tuple)
        return super().points(((tasks[:, 1:], None), tasks[:, :1]) if packed else tasks, lengths, name)

    def prepare(self, x: Any, lengths: Any = None) -> Any:
        return super().prepare(x if isinstance(x, tuple) else ((x[:, 1:], None), x[:, :1]), lengths)


def tasks() -> tuple[np.ndarray, None]:
    x = np.random.default_rng(0).standard_normal((N, 4, 3))
    x[2], x[5] = x[0] + 1e-3 * x[1], x[0]
    x[3, 2] = x[3, 1]
    return x.astype(np.float32), None


def recurrent(p: Any, x: jax.Array, length: Any) -> jax.Array:
    """The state of a network after `length` steps, read out; it computes in the precision of x."""
    p = jax.tree.map(lambda leaf: leaf.astype(x.dtype), p)

    def step(carry: Any, u: jax.Array) -> Any:
        h, t = carry
        return (jnp.where(t < length, jnp.tanh(h @ p["W"] + u @ p["U"]), h), t + 1), None

    start = jnp.full(p["W"].shape[0], 0.1, x.dtype), jnp.zeros((), jnp.int32)
    return jax.lax.scan(step, start, x)[0][0] @ p["V"]


def network(method: str | Method) -> NTK:
    shapes = {"W": (8, 8), "U": (2, 8), "V": (8, 2)}
    draw = np.random.default_rng(1)
    params = {k: jnp.asarray(draw.standard_normal(s) / 3, np.float32) for k, s in shapes.items()}
    return NTK(recurrent, params, method=method)


# name: (how to make it, what it takes)
TABLE: dict[str, tuple[Callable[[], Kernel], Callable[[], tuple[np.ndarray, Any]]]] = {
    "relu": (lambda: Recurrent(sigma_w=1.4, sigma_b=0.1), sequences),
    "leaky, steps, W and b, independent h_0": (
        lambda: Recurrent(
            activation=activations.LeakyRelu(0.2), read="steps", train="Wb", h0="independent", sigma_h=0.5, sigma_b=0.2
        ),
        sequences,
    ),
    "erf, mean, both directions, shared h_0": (
        lambda: Recurrent(activation="erf", read="mean", direction="both", h0="shared", sigma_h=0.5), sequences,
    ),
    "relu, depth 2, one number per layer": (
        lambda: Recurrent(depth=2, sigma_w=np.array([1.0, 1.2]), train=("Ub", "WR"), read="sum"), sequences,
    ),
    "tanh, NNGP": (
        lambda: Recurrent(activation=activations.Smooth(jnp.tanh, 16, "odd"), kind="nngp", sigma_b=0.1), sequences,
    ),
    "dense relu": (lambda: Dense(sigma_w=1.4, sigma_b=0.1, depth=3), vectors),
    "dense gelu": (lambda: Dense(activation="gelu", depth=2, train="Wb"), vectors),
    "linear, features": (lambda: LinearRecurrent(sigma_w=1.1, sigma_b=0.1, read="mean"), sequences),
    "leaky units, relu": (lambda: LeakyRecurrent(keep=0.6, gate=0.7, sigma_w=1.4, sigma_b=0.1), sequences),
    "leaky units, erf, mean": (
        lambda: LeakyRecurrent(activation="erf", read="mean", train="WbR", sigma_b=0.2), sequences,
    ),
    "bidirectional, depth 2": (lambda: Bidirectional(depth=2, sigma_w=1.4, sigma_b=0.1), sequences),
    "bidirectional erf, last, one string per layer": (
        lambda: Bidirectional(depth=2, activation="erf", read="last", train=("Ub", "WR")), sequences,
    ),
    "attention": (lambda: Attention(sigma_qk=0.5), tokens),
    "transformer": (lambda: Transformer(depth=1), tokens),
    "erf, identity attention at the root": (
        lambda: Serial(Linear(), "erf", blocks.Attention(0.5, weights="identity", scaling="root")), tokens,
    ),
    "causal relu attention at the root": (
        lambda: Serial(Linear(), blocks.Attention(0.5, weights="relu", scaling="root", causal=True)), tokens,
    ),
    "softmax at the root, sampled": (
        lambda: Serial(Linear(), blocks.Attention(0.5, scaling="root", samples=128), read="last"), tokens,
    ),
    "convolutions, one of them depthwise": (
        lambda: Serial(
            blocks.Convolution(3, causal=False), "relu", blocks.Convolution(2, depthwise=True), Linear(1.4, 0.1), "relu"
        ),
        tokens,
    ),
    "gated linear unit": (lambda: Serial(Linear(), blocks.GLU("erf", gate=Linear(1.3)), Linear(1.4), "relu"), tokens),
    "recurrent block, both directions, attention": (
        lambda: Serial(blocks.Recurrent(Elman(sigma_w=1.3, sigma_b=0.1), "both"), blocks.Attention(0.5)), tokens,
    ),
    "leaky block, both directions, attention": (
        lambda: Serial(blocks.Recurrent(Leaky("relu", 0.6, 0.7, 1.3), "both"), blocks.Attention(0.5)), tokens,
    ),
    "controlled residual block, both directions, attention": (
        lambda: Serial(blocks.Recurrent(ControlledResNet("relu", 0.8, 0.3), "both"), blocks.Attention(0.5)), tokens,
    ),
    "linear recurrent unit, both directions": (
        lambda: Serial(blocks.Recurrent(LRU(0.3, 0.95, 2.0), "both"), Linear(1.4)), tokens,
    ),
    "state-space model, both directions": (
        lambda: Serial(Linear(), blocks.Recurrent(S4D(8, 0.05, 0.5), "both"), Linear(1.4), "erf"), tokens,
    ),
    "recurrent blocks, erf over relu, last": (
        lambda: Serial(blocks.Recurrent(Elman()), blocks.Recurrent(Elman("erf", 1.2), "reversed"), read="last"),
        sequences,
    ),
    "Yang's transformer": (lambda: Serial.preset("yang-transformer", depth=1), tokens),
    "GRU": (lambda: Gated(GRU(sigma_w=1.3, sigma_b=0.1), particles=512), sequences),
    "GRU, reset after": (
        lambda: Gated(GRU((1.3, 1.0, 1.5), 1.0, 0.1, 0.3, "after", "uniform"), particles=512), sequences,
    ),
    "LSTM, mean, W and R": (lambda: Gated(LSTM(sigma_w=1.3, train="W"), read="mean", particles=512), sequences),
    "GRU in both directions, attention": (
        lambda: Serial(blocks.Recurrent(GRU(1.3, 1.0, 0.1), "both"), blocks.Attention(0.5), particles=512), tokens,
    ),
    "LSTM behind an activation, beside a skip": (
        lambda: Serial(
            Linear(1.2), "erf", blocks.Residual(blocks.Recurrent(LSTM(1.3)), Linear()), read="last", particles=512
        ),
        sequences,
    ),
    "MAML on dense relu": (lambda: OneQuery(Dense(sigma_w=1.4, sigma_b=0.1), GD(3, 0.1)), tasks),
    "ANIL flow on dense erf": (lambda: OneQuery(Dense(activation="erf", depth=2), Flow(2.0), "anil"), tasks),
    "a network": (lambda: network("structured"), sequences),
    "a network, leaf by leaf": (lambda: network(Cheapest(orders={"W": "weights", "U": "jacobian"})), sequences),
    "a network, by its Jacobian": (lambda: network(Jacobian()), sequences),
    "a network, by products": (lambda: network(Products()), sequences),
    "a network, sketched": (lambda: network(Sketch(jax.random.key(0), 512)), sequences),
    "a network, by a method of one's own": (lambda: network(Gradients()), sequences),
    "sum": (lambda: Recurrent() + 0.5 * Recurrent(activation="cos"), sequences),
}  # fmt: skip
SAMPLED = ("GRU", "LSTM", "softmax at the root", "a network, sketched")  # what they state is the error of the sampling
# each compiles for some seconds: these by default, all of them with -m ""
every = pytest.mark.parametrize("name", TABLE)


@lru_cache(maxsize=64)
def square(name: str, dtype: str) -> np.ndarray:
    """K(x, x), once for all tests."""
    make, inputs = TABLE[name]
    x, lengths = inputs()
    with jax.enable_x64(True):
        kernel = make()
        kernel = cast(kernel, dtype) if isinstance(kernel, NTK) else kernel
        K = kernel(jnp.asarray(x, dtype), lengths=lengths)
        assert K.dtype == dtype and K.shape == (N, N)
        return np.asarray(K, np.float64)


def rounding(name: str) -> float:
    make, inputs = TABLE[name]
    x, lengths = inputs()
    kernel = make()
    return kernel.entry_rounding(kernel.prepare(jnp.asarray(x), lengths))


def over_root(difference: np.ndarray, K: np.ndarray) -> float:
    root = np.sqrt(np.diagonal(K))
    return float(np.max(np.abs(difference) / np.outer(root, root)))


@pytest.mark.slow
@every
def test_the_matrix_is_symmetric(name) -> None:
    K = square(name, "float32")
    # sums over the tokens of both sequences are taken in another order when they change places
    units = 8 if TABLE[name][1] is tokens else 2
    most = units * np.finfo(np.float32).eps
    if name.startswith("leaky block"):  # a subtraction tells near-duplicates apart, and relu takes its root
        most = rounding(name) / 50
    assert over_root(K - K.T, K) <= most


@pytest.mark.slow
@every
def test_the_matrix_is_positive_semidefinite_within_rounding(name) -> None:
    drawn_by_pairs = name.startswith("softmax at the root")  # semi-definite up to the error of the draws
    for dtype, unit in (("float32", rounding(name)), ("float64", rounding(name) if drawn_by_pairs else 1e-13)):
        K = square(name, dtype)
        assert np.linalg.eigvalsh((K + K.T) / 2)[0] > -unit * np.trace(K)


@pytest.mark.slow
@every
def test_diag_is_the_diagonal(name) -> None:
    make, inputs = TABLE[name]
    x, lengths = inputs()
    got = make().diag(jnp.asarray(x), lengths)
    want = np.diagonal(square(name, "float32"))
    if isinstance(make(), (NTK, Meta)):  # products of matrices, where no sum has an order of its own
        np.testing.assert_allclose(np.asarray(got, np.float64), want, rtol=rounding(name))
    else:
        np.testing.assert_array_equal(np.asarray(got, np.float64), want)


@pytest.mark.slow
@every
def test_single_precision_is_within_the_rounding_that_it_states(name) -> None:
    K = square(name, "float64")
    error = over_root(square(name, "float32") - K, K)
    sampled = name.startswith(SAMPLED)
    assert 0 < error < rounding(name) < (np.inf if sampled else 1e-3)


@pytest.mark.slow(but=["relu"])
@every
def test_a_block_of_two_batches_is_the_block_of_the_whole(name) -> None:
    make, inputs = TABLE[name]
    x, lengths = inputs()
    one, two = [4, 3, 2, 1, 3, 4], [0, 0, 0, 0, 1, 1]  # other examples on either side: no diagonal, same shapes
    cut = lambda a, rows: None if a is None else a[rows]  # noqa: E731
    K = make()(jnp.asarray(x[one]), jnp.asarray(x[two]), lengths=cut(lengths, one), lengths2=cut(lengths, two))
    whole = square(name, "float32")
    different = np.array(one)[:, None] != np.array(two)[None]
    error = np.where(different, np.asarray(K, np.float64) - whole[np.ix_(one, two)], 0)
    root = np.sqrt(np.diagonal(whole))
    assert np.max(np.abs(error) / np.outer(root[one], root[two])) <= 4 * np.finfo(np.float32).eps


@pytest.mark.slow(but=["relu", "sum"])
@every
def test_a_permutation_of_the_examples_permutes_the_matrix(name) -> None:
    make, inputs = TABLE[name]
    x, lengths = inputs()
    order = np.array([3, 0, 5, 1, 4, 2])
    K = make()(jnp.asarray(x[order]), lengths=None if lengths is None else lengths[order])
    whole = square(name, "float32")
    want = whole[np.ix_(order, order)]
    # a program compiled with less effort rounds otherwise at the ends of its loops than within: 3.5 eps were seen
    assert over_root(np.asarray(K, np.float64) - want, want) <= 8 * np.finfo(np.float32).eps


@pytest.mark.slow(but=["relu", "erf, mean, both directions, shared h_0", "sum"])
@every
def test_a_kernel_is_a_pytree_that_survives_the_round_trip(name) -> None:
    make, inputs = TABLE[name]
    x, lengths = inputs()
    kernel = make()
    leaves, structure = jax.tree.flatten(kernel)
    again = jax.tree.unflatten(structure, leaves)
    assert type(again) is type(kernel) and jax.tree.structure(again) == structure == jax.tree.structure(make())
    assert leaves  # hyper-parameters are leaves
    np.testing.assert_array_equal(np.asarray(again.diag(jnp.asarray(x), lengths)), kernel.diag(jnp.asarray(x), lengths))


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in TABLE if name != "a network, sketched"])  # a key
def test_gradients_are_finite_with_duplicates_and_short_sequences(name) -> None:
    make, inputs = TABLE[name]
    x, lengths = inputs()
    kernel = jax.tree.map(jnp.float32, make())
    grads = jax.jit(jax.grad(lambda k, x: jnp.sum(k(x, lengths=lengths)), argnums=(0, 1)))(kernel, jnp.asarray(x))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))
    assert any(np.any(np.asarray(leaf) != 0) for leaf in jax.tree.leaves(grads[0]))
    assert np.any(np.asarray(grads[1]) != 0)


@pytest.mark.slow(but=["relu", "sum"])
@every
def test_sums_and_multiples_are_kernels(name) -> None:
    make, inputs = TABLE[name]
    x, lengths = inputs()
    kernel = make()
    both = (kernel + 2.0 * kernel)(jnp.asarray(x), lengths=lengths)
    np.testing.assert_allclose(both, 3 * square(name, "float32"), rtol=1e-6)
    side = (kernel + 2.0 * kernel).prepare(jnp.asarray(x), lengths)
    assert (kernel + 2.0 * kernel).entry_rounding(side) >= rounding(name)


@pytest.mark.slow(but=["relu", "erf, mean, both directions, shared h_0", "sum"])
@every
def test_prepared_sides_have_the_examples_in_front(name) -> None:
    make, inputs = TABLE[name]
    x, lengths = inputs()
    side = make().prepare(jnp.asarray(x), lengths)
    assert {leaf.shape[0] for leaf in jax.tree.leaves(side)} == {N}
