"""What will be done with each leaf of a function, and why, in how much time and memory? Said before it is done."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax

from ntkseq import _display, _memory
from ntkseq._precision import wide
from ntkseq._types import PyTree
from ntkseq.empirical import choose, costs, speeds
from ntkseq.empirical.function import Function
from ntkseq.empirical.structure import Choice, Found, examine, order_of


@dataclasses.dataclass(frozen=True)
class Part:
    """What is done with one group of leaves.

    seconds: predicted, for the contraction; others: those of the orders that were not taken.
    """

    leaves: tuple[str, ...]
    order: str
    why: str
    seconds: float
    others: tuple[tuple[str, float], ...]

    __repr__ = _display.record


@dataclasses.dataclass(frozen=True)
class Plan:
    """What `empirical.NTK` does for n inputs with themselves. Times are predictions, from the speeds of the device.

    Attributes:
        n: examples.
        outputs: of the network.
        method: which way, in words.
        parts: what is done with each group of leaves.
        prepare: seconds for everything per example; it counts the products of parameters with data, forward and back.
        bytes: of what is held for n examples.
        jacobian: bytes of n gradients, the textbook way.
        block: examples held at once; None: all.
        speeds: of the device, measured or assumed.
        remark: what else there is to know; empty if nothing.
    """

    n: int
    outputs: int
    method: str
    parts: tuple[Part, ...]
    prepare: float
    bytes: int
    jacobian: int
    block: int | None
    speeds: costs.Speeds
    remark: str = ""

    __repr__ = _display.printed

    @property
    def seconds(self) -> float:
        """Predicted time of the whole."""
        return self.prepare + sum(part.seconds for part in self.parts)

    def __str__(self) -> str:
        lines = [f"{self.n} examples, {self.outputs} output{'s' * (self.outputs > 1)}, method {self.method}"]
        if self.remark:
            return f"{lines[0]}: {self.remark}"
        for part in self.parts:
            other = "".join(f"; {name} {_time(seconds)}" for name, seconds in part.others)
            lines.append(f"  {', '.join(part.leaves)}: {part.order}, {_time(part.seconds)}{other} ({part.why})")
        lines.append(f"  per example, forward and back: {_time(self.prepare)}")
        lines.append(
            f"predicted {_time(self.seconds)} once compiled, with {self.speeds.source} speeds; "
            f"held {_memory.text(self.bytes)}, {_memory.text(self.jacobian)} for all gradients"
        )
        if self.block is not None:
            lines.append(f"memory: {self.block} examples at a time, made again for every block of the others")
        return "\n".join(lines)


def in_words(function: Function, x: PyTree, method: str, remark: str) -> Plan:
    """The plan of a method that goes through all leaves alike."""
    n, o = jax.tree.leaves(x)[0].shape[0], function.width(x)
    size = wide(function.weights[0].dtype).itemsize * o * sum(weight.size for weight in function.weights)
    return Plan(n, o, method, (), 0.0, 0, n * size, None, speeds.known(function.weights[0]), remark)


def leaf_by_leaf(function: Function, x: PyTree, choice: Choice, method: str, why: str, memory: int | None) -> Plan:
    """The plan for checked inputs x with themselves; why: a leaf that has factors goes by its gradients."""
    empty = in_words(function, x, method, "")
    n, o, found, names = empty.n, empty.outputs, examine(function, x), function.names
    parts = [
        _structured(group, order, n, choice, names) for group, order in zip(choice.groups, choice.orders, strict=True)
    ]
    for k in choice.plain:
        rows = n * n * function.weights[k].size * (o * o if choice.outputs.out == "op" else o)
        seconds = choice.speeds.product * rows
        parts.append(Part((names[k],), costs.ROWS, _reason(k, found, choice.asked, why), seconds, ()))
    through = sum(g.stack * g.uses * g.extents[0] * g.extents[1] for g in found.groups if not g.rows)
    return dataclasses.replace(
        empty,
        parts=tuple(parts),
        prepare=choice.speeds.product * n * through * (1 + o),
        bytes=n * choose.bytes_per_example(function, choice),
        block=choose.block(function, x, choice, memory),
    )


def _structured(group: Any, order: str | None, n: int, choice: Choice, names: list[str]) -> Part:
    taken = order_of(group, order, n, n, True, choice)
    found = costs.orders(group, n, n, choice.outputs, True, choice.speeds)
    others = tuple((cost.order, cost.seconds) for cost in found if cost.order != taken.order)
    (c, d), t = group.extents, group.uses
    stack = f"{group.stack} x " if group.stack > 1 else ""
    what = f"{stack}{c} x {d}, used {t} times" + (", rows of a table" if group.rows else "")
    why = f"{what}; as asked for" if order is not None else what
    return Part(tuple(names[k] for k in group.members), taken.order, why, taken.seconds, others)


def _reason(leaf: int, found: Found, asked: tuple[int, ...], why: str) -> str:
    if leaf in found.plain:
        return "used in other ways than products with data"
    return "as asked for" if leaf in asked else why


def _time(seconds: float) -> str:
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("us", 1e6)):
        if seconds * factor >= 1 or unit == "us":
            return f"{seconds * factor:.3g} {unit}"
    raise AssertionError
