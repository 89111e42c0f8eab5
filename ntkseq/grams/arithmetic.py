"""How far is a multiple or a sum of Gram matrices rounded? Theirs carried over, and what the operation adds."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from ntkseq import _checks, _precision
from ntkseq._types import AnyArray, AnyFunction, DType
from ntkseq.grams import digits
from ntkseq.grams.sampling import changed

if TYPE_CHECKING:
    from ntkseq.grams.base import Gram
else:  # it imports this file
    Gram = Any

_ROWS = 512  # that are in float64 at a time
_UP = 1.0 + 1e-12  # for the roundings of the bounds themselves


def times(K: Gram, c: float) -> Any:
    """c K. None where nothing is known of the result: under a trace, or where c or an entry leaves its range."""
    if not K.held and c >= 0.0 and (made := K.multiple(c)) is not None:
        return made
    return _multiple(K, c, lambda array, c: array * c, lambda c: c, "*")


def over(K: Gram, c: float) -> Any:
    """K / c. None where nothing is known of the result."""
    if c == 0.0:
        return None
    if not K.held and c > 0.0 and (made := K.multiple(1.0 / c)) is not None:
        return made
    return _multiple(K, c, lambda array, c: array / c, lambda c: 1.0 / c, "/")


def _multiple(K: Gram, c: float, op: AnyFunction, factor: Callable[[float], float], sign: str) -> Any:
    """With f the factor as asked for and g as used, |g K - f exact| <= |g| |E| + |f - g| (|K| + |E|) + eps |g K|."""
    array = K.whole(sign)
    if not _concrete(array):
        return None
    eps, tiny = _precision.eps(array.dtype), _tiny(array)
    used = _rounded(c, array.dtype)
    if not math.isfinite(used) or (c != 0.0 and abs(used) < tiny):
        return None
    f, g = factor(c), factor(used)
    found = op(array, used)
    # a power of two rounds nothing
    slack = 0.0 if used == 0.0 or abs(math.frexp(used)[0]) == 0.5 else eps
    norm, size, lost = _norms(array, found, tiny if used else 0.0)
    if not math.isfinite(size):
        return None
    stated = K.proved_rounding()
    rounding = abs(g) * stated + abs(f - g) * (norm + stated) + slack * size + lost
    e = None
    if K.entrywise is not None and lost == 0.0 and g > 0.0:
        e = float(K.entrywise)
        if slack > 0.0:
            e = (e + (abs(f - g) / g + slack) * (1.0 + 2.0 * e)) / (1.0 - slack) * _UP
    sampling = K.sampling
    if sampling is not None:
        known = g > 0.0 and sampling.batches is not None
        sampling = changed(sampling, "it is a multiple below zero of a sampled Gram")
        if known:
            sampling = dataclasses.replace(K.sampling, batches=op(np.asarray(K.sampling.batches), used))
    return _made(found, rounding, K.symmetric, K.frobenius, e, K, sampling=sampling)


def plus(K: Gram, c: float) -> Any:
    """K + c, the number on every entry: of the kernel plus a constant, if c >= 0. None where nothing is known."""
    array = K.whole("+")
    if not _concrete(array):
        return None
    used = _rounded(c, array.dtype)
    if not math.isfinite(used):
        return None
    found = array + used
    off = abs(c - used) * math.sqrt(array.size)
    _, size, lost = _norms(array, found, _tiny(array))
    if not math.isfinite(size):
        return None
    u = 0.0 if used == 0.0 else 0.5 * _precision.eps(array.dtype)
    e = None
    if K.entrywise is not None and c >= 0.0:
        e = float(K.entrywise) if used == 0.0 == c else _entry(K.entrywise, abs(c - used) / used if used else None, u)
    return _made(found, K.proved_rounding() + off + u * size + lost, K.symmetric, K.frobenius, e, K)


def minus(K: Gram, c: float) -> Any:
    """K - c; see `plus`."""
    return plus(K, -c)


def plus_gram(K: Gram, L: Gram) -> Any:
    """The sum of two Grams. None under a trace."""
    return _both(K, L, 1)


def minus_gram(K: Gram, L: Gram) -> Any:
    """The difference of two Grams, which may be indefinite: its entries are known in norm only. None under a trace."""
    return _both(K, L, -1)


def _both(K: Gram, L: Gram, sign: int) -> Any:
    word = "+" if sign > 0 else "-"
    arrays = [gram.whole(word) for gram in (K, L)]
    if not all(map(_concrete, arrays)):
        return None
    dtypes = {np.dtype(array.dtype) for array in arrays}
    dtype = dtypes.pop() if len(dtypes) == 1 else _precision.wide(*dtypes)
    if any(isinstance(array, np.ndarray) for array in arrays):
        arrays = [np.asarray(array) for array in arrays]
    one, two = (array.astype(dtype) for array in arrays)
    found = one + two if sign > 0 else one - two
    u = 0.5 * _precision.eps(dtype)
    _, size, lost = _norms(one, found, _tiny(found), two)
    if not math.isfinite(size):
        return None
    e = None
    if sign > 0:
        e = _entry(_entrywise(K, one), _entrywise(L, two), u)
    frobenius = all(gram.frobenius or float(gram.rounding) == 0.0 for gram in (K, L))
    rounding = K.proved_rounding() + L.proved_rounding() + u * size + lost
    return _made(found, rounding, K.symmetric and L.symmetric, frobenius, e, K, L)


def _made(
    array: AnyArray, rounding: float, symmetric: bool, frobenius: bool, e: float | None, *of: Any, sampling: Any = None
) -> dict[str, Any]:
    """The arguments of the `grams.DenseGram` that it is, with what else is known of those it is made of."""
    known = [gram.sampling for gram in of if gram.sampling is not None]
    if known and sampling is None:
        sampling = changed(known[0], "it is made of a sampled Gram by arithmetic")
    rounding = rounding * _UP if math.isfinite(rounding) else float("inf")
    return {
        "array": array,
        "rounding": rounding,
        "symmetric": symmetric,
        "frobenius": frobenius,
        "entrywise": e,
        "estimated": next((gram.estimated for gram in of if gram.estimated), ""),
        "sampling": sampling,
        "stated": all(gram.stated for gram in of),
    }


def _entry(e1: float | None, e2: float | None, u: float) -> float | None:
    """Of a sum: e1 sqrt(a_i a_j) + e2 sqrt(b_i b_j) <= max(e1, e2) sqrt((a_i + b_i) (a_j + b_j)), and its rounding."""
    if e1 is None or e2 is None:
        return None
    e = max(float(e1), float(e2))
    return (e + u * (1.0 + 2.0 * e)) * (1.0 + 4.0 * u) * _UP


def _entrywise(gram: Gram, array: AnyArray) -> float | None:
    """e of a Gram; 0 of an exact matrix whose entries are no larger than its diagonal allows."""
    if gram.entrywise is not None:
        return float(gram.entrywise)
    if float(gram.rounding) != 0.0 or not gram.symmetric:
        return None
    wide = np.asarray(array).astype(np.float64)
    return None if digits.once(wide, _precision.eps(array.dtype), _tiny(array)) is None else 0.0


def _norms(array: AnyArray, found: AnyArray, tiny: float, other: AnyArray | None = None) -> tuple[float, float, float]:
    """Frobenius norms: of the array; of what the operation rounded; and of what it may have put to zero."""
    squares, sizes, small = 0.0, 0.0, 0
    for start in range(0, array.shape[0], _ROWS):
        part = slice(start, start + _ROWS)
        given, made = (np.abs(np.asarray(a[part]).astype(np.float64)) for a in (array, found))
        changed = given > 0 if other is None else (given > 0) & (np.asarray(other[part]).astype(np.float64) != 0)
        with np.errstate(over="ignore", under="ignore"):
            squares, sizes = math.hypot(squares, _norm(given)), math.hypot(sizes, _norm(made[changed]))
        small += int(np.count_nonzero(made[changed] < tiny))
    return squares, sizes, tiny * math.sqrt(small)


def _norm(a: np.ndarray) -> float:
    """Without overflow or underflow of the squares."""
    largest = float(a.max(initial=0.0))
    return largest * float(np.linalg.norm(a / largest)) if 0.0 < largest < math.inf else largest


def _rounded(c: float, dtype: DType) -> float:
    with np.errstate(over="ignore", under="ignore"):
        return float(np.asarray(c).astype(dtype))


def _tiny(array: AnyArray) -> float:
    return float(jnp.finfo(array.dtype).tiny)


def _concrete(array: AnyArray) -> bool:
    return isinstance(array, np.ndarray) or (isinstance(array, jax.Array) and _checks.is_concrete(array))
