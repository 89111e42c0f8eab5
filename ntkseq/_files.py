"""How does a file appear whole, or not at all?"""

from __future__ import annotations

import contextlib
import os
import pathlib
import tempfile
from collections.abc import Callable
from typing import Any


def mark(path: pathlib.Path) -> tuple[int, int, int] | None:
    """What tells one writing of a file from another; None: it is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def written(path: pathlib.Path, write: Callable[[Any], object]) -> None:
    """A file that appears whole, or not at all: what was there stays until the new one is on the disk.

    Raises:
        OSError: it cannot be written, with the path and the reason; nothing is left behind.
    """
    part = None
    try:
        handle, part = tempfile.mkstemp(prefix=f".{path.name}-", suffix=".part", dir=path.absolute().parent)
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(part, 0o666 & ~umask())  # mkstemp's are for the owner alone
        os.replace(part, path)
    except BaseException as error:
        if part is not None:
            with contextlib.suppress(OSError):
                os.unlink(part)
        if isinstance(error, OSError):
            reason = error.strerror or str(error)
            raise OSError(error.errno, f"{path} cannot be written ({reason}). Nothing was changed there.") from error
        raise


def umask() -> int:
    """The mode bits that new files of this process do not get."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
