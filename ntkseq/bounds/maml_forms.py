"""What numbers do the bounds on MAML's averaged SGD consist of? Vectorised over horizons; no judgement here."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from jaxtyping import Float

from ntkseq._types import ArrayLike
from ntkseq.risks import MixedRegression
from ntkseq.risks.moments import second_of_quadratic

EPS = float(np.finfo(np.float64).eps)
OUTWARD = 1e-12
"""Sums of positive terms are moved outwards by this share, more than their rounding."""


@dataclasses.dataclass(frozen=True)
class Derived:
    """c and f of (maml.13), and the share alpha c tr Sigma, which must stay below 1."""

    c: float
    f: float
    share: float


@dataclasses.dataclass(frozen=True)
class Paper:
    """The constants of the paper's form, recalled. (maml.16)"""

    c: float
    f: float
    g: float
    C: float
    alpha_limit: float
    b1: float


@dataclasses.dataclass(frozen=True, eq=False)
class Sides:
    """Bounds at some horizons, of their shape, as bias and variance; with the constants of the form, None for several
    problems at once.

    `upper_holds`, `lower_holds`: whether the conditions of the form hold; where not, the numbers are NaN.
    """

    upper_bias: Float[np.ndarray, "..."]
    upper_variance: Float[np.ndarray, "..."]
    lower_bias: Float[np.ndarray, "..."]
    lower_variance: Float[np.ndarray, "..."]
    upper_holds: np.ndarray
    lower_holds: np.ndarray
    constants: Derived | Paper | None


def effective(problem: MixedRegression, T: ArrayLike) -> Float[np.ndarray, "... d"]:
    """Effective meta weights Xi = mu_te/(T mu) min(1, (alpha T mu)^2). (maml.12)"""
    T = np.asarray(T, np.float64)[..., None]
    mu = problem.mu_tr
    with np.errstate(divide="ignore", invalid="ignore"):
        head = problem.mu_te / (T * mu)
        return np.where(problem.alpha * T * mu >= 1, head, T * problem.alpha**2 * mu * problem.mu_te)


def derived_constants(problem: MixedRegression) -> tuple[float, float]:
    """c = max_ij (Q_ij - [i=j] mu_i^2)/(mu_i lam_j) and f = max_i pi_i/mu_i. (maml.13)"""
    mu, Q = problem.mu_tr, problem.moments.Q
    if not problem.d:
        return 0.0, 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        c = np.max((Q - np.diag(mu**2)) / np.outer(mu, problem.spectrum))
        f = np.max(problem.moments.pi / mu)
    return float(c), float(f)


def derived(problem: MixedRegression, T: ArrayLike) -> Sides:
    """Both sides with every constant explicit. (maml.14), (maml.15)"""
    T = np.asarray(T, np.float64)
    alpha, mu, lam, weights = problem.alpha, problem.mu_tr, problem.spectrum, problem.mu_te
    squares = problem.start**2
    c, f = (value * (1 + OUTWARD) for value in derived_constants(problem))  # 1 - alpha c tr Sigma may be small
    shape = T.shape
    if not problem.d or alpha == 0:  # nothing moves: the risk is that of the start
        fixed = np.full(shape, 0.5 * float(np.sum(weights * squares)))
        yes = np.ones(shape, bool)
        return Sides(fixed, np.zeros(shape), fixed, np.zeros(shape), yes, yes, Derived(c, f, 0.0))
    share = alpha * c * float(lam.sum())
    x = alpha * T[..., None] * mu
    Xi = effective(problem, T)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        s0 = np.sum(np.minimum(1, 1 / x) * lam * squares, axis=-1)
        upper_bias = np.sum(Xi * squares / mu, axis=-1) / (2 * alpha**2 * T)
        upper_variance = np.sum(Xi, axis=-1) * (f + c * s0) / (1 - share)
        small = alpha * mu
        decay = np.where(small < 1, -np.expm1(T[..., None] * np.log1p(-np.minimum(small, 1 - EPS))), 1.0)
        lower_bias = 0.5 * np.sum(weights * squares * decay**2 / x**2, axis=-1)
        lower_variance = 0.5 * np.sum(weights * _kept(alpha, mu, problem.moments.pi, T[..., None]), axis=-1)
    stable = bool(mu.min() > 0 and alpha * mu.max() <= 1)
    upper_holds = np.full(shape, stable and share < 1)
    lower_holds = np.full(shape, stable)
    return Sides(
        upper_bias=np.where(upper_holds, upper_bias * (1 + OUTWARD), np.nan),
        upper_variance=np.where(upper_holds, upper_variance * (1 + OUTWARD), np.nan),
        lower_bias=np.where(lower_holds, lower_bias * (1 - OUTWARD), np.nan),
        lower_variance=np.where(lower_holds, lower_variance * (1 - OUTWARD), np.nan),
        upper_holds=upper_holds,
        lower_holds=lower_holds,
        constants=Derived(c, f, share),
    )


def _kept(alpha: float, mu: np.ndarray, pi: np.ndarray, T: np.ndarray) -> np.ndarray:
    """alpha^2 pi V_T(a)/((1 - a^2) T^2), the variance that survives when Q - mu^2 is dropped, never above it.

    V_T(a) = (1+a)/(1-a) [T - (1-a^{2T})/(1-a^2)] - 2 (1-a^T)(a-a^T)/(1-a)^2 loses digits where x = alpha T mu is small:
    its rounding is taken off, and alpha^2 pi (T-1)(2T-1)/(6T) (1 - 4x) takes its place where that is larger. The latter
    is below since each of the products a^k of the double sum, k < 2T, is at least 1 - 2x.
    """
    gone = np.minimum(alpha * mu, 1.0)  # 1 - a
    log = np.log1p(-np.minimum(gone, 1 - EPS))
    a, squared = 1 - gone, gone * (2 - gone)  # squared: 1 - a^2
    lost, twice, less = -np.expm1(T * log), -np.expm1(2 * T * log), -np.expm1((T - 1) * log)
    parts = [(1 + a) / gone * T, -(1 + a) / gone * twice / squared, -2 * lost * a * less / gone**2]
    V = sum(parts) - 64 * EPS * sum(np.abs(part) for part in parts)
    exact = alpha**2 * pi * V / (squared * T**2)
    small = alpha**2 * pi * (T - 1) * (2 * T - 1) / (6 * T) * (1 - 4 * gone * T)
    return np.maximum(np.maximum(exact, small), 0)


def paper_constants(
    problem: MixedRegression, *, c1: float = 3.0, b1: float = 1.0, sigma_x: float = 1.0, C: float | None = None
) -> Paper:
    """c, f, g, C and the limit of the step size in the paper's form, recalled. (maml.16)"""
    lam, beta, noise = problem.spectrum, abs(problem.beta_tr), problem.noise**2
    th, squares = problem.spread**2, float(np.sum(lam**2))
    if C is None:
        C = float(np.max(second_of_quadratic(lam, problem.beta_tr, problem.n1))) if problem.d else 1.0
    root = math.sqrt(C)
    lam_1 = float(lam.max(initial=0.0))
    c = c1 * (1 + 8 * beta * lam_1 * root * sigma_x**2 + 64 * root * sigma_x**4 * beta**2 * squares)
    f = c * float(np.sum(th * lam)) + 4 * c1 * noise * sigma_x**2 * beta**2 * root * squares + noise / problem.n2
    g = noise + b1 * float(np.sum(th * problem.mu_tr))
    if problem.beta_tr <= 0:
        g += b1 * beta**2 * noise * squares / problem.n1
    total = float(lam.sum())
    return Paper(c, f, g, C, alpha_limit=1 / (c * total) if total else math.inf, b1=b1)


def paper(problem: MixedRegression, T: ArrayLike, **given: Any) -> Sides:
    """The paper's two sides, recalled: constants 2, 2, 2 above; below without the factor that makes it false."""
    T = np.asarray(T, np.float64)
    constants = paper_constants(problem, **given)
    alpha, mu, lam, squares = problem.alpha, problem.mu_tr, problem.spectrum, problem.start**2
    c, b1 = constants.c, constants.b1
    lam_1 = float(lam.max(initial=0.0))
    valid = bool(
        problem.d and alpha > 0 and mu.min() > 0 and alpha < constants.alpha_limit
        and abs(problem.beta_tr) * lam_1 < 1 and abs(problem.beta_te) * lam_1 < 1
    )  # fmt: skip
    Xi = effective(problem, T)
    with np.errstate(divide="ignore", invalid="ignore"):
        s0 = np.sum(np.minimum(1, 1 / (alpha * T[..., None] * mu)) * lam * squares, axis=-1)
        bias = np.sum(Xi * squares / mu, axis=-1) / (alpha**2 * T)
        upper = 2 / (1 - alpha * c * lam.sum()) * np.sum(Xi, axis=-1) * (constants.f + 2 * c * s0)
        lower = np.sum(Xi, axis=-1) * (constants.g / 100 + b1 / 1000 * s0) / problem.n2
    holds, below = np.full(T.shape, valid), np.asarray(valid & (T >= 2))
    return Sides(
        upper_bias=np.where(holds, 2 * bias, np.nan),
        upper_variance=np.where(holds, upper, np.nan),
        lower_bias=np.where(below, bias / 100, np.nan),
        lower_variance=np.where(below, lower, np.nan),
        upper_holds=holds,
        lower_holds=below,
        constants=constants,
    )
