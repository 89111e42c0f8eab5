"""What is phi(K) r for the functions phi of gradient flow and gradient descent, from products with K alone?"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import scipy.linalg
from jaxtyping import Float

from ntkseq._filters import Clock
from ntkseq.grams.base import Gram

_EPS = float(np.finfo(np.float64).eps)


@dataclasses.dataclass(frozen=True, eq=False)
class Applied:
    """phi(K) r, how far off it can be (2-norm over all columns), and how it went."""

    dual: Float[np.ndarray, "n k"]
    error: float
    products: int
    converged: bool


def apply(K: Gram, r: Float[np.ndarray, "n k"], clock: Clock, *, tol: float, most: int) -> Applied:
    """Lanczos from every column of r, one product per step for all of them, fully reorthogonalised.

    With T the Jacobi matrix after m steps, the approximation a = |r| Q phi(T) e_1 solves the flow with the residual
    beta_m |r| phi_s(T)_m1 at time s, and a semi-definite K lets no error grow, so

        |a - exact| <= beta_m |r| integral_0^t |phi_s(T)_m1| ds = beta_m |r| |psi(T)_m1|

    since phi_s(T)_m1 keeps its sign: up to signs of the basis, exp(-s T) and, for lr x <= 1, (1 - lr T)^j have no
    negative entry.

    Args:
        K: symmetric, positive semi-definite up to its rounding.
        r: what is left to learn at the start.
        clock: time, or steps and rate; a rate of at most 1 / lambda_max.
        tol: error relative to |phi(K) r| that is enough.
        most: products.
    """
    n, k = r.shape
    lengths = np.linalg.norm(r, axis=0)
    live = lengths > 0
    basis = [np.where(live, r / np.where(live, lengths, 1.0), 0.0)]
    alphas, betas = np.zeros((0, k)), np.zeros((0, k))
    dual, error = np.zeros((n, k)), math.inf
    grown = math.exp(min(float(K.rounding) * clock.time, 700.0))  # where K is indefinite by rounding
    converged = False
    for m in range(1, min(most, n) + 1):
        w = K.times(basis[-1])
        alphas = np.vstack([alphas, np.sum(basis[-1] * w, axis=0)])
        for _ in range(2):
            for q in basis:
                w = w - q * np.sum(q * w, axis=0)
        beta = np.linalg.norm(w, axis=0)
        noise = 8.0 * n * _EPS * np.maximum(np.abs(alphas).max(axis=0), np.finfo(float).tiny)
        ended = (beta <= noise) | (m == n)
        betas = np.vstack([betas, np.where(ended, 0.0, beta)])
        coefficients, errors = np.zeros((m, k)), np.zeros(k)
        for j in np.flatnonzero(live):
            size = _size(betas[:, j])
            nodes, vectors = scipy.linalg.eigh_tridiagonal(alphas[:size, j], betas[: size - 1, j])
            if clock.lr is not None and nodes[-1] * clock.lr > 1.0 + 1e-9:
                raise ValueError(
                    f"lr = {clock.lr:.3g} is above 1 / lambda_max = {1 / nodes[-1]:.3g}, up to which products alone "
                    'give an error that holds. Lower lr, or take method="dense".'
                )
            coefficients[:size, j] = lengths[j] * (vectors @ (clock.phi(nodes) * vectors[0]))
            last = vectors[-1] * vectors[0] * clock.psi(nodes)
            errors[j] = (
                1.001 * betas[size - 1, j] * lengths[j] * (abs(last.sum()) + 16 * size * _EPS * np.abs(last).sum())
            )
        dual = sum((q * c for q, c in zip(basis, coefficients, strict=True)), np.zeros((n, k)))
        scale = float(np.linalg.norm(dual))
        error = float(np.linalg.norm(errors)) * grown + 64.0 * m * _EPS * scale
        converged = error <= max(tol * scale, 128.0 * m * _EPS * scale)
        if converged or ended[live].all():
            return Applied(dual, error, m, True)
        basis.append(np.where(ended | ~live, 0.0, w / np.where(beta > 0, beta, 1.0)))
    return Applied(dual, error, min(most, n), converged)


def _size(betas: np.ndarray) -> int:
    """Steps until the Krylov space of a column ended."""
    zeros = np.flatnonzero(betas == 0)
    return int(zeros[0]) + 1 if zeros.size else betas.size
