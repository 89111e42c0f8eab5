"""What are the eigenvalues of a Gram matrix? All of them if it is small, both ends and a density if it is large."""

from __future__ import annotations

from typing import Literal, overload

from ntkseq._types import GramLike
from ntkseq.spectra.base import Spectrum
from ntkseq.spectra.full import FullSpectrum
from ntkseq.spectra.methods import Full, MatrixFree, Method, as_method
from ntkseq.spectra.partial import PartialSpectrum


@overload
def spectrum(K: GramLike, method: Full | Literal["dense"], *, vectors: bool = True) -> FullSpectrum: ...
@overload
def spectrum(K: GramLike, method: MatrixFree | Literal["matrix-free"], *, vectors: bool = True) -> PartialSpectrum: ...
@overload
def spectrum(K: GramLike, method: str | Method = "auto", *, vectors: bool = True) -> Spectrum: ...
def spectrum(K: GramLike, method: str | Method = "auto", *, vectors: bool = True) -> Spectrum:
    """The spectrum of a symmetric matrix, each number with a bound of its error.

    `Full()`, "dense" for short: all eigenvalues, by LAPACK in float64 on the host, whatever the dtype of K.

    `MatrixFree(k=20, probes=10, ...)`, "matrix-free": the k largest eigenvalues, bounds of the least, and the density
    of all others, from products with blocks of vectors only: for lazy Grams of any size. Sums over the spectrum
    (effective ranks, log-determinants, counts) come as intervals that hold but for a stated probability. K is taken to
    be positive semi-definite.

    `Auto(rows=4096, beyond=MatrixFree())`, "auto": the first up to n = 4096, the second beyond.

    Args:
        K: a Gram, held, lazy or an Operator, or an array (n, n), or (n, n, o, o) over all outputs or steps, which is
            taken as a matrix (n o, n o), symmetric up to rounding. An array that a kernel
            returned states what the Gram states; any other counts as rounded once in its own dtype, with a warning
            below float64 (`grams.as_gram`). If its error is larger, say so: `grams.DenseGram(K, rounding=...)`. What is
            asymmetric within rounding is symmetrised; asymmetry beyond `rounding` widens the errors.
        method: an object of the three above, which holds the options, or a short name.
        vectors: keep the eigenvectors, which alignment needs.

    Returns:
        A `FullSpectrum` or a `PartialSpectrum`; every `Spectrum` has `values`, `errors`, `min_eigenvalue`,
        `max_eigenvalue`, `condition`, `effective_rank`, `effective_rank_interval`, `decay_exponent`, prints as a table,
        and says in `method` how it was computed, and why that way.

    Raises:
        ValueError: not a matrix of floats, empty, not square, not finite, not symmetric, a rounding that is negative or
            nan, an unknown method.

    Reference: anderson1999, section 4.7 (what LAPACK promises); parlett1998, chapters 10 to 13 (Weyl, Ritz values);
        golub2010 (quadrature); laurent2000 (the mean over probes).

    Example:
        >>> import numpy as np
        >>> spectrum(np.array([[2.0, 1.0], [1.0, 2.0]])).min_eigenvalue.positive
        True
    """
    return as_method(method).spectrum(K, vectors=vectors)
