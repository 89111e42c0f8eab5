"""How does what scikit-learn, aeon, sktime and tslearn hand over become sequences and their lengths?"""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int
from sklearn.utils.validation import check_array, validate_data

from ntkseq import _checks
from ntkseq._types import Flag, Integer, Lengths, Text

LAYOUTS = ("ntd", "nct", "nd")
LONGEST = 400
"""Letters of a message of scikit-learn."""


@dataclasses.dataclass(frozen=True, eq=False)
class Batch:
    """Examples as a kernel takes them.

    Attributes:
        x: (n, t, d) padded with zeros, or (n, d) where examples are vectors.
        lengths: (n,) of sequences; None for vectors.
        axes: of the array that came: 2, 3 for arrays (n, t, d) and lists, or 1 for a list of arrays (t,).
    """

    x: Float[np.ndarray, "n ..."]
    lengths: Int[np.ndarray, " n"] | None
    axes: Integer

    def __len__(self) -> int:
        return len(self.x)

    def take(self, which: Int[np.ndarray, " k"]) -> Batch:
        """Some of the examples, in another order if need be."""
        return Batch(self.x[which], None if self.lengths is None else self.lengths[which], self.axes)

    def example(self, i: Integer) -> np.ndarray:
        """Example i without its padding."""
        return np.ascontiguousarray(self.x[i] if self.lengths is None else self.x[i, : self.lengths[i]])


def read(estimator: Any, X: object, layout: Text, lengths: Lengths = None, *, reset: Flag) -> Batch:
    """X as a batch; at the fit (`reset`) the estimator is told its `n_features_in_`, later X must agree with it.

    Arrays of two axes have a fixed number of columns, as everywhere in scikit-learn. Sequences of arrays of three axes
    and of lists may be of other lengths than those of the fit.

    Raises:
        ValueError: not numbers, NaN inside a sequence, infinities, other features than at the fit.
    """
    _checks.choice("layout", layout, LAYOUTS)
    with named("X"):
        _checks.outside("X", X, "")
        _checks.unmasked("X", X)
        _checks.not_a_key("X", X)
        series = layout != "nd" and (reset or estimator._axes != 2)
        return _read(estimator, _listed(X, layout, series), layout, lengths, reset)


@contextlib.contextmanager
def named(name: Text) -> Iterator[None]:
    """What scikit-learn says of an argument, of the same type, in one line that names it."""
    try:
        yield
    except (ValueError, TypeError) as error:
        said = " ".join(str(error).split())
        if not re.search(rf"\b{name}\b", said):
            said = f"{name} was refused: {said}"
        raise type(error)(said if len(said) < LONGEST else f"{said[:LONGEST]} ...") from error


def _read(estimator: Any, X: Any, layout: Text, lengths: Lengths, reset: Flag) -> Batch:
    """The containers told apart."""
    if isinstance(X, list):
        x, found = _padded(X, layout)
        return _sequences(estimator, x, found, lengths, 1 if all(part.ndim == 1 for part in X) else 3, reset)
    if getattr(X, "ndim", 2) == 3:
        x = check_array(X, allow_nd=True, dtype="numeric", ensure_all_finite=False)
        x = np.swapaxes(x, 1, 2) if layout == "nct" else x
        if layout == "nd":
            raise ValueError(f'X must have shape (n, d) with layout="nd", vectors; got {x.shape}. Sequences: "ntd".')
        return _sequences(estimator, x, None, lengths, 3, reset)
    _check_axes(estimator, 2, reset)
    ends: Any = "allow-nan" if layout != "nd" else True
    if not reset and estimator._axes == 1:
        x = check_array(X, dtype="numeric", ensure_all_finite=ends)
        return _sequences(estimator, x[:, :, None], None, lengths, 2, reset)
    x: Any = validate_data(estimator, X, reset=reset, dtype="numeric", ensure_all_finite=ends)
    if layout == "nd":
        if lengths is not None:
            raise ValueError('lengths belong to sequences; with layout="nd" examples are vectors. Leave them out.')
        return Batch(_narrow(x), None, 2)
    return _sequences(estimator, x[:, :, None], None, lengths, 2, reset)


def _listed(X: Any, layout: Text, series: Flag) -> Any:
    """A list of unequal examples for what holds such; equal ones as one array; all else as it came.

    With `series` arrays (t,) stay a list where they are equal, too: the next fold may have one of another length.
    """
    index = getattr(X, "index", None)
    if getattr(index, "nlevels", 1) == 2:  # sktime's panel: a row for each time of each instance, columns are channels
        X = [np.asarray(part) for _, part in X.groupby(level=0, sort=False)]
        X = [part.T for part in X] if layout == "nct" else X
    if hasattr(X, "iloc") and np.size(X) and np.ndim(np.asarray(X.iloc[:1]).flat[0]):
        raise ValueError(
            "X must be a data frame of numbers; got one whose cells hold series (nested_univ). Convert it: "
            "sktime.datatypes.convert_to(X, 'numpy3D'), for layout=\"nct\"."
        )
    if isinstance(X, np.ndarray) and X.dtype == object and X.ndim == 1 and len(X) and np.ndim(X[0]):
        X = list(X)
    if not isinstance(X, (list, tuple)):
        return X
    if not len(X):
        raise ValueError("X must hold at least one example; got an empty list.")
    try:
        parts = [np.asarray(part) for part in X]
    except (ValueError, TypeError):
        raise ValueError("X must be a list of arrays (t, d) or (t,); got one with rows of unequal length.") from None
    if series and all(getattr(one, "ndim", 0) == 1 for one in X):
        return parts
    if parts[0].ndim == 0 or len({part.shape for part in parts}) == 1:
        return np.asarray(X) if parts[0].ndim else X
    return parts


def _padded(parts: list[np.ndarray], layout: Text) -> tuple[np.ndarray, np.ndarray]:
    """Arrays (t, d), (d, t) or (t,) as one array (n, t, d), with their lengths."""
    if layout == "nd":
        raise ValueError('X must have shape (n, d) with layout="nd", vectors; got examples of unequal shape.')
    rows = []
    for i, part in enumerate(parts):
        if part.ndim not in (1, 2) or part.dtype.kind not in "fiub" or 0 in part.shape:
            raise ValueError(
                f"X must be a list of arrays of numbers, (t, d) or (t,) each; X[{i}] has shape {part.shape}, dtype "
                f"{part.dtype}."
            )
        part = part[:, None] if part.ndim == 1 else part
        rows.append(part.T if layout == "nct" and parts[i].ndim == 2 else part)
    widths = {row.shape[1] for row in rows}
    if len(widths) > 1:
        raise ValueError(
            f"X must have one number of features in all its sequences; got {sorted(widths)} with layout={layout!r}. "
            'Arrays (channels, time), as aeon has them: layout="nct".'
        )
    lengths = np.array([len(row) for row in rows])
    x = np.zeros((len(rows), int(lengths.max()), widths.pop()), np.result_type(*{row.dtype for row in rows}))
    for i, row in enumerate(rows):
        x[i, : len(row)] = row
    return x, lengths


def _sequences(
    estimator: Any,
    x: np.ndarray,
    found: np.ndarray | None,
    lengths: Lengths,
    axes: Integer,
    reset: Flag,
) -> Batch:
    """An array (n, t, d) and what is known of its lengths as a batch."""
    _check_axes(estimator, axes, reset)
    n, t, d = x.shape
    if 0 in x.shape:
        raise ValueError(f"X must have at least one example, step and feature; got shape {x.shape}.")
    if axes != 2 or estimator._axes == 1:
        if reset:
            estimator.n_features_in_ = d
            estimator.__dict__.pop("feature_names_in_", None)
        elif estimator.n_features_in_ != d:
            raise ValueError(
                f"X has {d} features, but {type(estimator).__name__} is expecting {estimator.n_features_in_} features "
                'as input, from its fit. Arrays (n, channels, time), as aeon has them: layout="nct".'
            )
    if lengths is not None:
        found = np.asarray(_checks.check_lengths("X", lengths, n, t))
    batch = _closed(x, found, axes)
    if reset:
        estimator._lengths_given = lengths is not None
    elif estimator._lengths_given and found is None and bool((batch.lengths == t).all()):
        # a scorer, and a pipeline in a cross-validation of scikit-learn below 1.8, drop what is routed: padding would
        # count without a word
        raise ValueError(
            "lengths were given at the fit and are not here, where X is an array without NaN: its padding would count. "
            f"Pass lengths=, numpy.full({n}, {t}) if all are whole, or a list of sequences."
        )
    return batch


def _closed(x: np.ndarray, found: np.ndarray | None, axes: Integer) -> Batch:
    """Lengths from what was said and from NaN at the ends; zeros behind them."""
    n, t, _ = x.shape
    missing: Any = np.isnan(x).all(axis=2) if x.dtype.kind == "f" else np.zeros((n, t), bool)
    ends = t - np.argmin(missing[:, ::-1], axis=1)  # t less the NaN at the end
    ends[missing.all(axis=1)] = 0
    own: np.ndarray = ends if found is None else np.minimum(found, ends)
    if (own == 0).any():
        raise ValueError(f"X must have a number in every sequence; X[{int(np.argmin(own))}] is NaN all through.")
    inside = np.arange(t) < own[:, None]
    x = np.where(inside[:, :, None], x, 0)
    if not np.isfinite(x).all():
        i, step, _ = (int(k) for k in np.argwhere(~np.isfinite(x))[0])
        raise ValueError(
            f"X must hold no NaN or infinity but NaN behind the end of a sequence; got {x[i, step].tolist()} at step "
            f"{step} of X[{i}], which has {int(own[i])} steps. Impute it."
        )
    return Batch(_narrow(x), own.astype(np.int32), axes)


def _check_axes(estimator: Any, axes: Integer, reset: Flag) -> None:
    if reset:
        estimator._axes = axes
    elif estimator._axes != axes and (2 in (estimator._axes, axes) and estimator._axes != 1):
        words = {1: "a list of series", 2: "(n, t), one feature", 3: "(n, t, d), or lists"}
        raise ValueError(
            f"X must have the axes of the fit, {words[estimator._axes]}; got {words[axes]}. X[:, :, None] adds the "
            "axis of features."
        )


def _narrow(x: np.ndarray) -> np.ndarray:
    """In float64 where that came and JAX is in its 64-bit mode, in float32 else."""
    dtype = np.float64 if x.dtype.itemsize >= 8 and jnp.result_type(float) == jnp.float64 else np.float32
    with np.errstate(over="ignore"):
        narrow = x.astype(dtype)
    if not np.isfinite(narrow).all():
        raise ValueError(f"X must fit {np.dtype(dtype).name}, in which it is computed; got infinity. Scale it.")
    return narrow
