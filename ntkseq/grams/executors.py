"""How is a Gram matrix computed by the workers of an executor? Block by block, each sent with the examples it needs."""

from __future__ import annotations

import dataclasses
import math
import pickle
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, as_completed
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntkseq import _checks, _devices, _precision
from ntkseq._types import AnyKernel, PyTree
from ntkseq.grams import device, host, tiles
from ntkseq.grams.sides import Sides, in_numpy

TASKS = 128
"""Tasks that a matrix is dealt in: few, as each starts with its examples, and enough for workers of unlike speed."""
SHORTEST, LONGEST = 1e8, 6e10
"""Pair-steps of a task (about 50 ms and 30 s on one core): fewer tasks, or more, where they would leave that range."""

Block = tuple[slice, slice]
"""Some rows against some columns."""


def run(
    pairs: Sequence[Sides], executor: Executor, tile: int | None, workers: int | None, tick: Callable[[int], Any]
) -> list[tuple[Any, bool]]:
    """The whole matrix of each pair, and whether its values are finite: the bits that one process computes.

    A block is some rows against some columns, cut where tiles end, so that its tiles are those of the whole matrix.

    Args:
        pairs: checked sides.
        executor: takes a task for every block.
        tile: rows of a tile.
        workers: threads of one task on a CPU; one if None.
        tick: is given the number of batches of tiles that are done.

    Raises:
        ValueError: the kernel cannot be sent to other processes.
        OSError: workers were lost.
    """
    jobs = [_Job(pair, tile, workers) for pair in pairs]
    pending: dict[Any, tuple[_Job, Block]] = {}
    try:
        for job in jobs:
            for block in job.blocks:
                pending[executor.submit(compute, job.part(block), workers or 1)] = job, block
        for done in as_completed(list(pending)):
            job, block = pending.pop(done)
            job.place(block, *done.result())
            tick(job.ticks())
            if not job.finite:
                break
    except Exception as error:
        raise worded(error, [pair.kernel for pair in pairs]) from error
    finally:
        for one in pending:
            one.cancel()
    return [(_devices.placed(job.values, job.pair.diagonal), job.finite) for job in jobs]


@dataclasses.dataclass(frozen=True)
class Part:
    """What a block is computed from and how, as it is sent to a worker: arrays in NumPy.

    Attributes:
        kernel: of the matrix.
        left, right: prepared examples of the rows and of the columns.
        diagonal: the exact one, of the rows.
        shape: rows and columns; the examples may be more, the last of them repeated.
        own: whether it is a block of examples with themselves.
        size, batch: rows of a tile, and tiles of a call; no size: in one piece.
        x64: whether it is computed in JAX's 64-bit mode.
    """

    kernel: Any
    left: Any
    right: Any
    diagonal: np.ndarray
    shape: tuple[int, int]
    own: bool
    size: int | None
    batch: int
    x64: bool

    def __getstate__(self) -> dict[str, Any]:
        """In NumPy: JAX would read float64 back as float32 where it is in its 32-bit mode."""
        return self.__dict__ | {"kernel": in_numpy(self.kernel)}


def compute(part: Part, workers: int) -> tuple[np.ndarray, bool]:
    """One block, and whether its values are finite, on the default device of who computes it, in so many threads."""
    with _precision.setting(part.x64):
        kernel, left = part.kernel, jax.tree.map(jnp.asarray, part.left)
        right = left if part.own else jax.tree.map(jnp.asarray, part.right)
        if part.size is None:
            values = kernel.square_side(left) if part.own else kernel.tile(left, right)
            return np.asarray(values), bool(jnp.isfinite(values).all())
        plan = tiles.Plan(part.size, part.batch, tiles.indices(*part.shape, part.size, part.own))
        task = tiles.Task(kernel, left, right, plan, part.shape, jnp.asarray(part.diagonal), part.own)
        on_cpu = _devices.on_cpu(task.diagonal)
        values, finite = host.run(task, workers, _silent) if on_cpu else device.run(task, _silent)
        return np.asarray(values), finite


def worded(error: Exception, kernels: Sequence[AnyKernel], *, stored: bool = False) -> Exception:
    """What to raise where a task failed: one line that says what to do, where the workers failed and not the task.

    `stored`: whether the matrix goes into a store.
    """
    name = type(error).__name__  # KilledWorker is of dask.distributed, which is not imported here
    if isinstance(error, (BrokenExecutor, CancelledError)) or name == "KilledWorker":
        why = " ".join(str(error).split())
        kept = "The same call goes on with what is missing." if stored else "Pass store= to keep what is finished."
        return OSError(
            f"workers of the executor were lost before the matrix was whole ({name}{f': {why}' if why else ''}). Most "
            f"often they had too little memory: let fewer of them run at once. {kept}"
        )
    if isinstance(error, RuntimeError) and "after shutdown" in str(error):
        return ValueError("executor must take tasks; got one that was shut down. Call gram inside its `with`.")
    if isinstance(error, (pickle.PicklingError, AttributeError, TypeError)):
        for kernel in kernels:
            try:
                pickle.dumps(kernel)
            except Exception as unsent:
                return ValueError(
                    f"kernel cannot be sent to other processes; got {type(kernel).__name__} ({_checks.why(unsent)}). "
                    "Define its functions at the top of a module that the workers can import, or take an executor that "
                    "sends functions by value, such as that of dask.distributed."
                )
    return error


def refuse(executor: Executor | None, what: str) -> None:
    """Turn away a matrix that is not dealt in blocks.

    Raises:
        ValueError: there is an executor.
    """
    if executor is not None:
        raise ValueError(f"executor deals a kernel of one number per pair; got {what}. Leave executor out.")


class _Job:
    """One matrix that is put together from blocks of some rows and columns."""

    def __init__(self, pair: Sides, tile: int | None, workers: int | None) -> None:
        task, _ = pair.task(tile, workers)
        self.pair, self.plan, self.finite = pair, task.plan, True
        self.left, self.right = in_numpy(pair.left), in_numpy(pair.right)
        self.size = None if pair.in_one_piece(tile) else task.plan.size
        self.step = max(pair.shape) if self.size is None else _step(pair, task)
        (n, m), step = pair.shape, self.step
        self.blocks = [
            (slice(i, min(i + step, n)), slice(j, min(j + step, m)))
            for i in range(0, n, step)
            for j in range(i if pair.symmetric else 0, m, step)
        ]
        self.values: Any = None
        self._entries, self._placed, self._ticked = sum(math.prod(map(_length, one)) for one in self.blocks), 0, 0

    def part(self, block: Block) -> Part:
        """What a worker is sent for a block."""
        (rows, columns), pair, own = block, self.pair, self._own(block)
        left = _cut(self.left, rows, self.step)
        right = left if own else _cut(self.right, columns, self.step)
        diagonal = np.asarray(pair.diagonal)
        diagonal = diagonal[rows] if diagonal.ndim else diagonal
        shape = _length(rows), _length(columns)
        return Part(pair.kernel, left, right, diagonal, shape, own, self.size, self.plan.batch, pair.x64)

    def place(self, block: Block, values: np.ndarray, finite: bool) -> None:
        """Put a block where it belongs, on both sides of the diagonal."""
        rows, columns = block
        if self.values is None:
            self.values = host.aligned(self.pair.shape, values.dtype)
        self.values[rows, columns] = values
        if self.pair.symmetric and not self._own(block):
            self.values[columns, rows] = values.T
        self.finite &= finite
        self._placed += values.size

    def _own(self, block: Block) -> bool:
        return self.pair.symmetric and block[0] == block[1]

    def ticks(self) -> int:
        """The batches of tiles that came with the last block, counted so that all blocks bring all of them."""
        done = self.plan.calls * self._placed // self._entries
        new, self._ticked = done - self._ticked, done
        return new


def _step(pair: Sides, task: tiles.Task) -> int:
    """Rows of a block: whole tiles, so many that there are about as many blocks as there should be tasks."""
    (n, m), size, wanted = pair.shape, task.plan.size, tasks(pair.work(task))

    def count(step: int) -> int:
        rows, columns = -(-n // step), -(-m // step)
        return rows * (rows + 1) // 2 if pair.symmetric else rows * columns

    largest = -(-max(n, m) // size)
    step = next((k for k in range(1, largest) if count(k * size) <= wanted), largest)
    return size * -(-largest // -(-largest // step))  # blocks of one size, as far as that goes


def tasks(work: float) -> float:
    """In about how many tasks so many pair-steps are dealt."""
    return max(1.0, min(work / SHORTEST, max(TASKS, work / LONGEST)))


def _cut(side: PyTree, which: slice, step: int) -> Any:
    """Some examples; the last are repeated to `step`, so that all blocks are computed by one program."""
    if _length(which) == step:
        return jax.tree.map(lambda leaf: leaf[which], side)
    return jax.tree.map(lambda leaf: leaf[np.minimum(np.arange(which.start, which.start + step), len(leaf) - 1)], side)


def _length(which: slice) -> int:
    return which.stop - which.start


def _silent(count: int) -> None:
    pass
