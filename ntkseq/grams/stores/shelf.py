"""Where do prepared examples lie that do not fit in memory? In files beside the chunks; some of them in memory.

A file is the numbers of one block, then their CRC-32C, moved to its place when it is whole. Its name is a digest of all
that its bytes depend on: kernel, examples, rows, versions. What does not have the right name, size or checksum is made
again.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import errno
import os
import pathlib
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from ntkseq import _devices
from ntkseq._types import PyTree
from ntkseq.grams import host
from ntkseq.grams.blockwise import Programs
from ntkseq.grams.stores.chunks import checksum

FOLDER = ".prepared"
"""In the folder of a store, while it is filled."""
_LINE = 64  # bytes at which the numbers of a leaf begin: where they are, JAX takes them as they lie
_TAIL = 4


@dataclasses.dataclass
class _Held:
    """A block that somebody wants: in memory, or on its way there."""

    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)
    users: int = 0
    side: Any = None
    buffer: np.ndarray | None = None


class Shelf:
    """Prepared blocks by name: as many as may be in memory, all of them in files if `path` is given.

    Attributes:
        path: the folder of the files; None: all are in memory.
        programs: which says what a block looks like, and where it lies.
        most: blocks in memory at once, those that are in use among them.
        calls: how many tiles are computed at once, each in the `gate`.
    """

    def __init__(self, path: pathlib.Path | None, programs: Programs, most: int, calls: int) -> None:
        self.path, self.programs, self.most, self.calls = path, programs, most, calls
        self.gate = threading.BoundedSemaphore(calls)
        self._held: collections.OrderedDict[str, _Held] = collections.OrderedDict()
        self._free: list[np.ndarray] = []
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return Shelf, (self.path, self.programs, self.most, self.calls)

    @contextlib.contextmanager
    def only(self, most: int) -> Iterator[None]:
        """A `with` in which fewer blocks are in memory."""
        before, self.most = self.most, most
        try:
            yield
        finally:
            self.most = before

    @contextlib.contextmanager
    def taken(self, name: str, make: Callable[[], PyTree]) -> Iterator[Any]:
        """A `with` in which a block is in memory: from there, from its file, or made."""
        with self._lock:
            held = self._held.setdefault(name, _Held())
            held.users += 1
            self._held.move_to_end(name)
            for other in [key for key, one in self._held.items() if not one.users]:
                if len(self._held) <= self.most:
                    break
                self._give_back(self._held.pop(other).buffer)
        try:
            with held.lock:
                if held.side is None:
                    held.side, held.buffer = self._found(name, make)
            yield held.side
        finally:
            with self._lock:
                held.users -= 1

    def _found(self, name: str, make: Callable[[], PyTree]) -> tuple[Any, np.ndarray | None]:
        """A block from its file, and the bytes that it lies in; where no file is whole it is made, and written."""
        if self.path is not None:
            with self._lock:
                buffer = self._free.pop() if self._free else None
            buffer = self.buffer() if buffer is None else buffer
            if (side := self.read(name, buffer)) is not None:
                return side, buffer
            with self._lock:
                self._give_back(buffer)
        side = make()
        self.write(name, side)
        return side, None

    def _give_back(self, buffer: np.ndarray | None) -> None:
        """Let the bytes of a block that nobody uses take another one: JAX lets go of them some time later."""
        if buffer is not None:
            self._free.append(buffer)

    def buffer(self) -> np.ndarray:
        """Bytes for one block."""
        return host.aligned((1, sum(map(_room, jax.tree.leaves(self.programs.like)))), np.uint8)[0]

    def write(self, name: str, side: PyTree) -> None:
        """Put a block into its file, whole or not at all.

        Raises:
            OSError: it cannot be written, as where the disk is full.
        """
        if self.path is None:
            return
        part = self.path / f".{name}-{uuid.uuid4().hex}.part"
        try:
            code = 0
            with open(part, "wb", buffering=0) as file:
                for leaf in jax.tree.leaves(side):
                    for piece in _pieces(np.asarray(leaf)):
                        code = checksum(piece, code)
                        while len(piece):
                            piece = piece[file.write(piece) :]
                file.write(code.to_bytes(_TAIL, "little"))
            os.replace(part, self.path / name)
        except BaseException as error:
            with contextlib.suppress(OSError):
                part.unlink()
            if isinstance(error, FileNotFoundError):
                return  # another process has finished the matrix, and taken the folder away
            if isinstance(error, OSError):
                reason = error.strerror or str(error)
                raise OSError(
                    error.errno or errno.EIO,
                    f"prepared examples cannot be written beside {self.path.parent} ({reason}). What is finished "
                    "stays: make room, or allow more memory=, and the same call goes on from there.",
                ) from None
            raise

    def read(self, name: str, into: np.ndarray) -> Any:
        """A block from its file, read into these bytes, in which it lies on a CPU; None where none is whole."""
        if self.path is None:
            return None
        leaves, tree = jax.tree.flatten(self.programs.like)
        ends = np.cumsum([_room(leaf) for leaf in leaves])
        try:
            with open(self.path / name, "rb", buffering=0) as file:
                view, got = into.data, 0
                while got < len(view) and (count := file.readinto(view[got:])):
                    got += count
                tail = file.read(_TAIL + 1)
        except OSError:
            return None
        if got < len(into) or len(tail) != _TAIL or int.from_bytes(tail, "little") != checksum(into.data):
            return None
        starts = (ends - [_room(leaf) for leaf in leaves]).tolist()
        arrays = [
            into[start : start + _size(leaf)].view(leaf.dtype).reshape(leaf.shape)
            for start, leaf in zip(starts, leaves, strict=True)
        ]
        laid = [_devices.laid(array, self.programs.place) for array in arrays]
        return jax.tree.unflatten(tree, jax.block_until_ready(laid))  # a device may copy later, other bytes by then

    def keep(self, names: set[str]) -> None:
        """Take away all files but these; only while nobody else writes."""
        if self.path is not None:
            for file in list(self.path.iterdir()):
                if file.name not in names:
                    file.unlink(missing_ok=True)


def _size(leaf: Any) -> int:
    return int(np.prod(leaf.shape)) * leaf.dtype.itemsize


def _room(leaf: Any) -> int:
    return -(-_size(leaf) // _LINE) * _LINE


def _pieces(array: np.ndarray) -> Iterator[memoryview]:
    """The bytes of an array, and zeros up to where the next one begins."""
    data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    yield data.data
    yield memoryview(bytes(-len(data) % _LINE))
