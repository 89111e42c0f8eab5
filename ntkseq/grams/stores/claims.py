"""Who may fill a store? One command at a time: the lock of the operating system, which falls with the process."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import socket
import time
from collections.abc import Iterator

try:
    import fcntl
except ImportError:  # not on Windows: two writers then do the work twice, and write the same bytes
    fcntl = None

LOCK = "writer.lock"
_TRIES, _PAUSE = 3, 0.02  # seconds


@contextlib.contextmanager
def claimed(path: pathlib.Path) -> Iterator[None]:
    """The store at `path`, an existing folder, is this process's to fill, with whom it may ask to help.

    A lock of the operating system: that of a process that was killed is free at once. Where the file system knows no
    locks there is none. Two writers then do the same work, and no harm: chunks are replaced as a whole by the same
    bytes.

    Raises:
        OSError: another process is filling it, or there is no writing there.
    """
    file = path / LOCK
    try:
        handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(error.errno, f"{path} cannot be written ({reason}). Pass another store=.") from None
    try:
        _lock(handle, path)
        with contextlib.suppress(OSError):  # a full disk: the lock holds without a name on it
            os.ftruncate(handle, 0)
            os.write(handle, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode())
        yield
        with contextlib.suppress(OSError):
            os.ftruncate(handle, 0)
    finally:
        os.close(handle)


def writer(path: pathlib.Path) -> str:
    """Who fills the store now, "process 12 on host a"; empty where nobody does, or that cannot be told."""
    try:
        handle = os.open(path / LOCK, os.O_RDONLY)
    except OSError:
        return ""
    try:
        if fcntl is None:
            return ""
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return ""
    except BlockingIOError:
        return _named(handle)
    except OSError:
        return ""
    finally:
        os.close(handle)


def _lock(handle: int, path: pathlib.Path) -> None:
    if fcntl is None:
        return
    try:
        for _ in range(_TRIES):  # `writer` looks by holding it for a moment
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                time.sleep(_PAUSE)
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OSError(
            error.errno,
            f"{path} is being filled by {_named(handle)}. Wait for it, or stop it; what is finished can be read "
            "meanwhile, grams.open(path).",
        ) from None
    except OSError:  # a file system without locks
        return


def _named(handle: int) -> str:
    try:
        about = json.loads(os.read(handle, 4096))
        return f"process {about['pid']} on {about['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
