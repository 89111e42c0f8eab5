"""Does f draw random numbers of its own, as dropout does? Followed through its equations."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import jax

from ntkseq import _guests
from ntkseq.empirical.trace import CALLS, REMAT, Equation, Jaxpr, Traced, is_literal, opened, scan_counts

DRAWS = frozenset({"random_bits", "threefry2x32", "rng_bit_generator", "rng_uniform"})
COMPARISONS = frozenset({"lt", "le", "gt", "ge", "eq", "ne"})
NOTHING: frozenset[str] = frozenset()
GIVEN, STREAM, DRAWN, MASK = "given", "stream", "drawn", "mask"
"""What a value may depend on: an example, the random state of the model, a draw, a random mask."""

REMEDY = (
    "a kernel is that of one function. Switch dropout off: model.eval() for flax.nnx, deterministic=True for linen, "
    "equinox.nn.inference_mode(model); what is to stay is drawn outside of f."
)

Labels = list[frozenset[str]]


def refuse(f: Any, traced: Traced, examples: Iterable[int]) -> None:
    """Refuse an f whose answer depends on a random mask, or on the random state of a model.

    A mask is what comes of comparing random bits with numbers that do not depend on the example, as in dropout. It is
    fine where the key comes with the example, and so are other draws from a key that f holds: they are constants.
    Of a function of `interop.flax.function` every draw from the random state of the model is refused, since that
    state is another in each call of the model; a state that is moved on and not drawn from (`nnx.RNN`) is no draw.

    Args:
        f: for what `interop` knows of it: `random`, the arrays of the random state, and `dropout`, names.
        traced: f at one example.
        examples: which of the inputs of `traced` are the example.

    Raises:
        ValueError: such an f.
    """
    while hasattr(f, "f") and not hasattr(f, "random"):  # a function around it
        f = f.f
    stream = {id(leaf) for leaf in getattr(f, "random", ())}
    which = frozenset(examples)
    jaxpr, where = traced.jaxpr, []
    inputs = [frozenset({GIVEN}) if k in which else NOTHING for k in range(len(jaxpr.invars))]
    constants = [frozenset({STREAM}) if id(value) in stream else NOTHING for value in traced.consts]
    out = NOTHING.union(*_follow(jaxpr, constants, inputs, where, ""))
    if MASK not in out and not {STREAM, DRAWN} <= out:
        return
    names = ", ".join(getattr(f, "dropout", ())) or ", ".join(dict.fromkeys(name for name in where if name))
    what = "a random mask, as of dropout" if MASK in out else "random numbers of the model's own"
    raise _guests.Refused(f"f must not draw; it draws {what}{f', in {names}' if names else ''}, and {REMEDY}")


def traced_shape(f: Any, arguments: tuple[Any, ...], example: tuple[Any, ...]) -> Any:
    """The shapes that f(*arguments, *example) returns, for an f that draws nothing.

    Raises:
        ValueError: it draws, see `refuse`; or what f raises.
    """
    try:
        made, out = jax.make_jaxpr(f, return_shape=True)(*arguments, *example)
    except Exception as error:
        raise worded(error) from error
    count = len(jax.tree.leaves(example))
    traced = opened(made)
    refuse(f, traced, range(len(traced.jaxpr.invars) - count, len(traced.jaxpr.invars)))
    return out


def worded(error: Exception) -> Exception:
    """An error of f, in other words where it is that of an nnx model that f closes over."""
    if type(error).__name__ != "TraceContextError":
        return error
    return _guests.Refused(
        f"f must not change what it holds, and flax says: {str(error).split(' (http')[0]}. Random state and running "
        "averages of a model of flax.nnx that f closes over are such: make f by interop.flax.function(model)."
    )


def _follow(jaxpr: Jaxpr, constants: Labels, inputs: Labels, where: list[str], scope: str) -> Labels:
    """On what each result of a jaxpr depends."""
    known: dict[Any, frozenset[str]] = {}
    known.update(zip(jaxpr.constvars, constants, strict=True))
    known.update(zip(jaxpr.invars, inputs, strict=True))
    read = lambda v: NOTHING if is_literal(v) else known.get(v, NOTHING)  # noqa: E731
    for equation in jaxpr.eqns:
        known.update(
            zip(equation.outvars, _results(equation, [read(v) for v in equation.invars], where, scope), strict=True)
        )
    return [read(v) for v in jaxpr.outvars]


def _results(equation: Equation, labels: Labels, where: list[str], scope: str) -> Labels:
    name, count = equation.primitive.name, len(equation.outvars)
    scope = "/".join(part for part in (scope, str(equation.source_info.name_stack)) if part)
    every = NOTHING.union(*labels)
    if name in DRAWS:
        return [every if GIVEN in every else every | {DRAWN}] * count
    if name in COMPARISONS and DRAWN in every and GIVEN not in every:
        where.append(scope)
        return [every | {MASK}] * count
    if name == "scan":
        return _loop(equation.params["jaxpr"], labels, *scan_counts(equation), where, scope)
    if name == "while":
        return _while(equation, labels, where, scope)
    if name == "cond":
        branches = [_inside(branch, labels[1:], where, scope) for branch in equation.params["branches"]]
        return [labels[0].union(*results) for results in zip(*branches, strict=True)]
    for key in ("jaxpr", "call_jaxpr", "fun_jaxpr"):
        inner = equation.params.get(key)
        runs = name in CALLS | REMAT or name.startswith("custom_")
        if inner is not None and runs and len(opened(inner).jaxpr.invars) == len(labels):
            return _inside(inner, labels, where, scope)
    return [every] * count


def _inside(jaxpr: Jaxpr, labels: Labels, where: list[str], scope: str) -> Labels:
    traced = opened(jaxpr)
    return _follow(traced.jaxpr, [NOTHING] * len(traced.jaxpr.constvars), labels, where, scope)


def _loop(jaxpr: Jaxpr, labels: Labels, fixed: int, carried: int, where: list[str], scope: str) -> Labels:
    """What is carried gathers labels from turn to turn until nothing is added."""
    labels = list(labels)
    while True:
        results = _inside(jaxpr, labels, where, scope)
        grown = [old | new for old, new in zip(labels[fixed : fixed + carried], results[:carried], strict=True)]
        if grown == labels[fixed : fixed + carried]:
            return results
        labels[fixed : fixed + carried] = grown


def _while(equation: Equation, labels: Labels, where: list[str], scope: str) -> Labels:
    tests, fixed = equation.params["cond_nconsts"], equation.params["body_nconsts"]
    results = _loop(equation.params["body_jaxpr"], labels[tests:], fixed, len(equation.outvars), where, scope)
    test = _inside(equation.params["cond_jaxpr"], [*labels[:tests], *results], where, scope)
    return [result | test[0] | start for result, start in zip(results, labels[tests + fixed :], strict=True)]
