"""How is a training run tracked inside `jax.jit` or a scan? A record of fixed size, read on the host afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from ntkseq import _checks
from ntkseq._struct import static, struct
from ntkseq._types import Number, PyTree
from ntkseq.training.probes import Probe, host, measure
from ntkseq.training.state import check_state


@struct
class Tape:
    """What probes measured, kept as arrays of `slots` rows per probe: a pytree for the carry of a scan.

    `history.tape(slots)` makes an empty one, `tape.update(step, params)` is pure, `history.extend(tape)` turns it into
    rows; where tracking began with a state it is `tape.update(step, params, state)`. The kernels themselves are kept
    until then: slots n^2 numbers for a `KernelProbe` of n examples. Their rounding is that measured at the start of the
    history, since a trace has one precision.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ntkseq import models, training
        >>> net = models.Recurrent(width=16)
        >>> x = jax.random.normal(jax.random.key(0), (5, 4, 2))
        >>> params = net.init(jax.random.key(1), x[0])
        >>> history = training.track([training.KernelProbe(net.apply, x, every=10)], params)
        >>> @jax.jit
        ... def train(params, tape):
        ...     def step(carry, number):
        ...         params, tape = carry
        ...         params = jax.tree.map(lambda leaf: 0.99 * leaf, params)  # a step of your own
        ...         return (params, tape.update(number, params)), None
        ...
        ...     return jax.lax.scan(step, (params, tape), jnp.arange(1, 21))[0]
        >>> params, tape = train(params, history.tape(slots=2))
        >>> history.extend(tape)
        History(kernel: 3 rows)
    """

    probes: tuple[Probe, ...]
    """Those of the history."""
    starts: tuple[Any, ...]
    """What each keeps of the start."""
    counts: tuple[Int[Array, ""], ...]
    """Rows measured, per probe; more than `slots` if it ran over."""
    steps: tuple[Int[Array, " slots"], ...]
    """Steps of the rows, per probe."""
    rows: tuple[Any, ...]
    """What was measured, per probe a pytree of arrays (slots, ...)."""
    slots: int = static()
    """Rows there is room for, per probe."""
    stateful: bool = static(default=False)
    """Whether a state goes with the parameters."""

    def update(self, step: Number, params: PyTree, state: PyTree = None) -> Tape:
        """Let every probe look that is due; under a trace too.

        Args:
            step: steps of training done, an integer that may be traced.
            params: the parameters after them.
            state: what training moves beside them, after these steps, where tracking began with one.

        Raises:
            ValueError: a step that is no single integer; a state where tracking began without, or none
                where it began with one.
        """
        check_state(state, self.stateful)
        step = jnp.asarray(step)
        if step.shape != () or not jnp.issubdtype(step.dtype, jnp.integer):
            raise ValueError(f"step must be one integer; got shape {step.shape}, dtype {step.dtype}.")
        step = step.astype(jnp.int32)
        parts = zip(self.probes, self.starts, self.counts, self.steps, self.rows, strict=True)
        new = [_noted(*part, step, params, state, self.slots) for part in parts]
        counts, steps, rows = (tuple(column) for column in zip(*new, strict=True))
        return Tape(self.probes, self.starts, counts, steps, rows, self.slots, self.stateful)


def blank(probes: tuple[Probe, ...], references: tuple[Any, ...], like: PyTree, state: PyTree, slots: int) -> Tape:
    """An empty tape for parameters and a state of these shapes."""
    starts = tuple(reference.start for reference in references)
    shapes = [
        jax.eval_shape(partial(measure, probe), like, start, state) for probe, start in zip(probes, starts, strict=True)
    ]
    kept = jax.tree.map(lambda leaf: jnp.zeros((slots, *leaf.shape), leaf.dtype), tuple(shapes))
    count, steps = jnp.zeros((), jnp.int32), jnp.full((slots,), -1, jnp.int32)
    return Tape(probes, starts, (count,) * len(probes), (steps,) * len(probes), kept, slots, state is not None)


def rows(
    tape: Tape, probes: tuple[Probe, ...], references: tuple[Any, ...]
) -> Iterator[tuple[list[int], list[dict[str, np.ndarray]]]]:
    """The steps and rows of each probe.

    Raises:
        ValueError: no tape of these probes, a traced one, or one that ran over.
    """
    if not isinstance(tape, Tape) or [p.name for p in tape.probes] != [p.name for p in probes]:
        raise ValueError(f"tape must come from this history's tape(slots); got {type(tape).__name__} of other probes.")
    if not all(map(_checks.is_concrete, jax.tree.leaves(tape.counts))):
        raise ValueError("extend reads a tape on the host and cannot be traced. Return the tape from jit first.")
    over = {probe.name: int(c) for probe, c in zip(probes, tape.counts, strict=True) if int(c) > tape.slots}
    if over:
        raise ValueError(
            f"the tape has {tape.slots} slots and was written {over}: the later rows are lost. Make it with more slots."
        )
    for probe, reference, count, steps, kept in zip(
        probes, references, tape.counts, tape.steps, tape.rows, strict=True
    ):
        held = host(kept)
        taken = [jax.tree.map(lambda leaf, i=i: leaf[i], held) for i in range(int(count))]
        yield [int(s) for s in steps[: int(count)]], [probe.row(one, reference.memory) for one in taken]


def _noted(
    probe: Probe,
    start: PyTree,
    count: Array,
    steps: Array,
    kept: PyTree,
    step: Array,
    params: PyTree,
    state: PyTree,
    slots: int,
) -> tuple[Array, Array, Any]:
    """One row more if the probe is due."""

    def write(carry: tuple[Array, Array, Any]) -> tuple[Array, Array, Any]:
        count, steps, kept = carry
        # a full tape keeps its rows and counts on, so that extend can say so
        at = jnp.minimum(count, slots)
        new = measure(probe, params, start, state)
        kept = jax.tree.map(lambda all_, one: all_.at[at].set(one.astype(all_.dtype), mode="drop"), kept, new)
        return count + 1, steps.at[at].set(step, mode="drop"), kept

    return jax.lax.cond(probe.due_traced(step), write, lambda carry: carry, (count, steps, kept))
