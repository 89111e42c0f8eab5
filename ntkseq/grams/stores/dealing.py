"""How do the workers of an executor fill a store? They write chunks themselves; only how many comes back."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import pathlib
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, as_completed
from typing import Any

import numpy as np

from ntkseq.grams import executors
from ntkseq.grams.sides import Sides
from ntkseq.grams.stores import filling
from ntkseq.grams.stores.chunks import Chunks


def fill(
    chunks: Chunks,
    pair: Sides,
    which: np.ndarray,
    workers: int | None,
    tick: Callable[[int], Any],
    *,
    executor: Executor,
) -> None:
    """Compute and write the chunks `which` (k, 2) by the workers of an executor.

    The prepared examples lie in the store while it is filled; a worker reads them once. A task whose worker dies is
    done again as far as its chunks are not there, where the executor sees to that, as that of dask.distributed does.

    Args:
        chunks, pair, which, tick: as of `filling.fill`.
        workers: threads of one task on a CPU; one if None.
        executor: its workers must see the folder of the store.

    Raises:
        ValueError: values that overflow the dtype, or a kernel that cannot be sent to other processes.
        OSError: a chunk cannot be written, or workers were lost; all other chunks are there.
    """
    if not len(which):
        return
    work = len(which) * chunks.layout.chunk**2 * pair.kernel.entries_per_pair(pair.left) * pair.kernel.steps(pair.left)
    count = min(len(which), max(1, round(executors.tasks(work))))
    pending: dict[Any, int] = {}
    with examples(chunks.path, pair) as held:
        try:
            for part in np.array_split(which, count):
                pending[executor.submit(compute, chunks, held, part, workers or 1)] = len(part)
            for done in as_completed(list(pending)):
                done.result()
                tick(pending.pop(done))
        except Exception as error:
            raise executors.worded(error, [pair.kernel], stored=True) from error
        finally:
            for one in pending:
                one.cancel()


def compute(chunks: Chunks, held: Examples, which: np.ndarray, workers: int) -> None:
    """Write those of the chunks `which` that are not there yet: the task of a worker."""
    filling.fill(chunks, held.read(), which, workers, lambda count: None)


class Examples:
    """Prepared examples in a file, known by its SHA-256: what is sent to a worker in their place."""

    def __init__(self, file: pathlib.Path, digest: str) -> None:
        self.file, self.digest = file, digest

    def read(self) -> Sides:
        """The examples, read once in a process.

        Raises:
            OSError: the file is not there, or not what was written.
        """
        return _read(self.file, self.digest)


@contextlib.contextmanager
def examples(path: pathlib.Path, pair: Sides) -> Iterator[Examples]:
    """Prepared examples in the folder of a store, as long as they are needed there.

    Raises:
        ValueError: the kernel cannot be sent to other processes.
    """
    try:
        data = pickle.dumps(pair)
    except Exception as error:
        raise executors.worded(error, [pair.kernel]) from error
    digest = hashlib.sha256(data).hexdigest()
    file = path / f".{digest[:16]}.part"  # `Chunks.clean` takes away what a killed process left
    try:
        try:
            file.write_bytes(data)
        except OSError as error:
            reason = error.strerror or str(error)
            raise OSError(error.errno, f"{path} cannot be written ({reason}). Pass another store=.") from None
        yield Examples(file, digest)
    finally:
        with contextlib.suppress(OSError):
            file.unlink()


@functools.lru_cache(maxsize=1)
def _read(file: pathlib.Path, digest: str) -> Sides:
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        raise OSError(
            f"a worker does not find {file.name} in {file.parent}. All workers must see the folder of the store under "
            "one path; on several machines it lies on a file system that they share."
        ) from None
    if hashlib.sha256(data).hexdigest() != digest:
        raise OSError(f"{file} is not what was written there. Call again.")
    return pickle.loads(data)
