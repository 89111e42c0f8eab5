"""How are few-shot tasks taken apart for a kernel between them, and what of a base kernel adapts?"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ntkseq import _checks
from ntkseq._struct import replace
from ntkseq._types import Lengths, Tasks
from ntkseq.kernels.base import Kernel, Scaled, Side, Sum

_WANTED = "Pass ((xs, ys), xq) with xs (N, s, ...) and xq (N, q, ...), N tasks in front."


def parts(tasks: Any, name: str = "tasks") -> tuple[Array, Any, Array]:
    """`((xs, ys), xq)` as (xs, ys, xq), checked; what stands behind xq is not looked at.

    Raises:
        ValueError: another structure, ranks or numbers of tasks that do not fit, an empty axis, two dtypes.
    """
    try:
        (xs, ys), xq, *_ = tasks
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be ((xs, ys), xq); got {_told(tasks)}. {_WANTED}") from None
    xs, xq = (_checks.tokens_or_floats(f"{part} of {name}", x) for part, x in (("xs", xs), ("xq", xq)))
    if min(xs.ndim, xq.ndim) < 2 or xs.shape[0] != xq.shape[0] or xs.shape[2:] != xq.shape[2:]:
        raise ValueError(
            f"xs and xq of {name} must agree but for their second axis; got {xs.shape} and {xq.shape}. {_WANTED}"
        )
    if 0 in xs.shape or 0 in xq.shape:
        raise ValueError(f"{name} must have support and query points; got xs {xs.shape} and xq {xq.shape}. {_WANTED}")
    if xs.dtype != xq.dtype:
        raise ValueError(f"xs and xq of {name} must have one dtype; got {xs.dtype} and {xq.dtype}. Cast one of them.")
    return xs, ys, xq


def joined(
    tasks: Tasks, lengths: Lengths, *, support: bool, name: str = "tasks"
) -> tuple[Array, Any, tuple[int, int, int]]:
    """All points as one batch, task by task, queries before support; their lengths or None; (N, q, s).

    With `support=False` the queries only, and s = 0.
    """
    xs, _, xq = parts(tasks, name)
    (N, q), s = xq.shape[:2], xs.shape[1]
    counts = None
    if lengths is not None:
        counts = _counts(lengths, (N, s), (N, q))
        counts = (jnp.concatenate(counts[::-1], axis=1) if support else counts[1]).reshape(-1)
    x = jnp.concatenate([xq, xs], axis=1) if support else xq
    return x.reshape(-1, *xq.shape[2:]), counts, (N, q, s if support else 0)


def _counts(lengths: Any, support: tuple[int, int], query: tuple[int, int]) -> list[Array]:
    try:
        pair = [jnp.asarray(part) for part in lengths]
    except TypeError:
        pair = []
    if len(pair) != 2 or (pair[0].shape, pair[1].shape) != (support, query):
        raise ValueError(
            f"lengths of tasks must be a pair of arrays, {support} for xs and {query} for xq; "
            f"got {_told(lengths)}. Pass (lengths of xs, lengths of xq)."
        )
    for part in pair:
        if not jnp.issubdtype(part.dtype, jnp.integer):
            raise ValueError(f"lengths of tasks must be integers; got dtype {part.dtype}.")
    return [part.astype(jnp.int32) for part in pair]


def support_labels(name: str, tasks: Tasks, R: Array) -> Array:
    """ys as (N, s) in the dtype of R (N, q, s), checked; nothing where nothing adapts."""
    wanted = (R.shape[0], R.shape[2])
    if wanted[1] == 0:
        return jnp.zeros(wanted, R.dtype)
    ys = parts(tasks)[1]
    if ys is None or jnp.shape(ys) != wanted:
        came = "None" if ys is None else str(jnp.shape(ys))
        raise ValueError(f"the support labels ys of {name} must have shape {wanted}, one output; got {came}.")
    return jnp.asarray(ys).astype(R.dtype)


def _told(value: object) -> str:
    """A foreign value in a few words."""
    if isinstance(value, (tuple, list)):
        return f"{type(value).__name__} of {len(value)}: ({', '.join(_told(part) for part in value[:4])})"
    shape = getattr(value, "shape", None)
    return type(value).__name__ if shape is None else f"array {tuple(shape)}"


def flat(side: Side) -> Side:
    """A side with two leading axes as one batch."""
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), side)


def head(kernel: Kernel) -> Kernel:
    """The tangent kernel of the read-out weights: the covariance of the outputs, kind="nngp".

    Raises:
        ValueError: a kernel without `kind`, or one whose read-out is not trained.
    """
    if isinstance(kernel, Sum):
        return Sum(head(kernel.first), head(kernel.second))
    if isinstance(kernel, Scaled):
        return Scaled(head(kernel.kernel), kernel.factor)
    if not any(field.name == "kind" for field in dataclasses.fields(kernel)):  # pyright: ignore[reportArgumentType]
        raise ValueError(
            f'algorithm="anil" needs the kernel of the read-out alone, and {type(kernel).__name__} has no kind="nngp". '
            "Pass it as inner_kernel=, of a network of your own empirical.NTK(f, params, trainable=...) of that layer."
        )
    train = getattr(kernel, "train", "R")
    if "R" not in (train if isinstance(train, str) else train[-1]):
        raise ValueError(
            f'algorithm="anil" adapts the read-out, which train={train!r} holds fixed. Add "R" to train, or pass '
            "inner_kernel=."
        )
    return replace(kernel, kind="nngp")


def draws_per_example(kernel: object) -> bool:
    """Whether two equal inputs are different examples: an initial state of its own for each."""
    if getattr(kernel, "h0", None) == "independent":
        return True
    inside = dataclasses.fields(kernel) if dataclasses.is_dataclass(kernel) else ()
    return any(draws_per_example(value) for f in inside if isinstance(value := getattr(kernel, f.name), Kernel))
