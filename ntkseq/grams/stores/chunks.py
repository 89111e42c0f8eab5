"""How do chunks of a matrix lie on disk? As a zarr v3 array that says of each chunk whether it is there, and whole.

The folder is what zarr-python and tensorstore read: zarr.json, and chunk (i, j) in c/i/j, its numbers in row order and
little-endian, then their CRC-32C. A chunk is written beside its place and moved there, so it is there whole or not at
all; what a killed process left half written begins with a dot, and counts for nothing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import pathlib
import re
import uuid
from collections.abc import Iterator
from typing import Any

import numpy as np

from ntkseq import _files
from ntkseq.grams.stores import journal
from ntkseq.grams.stores.layout import Layout

_TAIL = 4  # bytes of a CRC-32C
_ROWS = 64  # read at a time where they are only looked at
_LEFT = re.compile(r"\..*\.part|.*\.__lock|.*\.partial")  # of this library, tensorstore, zarr-python


class MissingChunk(ValueError):
    """A chunk that was not computed yet."""


class DamagedChunk(OSError):
    """A chunk whose bytes are not those that were written."""


def checksum(data: Any, before: int = 0) -> int:
    """The CRC-32C of a buffer; `before`: that of what comes before it.

    Raises:
        ImportError: the package crc32c is not installed.
    """
    try:
        import crc32c
    except ImportError:
        raise ImportError('store= needs crc32c; install it with pip install "ntkseq[store]".') from None
    return crc32c.crc32c(data, before)


@dataclasses.dataclass(frozen=True)
class Chunks:
    """The chunks of a stored matrix. Made by `create` or `opened`; any number of processes may write at once.

    It can be pickled: it holds the path and the layout.
    """

    path: pathlib.Path
    layout: Layout

    def create(self) -> Chunks:
        """Make the folder and say in zarr.json what lies in it; chunks that are there stay.

        Raises:
            OSError: it cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            for i in range(self.layout.grid[0]):
                (self.path / "c" / str(i)).mkdir(parents=True, exist_ok=True)
            journal.begin(self.path)
        except OSError as error:
            reason = error.strerror or str(error)
            raise OSError(error.errno, f"{self.path} cannot be written ({reason}). Pass another store=.") from None
        text = json.dumps(_metadata(self.layout), indent=1)
        if not _same(self.path / "zarr.json", text):
            _files.written(self.path / "zarr.json", lambda file: file.write(text.encode()))
        return self

    def file(self, i: int, j: int) -> pathlib.Path:
        """Where chunk (i, j) lies."""
        return self.path / "c" / str(i) / str(j)

    def there(self) -> np.ndarray:
        """Which chunks are there, (rows, columns) of the grid; each folder is listed once."""
        rows, columns = self.layout.grid
        found = np.zeros((rows, columns), bool)
        for i in range(rows):
            with contextlib.suppress(FileNotFoundError), os.scandir(self.path / "c" / str(i)) as listed:
                names = [int(entry.name) for entry in listed if entry.name.isdecimal()]
                found[i, [j for j in names if j < columns]] = True
        return found

    def missing(self) -> np.ndarray:
        """(k, 2): the indices of the chunks that are not there, row by row."""
        chunks = self.layout.chunks
        return chunks[~self.there()[chunks[:, 0], chunks[:, 1]]]

    def write(self, i: int, j: int, values: np.ndarray) -> None:
        """Put chunk (i, j) in its place, whole or not at all: (chunk, chunk), or the part within the matrix.

        Raises:
            OSError: it cannot be written, as where the disk is full; all others are as they were.
        """
        c, layout = self.layout.chunk, self.layout
        if values.shape != (c, c):
            whole = np.full((c, c), np.nan, layout.dtype)
            whole[: values.shape[0], : values.shape[1]] = values
            values = whole
        data = np.ascontiguousarray(values, layout.dtype.newbyteorder("<")).data.cast("B")
        end = checksum(data).to_bytes(_TAIL, "little")
        path = self.file(i, j)
        part = path.with_name(f".{j}-{uuid.uuid4().hex}.part")  # processes of two machines may have one number
        try:
            _write(part, data, end)
            try:
                os.replace(part, path)
            except FileNotFoundError:  # a command that began meanwhile took it for what a killed process left
                _write(part, data, end)
                os.replace(part, path)
        except BaseException as error:
            with contextlib.suppress(OSError):
                part.unlink()
            if isinstance(error, OSError):
                reason = error.strerror or str(error)
                raise OSError(
                    error.errno or errno.EIO,
                    f"chunk ({i}, {j}) of {self.path} cannot be written ({reason}). What is finished stays: the same "
                    "call goes on from there.",
                ) from None
            raise

    def read(self, i: int, j: int, into: np.ndarray | None = None) -> np.ndarray:
        """Chunk (i, j) as far as it lies within the matrix, checked against its checksum.

        Args:
            i, j: which.
            into: from `buffer`, to be used again; the values are a view of it.

        Raises:
            MissingChunk: it was not computed yet.
            DamagedChunk: it is not what was written.
        """
        into = self.buffer() if into is None else into
        for values in self.strips(i, j, into):
            return values
        raise AssertionError

    def strips(self, i: int, j: int, into: np.ndarray) -> Iterator[np.ndarray]:
        """Chunk (i, j) as far as it lies within the matrix, as many rows at a time as `into` has room for.

        Each is a view of `into`, good until the next. The last comes only when the checksum holds; what was made of
        those before is to be thrown away where it does not.

        Args:
            i, j: which.
            into: from `buffer`.

        Raises:
            MissingChunk: it was not computed yet.
            DamagedChunk: it is not what was written.
        """
        layout, (rows, columns) = self.layout, self.layout.part(i, j)
        c, high, wide = layout.chunk, rows.stop - rows.start, columns.stop - columns.start
        each = min(c, len(into) // (c * layout.dtype.itemsize))
        view, total, code = into.data, 0, 0
        try:
            with open(self.file(i, j), "rb", buffering=0) as file:
                for start in range(0, c, each):
                    size = min(each, c - start) * c * layout.dtype.itemsize
                    if (got := _filled(file, view[:size])) < size:
                        raise self._damaged(i, j, f"it has {total + got} bytes, wanted {self._size}")
                    total, code = total + size, checksum(view[:size], code)
                    if start + each >= c:
                        self._look(i, j, file.read(_TAIL + 1), code)
                    if start < high:
                        values = into[:size].view(layout.dtype.newbyteorder("<")).reshape(-1, c)
                        yield values[: high - start, :wide]
        except IsADirectoryError:
            raise DamagedChunk(
                errno.EISDIR, f"chunk ({i}, {j}) of {self.path} is damaged: {self.file(i, j)} is a folder. Remove it."
            ) from None
        except FileNotFoundError:
            raise MissingChunk(
                f"chunk ({i}, {j}) of {self.path} is not computed yet. Finish it with "
                "ntkseq.gram(kernel, x, store=...)."
            ) from None

    @property
    def _size(self) -> int:
        """Bytes of a file."""
        return self.layout.chunk**2 * self.layout.dtype.itemsize + _TAIL

    def _look(self, i: int, j: int, tail: bytes, code: int) -> None:
        """Whether the bytes behind the numbers of a chunk are their checksum, and the last of the file."""
        if len(tail) != _TAIL:
            raise self._damaged(i, j, f"it has {'fewer' if len(tail) < _TAIL else 'more'} than {self._size} bytes")
        if int.from_bytes(tail, "little") != code:
            raise self._damaged(i, j, "its checksum does not hold")

    def _damaged(self, i: int, j: int, why: str) -> DamagedChunk:
        return DamagedChunk(
            errno.EIO,
            f"chunk ({i}, {j}) of {self.path} is damaged: {why}. ntkseq.gram(kernel, x, store=...) computes it again.",
        )

    def buffer(self, rows: int | None = None) -> np.ndarray:
        """Bytes for some rows of a chunk; None: for all."""
        return np.empty(
            min(rows or self.layout.chunk, self.layout.chunk) * self.layout.chunk * self.layout.dtype.itemsize, np.uint8
        )

    def damaged(self) -> list[tuple[int, int]]:
        """The chunks that are there and not whole: all are read."""
        into, found = self.buffer(_ROWS), []
        for i, j in self.layout.chunks[self.there()[tuple(self.layout.chunks.T)]]:
            try:
                for _ in self.strips(int(i), int(j), into):
                    pass
            except DamagedChunk:
                found.append((int(i), int(j)))
        return found

    def drop(self, i: int, j: int) -> None:
        """Chunk (i, j) is not there any more.

        Raises:
            OSError: a folder stands in its place.
        """
        if self.file(i, j).is_dir():
            raise OSError(errno.EISDIR, f"chunk ({i}, {j}) of {self.path}: {self.file(i, j)} is a folder. Remove it.")
        self.file(i, j).unlink(missing_ok=True)

    def clean(self) -> None:
        """Take away what killed processes left half written; only while nobody else writes."""
        for folder in (self.path, *(self.path / "c" / str(i) for i in range(self.layout.grid[0]))):
            with contextlib.suppress(FileNotFoundError), os.scandir(folder) as listed:
                for entry in list(listed):
                    if _LEFT.fullmatch(entry.name):
                        with contextlib.suppress(FileNotFoundError):
                            os.unlink(entry.path)


def _write(path: pathlib.Path, *pieces: Any) -> None:
    with open(path, "wb", buffering=0) as file:
        for piece in map(memoryview, pieces):
            while len(piece):
                piece = piece[file.write(piece) :]


def _filled(file: Any, view: memoryview) -> int:
    """How many bytes of a file came into a buffer: fewer than it holds where the file ends."""
    got = 0
    while got < len(view) and (count := file.readinto(view[got:])):
        got += count
    return got


def _metadata(layout: Layout) -> dict[str, Any]:
    """What zarr.json says; see the specification of zarr v3."""
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(layout.shape),
        "data_type": layout.dtype.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [layout.chunk, layout.chunk]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": "NaN",
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}],
        "dimension_names": ["row", "column"],
        "attributes": {"symmetric": layout.symmetric},
    }


def _same(path: pathlib.Path, text: str) -> bool:
    try:
        return path.read_text(encoding="utf-8") == text
    except (OSError, UnicodeDecodeError):
        return False
