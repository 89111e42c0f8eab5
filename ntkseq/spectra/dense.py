"""What are all eigenvalues of a matrix that fits on the host, and how far off can they be?"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from ntkseq import _checks, _precision
from ntkseq._outward import at_most
from ntkseq.grams.arrays import as_gram
from ntkseq.grams.auditing import Audited
from ntkseq.grams.base import Dense, Gram
from ntkseq.spectra import audited, entrywise, sampling_error
from ntkseq.spectra.full import FullSpectrum
from ntkseq.spectra.residuals import eigenvalue_error, orthogonality

_RANGE = 1e120  # of entries whose sums of squares are formed without scaling


def dense_spectrum(K: Any, *, vectors: bool = True) -> FullSpectrum:
    """All eigenvalues of a symmetric matrix, each with a bound of its error; see `spectrum`.

    LAPACK's divide and conquer (`syevd`) in float64 on the host, whatever the dtype of K. The error of each eigenvalue
    is, by Weyl's inequality,

        |value_i - exact_i| <= K.rounding + solver error,

    where the solver error is bounded after the fact, from the residual and the loss of orthogonality of what the
    solver returned (`residuals.eigenvalue_error`), not from a constant in a theorem about the algorithm.

    Time O(n^3), memory about 10 arrays of n x n float64.

    Reference: anderson1999, section 4.7 (what LAPACK promises); parlett1998, chapter 10 (Weyl).
    """
    A, dtype, K = _host(K)
    rounding = float(np.asarray(K.rounding))
    n, largest = A.shape[0], float(np.abs(A).max())
    shift = int(np.frexp(largest)[1]) if largest > 0 else 0
    A = np.ldexp(A, -shift)  # entries up to 1, exact: no square over- or underflows
    # where this pushes an entry below the normal range, it loses at most the least subnormal
    lost = n * float(np.finfo(np.float64).smallest_subnormal)
    stated = float(np.ldexp(rounding, -shift))
    A, rounding = _symmetrised(A, stated, dtype)
    own, entries = np.diagonal(A), _entries(K, A)
    # NumPy's, as all products here: with SciPy's, threads of two BLAS libraries wait for each other, and n = 256 took
    # 2 to 100 times as long on two cores
    values, basis = np.linalg.eigh(A)
    enough = 0.01 * (rounding if entries is None else min(rounding, entries * float(own.max())))
    enough = 0.0 if isinstance(K, Audited) else enough  # what is sampled is far below what was stated
    solver = eigenvalue_error(A, values, basis, enough=enough) + lost
    whole = rounding + solver
    errors, by = np.full(n, whole), ""
    if entries is not None:
        low, high = entrywise.bounds(values, basis, own, entries)
        # |A - V D V^T| <= |A V - V D| + |I - V V^T| |A|
        inexact = 2.0 * solver + 2.0 * orthogonality(basis) * float(np.abs(values).max()) + (rounding - stated)
        if isinstance(K, Audited):
            below, over = audited.bounds(values, basis, K.audit, float(np.ldexp(1.0, -shift)), stated)
            low, high = np.maximum(low, below), np.minimum(high, over)
            by = (
                f"; {K.audit.pairs} pairs looked at again, twice, right but for probability {at_most(K.audit.delta, 2)}"
            )
        errors = np.minimum(whole, np.maximum(high - values, values - low)[::-1] + inexact)
    known = K.sampling
    shares = None
    if known is not None and known.batches is not None and not (own < 0).any():
        rho = known.entrywise * float(own.sum()) + solver
        low, high = entrywise.bounds(values, basis, own, known.entrywise)
        rounded = np.maximum(high - values, values - low) + 2.0 * solver
        batches = np.ldexp(np.asarray(known.batches, np.float64), -shift)
        shares = sampling_error.relative(A, values, batches, rho=rho, bias=known.bias)
        moved = np.expm1(np.where(shares < 1, shares, np.inf)) * (np.maximum(values, 0) + rho + rounded)
        errors = np.minimum(errors, (rounded + moved)[::-1])
        shares = shares[::-1]
    unsure = values[0] <= errors[-1]
    near = whole if known is None else float(errors[-1])  # of examples that are equal as far as K tells
    errors = np.ldexp(errors * (1.0 + 4.0 * np.finfo(np.float64).eps), shift) + lost
    return FullSpectrum(
        values=np.ldexp(values[::-1], shift),
        errors=errors,
        vectors=np.ascontiguousarray(basis[:, ::-1]) if vectors else None,
        trace=float(np.ldexp(np.trace(A), shift)),
        norm_fro=float(np.ldexp(np.linalg.norm(A), shift)),
        rounding=float(np.ldexp(rounding, shift)),
        method=f"LAPACK syevd in float64, entries {dtype}; residuals checked{by}",
        estimated=K.estimated,
        sampling=sampling_error.of(K, shares),
        pair=_twins(A, near) if unsure else None,
    )


def _entries(K: Gram, A: np.ndarray) -> float | None:
    """e with |error_ij| <= e sqrt(A_ii A_jj), if the Gram states one."""
    return (
        None
        if K.entrywise is None or not np.isfinite(K.entrywise) or (np.diagonal(A) < 0).any()
        else float(K.entrywise)
    )


def _twins(A: np.ndarray, error: float) -> tuple[int, int] | None:
    """The two examples nearest to each other, if (e_i - e_j) / sqrt 2 alone has a quotient of the size of the error."""
    n = A.shape[0]
    if n == 1:
        return None
    own = np.diagonal(A)
    apart = 0.5 * (own[:, None] + own) - A
    apart[np.diag_indices(n)] = np.inf
    i, j = np.unravel_index(int(np.argmin(apart)), apart.shape)
    return (int(min(i, j)), int(max(i, j))) if apart[i, j] <= 4.0 * error and own[i] > 4.0 * error else None


def held(K: Any) -> Dense:
    """A matrix that is held, checked and made symmetric, in host float64, with what that adds to its rounding."""
    A, dtype, K = _host(K)
    largest = float(np.abs(A).max())
    if largest > _RANGE or 0.0 < largest < 1.0 / _RANGE:
        raise ValueError(
            f"the largest entry of K is {largest:.2g}; sums of squares of products would leave the range of float64. "
            'Scale K, or take method="dense", which scales by itself.'
        )
    A, rounding = _symmetrised(A, float(np.asarray(K.rounding)), dtype)
    known = {"frobenius": K.frobenius, "estimated": K.estimated, "stated": K.stated, "sampling": K.sampling}
    return Dense(A, rounding=rounding, symmetric=True, **known)  # pyright: ignore[reportArgumentType]


def _host(K: Any) -> tuple[np.ndarray, np.dtype, Gram]:
    """The entries in host float64, checked, their own dtype, and the Gram that states their rounding."""
    # not dense() of a matrix that is held: without x64, JAX would round float64 entries to float32
    entries = K.array if isinstance(K, Dense) else K.dense() if isinstance(K, Gram) else K
    _checks.not_a_key("K", entries)
    _checks.outside("K", entries, "")
    if (
        getattr(entries, "ndim", 0) == 4
    ):  # over outputs or steps: one matrix of all, with what its kernel knows of its rounding
        K = as_gram(entries)
        entries = K.array  # pyright: ignore[reportAttributeAccessIssue]
    given, entries = entries, _checks.host("K", entries)
    if entries.dtype.kind in "iub":
        given = entries = entries.astype(np.float64)
    if entries.ndim != 2 or not jnp.issubdtype(entries.dtype, jnp.floating):
        raise ValueError(
            "K must be a Gram or a matrix of real numbers, shape (n, n); "
            f"got shape {entries.shape}, dtype {entries.dtype}. Call gram(kernel, x) first."
        )
    rows, columns = entries.shape
    if rows != columns:
        raise ValueError(
            f"K must be square to have eigenvalues; got shape {(rows, columns)}. Pass the Gram matrix of one set of "
            "inputs, gram(kernel, x); for a rectangular matrix see effective_rank."
        )
    if rows == 0:
        raise ValueError("K must have at least one row; got shape (0, 0). Check that the data is not empty.")
    A = entries.astype(np.float64)
    _checks.finite("K", A)
    gram = as_gram(given) if not isinstance(K, Gram) else K
    rounding = float(np.asarray(gram.rounding))
    if not rounding >= 0:
        raise ValueError(
            f"rounding of K must be a number >= 0; got {rounding}. It bounds |K - exact| in spectral norm."
        )
    return A, entries.dtype, gram


def _symmetrised(A: np.ndarray, rounding: float, dtype: np.dtype) -> tuple[np.ndarray, float]:
    """(A + A^T) / 2 and its rounding, or an error when A is not symmetric at all."""
    if np.array_equal(A, A.T):
        return A, rounding
    n, norm = A.shape[0], float(np.linalg.norm(A))
    asymmetry = float(np.linalg.norm(A - A.T))
    # |A - A^T|_2 <= 2 rounding for an exact K that is symmetric, and |.|_F <= sqrt(n) |.|_2. An array says only that
    # each entry was rounded once; products of length n may round n times.
    allowed = max(2.0 * np.sqrt(n) * rounding, n * _precision.eps(dtype) * norm)
    if asymmetry > allowed:
        i, j = np.unravel_index(int(np.abs(A - A.T).argmax()), A.shape)
        raise ValueError(
            f"K must be symmetric; got |K - K^T|_F / |K|_F = {asymmetry / norm:.2g}, where rounding explains "
            f"{allowed / norm:.2g}; the largest difference is between entries ({i}, {j}) and ({j}, {i}). If it is "
            "rounding, pass grams.Dense((K + K.T) / 2, rounding=...); if not, K is not the Gram matrix of a kernel."
        )
    # halving is exact; the sum rounds once. Half the asymmetry lies in the part that is dropped, and the part that
    # stays is taken to be as wrong.
    return 0.5 * (A + A.T), max(rounding, 0.5 * asymmetry) + 0.5 * float(np.finfo(np.float64).eps) * norm
