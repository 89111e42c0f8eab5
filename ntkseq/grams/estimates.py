"""What will a Gram matrix cost? Some of its tiles, or the matrices of a few examples, are timed."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import itertools
import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import scipy  # its parts load when they are first used

from ntkseq import _checks, _display, _memory, _precision
from ntkseq._types import Inputs, Lengths
from ntkseq.grams import entries, host, meta, sampling, sides
from ntkseq.kernels import lists
from ntkseq.kernels.base import Kernel, Scaled, Side, Sum

WORTH = 2e9
"""Pair-steps, about a second of one core, from which on tiles are timed."""
FACTOR = 3.0
"""The time lies within this factor of the estimate, either way, while the machine stays as busy as it was: `tests`."""
ROUNDS = 5
LONG_ENOUGH = 0.5
"""Seconds of rounds that are enough."""
FEW = 16
"""Examples of the smallest matrix, where matrices are timed and not tiles."""
LARGER = 1.0
"""Seconds that the largest of them is to take."""
LONG = 10.0
"""Seconds that one must foretell, at the most, for a larger one to be worth its program where nobody asked."""


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a Gram matrix takes on this machine, as it is busy now.

    Attributes:
        shape: rows and columns.
        seconds: expected time of `gram`, once compiled.
        cpu_seconds: the same as time of all processors together.
        compile_seconds: what compiling took here; within the same process `gram` finds the program of tiles compiled,
            and compiles once more where matrices of a few examples were timed.
        result_bytes: of the matrix.
        work_bytes: beside it, by the kernel's own count: prepared examples, tiles at work, matrices of the batches of
            a sampled kernel. What a kernel in one piece holds on its way is not counted.
        tiles: the number of them; 1 for a kernel that computes its matrix in one piece.
        measured: what was timed.
        factor: time and processor time lie within this factor of what is expected, either way, while the machine stays
            as busy as it was.
    """

    shape: tuple[int, int]
    seconds: float
    cpu_seconds: float
    compile_seconds: float
    result_bytes: int
    work_bytes: int
    tiles: int
    measured: str
    factor: float = FACTOR

    __repr__ = _display.record

    @property
    def interval(self) -> tuple[float, float]:
        """The least and the most seconds expected."""
        return self.seconds / self.factor, self.seconds * self.factor

    def __str__(self) -> str:
        (n, m), (low, high) = self.shape, self.interval
        return (
            f"{n} x {m}: about {self.seconds:.2g} s ({low:.2g} to {high:.2g} s) once compiled, compiled in "
            f"{self.compile_seconds:.2g} s; {_memory.text(self.result_bytes)} and {_memory.text(self.work_bytes)} at "
            f"work; by {self.measured}"
        )


def cost(
    kernel: Kernel,
    x: Inputs,
    x2: Inputs | None = None,
    *,
    lengths: Lengths = None,
    lengths2: Lengths = None,
    tile: int | None = None,
    workers: int | None = None,
) -> Cost:
    """The time and the memory that `gram` takes with the same arguments, before it is asked for.

    Some tiles are computed, by the program that computes the rest. A kernel that computes matrices in one piece
    (empirical ones, sampled ones) is timed on matrices of a few examples, spread over x, and more until one takes about
    a second: they tell the part per example and the part per pair. Of little work that is the whole matrix.

    Args:
        kernel: any `Kernel` but one between few-shot tasks.
        x: n inputs, for sequences (n, t, d).
        x2: m other inputs for a cross Gram (n, m).
        lengths, lengths2: (n,) and (m,) lengths of sequences padded on the right.
        tile: rows of a tile; chosen from the shapes if None.
        workers: threads on a CPU; all usable cores if None.

    Raises:
        ValueError: what `gram` refuses, of examples that are timed, or a kernel between few-shot tasks.

    Example:
        >>> import jax
        >>> from ntkseq import grams, kernels
        >>> x = jax.random.normal(jax.random.key(0), (40, 6, 3))
        >>> found = grams.cost(kernels.Recurrent(sigma_w=1.4), x)
        >>> found.shape, found.result_bytes, found.seconds < 60
        ((40, 40), 6400, True)
    """
    sides.on_host(kernel, x, x2, lengths, lengths2)
    tile, workers = sides.sizes(tile, workers)
    if meta.between_tasks(kernel):
        raise ValueError(
            "cost takes a kernel between inputs; got one between few-shot tasks. Pass its base and the points of tasks."
        )
    if not isinstance(kernel, Kernel):
        raise ValueError(f"kernel must be an ntkseq Kernel; got {type(kernel).__name__}. See ntkseq.kernels.")
    found = _Asked(kernel, (x, x2), (lengths, lengths2), tile, workers).cost(0.0)
    assert found is not None
    return found


def seconds(
    kernel: Kernel,
    x: Inputs,
    lengths: Lengths = None,
    *,
    tile: int | None = None,
    workers: int | None = None,
    worth: float = WORTH,
) -> float | None:
    """The seconds of `cost`, where it is worth being measured; None for less work than `worth`, and between tasks."""
    if meta.between_tasks(kernel):
        return None
    found = _Asked(kernel, (x, None), (lengths, None), tile, workers).cost(worth)
    return None if found is None else found.seconds


@dataclasses.dataclass(frozen=True)
class _Timed:
    """Seconds and processor seconds of one run, the seconds that the first one took more, and of what matrix."""

    wall: float
    cpu: float
    compiled: float
    examples: int = 0
    pairs: int = 0
    outputs: int = 1
    itemsize: int = 4


def _timed(run: Callable[[], Any], rounds: int = ROUNDS) -> _Timed:
    """The median of some runs after the first, until they are long enough."""
    start = time.perf_counter()
    run()
    first, walls, cpus = time.perf_counter() - start, [], []
    while len(walls) < rounds and (len(walls) < 2 or sum(walls) < LONG_ENOUGH):
        start, busy = time.perf_counter(), time.process_time()
        run()
        walls.append(time.perf_counter() - start)
        cpus.append(time.process_time() - busy)
    wall = statistics.median(walls)
    return _Timed(wall, statistics.median(cpus), max(first - wall, 0.0))


@dataclasses.dataclass(frozen=True)
class _Asked:
    """The matrix that is asked for: inputs and lengths of rows and of columns."""

    kernel: Any
    x: tuple[Any, Any]
    lengths: tuple[Any, Any]
    tile: int | None
    workers: int | None

    def cost(self, worth: float) -> Cost | None:
        """What it takes; None for less work than `worth` pair-steps, or what counts for as little in one piece."""
        asked: Any = {"full": True, "wanted": "a Gram matrix"}
        by_batches = self.kernel.sampled and self.x[1] is None
        if not by_batches and (self.tile is not None or not _in_one_piece(self.kernel)):
            pair = sides.prepare(self.kernel, *self.x, *self.lengths, **asked)
            if pair.on_cpu and pair.outputs is None:
                task, calls = pair.task(self.tile, self.workers)
                if pair.work(task) < worth or (worth and task.plan.calls < 4 * calls):
                    return None
                if task.plan.calls >= 4 * calls:
                    return self._by_tiles(pair, task, calls)
        few = self._part(self._share())  # of the shapes that are timed: compiled once
        return self._by_matrices(sides.prepare(self.kernel, *few.x, *few.lengths, later=True, **asked), worth)

    def _by_tiles(self, pair: sides.Sides, task: Any, calls: int) -> Cost:
        """As many batches of tiles as run at once count for all of them. The program is that of `gram`."""
        batches = list(itertools.islice(task.plan.batches(), calls))

        def work(which: int, values: host.Values | None) -> None:
            with _precision.setting(pair.x64):
                block = np.asarray(task.compute(batches[which]))
            if values is not None:
                values.write(batches[which], block)

        values = _new(task)  # written over and over: a page that is touched first costs more than its share of a tile
        start = time.perf_counter()
        work(0, None)  # compiles; threads that start together would compile the same program each
        first = time.perf_counter() - start
        with concurrent.futures.ThreadPoolExecutor(calls) as pool:
            found = _timed(lambda: list(pool.map(lambda which: work(which, values), range(calls))))
        sizes = (task.plan.size, task.plan.batch, pair.x64)
        host.program_of(task.kernel, task.left, task.right, sizes).empty = False
        prepared = _bytes(task.left) + (0 if pair.symmetric else _bytes(task.right))
        held = self.kernel.entries_per_pair(task.left) * task.plan.batch * task.plan.size**2
        itemsize, share = task.diagonal.dtype.itemsize, task.plan.calls / calls
        return Cost(
            task.shape,
            found.wall * share,
            found.cpu * share,
            max(first - found.wall, 0.0),
            task.shape[0] * task.shape[1] * itemsize,
            prepared + calls * held * itemsize,
            len(task.plan.pairs),
            f"{calls * task.plan.batch} of {len(task.plan.pairs)} tiles",
        )

    def _by_matrices(self, pair: sides.Sides, worth: float) -> Cost | None:
        """By matrices of more and more examples, until one takes half of `LARGER`."""
        n, m = self._counts()
        share = self._share()
        runs = [self._part(share)._timed()]
        while (last := runs[-1]).pairs < n * m and last.wall < LARGER / 2:
            if worth and last.wall * n * m / last.pairs < LONG:
                return None
            share = min(1.0, share * min(8.0, 1.5 * (LARGER / last.wall) ** 0.5))
            runs.append(self._part(share)._timed())
        if worth and last.wall * n * m / last.pairs < LONG:
            return None
        outputs, itemsize = last.outputs, last.itemsize
        prepared = _bytes(pair.left) / len(jax.tree.leaves(pair.left)[0]) * (n if pair.symmetric else n + m)
        parts = self.kernel.parts(pair.left) if self.kernel.sampled and pair.symmetric else None
        batches = 0 if parts is None else len(parts.kernels) * n * m * itemsize
        timed = f"the matrices of {', '.join(str(run.pairs) for run in runs)} of {n * m} pairs"
        return Cost(
            (n * outputs, m * outputs),
            _extrapolated(runs, "wall", n + m, n * m),
            _extrapolated(runs, "cpu", n + m, n * m),
            last.compiled,
            n * m * outputs**2 * itemsize,
            round(prepared) + (batches if batches <= sampling.HELD else 0),
            1 if parts is None else len(parts.kernels),
            timed if last.pairs < n * m else "computing it",
        )

    def _timed(self) -> _Timed:
        """The time of this matrix."""
        (x, x2), (lengths, lengths2) = self.x, self.lengths
        options: Any = {"lengths": lengths, "lengths2": lengths2, "tile": self.tile, "workers": self.workers}

        def run() -> Any:
            return jax.block_until_ready(entries.gram(self.kernel, x, x2, **options, progress=False).array)

        rows, columns = self._counts()
        found, values = _timed(run, rounds=2), run()
        known = {"examples": rows + columns, "pairs": rows * columns, "outputs": len(values) // rows}
        return dataclasses.replace(found, **known, itemsize=values.dtype.itemsize)

    def _share(self) -> float:
        """The share of the rows and of the columns that makes a matrix of few."""
        n, m = self._counts()
        return min(1.0, FEW / max(n * m, 1) ** 0.5)

    def _part(self, share: float) -> _Asked:
        """The matrix of a share of the rows and of the columns, spread evenly over all of them."""
        (x, x2), (lengths, lengths2) = self.x, self.lengths
        x, lengths = _spread(self.kernel, "x", x, lengths, share)
        if x2 is not None:
            x2, lengths2 = _spread(self.kernel, "x2", x2, lengths2, share)
        return dataclasses.replace(self, x=(x, x2), lengths=(lengths, lengths2))

    def _counts(self) -> tuple[int, int]:
        """Rows and columns, in examples."""
        n = _count(self.kernel, self.x[0])
        return n, n if self.x[1] is None else _count(self.kernel, self.x[1])


def _in_one_piece(kernel: Any) -> bool:
    """Whether the kernel, or one that it is made of, computes matrices in one piece."""
    if isinstance(kernel, Sum):
        return _in_one_piece(kernel.first) or _in_one_piece(kernel.second)
    if isinstance(kernel, Scaled):
        return _in_one_piece(kernel.kernel)
    return isinstance(kernel, Kernel) and type(kernel).tile_rows is not Kernel.tile_rows


def _extrapolated(runs: list[_Timed], which: str, examples: int, pairs: int) -> float:
    """A constant, a part per example and a part per pair, none below 0, from the times of matrices that grow.

    Two matrices tell no constant: the second takes so much longer that there is none to speak of.
    """
    last, times = runs[-1], np.array([getattr(run, which) for run in runs])
    if last.pairs == pairs:
        return float(times[-1])
    terms = np.array([[1.0, run.examples, run.pairs] for run in runs])[:, len(runs) < 3 :]
    weights = 1.0 / np.maximum(times, np.finfo(float).tiny)  # relative errors count
    wanted = np.array([1.0, examples, pairs])[len(runs) < 3 :]
    scale = terms[-1]
    solved, _ = scipy.optimize.nnls(terms / scale * weights[:, None], times * weights)
    return float(wanted / scale @ solved)


def _new(task: Any) -> host.Values | None:
    """The matrix of a task, empty: pages that are not written take no memory; None where it is too large even so."""
    try:
        return host.Values(task)
    except (MemoryError, ValueError):
        return None


def _bytes(side: Side) -> int:
    return sum(leaf.nbytes for leaf in jax.tree.leaves(side))


def _arrays(kernel: Any, x: Any) -> Any:
    """Inputs as what is indexed: a tree of arrays, and a list as one array but for a kernel that takes trees.

    What is none is left to who checks it.
    """
    return jax.tree.map(_array, lists.read(kernel, x))


def _array(leaf: Any) -> Any:
    """A leaf as an array, such as a table of pandas, whose own index is that of columns."""
    if not isinstance(leaf, (jax.Array, np.ndarray)):
        with contextlib.suppress(ValueError, TypeError, OverflowError):
            return np.asarray(leaf)
    return leaf


def _count(kernel: Any, x: Any) -> int:
    """The number of examples; 1 for what is none."""
    leaves = jax.tree.leaves(_arrays(kernel, x))
    return len(leaves[0]) if leaves and len(np.shape(leaves[0])) else 1


def _spread(kernel: Any, name: str, x: Any, lengths: Any, share: float) -> tuple[Any, Any]:
    """A share of the examples and their lengths, evenly spread."""
    arrays = _arrays(kernel, x)
    leaves = jax.tree.leaves(arrays)
    if not leaves or any(len(np.shape(leaf)) == 0 or len(leaf) != len(leaves[0]) for leaf in leaves):
        return x, lengths  # refused by the kernel
    n = len(leaves[0])
    if lengths is not None:
        lengths = _checks.host(f"lengths of {name}", lengths)
        if lengths.shape != (n,):
            raise ValueError(f"lengths of {name} must have shape ({n},), one per example; got {lengths.shape}.")
    which = np.arange(k := math.ceil(share * n)) * n // max(k, 1)
    return jax.tree.map(lambda leaf: leaf[which], arrays), None if lengths is None else lengths[which]
