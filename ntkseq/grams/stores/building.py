"""How is a store begun, resumed and extended? By one call, which computes what is not there."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import pathlib
import re
from typing import Any

import jax.numpy as jnp
import numpy as np

from ntkseq import _checks, _progress
from ntkseq._types import AnyKernel, Inputs, Lengths
from ntkseq.grams import meta, sides
from ntkseq.grams.stores import block_sides, claims, filling, record, sharing
from ntkseq.grams.stores.chunks import Chunks, DamagedChunk, checksum
from ntkseq.grams.stores.layout import ROWS, Layout, chosen
from ntkseq.grams.stores.stored import StoredGram
from ntkseq.kernels import lists

MOST_ROWS = 4 * ROWS
"""Chunks in a row of the matrix, up to which a store is extended: beyond, its chunks were made for too few examples."""


def build(
    kernel: AnyKernel,
    x: Inputs,
    x2: Inputs | None,
    lengths: Lengths,
    lengths2: Lengths,
    *,
    store: str | os.PathLike[str],
    tile: int | None = None,
    workers: int | None = None,
    progress: bool | None = None,
    fill: filling.Fill = filling.fill,
    among: tuple[int, int] | None = None,
    blocks: bool = True,
    apart: bool = False,
) -> StoredGram:
    """The stored Gram matrix at a path, with all of its chunks: see `ntkseq.gram`.

    Args:
        kernel, x, x2, lengths, lengths2, tile, workers, progress: as of `gram`.
        store: the folder; made where it is not there.
        fill: who computes the missing chunks.
        among: (index, count) where so many processes call with the same arguments; the first one begins the store.
        blocks: whether `fill` takes examples that are prepared block by block, see `block_sides`.
        apart: whether `fill` computes in other processes.

    Raises:
        ValueError: the store is of another kernel, of other inputs or of another version.
        OSError: it cannot be written, or somebody else is filling it.
        ImportError: the package crc32c is not installed.
    """
    path = check_path(store)
    checksum(b"")  # without the package nothing is begun
    if meta.between_tasks(kernel):
        raise ValueError(
            "store= takes kernels between examples, one tile after the other; got kernels.Meta, between few-shot "
            "tasks. Take gram(kernel, x), or lazy(kernel, x) where it does not fit."
        )
    x, x2 = lists.read(kernel, x), lists.read(kernel, x2)
    both, given = ((x, x2), (lengths, lengths2)), {"workers": workers, "apart": apart or among is not None}
    found = _Found(path)
    held = found.now()
    rows = tile or (None if held is None else held.layout.tile)
    pair = block_sides.of(kernel, *both, rows=rows, **given) if blocks else None
    if pair is None:
        rows = rows or block_sides.rows_of(kernel, *both)
        pair = sides.prepare(kernel, x, x2, lengths, lengths2, wanted="a stored Gram", rows=rows)
        if not bool(jnp.isfinite(pair.diagonal).all()):
            raise sides.overflow(pair.diagonal.dtype)
    if pair.diagonal.dtype not in (jnp.float32, jnp.float64):
        raise ValueError(f"store= takes float32 and float64; got {pair.diagonal.dtype}. Cast x.")
    asked = record.asked(pair, chosen(pair, pair.block_rows or tile, workers), *both)
    if held is not None:
        _check(path, held, asked, tile)  # before a place to write is asked for
    pair = pair.named(asked, path)
    if among is not None:
        fill = functools.partial(sharing.fill, index=among[0], count=among[1], by=fill)
        if among[0] > 0:
            return _joined(found, asked, pair, workers, fill)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(error.errno, f"{path} cannot be written ({reason}). Pass another store=.") from None
    with claims.claimed(path):
        if (held := found.now()) is not None:
            _check(path, held, asked, tile)  # nobody writes it from here on
        pair.begin()
        pair, wanted = _seen(path, held, asked, pair, both)
        chunks = _begun(path, held, wanted, np.asarray(pair.diagonal) if pair.symmetric else None)
        which = chunks.missing()
        work = len(which) * chunks.layout.chunk**2 * kernel.entries_per_pair(pair.left) * kernel.steps(pair.left)
        with _progress.bar(progress, work, len(which), unit="chunk", name="gram") as bar:
            fill(chunks, pair, which, workers, (lambda count: None) if bar is None else bar.update)
        block_sides.finished(path)
    return StoredGram(path)


class _Found:
    """The record of the store at a path, which is read again where another process has written it meanwhile."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path, self._mark, self._record = path, None, None

    def now(self) -> record.Record | None:
        """The record; None: no store was begun here."""
        mark = record.mark(self.path)  # before it is read: what is written in between is read again next time
        if mark is None:
            return None
        if mark != self._mark or self._record is None:
            self._mark, self._record = mark, record.read(self.path)
        return self._record


def _seen(
    path: pathlib.Path,
    held: record.Record | None,
    asked: record.Record,
    pair: sides.Sides,
    both: tuple[Any, Any],
) -> tuple[sides.Sides, record.Record]:
    """The sides with their diagonal, the record with its rounding: those of the store, if it is of as many examples.

    Only then no example has to be prepared for them, which may take as long as the chunks that are missing.
    """
    if held is not None and held.layout.shape == asked.layout.shape:
        with contextlib.suppress(DamagedChunk):
            pair = pair.known(lambda: _diagonal(path, held))
            return pair, dataclasses.replace(asked, entrywise=held.entrywise, rounding=held.rounding)
    pair = pair.seen(*both)
    return pair, record.known(asked, pair)


def _joined(
    found: _Found, wanted: record.Record, pair: sides.Sides, workers: int | None, fill: filling.Fill
) -> StoredGram:
    """Help to fill a store that another process begins."""
    path = found.path

    def there() -> bool:
        held = found.now()
        if held is None:
            return False
        _check(path, held, wanted, None)
        return held.layout.shape == wanted.layout.shape  # or else it is going to be extended

    sharing.begun(path, there)
    held = found.now()
    assert held is not None
    chunks = Chunks(path, held.layout).create()
    if len(which := chunks.missing()):
        _check_version(path, held, wanted)
        pair = pair.known(lambda: _diagonal(path, held))
        fill(chunks, pair, which, workers, lambda count: None)
    return StoredGram(path)


def check_path(store: str | os.PathLike[str]) -> pathlib.Path:
    """The absolute path of a store, which may not be there yet.

    Raises:
        ValueError: no path, or a file, or a folder with something else in it.
    """
    given = _checks.path("store", store, "a folder")
    address = re.match(r"[A-Za-z][\w+.-]+:/", given)  # two letters at least: C:/ is a drive
    if address or given.startswith("~"):
        what = "an address" if address else "no folder before the shell has read it"
        raise ValueError(
            f"store must be the path of a folder that this machine sees; got {given!r}, {what}. Mount it, or pass "
            "pathlib.Path(...).expanduser()."
        )
    path = pathlib.Path(given).absolute()
    if path.is_file():
        raise ValueError(f"store must be the path of a folder; got {str(path)!r}, which is a file.")
    if path.is_dir() and not record.there(path):
        strange = [one.name for one in path.iterdir() if one.name != claims.LOCK]
        strange = [name for name in strange if not name.startswith((".", "diagonal-"))]  # of a run killed at the start
        if strange:
            raise ValueError(
                f"store must be a new folder, or that of a stored Gram; got {str(path)!r}, which has no {record.FILE} "
                f"and holds {_checks.shown(sorted(strange)[0])}. Pass another path, or remove what is there."
            )
    return path


def _check(path: pathlib.Path, held: record.Record, wanted: record.Record, tile: int | None) -> None:
    differ = record.differences(held, wanted)
    if differ:
        fewer = any(f"{name} had " in one for one in differ for name in ("x", "x2"))
        hint = " Of fewer examples: grams.open(path).take(slice(0, n))." if fewer else ""
        if wanted.x["lengths"] and any("shape of an example" in one for one in differ):
            hint = " Sequences that get longer: begin with all padded to as many steps as the longest will have."
        raise ValueError(
            f"{path} is the store of another Gram matrix: {'; '.join(differ)}. Pass what it was made with, or another "
            f"store=.{hint}"
        )
    if tile is not None and tile != held.layout.tile:
        raise ValueError(f"tile must be {held.layout.tile}, as in {path}, or left out; got {tile}.")


def _check_version(path: pathlib.Path, held: record.Record, wanted: record.Record) -> None:
    if held.by.get("ntkseq") != wanted.by.get("ntkseq"):
        raise ValueError(
            f"{path} was begun by ntkseq {held.by.get('ntkseq')}, and not all of it is there; this is "
            f"{wanted.by.get('ntkseq')}, whose entries may be others. Finish it with the first, or pass another store=."
        )


def _begun(
    path: pathlib.Path,
    held: record.Record | None,
    wanted: record.Record,
    diagonal: np.ndarray | None,
) -> Chunks:
    """The chunks of the store, which is begun, cleaned, extended, where that has to be; damaged ones are taken away.

    What is not replaced in one move is taken away first and said afterwards: a process that is killed here leaves a
    store that lacks chunks, and none that holds wrong ones.
    """
    if held is None:
        record.write(path, wanted, diagonal)
        return Chunks(path, wanted.layout).create()
    chunks, layout = Chunks(path, held.layout), _grown(path, held.layout, wanted.layout.shape)
    chunks.clean()
    gone = {*chunks.damaged(), *_edges(held.layout, layout)}
    lacking = len(chunks.missing()) + len(gone) > 0 or layout != held.layout
    if lacking:
        _check_version(path, held, wanted)
    for i, j in gone:
        chunks.drop(i, j)
    if layout != held.layout or not _whole(path, held):
        record.write(path, dataclasses.replace(wanted, layout=layout, by=held.by), diagonal)
    return Chunks(path, layout).create()


def _grown(path: pathlib.Path, held: Layout, shape: tuple[int, int]) -> Layout:
    """The layout for at least as many examples, in the same chunks."""
    layout = dataclasses.replace(held, shape=shape)
    if max(layout.grid) > max(MOST_ROWS, *held.grid):
        raise ValueError(
            f"{path} has chunks of {held.chunk} rows, made for {max(held.shape)} examples; {max(shape)} would be "
            f"{len(layout.chunks)} files. Pass another store=, which gets larger ones."
        )
    return layout


def _edges(held: Layout, grown: Layout) -> list[tuple[int, int]]:
    """The chunks that hold the end of the matrix and will hold more."""
    ends = [len_ // held.chunk if len_ % held.chunk and len_ < more else -1
            for len_, more in zip(held.shape, grown.shape, strict=True)]  # fmt: skip
    return [(i, j) for i, j in held.chunks.tolist() if i == ends[0] or j == ends[1]]


def _diagonal(path: pathlib.Path, held: record.Record) -> np.ndarray | None:
    """The diagonal beside the chunks; None of a matrix of two sets.

    Raises:
        DamagedChunk: it is not what was written.
    """
    return record.diagonal(path, held) if held.layout.symmetric else None


def _whole(path: pathlib.Path, held: record.Record) -> bool:
    """Whether that is what was written."""
    try:
        _diagonal(path, held)
    except DamagedChunk:
        return False
    return True
