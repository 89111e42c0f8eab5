"""What is done with each leaf of a function, and for how many examples at a time? By predicted time and memory."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import jax

from ntkseq import _checks, _memory
from ntkseq._precision import wide
from ntkseq._types import PyTree
from ntkseq.empirical import costs, speeds
from ntkseq.empirical.contract import Outputs
from ntkseq.empirical.function import Function
from ntkseq.empirical.groups import Group
from ntkseq.empirical.structure import Choice, examine

SHARE = 0.5
"""Part of the free memory that is used where the caller does not say."""
LITTLE = 64 << 20
"""Bytes for which the operating system is not asked how much is free."""

Keep = Callable[[Group, Outputs, costs.Speeds], bool]
"""Whether the factors of a group of leaves are kept."""


def nowhere(group: Group, outputs: Outputs, speeds: costs.Speeds) -> bool:
    """Factors of no group: Jacobian rows of every leaf."""
    return False


def choose(
    function: Function,
    x: PyTree,
    keep: Keep = costs.structured,
    orders: tuple[tuple[str, str], ...] = (),
    join: bool = True,
) -> Choice:
    """Which groups keep their factors and in which order they are contracted; which leaves are plain.

    Args:
        function: the function at its parameters.
        x: its checked inputs.
        keep: whether the factors of a group are kept; where it is cheaper, unless told otherwise.
        orders: (regular expression, order) for the leaves whose path has it.
        join: whether leaves that a concatenation joins, or that have the same deltas, may be contracted together.
    """
    found = examine(function, x, join, beside=join and not orders)  # orders are asked for leaf by leaf
    rates = speeds.known(function.weights[0])
    names = function.names
    wanted = [_wanted(group, names, orders) for group in found.groups]
    kept = []
    for group, order in zip(found.groups, wanted, strict=True):
        kept.append(order != costs.ROWS and (order is not None or keep(group, found.outputs, rates)))
    dropped = {k for group, held in zip(found.groups, kept, strict=True) if not held for k in group.members}
    while more := {k for g in found.groups if dropped & set(g.members) for k in g.members} - dropped:
        dropped |= more
    asked = {k for group, order in zip(found.groups, wanted, strict=True) if order == costs.ROWS for k in group.members}
    groups, chosen = [], []
    for group, order in zip(found.groups, wanted, strict=True):
        if not dropped & set(group.members):
            groups.append(group)
            chosen.append(order)
    plain = tuple(sorted({*found.plain, *dropped}))
    return Choice(tuple(groups), plain, found.outputs, tuple(chosen), tuple(sorted(asked)), rates, found.twins)


def block(function: Function, x: PyTree, choice: Choice, memory: int | None) -> int | None:
    """Examples whose factors may be held at once, None for all of them: what is to be held fits the memory.

    memory: bytes to use; half of what is free if None.
    """
    n = jax.tree.leaves(x)[0].shape[0]
    each = bytes_per_example(function, choice)
    if memory is None and 2 * n * each < LITTLE:
        return None
    budget = allowed(function, memory)
    if 2 * n * each <= budget:  # while they are made, what they are made of is there as well
        return None
    if 4 * each > budget and memory is None:
        raise ValueError(
            f"one example takes {_memory.text(4 * each)} on the way to the kernel, and {_memory.text(budget)} may be "
            'used. Take method="products" or method=Sketch(key), which hold no gradient per example, or '
            "method=Cheapest(memory=...), in bytes."
        )
    size = max(1, budget // (4 * each))  # of two blocks
    return min(n, 1 << (size.bit_length() - 1))  # a power of two: not another program for every state of the memory


def allowed(function: Function, memory: int | None) -> int:
    """Bytes that may be used: those the caller says, or half of what is free."""
    return memory if memory is not None else int(SHARE * _memory.available(speeds.device_of(function.weights[0])))


def bytes_per_example(function: Function, choice: Choice) -> int:
    """Bytes that the factors and the Jacobian rows of one example take."""
    o = choice.outputs.count
    size = wide(function.weights[0].dtype).itemsize
    rows = sum(function.weights[k].size for k in choice.plain) * o
    return size * (rows + sum(costs.factor_entries(group, o) for group in choice.groups))


def check_orders(orders: Mapping[str, str] | tuple[tuple[str, str], ...] | None) -> tuple[tuple[str, str], ...]:
    """The caller's orders, {regular expression: order}, as pairs.

    Raises:
        ValueError: no mapping, no expression, an order that there is not.
    """
    try:
        pairs = dict(orders) if isinstance(orders, (Mapping, tuple)) else None
    except (TypeError, ValueError):
        pairs = None
    if pairs is None:
        raise ValueError(f"orders must be {{regular expression of a path: order}}; got {_checks.shown(orders)}.")
    for pattern, order in pairs.items():
        if not isinstance(order, str) or order not in costs.ORDERS:
            raise ValueError(
                f"orders: an order is one of {', '.join(map(repr, costs.ORDERS))}; got {_checks.shown(order)}."
            )
        try:
            re.compile(pattern)
        except (TypeError, re.error) as error:
            raise ValueError(
                f"orders: a path is searched for a regular expression; got {_checks.shown(pattern)} ({error})."
            ) from None
    return tuple(pairs.items())


def check_paths(orders: tuple[tuple[str, str], ...], names: list[str]) -> None:
    """Raise a ValueError where an expression is found in none of the paths."""
    for pattern, _ in orders:
        if not any(re.search(pattern, name) for name in names):
            raise ValueError(f"orders: {pattern!r} is found in no trained path; these are {', '.join(names)}.")


def _wanted(group: Group, names: list[str], orders: tuple[tuple[str, str], ...]) -> str | None:
    for pattern, order in orders:
        if any(re.search(pattern, names[k]) for k in group.members):
            return order
    return None
