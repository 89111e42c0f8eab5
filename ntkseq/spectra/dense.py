"""What are all eigenvalues of a matrix that fits on the host, and how far off can they be?"""

from __future__ import annotations

import numpy as np

from ntkseq._outward import at_most
from ntkseq._types import GramLike
from ntkseq.grams.arrays import Symmetric, symmetric
from ntkseq.grams.base import Gram
from ntkseq.spectra import audited, entrywise, sampling_error
from ntkseq.spectra.full import FullSpectrum
from ntkseq.spectra.residuals import eigenvalue_error, orthogonality


def dense_spectrum(K: GramLike | Symmetric, *, vectors: bool = True) -> FullSpectrum:
    """All eigenvalues of a symmetric matrix, each with a bound of its error; see `spectrum`.

    LAPACK's divide and conquer (`syevd`) in float64 on the host, whatever the dtype of K. The error of each eigenvalue
    is, by Weyl's inequality,

        |value_i - exact_i| <= K.rounding + solver error,

    where the solver error is bounded after the fact, from the residual and the loss of orthogonality of what the
    solver returned (`residuals.eigenvalue_error`), not from a constant in a theorem about the algorithm.

    Time O(n^3), memory about 10 arrays of n x n float64.

    Reference: anderson1999, section 4.7 (what LAPACK promises); parlett1998, chapter 10 (Weyl).
    """
    held = symmetric(K, whole=True)
    A, K = held.matrix, held.gram
    n, largest = A.shape[0], float(np.abs(A).max())
    shift = int(np.frexp(largest)[1]) if largest > 0 else 0
    A = np.ldexp(A, -shift)  # entries up to 1, exact: no square over- or underflows
    # where this pushes an entry below the normal range, it loses at most the least subnormal
    lost = n * float(np.finfo(np.float64).smallest_subnormal)
    rounding, stated = (float(np.ldexp(one.rounding, -shift)) for one in (held, K))
    own, entries = np.diagonal(A), _entries(K, A)
    # NumPy's, as all products here: with SciPy's, threads of two BLAS libraries wait for each other, and n = 256 took
    # 2 to 100 times as long on two cores
    values, basis = np.linalg.eigh(A)
    enough = 0.01 * (rounding if entries is None else min(rounding, entries * float(own.max())))
    enough = 0.0 if K.audit is not None else enough  # what is sampled is far below what was stated
    solver = eigenvalue_error(A, values, basis, enough=enough) + lost
    whole = rounding + solver
    errors, by = np.full(n, whole), ""
    if entries is not None:
        low, high = entrywise.bounds(values, basis, own, entries)
        # |A - V D V^T| <= |A V - V D| + |I - V V^T| |A|
        inexact = 2.0 * solver + 2.0 * orthogonality(basis) * float(np.abs(values).max()) + (rounding - stated)
        if K.audit is not None:
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
        method=f"LAPACK syevd in float64, entries {K.dtype}; residuals checked{by}",
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
