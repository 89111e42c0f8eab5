"""Spectral filters of training on the squared loss: gradient flow and gradient descent, as functions of eigenvalues."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Float


def flow(w: Any, time: Any, xp: Any = np) -> Any:
    """(1 - exp(-time w)) / w, which is time at w = 0.

    Args:
        w: eigenvalues, an array of NumPy or JAX.
        time: of the flow; inf: 1 / w, for w > 0.
        xp: their module, `numpy` or `jax.numpy`.
    """
    z = time * w
    tiny = xp.abs(z) < float(xp.finfo(w.dtype).eps)
    held, safe = xp.where(tiny, z, 0), xp.where(tiny, 1, w)
    return xp.where(tiny, time * (1 - held / 2), -xp.expm1(-z) / safe)


def descent(w: Any, lr: Any, steps: int) -> Any:
    """(1 - (1 - lr w)^steps) / w = lr sum_{j < steps} (1 - lr w)^j, which is lr steps at w = 0.

    By doubling the number of steps: log2(steps) rounds for any sign of 1 - lr w, nothing but sums and products.
    e = (1 - lr w)^m - 1 stands for the power: where lr w is small, the power would have lost its digits.

    Args:
        w: eigenvalues, an array of NumPy or JAX, or what adds and multiplies as they do.
        lr: the step size.
        steps: number of steps, >= 0.
    """
    z = lr * w
    e = total = 0 * z
    for bit in f"{steps:b}":
        total = total * (2 + e)
        e = e * (2 + e)
        if bit == "1":
            total = total + lr * (1 + e)
            e = e * (1 - z) - z
    return total


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
            return flow(x, self.time)
        return descent(x, self.lr, self.steps)

    def psi(self, x: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
        """phi summed over the time before: its integral, or lr times the sum over all steps."""
        small = np.abs(x) * self.time < 1e-4
        count = self.time if self.lr is None else self.time - self.lr
        series = 0.5 * self.time * count  # to the first order in x; what is left out is below 1e-4 of it
        return np.where(small, series, (self.time - self.phi(x)) / np.where(small, 1.0, x))
