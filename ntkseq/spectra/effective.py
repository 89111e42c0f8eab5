"""What is the effective rank of a spectrum or of a matrix, and of every matrix of a batch?"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkseq import _checks, _precision, _provenance
from ntkseq._types import AnyArray, ArrayLike, GramLike
from ntkseq.grams.arrays import as_gram
from ntkseq.grams.base import Gram
from ntkseq.spectra.base import Spectrum
from ntkseq.spectra.clipping import nonnegative
from ntkseq.spectra.eigenvalues import spectrum
from ntkseq.spectra.ranks import EffectiveRank
from ntkseq.spectra.ranks.short import as_rank


def effective_rank(values: GramLike | Spectrum, rank: str | EffectiveRank = "entropy", **number: Any) -> float:
    """The number of directions that count, by one of the definitions in use.

    With s the singular values (for a positive semi-definite matrix: the eigenvalues) in descending order, and the
    objects of `spectra.ranks`:

        "entropy"               Entropy()                 exp(H(p)),  p = s / sum(s),  H(p) = -sum p log p
        "energy_entropy"        Entropy(power=2)          exp(H(p)),  p = s^2 / sum(s^2)
        "stable"                Stable()                  sum(s^2) / s_1^2
        "intrinsic"             Intrinsic()               sum(s) / s_1             also called "nuclear"
        "participation"         Participation()           sum(s)^2 / sum(s^2)
        "energy_participation"  Participation(power=2)    sum(s^2)^2 / sum(s^4)
        "numerical"             Numerical()               #{i : s_i > tol s_1}, tol of the size of rounding
                                Numerical(tol)            the same at a tol of your own
                                Energy(quantile)          min {k : sum_{i<=k} s_i^2 >= quantile sum(s^2)}
                                Tail(k)                   r_k = sum_{i>k} s_i / s_{k+1}            nan for k >= rank
                                Tail(k, Participation())  R_k = (sum_{i>k} s_i)^2 / sum_{i>k} s_i^2
                                Dimension(reg)            tr K (K + reg I)^-1 = sum s / (s + reg)
                                Dimension(reg, power=2)   tr (K (K + reg I)^-1)^2

    A definition of your own is a class: see `ranks.EffectiveRank`.

    A zero matrix has rank 0 (but r_k and R_k are nan: there k >= rank). All lie between 1 and the rank, except
    dimensions, which lie between 0 and the rank, and `Numerical` with tol >= 1, which is 0;
    stable <= energy_entropy <= entropy, intrinsic <= participation <= entropy, stable <= intrinsic,
    r_k <= R_k <= r_k^2.

    Negative values: those of the size of rounding (down to -n eps s_1 of their dtype, or to -error of a `Spectrum`)
    are set to 0. A value that is negative beyond that raises, because the definitions have no meaning for it.

    Args:
        values: a vector of eigenvalues or singular values in any order, a matrix (its singular values are taken, so it
            need not be square), a Gram or a `Spectrum` (which know their own errors).
        rank: the definition, an object or one of the short names above.
        number: of a short name that takes one: quantile= of "energy", k= of "r" and "R" (the last two tails), reg= of
            "ridge" and "ridge2" (dimensions), tol= of "numerical".

    Returns:
        The effective rank, a float.

    Raises:
        ValueError: no such definition, a number that it does not take; values that are not finite, or clearly negative.

    Reference: roy2007effective (entropy), bartlett2020benign (r_k and R_k).

    Example:
        >>> from ntkseq.spectra import ranks
        >>> effective_rank([4.0, 2.0, 1.0, 0.0], "stable"), effective_rank([4.0, 2.0, 1.0, 0.0], ranks.Energy(0.9))
        (1.3125, 2.0)
        >>> effective_rank([4.0, 2.0, 1.0, 0.0], "energy", quantile=0.9)
        2.0
    """
    definition = as_rank(rank, number=number)
    if isinstance(values, jax.Array) and not _checks.is_concrete(values):
        raise ValueError(
            "effective_rank is found on the host, in float64, and cannot be traced; got values under jax.jit or "
            "jax.vmap. Take spectra.effective_ranks there: it takes a batch of matrices at once."
        )
    given = _checked(values)
    origin = _provenance.recall(given)
    if isinstance(given, Gram) or (origin is not None and origin.symmetric):
        given = spectrum(given, vectors=False)
    elif _symmetric_float32(given):
        as_gram(given, "values")  # says that its rounding is not known
    if isinstance(given, Spectrum):
        return given.effective_rank(definition)
    return definition.of(nonnegative(given))


def _checked(values: Any) -> Any:
    """A Gram and a spectrum as they are; anything else as an array of numbers."""
    if isinstance(values, (Gram, Spectrum)):
        return values
    _checks.unmasked("values", values)
    if not isinstance(values, (jax.Array, np.ndarray)):
        values = _checks.numbers("values", values)
    _checks.not_a_key("values", values)
    return values


def _symmetric_float32(values: Any) -> bool:
    """Whether an array may be that of a kernel in less than float64."""
    if np.ndim(values) != 2 or not hasattr(values, "dtype") or not jnp.issubdtype(values.dtype, jnp.floating):
        return False
    array = np.asarray(values)
    return array.dtype != np.float64 and array.shape[0] == array.shape[1] > 0 and bool(np.array_equal(array, array.T))


def effective_ranks(
    A: AnyArray, rank: str | EffectiveRank = "entropy", *, seen: ArrayLike | None = None, **number: Any
) -> Float[Array, "..."]:
    """The effective rank of each matrix of a batch (..., rows, columns), by the definitions of `effective_rank`.

    s are singular values; those of the size of rounding, up to max(rows, columns) eps s_1, count as 0. Half precision
    (bfloat16, float16) is computed in float32, and what the rounding of its entries leaves open, up to eps/2 |A|_F in
    its eps, counts as 0. All matrices at once, and under `jax.jit` and `jax.vmap`. "energy_participation" takes no
    singular values, |A|_F^4 / |A'A|_F^2.

    Args:
        A: real matrices, any number of batch axes: heads, layers, examples.
        rank: the definition, an object of `spectra.ranks`, one of your own, or a short name; see `effective_rank`.
        seen: which entries count, booleans that broadcast to A, such as the mask of causal attention or of padded
            sequences; the others are zero, whatever they hold. A row that sees nothing adds no direction.
        number: of a short name that takes one, as for `effective_rank`.

    Returns:
        An array of the shape of the batch axes, in the dtype of A; float32 of half precision.

    Raises:
        ValueError: fewer than two axes, an empty matrix, not finite (nan under a trace); a bad definition or mask.

    Example:
        >>> import jax.numpy as jnp
        >>> uniform, identity = jnp.full((4, 4), 0.25), jnp.eye(4)
        >>> effective_ranks(jnp.stack([uniform, identity])).round(3).tolist()
        [1.0, 4.0]
    """
    definition = as_rank(rank, number=number)
    A = _checks.floating("A", A)
    if A.ndim < 2 or 0 in A.shape[-2:]:
        raise ValueError(f"A must have shape (..., rows, columns), no matrix empty; got {A.shape}.")
    if seen is not None:
        A = _masked(A, seen)
    _checks.finite("A", A)
    once = _precision.eps(A.dtype) if jnp.finfo(A.dtype).bits < 32 else 0.0
    return _ranks(A.astype(_precision.wide(A.dtype)), definition, once)


def _masked(A: Array, seen: ArrayLike) -> Array:
    try:
        seen = jnp.asarray(seen)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"seen must be booleans; got {_checks.shown(seen)}.") from None
    try:
        fits = np.broadcast_shapes(seen.shape, A.shape) == A.shape
    except ValueError:
        fits = False
    if seen.dtype != bool or not fits:
        raise ValueError(
            f"seen must be booleans that broadcast to the shape of A, {A.shape}; got {seen.dtype} {seen.shape}."
        )
    return jnp.where(jnp.broadcast_to(seen, A.shape), A, jnp.zeros((), A.dtype))


@partial(jax.jit, static_argnums=(1, 2))
def _ranks(A: Array, rank: EffectiveRank, once: float) -> Array:
    return rank.of_matrices(A, once)
