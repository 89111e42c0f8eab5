"""How far are these computed eigenpairs from the exact eigenvalues of the matrix they were computed from?"""

from __future__ import annotations

from collections.abc import Callable

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

    With R = A V - V D, the polar factors V = Q H and G = V^T V - I, the exact identity

        Q^T A Q - D = [H - I, D] H^-1 + Q^T R H^-1,     H = (I + G)^1/2,

    and Weyl's inequality give, with g = |G|_2 < 1 and spread = values_max - values_min,

        |values_i - lambda_i(A)| <= (|R|_2 + |[G, D]|_2 / 2 + spread g^2 / 2) / (1 - g).

    R and G are themselves computed in float64; the rounding of that is added. A first evaluation costs 1.5 matrix
    products, and its worst case n u |A|_F |V|_F is what counts. Where that is more than `enough`, the factors are
    split into leading bits, whose products float64 sums exactly, and a small remainder: 5.5 products more, and a bound
    of about the size of the true residual.

    Args:
        A: symmetric, float64, entries of size about 1 (`spectrum` scales by a power of two).
        values: approximate eigenvalues, in one order (ascending or descending).
        vectors: approximate eigenvectors, as columns in the order of the values.
        enough: a bound below this is not refined.

    Returns:
        The bound, inf where the vectors are too far from orthogonal for one.

    Reference: ozaki2012 (the splitting), higham2002, section 3.5 (rounding of products), parlett1998, section 10.3 (Weyl).
    """
    with np.errstate(over="ignore", invalid="ignore"):  # broken pairs give inf or nan, which end in inf
        bound = _bound(values, *_plain(A, values, vectors), norm=_norm2)
        if bound <= enough:
            return bound
        return min(bound, _bound(values, *_split(A, values, vectors), norm=_sharp_norm2))


Evaluated = tuple[np.ndarray, float, np.ndarray, float]  # R, bound of its rounding in 2-norm, G, and of its rounding


def _bound(
    values: np.ndarray, R: np.ndarray, rounding: float, G: np.ndarray, rounding_G: float, *, norm: Callable
) -> float:
    n = values.size
    spread = float(values.max() - values.min())
    g = _norm2(G) + rounding_G
    turned = G * (values[None, :] - values[:, None])
    # |[X, D]|_2 <= |X|_2 spread for what G lacks
    error = norm(R) + rounding + 0.5 * (norm(turned) + rounding_G * spread) + 0.5 * g * g * spread
    if not (g < 1.0 and np.isfinite(error)):
        return float("inf")
    # n^2 eps for the rounding of the norms (sums of n^2 squares) and of these lines
    return float(error / (1.0 - g) * (1.0 + (n * n + 32) * 2.0 * _U))


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


def _plain(A: np.ndarray, values: np.ndarray, V: np.ndarray) -> Evaluated:
    """R and G with products in float64."""
    n, gamma, fro = values.size, _gamma(values.size), _fro(V)
    scaled = V * values
    R = A @ V - scaled
    # product: gamma_n |A||V| entry by entry; scaling and subtraction: one rounding each
    rounding = gamma * _fro(A) * fro + _U * (_fro(scaled) + _fro(R))
    G = V.T @ V
    G[np.diag_indices(n)] -= 1.0
    return R, rounding, G, gamma * fro**2 + _U * _fro(G)


def _split(A: np.ndarray, values: np.ndarray, V: np.ndarray) -> Evaluated:
    """R and G with the leading products exact, so that only the remainders round in length n."""
    n, gamma, fro = values.size, _gamma(values.size), _fro(V)
    A_high, A_low = _leading_bits(A, axis=1)
    V_high, V_low = _leading_bits(V, axis=0)
    low = _fro(V_low)

    scaled = V * values
    leading = A_high @ V_high - scaled  # the product is exact
    rest = A_high @ V_low + A_low @ V
    R = leading + rest
    rounding = gamma * (_fro(A_high) * low + _fro(A_low) * fro)
    rounding += _U * (_fro(scaled) + _fro(leading) + _fro(rest) + _fro(R))

    leading = V_high.T @ V_high  # exact
    leading[np.diag_indices(n)] -= 1.0
    cross = V_high.T @ V_low
    rest = cross + cross.T + V_low.T @ V_low
    G = leading + rest
    rounding_G = gamma * (2.0 * _fro(V_high) * low + low**2)
    rounding_G += _U * (_fro(leading) + 2.0 * _fro(rest) + 2.0 * _fro(cross) + _fro(G))
    return R, rounding, G, rounding_G


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
