"""What is done with each leaf of a function, and for how many examples at a time? By predicted time and memory."""

from __future__ import annotations

import re
from typing import Any

import jax

from ntkseq import _memory
from ntkseq._precision import wide
from ntkseq.empirical import costs, speeds
from ntkseq.empirical.function import Function
from ntkseq.empirical.groups import Group
from ntkseq.empirical.structure import Choice, examine

SHARE = 0.5
"""Part of the free memory that is used where the caller does not say."""
LITTLE = 64 << 20
"""Bytes for which the operating system is not asked how much is free."""


def choose(
    function: Function,
    x: Any,
    method: str = "auto",
    orders: tuple[tuple[str, str], ...] = (),
    join: bool = True,
) -> Choice:
    """Which groups keep their factors and in which order they are contracted; which leaves are plain.

    Args:
        function: the function at its parameters.
        x: its checked inputs.
        method: "auto", "structured" (factors wherever there is structure) or "jacobian" (nowhere).
        orders: (regular expression, order) for the leaves whose path has it.
        join: whether leaves that a concatenation joins, or that have the same deltas, may be contracted together.
    """
    found = examine(function, x, join, beside=join and not orders)  # orders are asked for leaf by leaf
    rates = speeds.known(function.weights[0])
    names = function.names
    wanted = [_wanted(group, names, orders) for group in found.groups]
    kept = []
    for group, order in zip(found.groups, wanted, strict=True):
        keep = method == "structured" or costs.structured(group, found.outputs, rates)
        kept.append(method != "jacobian" and order != costs.ROWS and (keep or order is not None))
    dropped = {k for group, keep in zip(found.groups, kept, strict=True) if not keep for k in group.members}
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


def block(function: Function, x: Any, choice: Choice, memory: int | None) -> int | None:
    """Examples whose factors may be held at once, None for all of them: what is to be held fits the memory.

    memory: bytes to use; half of what is free if None.
    """
    n = jax.tree.leaves(x)[0].shape[0]
    each = bytes_per_example(function, choice)
    if memory is None and 2 * n * each < LITTLE:
        return None
    budget = memory if memory is not None else int(SHARE * _memory.available(speeds.device_of(function.weights[0])))
    if 2 * n * each <= budget:  # while they are made, what they are made of is there as well
        return None
    if 4 * each > budget and memory is None:
        raise ValueError(
            f"one example takes {_memory.text(4 * each)} on the way to the kernel, and {_memory.text(budget)} may be "
            'used. Take method="products" or "sketch", which hold no gradient per example, or memory=, in bytes.'
        )
    size = max(1, budget // (4 * each))  # of two blocks
    return min(n, 1 << (size.bit_length() - 1))  # a power of two: not another program for every state of the memory


def bytes_per_example(function: Function, choice: Choice) -> int:
    """Bytes that the factors and the Jacobian rows of one example take."""
    o = choice.outputs.count
    size = wide(function.weights[0].dtype).itemsize
    rows = sum(function.weights[k].size for k in choice.plain) * o
    return size * (rows + sum(costs.factor_entries(group, o) for group in choice.groups))


def check_orders(orders: Any, names: list[str]) -> tuple[tuple[str, str], ...]:
    """The caller's orders, {regular expression: order}, as pairs.

    Raises:
        ValueError: no mapping, an order that there is not, an expression that no path has.
    """
    if orders is None:
        return ()
    if not isinstance(orders, dict):
        raise ValueError(f"orders must be {{regular expression of a path: order}}; got {type(orders).__name__}.")
    for pattern, order in orders.items():
        if order not in costs.ORDERS:
            raise ValueError(f"orders: an order is one of {', '.join(map(repr, costs.ORDERS))}; got {order!r}.")
        if not any(re.search(pattern, name) for name in names):
            raise ValueError(f"orders: {pattern!r} is found in no trained path; these are {', '.join(names)}.")
    return tuple(orders.items())


def _wanted(group: Group, names: list[str], orders: tuple[tuple[str, str], ...]) -> str | None:
    for pattern, order in orders:
        if any(re.search(pattern, names[k]) for k in group.members):
            return order
    return None
