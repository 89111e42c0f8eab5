"""How do the devices of a mesh compute a Gram matrix? By one program, in rounds: some tiles on each, then the next."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from ntkseq import _devices, _meshes, _vectors
from ntkseq._types import AnyKernel, PyTree
from ntkseq.grams import device, host, panels, tiles

AHEAD = 2
"""Rounds that devices are given before the results of the first are fetched."""
_ROUND_ENTRIES = 1 << 19  # of a CPU's part of a round: a program that runs some milliseconds hides its start


def run(task: tiles.Task, mesh: Mesh, tick: Callable[[int], Any]) -> tuple[jax.Array, bool]:
    """The Gram matrix beside its diagonal, and whether all its values are finite."""
    size, progress = task.plan.size, _Progress(task, tick)
    if not _devices.on_cpu(task.diagonal):
        found = ((part.pairs, part.data.reshape(-1, size, size)) for part in progress.along(rounds(task, mesh)))
        return device.collected(task, found)
    values = host.Values(task)
    for part in progress.along(rounds(task, mesh)):
        values.write(part.pairs, np.asarray(part.data).reshape(-1, size, size))
    return values.complete()


def blocks(task: tiles.Task, mesh: Mesh, which: np.ndarray | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The tiles of a Gram matrix on the host, some at a time: block index pairs (k, 2), values (k, size, size).

    The tiles on the diagonal of a symmetric matrix come as computed, not mirrored, and what is beyond the last example
    repeats it: `host.Values` puts both right.

    Args:
        task: the matrix.
        mesh: of one axis, see `_meshes.flat`.
        which: (k, 2), which of its block index pairs, such as a share of them; None: all.
    """
    for part in rounds(task, mesh, which):
        block = np.asarray(part.data).reshape(-1, task.plan.size, task.plan.size)
        yield part.pairs[: part.count], block[: part.count]


@dataclasses.dataclass(frozen=True)
class Part:
    """What one device computed in a round: `data` (rounds, batch, size, size), where it lies.

    `pairs` (rounds batch, 2): their block indices. After the first `count` the last one was repeated to fill the round.
    """

    pairs: np.ndarray
    count: int
    data: jax.Array


def rounds(task: tiles.Task, mesh: Mesh, which: np.ndarray | None = None) -> Iterator[Part]:
    """The tiles as `blocks`, each where it was computed; a device that is left without tiles is left out."""
    pairs = task.plan.pairs if which is None else which
    if not len(pairs):
        return
    each, batch = _sizes(task, len(pairs), mesh)
    program = _compute if _meshes.is_cpu(mesh) else _compute.plain
    waiting: deque[tuple[np.ndarray, int, jax.Array]] = deque()
    for panel in panels.of(task, mesh, pairs):
        for start in range(0, len(panel.pairs), mesh.size * each):
            chunk = panel.pairs[start : start + mesh.size * each]
            filled = np.concatenate([chunk, np.repeat(chunk[-1:], mesh.size * each - len(chunk), axis=0)])
            local = _meshes.split((filled - panel.origin).reshape(-1, batch, 2), mesh)
            with jax.set_mesh(mesh):  # that of the caller, if any, is another one
                data = program(panel.kernel, panel.left, panel.right, local, task.plan.size, mesh)
            waiting.append((filled, len(chunk), data))
            if len(waiting) > AHEAD:
                yield from _parts(*waiting.popleft(), each)
    while waiting:
        yield from _parts(*waiting.popleft(), each)


def _sizes(task: tiles.Task, count: int, mesh: Mesh) -> tuple[int, int]:
    """Tiles of a device in a round, so that as few as possible are left over, and how many of them at once."""
    batch = task.plan.batch
    on_cpu = _meshes.is_cpu(mesh)
    most = batch * (max(1, _ROUND_ENTRIES // (batch * task.plan.size**2)) if on_cpu else 1)
    number = -(-count // (mesh.size * most))
    each = -(-count // (mesh.size * number))
    return (-(-each // batch) * batch, batch) if on_cpu else (each, each)


def _parts(pairs: np.ndarray, count: int, data: jax.Array, each: int) -> Iterator[Part]:
    data.block_until_ready()  # else an accelerator would be handed all rounds at once, and memory for each
    for k, own in enumerate(_meshes.parts(data)):
        if count > k * each:
            yield Part(pairs[k * each : (k + 1) * each], min(each, count - k * each), own)


def _tiles(kernel: AnyKernel, left: PyTree, right: PyTree, pairs: jax.Array, size: int, mesh: Mesh) -> jax.Array:
    """The tiles (rounds of all devices, batch, size, size). Compiled once; a `jit` compiles again for each device."""

    def mine(kernel: AnyKernel, left: PyTree, right: PyTree, pairs: jax.Array) -> jax.Array:
        if pairs.shape[0] == 1:
            return tiles.tiles_of_pairs(kernel, left, right, pairs[0], size)[None]
        return jax.lax.map(lambda some: tiles.tiles_of_pairs(kernel, left, right, some, size), pairs)

    all_, some = PartitionSpec(), PartitionSpec(mesh.axis_names)
    return jax.shard_map(mine, mesh=mesh, in_specs=(all_, all_, all_, some), out_specs=some, check_vma=False)(
        kernel, left, right, pairs
    )


_compute = _vectors.Wide(_tiles, static_argnums=(4, 5))


class _Progress:
    """Lets a bar count the batches of a plan, however many tiles come at once."""

    def __init__(self, task: tiles.Task, tick: Callable[[int], Any]) -> None:
        self.plan, self.tick, self.tiles, self.batches = task.plan, tick, 0, 0

    def along(self, parts: Iterator[Part]) -> Iterator[Part]:
        """The same parts, counted."""
        for part in parts:
            yield part
            self.tiles += part.count
            ended = self.tiles == len(self.plan.pairs)
            batches = self.plan.calls if ended else self.tiles // self.plan.batch
            self.tick(batches - self.batches)
            self.batches = batches
