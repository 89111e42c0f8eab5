"""What has a reader found in a file, before it becomes a `Dataset`?

Readers return host arrays in the file's own precision and raw labels. Every message begins with the file's path.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from ntkseq import _checks

#: How much a file may hold once unpacked and padded, unless the caller allows more: 4 GiB.
MAX_BYTES = 4 * 2**30

#: How files of text write a value that is not there (lower case).
MISSING = ("", "?", "nan", "na", "n/a", "<na>", "null", "none")

LAYOUTS = ("auto", "ntd", "nct", "rows")


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """One split: `x` (n, t, d); `labels` (n,) numbers or text, or None; `lengths` (n,), or None when all are full.

    `ended` counts the sequences that a missing value at their end made shorter.
    """

    x: np.ndarray
    labels: np.ndarray | None
    lengths: np.ndarray | None
    ended: int = 0


@dataclasses.dataclass(frozen=True)
class Columns:
    """What was settled about the columns of a table, so that a second table is read in the same way.

    `label` is "first", "last", a name or None; `titles` are the names of the columns read; `index` counts the row
    indices in front of them that were left out.
    """

    label: str | None
    titles: tuple[str, ...] | None
    index: int


@dataclasses.dataclass(frozen=True, eq=False)
class Found:
    """All that a file says.

    `declared` are class names that it lists itself, `origin` says in words what was taken for what, and `said` holds
    what the user must be told because it may be otherwise.
    """

    name: str
    train: Split
    test: Split | None = None
    declared: tuple[str, ...] | None = None
    origin: str = ""
    said: tuple[str, ...] = ()
    columns: Columns | None = None


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
            raise ValueError(
                f"{where}, column {column}: missing value {shown(text)}. Impute it, or drop the row; if the sequence "
                "ends here, leave these cells empty, or NaN, to the end."
            )
        try:
            good = "_" not in text and bool(np.isfinite(float(text)))
        except ValueError:
            good = False
        if not good:
            raise ValueError(f"{where}, column {column}: wanted a finite number; got {shown(text)}.")
    raise AssertionError("a row was refused although each of its cells is a finite number")


def sequence(cells: Sequence[Sequence[str]], place: str) -> np.ndarray:
    """The dimensions of one example, cells of text, as (t, d), without the missing values at their common end."""
    for dimension, values in enumerate(cells, 1):
        if len(values) != len(cells[0]):
            raise ValueError(
                f"{place}: all dimensions of an example need one length; dimension 1 has {len(cells[0])} values, "
                f"dimension {dimension} has {len(values)}. Cut or impute them."
            )
    t = len(cells[0])
    while t and all(values[t - 1].strip().lower() in ("?", "nan") for values in cells):
        t -= 1
    if not t:
        raise ValueError(f"{place}: the sequence holds nothing but missing values. Drop the line.")
    columns = [numbers(v[:t], f"{place}, dimension {i}", range(1, t + 1)) for i, v in enumerate(cells, 1)]
    return np.stack(columns, axis=1)


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


def split(
    x: np.ndarray, labels: np.ndarray | None, lengths: np.ndarray | None, where: str, key: str, layout: str = "auto"
) -> Split:
    """Check one split against itself, bring it to (n, t, d), and set what stands behind the lengths to zero.

    NaN in all features from some step to the last is the end of a sequence.
    """
    if x.dtype.kind not in "fiub":
        raise ValueError(f"{where}: {key} must be real numbers; got dtype {x.dtype}.")
    given = x.shape
    if x.ndim == 2 and layout != "nct":
        x = x[:, :, None]  # scalar tokens
    if x.ndim != 3:
        wanted = "(n, channels, time)" if layout == "nct" else "(n, t), for scalar tokens, or (n, t, d)"
        raise ValueError(f"{where}: {key} must have shape {wanted}; got {given}. Reshape it.")
    if 0 in x.shape:
        raise ValueError(f"{where}: {key} is empty, shape {given}; wanted an example, a step and a feature at least.")
    if layout == "nct":
        x = np.ascontiguousarray(np.swapaxes(x, 1, 2))
    n, t, d = x.shape
    if labels is not None and labels.shape != (n,):
        raise ValueError(
            f"{where}: labels of {key} must have shape ({n},), one per example; got {labels.shape}. "
            "Store class codes, names or numbers, not one-hot rows."
        )
    hint = layout == "auto" and x.shape[2] > 1
    ended = 0
    if lengths is None:
        lengths, ended = _ends(x, where, key)
        if lengths is None:
            _no_nan(x, where, key, hint)
            return Split(x, labels, None)
    elif lengths.dtype.kind in "iu":  # JAX would wrap 2^32 + 5 to 5
        lengths = np.clip(lengths.astype(np.int64), -(2**31), 2**31 - 1)
    try:
        _checks.check_lengths(key, lengths, n, t)
    except ValueError as error:
        swap = (
            f" Is {key} (n, channels, time)? Pass layout='nct'."
            if hint and lengths.dtype.kind in "iu" and lengths.max() <= d
            else ""
        )
        raise ValueError(f"{where}: {error}{swap}") from None
    lengths = lengths.astype(np.int32)
    inside = np.arange(t)[None, :] < lengths[:, None]  # (n, t)
    x = np.where(inside[:, :, None], x, np.zeros((), x.dtype))  # padding may hold NaN
    _no_nan(x, where, key, hint)
    return Split(x, labels, None if (lengths == t).all() else lengths, ended)


def _ends(x: np.ndarray, where: str, key: str) -> tuple[np.ndarray | None, int]:
    """Lengths by the NaN that fill the end of sequences, and how many are shorter; None where all are full."""
    if x.dtype.kind != "f":
        return None, 0
    held: np.ndarray = ~np.all(np.isnan(x), axis=2)  # (n, t)
    if held[:, -1].all():
        return None, 0
    lengths = np.where(held.any(axis=1), x.shape[1] - np.argmax(held[:, ::-1], axis=1), 0)
    if not lengths.all():
        raise ValueError(f"{where}: sequence {int(np.argmin(lengths))} of {key} holds nothing but NaN. Drop it.")
    return lengths, int((lengths < x.shape[1]).sum())


def _no_nan(x: np.ndarray, where: str, key: str, hint: bool) -> None:
    if x.dtype.kind != "f" or not (missing := np.isnan(x)).any():
        return
    i, step, feature = (int(k) for k in np.argwhere(missing)[0])
    swap = ""
    behind: np.ndarray = np.all(missing, axis=1)  # (n, d)
    if hint and (missing == behind[:, None, :]).all() and (behind[:, 1:] >= behind[:, :-1]).all():
        swap = f" They stand at the end of the last axis: if {key} is (n, channels, time), pass layout='nct'."
    raise ValueError(
        f"{where}: {key} must be finite; got {int(missing.sum())} NaN inside sequences, the first in sequence {i} at "
        f"step {step}, feature {feature} (from 0). Impute them; only NaN in all features to the last step is an end."
        f"{swap}"
    )


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


def repeats(
    x: np.ndarray, x_test: np.ndarray, lengths: np.ndarray | None = None, lengths_test: np.ndarray | None = None
) -> np.ndarray:
    """Which test examples are training examples, number for number: booleans (m,). Padding does not count."""
    known = set(_keys(x, lengths))
    return np.array([key in known for key in _keys(x_test, lengths_test)], bool)


def distinct(x: np.ndarray, lengths: np.ndarray | None = None) -> int:
    """How many of the examples differ, number for number."""
    return len(set(_keys(x, lengths)))


def refuse_the_same(train: Any, test: Any, where: str) -> None:
    """Raise where the test split, x and lengths, is the training split: a test error would be a training error."""
    if len(train.x) != len(test.x) or sorted(_keys(train.x, train.lengths)) != sorted(_keys(test.x, test.lengths)):
        return
    raise ValueError(
        f"{where}: the test split repeats the training split, the same {len(test.x)} examples. Name the file of the "
        "test split, or leave it out: a part is held out then."
    )


def _keys(x: np.ndarray, lengths: np.ndarray | None) -> list[bytes]:
    x = np.asarray(x, np.float64) + 0.0  # -0.0 is 0.0
    ends = np.full(len(x), x.shape[1]) if lengths is None else np.asarray(lengths)
    return [row[:end].tobytes() for row, end in zip(x, ends.tolist(), strict=True)]


def _stretched(one: Split, t: int) -> Split:
    n, have, _ = one.x.shape
    lengths = np.full(n, have, np.int32) if one.lengths is None else one.lengths
    return Split(np.pad(one.x, ((0, 0), (0, t - have), (0, 0))), one.labels, lengths, one.ended)
