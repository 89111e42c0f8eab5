"""Which derivative has a look-up whose row numbers lie beyond the table? That of reverse mode, in forward mode too.

With its bounds promised, as `table[ids]` promises them, JAX reads the last row, and its two modes of differentiation
disagree: reverse mode drops the row's gradient, forward mode moves the last row. With `.at[ids].add` it is the other
way round: the number is dropped, reverse mode reads the derivative at the last row. Training follows reverse mode, so
that is what the kernel is of. Functions that go forward are made to agree with it here; within bounds nothing changes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ntkseq.empirical.trace import (
    CALLS,
    REMAT,
    Equation,
    Jaxpr,
    Traced,
    evaluate,
    inner,
    is_literal,
    opened,
    scan_counts,
    trace,
)

_ADDS = frozenset({"scatter-add", "scatter-sub"})
_PUTS = frozenset({"scatter", "scatter-mul"})  # with indices that are not said to be unique, the modes agree


def agreed(f: Callable[..., Any], *arguments: Any) -> Any:
    """f(*arguments), with the derivative of reverse mode in both modes.

    Raises:
        ValueError: a look-up stands inside a custom_jvp, whose rule cannot be seen.
    """
    leaves, tree = jax.tree.flatten(arguments)
    shapes: list[Any] = []

    def flat(*leaves: Any) -> list[Any]:
        out, structure = jax.tree.flatten(f(*jax.tree.unflatten(tree, leaves)))
        shapes[:] = [structure]
        return out

    traced = trace(flat, *leaves)
    if not _promises(traced.jaxpr):
        return f(*arguments)
    return jax.tree.unflatten(shapes[0], _run(traced, leaves))


def _promised(equation: Equation) -> bool:
    """Whether this is a look-up or an update of rows whose modes of differentiation may disagree."""
    name, given = equation.primitive.name, equation.params
    kind = name == "gather" or name in _ADDS or (name in _PUTS and given["unique_indices"])
    return kind and "PROMISE" in str(given["mode"]).upper()


def _promises(jaxpr: Jaxpr) -> bool:
    return any(_promised(equation) or any(map(_promises, inner(equation))) for equation in jaxpr.eqns)


def _run(traced: Traced, values: list[Any]) -> list[Any]:
    jaxpr = traced.jaxpr
    env = dict(zip(jaxpr.constvars, traced.consts, strict=True)) | dict(zip(jaxpr.invars, values, strict=True))
    value_of = lambda v: v.val if is_literal(v) else env[v]  # noqa: E731
    for equation in jaxpr.eqns:
        found = _results(jaxpr, equation, [value_of(v) for v in equation.invars])
        env |= dict(zip(equation.outvars, found, strict=True))
    return [value_of(v) for v in jaxpr.outvars]


def _results(jaxpr: Jaxpr, equation: Equation, values: list[Any]) -> list[Any]:
    name, given = equation.primitive.name, equation.params
    if _promised(equation) and jnp.issubdtype(equation.outvars[0].aval.dtype, jnp.inexact):
        return [_looked_up(jaxpr, equation, values) if name == "gather" else _updated(jaxpr, equation, values)]
    if not any(map(_promises, inner(equation))) or name == "while":  # a loop without reverse mode moves no parameter
        return evaluate(jaxpr, equation, values)
    if name in CALLS and "jaxpr" in given:
        return _run(opened(given["jaxpr"]), values)
    if name in REMAT:
        body = lambda *values: _run(opened(given["jaxpr"]), list(values))  # noqa: E731
        rerun = jax.checkpoint(body, policy=given.get("policy"), prevent_cse=given.get("prevent_cse", True))
        return rerun(*values)
    if name == "scan":
        return _scan(equation, values)
    if name == "cond":
        branches = [lambda *values, b=b: _run(opened(b), list(values)) for b in given["branches"]]
        return lax.switch(values[0], branches, *values[1:])
    if not name.startswith("custom_jvp"):  # a linear solver permutes rows, within its bounds
        return evaluate(jaxpr, equation, values)
    raise ValueError(
        f"f looks up rows inside {name}, where forward derivatives may not be those that training sees if an index "
        'lies beyond the table. Take method="auto", or look up with jnp.take(table, ids, axis=0, mode="clip").'
    )


def _scan(equation: Equation, values: list[Any]) -> list[Any]:
    traced, given = opened(equation.params["jaxpr"]), equation.params
    held, carried = scan_counts(equation)
    kinds = [v.aval.dtype for v in traced.jaxpr.outvars[:carried]]
    strong = lambda carry: [jnp.asarray(a, dtype) for a, dtype in zip(carry, kinds, strict=True)]  # noqa: E731

    def step(carry: list[Any], now: list[Any]) -> tuple[list[Any], list[Any]]:
        found = _run(traced, [*values[:held], *carry, *now])
        return strong(found[:carried]), found[carried:]

    last, stacked = lax.scan(
        step, strong(values[held : held + carried]), values[held + carried :], length=given["length"],
        reverse=given["reverse"], unroll=given["unroll"],
    )  # fmt: skip
    return [*last, *stacked]


def _looked_up(jaxpr: Jaxpr, equation: Equation, values: list[Any]) -> Any:
    """What is out of bounds is read and is a constant."""
    (value,) = evaluate(jaxpr, equation, values)
    numbers, sizes = equation.params["dimension_numbers"], equation.params["slice_sizes"]
    axes = np.array(numbers.start_index_map, int)
    most = np.array(np.shape(values[0]), int)[axes] - np.array(sizes, int)[axes]
    index = values[1]
    most = jnp.asarray(np.minimum(most, jnp.iinfo(index.dtype).max), index.dtype)
    inside = jnp.all((index >= jnp.zeros((), index.dtype)) & (index <= jnp.broadcast_to(most, index.shape)), axis=-1)
    kept = [k for k in range(value.ndim) if k not in numbers.offset_dims]
    return jnp.where(lax.broadcast_in_dim(inside, value.shape, kept), value, lax.stop_gradient(value))


def _updated(jaxpr: Jaxpr, equation: Equation, values: list[Any]) -> Any:
    """What is out of bounds is dropped, and its derivative is that of the row at the edge."""
    table, index, new = values
    (value,) = evaluate(jaxpr, equation, [table, index, lax.stop_gradient(new)])
    zero, numbers = jnp.zeros_like(table), equation.params["dimension_numbers"]
    edge = lax.scatter_add(zero, index, new - lax.stop_gradient(new), numbers, mode="clip")  # 0, with the derivative
    if equation.primitive.name == "scatter-mul":
        return value + edge * lax.stop_gradient(table)
    return value - edge if equation.primitive.name == "scatter-sub" else value + edge
