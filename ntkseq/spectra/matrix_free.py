"""How are both ends and the density of a large spectrum computed from products with blocks of vectors alone?"""

from __future__ import annotations

import math

import numpy as np

from ntkseq import _checks
from ntkseq._types import Seed
from ntkseq.grams.base import Gram
from ntkseq.spectra.interval import Interval
from ntkseq.spectra.krylov import pairs, ritz
from ntkseq.spectra.lowest import bounds, moved
from ntkseq.spectra.partial import PartialSpectrum
from ntkseq.spectra.tail import Tail, tail

_U = 0.5 * float(np.finfo(np.float64).eps)


def matrix_free(
    K: Gram,
    *,
    k: int = 20,
    k_smallest: int = 0,
    probes: int = 10,
    steps: int = 16,
    tol: float = 1e-6,
    max_iterations: int = 40,
    delta: float = 1e-6,
    seed: Seed = 0,
    vectors: bool = True,
    why: str = "",
) -> PartialSpectrum:
    """The k largest eigenvalues, the least one, and a density of the rest, from products with blocks.

    Leading pairs by block Davidson with restarts; then they are projected away, and Lanczos from Gaussian probes gives
    the density of the rest and, by (numerics.9), the range of its eigenvalues. A leading Ritz value t with residual R
    lies below the eigenvalue of its number, by no more than |R|^2 / (t - mu), mu the upper end of the rest
    (numerics.10).

    Costs about 6 + steps products, each with 10 to k + 8 vectors; memory n (3 (k + 8) 2 + probes steps) float64.

    Args:
        K: symmetric.
        k: leading eigenvalues.
        k_smallest: pairs at the lower end. 0: only bounds from the probes; 1 or more: as with k, which takes as many
            products as the square root of the condition number, at most `max_iterations`.
        probes, steps: of the density. An interval of a sum over the rest narrows with the root of probes.
        tol: residual of the pairs, relative to the largest eigenvalue.
        max_iterations: products for the pairs of each end.
        delta: probability that some interval is wrong.
        seed: of start vectors and probes.
        vectors: keep the leading Ritz vectors.
        why: this way was chosen; goes into `method`.
    """
    n = K.shape[0]
    k, most = min(k, n), max_iterations
    least = min(k_smallest, max(n - k, 0))
    rounding = _checks.nonnegative("rounding of K", K.rounding)
    floor = 0.1 * rounding
    ends = [pairs(K.times, n, k, tol=tol, floor=floor, norm=K.known_norm(), most=most, seed=seed)]
    norm = K.known_norm() or 3.0 * math.sqrt(n) * float(np.abs(ends[0].values).max())
    if least:
        small = max(floor, 4.0 * n * _U * norm)
        ends.append(
            pairs(K.times, n, least, least=True, tol=1e-3, floor=small, norm=norm, most=most, seed=seed, columns=1024)
        )
    held = ritz(K.times, np.concatenate([one.vectors for one in ends], axis=1), norm, k) if least else ends[0]
    product, residual, trace = held.product, held.residual, K.known_trace()
    rest = tail(
        K.times,
        held.vectors,
        values=held.values,
        residual_fro=float(np.linalg.norm(held.residuals)),
        floor=-rounding,
        trace=trace,
        norm_fro=K.norm_fro(),
        norm_error=K.norm_error(),
        noise=product,
        probes=probes,
        steps=steps,
        delta=delta,
        seed=(seed, 1),
    )
    frobenius = rounding if K.frobenius else math.sqrt(n) * rounding
    count = sum(one.products for one in ends) + max(len(nodes) for nodes in rest.rule.nodes)
    above, below = held.parts
    # one end at a time: the pairs of the other belong to the rest, which their residual widens
    upper = rest.upper + (moved(below, rest.upper - held.values[-1]) if least else 0.0)
    last = held.values[k - 1]
    lower = min(rest.lower, last) - moved(above, last - rest.lower) if rest.n else last
    upward = _above(held.values[:k], above, upper, product)
    turned = math.sqrt(n) * frobenius if trace is not None else math.inf  # |tr E| <= sqrt(n) |E|_F
    bottom = held.values[: k - 1 : -1] if least else np.zeros(0)
    low, high = bounds(
        K, bottom, held.vectors[:, ::-1][:, : bottom.size], residual=below, edge=lower, product=2.0 * product
    )
    return PartialSpectrum(
        values=held.values[:k],
        errors=upward + rounding,
        vectors=held.vectors[:, :k] if vectors else None,
        residuals=held.residuals[:k],
        least=_narrowed(
            _least(held.values[-1] if least or k == n else math.inf, lower, below, rest, product + rounding), low, high
        ),
        bottom=bottom,
        bottom_errors=np.maximum(high - bottom, bottom - low),
        trace=Interval.around(math.nan if trace is None else trace, turned),
        norm_fro=K.norm_fro() if math.isfinite(K.norm_fro()) else math.nan,
        rounding=rounding,
        product=product,
        frobenius=frobenius + K.norm_error(),
        spectral=rounding + residual + product,
        nuclear=math.sqrt(n) * frobenius + 2.0 * math.sqrt(2.0 * held.values.size) * residual + n * product,
        tail=rest,
        method=f"{why}block Davidson and Lanczos with {rest.rule.probes} probes, {count} products",
        converged=all(one.converged for one in ends),
        K=K,
    )


def _above(values: np.ndarray, residual: float, edge: float, product: float) -> np.ndarray:
    """How far the eigenvalues may lie above their Ritz values: numerics.10, or Weyl where the rest overlaps."""
    further = np.array([max(edge - value, 0.0) + moved(residual, value - edge) for value in values])
    return further + 2.0 * product


def _least(theta: float, edge: float, residual: float, rest: Tail, error: float) -> Interval:
    """The least eigenvalue: below every Rayleigh quotient, and above what the rest leaves open."""
    found = [float(nodes[0]) for nodes in rest.rule.nodes] if rest.n else []
    edge = edge if rest.n else math.inf
    upper = min([float(theta), *found])
    lower = min(float(theta), edge) - (moved(residual, edge - theta) if math.isfinite(theta) else 0.0)
    return _ordered(lower - error, upper, upper + error)


def _narrowed(least: Interval, low: np.ndarray, high: np.ndarray) -> Interval:
    """With what is known of the pairs at the lower end; the least eigenvalue is no larger than any other."""
    if not low.size:
        return least
    lower, upper = max(least.lower, float(low[0])), min(least.upper, float(high.min()))
    return _ordered(lower, min(max(least.estimate, lower), upper), upper)


def _ordered(lower: float, estimate: float, upper: float) -> Interval:
    return Interval(float(lower), float(estimate), float(upper))
