"""What is a probe? Something that looks at the parameters now and then while a network trains."""

from __future__ import annotations

import abc
import operator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntkseq import _checks
from ntkseq._struct import fill, static, struct
from ntkseq._types import Inputs, Lengths, Number, PyTree


class Probe(abc.ABC):
    """One kind of measurement along a training run, as a frozen pytree.

    What a probe does is split in two: `measure` makes arrays from the parameters and runs under `jax.jit` and in scans,
    `reduce` makes the numbers of a row from them on the host, in float64, where errors can be bounded. A probe of your
    own is a `struct` or a registered pytree with these two methods.

    Where tracking began with a state that training moves beside the parameters, such as running averages, `start`,
    `measure` and `look` are given it as one argument more.

    In the methods `params` is a pytree of arrays, `measured` what `measure` returned of it, and `memory` what
    `remember` made of the first.
    """

    name: str
    """Of its table in the history."""
    every: int | tuple[int, ...]
    """Look after every so many steps, or at these steps; always at step 0."""
    kind: str
    """Which columns its table has: "kernel", "attention", "loss", "movement", or a word of your own."""

    def start(self, params: PyTree, state: PyTree = None) -> PyTree:
        """What `measure` needs of the initial parameters: a pytree of arrays; nothing by default.

        Raises:
            ValueError: a network or targets that do not fit the probe.
        """
        return ()

    @abc.abstractmethod
    def measure(self, params: PyTree, start: PyTree, state: PyTree = None) -> PyTree:
        """Arrays from the parameters; pure, for JAX."""

    def remember(self, first: PyTree) -> PyTree:
        """What `reduce` needs of the first measurement, on the host: by default the measurement itself.

        Raises:
            ValueError: a first measurement from which nothing can be told.
        """
        return first

    @abc.abstractmethod
    def reduce(self, measured: PyTree, memory: PyTree) -> dict[str, Any]:
        """The row: names and numbers or arrays of fixed shape, from what `measure` returned, as NumPy arrays."""

    def about(self) -> dict[str, Any]:
        """The settings, as JSON holds them."""
        return {"kind": self.kind, "every": self.every if isinstance(self.every, int) else list(self.every)}

    def computed(self, params: PyTree, start: PyTree, state: PyTree = None) -> PyTree:
        """By whose equations a checkpoint knows the probe again: `measure`, or what does not depend on the device."""
        return measure(self, params, start, state)

    def look(self, params: PyTree, start: PyTree, state: PyTree = None) -> PyTree:
        """`measure` now, its arrays on the host."""
        return host(_measured(self, params, start, state))

    def row(self, measured: PyTree, memory: PyTree) -> dict[str, np.ndarray]:
        """`reduce`, in the dtypes of a history: arrays of any shape.

        Raises:
            ValueError: a column whose name is no word.
        """
        found = {name: np.asarray(value) for name, value in self.reduce(measured, memory).items()}
        for name in found:
            check_name(name)
        return {name: v if v.dtype == bool else v.astype(np.float64) for name, v in found.items()}

    def due(self, step: int) -> bool:
        """Whether to look after `step` steps."""
        return step == 0 or (step % self.every == 0 if isinstance(self.every, int) else step in self.every)

    def due_traced(self, step: Number) -> jax.Array:
        """`due` for a step that may be traced, of any shape."""
        step = jnp.asarray(step)
        if isinstance(self.every, int):
            return step % self.every == 0
        return (step == 0) | jnp.any(step == jnp.asarray(self.every, step.dtype))

    def next_due(self, step: int) -> int | None:
        """The first step after `step` at which to look; None if there is none."""
        if isinstance(self.every, int):
            return (step // self.every + 1) * self.every
        return min((at for at in self.every if at > step), default=None)


@jax.jit
def _measured(probe: Probe, params: PyTree, start: PyTree, state: PyTree) -> PyTree:
    return measure(probe, params, start, state)


def measure(probe: Probe, params: PyTree, start: PyTree, state: PyTree) -> PyTree:
    """`probe.measure`, with the state if there is one."""
    return probe.measure(params, start, *beside(state))


def beside(state: PyTree) -> tuple[Any, ...]:
    """What stands between the parameters and the rest in a call: the state, or nothing."""
    return () if state is None else (state,)


def host(tree: PyTree) -> PyTree:
    """A pytree of arrays as NumPy arrays."""
    return jax.tree.map(np.asarray, tree)


def check_every(every: Any) -> int | tuple[int, ...]:
    """A period >= 1, or steps >= 0 at which to look, sorted.

    Raises:
        ValueError: anything else.
    """
    if isinstance(every, (tuple, list, range, np.ndarray)):
        try:
            steps = sorted({operator.index(step) for step in every})
        except TypeError:
            raise ValueError(
                f"every must be a number of steps, or a sequence of steps; got {_checks.shown(every)}."
            ) from None
        if not steps or steps[0] < 0:
            raise ValueError(f"every must hold one or more steps >= 0; got {_checks.shown(every)}.")
        return tuple(steps)
    return _checks.positive_int("every", every)


def check_examples(name: str, x: Inputs, lengths: Lengths = None, most: int | None = None) -> tuple[Any, int, Any]:
    """A pytree of arrays with n examples along the first axis, finite; n; and their lengths.

    Raises:
        ValueError: none or more than `most`, leaves of several n, NaN, lengths out of range.
    """
    x = _checks.leaves(name, x)
    leaves = jax.tree.leaves(x)
    sizes = sorted({leaf.shape[0] if leaf.ndim else 0 for leaf in leaves})
    if len(sizes) != 1 or sizes[0] == 0 or (most is not None and sizes[0] > most):
        many = "one or more" if most is None else f"1 to {most}"
        raise ValueError(f"{name} must hold {many} examples along the first axis; got {sizes or 'no array'}.")
    for leaf in leaves:
        if jnp.issubdtype(leaf.dtype, jnp.inexact):
            _checks.finite(name, leaf)
    if lengths is not None:
        lengths = _checks.check_lengths(name, lengths, sizes[0], leaves[0].shape[1] if leaves[0].ndim > 1 else 1)
    return x, sizes[0], lengths


def check_name(name: object) -> str:
    """A name of a table: a word that can be part of the name of an array in a file."""
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(f"name must be a word of letters, digits and underscores; got {_checks.shown(name)}.")
    return name


def distance(params: PyTree, start: PyTree) -> tuple[jax.Array, jax.Array]:
    """|theta - theta_0| and |theta| over all floating leaves."""
    moved, size = jnp.zeros(()), jnp.zeros(())
    for now, then in zip(jax.tree.leaves(params), jax.tree.leaves(start), strict=True):
        if jnp.issubdtype(now.dtype, jnp.floating):
            moved = moved + jnp.sum(jnp.square(now - then)).astype(moved.dtype)
            size = size + jnp.sum(jnp.square(now)).astype(size.dtype)
    return jnp.sqrt(moved), jnp.sqrt(size)


@struct
class MovementProbe(Probe):
    """How far have the parameters moved? Columns `distance` |theta - theta_0|, `relative` over |theta_0|, `norm`.

    Args:
        every: period in steps, or the steps.
        name: of the table.

    Raises:
        ValueError: no period.

    Reference: chizat2019lazy (what moves little is lazy).
    """

    every: Any = static(default=100)
    name: str = static(default="movement")

    kind = "movement"

    def __post_init__(self) -> None:
        fill(self, every=check_every(self.every))
        check_name(self.name)

    def start(self, params: PyTree, state: PyTree = None) -> PyTree:
        return params

    def measure(self, params: PyTree, start: PyTree, state: PyTree = None) -> PyTree:
        moved, size = distance(params, start)
        return moved, size, distance(start, start)[1]

    def reduce(self, measured: PyTree, memory: PyTree) -> dict[str, Any]:
        moved, size, first = (float(number) for number in measured)
        return {"distance": moved, "relative": moved / first if first > 0 else np.nan, "norm": size}
