"""How large is the kernel, up to a known sampling error, at a cost linear in n? Random projections of the gradients.

With random directions xi_k in the space of the p trained parameters, E[xi xi^T] = 1, the numbers

    g_k(x)_o = <grad f_o(x), xi_k>,    E[g_k(x)_o g_k(x')_p] = K(x, x')_{o p}

are features of each example: K is estimated by their mean product over k. The entries of xi are signs, each -1 or 1
with probability 1/2: where normal entries have variance |a|^2 |b|^2 + <a, b>^2 in the product of two gradients a and
b, signs have 2 sum_l a_l^2 b_l^2 less, and no distribution with independent entries has less.

A sign depends on the key, the number k of the direction and the number of the leaf among all leaves of the
parameters, trained or not; on nothing else: not on the examples, the blocks, the precision or the other leaves. One
direction at a time is drawn and goes forward through a block of examples, so memory is p and one block's activations.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkseq import _checks
from ntkseq._precision import wide
from ntkseq._types import AnyArray, DType, Key, PyTree
from ntkseq.empirical import products
from ntkseq.empirical.function import Function

PAIRS = {"mean": "ko,mko->mk", "diagonal": "ko,mko->mko", "full": "ko,mkp->mkop"}
"""The products of the features of one example with those of m, direction by direction."""


def features(
    function: Function, x: PyTree, key: Key, count: int, batch: int | None = None
) -> Float[Array, "n count o"]:
    """The random features g_k(x)_o of n examples.

    Costs one forward pass and `count` passes of its derivative. With bfloat16 parameters and learning rates, the
    product of sign and root of the rate is rounded to bfloat16.

    Args:
        function: the function at its parameters.
        x: checked inputs, from `function.inputs`.
        key: one random key. Two sides of a kernel need the same key.
        count: number of directions; the first c of them are the same for every count >= c.
        batch: examples that go through f together.

    Raises:
        ValueError: not a key, count or batch below 1.
    """
    key = _checks.prng_key("key", key)
    count = _checks.positive_int("count", count)
    batch = products.BATCH if batch is None else _checks.positive_int("batch", batch)
    return _features(function, x, key, count, batch)


def estimate(left: AnyArray, right: AnyArray, outputs: str = "mean") -> Float[Array, "n m ..."]:
    """The estimate of K: the mean over directions of the products of features; without bias.

    Args:
        left: features (n, count, o).
        right: features (m, count, o), of the same key.
        outputs: "mean" (mean over o), "full" (n, m, o, o) or "diagonal" (n, m, o).

    Raises:
        ValueError: features that do not fit together, unknown outputs.
    """
    return _estimate(*_pair(left, right, outputs), outputs)


def standard_error(left: AnyArray, right: AnyArray, outputs: str = "mean") -> Float[Array, "n m ..."]:
    """The standard error of `estimate`, from the spread of the products over directions:

        sqrt(sum_k (s_k - mean)^2 / (count (count - 1)))

    Raises:
        ValueError: as `estimate`, and for a single direction, which has no spread.
    """
    left, right = _pair(left, right, outputs)
    if left.shape[1] < 2:
        raise ValueError("a standard error needs the spread over directions, 2 of them at least; got 1. Raise count.")
    return _standard_error(left, right, outputs)


def diagonal(features: PyTree, outputs: str = "mean") -> Float[Array, "n ..."]:
    """The estimate of the kernel of each example with itself."""
    each = jax.vmap(lambda one: _estimate(one[None], one[None], outputs)[0, 0])
    return each(_pair(features, features, outputs)[0])


def entry_error(features: PyTree, outputs: str = "mean", delta: float = 1e-6) -> float:
    """e with |estimate_ij - K_ij| <= e sqrt(K_ii K_jj) for all pairs at once, but for probability delta over the keys.

    For gradients a and b of size 1, <a, xi> <b, xi> = (<a + b, xi>^2 - <a - b, xi>^2) / 4, and for signs xi the mean of
    c = count such squares, relative to its expectation, is above 1 + e or below 1 - e with probability at most

        exp(-c (e - log(1 + e)) / 2)   and   min over h > 0 of ((1 - h + 3 h^2 / 2) exp(h (1 - e)))^c,

    the moments of a square of signs being below those of the square of a normal number (Achlioptas, 2003). Several
    outputs average squares, which by convexity obey the same. K_ii is the lesser of estimate and exact value.

    Infinite where so few directions say nothing.
    """
    n, count, o = features.shape
    pairs = n * (n + 1) / 2 * (1 if outputs == "mean" else o if outputs == "diagonal" else o * o)
    room = float(np.log(4.0 * (pairs + n * o) / delta)) / count  # two squares per pair, and the diagonal
    h = np.linspace(0.0, 2.0 / 3.0, 2001)[1:]

    def solved(tail: Callable[[float], float]) -> float:
        low, high = 0.0, 1.0
        while tail(high) < room:
            high *= 2.0
            if high > 1e6:
                return float("inf")
        for _ in range(60):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if tail(middle) < room else (low, middle)
        return high

    over = solved(lambda e: (e - np.log1p(e)) / 2.0)
    if -np.min(np.log(1.0 - h + 1.5 * h * h)) < room:  # the estimate may be 0 where K is not
        return float("inf")
    under = solved(lambda e: -np.min(np.log(1.0 - h + 1.5 * h * h) + h * (1.0 - e)) if e <= 1 else np.inf)
    return max(over, under) / (1.0 - under) if under < 1.0 else float("inf")


def direction(function: Function, key: Key, k: AnyArray) -> list[Array]:
    """The k-th direction xi_k: signs in the shape and the sum dtype of each trained leaf."""
    key = jax.random.fold_in(key, k)
    return [
        _signs(jax.random.fold_in(key, leaf), weight.shape, wide(weight.dtype))
        for leaf, weight in zip(function.trained, function.weights, strict=True)
    ]


def _signs(key: Key, shape: tuple[int, ...], dtype: DType) -> Array:
    """Independent signs: the 32 bits of each random word, since drawing words is what costs."""
    size = 1
    for axis in shape:
        size *= axis
    words = jax.random.bits(key, (-(-size // 32),), jnp.uint32)
    bits = (words[:, None] >> jnp.arange(32, dtype=jnp.uint32)[None, :]) & jnp.uint32(1)
    return (1 - 2 * bits.reshape(-1)[:size].reshape(shape).astype(jnp.int32)).astype(dtype)


@partial(jax.jit, static_argnames=("count", "batch"))
def _features(function: Function, x: PyTree, key: Key, count: int, batch: int) -> Array:
    n = jax.tree.leaves(x)[0].shape[0]

    def block(some: PyTree) -> Array:
        push = products.forward(function, some)

        def one(k: Array) -> Array:
            change = push(products.tangents(function, direction(function, key, k)))
            return change.astype(wide(change.dtype))

        return jnp.swapaxes(jax.lax.map(one, jnp.arange(count, dtype=jnp.uint32)), 0, 1)

    return products.join(jax.lax.map(block, products.split(x, batch)), n)


def _pair(left: AnyArray, right: AnyArray, outputs: str) -> tuple[Array, Array]:
    _checks.choice("outputs", outputs, tuple(PAIRS))
    left, right = _checks.floating("left", left), _checks.floating("right", right)
    if left.ndim != 3 or right.ndim != 3 or left.shape[1:] != right.shape[1:] or left.dtype != right.dtype:
        raise ValueError(
            "left and right must be features of shapes (n, count, o) and (m, count, o) in one dtype; got "
            f"{left.shape} {left.dtype} and {right.shape} {right.dtype}. Make both with one key and one count."
        )
    return left, right


@partial(jax.jit, static_argnames="outputs")
def _estimate(left: Array, right: Array, outputs: str) -> Array:
    count, o = left.shape[1:]
    to = {"mean": "nko,mko->nm", "diagonal": "nko,mko->nmo", "full": "nko,mkp->nmop"}[outputs]
    return jnp.einsum(to, left, right, precision="highest") / (count * (o if outputs == "mean" else 1))


@partial(jax.jit, static_argnames="outputs")
def _standard_error(left: Array, right: Array, outputs: str) -> Array:
    count, o = left.shape[1:]

    def row(one: Array) -> Array:
        """The deviations are taken from the mean before they are squared: nothing cancels where they are small."""
        products = jnp.einsum(PAIRS[outputs], one, right, precision="highest")
        spread = products - jnp.mean(products, axis=1, keepdims=True)
        return jnp.sqrt(jnp.sum(spread * spread, axis=1) / (count * (count - 1)))

    return jax.lax.map(row, left) / (o if outputs == "mean" else 1)
