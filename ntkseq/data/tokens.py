"""Are whole numbers in a file measured values, or the ids of tokens?"""

from __future__ import annotations

import dataclasses

import numpy as np

from ntkseq.data.splits import Split, check_size, shown

TOKENS = ("auto", "real", "one-hot")

_WAYS = (
    "If they are measured, pass tokens='real'; if they are ids of tokens, tokens='one-hot' (a unit vector for each id)."
)


def settle(
    parts: list[Split], tokens: str, *, measured: bool, where: str, max_bytes: int
) -> tuple[list[Split], tuple[str, ...], tuple[str, ...]]:
    """The splits with ids as unit vectors if asked, what to remark, and what to say because it may be otherwise.

    Arrays of integers with one number per step, and numbers that use an alphabet 0..V-1 as ids do, are refused unless
    `tokens` says what they are. Other whole numbers are read as real ones, which is said.

    Args:
        parts: training split and, if there is one, the test split.
        tokens: "auto", "real" or "one-hot".
        measured: whether the file stores the numbers as floating ones, by which somebody chose.
        where: the file, for messages.
        max_bytes: the most that unit vectors may take.

    Raises:
        ValueError: numbers that look like ids, and "auto"; numbers that are no ids, and "one-hot".
    """
    if tokens == "real":
        return parts, (), ()
    values = np.concatenate([_inside(part) for part in parts])
    whole = values.dtype.kind in "iub" or bool((values == np.round(values)).all() and np.abs(values).max() < 1e9)
    if tokens == "one-hot":
        return _one_hot(parts, values, whole, where, max_bytes)
    if not whole:
        return parts, (), ()
    scalar = all(part.x.shape[2] == 1 for part in parts)
    came = f"every value is a whole number, {int(values.min())} to {int(values.max())}"
    alphabet = values.dtype.kind != "b" and bool(values.max() > 1)
    if not (scalar and alphabet):
        return parts, (f"{came}; they are read as real numbers",), ()
    if values.dtype.kind in "iu" or (_like_ids(values) and not measured):
        raise ValueError(f"{where}: {came}, one for each step. {_WAYS}")
    if measured and not _like_ids(values):
        return parts, (f"{came}; they are read as real numbers",), ()
    return parts, (), (f"{came}; they are read as real numbers. {_WAYS}",)


def _inside(part: Split) -> np.ndarray:
    """The values before the end of each sequence, flat."""
    if part.lengths is None:
        return part.x.reshape(-1)
    return part.x[np.arange(part.x.shape[1])[None, :] < part.lengths[:, None]].reshape(-1)


def _like_ids(values: np.ndarray) -> bool:
    """Four fifths of 0..V-1 occur, each four times in the mean: an alphabet; counts and levels leave holes."""
    low, high = float(values.min()), float(values.max())
    if low < 0 or high < 2 or high + 1 > len(values) / 4:
        return False
    return len(np.unique(values)) >= 0.8 * (high + 1)


def _one_hot(
    parts: list[Split], values: np.ndarray, whole: bool, where: str, max_bytes: int
) -> tuple[list[Split], tuple[str, ...], tuple[str, ...]]:
    if any(part.x.shape[2] != 1 for part in parts) or not whole or values.min() < 0:
        raise ValueError(
            f"{where}: tokens='one-hot' wants one id 0, 1, 2, ... for each step; got values "
            f"{shown(values.min().item())} to {shown(values.max().item())}, d = {parts[0].x.shape[2]}. Leave it out."
        )
    size = int(values.max()) + 1
    steps = sum(part.x.size for part in parts)
    check_size(4 * steps * size, max_bytes, f"{where}: {steps} steps as unit vectors of {size} ids")
    made = []
    for part in parts:
        x = np.zeros((*part.x.shape[:2], size), np.float32)
        np.put_along_axis(x, part.x.astype(np.int64), np.float32(1), axis=2)
        if part.lengths is not None:
            x[np.arange(part.x.shape[1])[None, :] >= part.lengths[:, None]] = 0
        made.append(dataclasses.replace(part, x=x))
    return made, (f"ids 0..{size - 1} are read as unit vectors, d = {size}",), ()
