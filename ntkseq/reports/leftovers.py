"""What did a killed run leave beside its report, and may it go? Hidden folders that nobody holds."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import shutil
import tempfile

try:
    import fcntl
except ImportError:  # no locks on Windows: what is left there stays
    fcntl = None

TRIES = 8


def reserved(path: pathlib.Path) -> tuple[pathlib.Path, int | None]:
    """A new hidden folder beside `path`, and the descriptor by which it is held until that is closed.

    Raises:
        OSError: it cannot be made.
    """
    for _ in range(TRIES):
        work = pathlib.Path(tempfile.mkdtemp(prefix=f".{path.name}-", suffix=".part", dir=path.absolute().parent))
        held = _hold(work)
        if work.exists():
            return work, held
        if held is not None:  # swept between the two lines above
            os.close(held)
    raise OSError(f"no folder beside {path} stayed")


def sweep(path: pathlib.Path) -> None:
    """Remove what killed runs left beside `path`; files of an earlier report that they had moved away come back."""
    named = re.compile(re.escape(f".{path.name}-") + r"[a-z0-9_]+\.part")
    with contextlib.suppress(OSError):
        for work in path.absolute().parent.iterdir():
            if not named.fullmatch(work.name) or work.is_symlink() or not work.is_dir():
                continue
            held = _hold(work)
            if held is None:
                continue
            try:
                _restored(work, path)
                shutil.rmtree(work, ignore_errors=True)
            finally:
                os.close(held)


def _restored(work: pathlib.Path, path: pathlib.Path) -> None:
    """Put back an earlier report if the new one was still on its way."""
    old = work / "old"
    if old.is_dir() and path.is_dir() and any(one.is_file() for one in work.iterdir()):
        for one in old.iterdir():
            os.replace(one, path / one.name)


def _hold(work: pathlib.Path) -> int | None:
    """A lock on a folder, which the system lifts when the process ends; None if another holds it, or there are none."""
    if fcntl is None:
        return None
    held = None
    try:
        held = os.open(work, os.O_RDONLY)
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        if held is not None:
            os.close(held)
        return None
    return held
