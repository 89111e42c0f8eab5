"""What does a jaxpr say, in every supported version of JAX? The one file that knows how its equations are written."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.extend.core as jex
import jax.numpy as jnp

CALLS = frozenset({"pjit", "jit", "closed_call", "core_call", "core_closed_call"})
REMAT = frozenset({"remat", "checkpoint", "remat2"})

Jaxpr = Any
Equation = Any


@dataclasses.dataclass(frozen=True)
class Traced:
    """A function as equations on flat arrays: `jaxpr` with its constants."""

    jaxpr: Jaxpr
    consts: tuple[Any, ...]


def trace(f: Callable[..., Any], *arguments: Any) -> Traced:
    """The equations of f at arguments of these shapes (arrays or ShapeDtypeStructs)."""
    return opened(jax.make_jaxpr(f)(*arguments))


def opened(jaxpr: Any) -> Traced:
    """A jaxpr and its constants: closed (until jax 0.11), with constants of its own (0.12), or open (in remat)."""
    return Traced(getattr(jaxpr, "jaxpr", jaxpr), tuple(getattr(jaxpr, "consts", ())))


def is_literal(variable: Any) -> bool:
    """Whether an operand is a number written into the equation."""
    return isinstance(variable, jex.Literal)


def evaluate(jaxpr: Jaxpr, equation: Equation, values: list[Any]) -> list[Any]:
    """The results of one equation of that jaxpr at other values."""
    inputs, given = [], []
    for variable, value in zip(equation.invars, values, strict=True):
        if not is_literal(variable) and variable not in inputs:
            inputs.append(variable)
            given.append(value)
    single = jaxpr.replace(constvars=[], invars=inputs, outvars=list(equation.outvars), eqns=[equation])
    return list(jex.jaxpr_as_fun(jex.ClosedJaxpr(single, []))(*given))


def inner(equation: Equation) -> list[Jaxpr]:
    """The equations inside an equation: bodies of loops, branches, calls."""
    values = [getattr(value, "jaxpr", value) for value in jax.tree.leaves(list(equation.params.values()))]
    return [value for value in values if hasattr(value, "eqns")]


def coarsest(jaxpr: Jaxpr) -> float:
    """The largest eps of a floating or complex dtype in which something is computed."""
    kinds = {v.aval.dtype for equation in jaxpr.eqns for v in equation.outvars if hasattr(v.aval, "dtype")}
    own = [float(jnp.finfo(kind).eps) for kind in kinds if jnp.issubdtype(kind, jnp.inexact)]
    return max([0.0, *own, *(coarsest(body) for equation in jaxpr.eqns for body in inner(equation))])


def call(traced: Traced, values: list[Any]) -> list[Any]:
    """The results of a whole jaxpr at other values."""
    return list(jex.jaxpr_as_fun(jex.ClosedJaxpr(traced.jaxpr, list(traced.consts)))(*values))


def scan_counts(equation: Equation) -> tuple[int, int]:
    """How many operands of a scan are constants, and how many are carried: the rest has the axis of the loop.

    Told from shapes: the parameters that name the counts are gone in jax 0.12.
    """
    body = opened(equation.params["jaxpr"]).jaxpr
    longer = lambda outer, inner: len(outer.aval.shape) == len(inner.aval.shape) + 1  # noqa: E731
    scanned = sum(longer(a, b) for a, b in zip(equation.invars, body.invars, strict=True))
    stacked = sum(longer(a, b) for a, b in zip(equation.outvars, body.outvars, strict=True))
    carried = len(equation.outvars) - stacked
    return len(equation.invars) - scanned - carried, carried
