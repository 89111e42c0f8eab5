"""How far are these computed eigenpairs from the exact eigenvalues of the matrix they were computed from?"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

_U = 0.5 * float(np.finfo(np.float64).eps)  # unit roundoff


def eigenvalue_error(
    A: Float[np.ndarray, "n n"],
    values: Float[np.ndarray, " n"],
    vectors: Float[np.ndarray, "n n"],
    *,
    enough: float = 0.0,
) -> float:
    """Upper bound of max_i |values_i - lambda_i(A)|, whatever program computed the pairs.

    With R = A V - V D and g = |V^T V - I|_2 < 1, Kahan's theorem with its sharp constant gives

        |values_i - lambda_i(A)| <= |R|_2 / sigma_min(V) <= |R|_2 / sqrt(1 - g).

    R and g are themselves computed in float64; the rounding of that is added. A first evaluation costs 1.5 matrix
    products, and its worst case n u |A|_F |V|_F is what counts. Where that is more than `enough`, A and V are split
    into leading bits, whose product float64 sums exactly, and a small remainder: 3.5 products more, and a bound of
    about the size of the true residual.

    Args:
        A: symmetric, float64, entries of size about 1 (`spectrum` scales by a power of two).
        values: approximate eigenvalues, in one order (ascending or descending).
        vectors: approximate eigenvectors, as columns in the order of the values.
        enough: a bound below this is not refined.

    Returns:
        The bound, inf where the vectors are too far from orthogonal for one.

    Reference: cao1996 (Kahan's theorem); ozaki2012 (splitting); higham2002, section 3.5 (rounding of products).
    """
    with np.errstate(over="ignore", invalid="ignore"):  # broken pairs give inf or nan, which end in inf
        g = orthogonality(vectors)
        residual, rounding = _plain(A, values, vectors)
        bound = _bound(_norm2(residual) + rounding, g, values.size)
        if bound <= enough or not g < 1.0:
            return bound
        residual, rounding = _split(A, values, vectors)
        return min(bound, _bound(_sharp_norm2(residual) + rounding, g, values.size))


def _bound(residual: float, g: float, n: int) -> float:
    if not (g < 1.0 and np.isfinite(residual)):
        return float("inf")
    # n^2 eps for the rounding of the norms (sums of n^2 squares) and of this line
    return float(residual / np.sqrt(1.0 - g) * (1.0 + (n * n + 32) * 2.0 * _U))


def orthogonality(V: np.ndarray) -> float:
    """Upper bound of |V^T V - I|_2."""
    n = V.shape[0]
    G = V.T @ V
    G[np.diag_indices(n)] -= 1.0
    return (_norm2(G) + _gamma(n) * _fro(V) ** 2 + _U * _fro(G)) * (1.0 + (n * n + 32) * 2.0 * _U)


def _gamma(n: int) -> float:
    return n * _U / (1.0 - n * _U)


def _fro(x: np.ndarray) -> float:
    return float(np.linalg.norm(x))


def _norm2(x: np.ndarray) -> float:
    """Upper bound of the spectral norm: min(|x|_F, sqrt(|x|_1 |x|_inf))."""
    size = np.abs(x)
    return min(_fro(x), float(np.sqrt(size.sum(axis=0).max() * size.sum(axis=1).max())))


def _sharp_norm2(x: np.ndarray) -> float:
    """A closer upper bound for half a product: |x|_2^2 <= |x^T x|_F, below |x|_F^2 by up to sqrt(n)."""
    fro = _fro(x)
    if fro == 0 or not np.isfinite(fro):
        return fro
    y = x / fro
    # x^T x has rounding gamma_n |x|_F^2; the division above, relative u
    return min(_norm2(x), fro * float(np.sqrt(_fro(y.T @ y) + _gamma(x.shape[0] + 4))))


def _plain(A: np.ndarray, values: np.ndarray, V: np.ndarray) -> tuple[np.ndarray, float]:
    """A V - V D in float64, and a bound of its rounding in spectral norm."""
    scaled = V * values
    R = A @ V
    R -= scaled
    # product: gamma_n |A||V| entry by entry; scaling and subtraction: one rounding each
    return R, _gamma(values.size) * _fro(A) * _fro(V) + _U * (_fro(scaled) + _fro(R))


def _split(A: np.ndarray, values: np.ndarray, V: np.ndarray) -> tuple[np.ndarray, float]:
    """The same with the leading product exact, so that only the remainders round in length n."""
    A_high, A_low = _leading_bits(A, axis=1)
    V_high, V_low = _leading_bits(V, axis=0)
    rounding = _gamma(values.size) * (_fro(A_high) * _fro(V_low) + _fro(A_low) * _fro(V))
    R = A_high @ V_high  # exact
    scaled = V * values
    R -= scaled
    rounding += _U * (_fro(scaled) + _fro(R))
    del scaled, V_high  # n x n arrays are what memory goes to
    rest = A_high @ V_low
    rest += A_low @ V
    R += rest
    return R, rounding + _U * (2.0 * _fro(rest) + _fro(R))


def _leading_bits(x: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """x = high + low exactly, with high so few bits along `axis` that a sum of n products of such is exact.

    high is an integer multiple, of at most b bits, of a power of two common to the row (axis=1) or column (axis=0);
    n products of 2 b bits fit float64's 53 when 2 b + log2(n) <= 53.
    """
    n = x.shape[axis]
    bits = (53 - int(np.ceil(np.log2(n)))) // 2
    _, exponent = np.frexp(np.abs(x).max(axis=axis, keepdims=True))
    exponent = exponent - bits
    high = np.ldexp(np.rint(np.ldexp(x, -exponent)), exponent)
    return high, x - high
