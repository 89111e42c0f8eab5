"""Which kernel values are known already? Each pair of examples is computed once, however many folds ask for it."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import math
import threading
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Float, Int

from ntkseq._types import AnyKernel, Number
from ntkseq.grams import entries
from ntkseq.grams.base import DenseGram
from ntkseq.interop.sklearn_inputs import Batch


@dataclasses.dataclass(eq=False)
class Ledger:
    """The values of one kernel between the examples that were asked for.

    Examples are known by their numbers: the first with these has a slot, a second in one data set another, since a
    kernel may tell equal examples of one data set apart (h0="independent").
    """

    slots: dict[tuple[bytes, int], int]
    values: Float[np.ndarray, "m m"]
    known: Bool[np.ndarray, "m m"]
    entrywise: float
    estimated: str

    @property
    def size(self) -> int:
        """Bytes."""
        return self.values.nbytes + self.known.nbytes

    def index(self, marks: list[tuple[bytes, int]]) -> Int[np.ndarray, " n"]:
        """The slot of each example; new ones get new slots."""
        which = np.array([self.slots.setdefault(mark, len(self.slots)) for mark in marks])
        if len(self.slots) > len(self.values):
            more = max(len(self.slots), len(self.values) * 5 // 4) - len(self.values)
            self.values, self.known = (np.pad(a, ((0, more), (0, more))) for a in (self.values, self.known))
        return which


_LEDGERS: collections.OrderedDict[Any, Ledger] = collections.OrderedDict()
_LOCK = threading.RLock()


def forget() -> None:
    """Let go of all kernel values that are kept for the next fit.

    Example:
        >>> forget()
    """
    with _LOCK:
        _LEDGERS.clear()


def square(kernel: AnyKernel, batch: Batch, megabytes: Number) -> DenseGram:
    """The Gram matrix of a batch; pairs that were computed before come from the store.

    Args:
        kernel: the kernel.
        batch: n examples.
        megabytes: what all that is kept may take; a matrix that would not fit is computed and not kept.
    """
    marks = _marks(batch)
    with _LOCK:
        ledger = _ledger(kernel, batch, marks, megabytes)
        if ledger is None:
            return _computed(kernel, batch, None)
        which = ledger.index(marks)
        missing = ~ledger.known[np.ix_(which, which)]
        rows = np.flatnonzero(missing.any(axis=1))
        if len(rows):
            part = batch if len(rows) == len(batch) else batch.take(rows)
            _note(ledger, which[rows], which[rows], _computed(kernel, part, None))
        values = ledger.values[np.ix_(which, which)]
        _trim(megabytes)
        return DenseGram(values, entrywise=ledger.entrywise, estimated=ledger.estimated)


def cross(kernel: AnyKernel, queries: Batch, batch: Batch, megabytes: Number) -> Float[np.ndarray, "q n"]:
    """The kernel between queries and the examples of a fit, (q, n).

    A query equal to an example of the fit is another example, so its row is computed and not kept.
    """
    asked, marks = _marks(queries), _marks(batch)
    with _LOCK:
        ledger = _ledger(kernel, batch, [*marks, *asked], megabytes)
        if ledger is None:
            return np.asarray(_computed(kernel, queries, batch).array)
        which, column = ledger.index(asked), ledger.index(marks)
        again = np.isin(which, column)
        fresh = np.flatnonzero(~again)
        missing = ~ledger.known[np.ix_(which[fresh], column)]
        rows, columns = fresh[missing.any(axis=1)], np.flatnonzero(missing.any(axis=0))
        if len(rows):
            found = _computed(kernel, queries.take(rows), batch.take(columns))
            _note(ledger, which[rows], column[columns], found)
        values = ledger.values[np.ix_(which, column)]
        if again.any():
            values[again] = np.asarray(_computed(kernel, queries.take(np.flatnonzero(again)), batch).array)
        _trim(megabytes)
        return values


def diagonal(kernel: AnyKernel, batch: Batch) -> Float[np.ndarray, " n"]:
    """The kernel of each example with itself, float64."""
    t, full = _steps(batch, None)
    whole = _rounded(batch, t)
    return np.asarray(kernel.diag(whole.x, None if full else whole.lengths), np.float64)[: len(batch)]


def _note(ledger: Ledger, rows: np.ndarray, columns: np.ndarray, found: DenseGram) -> None:
    values = np.asarray(found.array)
    ledger.values[np.ix_(rows, columns)] = values
    ledger.values[np.ix_(columns, rows)] = values.T
    ledger.known[np.ix_(rows, columns)] = ledger.known[np.ix_(columns, rows)] = True
    ledger.entrywise = max(ledger.entrywise, math.inf if found.entrywise is None else float(found.entrywise))
    ledger.estimated = ledger.estimated or found.estimated


def _computed(kernel: AnyKernel, batch: Batch, other: Batch | None) -> DenseGram:
    """The Gram matrix, of arrays whose sizes are rounded up, so that most folds share one compiled program.

    A fold may have an example more than the next, or a longer sequence. Sizes have at most four leading digits in base
    2: the first example is repeated, sequences are padded, an eighth at most, which spares seconds of compilation.
    """
    n, m = len(batch), None if other is None else len(other)
    t, full = _steps(batch, other)
    left, right = _rounded(batch, t), None if other is None else _rounded(other, t)
    known: dict[str, Any] = (
        {} if full else {"lengths": left.lengths, "lengths2": None if right is None else right.lengths}
    )
    K = entries.gram(kernel, left.x, None if right is None else right.x, **known)
    rows, columns = len(left), len(left if right is None else right)
    if K.shape != (rows, columns):
        raise ValueError(
            f"kernel must have one number for each pair of examples; got {K.shape} for {rows} and {columns}. An "
            'empirical.NTK takes outputs="mean".'
        )
    values = np.asarray(K.array)[:n, : n if m is None else m]
    e = None if K.entrywise is None else float(K.entrywise)
    return DenseGram(values, float(K.rounding), K.symmetric, True, e, K.estimated)


def _steps(batch: Batch, other: Batch | None) -> tuple[int | None, bool]:
    """To how many steps sequences are padded, and whether all have as many: then no kernel need know of lengths."""
    parts = [part.lengths for part in (batch, other) if part is not None and part.lengths is not None]
    if not parts:
        return None, True
    lengths = np.concatenate(parts)
    most = int(lengths.max())
    full = int(lengths.min()) == most
    return most if full else _up(most), full


def _rounded(batch: Batch, t: int | None) -> Batch:
    n, more = len(batch), _up(len(batch)) - len(batch)
    batch = batch.take(np.concatenate([np.arange(n), np.zeros(more, int)])) if more else batch
    if t is None or t == batch.x.shape[1]:
        return batch
    x = np.pad(batch.x[:, :t], ((0, 0), (0, max(t - batch.x.shape[1], 0)), (0, 0)))
    return Batch(x, batch.lengths, batch.axes)


def _up(n: int) -> int:
    step = 1 << max(3, n.bit_length() - 4)
    return -(-n // step) * step


def _marks(batch: Batch) -> list[tuple[bytes, int]]:
    """What an example is known by: its numbers, and how many with the same stand before it."""
    seen: collections.Counter[bytes] = collections.Counter()
    marks = []
    for i in range(len(batch)):
        example = batch.example(i)
        mark = hashlib.blake2b(example.tobytes(), digest_size=16, salt=str(len(example)).encode()).digest()
        marks.append((mark, seen[mark]))
        seen[mark] += 1
    return marks


def _ledger(kernel: AnyKernel, batch: Batch, marks: list[tuple[bytes, int]], megabytes: Number) -> Ledger | None:
    """The ledger of a kernel, the last in the order of use; None where these examples would not fit into it."""
    key = (_name(kernel), batch.x.dtype.str, batch.x.shape[2:] if batch.lengths is not None else batch.x.shape[1:])
    ledger = _LEDGERS.get(key)
    known = {} if ledger is None else ledger.slots
    slots = len(known) + len(set(marks) - known.keys())
    if slots**2 * (batch.x.dtype.itemsize + 1) > float(megabytes) * 2**20:
        return None
    if ledger is None:
        ledger = Ledger({}, np.zeros((0, 0), batch.x.dtype), np.zeros((0, 0), bool), 0.0, "")
        _LEDGERS[key] = ledger
    _LEDGERS.move_to_end(key)
    return ledger


def _trim(megabytes: Number) -> None:
    while len(_LEDGERS) > 1 and sum(ledger.size for ledger in _LEDGERS.values()) > float(megabytes) * 2**20:
        _LEDGERS.popitem(last=False)


def _name(kernel: AnyKernel) -> tuple[Any, bytes]:
    """A kernel by its structure and its numbers: a copy has the same."""
    leaves, structure = jax.tree.flatten(kernel)
    digest = hashlib.blake2b(digest_size=16)
    for leaf in leaves:
        array = np.asarray(leaf)
        digest.update(f"{array.dtype.str}{array.shape}".encode() + array.tobytes())
    return structure, digest.digest()
