"""How is the Gram matrix of a file computed into a store, by one process or by many?"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import numpy as np

from ntkseq import _checks, _display, _memory, data, grams
from ntkseq.grams import estimates
from ntkseq.grams.stores import building, filling, processes
from ntkseq.studies import joining
from ntkseq.studies.kernel_options import KernelOptions
from ntkseq.studies.records import Reading, check_fields
from ntkseq.studies.tangent.size import SAID, about


@dataclasses.dataclass(frozen=True)
class Filling(KernelOptions, Reading):
    """The kernel matrix of the sequences in a file, in a folder on disk; a run that was stopped goes on.

    The same command again computes what is missing or damaged, and with more examples behind the same ones their rows.
    ntkseq status PATH says how far it is, also while it runs; ntkseq spectrum PATH takes it when it is finished.

    With --processes N it starts N processes on this machine. On several machines start the same command everywhere with
    --coordinator, and a PATH that all of them see; a process that dies is done without.

    Raises:
        ValueError: an option of another type, out of range, or that does not go with another.
    """

    file: str
    """A file with sequences, as ntkseq study reads it, or "digits"."""
    store: str
    """Folder for the matrix. It is made, or gone on with."""
    part: Literal["train", "test", "all"] = "train"
    """Which examples of a file with a test split: all are the training and then the test examples."""
    n: int | None = None
    """Use the first n examples."""
    tile: int | None = None
    """Rows of a tile. Default: chosen from the shapes."""
    workers: int | None = None
    """Threads of a process. Default: its cores."""
    processes: int | None = None
    """Start so many processes on this machine, each on its share of the cores."""
    coordinator: str | None = None
    """HOST:PORT where process 0 listens for the others, on process 0 too; or auto, where SLURM, Open MPI, ... tell each
    process who it is."""
    process_id: int | None = None
    """Which process this is, from 0 on."""
    num_processes: int | None = None
    """How many processes there are in all."""

    __repr__ = _display.record

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("n", "tile", "workers", "processes"):
            if getattr(self, name) is not None:
                _checks.positive_int(name, getattr(self, name))
        joining.check(self.coordinator, self.process_id, self.num_processes)
        if self.processes is not None and self.coordinator is not None:
            raise ValueError("processes start on this machine, coordinator joins those of others; got both. Take one.")
        self.choice  # noqa: B018  # refused now what makes no kernel


def filled(
    asked: Filling,
    *,
    say: Callable[[str], Any] | None = None,
    watch: Callable[[pathlib.Path], AbstractContextManager[Any]] | None = None,
) -> grams.StoredGram:
    """Compute what is missing.

    Args:
        asked: what is asked.
        say: called with lines on the data before anything is computed, and when a process is lost.
        watch: called with the path of the store; the context it returns is held while it is filled.

    Raises:
        ValueError: data that do not fit, or a store of another kernel or other examples.
        OSError: the file cannot be read, the store cannot be written, another process is filling it, processes were
            lost, or the others did not come.

    Example:
        >>> import pathlib, tempfile
        >>> from ntkseq import studies
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     table = pathlib.Path(folder, "walks.csv")
        ...     _ = table.write_text("0.1,0.2,0.3,up\\n0.3,0.1,0.2,down\\n0.5,0.1,0.4,down\\n")
        ...     K = studies.filled(studies.Filling(str(table), f"{folder}/K", read="last"))
        ...     K.shape, len(K.missing)
        ((3, 3), 0)
    """
    _checks.kind("asked", asked, Filling)
    say = say or (lambda line: None)
    path = building.check_path(asked.store)
    asked.check_dtype()
    (x, lengths), shape = _examples(asked, say)
    _say_size(asked, x, lengths, shape, path, say)
    fill, among = filling.fill, None
    if asked.coordinator is not None:
        say(f"waiting for the other processes, at most {joining.WAIT} s")
        among = joining.joined(asked.coordinator, asked.process_id, asked.num_processes)
        say(f"process {among[0]} of {among[1]}")
    elif asked.processes is not None:
        fill = functools.partial(processes.fill, count=asked.processes, say=say)
    with nullcontext() if watch is None else watch(path):
        return building.build(
            asked.build(shape),
            x,
            None,
            lengths,
            None,
            store=path,
            tile=asked.tile,
            workers=asked.workers,
            progress=False,
            fill=fill,
            among=among,
            apart=asked.processes is not None,
        )


def _say_size(asked: Filling, x: Any, lengths: Any, shape: tuple[int, int], path: pathlib.Path, say: Any) -> None:
    """Say how much a new store takes on disk, and how long where one process computes it on this machine.

    Raises:
        OSError: more than the disk has.
    """
    if path.exists() and any(path.iterdir()):
        return  # gone on with, or refused
    n = len(x)
    size, where = n * n * np.dtype(asked.dtype).itemsize, path.absolute()
    free = shutil.disk_usage(next(one for one in where.parents if one.exists())).free
    if size // 2 > free:
        raise OSError(
            f"{path}: a matrix {n} x {n} takes up to {_memory.text(size)} on disk; {_memory.text(free)} are free. Take "
            "fewer examples, --n, or another disk."
        )
    alone = asked.processes is None and asked.coordinator is None
    kernel, rows, workers = asked.build(shape), asked.tile, asked.workers
    found = estimates.seconds(kernel, x, lengths, tile=rows, workers=workers) if alone else None
    if found is not None or size > SAID:
        time = f"{about(found)}; " if found is not None else ""
        say(f"estimate: {time}up to {_memory.text(size)} on disk, {_memory.text(free)} are free")


def counted(path: pathlib.Path) -> tuple[int, int] | None:
    """How many chunks of a store are there, and of how many; None: it is not begun yet, or cannot be read now."""
    try:
        K = grams.open(path)
    except (ValueError, OSError):
        return None
    total = len(K.chunks.layout.chunks)
    return total - len(K.missing), total


def summary(K: grams.StoredGram) -> str:
    """A finished store in one line."""
    layout = K.chunks.layout
    size = len(layout.chunks) * layout.chunk**2 * layout.dtype.itemsize
    return (
        f"{K.path}: {K.shape[0]} x {K.shape[1]}, {K.dtype}, rounding {float(K.rounding):.3g}, {len(layout.chunks)} "
        f"chunks of {layout.chunk} rows, {_memory.text(size)}"
    )


def summary_record(K: grams.StoredGram) -> dict[str, Any]:
    """What `summary` says, by name."""
    layout = K.chunks.layout
    return {
        "path": str(K.path),
        "shape": list(K.shape),
        "dtype": str(K.dtype),
        "rounding": float(K.rounding),
        "chunks": len(layout.chunks),
        "rows_of_a_chunk": layout.chunk,
        "bytes": len(layout.chunks) * layout.chunk**2 * layout.dtype.itemsize,
    }


def _examples(asked: Filling, say: Callable[[str], Any]) -> tuple[tuple[Any, Any], tuple[int, int]]:
    """The sequences as the kernel takes them, and (t, d)."""
    if asked.file == "digits":
        if asked.said_of_file or asked.part == "test":
            raise ValueError(f"{(*asked.said_of_file, 'part')[0]} is for files; got file 'digits'. Leave it out.")
        x, _ = data.bundled.digits(dtype=asked.dtype)
        loaded = data.Dataset(x, None, name="digits")
    else:
        loaded = data.load(asked.file, dtype=asked.dtype, **asked.reading)
    for line in str(loaded).splitlines():
        say(line.strip())
    parts = [(loaded.x, loaded.lengths)] if asked.part != "test" else []
    if asked.part != "train":
        if loaded.x_test is None:
            raise ValueError(f"{loaded.name}: part {asked.part!r} needs a test split; the file has none.")
        parts.append((loaded.x_test, loaded.lengths_test))
    x = np.concatenate([np.asarray(one) for one, _ in parts])[: asked.n]
    ragged = [lengths for _, lengths in parts if lengths is not None]
    lengths = np.concatenate([np.asarray(one) for one in ragged])[: asked.n] if len(ragged) == len(parts) else None
    if asked.n is not None and asked.n > len(x):
        raise ValueError(f"{loaded.name}: n must be at most {len(x)}, the number of examples; got {asked.n}.")
    return asked.choice.inputs(x, lengths), x.shape[1:]
