"""What is known of the rounding of an array? What its kernel noted beside it, or that its entries were rounded once."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntkseq import _checks, _notices, _precision, _provenance
from ntkseq.grams import digits
from ntkseq.grams.base import Dense, Gram
from ntkseq.grams.sampling import Sampling


def as_gram(K: Any, name: str = "K") -> Gram:
    """`K` itself if it is a Gram; an array with what is known of its rounding.

    An array that this library computed, `kernel(x)` or `kernels.every_step(kernel, x)` itself and not what an operation
    made of it, has the rounding of `gram(kernel, x)`. Of any other array it is only known that its entries cannot be
    better than rounded once in their dtype. For one below float64, or one in float64 whose numbers are those of
    float32, this is said in a warning, and `Dense.stated` is False.

    Args:
        K: a Gram, or a matrix (n, m); (n, m, t, s), over steps or outputs, becomes one of all rows and columns.
        name: of K in messages.

    Raises:
        ValueError: not a matrix of floats.

    Warns:
        PrecisionWarning: the rounding of the array is not known.
    """
    if isinstance(K, Gram):
        return K
    array = K if isinstance(K, (jax.Array, np.ndarray)) else _checks.host(name, K)
    _checks.outside(name, array, "")
    _checks.unmasked(name, array)
    _checks.not_a_key(name, array)
    if array.ndim not in (2, 4) or not jnp.issubdtype(array.dtype, jnp.floating):
        raise ValueError(
            f"{name} must be a matrix of floats, shape (n, m); got shape {array.shape}, dtype {array.dtype}."
        )
    if _checks.is_concrete(array):
        _checks.finite(name, array)
    origin = _provenance.recall(array)
    matrix = array if array.ndim == 2 else flat(array)
    return _bare(matrix, name) if origin is None else of_origin(matrix, origin)


def of_origin(matrix: Any, origin: Any) -> Dense:
    """A matrix with what is known of its rounding; see `kernels.origin`."""
    e, traces = origin.facts()
    if traces is None:
        own = float(np.sum(np.asarray(matrix).diagonal().astype(np.float64)))
        traces = own, own
    # |E|_2 <= |E|_F <= e sqrt(tr K tr K'), with |E_ij| <= e sqrt(K_ii K'_jj)
    rounding = e * float(np.sqrt(max(traces[0], 0.0) * max(traces[1], 0.0)))
    sampling = Sampling(why="an array holds no batches; pass gram(kernel, x)") if origin.sampled else None
    return Dense(matrix, rounding, origin.symmetric, True, e, origin.estimated, sampling)


def graded(gram: Dense) -> Dense:
    """A rounding in norm from one of the entries: |E|_F <= e tr K."""
    array = np.asarray(gram.array, np.float64)
    trace = float(np.sum(array.diagonal())) if gram.symmetric else float("inf")
    return Dense(gram.array, rounding=gram.entrywise * trace, frobenius=True, entrywise=gram.entrywise)


def flat(array: Any) -> np.ndarray:
    """(n, m, t, s) as a matrix (n t, m s), the steps of an example next to each other."""
    n, m, t, s = array.shape
    return np.asarray(array).transpose(0, 2, 1, 3).reshape(n * t, m * s)


def _bare(array: Any, name: str) -> Dense:
    """An array of which nothing but its dtype is known."""
    dtype = np.dtype(np.float32) if digits.single(A := np.asarray(array)) else A.dtype
    stated = dtype == np.float64 or (dtype == np.float32 and not digits.long(A).any())  # few digits: 1, 0.5, 3
    if not stated:
        _notices.warn(
            f"{name} holds {dtype} numbers of unknown rounding, which count as rounded once. If a kernel made it, pass "
            "gram(kernel, x), or grams.computed(K, kernel, x) for what left jit or NumPy; or state its error in norm, "
            "grams.Dense(K, rounding=...)."
        )
    wide = A.astype(np.float64)
    square = A.shape[0] == A.shape[1]
    with np.errstate(invalid="ignore"):  # what is not finite is refused by who looks at the numbers
        largest = float(np.abs(wide).max(initial=0.0))
        norm = largest * float(np.linalg.norm(wide / largest)) if 0 < largest < np.inf else largest
    eps, info = _precision.eps(dtype), jnp.finfo(dtype)
    # |E|_2 <= |E|_F <= eps/2 |K|_F; numbers below the normal range may be zero
    lost = float(info.smallest_subnormal if dtype == np.float64 else info.tiny) * float(np.sqrt(wide.size))
    return Dense(
        array,
        rounding=0.5 * eps * norm + lost,
        symmetric=square and bool(np.array_equal(A, A.T)),
        frobenius=True,
        entrywise=digits.once(wide, eps, float(info.tiny)) if square else None,
        stated=stated,
    )
