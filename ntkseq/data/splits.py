"""What has a reader found in a file, before it becomes a `Dataset`?

Readers return host arrays in the file's own precision and raw labels. Every message begins with the file's path.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from ntkseq import _checks

#: How much a file may hold once unpacked and padded, unless the caller allows more: 4 GiB.
MAX_BYTES = 4 * 2**30

#: How files of text write a value that is not there (lower case).
MISSING = ("", "?", "nan", "na", "n/a", "null", "none")


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """One split: `x` (n, t, d); `labels` (n,) numbers or text, or None; `lengths` (n,), or None when all are full."""

    x: np.ndarray
    labels: np.ndarray | None
    lengths: np.ndarray | None


@dataclasses.dataclass(frozen=True, eq=False)
class Found:
    """All that a file says; `declared` are class names that it lists itself."""

    name: str
    train: Split
    test: Split | None = None
    declared: tuple[str, ...] | None = None


def shown(value: object) -> str:
    """A foreign value for an error message: quoted, escaped and never longer than a glance."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def numbers(cells: Sequence[str], where: str, columns: Sequence[int]) -> np.ndarray:
    """Text cells as float64; an error names the column of the first cell that is not a finite number."""
    try:
        row = np.array([float(cell) for cell in cells])
        if np.isfinite(row).all() and "_" not in "".join(cells):  # float("1_0") is Python's 10, but no file's
            return row
    except ValueError:
        pass
    for column, cell in zip(columns, cells, strict=True):
        text = cell.strip()
        if text.lower() in MISSING:
            raise ValueError(f"{where}, column {column}: missing value {shown(text)}. Impute it, or drop the row.")
        try:
            good = "_" not in text and bool(np.isfinite(float(text)))
        except ValueError:
            good = False
        if not good:
            raise ValueError(f"{where}, column {column}: wanted a finite number; got {shown(text)}.")
    raise AssertionError("a row was refused although each of its cells is a finite number")


def pad(rows: Sequence[np.ndarray], where: str, max_bytes: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Rows of shapes (t_i, d) as (n, t, d), zero behind their lengths, and the lengths (None when all are equal)."""
    lengths = np.array([len(row) for row in rows], dtype=np.int32)
    n, t, d = len(rows), int(lengths.max()), rows[0].shape[1]
    check_size(n * t * d * 8, max_bytes, f"{where}: {n} sequences padded to {t} steps of {d} features")
    x = np.zeros((n, t, d))
    for i, row in enumerate(rows):
        x[i, : len(row)] = row
    return x, None if (lengths == t).all() else lengths


def check_size(size: int, max_bytes: int, what: str) -> None:
    """Raise if something is larger than the caller allows."""
    if size > max_bytes:
        raise ValueError(
            f"{what} would take {size:,} bytes; the limit is {max_bytes:,}. If you trust the file, raise max_bytes."
        )


def split(x: np.ndarray, labels: np.ndarray | None, lengths: np.ndarray | None, where: str, key: str) -> Split:
    """Check one split against itself, and set what stands behind the lengths to zero."""
    if x.dtype.kind not in "fiub":
        raise ValueError(f"{where}: {key} must be real numbers; got dtype {x.dtype}.")
    if x.ndim == 2:
        x = x[:, :, None]  # scalar tokens
    if x.ndim != 3:
        raise ValueError(
            f"{where}: {key} must have shape (n, t), for scalar tokens, or (n, t, d); got {x.shape}. Reshape it."
        )
    n, t, _ = x.shape
    if 0 in x.shape:
        raise ValueError(f"{where}: {key} is empty, shape {x.shape}; wanted an example, a step and a feature at least.")
    if labels is not None and labels.shape != (n,):
        raise ValueError(
            f"{where}: labels of {key} must have shape ({n},), one per example; got {labels.shape}. "
            "Store class codes, names or numbers, not one-hot rows."
        )
    if lengths is None:
        return Split(x, labels, None)
    if lengths.dtype.kind in "iu":  # JAX would wrap 2^32 + 5 to 5
        lengths = np.clip(lengths.astype(np.int64), -(2**31), 2**31 - 1)
    try:
        _checks.check_lengths(key, lengths, n, t)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    lengths = lengths.astype(np.int32)
    inside = np.arange(t)[None, :] < lengths[:, None]  # (n, t)
    x = np.where(inside[:, :, None], x, np.zeros((), x.dtype))  # padding may hold NaN
    return Split(x, labels, None if (lengths == t).all() else lengths)


def joined(train: Split, test: Split, where: str) -> tuple[Split, Split]:
    """Both splits with the same padded length; both carry lengths, or neither does."""
    (_, t1, d1), (_, t2, d2) = train.x.shape, test.x.shape
    if d1 != d2:
        raise ValueError(f"{where}: both splits must have the same features; got d = {d1} to train on, {d2} to test.")
    if (train.labels is None) != (test.labels is None):
        without = "training" if train.labels is None else "test"
        raise ValueError(f"{where}: both splits must have labels, or neither; the {without} split has none.")
    t = max(t1, t2)
    if t1 == t2 and train.lengths is None and test.lengths is None:
        return train, test
    return _stretched(train, t), _stretched(test, t)


def _stretched(one: Split, t: int) -> Split:
    n, have, _ = one.x.shape
    lengths = np.full(n, have, np.int32) if one.lengths is None else one.lengths
    return Split(np.pad(one.x, ((0, 0), (0, t - have), (0, 0))), one.labels, lengths)
