"""How do the numbers of a probe move along a run? Lines over the steps, each in its band."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ntkseq import _checks
from ntkseq._plots import COLOURS, band, finish, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BESIDE = ("_lower", "_upper", "_error")


def columns(table: Any, names: tuple[str, ...], ax: Axes) -> Axes:
    """Columns of a probe's table, logarithmic where all of them are positive.

    Args:
        table: a `ProbeTable`.
        names: of columns (r,); none: all that are numbers and no error of another one.
        ax: where to draw.

    Raises:
        ValueError: a column that is not there, or holds more than a number a row.
    """
    known = tuple(name for name in table if table[name].ndim == 1 and table[name].dtype.kind in "fiu")
    for name in names:
        _checks.choice("columns", name, known)
    names = names or tuple(name for name in known if not name.endswith(_BESIDE))
    if not any(np.isfinite(np.asarray(table[name], np.float64)).any() for name in names):
        raise ValueError(f"columns must hold a finite number; this table has {len(table)} rows of {', '.join(table)}.")
    steps, drawn = np.asarray(table.steps, np.float64), [_interval(table, name) for name in names]
    known = np.concatenate([values[np.isfinite(values)] for values, _, _ in drawn])
    positive = bool((known > 0).all())
    room = 0.6 * float(np.ptp(known))  # a band that is wider leaves the picture
    floor, top = (known.min() / 3, known.max() * 3) if positive else (known.min() - room, known.max() + room)
    ax.set_yscale("log" if positive else "linear")
    for i, (name, (values, low, high)) in enumerate(zip(names, drawn, strict=True)):
        low, high = np.maximum(low, floor), np.minimum(high, top)
        band(ax, steps, values, low, high, COLOURS[i % len(COLOURS)], plain(name, 40))
    ax.set_xlabel("training step")
    if len(names) == 1:
        ax.set_ylabel(plain(names[0], 40))
    return finish(ax)


def _interval(table: Any, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A column and its ends; nan where no interval is known."""
    values, nothing = np.asarray(table[name], np.float64), np.full(len(table), np.nan)
    if f"{name}_lower" in table and f"{name}_upper" in table:
        return values, np.asarray(table[f"{name}_lower"], np.float64), np.asarray(table[f"{name}_upper"], np.float64)
    if f"{name}_error" in table and table[f"{name}_error"].shape == values.shape:
        error = np.asarray(table[f"{name}_error"], np.float64)
        return values, values - error, values + error
    return values, nothing, nothing
