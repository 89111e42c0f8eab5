"""What are the eigenvalues of a Gram matrix? All of them if it is small, both ends and a density if it is large."""

from __future__ import annotations

from typing import Any, Literal, overload

from ntkseq import _checks, _memory
from ntkseq._struct import replace
from ntkseq.grams.arrays import as_gram
from ntkseq.grams.base import Dense, Gram
from ntkseq.spectra.base import Spectrum
from ntkseq.spectra.dense import dense_spectrum, held
from ntkseq.spectra.matrix_free import matrix_free

DENSE = 4096
"""Rows up to which `spectrum` computes all eigenvalues unasked: about 20 seconds and 1.3 GiB on two cores."""


@overload
def spectrum(K: Any, *, vectors: bool = True, method: Literal["dense"]) -> Spectrum: ...
@overload
def spectrum(
    K: Any,
    *,
    vectors: bool = True,
    method: Literal["auto", "matrix-free"] = "auto",
    k: Any = None,
    least: Any = None,
    probes: Any = None,
    steps: Any = None,
    tol: Any = None,
    most: Any = None,
    delta: Any = None,
    seed: Any = None,
) -> Any: ...
def spectrum(K: Any, *, vectors: bool = True, method: Any = "auto", **options: Any) -> Any:
    """The spectrum of a symmetric matrix, each number with a bound of its error.

    method="dense": all eigenvalues, LAPACK in float64 on the host, whatever the dtype of K. By Weyl's inequality

        |value_i - exact_i| <= K.rounding + solver error,

    the solver error bounded after the fact from the residual and the loss of orthogonality of what the solver
    returned (`residuals.eigenvalue_error`). Time O(n^3), memory about 10 arrays of n x n float64.

    method="matrix-free": the k largest eigenvalues, bounds of the least, and the density of all others, from products
    with blocks of vectors only: for lazy Grams of any size. Sums over the spectrum (effective ranks, log-determinants,
    counts) come as intervals that hold but for probability `delta`. K is taken to be positive semi-definite.

    method="auto": dense up to n = 4096, matrix-free beyond. The answer's `method` says which way, and why.

    Args:
        K: a Gram, held, lazy or an Operator, or an array (n, n), or (n, n, o, o) over all outputs or steps, which is
            taken as a matrix (n o, n o), symmetric up to rounding. An array that a kernel
            returned states what the Gram states; any other counts as rounded once in its own dtype, with a warning
            below float64 (`grams.as_gram`). If its error is larger, say so: `grams.Dense(K, rounding=...)`. What is
            asymmetric within rounding is symmetrised; asymmetry beyond `rounding` widens the errors.
        vectors: keep the eigenvectors, which alignment needs.
        method: "auto", "dense" or "matrix-free".
        k: matrix-free: how many leading eigenvalues. 20.
        least: matrix-free: how many pairs at the lower end, which takes many products; 0 for a bound from the probes
            alone, the default.
        probes, steps: matrix-free: random vectors of the density, 10, and Lanczos steps of each, 16. Sums narrow with
            the root of probes, and bounds of both ends with the square of steps.
        tol: matrix-free: residual of the leading pairs, relative to the largest eigenvalue. 1e-6.
        most: matrix-free: products for the pairs of each end, at most. 40.
        delta: matrix-free: probability that some interval is wrong. 1e-6.
        seed: matrix-free: of start vectors and probes. 0.

    Returns:
        A `Spectrum`, or a `Partial`; both have `values`, `errors`, `min_eigenvalue`, `max_eigenvalue`, `condition`,
        `effective_rank`, `effective_rank_interval`, `decay_exponent`, and print as a table.

    Raises:
        ValueError: not a matrix of floats, empty, not square, not finite, not symmetric, a rounding that is negative or
            nan, an option that belongs to the other method.

    Reference: anderson1999, section 4.7 (what LAPACK promises); parlett1998, chapters 10 to 13 (Weyl, Ritz values);
        golub2010 (quadrature); laurent2000 (the mean over probes).

    Example:
        >>> import numpy as np
        >>> spectrum(np.array([[2.0, 1.0], [1.0, 2.0]])).min_eigenvalue.resolved
        True
    """
    _checks.choice("method", method, ("auto", "dense", "matrix-free"))
    options = {name: value for name, value in options.items() if value is not None}
    unknown = set(options) - {"k", "least", "probes", "steps", "tol", "most", "delta", "seed"}
    if unknown:
        raise ValueError(
            f"spectrum takes no option {sorted(unknown)[0]!r}. Its options are k, least, probes, steps, ..."
        )
    if (
        not isinstance(K, Gram) and getattr(K, "ndim", 0) == 4 and _checks.is_concrete(K)
    ):  # over outputs or steps: all in one
        K = as_gram(K)
    implicit = isinstance(K, Gram) and not isinstance(K, Dense)
    shape = tuple(getattr(K, "shape", ()))
    large = len(shape) == 2 and shape[0] > DENSE
    if method == "dense" or (method == "auto" and not large):
        if options and method == "dense":
            raise ValueError(f'{sorted(options)[0]}= belongs to method="matrix-free"; got method="dense".')
        if not options:
            return dense_spectrum(K, vectors=vectors)
    gram = _square(K) if implicit else held(K)
    for name in {"k", "probes", "steps", "most"} & set(options):
        options[name] = _checks.positive_int(name, options[name])
    if options.get("least", 0) != 0:
        options["least"] = _checks.positive_int("least", options["least"])
    for name in {"delta"} & set(options):
        options[name] = _checks.probability(name, options[name])
    for name in {"seed"} & set(options):
        options[name] = _checks.seed(name, options[name])
    for name in {"tol"} & set(options):
        options[name] = _checks.nonnegative(name, options[name])
    n = gram.shape[0]
    why = f"matrix-free, as n = {n} > {DENSE} (dense: {_memory.text(80.0 * n * n)}): " if large else "matrix-free: "
    found = matrix_free(gram, vectors=vectors, why=why if method == "auto" else "matrix-free: ", **options)
    return replace(found, method=f"{found.method}; rounding of K {gram.estimated}") if gram.estimated else found


def _square(K: Gram) -> Gram:
    """A Gram that is not held, if it has eigenvalues."""
    if K.shape[0] != K.shape[1] or not K.symmetric:
        raise ValueError(
            f"K must be square and symmetric to have eigenvalues; got shape {K.shape}, symmetric={K.symmetric}. Pass "
            "the Gram matrix of one set of inputs, lazy(kernel, x)."
        )
    return K
