"""What are K v, the diagonal, the trace and rows of an empirical kernel without forming it? Reverse, then forward mode.

K v = J (J' ^T v): one vjp sums the examples' gradients with weights v, one jvp takes the sum to the outputs. A sum of
gradients is one vector of the size p of the trained parameters; it is held in float32 or wider, and enters the forward
pass in the dtype of the parameters. Examples go through in blocks, so memory is p and the activations of one block.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkseq import _checks
from ntkseq._precision import wide
from ntkseq._types import AnyArray, AnyFunction, PyTree
from ntkseq.empirical.function import Function
from ntkseq.empirical.lookups import agreed
from ntkseq.empirical.trace import inner

BATCH = 128
"""Examples that go through f together where the caller does not say: enough for matrix products."""
GRADIENT_ENTRIES = 1 << 24
"""Entries of the gradients that are held one per example, at most, where the caller does not say."""


def kernel_vector(
    function: Function, x1: PyTree, x2: PyTree, v: AnyArray, batch: int | None = None
) -> Float[Array, "n ..."]:
    """K(x1, x2) v, without K; linear in v, and symmetric to rounding for x1 = x2.

    Costs one vjp of x2 and one jvp of x1 per column of v: for "full", once; otherwise once per output.

    Args:
        function: the function at its parameters; its `outputs` say which kernel.
        x1: n checked inputs, from `function.inputs`.
        x2: m checked inputs, or None for x1.
        v: (m,) or (m, k) for "mean", "pseudo" and one output; (m, o) or (m, o, k) for "full", K v summed over both
            axes, and for "diagonal", each output with its own kernel.
        batch: examples that go through f together.

    Returns:
        What v is, with n in place of m.

    Raises:
        ValueError: v of another shape, or not finite.
    """
    v = _checks.floating("v", v)
    _checks.finite("v", v)
    batch = BATCH if batch is None else _checks.positive_int("batch", batch)
    return _kernel_vector(function, x1, x1 if x2 is None else x2, v, batch)


def rows(function: Function, x1: PyTree, x2: PyTree = None, batch: int | None = None) -> Float[Array, "n m ..."]:
    """K(x1, x2) by products: a gradient per row and output, and a forward pass of it through all of x2.

    Costs n o vjps of one example and n o forward passes of x2, whose own values are computed once.

    Returns:
        (n, m); (n, m, o, o) for "full"; (n, m, o) for "diagonal".
    """
    batch = BATCH if batch is None else _checks.positive_int("batch", batch)
    return _rows(function, x1, x1 if x2 is None else x2, batch)


def diagonal(function: Function, x: PyTree, batch: int | None = None) -> Float[Array, "n ..."]:
    """The kernel of each example with itself: squared norms of gradients, `batch` of them at a time.

    Returns:
        (n,); (n, o, o) for "full"; (n, o) for "diagonal".
    """
    if batch is None:
        entries = sum(weight.size for weight in function.weights)
        batch = max(1, min(BATCH, GRADIENT_ENTRIES // max(entries, 1)))
    return _diagonal(function, x, _checks.positive_int("batch", batch))


def trace(function: Function, x: PyTree, batch: int | None = None) -> Float[Array, "..."]:
    """The trace of K(x, x): a number, that of the (n o, n o) matrix for "full"; (o,) for "diagonal"."""
    values = diagonal(function, x, batch)
    if function.outputs == "full":
        values = jnp.trace(values, axis1=1, axis2=2)
    return jnp.sum(values, axis=0)


def split(tree: PyTree, batch: int) -> Any:
    """Leaves (n, ...) as equal blocks (count, size, ...), size <= batch; the last example fills up the last block."""
    n = jax.tree.leaves(tree)[0].shape[0]
    count = -(-n // batch)
    size = -(-n // count)

    def blocks(leaf: Array) -> Array:
        if count * size > n:
            leaf = leaf[jnp.minimum(jnp.arange(count * size, dtype=jnp.int32), n - 1)]
        return leaf.reshape(count, size, *leaf.shape[1:])

    return jax.tree.map(blocks, tree)


def join(values: AnyArray, n: int) -> Any:
    """Blocks (count, size, ...) as one array of their first n rows."""
    return values.reshape(-1, *values.shape[2:])[:n]


def tangents(function: Function, vectors: list[Any]) -> list[Array]:
    """What goes forward for a vector in the parameters theta / root: times the roots, in the dtype of each leaf."""
    scaled = [_times(vector, function.root(i)) for i, vector in enumerate(vectors)]
    return [vector.astype(weight.dtype) for vector, weight in zip(scaled, function.weights, strict=True)]


def cotangents(function: Function, vectors: list[Any]) -> list[Array]:
    """Gradients in the parameters theta as those in theta / root, in the dtype in which they are summed."""
    return [_times(vector.astype(wide(vector.dtype)), function.root(i)) for i, vector in enumerate(vectors)]


def forward(function: Function, x: PyTree) -> Any:
    """The map from tangents to the change of the outputs (n, o), with the values at x computed once."""
    return _linear(lambda weights: _values(function, weights, x), function.weights)


def _linear(value: AnyFunction, weights: PyTree) -> Any:
    """The derivative as a linear map, that of reverse mode. A custom_vjp has no other: there it is transposed."""
    value = partial(agreed, value)
    with jax.default_matmul_precision("highest"):
        if not _only_reverse(jax.make_jaxpr(value)(weights).jaxpr):
            return jax.linearize(value, weights)[1]
        out, back = jax.vjp(value, weights)
        try:
            transposed = jax.linear_transpose(lambda cotangent: back(cotangent)[0], out)
            transposed(jax.tree.map(jnp.zeros_like, weights))
        except (NotImplementedError, AssertionError) as error:
            raise ValueError(
                f"f has a custom_vjp whose rule is not linear in the cotangent, so products with its kernel do not "
                f'exist: {error} Take method="auto".'
            ) from error
        return lambda tangent: transposed(tangent)[0]


def _only_reverse(jaxpr: Any) -> bool:
    """Whether a custom_vjp is called somewhere; JAX itself says so only when the program is lowered."""
    custom = any(equation.primitive.name.startswith("custom_vjp") for equation in jaxpr.eqns)
    return custom or any(_only_reverse(body) for equation in jaxpr.eqns for body in inner(equation))


def _times(vector: Array, root: AnyArray | None) -> Array:
    return vector if root is None else vector * root.astype(vector.dtype)


def _values(function: Function, weights: PyTree, x: PyTree) -> Array:
    return jax.vmap(lambda one: function.outputs_at(weights, one))(x)


def _pull(function: Function, blocks: PyTree, v: Array) -> list[Array]:
    """Sum over blocks of examples of J^T v: one vector; v: (count, size, o)."""

    def block(total: list[Array], given: PyTree) -> tuple[list[Array], None]:
        x, cotangent = given
        with jax.default_matmul_precision("highest"):
            _, back = jax.vjp(lambda weights: _values(function, weights, x), function.weights)
        (gradient,) = back(cotangent)
        return [a + b for a, b in zip(total, cotangents(function, gradient), strict=True)], None

    zero = [jnp.zeros(weight.shape, wide(weight.dtype)) for weight in function.weights]
    total, _ = jax.lax.scan(block, zero, (blocks, v))
    return total


def _push(function: Function, blocks: PyTree, vector: list[Array]) -> Array:
    """J times a vector, block by block: (count, size, o)."""
    tangent = tangents(function, vector)

    return jax.lax.map(lambda x: forward(function, x)(tangent), blocks)


@partial(jax.jit, static_argnames="batch")
def _kernel_vector(function: Function, x1: PyTree, x2: PyTree, v: Array, batch: int) -> Array:
    n, m = (jax.tree.leaves(x)[0].shape[0] for x in (x1, x2))
    out = jax.eval_shape(lambda x: _values(function, function.weights, x), x2)
    o, dtype = out.shape[1], wide(out.dtype)
    each = function.outputs in ("full", "diagonal")
    own = (m, o) if each else (m,)
    if v.shape[: len(own)] != own or v.ndim > len(own) + 1:
        shape, columns = (f"({m}, {o})", f"({m}, {o}, k)") if each else (f"({m},)", f"({m}, k)")
        raise ValueError(
            f"v must have shape {shape} or {columns} for {m} examples and outputs={function.outputs!r}; got {v.shape}."
        )
    left, right = split(x1, batch), split(x2, batch)
    count, size = jax.tree.leaves(right)[0].shape[:2]

    def product(column: Array) -> Array:
        """(m, o) -> (n, o): all outputs together."""
        padded = jnp.concatenate([column, jnp.zeros((count * size - m, o), column.dtype)])
        summed = _pull(function, right, padded.reshape(count, size, o).astype(out.dtype))
        return join(_push(function, left, summed), n).astype(dtype)

    def separate(column: Array) -> Array:
        """(m, o) -> (n, o): each output with its own kernel, one after the other."""
        if o == 1:
            return product(column)
        chosen = jnp.eye(o, dtype=column.dtype)
        return jax.lax.map(lambda e: product(column * e[None, :]) @ e.astype(dtype), chosen).T

    def one(column: Array) -> Array:
        if function.outputs == "full":
            return product(column)
        if function.outputs == "diagonal":
            return separate(column)
        return jnp.mean(separate(jnp.broadcast_to(column[:, None], (m, o))), axis=1)

    v = v.astype(dtype)
    if v.ndim == len(own):
        return one(v)
    return jnp.moveaxis(jax.lax.map(one, jnp.moveaxis(v, -1, 0)), 0, -1)


@partial(jax.jit, static_argnames="batch")
def _rows(function: Function, x1: PyTree, x2: PyTree, batch: int) -> Array:
    m = jax.tree.leaves(x2)[0].shape[0]

    def block(some: PyTree) -> Array:
        push = forward(function, some)

        def row(one: PyTree) -> Array:
            with jax.default_matmul_precision("highest"):
                value, back = jax.vjp(lambda weights: function.outputs_at(weights, one), function.weights)

            def output(e: Array) -> Array:
                """One output on the left with all on the right: (size, o), or (size,) with the same one."""
                (gradient,) = back(e)
                products = push(tangents(function, cotangents(function, gradient))).astype(wide(e.dtype))
                return (
                    products if function.outputs == "full" else jnp.sum(products * e[None, :].astype(products.dtype), 1)
                )

            values = jax.lax.map(output, jnp.eye(value.shape[0], dtype=value.dtype))  # (o, size) or (o, size, o)
            if function.outputs in ("full", "diagonal"):
                return jnp.moveaxis(values, 0, 1)
            return jnp.mean(values, axis=0)

        return jnp.swapaxes(jax.lax.map(row, x1), 0, 1)  # (size, n, ...)

    return jnp.swapaxes(join(jax.lax.map(block, split(x2, batch)), m), 0, 1)


@partial(jax.jit, static_argnames="batch")
def _diagonal(function: Function, x: PyTree, batch: int) -> Array:
    n = jax.tree.leaves(x)[0].shape[0]

    def one(example: PyTree) -> Array:
        def value(weights: PyTree) -> Array:
            return function.outputs_at(weights, example)

        with jax.default_matmul_precision("highest"):
            out, back = jax.vjp(value, function.weights)

        def output(e: Array) -> Array:
            gradient = cotangents(function, back(e)[0])
            if function.outputs != "full":
                return sum(jnp.sum(leaf * leaf).astype(wide(e.dtype)) for leaf in gradient)  # pyright: ignore[reportReturnType]
            return _linear(value, function.weights)(tangents(function, gradient)).astype(wide(e.dtype))

        values = jax.lax.map(output, jnp.eye(out.shape[0], dtype=out.dtype))
        if function.outputs == "full":
            return (values + values.T) / 2  # symmetric but for rounding
        return values if function.outputs == "diagonal" else jnp.mean(values)

    return join(jax.lax.map(jax.vmap(one), split(x, batch)), n)
