"""Spectral filters of training on the squared loss: gradient flow and gradient descent, on eigenvalues in float64."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from jaxtyping import Float

_EPS = float(np.finfo(np.float64).eps)


@dataclasses.dataclass(frozen=True)
class Clock:
    """How long was trained: gradient flow for a time t, or `steps` steps of gradient descent with rate `lr`.

    Flow: a' = r - K a, a = phi(K) r with phi(x) = (1 - exp(-x t)) / x. Descent: a += lr (r - K a), and
    phi(x) = (1 - (1 - lr x)^steps) / x. Both are continued by t and lr steps at x = 0.
    """

    time: float
    steps: int | None = None
    lr: float | None = None

    def phi(self, x: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
        """The filter that takes r to the coefficients."""
        if self.steps is None or self.lr is None:
            grown = -np.expm1(-x * self.time) if math.isfinite(self.time) else np.ones_like(x)
        else:
            rest = 1.0 - self.lr * x
            with np.errstate(divide="ignore"):
                small = -np.expm1(self.steps * np.log1p(-np.minimum(self.lr * x, 0.5)))
            grown = np.where(self.lr * x <= 0.5, small, 1.0 - np.sign(rest) ** self.steps * np.abs(rest) ** self.steps)
        tiny = np.abs(x) * self.time < _EPS
        return np.where(tiny, self.time, grown / np.where(tiny, 1.0, x))

    def psi(self, x: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
        """phi summed over the time before: its integral, or lr times the sum over all steps."""
        small = np.abs(x) * self.time < 1e-4
        count = self.time if self.lr is None else self.time - self.lr
        series = 0.5 * self.time * count  # to the first order in x; what is left out is below 1e-4 of it
        return np.where(small, series, (self.time - self.phi(x)) / np.where(small, 1.0, x))
