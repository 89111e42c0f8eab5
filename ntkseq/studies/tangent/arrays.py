"""How do arrays in memory become a data set? As those of a file would."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from ntkseq import _checks
from ntkseq._types import ArrayLike, Lengths
from ntkseq.data import Dataset
from ntkseq.data.labels import encode
from ntkseq.data.splits import MAX_BYTES, pad, split
from ntkseq.data.tokens import settle

NAME = "data"


def dataset(
    x: object, y: ArrayLike | None, lengths: Lengths, *, layout: str, targets: str, tokens: str, dtype: str
) -> Dataset:
    """Sequences and labels in memory as a data set.

    Args:
        x: (n, t, d), (n, t) for scalar tokens, or a list of sequences (t_i, d) or (t_i,) of any lengths; with layout
            "nct" (n, channels, time), or a list of (channels, time_i). NaN in all features at the end of a sequence is
            its end.
        y: (n,) class names or codes, or numbers with targets "values"; floating numbers with a fraction are refused
            until it says so.
        lengths: (n,) of sequences padded on the right.
        layout, targets, tokens: as of `data.load`.
        dtype: of the sequences.

    Raises:
        ValueError: what is not that.
    """
    _checks.choice("layout", layout, ("auto", "ntd", "nct"))
    if y is None:
        raise ValueError("y must hold a label or a number for each example; got none. Pass Study(x, y).")
    array, known = _array(x, layout)
    ends = known if lengths is None else np.asarray(_checks.host("lengths", lengths))
    if ends is not None and ends.dtype.kind not in "iu":
        raise ValueError(f"lengths must be integers; got dtype {ends.dtype}.")
    labels = _checks.host("y", y)
    n = len(array)
    if labels.shape != (n,):
        raise ValueError(f"y must have shape ({n},), one label or number per example; got {labels.shape}.")
    part = split(array, labels, ends, NAME, "x", layout)
    _checks.finite("x", part.x)
    measured = part.x.dtype.kind == "f"
    (part, *_), remarks, doubts = settle([part], tokens, measured=measured, where=NAME, max_bytes=MAX_BYTES)
    numbers = targets == "auto" and labels.dtype.kind == "f" and bool((labels != np.round(labels)).any())
    (codes, *_), classes, said = encode([part.labels], None, "values" if numbers else targets, NAME)
    assert codes is not None  # there are labels
    with np.errstate(over="ignore"):  # looked at in the next line
        cast = part.x.astype(dtype)
    if not np.isfinite(cast).all():
        raise ValueError(f"x has values too large for {dtype}. Rescale them, or take dtype='float64'.")
    if part.ended:
        remarks += (f"{part.ended} sequence(s) end in missing values, which were taken for their ends",)
    if part.x.dtype.kind == "f" and part.x.dtype.itemsize > np.dtype(dtype).itemsize:
        remarks += (f"the sequences came in {part.x.dtype} and are computed in {dtype}; dtype='float64' keeps them",)
    y_held: Any = codes if classes else codes.astype(dtype)
    return Dataset(
        jnp.asarray(cast), jnp.asarray(y_held), None if part.lengths is None else jnp.asarray(part.lengths),
        name=NAME, classes=classes, origin=_origin(getattr(x, "ndim", 0), layout, bool(numbers)),
        notes=(*doubts, *remarks, *said),
    )  # fmt: skip


def _array(x: object, layout: str) -> tuple[np.ndarray, np.ndarray | None]:
    """One array, and the lengths where sequences of several came in a list."""
    if isinstance(x, (list, tuple)) or (isinstance(x, np.ndarray) and x.dtype == object):
        parts = [_checks.host("x", one) for one in x]
        if not parts:
            raise ValueError("x must hold examples; got none.")
        if any(part.ndim not in (1, 2) or 0 in part.shape or part.dtype.kind not in "fiub" for part in parts):
            raise ValueError("x must be an array (n, t, d), or a list of arrays (t, d) or (t,) of numbers, none empty.")
        if len({part.shape for part in parts}) == 1:
            return np.stack(parts), None
        turned = layout == "nct" and parts[0].ndim == 2
        rows = [part[:, None] if part.ndim == 1 else part.T if turned else part for part in parts]
        widths = sorted({row.shape[1] for row in rows})
        if len(widths) > 1:
            raise ValueError(
                f"x must have one number of features in all its sequences; got {widths}. "
                "Of (channels, time): layout='nct'."
            )
        kind = np.result_type(*(row.dtype for row in rows))
        padded, lengths = pad(rows, NAME, MAX_BYTES)
        padded = padded.astype(kind)
        return (np.swapaxes(padded, 1, 2) if layout == "nct" else padded), lengths
    return _checks.host("x", x), None


def _origin(axes: int, layout: str, numbers: bool) -> str:
    came = "a list of sequences" if axes == 0 else "(n, t), scalar tokens" if axes == 2 else "(n, t, d)"
    came = "(n, channels, time)" if layout == "nct" else came
    return f"x read as {came}" + ("; y holds numbers with fractions: regression" if numbers else "")
