"""Which examples meet which, where they are prepared block by block? `Sides` whose blocks lie in memory or in files."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntkseq import _devices, _memory, _precision
from ntkseq._types import AnyKernel
from ntkseq.grams import host, sides
from ntkseq.grams.blockwise import Blocks, Programs
from ntkseq.grams.sides import Sides
from ntkseq.grams.stores import identity
from ntkseq.grams.stores.layout import chunk_rows
from ntkseq.grams.stores.record import Record
from ntkseq.grams.stores.shelf import FOLDER, Shelf
from ntkseq.kernels.base import Kernel
from ntkseq.kernels.footprint import Footprint

_SEEN = 4
"""The part of the memory that is left to what looks at blocks once they are made: diagonal and rounding."""
_IDLE = 8
"""Tiles for each thread, whose memory may lie idle in the allocator: it keeps some for every one."""


@dataclasses.dataclass(frozen=True, eq=False)
class BlockSides(Sides):
    """Two sets of examples, or one with itself, in blocks of a tile's rows. `left` and `right` are shapes of a block.

    Attributes:
        programs: what is computed of blocks.
        blocks: the examples of the rows and of the columns.
        names: of each block, by which its file is known.
        shelf: where prepared blocks lie.
        spilled: whether that is in files, for there is no memory for all.
        tight: whether what programs took has to go back to the system at once.
        stated: what the kernel states of its rounding, once all blocks were seen.
        beside: the trace of the columns of two sets with themselves, likewise.
    """

    programs: Programs = None  # pyright: ignore[reportAssignmentType]  what follows defaults has one
    blocks: tuple[Blocks, Blocks] = ()  # pyright: ignore[reportAssignmentType]
    names: tuple[list[str], list[str]] = ([], [])
    shelf: Shelf = None  # pyright: ignore[reportAssignmentType]
    spilled: bool = False
    tight: bool = False
    stated: float = float("nan")
    beside: float = float("nan")

    def __getstate__(self) -> dict[str, Any]:
        state = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return state | {"kernel": None, "mesh": None, "diagonal": np.asarray(self.diagonal)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        with _precision.setting(state["x64"]):
            state = state | {"kernel": state["programs"].kernel, "diagonal": jnp.asarray(state["diagonal"])}
        for name, value in state.items():
            object.__setattr__(self, name, value)

    @property
    def shape(self) -> tuple[int, int]:
        return self.blocks[0].n, self.blocks[1].n

    @property
    def ready(self) -> bool:
        self.programs.compile()
        return True

    @property
    def block_rows(self) -> int:
        return self.programs.rows

    @property
    def on_cpu(self) -> bool:
        return self.programs.on_cpu

    def tiles(self, pairs: np.ndarray, size: int) -> np.ndarray:
        return np.stack([self._tile(i, j) for i, j in pairs.tolist()])

    def order(self, pairs: np.ndarray) -> np.ndarray:
        """Some rows with one column after the other: the blocks of the rows stay in memory meanwhile."""
        rows = max(1, self.shelf.most - self.shelf.calls - 1)
        return pairs[np.lexsort((pairs[:, 0], pairs[:, 1], pairs[:, 0] // rows))]

    def entry_rounding(self) -> float:
        return self.stated

    def known(self, read: Callable[[], np.ndarray | None]) -> BlockSides:
        """The same with the diagonal that a store holds, so that no example has to be prepared for it."""
        diagonal = read()
        return self if diagonal is None else dataclasses.replace(self, diagonal=jnp.asarray(diagonal))

    def sparing(self) -> contextlib.AbstractContextManager[None]:
        return _memory.returned() if self.tight else contextlib.nullcontext()

    def seen(self, x: tuple[Any, Any], lengths: tuple[Any, Any]) -> BlockSides:
        """The same with its diagonal and its rounding: every block is prepared, and what does not fit is written.

        The rounding is the largest that the kernel states of a block: of two blocks with e_a = 2 h_a + h_a^2 + g s_a^2
        the entries between them have h_a + h_b + h_a h_b + g s_a s_b <= (e_a + e_b) / 2, as in `cross_rounding`.

        Raises:
            ValueError: values that leave the range of the dtype.
            OSError: a block cannot be written.
        """
        found, e = [], 0.0
        with self.sparing(), self.shelf.only(1) if self.spilled else contextlib.nullcontext():
            for which in (0,) if self.symmetric else (0, 1):
                own = []
                for k in range(self.blocks[which].count):
                    diagonal, rounding = self._looked(which, k)
                    own.append(diagonal)
                    e = max(e, rounding)
                found.append(np.concatenate(own))
        made = dataclasses.replace(self, stated=e, beside=float(np.sum(found[-1].astype(np.float64))))
        done = sides.completed(made, jnp.asarray(found[0]), x, lengths, full=False, wanted="a stored Gram")
        assert isinstance(done, BlockSides)
        if not bool(jnp.isfinite(done.diagonal).all()):
            raise sides.overflow(done.diagonal.dtype)
        return done

    def _looked(self, which: int, k: int) -> tuple[np.ndarray, float]:
        """The diagonal and the rounding of a block; a function, since a name of the block would hold it for longer."""
        with self._taken(which, k) as side:
            own = np.asarray(self.programs.own(side))[: self.blocks[which].inside(k)]
            return own, float(self.kernel.entry_rounding(side))

    def trace_of_columns(self) -> float:
        return self.beside

    def named(self, record: Record, path: pathlib.Path) -> BlockSides:
        """The same, its blocks known by all that their bits depend on, and their files in the folder of a store."""
        shapes = [[list(leaf.shape), str(leaf.dtype)] for leaf in jax.tree.leaves(self.left)]
        platform = sorted({device.platform for device in self.programs.place.device_set})
        common = json.dumps([identity.without_memory(record.kernel), dict(record.by), record.x64, shapes, platform])

        def names(blocks: Blocks, x: Any) -> list[str]:
            digests = identity.digests(x)
            meta = json.dumps([common, x["dtype"], x["shape"], x["lengths"]])
            parts = [digests[k * blocks.rows : (k + 1) * blocks.rows] for k in range(blocks.count)]
            return [hashlib.blake2b(json.dumps([meta, part]).encode(), digest_size=12).hexdigest() for part in parts]

        left = names(self.blocks[0], record.x)
        right = left if record.x2 is None else names(self.blocks[1], record.x2)
        self.shelf.path = path / FOLDER if self.spilled else None
        return dataclasses.replace(self, names=(left, right))

    def begin(self) -> None:
        """Make the folder of the files, and take away what is of no use; only while nobody else writes.

        Raises:
            OSError: it cannot be made.
        """
        if (path := self.shelf.path) is not None:
            path.mkdir(exist_ok=True)
            self.shelf.keep({name for names in self.names for name in names})

    def _tile(self, i: int, j: int) -> np.ndarray:
        with self.shelf.gate, self._taken(0, i) as left, self._taken(1, j) as right:
            return self.programs.tile(left, right)

    def _taken(self, which: int, k: int) -> Any:
        blocks = self.blocks[which]
        return self.shelf.taken(self.names[which][k], lambda: self.programs.prepared(*blocks.at(k)))


def of(
    kernel: AnyKernel,
    x: tuple[Any, Any],
    lengths: tuple[Any, Any],
    *,
    rows: int | None,
    workers: int | None,
    apart: bool,
) -> BlockSides | None:
    """The sides of a matrix whose examples are prepared block by block; None where they are little.

    Nothing is made yet.

    Args:
        kernel, x, lengths: of both sets; x[1] is None for one with itself.
        rows: of a block, and of a tile, if they are given.
        workers: threads.
        apart: whether other processes compute, which then read the blocks from files.

    Raises:
        ValueError: bad inputs; several numbers for each pair; too little memory.
    """
    if not isinstance(kernel, Kernel) or _devices.ambient() is not None:
        return None
    symmetric = x[1] is None
    if symmetric and lengths[1] is not None:
        return None  # `sides.prepare` says so
    footprint = kernel.footprint(x[0], lengths[0])
    if footprint is None or (not symmetric and kernel.footprint(x[1], lengths[1]) is None):
        return None
    threads, size = workers or host.cores(), rows or _rows(x, footprint)
    while True:
        left = Blocks(x[0], lengths[0], size)
        right = left if symmetric else Blocks(x[1], lengths[1], size)
        programs = Programs(kernel, left)
        if not symmetric:
            kernel.check_pair(programs.like, Programs(kernel, right).like)
        sides.one_number(programs.diagonal.shape, full=False, wanted="a stored Gram")
        at_work = _chunks(max(left.n, right.n), size, threads, programs)
        memory = footprint.memory - at_work
        need = programs.making + programs.meeting
        wanted = need if rows is not None or size == 1 else need + 2 * programs.bytes  # few are read again and again
        if wanted <= memory - memory // _SEEN:
            break
        if rows is not None or size == 1:
            raise ValueError(
                f"memory= must allow {_memory.text(at_work + need * _SEEN / (_SEEN - 1))} for blocks of {size} "
                f"{'example' if size == 1 else 'examples'} and what is computed of them; got "
                f"{_memory.text(footprint.memory)}. "
                + (
                    'Allow more, or take method="products".'
                    if size == 1
                    else "Allow more, or begin with a lower tile=."
                )
            )
        size //= 2
    count = left.count + (0 if symmetric else right.count)
    spilled, calls, most = _shared(programs, count, memory, min(threads, left.count * right.count), apart)
    idle = _IDLE * max(calls, host.cores()) * programs.beside
    held_at_once = programs.making + count * programs.bytes + calls * programs.beside
    slack = memory // _SEEN if spilled else memory - held_at_once
    shelf = Shelf(None, programs, most, calls)
    like = {"left": programs.like, "right": programs.like, "diagonal": jnp.zeros((), programs.diagonal.dtype)}
    held = {"programs": programs, "blocks": (left, right), "shelf": shelf, "spilled": spilled}
    return BlockSides(kernel, symmetric=symmetric, tight=slack < idle, **like, **held)


def _shared(programs: Programs, count: int, memory: int, calls: int, apart: bool) -> tuple[bool, int, int]:
    """Whether `count` blocks are spilled into files, tiles that are computed at once, and blocks that are in memory.

    What blocks were made in need not all go back to the system before tiles are computed, so both count.
    """
    size, beside = programs.bytes, programs.beside
    every, made = size * count, programs.making - size
    free = memory - memory // _SEEN - every - made
    if not apart and 2 * every <= memory and beside <= free:
        return False, max(1, min(calls, free // max(1, beside))), count
    memory -= programs.making + memory // _SEEN
    calls = max(1, min(calls, memory // programs.meeting))
    return True, calls, max(2 * calls, (memory - calls * beside) // size)


def _chunks(most: int, size: int, threads: int, programs: Programs) -> int:
    """Bytes of the chunks that are at work at once, see `filling.fill`."""
    rows = max(size, chunk_rows(most, one_piece=True))
    return (threads + 5) * rows**2 * programs.diagonal.dtype.itemsize


def finished(path: pathlib.Path) -> None:
    """Take away the files of a store whose matrix is whole."""
    shutil.rmtree(path / FOLDER, ignore_errors=True)


def rows_of(kernel: AnyKernel, x: tuple[Any, Any], lengths: tuple[Any, Any]) -> int | None:
    """Rows of a block where there is memory for all; None of examples that are little."""
    footprint = kernel.footprint(x[0], lengths[0]) if isinstance(kernel, Kernel) else None
    return None if footprint is None else _rows(x, dataclasses.replace(footprint, each=0))


def _rows(x: tuple[Any, Any], footprint: Footprint) -> int:
    """Rows of a block to begin with: as many as a chunk has, or as few as two of them fit with all that they need."""
    rows = chunk_rows(max(len(jax.tree.leaves(one)[0]) for one in x if one is not None), one_piece=True)
    while rows > 1 and 4 * rows * footprint.each > footprint.memory:
        rows //= 2
    return rows
