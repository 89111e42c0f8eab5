"""How far is a stored Gram matrix, how fast does it grow, and who is at work?"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import time
from typing import Any

import numpy as np

from ntkseq import _checks, _display, _memory, grams
from ntkseq.grams.stores import claims, journal
from ntkseq.reports.progress import ago
from ntkseq.studies.records import check_fields

WINDOW = 600.0
"""Seconds before the last chunk over which the rate is taken."""
IDLE = 120.0
"""Seconds without a chunk after which a store that nobody holds counts as left alone."""


@dataclasses.dataclass(frozen=True)
class Status:
    """How far the kernel matrix in a folder is: done and total, rate, time left, by whom; also while it is filled.

    Raises:
        ValueError: an option of another type.
    """

    path: str
    """Folder of the matrix: --store of ntkseq gram."""
    verify: bool = False
    """Read all chunks and name those that are damaged."""

    __repr__ = _display.record

    def __post_init__(self) -> None:
        check_fields(self)


def status(asked: Status) -> list[str]:
    """The lines to print.

    Args:
        asked: what is asked.

    Raises:
        ValueError: no stored Gram matrix lies there, or one of a newer version.
        OSError: it cannot be read.

    Example:
        >>> import tempfile, jax, ntkseq
        >>> from ntkseq import kernels, studies
        >>> x = jax.random.normal(jax.random.key(0), (20, 6, 3))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = ntkseq.gram(kernels.Recurrent(sigma_w=1.4), x, store=f"{folder}/K")
        ...     print(studies.status(studies.Status(f"{folder}/K"))[1].split(", ")[0])
        done          1 of 1 chunks (100.0 %)
    """
    _checks.kind("asked", asked, Status)
    K = grams.open(asked.path)
    layout, now = K.chunks.layout, time.time()
    each, total = _size(K)
    times = _times(K)
    done = len(times)
    kind = "symmetric, " if K.symmetric else ""
    lines = [
        f"{'matrix':<13} {K.shape[0]} x {K.shape[1]}, {kind}{K.dtype}, chunks of {layout.chunk} rows, {K.path}",
        f"{'done':<13} {done} of {total} chunks ({100 * done / total:.1f} %), {_memory.text(done * each)} of "
        f"{_memory.text(total * each)}",
    ]
    writer = claims.writer(K.path)
    rate = _rate(times)
    last = f"the last chunk {ago(now - times[-1])} ago" if done else "no chunk yet"
    if done < total:
        if rate is not None:
            lines.append(f"{'rate':<13} {rate:.3g} chunks per second, {last}")
        if writer and rate is not None:
            lines.append(f"{'time left':<13} {ago((total - done) / rate)}")
        if not writer and done and now - times[-1] < IDLE:  # who helped the first process holds no lock
            lines.append(f"{'not held':<13} {last}: stopped, or others finish what the first process left")
        elif not writer:
            lines.append(f"{'stopped':<13} nobody fills it, {last}; the command that began it goes on")
    elif done:
        lines.append(f"{'finished':<13} {ago(now - times[-1])} ago")
    lines += _who(K, writer, now)
    if asked.verify:
        damaged = K.chunks.damaged()
        told = ", ".join(map(str, damaged[:20])) + (f" and {len(damaged) - 20} more" if len(damaged) > 20 else "")
        again = "; the command that began it computes them again" if damaged else ""
        lines.append(f"{'damaged':<13} {told or 'none'}{again}")
    return lines


def status_record(asked: Status) -> dict[str, Any]:
    """What `status` prints, by name; times in seconds, sizes in bytes.

    Raises:
        ValueError, OSError: as `status`.
    """
    K = grams.open(asked.path)
    (each, total), times = _size(K), _times(K)
    rate, done = _rate(times), len(times)
    made = {
        "path": str(K.path),
        "shape": list(K.shape),
        "symmetric": K.symmetric,
        "dtype": str(K.dtype),
        "chunks_done": done,
        "chunks": total,
        "bytes_done": done * each,
        "bytes": total * each,
        "chunks_per_second": rate if done < total else None,
        "seconds_left": (total - done) / rate if rate and done < total else None,
        "seconds_since_last_chunk": time.time() - float(times[-1]) if done else None,
        "finished": done == total,
        "writer": claims.writer(K.path) or None,
    }
    return made | ({"damaged": [list(one) for one in K.chunks.damaged()]} if asked.verify else {})


def _size(K: grams.StoredGram) -> tuple[int, int]:
    """Bytes of a chunk, and how many there are."""
    layout = K.chunks.layout
    return layout.chunk**2 * layout.dtype.itemsize, len(layout.chunks)


def _who(K: grams.StoredGram, writer: str, now: float) -> list[str]:
    """Who holds the store, and what each process has done for it."""
    lines = [f"{'filled by':<13} {writer}"] if writer else []
    by: dict[str, list[journal.Part]] = collections.defaultdict(list)
    for part in journal.read(K.path):
        by[part.host].append(part)
    for host, parts in by.items():
        working = [part for part in parts if now - part.last < IDLE and len(K.missing)]
        chunks = sum(len(part.chunks) for part in parts)
        shown = ", ".join(f"process {part.pid}: {len(part.chunks)}" for part in parts[:8])
        more = f", {len(parts) - 8} more" if len(parts) > 8 else ""
        active = f"; {len(working)} of them within the last {ago(IDLE)}" if working else ""
        lines.append(f"{'by':<13} {host}: {chunks} chunks ({shown}{more}){active}")
    return lines


def _times(K: grams.StoredGram) -> np.ndarray:
    """When each chunk that is there was written, in order, in seconds since 1970."""
    chunks, found = K.chunks, []
    for i, j in chunks.layout.chunks[chunks.there()[tuple(chunks.layout.chunks.T)]].tolist():
        with contextlib.suppress(FileNotFoundError):
            found.append(chunks.file(i, j).stat().st_mtime)
    return np.sort(np.array(found))


def _rate(times: np.ndarray) -> float | None:
    """Chunks per second over the last while; None where that cannot be told."""
    recent = times[times >= times[-1] - WINDOW] if len(times) else times
    span = float(recent[-1] - recent[0]) if len(recent) > 1 else 0.0
    return (len(recent) - 1) / span if span > 0 else None
