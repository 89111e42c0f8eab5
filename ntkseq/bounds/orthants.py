"""The probability that some of a few correlated normal margins are not positive, from above: a class is then missed."""

from __future__ import annotations

import math

import numpy as np
import scipy  # its parts load when they are first used
from jaxtyping import Float

EPS = float(np.finfo(np.float64).eps)
STEEPEST = 2.0
"""The largest slope lam/sqrt(1 - lam^2) that the common factor is given."""
RARE = 1e-3
"""Margins that fail so much more rarely than another are left to the union bound where correlations are negative."""


def some_negative(
    mean: Float[np.ndarray, "n c"],
    mean_error: Float[np.ndarray, "n c"],
    covariance: Float[np.ndarray, "n c c"],
    covariance_error: Float[np.ndarray, "n c c"],
) -> Float[np.ndarray, " n"]:
    """Upper estimates of P(X_j <= 0 for some j), X ~ N(mean, covariance), each number known to within its error.

    The least of the union bound, sum_j Phi(-m_j/s_j), which is exact for one margin, and of Slepian's inequality with
    one common factor, exact where the correlations of different margins are lam_j lam_k. (pac_bayes.22)
    """
    own, off = (np.diagonal(one, axis1=1, axis2=2) for one in (covariance, covariance_error))
    low = np.sqrt(np.maximum(own - off, 0.0)) * (1 - 2 * EPS)
    high = np.sqrt(np.maximum(own + off, 0.0)) * (1 + 2 * EPS)
    ahead = mean - mean_error
    ahead = ahead - 4 * EPS * np.abs(mean)
    width = np.where(ahead > 0, high, low)
    with np.errstate(divide="ignore", invalid="ignore"):
        lead = np.where(width > 0, ahead / np.where(width > 0, width, 1.0), np.where(ahead > 0, np.inf, -np.inf))
    wrong = scipy.special.ndtr(-lead) * (1 + 1e-13)
    c = mean.shape[1]
    union = np.minimum(1.0, wrong.sum(axis=1) * (1 + c * EPS))
    if c == 1:
        return union
    sizes = high[:, :, None] * high[:, None, :] * (1 + 8 * EPS)
    least = covariance - covariance_error
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = np.where((least > 0) & (sizes > 0), least / np.where(sizes > 0, sizes, 1.0), -1.0)
    correlation = np.where(least == 0, 0.0, correlation)
    together = np.ones(mean.shape, bool)
    opposed = (_pairs(correlation, together, np.inf).min(axis=(1, 2)) < 0)[:, None]
    together &= ~opposed | (wrong > RARE * wrong.max(axis=1, keepdims=True))
    alone = np.where(together, 0.0, wrong).sum(axis=1) * (1 + c * EPS)
    factor = common_factor(correlation, together)
    joint = 1.0 - all_positive(np.where(together, lead, np.inf), np.where(np.isnan(factor), 0.0, factor))
    joint = np.where(np.isnan(factor).any(axis=1), 1.0, joint + alone)
    return np.clip(np.minimum(union, joint), 0.0, 1.0)


def common_factor(correlation: Float[np.ndarray, "n c c"], together: np.ndarray) -> Float[np.ndarray, "n c"]:
    """lam >= 0 with lam_j lam_k at most the correlation of each two margins that stand together; nan where none is.

    Up to a common size, lam is that which has these products as correlations if any has: lam_j^2 = r_jk r_jl/r_kl, of
    which sums are taken.
    """
    one = _pairs(correlation, together, 0.0)
    sums, squares = one.sum(axis=2), (one**2).sum(axis=2)
    rest = sums.sum(axis=1, keepdims=True) - 2 * sums
    with np.errstate(divide="ignore", invalid="ignore"):
        shape = np.sqrt(np.maximum(sums**2 - squares, 0.0) / rest)
    shape = np.where(np.isfinite(shape) & (shape > 0), shape, np.sqrt(np.maximum(sums, 1e-300)))
    least = _pairs(correlation / (shape[:, :, None] * shape[:, None, :]), together, np.inf).min(axis=(1, 2))
    size = np.where(least >= 0, np.sqrt(np.maximum(np.where(np.isfinite(least), least, 0.0), 0.0)), np.nan)
    most = STEEPEST / math.sqrt(1 + STEEPEST**2)
    lam = np.minimum(shape * size[:, None] * (1 - 1e-12), most)
    return np.where(together | np.isnan(size)[:, None], lam, 0.0)


def _pairs(values: Float[np.ndarray, "n c c"], together: np.ndarray, otherwise: float) -> Float[np.ndarray, "n c c"]:
    """The values of two different margins that stand together, and another value elsewhere."""
    two = together[:, :, None] & together[:, None, :] & ~np.eye(values.shape[1], dtype=bool)
    return np.where(two, values, otherwise)


def all_positive(lead: Float[np.ndarray, "n c"], factor: Float[np.ndarray, "n c"]) -> Float[np.ndarray, " n"]:
    """Lower estimates of P(lam_j z + sqrt(1 - lam_j^2) xi_j > -lead_j for all j), z and xi independent and normal.

    The integral of phi(z) prod_j Phi((lead_j + lam_j z)/sqrt(1 - lam_j^2)) by the trapezoidal rule.
    """
    c = lead.shape[1]
    rest = np.sqrt(1.0 - factor**2)
    slope, start = factor / rest, lead / rest
    step, error = trapezoid(c + 1, max(1.0, float(slope.max())))
    z = np.arange(-9.0, 9.0 + step, step)
    weight = np.exp(-0.5 * z * z) * step / math.sqrt(2 * math.pi)
    total = np.zeros(len(lead))
    for at, mass in zip(z, weight, strict=True):
        total += mass * np.prod(scipy.special.ndtr(start + at * slope), axis=1)
    return np.maximum(total - error - 8 * (c + 1) * EPS, 0.0)


def trapezoid(k: int, slope: float = 1.0) -> tuple[float, float]:
    """A step for which the trapezoidal rule on the line is off by at most 1e-10 for k classes, and that error.

    The integrand, phi(z) times k - 1 factors Phi(a + b z) with 0 <= b <= slope, slope >= 1, is analytic; on
    |Im z| <= h = 1/slope it is at most phi(Re z) e^{h^2/2} 1.48^{k-1}, and the rule is off by at most
    2 M/(exp(2 pi h/step) - 1), M the integral of that. Beyond 9 there is less than 1e-18.
    """
    strip = 1.0 / slope
    log_m = 0.5 * strip**2 + (k - 1) * math.log(1.48)
    step = 2 * math.pi * strip / (log_m + math.log(4e10))
    return step, 1e-10
