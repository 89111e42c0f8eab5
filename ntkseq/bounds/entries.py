"""How far a covariance is off where each entry of the Gram matrix is known to a share of its diagonal."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Float


@dataclasses.dataclass(frozen=True, eq=False)
class Entries:
    """How far C b is off where each entry of K is known to e sqrt(K_ii K_jj): C = T'(K + reg P) T, T = [-W; I].

    Attributes:
        entry: e.
        profile: sum_j |T_ji| sqrt(K_jj), (n,), of the examples that pay.
        own: sqrt(K_ii) of them.
        beyond: what is left in spectral norm: the arithmetic, and the square of the error of W.
        first, weights: sqrt(K_jj) of the examples of the prior, and W.
    """

    entry: float
    profile: Float[np.ndarray, " n"]
    own: Float[np.ndarray, " n"]
    beyond: float
    first: Any = None
    weights: Any = None

    def moved(self, b: Float[np.ndarray, "n k"]) -> Float[np.ndarray, " n"]:
        """Upper estimates of the error of C b at each example, the largest over outputs; b over the examples."""
        size = self.own @ np.abs(b)
        if self.weights is not None:
            size = size + self.first @ np.abs(self.weights @ b)
        return self.entry * self.profile * float(size.max()) + self.beyond * float(np.linalg.norm(b, axis=0).max())

    def corners(self) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        """Upper estimates of the error of each C_ii, and of the length of that of each column of C."""
        column = self.entry * self.profile * float(np.linalg.norm(self.profile))
        return self.entry * self.profile**2 + self.beyond, column + self.beyond
