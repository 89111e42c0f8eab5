"""Classes of a Gaussian process with several correlated outputs: their coordinates, and the margins that decide."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import scipy  # its parts load when they are first used
from jaxtyping import Float, Int

from ntkseq import _checks
from ntkseq._types import ArrayLike
from ntkseq.bounds.gibbs_losses import one_largest
from ntkseq.bounds.processes import EPS, Process
from ntkseq.bounds.system import System


def simplex(k: int) -> Float[np.ndarray, "k c"]:
    """One vertex for each of k classes, (k, k - 1): b_i'b_j = 2 [i = j] - 2/k; -1 and +1 for two. (pac_bayes.19)"""
    if k == 2:
        return np.array([[-1.0], [1.0]])
    return np.sqrt(2.0) * scipy.linalg.helmert(k).T


def classes(y: ArrayLike, n: int, outputs: int) -> Int[np.ndarray, " n"]:
    """Labels of classes: whole numbers 0..o-1, (n,), or rows with one largest entry, (n, o).

    Raises:
        ValueError: neither.
    """
    held = _checks.targets("y", y, n)
    if held.ndim == 2:
        if held.shape[1] != outputs or not one_largest(held):
            raise ValueError(
                f"y must hold a row of {outputs} entries for each example, one of them the largest; got "
                f"{_checks.shown(y)}."
            )
        return np.argmax(held, axis=1)
    if not np.isin(held, np.arange(outputs)).all():
        raise ValueError(f"y must hold classes 0..{outputs - 1} of {outputs} outputs; got {_checks.shown(y)}.")
    return held.astype(np.int64)


@dataclasses.dataclass(frozen=True, eq=False)
class ClassSystem(System):
    """A Gram matrix of `width` coordinates of each example, whose margins decide.

    Attributes:
        margins: (examples, c, width): margin j of an example is their product with its coordinates.
    """

    margins: Any = None

    def read(self, process: Process, examples: np.ndarray) -> Margins:
        parts = {one.name: getattr(process, one.name) for one in dataclasses.fields(Process)}
        return Margins(**parts, margins=self.margins[examples])


def class_margins(which: Int[np.ndarray, " n"], vertices: Float[np.ndarray, "k c"]) -> Float[np.ndarray, "n k-1 c"]:
    """b_y - b_j for the class y of each example and each other class j."""
    k = len(vertices)
    others = np.array([[j for j in range(k) if j != own] for own in range(k)])
    return vertices[which][:, None] - vertices[others[which]]


@dataclasses.dataclass(frozen=True, eq=False)
class Margins(Process):
    """A Gaussian process with several correlated rows for each example, read by their margins.

    `mean_at` and `variance_at` are those of the margins: (examples, c) and (examples, c, c).

    Attributes:
        margins: (examples, c, width), of the examples that pay.
    """

    margins: Any = None

    @property
    def weights(self) -> Float[np.ndarray, " examples"]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """One loss for each example."""
        return self.shares

    @property
    def contrasts(self) -> Float[np.ndarray, "rows r"]:
        """The margins in the eigenbasis, those of an example one after another, (examples c, r)."""
        rotated = self.margins @ self.basis.reshape(self.examples, self.width, -1)
        return rotated.reshape(-1, self.rank)

    def mean_at(self, b: Float[np.ndarray, "r k"] | None) -> tuple[Float[np.ndarray, "n c"], Float[np.ndarray, "n c"]]:
        mean, error = super().mean_at(b)
        at, off = mean.reshape(self.examples, self.width, 1), error.reshape(self.examples, self.width, 1)
        size = np.abs(self.margins)
        slack = (self.width + 4) * EPS * (size @ np.abs(at))
        return (self.margins @ at)[..., 0], ((size @ off) * (1 + (self.width + 4) * EPS) + slack)[..., 0]

    @property
    def still(self) -> Float[np.ndarray, "n c c"]:
        return np.zeros((*self.margins.shape[:2], self.margins.shape[1]))

    def variance_at(
        self, removed: Float[np.ndarray, " r"]
    ) -> tuple[Float[np.ndarray, "n c c"], Float[np.ndarray, "n c c"]]:
        left, taken = self.values * (1.0 - self.values * removed), (self.values * removed) ** 2
        rows = self.basis.reshape(self.examples, self.width, -1)
        turned = np.swapaxes(rows, 1, 2)
        G = self.margins
        covariance = G @ ((rows * left) @ turned) @ np.swapaxes(G, 1, 2)
        length = np.sqrt(np.maximum(np.einsum("ncv,nvw,ncw->nc", G, (rows * taken) @ turned, G), 0.0))
        # C + E for C, seen by two margins g and h: |g'E h| and |E g| instead of an entry and a column (pac_bayes.21)
        size, norm = np.abs(G).sum(axis=2), np.linalg.norm(G, axis=2)
        pairs = lambda a, b: a[:, :, None] * b[:, None, :]  # noqa: E731
        between, column = self.rounding * pairs(norm, norm), self.rounding * norm
        if self.entries is not None:
            one, every = (part.reshape(self.examples, self.width, 1) for part in self.entries.corners())
            root = (np.abs(G) @ np.sqrt(one))[..., 0]
            between = np.minimum(between, pairs(root, root))
            column = np.minimum(column, (np.abs(G) @ every)[..., 0])
        moved = between + pairs(length, column) + pairs(column, length)
        moved += float(removed.max()) * pairs(column, column)
        arithmetic = 4 * EPS * (self.n + 4 * self.width) * float(self.values.max()) * pairs(size, size)
        return covariance, moved * (1 + 16 * EPS) + arithmetic
