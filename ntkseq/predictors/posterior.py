"""What does a Gaussian process with this kernel predict, how sure is it, and how likely are the data under it?"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import scipy.linalg
from jaxtyping import Float

from ntkseq import _checks, _display
from ntkseq._outward import at_most
from ntkseq._types import ArrayLike, GramLike, PyTree
from ntkseq.grams.arrays import Symmetric, as_gram, symmetric
from ntkseq.grams.base import Gram
from ntkseq.predictors.kernel_ridge import factorise, predict

_EPS = float(np.finfo(np.float64).eps)


@dataclasses.dataclass(frozen=True, eq=False)
class Estimates:
    """Numbers and upper estimates of their errors: |values - exact| <= errors, entry by entry.

    Attributes:
        values, errors: arrays of one shape, host float64.
        estimated: why the errors are estimates, as where the rounding of a Gram was measured or is not known; empty if
            they are bounds.
    """

    values: Float[np.ndarray, "..."]
    errors: Float[np.ndarray, "..."]
    estimated: str = ""

    def __repr__(self) -> str:
        size = f"largest error {float(np.max(self.errors, initial=0.0)):.1e}"
        return f"Estimates(shape {self.values.shape}, {size}{', estimated' if self.estimated else ''})"


@dataclasses.dataclass(frozen=True, eq=False)
class GaussianProcess:
    """The posterior of a Gaussian process of kernel K with noise, given the targets. Made by `gaussian_process`.

    Attributes:
        dual: alpha = (K + noise)^-1 y, shape of y.
        noise: the variance of the noise of a target.
        log_marginal_likelihood: log p(y), an `Estimates` of shape (); of k targets their sum, each by itself.
        estimated: as in `Estimates`.

    Reference: rasmussen2006, Algorithm 2.1; the errors are derived here.
    """

    dual: Float[np.ndarray, "n ..."]
    noise: float
    log_marginal_likelihood: Estimates
    estimated: str
    _matrix: Float[np.ndarray, "n n"]
    _factor: tuple[np.ndarray, Any]
    _rounding: float
    _entrywise: float | None

    def __call__(self, K_cross: ArrayLike) -> Any:
        """The mean at queries, as of `ridge` with reg = noise.

        Args:
            K_cross: kernel values of the queries with the training examples, (q, n): `gram(kernel, xq, x)`.
        """
        return predict(self.dual, K_cross)

    def mean(self, K_cross: ArrayLike) -> Estimates:
        """The mean at queries, (q,) or (q, k), with its errors.

        Args:
            K_cross: kernel values of the queries with the training examples, (q, n): `gram(kernel, xq, x)`.
        """
        cross, gram = self._cross(K_cross)
        values, size = cross @ self.dual, np.linalg.norm(self.dual, axis=0)
        _, length, delta, moved = self._solved(cross, self._rows(gram, None))
        # m = c.alpha - w.(A alpha - y) + delta.A^-1 (A alpha - y), |A alpha - y| <= r |alpha|
        off = self._rounding * size + _EPS * len(self._matrix) * self._scale * size
        column = (slice(None),) + (None,) * (self.dual.ndim - 1)
        errors = moved[column] * size + (length + delta / self.noise)[column] * off
        errors = errors + _EPS * len(self._matrix) * np.abs(cross) @ np.abs(self.dual)
        return Estimates(values, errors, self.estimated or why_estimated(gram))

    def variance(self, K_cross: ArrayLike, K_query: GramLike) -> Estimates:
        """The variance of the function at queries, (q,); that of a new target is larger by `noise`.

        Args:
            K_cross: kernel values of the queries with the training examples, (q, n): `gram(kernel, xq, x)`.
            K_query: of each query with itself, (q,), `kernel.diag(xq)`; or the Gram matrix of the queries.

        Raises:
            ValueError: K_cross without a column per training example, NaN or infinity, K_query of other
                queries.
        """
        shape, known = _checks.shape("K_query", K_query), None
        if len(shape) == 1:
            own = _checks.labels("K_query", K_query, *shape)
        else:
            known = symmetric(K_query, "K_query")
            own = np.diagonal(known.matrix)
        cross, gram = self._cross(K_cross)
        if len(own) != len(cross):
            raise ValueError(f"K_query must be of the {len(cross)} queries of K_cross; got {len(own)}.")
        w, length, delta, moved = self._solved(cross, self._rows(gram, own))
        # v = d - 2 w.c + w.A w - delta.A^-1 delta, whatever w is
        values = own - 2.0 * np.sum(w * cross, axis=1) + np.sum(w * self._times(w), axis=1)
        errors = self._own(own, known) + 2.0 * length * moved + length**2 * self._rounding + delta**2 / self.noise
        size = np.abs(own) + 2.0 * length * np.linalg.norm(cross, axis=1) + length**2 * self._scale
        errors = errors + 2.0 * _EPS * len(self._matrix) * size
        return Estimates(np.maximum(values, 0.0), errors, self._why(gram, None if known is None else known.gram))

    def covariance(self, K_cross: ArrayLike, K_query: GramLike) -> Estimates:
        """The covariance of the function between queries, (q, q); that of new targets has `noise` on its diagonal.

        Args:
            K_cross: kernel values of the queries with the training examples, (q, n): `gram(kernel, xq, x)`.
            K_query: the Gram matrix of the queries, (q, q): `gram(kernel, xq)`.

        Raises:
            ValueError: K_cross without a column per training example, NaN or infinity, K_query of other
                queries.
        """
        known = symmetric(K_query, "K_query")
        query = known.matrix
        cross, gram = self._cross(K_cross)
        if len(query) != len(cross):
            raise ValueError(f"K_query must be of the {len(cross)} queries of K_cross; got {len(query)}.")
        own = np.diagonal(query)
        w, length, delta, moved = self._solved(cross, self._rows(gram, own))
        both = w @ cross.T
        values = query - both - both.T + w @ self._times(w).T
        rounding = known.rounding
        if known.gram.entrywise is not None:
            size = np.sqrt(np.maximum(own, 0.0))
            rounding = np.minimum(rounding, float(known.gram.entrywise) * np.outer(size, size))
        errors = rounding + np.outer(length, moved) + np.outer(moved, length)
        errors = errors + np.outer(length, length) * self._rounding + np.outer(delta, delta) / self.noise
        norms = np.linalg.norm(cross, axis=1)
        size = np.abs(query) + 2.0 * np.outer(norms, length) + 2.0 * np.outer(length, norms)
        errors = errors + 2.0 * _EPS * len(self._matrix) * (size + np.outer(length, length) * self._scale)
        return Estimates(0.5 * (values + values.T), errors, self._why(gram, known.gram))

    @property
    def _scale(self) -> float:
        return float(np.linalg.norm(self._matrix)) + self.noise

    def _times(self, w: np.ndarray) -> np.ndarray:
        return w @ self._matrix + self.noise * w

    def _cross(self, K_cross: ArrayLike) -> tuple[np.ndarray, Gram]:
        predict(self.dual, K_cross)  # which says what is wrong with its shape
        gram = as_gram(K_cross, "K_cross")
        return np.asarray(gram, np.float64), gram

    def _rows(self, gram: Gram, own: np.ndarray | None) -> Any:
        """How far the row of each query in K_cross is off."""
        rounding = float(gram.rounding)
        if gram.entrywise is None or own is None:
            return rounding
        trace = float(np.trace(self._matrix))
        return np.minimum(rounding, float(gram.entrywise) * np.sqrt(np.maximum(own, 0.0) * max(trace, 0.0)))

    def _own(self, own: np.ndarray, known: Symmetric | None) -> np.ndarray:
        """How far the kernel of a query with itself is off: as far as that of a training example may be."""
        e = self._entrywise if known is None else known.gram.entrywise
        norm = self._rounding if known is None else known.rounding
        return np.full(len(own), norm) if e is None else float(e) * np.abs(own)

    def _solved(self, cross: np.ndarray, moved: PyTree) -> tuple[np.ndarray, ...]:
        """w = A^-1 c as computed, |w|, a bound of |A w - c| for exact A and c, and how far c is off."""
        w = scipy.linalg.cho_solve(self._factor, cross.T).T
        length, moved = np.linalg.norm(w, axis=1), np.broadcast_to(moved, (len(cross),))
        left = np.linalg.norm(self._times(w) - cross, axis=1)
        left = left + _EPS * len(self._matrix) * (self._scale * length + np.linalg.norm(cross, axis=1))
        return w, length, self._rounding * length + moved + left, moved

    def _why(self, *grams: Gram | None) -> str:
        return self.estimated or next((why for gram in grams if gram is not None and (why := why_estimated(gram))), "")

    def __repr__(self) -> str:
        value = self.log_marginal_likelihood
        return _display.folded(
            f"GaussianProcess(n={self.dual.shape[0]}, noise={self.noise:.3g}, log_marginal_likelihood="
            f"{float(value.values):.6g} +- {float(value.errors):.1e})"
        )


def gaussian_process(K: GramLike, y: ArrayLike, *, noise: float) -> GaussianProcess:
    """The posterior of a Gaussian process with kernel K and independent noise, by a Cholesky factor in float64.

        mean = c (K + noise)^-1 y        covariance = K_query - c (K + noise)^-1 c'
        log p(y) = -y'(K + noise)^-1 y / 2 - log det(K + noise) / 2 - n log(2 pi) / 2

    With A = exact K + noise and w as computed, v = d - 2 w.c + w.A w - (A w - c).A^-1 (A w - c) holds for any w, and
    A^-1 is at most 1 / noise, as an exact K has no eigenvalue below zero. So the rounding r of K moves a variance by at
    most r |w|^2 + (r |w|)^2 / noise; the errors stated hold this, the rounding of K_cross and K_query, and that of
    float64. log det moves by Weyl's inequality, eigenvalue by eigenvalue.

    The NNGP kernel (kind="nngp") is the prior of an infinitely wide network. With the NTK in place of it, the mean is
    that of the trained network, the variance is not.

    Args:
        K: Gram matrix of the training examples, (n, n): `gram(kernel, x)`. Of an array the rounding is not known.
        y: targets, (n,), or (n, k) for k independent ones that share the kernel.
        noise: the variance of the noise, > 0, in the units of K.

    Returns:
        GaussianProcess: call it for the mean alone; `mean`, `variance` and `covariance` come with errors.

    Raises:
        ValueError: shapes that do not fit, noise that is not positive, K + noise not positive definite in float64.

    Reference: rasmussen2006, Algorithm 2.1; the errors are derived here.

    Example:
        >>> import numpy as np
        >>> posterior = gaussian_process(np.eye(2), [1.0, -1.0], noise=1.0)
        >>> posterior.variance(np.array([[1.0, 0.0]]), [1.0]).values.round(12).tolist()
        [0.5]
    """
    held, noise = symmetric(K), _checks.nonnegative("noise", noise, positive=True)
    matrix, n = held.matrix, len(held.matrix)
    y = _checks.fitted("y", y, n)
    gram, r, factor = held.gram, held.rounding, factorise(matrix, noise)
    dual = scipy.linalg.cho_solve(factor, y)
    values = np.linalg.eigvalsh(matrix) + noise
    solver = n * _EPS * float(np.abs(values).max())
    low, high = np.maximum(values - r - solver, noise), values + r + solver
    middle = np.maximum(values, noise)
    moved = float(np.sum(np.maximum(np.log(high / middle), np.log(middle / low))))
    scale = float(np.linalg.norm(matrix)) + noise
    size = np.linalg.norm(dual, axis=0)
    left = np.linalg.norm(matrix @ dual + noise * dual - y, axis=0) + _EPS * n * (
        scale * size + np.linalg.norm(y, axis=0)
    )
    # y.A^-1 y = 2 alpha.y - alpha.A alpha + (A alpha - y).A^-1 (A alpha - y)
    squares = 2.0 * np.sum(dual * y, axis=0) - np.sum(dual * (matrix @ dual + noise * dual), axis=0)
    off = r * size**2 + (r * size + left) ** 2 / noise
    off = off + 2.0 * _EPS * n * (size * np.linalg.norm(y, axis=0) + size**2 * scale)
    k = 1 if y.ndim == 1 else y.shape[1]
    logs = np.log(middle)
    value = -0.5 * float(np.sum(squares)) - 0.5 * k * (float(np.sum(logs)) + n * math.log(2.0 * math.pi))
    error = 0.5 * float(np.sum(off)) + 0.5 * k * (moved + _EPS * n * (float(np.sum(np.abs(logs))) + 2.0 * n))
    why = why_estimated(gram)
    likelihood = Estimates(np.asarray(value), np.asarray(error * (1.0 + 1e-9)), why)
    return GaussianProcess(dual, noise, likelihood, why, matrix, factor, r, gram.entrywise)


def why_estimated(gram: Gram) -> str:
    """Why errors that are made of the rounding of a Gram are estimates; empty if they are bounds."""
    if not gram.stated:
        return "an array of unknown rounding; pass gram(kernel, x)"
    if gram.chance:
        return f"the rounding was audited, and holds but for probability {at_most(gram.chance, 2)}"
    return gram.estimated or ("the kernel is a Monte Carlo estimate" if gram.sampling is not None else "")
