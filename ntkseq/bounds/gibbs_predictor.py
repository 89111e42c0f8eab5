"""The posterior of a PAC-Bayes bound as a predictor: its mean, its variance, and functions drawn from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import scipy.linalg
from jaxtyping import Float

from ntkseq import _checks
from ntkseq._types import ArrayLike, Key
from ntkseq.predictors.kernel_ridge import factorise, predict


@dataclass(frozen=True, eq=False)
class GibbsPredictor:
    """What a PAC-Bayes bound speaks of: a Gaussian process posterior over the examples of its Gram matrix.

    Attributes:
        dual: coefficients of the mean sum_j dual_j K(., x_j) over all examples, (n,) or (n, k).
        scale: of the prior.
        seen, paying: the examples that the prior learned from, and those that pay.
        reg: the ridge of a prior that learned.
    """

    dual: Float[np.ndarray, "n ..."]
    scale: float
    seen: Any
    paying: Any
    reg: float | None
    _own: Any
    _weights: Any
    _basis: Any
    _removed: Any

    @classmethod
    def of(cls, known: Any, process: Any, statement: Any, scale: float) -> GibbsPredictor:
        """From the parts of a bound."""
        dual = np.zeros((known.n, process.targets.shape[1]))
        paid = np.zeros(process.targets.shape) if statement.b is None else process.basis @ statement.b
        dual[process.paying] = paid
        if process.seen is not None:
            dual[process.seen] = process.first - process.smoother @ paid
        own = None if process.seen is None else known.matrix[np.ix_(process.seen, process.seen)]
        return cls(
            dual=dual.reshape(known.y.shape),
            scale=scale,
            seen=process.seen,
            paying=process.paying,
            reg=process.reg,
            _own=own,
            _weights=process.smoother,
            _basis=process.basis,
            _removed=statement.removed,
        )

    def mean(self, K_cross: ArrayLike) -> Any:
        """The mean at queries, (q,) or (q, k): the predictor of `predictor="mean"` is its sign or its largest.

        Args:
            K_cross: kernel values of the queries with all examples, (q, n): `gram(kernel, x_query, x)`.
        """
        return predict(self.dual, K_cross)

    def covariance(self, K_cross: ArrayLike, K_query: ArrayLike) -> Float[np.ndarray, "... w w"]:
        """The covariance of a drawn function between queries, (q, q), of each output; or within groups of w of them.

        Args:
            K_cross: kernel values of the queries with all examples, (q, n).
            K_query: of the queries with each other, (q, q); or those of each group with each other, (q/w, w, w).

        Raises:
            ValueError: shapes that do not fit, numbers that are not finite.
        """
        cross, query = self._queries(K_cross, K_query)
        q, w = len(cross), query.shape[-1] if query.ndim else 0
        grouped = query.ndim == 3 and query.shape[1] == w and len(query) * w == q
        if query.shape != (q, q) and not grouped:
            raise ValueError(
                f"K_query must be the Gram matrix of the {q} queries, or those of groups of w, ({q}/w, w, w); got "
                f"shape {query.shape}."
            )
        paying, taken = (part.reshape(*query.shape[:-1], -1) for part in self._taken(cross))
        less = taken @ np.swapaxes(taken, -1, -2) + (paying * self._removed) @ np.swapaxes(paying, -1, -2)
        return self.scale * (query - less)

    def variance(self, K_cross: ArrayLike, K_query: ArrayLike) -> Float[np.ndarray, " q"]:
        """The variance of a drawn function at queries, (q,), of each output.

        Args:
            K_cross: kernel values of the queries with all examples, (q, n).
            K_query: of each query with itself, (q,), `kernel.diag(x_query)`; or the Gram matrix of the queries.

        Raises:
            ValueError: shapes that do not fit, numbers that are not finite.
        """
        cross, query = self._queries(K_cross, K_query)
        if query.shape not in ((len(cross),), (len(cross), len(cross))):
            raise ValueError(f"K_query must be of the {len(cross)} queries of K_cross; got shape {query.shape}.")
        own = query if query.ndim == 1 else np.diagonal(query)
        paying, taken = self._taken(cross)
        left = own - np.sum(taken**2, axis=1) - np.sum(paying**2 * self._removed, axis=1)
        return self.scale * np.maximum(left, 0.0)

    def draw(self, K_cross: ArrayLike, K_query: ArrayLike, key: Key) -> Float[np.ndarray, "q ..."]:
        """The values at the queries of one function drawn from the posterior, (q,) or (q, k).

        Args:
            K_cross, K_query: as of `covariance`.
            key: of the draw.
        """
        key, (cross, _) = _checks.prng_key("key", key), self._queries(K_cross, K_query)
        mean = np.asarray(self.mean(cross))
        values, basis = np.linalg.eigh(self.covariance(K_cross, K_query))
        noise = np.asarray(jax.random.normal(key, mean.shape), np.float64)
        return mean + basis @ (np.sqrt(np.maximum(values, 0.0)).reshape(-1, *(1,) * (mean.ndim - 1)) * noise)

    def _queries(self, K_cross: ArrayLike, K_query: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        predict(self.dual, K_cross)  # which says what is wrong with it
        cross, query = _checks.numbers("K_cross", K_cross), _checks.numbers("K_query", K_query)
        _checks.finite("K_query", query)
        return cross, query

    def _taken(self, cross: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Queries in the eigenbasis of the examples that pay, given those of the prior; and what these take away."""
        paying = cross[:, self.paying]
        if self.seen is None:
            return paying @ self._basis, np.zeros((len(cross), 0))
        seen = cross[:, self.seen]
        factor = np.tril(factorise(self._own, float(self.reg or 0.0))[0])
        taken = scipy.linalg.solve_triangular(factor, seen.T, lower=True).T
        return (paying - seen @ self._weights) @ self._basis, taken
