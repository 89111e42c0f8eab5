"""The Gaussian expectations of a smooth activation, E[phi(u) phi(v)] and E[phi'(u) phi'(v)], by covariance.

(u, v) has variances p, q and covariance c. Every dual has three functions:

    moments(p)            what depends on one input only, a tuple of arrays (...,) or (..., k)
    second(p)             E[phi(u)^2]
    pair(c, left, right)  (E[phi(u) phi(v)], E[phi'(u) phi'(v)]) from the covariance and both sides' moments

Smooth duals have no kink at u = v, so the covariance itself may be carried. The relu family has one and is
carried by its chord instead (`ntkseq.kernels.chordal`). Formulas: docs/theory/recurrent.md, "Duals".
"""

from __future__ import annotations

import abc

from jaxtyping import Array, Float

Moments = tuple[Array, ...]


class Dual(abc.ABC):
    """The Gaussian expectations of one smooth activation."""

    by_series = False

    @abc.abstractmethod
    def moments(self, p: Float[Array, "..."]) -> Moments:
        """What the pair function needs of a Gaussian of variance p. The variance itself comes first."""

    @abc.abstractmethod
    def second(self, p: Float[Array, "..."]) -> Float[Array, "..."]:
        """E[phi(u)^2], u ~ N(0, p)."""

    @abc.abstractmethod
    def pair(self, c: Float[Array, "..."], left: Moments, right: Moments) -> tuple[Array, Array]:
        """(E[phi(u) phi(v)], E[phi'(u) phi'(v)]) at covariance c."""
