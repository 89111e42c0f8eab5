"""How many directions does a spectrum hold, and does it point at the labels?"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ntkseq import _checks, _precision, _provenance
from ntkseq._struct import static, struct
from ntkseq.spectra import counting

KINDS = (
    "entropy",
    "energy_entropy",
    "stable",
    "intrinsic",
    "nuclear",
    "participation",
    "energy_participation",
    "numerical",
    "energy",
    "r",
    "R",
    "ridge",
    "ridge2",
)
"""Every definition of effective rank that `effective_rank` knows; "nuclear" is another name of "intrinsic"."""

_OPTION = {"numerical": "tol", "energy": "quantile", "r": "k", "R": "k", "ridge": "ridge", "ridge2": "ridge"}


def effective_rank(
    values: Any,
    kind: str | None = None,
    *,
    tol: Any = None,
    quantile: Any = None,
    k: Any = None,
    ridge: Any = None,
) -> float:
    """The number of directions that count, by one of the definitions in use.

    With s the singular values (for a positive semi-definite matrix: the eigenvalues) in descending order:

        "entropy"               exp(H(p)),  p = s / sum(s),  H(p) = -sum p log p
        "energy_entropy"        exp(H(p)),  p = s^2 / sum(s^2)
        "stable"                sum(s^2) / s_1^2
        "intrinsic"             sum(s) / s_1                            also called "nuclear"
        "participation"         sum(s)^2 / sum(s^2)
        "energy_participation"  sum(s^2)^2 / sum(s^4)
        "numerical"             #{i : s_i > tol s_1}
        "energy"                min {k : sum_{i<=k} s_i^2 >= quantile sum(s^2)}
        "r"                     r_k = sum_{i>k} s_i / s_{k+1}           nan for k >= rank
        "R"                     R_k = (sum_{i>k} s_i)^2 / sum_{i>k} s_i^2   nan for k >= rank
        "ridge"                 tr K (K + ridge I)^-1 = sum s / (s + ridge)
        "ridge2"                tr (K (K + ridge I)^-1)^2

    "numerical" and "energy" are counts: they are decided in exact arithmetic, for the numbers as float64 holds them. At
    quantile = 1 the energy rank is the number of positive values; 0.9 is the float next to 9/10, a little more.

    Zeros are dropped and a zero matrix has rank 0 (but r_k and R_k are nan: there k >= rank). All lie between 1 and
    the rank, except "ridge" and "ridge2", which lie between 0 and the rank, and "numerical" with tol >= 1, which is 0;
    stable <= energy_entropy <= entropy, intrinsic <= participation <= entropy, stable <= intrinsic,
    r_k <= R_k <= r_k^2.

    Negative values: those of the size of rounding (down to -n eps s_1 of their dtype, or to -error of a `Spectrum`)
    are set to 0. A value that is negative beyond that raises, because the definitions have no meaning for it.

    Args:
        values: a vector of eigenvalues or singular values in any order, a matrix (its singular values are taken, so it
            need not be square), a Gram or a `Spectrum` (which know their own errors).
        kind: one of the names above; None is "ridge" when `ridge` is given and "entropy" otherwise.
        tol: for "numerical": relative to the largest value. Default: n eps of the dtype; for a Gram or Spectrum the
            error of its eigenvalues, so that the resolved eigenvalues are counted.
        quantile: for "energy": the share of sum(s^2) to reach, in (0, 1].
        k: for "r" and "R": how many leading values to leave out, >= 0.
        ridge: for "ridge" and "ridge2": the number > 0 added to the diagonal of K as it stands. A theorem that
            normalises the kernel by n wants values / n.

    Returns:
        The effective rank, a float.

    Raises:
        ValueError: an unknown kind; an option that is missing or belongs to another kind; not finite; clearly negative.

    Reference: roy2007effective (entropy), bartlett2020benign (r_k and R_k).

    Example:
        >>> round(effective_rank([4.0, 2.0, 1.0, 0.0], "stable"), 4)
        1.3125
    """
    from ntkseq.grams.arrays import as_gram
    from ntkseq.grams.base import Gram  # here, because Spectrum calls this file
    from ntkseq.spectra.base import Spectrum
    from ntkseq.spectra.partial import Partial
    from ntkseq.spectra.spectrum import spectrum

    if isinstance(values, jax.Array) and not _checks.is_concrete(values):
        raise ValueError(
            "effective_rank is found on the host, in float64, and cannot be traced; got values under jax.jit or "
            "jax.vmap. Take spectra.effective_ranks there: it takes a batch of matrices at once."
        )
    if not isinstance(values, (Gram, Spectrum, Partial)):
        _checks.unmasked("values", values)
        if not isinstance(values, (jax.Array, np.ndarray)):
            values = _checks.numbers("values", values)
        _checks.not_a_key("values", values)
    origin = _provenance.recall(values)
    if isinstance(values, Gram) or (origin is not None and origin.symmetric):
        values = spectrum(values, vectors=False)
    elif _symmetric_float32(values):
        as_gram(values, "values")  # says that its rounding is not known
    if isinstance(values, (Spectrum, Partial)):
        return values.effective_rank(kind, tol=tol, quantile=quantile, k=k, ridge=ridge)
    choice = choose(kind, tol=tol, quantile=quantile, k=k, ridge=ridge)
    return rank_of(nonnegative(values), choice)


def _symmetric_float32(values: Any) -> bool:
    """Whether an array may be that of a kernel in less than float64."""
    if np.ndim(values) != 2 or not hasattr(values, "dtype") or not jnp.issubdtype(values.dtype, jnp.floating):
        return False
    array = np.asarray(values)
    return array.dtype != np.float64 and array.shape[0] == array.shape[1] > 0 and bool(np.array_equal(array, array.T))


@struct
class Choice:
    """A checked definition of effective rank: its kind and the number that goes with it, None for the default."""

    kind: str = static()
    option: float | None = static(default=None)


def choose(
    kind: str | None = None, *, tol: Any = None, quantile: Any = None, k: Any = None, ridge: Any = None
) -> Choice:
    """Check a definition of effective rank and its option; see `effective_rank`."""
    if kind is None:
        kind = "entropy" if ridge is None else "ridge"
    _checks.choice("kind", kind, KINDS)
    options = {"tol": tol, "quantile": quantile, "k": k, "ridge": ridge}
    given = {name: value for name, value in options.items() if value is not None}
    wanted = _OPTION.get(kind)
    other = [name for name in given if name != wanted]
    if other:
        takes = f"takes {wanted}=" if wanted else "takes no option"
        raise ValueError(
            f"effective rank of kind {kind!r} {takes}; got {other[0]}={_checks.shown(given[other[0]])}. Leave it out."
        )
    if wanted is None:
        return Choice("intrinsic" if kind == "nuclear" else kind)
    if wanted not in given:
        if wanted == "tol":
            return Choice(kind)
        raise ValueError(f"effective rank of kind {kind!r} needs {wanted}=; got none.")
    try:
        number = float(given[wanted])
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{wanted} must be a number; got {_checks.shown(given[wanted])}.") from None
    if wanted == "k" and not (number >= 0 and number.is_integer()):
        raise ValueError(f"k must be an integer >= 0; got {_checks.shown(k)}.")
    if wanted == "tol" and not 0 <= number < np.inf:
        raise ValueError(f"tol must be a finite number >= 0, relative to the largest value; got {_checks.shown(tol)}.")
    if wanted == "quantile" and not 0 < number <= 1:
        raise ValueError(f"quantile must lie in (0, 1]; got {_checks.shown(quantile)}.")
    if wanted == "ridge" and not 0 < number < np.inf:
        raise ValueError(f"ridge must be a finite number > 0; got {_checks.shown(ridge)}.")
    return Choice(kind, number)


def nonnegative(values: Any, errors: Any = None) -> Float[np.ndarray, " n"]:
    """The values in host float64, descending, with negative ones of the size of rounding set to 0.

    Args:
        values: vector of eigenvalues or singular values, or a matrix, whose singular values are taken.
        errors: per-value bound below which a negative value counts as 0; default n eps max|values| of their dtype.

    Raises:
        ValueError: empty, not finite, not numbers, or negative beyond the error.
    """
    array = np.asarray(values)
    if array.dtype.kind in "iub":
        array = array.astype(np.float64)
    if array.ndim not in (1, 2) or array.size == 0 or not jnp.issubdtype(array.dtype, jnp.floating):
        raise ValueError(
            "values must be a vector of eigenvalues, or a matrix, of real numbers, not empty; "
            f"got shape {array.shape}, dtype {array.dtype}. Pass a Gram, a Spectrum, or spectrum(K).values."
        )
    _checks.finite("values", array)
    eps = _precision.eps(array.dtype)
    array = array.astype(np.float64)
    if array.ndim == 2:
        rounding = max(array.shape) * eps
        array = np.linalg.svd(array, compute_uv=False)
        array = np.where(array > rounding * array[0], array, 0.0)  # a singular value of 0 comes out as eps s_1
    if errors is None:
        errors = array.size * eps * np.abs(array).max()
    bad = array < -np.broadcast_to(errors, array.shape)
    if bad.any():
        raise ValueError(
            "effective ranks are defined for eigenvalues >= 0 (positive semi-definite matrices); got "
            f"{int(bad.sum())} value(s) that are negative beyond rounding, the least {array.min():.3g} against a "
            f"largest of {array.max():.3g}. If these are eigenvalues of an indefinite matrix, pass its singular "
            "values, np.abs(values)."
        )
    return -np.sort(-np.maximum(array, 0.0))


def rank_of(s: Float[np.ndarray, " n"], choice: Choice) -> float:
    """The effective rank of checked values: descending, >= 0. See `effective_rank`."""
    kind, option = choice.kind, choice.option
    n, positive = s.size, s[s > 0]
    if kind in ("r", "R"):
        assert option is not None
        if option >= positive.size:
            return float("nan")
        kind, positive = {"r": "intrinsic", "R": "participation"}[kind], positive[int(option) :]
    if positive.size == 0:
        return 0.0
    if kind == "numerical":
        return float(counting.above(positive, n * np.finfo(np.float64).eps if option is None else option, positive[0]))
    if kind in ("ridge", "ridge2"):
        assert option is not None
        return float(np.sum(shrunk(positive, option) ** (1 if kind == "ridge" else 2)))
    if kind == "energy":
        assert option is not None
        return float(counting.reach(positive, positive, option))
    s = positive / positive[0]  # squares of 1e-200 or 1e200 would leave the range
    if kind in ("stable", "energy_entropy", "energy_participation"):
        s = s**2
        s = s[s > 0]
    if kind in ("stable", "intrinsic"):
        return float(np.sum(s))
    if kind in ("participation", "energy_participation"):
        return float(np.sum(s) ** 2 / np.sum(s**2))
    p = s / np.sum(s)
    p = p[p > 0]
    return float(np.exp(-np.sum(p * np.log(p))))


def shrunk(s: Float[np.ndarray, " n"], ridge: float) -> Float[np.ndarray, " n"]:
    """s / (s + ridge) for s >= 0; neither the sum nor a quotient leaves the range."""
    with np.errstate(under="ignore"):
        ratio = np.minimum(s, ridge) / np.maximum(s, ridge)
    return np.where(s >= ridge, 1.0, ratio) / (1.0 + ratio)


def alignment_curve(vectors: Float[np.ndarray, "n m"], y: Any) -> Float[np.ndarray, " m"]:
    """The share of |y|^2 that lies in the span of the first k eigenvectors, for k = 1..m.

    c_k = sum_{i<=k} (v_i . y)^2 / |y|^2

    Within a group of equal eigenvalues the order of the vectors, and so the curve, is arbitrary; at its end it is not.

    Args:
        vectors: eigenvectors as columns, largest eigenvalue first.
        y: labels (n,), used as given: centre them first if a constant should not count.

    Raises:
        ValueError: y of another length, not finite, or all zero.
    """
    return np.cumsum(_shares(vectors, y))


def alignment(values: Float[np.ndarray, " m"], vectors: Float[np.ndarray, "n m"], y: Any) -> float:
    """Kernel-target alignment: the cosine between K and y y^T in the Frobenius inner product.

    A = y^T K y / (|y|^2 |K|_F) = sum lambda_i (v_i . y)^2 / (|y|^2 sqrt(sum lambda_i^2)), at most 1; nan for K = 0.

    Args:
        values: all eigenvalues of K.
        vectors: the eigenvectors in the same order, as columns.
        y: labels (n,), used as given.

    Reference: cristianini2001, the definition of alignment.
    """
    shares = _shares(vectors, y)
    largest = np.abs(values).max()
    if largest == 0:
        return float("nan")
    scaled = values / largest
    return float(shares @ scaled / np.linalg.norm(scaled))


def _shares(vectors: np.ndarray, y: Any) -> np.ndarray:
    y = _checks.labels("y", y, vectors.shape[0])
    largest = np.abs(y).max()
    if largest == 0:
        raise ValueError("y must not be all zero: its direction is asked for. Pass labels such as -1/+1.")
    y = y / largest
    return (vectors.T @ y) ** 2 / (y @ y)
