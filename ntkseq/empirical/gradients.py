"""The gradients of a network as an explicit feature map: every example by itself, through one and the same program.

The kernel of features that were computed is exact for these features, however they were rounded. For that the features
of an example must depend on that example alone. A program that takes many examples at once may round the same example
otherwise in another place of the batch, or beside others; so one program that takes one example is run n times.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from ntkseq import _memory
from ntkseq._precision import wide
from ntkseq._types import PyTree
from ntkseq.empirical.function import Function

EPS = float(np.finfo(np.float64).eps)
COLUMNS = 8192
"""Of the gradients that are float64 at one time, and whose products are summed before the sums are."""
AGAIN = 16
"""Examples that are run once more, in the other order."""
LEAST = 1e-280
"""Squared length below which products of float64 numbers may vanish."""


class NotFinite(ValueError):
    """An output or a gradient that is no finite number."""


def features(
    function: Function, x: PyTree, combinations: Float[np.ndarray, "o w"] | None = None
) -> tuple[Float[np.ndarray, "n w"], Float[np.ndarray, "rows p"]]:
    """The outputs and their gradients at each example, (n, w) and (n w, p), in the dtype of the weights.

    The gradients are those in the weights over the roots of their rates; those of one example stand together. All of
    them are what one compiled program makes of one example.

    Args:
        function: of o outputs.
        x: its checked inputs.
        combinations: sums of outputs that are taken in their place, a column each; None: the outputs themselves, w = o.

    Raises:
        ValueError: numbers that are not finite; more of them than there is memory for.
    """
    leaves, tree = jax.tree.flatten(x)
    held = [np.asarray(leaf) for leaf in leaves]
    n, p = len(held[0]), sum(int(weight.size) for weight in function.weights)
    first, row = _at(function, tree, held, 0, combinations)
    needed, free = n * len(row) * p * row.dtype.itemsize, _memory.available(jax.devices("cpu")[0])
    if needed > free:
        raise ValueError(
            f"x must have no more examples than their gradients have room for: {n * len(row)} of {p} numbers take "
            f"{_memory.text(needed)}, and {_memory.text(free)} are free. Hold leaves with trainable=, or pass fewer."
        )
    values, rows = np.empty((n, len(row))), np.empty((n, len(row), p), row.dtype)
    values[0], rows[0] = first, row
    for i in range(1, n):
        values[i], rows[i] = _at(function, tree, held, i, combinations)
    odd = ~(np.isfinite(values).all(axis=1) & np.isfinite(rows).all(axis=(1, 2)))
    if odd.any():
        raise NotFinite(
            f"f must have finite outputs and gradients; got {int(odd.sum())} examples of {n} where they are not, the "
            f"first x[{int(np.flatnonzero(odd)[0])}]."
        )
    return values, rows.reshape(-1, p)


def repeats(
    function: Function,
    x: PyTree,
    values: Float[np.ndarray, "n w"],
    rows: Float[np.ndarray, "rows p"],
    combinations: Float[np.ndarray, "o w"] | None = None,
) -> str:
    """How many of some examples came out otherwise a second time, in words; empty if none did, bit for bit."""
    leaves, tree = jax.tree.flatten(x)
    held, of_each = [np.asarray(leaf) for leaf in leaves], rows.reshape(*values.shape, -1)
    which = np.unique(np.linspace(0, len(values) - 1, AGAIN).round().astype(int))[::-1]
    other = 0
    for i in which.tolist():
        value, row = _at(function, tree, held, i, combinations)
        other += not (np.array_equal(value, values[i]) and np.array_equal(row, of_each[i]))
    return f"{other} of {len(which)} examples came out otherwise a second time" if other else ""


def products(
    rows: Float[np.ndarray, "n p"], others: Float[np.ndarray, "m p"] | None = None
) -> tuple[Float[np.ndarray, "n m"], float | None]:
    """The inner products of the rows in float64, and e with |error_ij| <= e |row_i| |row_j|.

    Products of two numbers of at most 24 bits are exact in float64; of their sums, in any order, each term is rounded
    at most as often as there are columns in a block and blocks: |error_ij| <= g sum_k |a_k b_k| <= g |a| |b|,
    g = N u/(1 - N u), u = eps/2. e is nearly twice that, which is for the lengths as computed, and for the first
    rounding of products of float64 numbers. None: those may have been below the range.
    """
    two = rows if others is None else others
    S = np.zeros((len(rows), len(two)))
    p = rows.shape[1]
    for start in range(0, p, COLUMNS):
        part = rows[:, start : start + COLUMNS].astype(np.float64)
        S += part @ (part if others is None else two[:, start : start + COLUMNS].astype(np.float64)).T
    terms = min(p, COLUMNS) + -(-p // COLUMNS)
    if others is not None:
        return S, (terms + 4) * EPS
    small = np.diagonal(S) < LEAST
    vanishing = rows.dtype == np.float64 and bool(rows[small].any())  # what is zero throughout loses nothing
    return 0.5 * (S + S.T), None if vanishing else (terms + 4) * EPS


def _at(
    function: Function, tree: Any, held: list[np.ndarray], i: int, combinations: Any
) -> tuple[np.ndarray, np.ndarray]:
    value, row = _one(function, jax.tree.unflatten(tree, [leaf[i] for leaf in held]), combinations)
    return np.asarray(value, np.float64), np.asarray(row)


@jax.jit
def _one(function: Function, example: PyTree, combinations: Any) -> tuple[Array, Array]:
    """The outputs and their gradients at one example, (w,) and (w, p)."""

    def outputs(weights: list[Any]) -> Array:
        out = function.outputs_at(weights, example)
        if combinations is None:
            return out
        return jnp.sum(jnp.asarray(combinations, out.dtype) * out[:, None], axis=0)

    values, pull = jax.vjp(outputs, function.weights)
    (gradients,) = jax.vmap(pull)(jnp.eye(len(values), dtype=values.dtype))
    parts = []
    for k, part in enumerate(gradients):
        root = function.root(k)
        parts.append((part if root is None else part * root.astype(part.dtype)).reshape(len(values), -1))
    kind = wide(*(part.dtype for part in parts))
    return values, jnp.concatenate([part.astype(kind) for part in parts], axis=1)
