"""Is this input what the caller promised? The one place that words input errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntkseq import _devices, _notices
from ntkseq._arrays import ascending as ascending
from ntkseq._arrays import finite as finite
from ntkseq._arrays import floating as floating
from ntkseq._arrays import host as host
from ntkseq._arrays import integers as integers
from ntkseq._arrays import not_a_key as not_a_key
from ntkseq._arrays import numbers as numbers
from ntkseq._arrays import outside as outside
from ntkseq._arrays import real as real
from ntkseq._arrays import shape as shape
from ntkseq._arrays import tokens_or_floats as tokens_or_floats
from ntkseq._arrays import traced as traced
from ntkseq._arrays import unmasked as unmasked
from ntkseq._types import AnyArray, ArrayLike, DType, PyTree
from ntkseq._values import choice as choice
from ntkseq._values import flag as flag
from ntkseq._values import float_dtype as float_dtype
from ntkseq._values import function as function
from ntkseq._values import hashes as hashes
from ntkseq._values import integer as integer
from ntkseq._values import is_concrete as is_concrete
from ntkseq._values import kind as kind
from ntkseq._values import listed as listed
from ntkseq._values import mapping as mapping
from ntkseq._values import named as named
from ntkseq._values import nonnegative as nonnegative
from ntkseq._values import number as number
from ntkseq._values import path as path
from ntkseq._values import positive_int as positive_int
from ntkseq._values import prng_key as prng_key
from ntkseq._values import probability as probability
from ntkseq._values import seed as seed
from ntkseq._values import shown as shown
from ntkseq._values import text as text
from ntkseq._values import why as why


def is_sequences(x: AnyArray) -> bool:
    """Whether x is a batch of sequences: (n, t, d), or token numbers (n, t)."""
    return x.ndim == 3 or (x.ndim == 2 and jnp.issubdtype(x.dtype, jnp.integer))


def sequences(name: str, x: object, lengths: object = None) -> tuple[jax.Array, Any]:
    """Check a batch of sequences and return it as `(x, lengths)` with shapes (n, t, d) and (n,).

    Values behind a sequence's length are set to zero and never looked at.
    """
    if getattr(getattr(x, "index", None), "nlevels", 1) > 1:  # a data frame with a row for each step
        raise ValueError(
            f"{name} must have shape (n, t, d); got a table of {np.shape(x)} whose rows have {x.index.nlevels} names. "  # pyright: ignore
            f"Pass numpy.stack([one.to_numpy() for _, one in {name}.groupby(level=0)]), padded where lengths differ."
        )
    x = floating(name, x)
    if x.ndim != 3 and x.size:
        hints = {2: f" Scalar tokens: pass {name}[..., None]. One sequence: pass {name}[None].",
                 1: f" One sequence of scalar tokens: pass {name}[None, :, None]."}  # fmt: skip
        raise ValueError(f"{name} must have shape (n, t, d); got {x.shape}.{hints.get(x.ndim, '')}")
    if x.size == 0:
        raise ValueError(f"{name} must have at least one example, step and feature; got shape {x.shape}.")
    n, t, _ = x.shape
    if lengths is None:
        finite(name, x)
        return x, np.full((n,), t, dtype=np.int32)
    lengths = check_lengths(name, lengths, n, t)
    inside = jnp.arange(t, dtype=lengths.dtype)[None, :] < lengths[:, None]  # (n, t)
    x = jnp.where(inside[:, :, None], x, jnp.zeros((), x.dtype))  # padding may hold NaN
    finite(name, x)
    return x, lengths


def check_lengths(name: str, lengths: Any, n: int, t: int) -> jax.Array:
    """Check per-example lengths: n integers in 1..t."""
    if not isinstance(lengths, jax.Array):
        lengths = host(f"lengths of {name}", lengths)  # not jnp: without x64 it would wrap 2**32 + 2 to 2
    lengths = _devices.together(f"lengths of {name}", lengths)
    if lengths.shape != (n,):
        raise ValueError(f"lengths of {name} must have shape ({n},), one per example; got {lengths.shape}.")
    if not jnp.issubdtype(lengths.dtype, jnp.integer):
        raise ValueError(f"lengths of {name} must be integers; got dtype {lengths.dtype}.")
    if is_concrete(lengths):
        values = np.asarray(lengths)  # sums of JAX would be traced where this is called in a trace
        low, high = int(values.min()), int(values.max())
        if low < 1 or high > t:
            raise ValueError(
                f"lengths of {name} must lie in 1..{t} (the padded length); got {low}..{high}. "
                "Drop empty sequences, or pad to the longest."
            )
    return jnp.asarray(lengths.astype(np.int32))


def examples(name: str, x: object, lengths: object = None) -> tuple[jax.Array, np.ndarray | None]:
    """Check examples (n, ...) that are chosen among on the host, floats or tokens, and the lengths of sequences."""
    outside(name, x, "")
    outside(f"lengths of {name}", lengths, "")
    x = tokens_or_floats(name, x)
    if x.ndim < 2:
        raise ValueError(f"{name} must have shape (n, ...), examples with features; got {x.shape}.")
    if lengths is None:
        finite(name, x)
        return x, None
    if not is_sequences(x):
        raise ValueError(f"lengths belong to sequences (n, t, d); got {name} of shape {x.shape}. Leave them out.")
    lengths = np.asarray(check_lengths(name, lengths, *x.shape[:2]))
    inside = np.arange(x.shape[1]) < lengths[:, None]
    finite(name, np.where(inside.reshape(inside.shape + (1,) * (x.ndim - 2)), np.asarray(x), 0))  # padding may hold NaN
    return x, lengths


def matrix(name: str, x: object) -> jax.Array:
    """Check a batch of vectors (n, d)."""
    x = floating(name, x)
    if x.ndim != 2:
        raise ValueError(f"{name} must have shape (n, d); got {x.shape}. One example: pass {name}[None].")
    if 0 in x.shape:
        raise ValueError(f"{name} must have at least one example and feature; got shape {x.shape}.")
    finite(name, x)
    return x


def names(name: str, labels: object) -> np.ndarray:
    """Check class labels, numbers or strings; a NaN is no class."""
    labels = host(name, labels)
    if labels.dtype.kind not in "fiubUS":
        raise ValueError(f"{name} must be numbers or strings; got dtype {labels.dtype}.")
    if labels.dtype.kind == "f":
        finite(name, labels)
    return labels


def labels(name: str, y: object, n: int) -> np.ndarray:
    """Check labels (n,) against the number of examples and return them in host float64."""
    y = host(name, y)
    if y.dtype.kind not in "fiub":
        raise ValueError(
            f"{name} must be numbers; got dtype {y.dtype}. Encode two classes as -1/+1, more by predictors.one_hot(y)."
        )
    if y.shape != (n,):
        raise ValueError(f"{name} must have shape ({n},), one label per example of the Gram matrix; got {y.shape}.")
    y = y.astype(np.float64)
    finite(name, y)
    return y


SINGLE = ("sigma_r", "sigma_c", "factor", "reg", "eps", "share", "decay")
"""Scales that all layers share."""


def scale(name: str, value: object, *, positive: bool = False, single: bool = False) -> None:
    """Check a standard deviation, `single` or one of a list: finite and >= 0 (or > 0); does nothing under a trace."""
    if isinstance(value, (bool, np.bool_)) or (single and isinstance(value, (list, tuple))):
        raise ValueError(f"{name} must be a standard deviation, one number >= 0; got {shown(value)}.")
    if value is None or not is_concrete(value):
        if isinstance(value, (list, tuple)) and not any(map(_is_placeholder, value)):
            value = np.ma.asarray(value) if np.ma.is_masked(value) else host(name, value)
        elif not _is_placeholder(value):
            raise ValueError(f"{name} must be a standard deviation, a number >= 0; got {shown(value)}.")
        else:
            return
    array = numbers(name, value)
    if array.ndim > (name not in SINGLE):
        raise ValueError(f"{name} must be a standard deviation, one number >= 0; got {shown(value)}.")
    if not np.isfinite(array).all() or (array < 0).any() or (positive and (array == 0).any()):
        wanted = "> 0" if positive else ">= 0"
        raise ValueError(f"{name} must be a finite standard deviation {wanted}; got {shown(value)}.")


def parameter(name: str, value: object) -> None:
    """Check a parameter that is a leaf: finite numbers; does nothing for what stands for some."""
    if _is_placeholder(value):
        return
    array = numbers(name, value)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite; got {shown(value)}.")


def _is_placeholder(value: object) -> bool:
    """Whether it stands for a number: a shape and a dtype, or a leaf of JAX's own while it rebuilds a tree."""
    return hasattr(value, "dtype") and hasattr(value, "shape") and not is_concrete(value)


def targets(name: str, y: object, n: int) -> np.ndarray:
    """Check regression targets, (n,) or (n, k), against the number of examples; host float64."""
    y = host(name, y)
    if y.ndim == 1:
        return labels(name, y, n)
    if y.dtype.kind not in "fiub":
        raise ValueError(f"{name} must be numbers; got dtype {y.dtype}. Encode classes with predictors.one_hot.")
    if y.ndim != 2 or y.shape[0] != n or y.shape[1] == 0:
        raise ValueError(
            f"{name} must have shape ({n},) or ({n}, k), one row per example of the Gram matrix; got {y.shape}."
        )
    y = y.astype(np.float64)
    finite(name, y)
    return y


def fitted(name: str, y: object, n: int) -> np.ndarray:
    """`targets` to be fitted by squares; a warning where they are whole numbers that look like codes of classes.

    Codes are whole numbers by dtype (or bool), all of 0..k or 1..k, twice each on average, and not -1/+1.
    """
    values, kind = targets(name, y, n), host(name, y).dtype.kind
    kinds = np.unique(values) if kind in "iub" and values.size == n else np.zeros(0)  # (n,), or a column (n, 1)
    low, count = (kinds[0] if kinds.size else -1.0), kinds.size
    if low in (0.0, 1.0) and count > 1 and kinds[-1] - low == count - 1 and 2 * count <= n:
        instead = "-1 and +1" if count == 2 else f"predictors.one_hot({name})"
        _notices.warn(
            f"{name} holds the whole numbers {int(low)}..{int(kinds[-1])}, as class labels do, and they are fitted as "
            f"numbers. Pass {instead} for classes, or {name} as floats for numbers.",
            UserWarning,
        )
    return values


def square(name: str, shape: tuple[int, ...], symmetric: bool = True) -> None:
    """Check the shape of a Gram of examples with themselves, and where entries are not looked at, its symmetry."""
    if len(shape) != 2 or shape[0] != shape[1] or not symmetric:
        said = f"shape {shape}" + ("" if symmetric else ", symmetric=False")
        raise ValueError(
            f"{name} must be square and symmetric, the Gram matrix of one set of inputs with itself; got {said}. Pass "
            "gram(kernel, x); one between queries and training examples goes into the fitted predictor, and the "
            "singular values of any other matrix into effective_rank."
        )
    if shape[0] == 0:
        raise ValueError(f"{name} must have at least one row; got shape {shape}. Check that the data is not empty.")


def norm(A: np.ndarray) -> float:
    """|A|_F of an array in float64 whose squares may leave its range."""
    shift = _exponent(A)
    return float(np.ldexp(np.linalg.norm(np.ldexp(A, -shift)), shift))


def _exponent(A: np.ndarray) -> int:
    return int(np.frexp(np.abs(A).max(initial=0.0))[1])


def symmetric(name: str, A: object) -> np.ndarray:
    """Check a square matrix and return it in host float64, exactly symmetric; see `symmetrised`."""
    given = host(name, A)
    finite(name, numbers(name, given))
    return symmetrised(name, given)[0]


def symmetrised(name: str, A: np.ndarray, rounding: Callable[[], float] = float) -> tuple[np.ndarray, float]:
    """(A + A') / 2 of finite numbers in host float64, and |A - A'|_F, which is no more than rounding explains.

    Args:
        name: of A in messages.
        A: (n, n).
        rounding: finds how far A may be off in spectral norm, for one that products of length n do not explain.
    """
    square(name, A.shape)
    eps = float(jnp.finfo(A.dtype).eps) if jnp.issubdtype(A.dtype, jnp.floating) else 0.0
    dense = A.astype(np.float64)
    if np.array_equal(dense, dense.T):
        return dense, 0.0
    n, shift = len(dense), _exponent(dense)
    unit = np.ldexp(dense, -shift)  # entries up to 1, exact: no square over- or underflows
    size, gap = float(np.linalg.norm(unit)), float(np.linalg.norm(unit - unit.T))
    allowed = n * eps * size
    if gap > allowed:  # an exact A is symmetric, so |A - A'|_F <= sqrt(n) |A - A'|_2 <= 2 sqrt(n) rounding
        allowed = max(allowed, 2.0 * n**0.5 * float(np.ldexp(rounding(), -shift)))
    if gap > allowed:
        i, j = np.unravel_index(int(np.abs(unit - unit.T).argmax()), A.shape)
        raise ValueError(
            f"{name} must be symmetric; got |K - K'|_F / |K|_F = {gap / size:.2g}, where rounding explains "
            f"{allowed / size:.2g}; the largest difference is between entries ({i}, {j}) and ({j}, {i}). If it is "
            f"rounding, pass ({name} + {name}.T) / 2 with its error, grams.DenseGram(..., rounding=...); if not, "
            f"{name} is not of one set of inputs with itself."
        )
    return np.ldexp(0.5 * (unit + unit.T), shift), float(np.ldexp(gap, shift))


def rounding(name: str, value: object) -> None:
    """Check what an error is at most: a number >= 0, inf where nothing is known; nothing for a tracer."""
    if _is_placeholder(value) and not is_concrete(value):
        return
    array = numbers(name, value)
    if array.ndim or not array >= 0:
        raise ValueError(f"{name} must be a number >= 0; got {shown(value)}. Leave it out where it is not known.")


def leaves(name: str, x: object) -> PyTree:
    """A pytree of arrays, each leaf a JAX array of numbers of its own dtype."""

    def one(leaf: ArrayLike) -> jax.Array:
        unmasked(name, leaf)
        leaf = _devices.together(name, leaf)
        try:
            return jnp.asarray(leaf)
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"{name} must be a pytree of arrays; got {shown(leaf)} ({why(error)}).") from None

    return jax.tree.map(one, x)


def each(name: str, values: object, *, positive: bool = False) -> np.ndarray:
    """Check several numbers, each finite and >= 0 (or > 0)."""
    held = numbers(name, values)
    if held.ndim != 1:
        raise ValueError(f"{name} must be a list of numbers; got {shown(values)}.")
    return np.array([nonnegative(name, value, positive=positive) for value in held])


class Overflow(ValueError):
    """Numbers of a kernel leave the range of the dtype."""


def no_overflow(finite: jax.Array, dtype: DType, within: str, culprit: str) -> None:
    """Raise if what was computed from finite inputs is not finite; does nothing under a trace."""
    if is_concrete(finite) and not bool(finite):
        raise Overflow(
            f"the variances of the network overflow {dtype} within {within}. "
            f"Lower {culprit}, scale the inputs down, or use float64."
        )


def example(name: str, x: object, axes: str) -> jax.Array:
    """Check one example with the named axes, "t d" or "d": a floating array of that rank, no axis empty."""
    x = floating(name, x)
    wanted = tuple(axes.split())
    shape = f"({', '.join(wanted)}{',' if len(wanted) == 1 else ''})"
    if x.ndim != len(wanted):
        hint = "A batch: jax.vmap over its first axis." if x.ndim > len(wanted) else f"One feature: {name}[..., None]."
        raise ValueError(f"{name} must be one example of shape {shape}; got {x.shape}. {hint}")
    if 0 in x.shape:
        raise ValueError(f"{name} must have no empty axis; got shape {x.shape}, wanted {shape}.")
    return x


def sequence(name: str, x: object, length: ArrayLike | None = None) -> tuple[jax.Array, jax.Array | None]:
    """Check one sequence and return it as `(x, length)` with shapes (t, d) and (), or None for the full length.

    Values behind the length are set to zero and never looked at.
    """
    x = example(name, x, "t d")
    if length is None:
        finite(name, x)
        return x, None
    t = x.shape[0]
    length = jnp.asarray(length)
    if length.shape != () or not jnp.issubdtype(length.dtype, jnp.integer):
        raise ValueError(
            f"length of {name} must be one integer; got dtype {length.dtype} and shape {length.shape}. "
            "One length for each example of a batch: jax.vmap over both."
        )
    if is_concrete(length) and not 1 <= int(length) <= t:
        raise ValueError(f"length of {name} must lie in 1..{t} (the padded length); got {int(length)}.")
    length = length.astype(jnp.int32)
    x = jnp.where((jnp.arange(t, dtype=jnp.int32) < length)[:, None], x, jnp.zeros((), x.dtype))  # padding may hold NaN
    finite(name, x)
    return x, length
