"""What is left of a spectrum when some eigenpairs are taken out, and how surely is it known?

Let Q hold k Ritz vectors of A, R = A Q - Q Theta their residual, and B = P A P the rest, P = I - Q Q^T. A has the
same eigenvalues as [[Theta, R^T], [R, B]]: what is known of B decides which eigenvalue of A a Ritz value is, and how
close.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float

from ntkseq.spectra.quadrature import Rule, lanczos


@dataclasses.dataclass(frozen=True, eq=False)
class Tail:
    """The rest B of a matrix, on the complement of what was taken out.

    All its eigenvalues lie in [lower, upper], but for a probability `delta`; `rule` is that of random probes.
    `trace` and `squares` are the sums of its eigenvalues and of their squares, with the errors of both.
    """

    n: int
    lower: float
    upper: float
    trace: float
    trace_error: float
    squares: float
    squares_error: float
    rule: Rule
    delta: float


def overshoot(n: int, steps: int, probes: int, delta: float) -> float:
    """How far the largest eigenvalue of an n x n matrix can lie above the largest Ritz value, relative to the spread.

    If B >= 0 has its largest eigenvalue l above all Ritz values t of the m-dimensional Krylov space of x, then the
    polynomial q(y) = U_{2m-2}(sqrt y), for which (1 - y) q(y)^2 <= 1 on [0, 1], gives

        sinh((2m - 1) psi) |c| <= |x - c u|,   cosh(psi)^2 = l / t,   c = u.x, u the eigenvector of l,

    and for a Gaussian x the left side is that small with probability at most sqrt(2 n / pi) / sinh((2m - 1) psi): to
    the power of the number of independent probes, if t is the largest of their Ritz values. So l <= t (1 + overshoot)
    but for probability delta, overshoot = sinh(psi)^2. (numerics.9)

    Reference: kuczynski1992 (the question, and a bound of this form).
    """
    ratio = delta ** (1.0 / probes) / math.sqrt(2.0 * n / math.pi)
    return math.sinh(math.asinh(1.0 / ratio) / (2 * steps - 1)) ** 2


def tail(
    times: Callable[[np.ndarray], np.ndarray],
    taken: Float[np.ndarray, "n k"],
    *,
    values: Float[np.ndarray, " k"],
    residual_fro: float,
    floor: float,
    trace: float | None,
    norm_fro: float,
    norm_error: float = 0.0,
    noise: float,
    probes: int,
    steps: int,
    delta: float,
    seed: Any,
) -> Tail:
    """Probe what is left of A when the orthonormal columns of `taken` are projected away.

    Args:
        times: V (n, j) to A V.
        taken: orthonormal columns Q.
        values: Rayleigh quotients, the diagonal of Q^T A Q, which is diagonal.
        residual_fro: |A Q - Q diag(values)|_F.
        floor: no eigenvalue of A is below this: -rounding for a matrix that is semi-definite but for rounding.
        trace: of A, None: not known.
        norm_fro: of A, inf: not known.
        norm_error: how far that is off, beyond the rounding of its sum.
        noise: bound of the rounding of a product with a unit vector.
        probes, steps, delta, seed: Gaussian probes, Lanczos steps of each, failure probability, seed.
    """
    n, k = taken.shape
    left = n - k

    def project(V: np.ndarray) -> np.ndarray:
        for _ in range(2):
            V = V - taken @ (taken.T @ V)
        return V

    if left == 0:
        rule = lanczos(times, project, np.zeros((n, 1)), 1, 0.0, 0.0, noise)
        return Tail(0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, rule, delta)
    start = project(np.random.default_rng(seed).standard_normal((n, probes)))
    rule = lanczos(times, project, start, min(steps, left), floor, math.inf, 4.0 * noise)
    largest, least = rule.top, min(float(nodes[0]) for nodes in rule.nodes)
    floor = min(floor, least - noise)
    # the trace and the norm of what is left; a block matrix has |A|_F^2 = |Theta|^2 + 2 |R|^2 + |B|^2
    rounding = 8.0 * n * np.finfo(np.float64).eps
    rest = math.inf if trace is None else trace - float(np.sum(values))
    rest_error = math.inf if trace is None else rounding * (abs(trace) + float(np.sum(np.abs(values)))) + noise
    squares, squares_error = math.inf, math.inf
    upper = math.inf
    if math.isfinite(norm_fro):
        squares = max(norm_fro**2 - float(np.sum(values**2)) - 2.0 * residual_fro**2, 0.0)
        squares_error = rounding * norm_fro**2 + 4.0 * residual_fro * noise
        squares_error += (2.0 * norm_fro + norm_error) * norm_error
        upper = math.sqrt(squares + squares_error)
    if trace is not None:  # sum of the others >= (left - 1) floor
        upper = min(upper, rest + rest_error - (left - 1) * floor)
    if any(rule.ended):
        # B Q = Q T + w e_m^T with |w| <= eta: an eigenvalue at distance d from all nodes has |c| <= eta |x| / d
        chance = (0.25 * delta) ** (1.0 / sum(rule.ended))
        missed = 8.0 * noise * math.sqrt(2.0 * left / math.pi) / chance
        upper = min(upper, largest + missed)
        lower = least - missed
    else:
        done = min(len(nodes) for nodes in rule.nodes)
        beyond = overshoot(left, done, probes, 0.25 * delta)
        upper = min(upper, largest + beyond * (largest - floor) + noise)
        upper = max(upper, largest)
        lower = max(floor, least - beyond * (upper - least) - noise)
    rule = dataclasses.replace(rule, lower=lower, upper=upper)
    return Tail(left, lower, upper, rest, rest_error, squares, squares_error, rule, delta)
