"""How is kernel ridge regression solved from products with K alone? By preconditioned conjugate gradients."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
from jaxtyping import Float

from ntkseq import _checks, _display
from ntkseq._types import AnyArray, ArrayLike, Seed
from ntkseq.grams.base import Gram
from ntkseq.predictors.kernel_ridge import predict
from ntkseq.spectra.landmarks import nystrom


@dataclasses.dataclass(frozen=True, eq=False)
class IterativeRidge:
    """A kernel ridge predictor found by iteration, without what needs the inverse, such as leave-one-out errors.

    Attributes:
        y: the targets, (n,) or (n, k).
        dual: coefficients, close to (K + reg)^-1 y; shape of y.
        residuals: y - K dual, shape of y.
        rkhs_norm: sqrt(trace(dual' K dual)).
        error: upper estimate of |dual - exact| over all columns: (|residual of the system| + rounding |dual|) /
            (reg - rounding).
        reg: the ridge.
        products: with blocks of vectors, those of the preconditioner included.
        converged: whether the tolerance was reached; if not, `error` says how far it got.

    Reference: frangella2023 (the preconditioner).
    """

    y: Float[np.ndarray, "n ..."]
    dual: Float[np.ndarray, "n ..."]
    residuals: Float[np.ndarray, "n ..."]
    rkhs_norm: float
    error: float
    reg: float
    products: int
    converged: bool

    def __call__(self, K_cross: ArrayLike) -> AnyArray:
        """Predict at queries from their kernel values with the training examples, (n_query, n).

        Args:
            K_cross: of the queries with the training examples, (n_query, n).

        Raises:
            ValueError: K_cross does not have one column per training example.
        """
        return predict(self.dual, K_cross)

    def __repr__(self) -> str:
        return _display.folded(
            f"IterativeRidge(n={len(self.y)}, reg={self.reg:.3g}, {self.products} products, error={self.error:.1e})"
        )


def ridge_cg(
    K: Gram, y: ArrayLike, *, reg: float, rank: int = 32, tol: float = 1e-8, max_iterations: int = 500, seed: Seed = 0
) -> IterativeRidge:
    """Kernel ridge regression for a Gram that is not held: (K + reg) dual = y by preconditioned conjugate gradients.

    All columns advance together, one product per step. The preconditioner is made of a Nystrom approximation of K,
    U diag(values) U':

        P^-1 v = v + U ((t + reg) / (values + reg) - 1) U' v,      t the least of the values,

    after which the condition number is about 1 + t / reg.

    Args:
        K: a Gram (n, n), symmetric; held ones have `ridge`.
        y: targets (n,) or (n, k).
        reg: the ridge, larger than the rounding of K.
        rank: pairs of the preconditioner; from two products with blocks of rank + 8 vectors.
        tol: residual of the system relative to |y|.
        max_iterations: steps at most; too few end in a warning and `converged` False.
        seed: of the preconditioner.

    Raises:
        ValueError: shapes that do not fit; K not symmetric; reg not above the rounding of K.

    Reference: frangella2023 (this preconditioner).
    """
    if not isinstance(K, Gram) or K.shape[0] != K.shape[1]:
        raise ValueError(
            f"K must be a square Gram, lazy or an Operator; got {type(K).__name__}. Arrays have ridge(K, y)."
        )
    n, rounding = K.shape[0], float(K.rounding)
    reg = _checks.nonnegative("reg", reg, positive=True)
    if reg <= rounding:
        raise ValueError(
            f"reg must be larger than the rounding of K, {rounding:.3g}, for an error that holds; got {reg:.3g}. "
            "Pass a larger reg, or compute K in float64."
        )
    targets = _checks.fitted("y", y, n)
    right = targets.reshape(n, -1)
    rank, max_iterations = _checks.positive_int("rank", rank), _checks.positive_int("max_iterations", max_iterations)
    tol = _checks.nonnegative("tol", tol)
    top = nystrom(K, rank, power=1, probes=0, seed=seed)
    shrink = (top.values[-1] + reg) / (top.values + reg) - 1.0

    def precondition(v: np.ndarray) -> np.ndarray:
        return v + top.vectors @ (shrink[:, None] * (top.vectors.T @ v))

    x, r = np.zeros_like(right), right.copy()
    z = precondition(r)
    p, rz = z.copy(), np.sum(r * z, axis=0)
    enough = tol * np.linalg.norm(right, axis=0)
    steps = 0
    while steps < max_iterations and (np.linalg.norm(r, axis=0) > enough).any():
        image = K.times(p) + reg * p
        curvature = np.sum(p * image, axis=0)
        alpha = np.where(curvature > 0, rz / np.where(curvature > 0, curvature, 1.0), 0.0)
        x, r = x + alpha * p, r - alpha * image
        z = precondition(r)
        new = np.sum(r * z, axis=0)
        p, rz, steps = z + np.where(rz > 0, new / np.where(rz > 0, rz, 1.0), 0.0) * p, new, steps + 1
    fitted = K.times(x)
    true = right - fitted - reg * x  # not the recursion's, which drifts
    converged = bool((np.linalg.norm(true, axis=0) <= 10.0 * enough + 1e-13 * np.linalg.norm(right, axis=0)).all())
    size = float(np.linalg.norm(x))
    slack = 2.0 * (top.product + 2.0 * n * float(np.finfo(float).eps) * reg) * size
    error = (float(np.linalg.norm(true)) + rounding * size + slack) / (reg - rounding)
    if not converged:
        warnings.warn(
            f"ridge_cg did not converge in {steps} steps; error {error:.2g}. Raise max_iterations=, rank= or reg=.",
            RuntimeWarning,
            stacklevel=2,
        )
    return IterativeRidge(
        y=targets,
        dual=x.reshape(targets.shape),
        residuals=(right - fitted).reshape(targets.shape),
        rkhs_norm=float(np.sqrt(max(np.sum(x * fitted), 0.0))),
        error=error,
        reg=reg,
        products=top.products + steps + 1,
        converged=converged,
    )
