"""Do the squares of inputs and scales stay within the range of the dtype? What XLA sets to zero in silence is refused.

XLA on a CPU computes numbers below the least normal one as zero, as input and as result, in float32 and in float64. A
kernel is made of squares and products of squares: below 3e-16 in float32 they begin to lose digits, below 1e-19 they
are gone, and what is left is a matrix of zeros with a rounding of zero. Where inputs, scales or values are so small or
so large that this may have happened, some examples are computed once more in float64; where the two differ by more
than the kernel states, or float64 is what was asked for, the numbers are refused, as those that overflow are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntkseq import _checks, _devices, _keys, _precision
from ntkseq._types import AnyArray, AnyKernel, DType, Lengths, PyTree
from ntkseq.kernels import lists

_FEW = 16  # examples that are computed again


def check(
    kernel: AnyKernel | None,
    x: PyTree,
    lengths: Lengths,
    dtype: DType,
    own: AnyArray | None,
    values: Callable[[Any, Any, Any], tuple[Any, float]] | None = None,
) -> None:
    """Refuse what leaves the range of `dtype`; does nothing under a trace.

    Args:
        kernel: for these inputs, x and lengths as they were given.
        dtype: in which it computes them.
        own: (n, ...) sizes of the values of each example; None: not looked at.
        values: of a kernel, inputs and lengths: their matrix (n, n) and its e; None: those of `kernel(x)`.

    Raises:
        Overflow: a ValueError.
    """
    x = _keys.laid_open(x)
    if not all(map(_checks.is_concrete, jax.tree.leaves((kernel, x, lengths, own)))):
        return
    x = lists.read(kernel, x)
    if not all(hasattr(leaf, "dtype") for leaf in jax.tree.leaves(x)):  # numbers in lists
        x = np.asarray(x)
    small, words = _suspect(kernel, x, lengths, dtype, own)
    if not words:
        return
    if jnp.dtype(dtype) == jnp.float64:
        if words != _ZERO:
            raise _refusal(dtype, words)
        return
    which = np.sort(np.argsort(small, kind="stable")[:_FEW])
    few, cut = jax.tree.map(lambda leaf: np.asarray(leaf)[which], (x, lengths))
    few = jax.tree.map(lambda leaf: leaf.astype(dtype) if leaf.dtype == np.float64 else leaf, few)
    one, e = (values or _square)(kernel, few, cut)
    try:
        with _precision.setting(True):
            wide, there = jax.tree.map(widened, (kernel, few))
            other, own_e = (values or _square)(wide, there, cut)
    except _checks.Overflow:
        raise
    except (TypeError, ValueError):  # it holds arrays or casts of one fixed dtype
        if words in (_TINY, _ZERO):
            raise _refusal(dtype, words) from None
        return
    size = np.sqrt(np.maximum(np.diagonal(other), 0.0))
    size = size[:, None] * size
    room = np.where(size > 0, (1.01 * e + own_e) * np.where(size > 0, size, 1.0), 0.0)
    apart = np.abs(one - other)
    whole = np.diagonal(one) >= 0.5 * np.diagonal(other)
    if not (np.isfinite(other).all() and (apart <= room).all() and whole.all()):
        raise _refusal(dtype, words)


def own(values: jax.Array, square: bool) -> AnyArray | None:
    """The diagonal of a matrix of kernel values, or the largest of each row; None where it is not known yet."""
    if not _checks.is_concrete(values):
        return None
    if square:
        return np.asarray(values).diagonal().T if _devices.on_cpu(values) else jnp.diagonal(values)
    return np.abs(np.asarray(values)).max(axis=1, initial=0.0)


_TINY = "kernel values are nearly as small as the least number of"
_ZERO = "kernel values are zero for inputs that are not, in"
_INPUT = "squares of the inputs are nearly as small as the least number of"
_LARGE = "squares of the inputs are nearly as large as the largest number of"
_SCALE = "squares of the scales leave the range of"
_HALF = "numbers of the kernel leave the digits or the range of"


def _suspect(kernel: Any, x: PyTree, lengths: Lengths, dtype: DType, own: AnyArray | None) -> tuple[np.ndarray, str]:
    """How small each example is, and what may have left the range: "" if nothing."""
    info = jnp.finfo(dtype)
    least = float(info.tiny) / float(info.eps)  # below it, what is lost counts among the roundings
    energy = _energies(x, lengths, kernel.by_token)
    small = np.where(energy > 0, energy, np.inf)
    words = ""
    if float(info.bits) < 32:
        words = _HALF
    if (small < least).any():
        words = _INPUT
    large = energy > float(info.max) * float(info.eps)  # behind a normalisation an overflow looks like a value
    if large.any():
        words, small = _LARGE, np.where(large, 0.0, small)
    product = 1.0
    for leaf in kernel.scales():
        squares = np.asarray(leaf, np.float64).ravel() ** 2
        squares = squares[(squares > 0) & np.isfinite(squares)]
        if ((squares < least) | (squares > float(info.max) * float(info.eps))).any():
            words = _SCALE
        product *= float(np.prod(np.minimum(squares, 1.0)))
    if product * min(1.0, float(small.min(initial=1.0))) < least and not words:
        words = _SCALE
    if own is not None:
        size = np.abs(np.asarray(own, np.float64)).reshape(len(energy), -1) if len(np.shape(own)) else None
        if size is not None and len(size) == len(energy):
            low = np.where(size > 0, size, np.inf).min(axis=1)
            zero = (size == 0).any(axis=1) & (energy > 0)
            if (low < least).any():
                words = _TINY
            elif zero.any() and not words:
                words = _ZERO
            small = np.where(zero, 0.0, np.minimum(small, low))
    return small, words


def _energies(x: PyTree, lengths: Lengths, by_token: bool) -> np.ndarray:
    """The largest squared entry of each example; with `by_token` that of its smallest token that is not zero."""
    least: Any = None
    for leaf in jax.tree.leaves(x):
        a = np.asarray(leaf)
        if not jnp.issubdtype(a.dtype, jnp.floating) or a.ndim == 0:
            continue
        a = np.abs(a)
        if by_token and a.ndim == 3 and lengths is not None and np.ndim(lengths) == 1:
            a = np.where(np.arange(a.shape[1])[:, None] < np.asarray(lengths)[:, None, None], a, a.dtype.type(0))
        rows = len(a), -1, a.shape[-1] if by_token and a.ndim > 2 else a[0].size
        a = np.where(np.isfinite(a), a, a.dtype.type(0)).reshape(rows)
        few = 0 < a.shape[2] < 16  # NumPy is slow along a short last axis
        top = np.maximum.reduce([a[..., k] for k in range(a.shape[2])]) if few else a.max(axis=2, initial=0)
        top = top.astype(np.float64)
        top = np.where(top > 0, top, np.inf).min(axis=1, initial=np.inf)
        least = top if least is None or len(least) != len(top) else np.minimum(least, top)
    if least is None:
        return np.zeros(len(jax.tree.leaves(x)[0]))
    with np.errstate(over="ignore", under="ignore"):
        return np.where(np.isfinite(least), np.maximum(least**2, np.finfo(np.float64).tiny), 0.0)


def _square(kernel: Any, x: PyTree, lengths: Lengths) -> tuple[np.ndarray, float]:
    side = kernel.prepare(x, lengths)
    values = np.asarray(kernel.square_side(side), np.float64)
    if values.ndim == 3:
        values = np.trace(values, axis1=1, axis2=2) if values.shape[1] == values.shape[2] else values.sum(axis=2)
    if values.ndim == 4:
        n, m, o, p = values.shape
        values = values.transpose(0, 2, 1, 3).reshape(n * o, m * p)
    return values, float(kernel.entry_rounding(side))


def _refusal(dtype: DType, words: str) -> _checks.Overflow:
    return _checks.Overflow(
        f"{words} {jnp.dtype(dtype)}, beyond which numbers become zero or infinite. Bring inputs and scales nearer to "
        "one, set what is meant to be zero to zero, or use float64."
    )


def widened(leaf: AnyArray) -> Any:
    """In float64 if it is an array of floats; a Python number is exact there as it is."""
    if not jnp.issubdtype(getattr(leaf, "dtype", np.int32), jnp.floating):
        return leaf
    return jnp.asarray(np.asarray(leaf).astype(np.float64))
