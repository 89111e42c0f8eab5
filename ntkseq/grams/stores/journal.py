"""Who computed which chunk of a store? Each process appends what it wrote to a file of its own, by/HOST-PID."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import pathlib
import re
import socket

FOLDER = "by"
_NAME = re.compile(r"(.+)-(\d+)")


@dataclasses.dataclass(frozen=True)
class Part:
    """What one process did.

    Attributes:
        host, pid: which process.
        chunks: the chunks that it wrote, in their order; of one that was computed again, both.
        last: when it wrote the last of them, in seconds since 1970, as the file system says.
    """

    host: str
    pid: int
    chunks: tuple[tuple[int, int], ...]
    last: float


def note(path: pathlib.Path, i: int, j: int) -> None:
    """This process wrote chunk (i, j) of the store at `path`; that the note cannot be written is no harm."""
    with contextlib.suppress(OSError), open(path / FOLDER / _own(os.getpid()), "ab", buffering=0) as file:
        file.write(b"%d %d\n" % (i, j))


def begin(path: pathlib.Path) -> None:
    """Make the folder of the notes."""
    with contextlib.suppress(OSError):
        (path / FOLDER).mkdir(exist_ok=True)


def read(path: pathlib.Path) -> list[Part]:
    """What every process did, the last to write first."""
    found = []
    with contextlib.suppress(OSError):
        for file in (path / FOLDER).iterdir():
            if (name := _NAME.fullmatch(file.name)) is None:
                continue
            with contextlib.suppress(OSError):  # another process may tidy up meanwhile
                last, lines = file.stat().st_mtime, file.read_text(encoding="ascii", errors="replace").splitlines()
                pairs = [line.split() for line in lines]
                chunks = tuple((int(p[0]), int(p[1])) for p in pairs if len(p) == 2 and all(n.isdecimal() for n in p))
                found.append(Part(name[1], int(name[2]), chunks, last))
    return sorted(found, key=lambda part: -part.last)


@functools.lru_cache(maxsize=4)
def _own(pid: int) -> str:
    return f"{re.sub(r'[^A-Za-z0-9_.-]', '_', socket.gethostname())}-{pid}"
