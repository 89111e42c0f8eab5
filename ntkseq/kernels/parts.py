"""Which independent estimates is a sampled kernel the mean of? Their spread is its error."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import scipy  # its parts load when they are first used
from jaxtyping import Float, Int

MISS = 1e-5
"""Probability with which a scalar leaves the interval that `student` gives, were its batches Gaussian."""


@dataclasses.dataclass(frozen=True, eq=False)
class Parts:
    """A sampled kernel taken apart: B kernels of independent batches, each with its own prepared examples.

    Attributes:
        kernels: one for each batch.
        sides: the same examples, prepared for each.
        samples: random samples in all.
        noun: what they are called, "particles" or "draws".
        whole: whether the mean of the parts is the kernel itself; if not, they differ by a bias of order 1 / samples.
        entrywise: upper estimate of |computed - exact| / sqrt(K_ii K_jj) by rounding alone, without the sampling.
        bias: relative bias that all batches have in common, which their spread does not show.
    """

    kernels: tuple[Any, ...]
    sides: tuple[Any, ...]
    samples: int
    noun: str
    whole: bool
    entrywise: float
    bias: float

    def changed(self, kernels: tuple[Any, ...], sides: tuple[Any, ...], entrywise: float) -> Parts:
        """The same batches of another kernel."""
        return dataclasses.replace(self, kernels=kernels, sides=sides, entrywise=entrywise)


def together(first: Parts, second: Parts, sides: tuple[Any, ...], kernels: tuple[Any, ...], e: float) -> Parts:
    """Batches that two sampled kernels draw side by side: one of the other's in each."""
    return Parts(
        kernels,
        sides,
        samples=min(first.samples, second.samples),
        noun=first.noun if first.noun == second.noun else "samples",
        whole=first.whole and second.whole,
        entrywise=e,
        bias=max(first.bias, second.bias),
    )


def student(batches: int) -> float:
    """Standard errors that the mean of so many Gaussian batches leaves with probability `MISS`, either way."""
    return float(scipy.stats.t.isf(MISS / 2, batches - 1))


def some(n: int) -> Int[np.ndarray, " few"]:
    """Up to four of n examples, the first and the last among them, whose sampling errors are taken for all."""
    return np.unique(np.linspace(0, n - 1, min(n, 4)).astype(int))


def largest(values: Float[np.ndarray, "n n"], error: Float[np.ndarray, "n n"]) -> float:
    """The largest error_ij / sqrt(K_ii K_jj); 0 where a diagonal entry is."""
    root = np.sqrt(np.maximum(np.diagonal(values), 0.0))
    size = np.outer(root, root)
    return float(np.where(size > 0, error / np.where(size > 0, size, 1), 0).max())
