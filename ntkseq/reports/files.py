"""How do the three files of a report come into a folder, all of them or none?"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
from collections.abc import Callable
from types import TracebackType

import numpy as np

from ntkseq import _checks
from ntkseq._files import umask
from ntkseq.grams.base import Gram
from ntkseq.reports import leftovers
from ntkseq.reports.sheet import Sheet

NAMES = ("report.html", "report.json", "arrays.npz")

FLAGS = ("rounding_stated", "rounding_estimated", "sampled")
"""What arrays.npz says of the rounding of K beside its size."""


class Folder:
    """The place of a report, reserved before the work begins.

    Entering makes a hidden folder beside the wanted one, so that a place that cannot be written shows at once. `write`
    fills it and moves the files to where they belong; leaving removes it in every case, also after an error or Ctrl-C.

    What a killed run left of such hidden folders is cleaned at the next entering, except that of a run that still goes.

    Args:
        path: the folder wanted; parents are made.
        overwrite: replace the files of an earlier report. Other files in the folder are left alone.

    Attributes:
        placed: whether the files are where they belong.

    Raises:
        ValueError: the path is a file, or a folder that holds something and `overwrite` was not said.
        OSError: it cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as parent, Folder(f"{parent}/a") as folder:
        ...     folder.path.name
        'a'
    """

    def __init__(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        self.path = pathlib.Path(_checks.path("path", path, "a folder"))
        self.overwrite = _checks.flag("overwrite", overwrite)
        self._work: pathlib.Path | None = None
        self._made: list[pathlib.Path] = []
        self._held: int | None = None
        self.placed = False

    def __repr__(self) -> str:
        return f"Folder({str(self.path)!r}{', overwrite=True' if self.overwrite else ''})"

    def __enter__(self) -> Folder:
        parent = self.path.absolute().parent
        leftovers.sweep(self.path)
        self._check()
        try:
            self._made = [folder for folder in (parent, *parent.parents) if not folder.exists()]
            parent.mkdir(parents=True, exist_ok=True)
            self._work, self._held = leftovers.reserved(self.path)
        except OSError as error:
            self._leave()
            raise self._unwritable(error) from error
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._leave()

    def write(self, report: Sheet, *, look: Callable[[], None] = lambda: None) -> pathlib.Path:
        """Write report.html, report.json and arrays.npz.

        Args:
            report: what to write.
            look: called before the files move to where they belong; what it raises leaves nothing there.

        Raises:
            OSError: no space, not permitted, ...; then none of the files is there, or the old ones as they were.
        """
        from ntkseq.reports.page import page  # late: needs jinja2 and matplotlib

        if self._work is None:
            raise ValueError("Folder.write belongs inside `with Folder(path) as folder:`; got a folder not entered.")
        text = json.dumps(report.to_dict(), indent=1, allow_nan=False)
        html = page(report)
        try:
            (self._work / "report.json").write_text(text + "\n", encoding="utf-8")
            (self._work / "report.html").write_text(html, encoding="utf-8")
            np.savez_compressed(self._work / NAMES[-1], allow_pickle=False, **report.arrays)
            self._check()
            look()
            self._place(self._work)
            self.placed = True
        except OSError as error:
            raise self._unwritable(error) from error
        self._made = []
        return self.path

    def _check(self) -> None:
        if self.path.is_dir():
            if not self.overwrite and any(self.path.iterdir()):
                raise ValueError(
                    f"out: {self.path} is there already and holds files. Choose another folder, or pass overwrite "
                    "(--overwrite) to replace the report in it."
                )
        elif self.path.exists() or self.path.is_symlink():
            raise ValueError(
                f"out: {self.path} is a file; wanted a folder to write a report into. Choose another name."
            )

    def _place(self, work: pathlib.Path) -> None:
        """Move the whole folder where there is none; else the files, with the old ones kept until all are there."""
        with contextlib.suppress(OSError):
            self.path.rmdir()  # an empty one: os.rename onto it works on some systems only
        if not self.path.exists():
            work.chmod(0o777 & ~umask())  # mkdtemp's are for the owner alone
            os.rename(work, self.path)
            return
        old, moved = work / "old", []
        old.mkdir()
        try:
            for name in NAMES:
                if (self.path / name).exists():
                    os.replace(self.path / name, old / name)
                moved.append(name)
                os.replace(work / name, self.path / name)
        except BaseException:  # Ctrl-C too
            for name in moved:
                (self.path / name).unlink(missing_ok=True)
            for name in NAMES:
                if (old / name).exists():
                    os.replace(old / name, self.path / name)
            raise

    def _leave(self) -> None:
        if self._work is not None:
            self.placed = self.placed or not self._work.exists()  # interrupted right after the move
            shutil.rmtree(self._work, ignore_errors=True)
            self._work = None
        if self._held is not None:
            os.close(self._held)
            self._held = None
        for folder in self._made:  # innermost first
            with contextlib.suppress(OSError):
                folder.rmdir()
        self._made = []

    def _unwritable(self, error: OSError) -> OSError:
        reason = error.strerror or str(error)
        return OSError(
            error.errno,
            f"out: {self.path} cannot be written ({reason}). Nothing was left there. Choose another folder.",
        )


def flags(gram: Gram) -> dict[str, np.ndarray]:
    """What a file says of the rounding of a Gram beside its size; see `studies.stored`."""
    known = (gram.stated, gram.estimated, gram.sampling is not None)
    return dict(zip(FLAGS, map(np.asarray, known), strict=True))
