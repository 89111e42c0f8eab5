"""How do several processes of one machine fill a store? Each with its cores; those that are lost are done without."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing import connection
from typing import Any

import numpy as np

from ntkseq.grams import host
from ntkseq.grams.sides import Sides
from ntkseq.grams.stores import dealing, sharing
from ntkseq.grams.stores.chunks import Chunks

_PAUSE = 0.5  # seconds between two looks at what is there
_LEAVE = 5.0  # seconds that a process has to end


def fill(
    chunks: Chunks,
    pair: Sides,
    which: np.ndarray,
    workers: int | None,
    tick: Callable[[int], Any],
    *,
    count: int,
    say: Callable[[str], Any],
) -> None:
    """Compute and write the chunks `which` (k, 2) by `count` new processes of this machine, each on its own cores.

    Args:
        chunks, pair, which, tick: as of `filling.fill`.
        workers: threads of one process; its share of the cores if None.
        count: processes.
        say: is given a line when a process is lost.

    Raises:
        ValueError: values that overflow the dtype, or a kernel that cannot be sent to other processes.
        OSError: a chunk cannot be written, or all processes were lost; all other chunks are there.
    """
    if not len(which):
        return
    spawn = multiprocessing.get_context("spawn")  # JAX has threads, which a fork would leave in the middle of things
    running: dict[Any, tuple[Any, Any]] = {}
    with dealing.examples(chunks.path, pair) as held:
        try:
            for index in range(count):
                ours, theirs = spawn.Pipe(duplex=False)
                asked = (chunks, held, which, index, count, _cores(index, count), workers, theirs)
                process = spawn.Process(target=_work, args=asked, name=f"ntkseq {index}", daemon=True)
                process.start()
                theirs.close()
                running[process.sentinel] = process, ours
            _watch(chunks, running, len(which), tick, say)
        finally:
            _end([process for process, _ in running.values()])


def _watch(
    chunks: Chunks, running: dict[Any, tuple[Any, Any]], wanted: int, tick: Callable[[int], Any], say: Any
) -> None:
    """Until all processes are done; the error of one is that of all."""
    told, lost = 0, ""
    while running:
        ended = connection.wait(list(running), _PAUSE)
        left = len(chunks.missing())
        tick(wanted - left - told)
        told = wanted - left
        for sentinel in ended:
            process, ours = running.pop(sentinel)
            process.join()
            error = None
            with contextlib.suppress(EOFError, OSError):  # it was killed before it could say anything
                error = ours.recv() if ours.poll() else None
            if error is not None:
                raise error
            if process.exitcode != 0:
                lost = _lost(process)
                others = f"{len(running)} go on with its chunks" if running else "none is left"
                say(f"{lost} was lost; {others}")
    if lost and (left := len(chunks.missing())):
        raise OSError(
            f"all processes were lost, the last of them {lost}, and {left} chunks of {chunks.path} are not computed. "
            "Most often there was too little memory: take fewer processes. The same call goes on with what is missing."
        )


def _lost(process: Any) -> str:
    code = process.exitcode
    why = f"exit code {code}"
    if code < 0:
        with contextlib.suppress(ValueError):
            why = signal.Signals(-code).name
    return f"process {process.pid} ({why})"


def _end(processes: list[Any]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(_LEAVE)
        if process.exitcode is None:
            process.kill()
            process.join(_LEAVE)


def _cores(index: int, count: int) -> list[int]:
    """The cores of one of `count` processes, none of them another's, as far as there are so many."""
    if not hasattr(os, "sched_getaffinity"):
        return []
    cores = sorted(os.sched_getaffinity(0))
    shares = [part.tolist() for part in np.array_split(cores, count)]
    return shares[index] or [cores[index % len(cores)]]


def _work(
    chunks: Chunks,
    held: dealing.Examples,
    which: np.ndarray,
    index: int,
    count: int,
    cores: list[int],
    workers: int | None,
    pipe: Any,
) -> None:
    """What one process does; its error goes through the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the first process ends the others
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    if cores:
        os.sched_setaffinity(0, cores)  # before JAX counts them
    try:
        threads = workers or (len(cores) if cores else max(1, host.cores() // count))
        sharing.fill(chunks, held.read(), which, threads, lambda count: None, index=index, count=count)
    except Exception as error:
        pipe.send(error if isinstance(error, (ValueError, OSError, MemoryError)) else RuntimeError(repr(error)))
    pipe.close()


def _leave_with_parent() -> None:
    """A process whose parent was killed would go on alone, and hold up whoever comes to finish the store."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
