"""What is known of the rounding of an array? What its kernel noted beside it, or that its entries were rounded once."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntkseq import _checks, _notices, _precision, _provenance
from ntkseq._types import AnyArray, GramLike
from ntkseq.grams import digits
from ntkseq.grams.sampling import Sampling


def array(K: GramLike, name: str, *, whole_numbers: bool = False) -> AnyArray:
    """K as an array of finite floats with 2 or 4 axes, see `grams.as_gram`; also of integers, which float64 holds."""
    _checks.outside(name, K, "")
    return checked(K, name, (2, 4), whole_numbers=whole_numbers)


def stated(array: AnyArray, name: str) -> dict[str, Any]:
    """The fields of a `grams.DenseGram` that holds a checked array, which warns where its rounding is not known."""
    matrix = array if array.ndim == 2 else flat(array)
    return {"array": matrix} | known(matrix, name, _provenance.recall(array))


def checked(K: GramLike, name: str, axes: tuple[int, ...] = (2,), *, whole_numbers: bool = False) -> AnyArray:
    """K as an array of finite floats, or a tracer, with so many axes."""
    array = K if isinstance(K, (jax.Array, np.ndarray)) else _checks.host(name, K)
    _checks.unmasked(name, array)
    _checks.not_a_key(name, array)
    if whole_numbers and array.dtype.kind in "iub":
        array = np.asarray(array, np.float64)
    if array.ndim not in axes or not jnp.issubdtype(array.dtype, jnp.floating):
        raise ValueError(
            f"{name} must be a matrix of floats, shape (n, m); got shape {array.shape}, dtype {array.dtype}."
        )
    _checks.finite(name, array)
    return array


def known(matrix: AnyArray, name: str, origin: Any) -> dict[str, Any]:
    """What is known of a matrix: from the kernel that made it, or without one from its dtype, with a warning."""
    return _bare(matrix, name) if origin is None else _of_origin(matrix, origin)


def of_entries(array: AnyArray, entrywise: float, symmetric: bool) -> dict[str, Any]:
    """A rounding in norm from one of the entries: |E|_F <= e tr K."""
    trace = float(np.sum(np.asarray(array, np.float64).diagonal())) if symmetric else float("inf")
    return {"rounding": digits.in_norm(entrywise, trace), "frobenius": True, "entrywise": entrywise}


def flat(array: AnyArray) -> np.ndarray:
    """(n, m, t, s) as a matrix (n t, m s), the steps of an example next to each other."""
    n, m, t, s = array.shape
    return np.asarray(array).transpose(0, 2, 1, 3).reshape(n * t, m * s)


def _of_origin(matrix: AnyArray, origin: Any) -> dict[str, Any]:
    """What is known of a matrix that a kernel computed; see `kernels.origin`."""
    e, traces = origin.facts()
    if traces is None:
        own = float(np.sum(np.asarray(matrix).diagonal().astype(np.float64)))
        traces = own, own
    # |E|_2 <= |E|_F <= e sqrt(tr K tr K'), with |E_ij| <= e sqrt(K_ii K'_jj)
    rounding = digits.in_norm(e, float(np.sqrt(max(traces[0], 0.0) * max(traces[1], 0.0))))
    sampling = Sampling(why="an array holds no batches; pass gram(kernel, x)") if origin.sampled else None
    return {
        "rounding": rounding,
        "symmetric": origin.symmetric,
        "frobenius": True,
        "entrywise": e,
        "estimated": origin.estimated,
        "sampling": sampling,
    }


def _bare(array: AnyArray, name: str) -> dict[str, Any]:
    """An array of which nothing but its dtype is known."""
    dtype = np.dtype(np.float32) if digits.single(A := np.asarray(array)) else A.dtype
    stated = dtype == np.float64 or (dtype == np.float32 and not digits.long(A).any())  # few digits: 1, 0.5, 3
    if not stated:
        _notices.warn(
            f"{name} holds {dtype} numbers of unknown rounding, which count as rounded once. If a kernel made it, pass "
            "gram(kernel, x), or grams.computed(K, kernel, x) for what left jit or NumPy; or state its error in norm, "
            "grams.DenseGram(K, rounding=...)."
        )
    wide = A.astype(np.float64)
    square = A.shape[0] == A.shape[1]
    with np.errstate(invalid="ignore"):  # what is not finite is refused by who looks at the numbers
        largest = float(np.abs(wide).max(initial=0.0))
        norm = largest * float(np.linalg.norm(wide / largest)) if 0 < largest < np.inf else largest
    eps, info = _precision.eps(dtype), jnp.finfo(dtype)
    # |E|_2 <= |E|_F <= eps/2 |K|_F; numbers below the normal range may be zero
    lost = float(info.smallest_subnormal if dtype == np.float64 else info.tiny) * float(np.sqrt(wide.size))
    return {
        "rounding": 0.5 * eps * norm + lost,
        "symmetric": square and bool(np.array_equal(A, A.T)),
        "frobenius": True,
        "entrywise": digits.once(wide, eps, float(info.tiny)) if square else None,
        "stated": stated,
    }
