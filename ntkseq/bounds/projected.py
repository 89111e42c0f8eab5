"""A posterior of few directions, from products with the Gram matrix alone: its entries are never held together.

A PAC-Bayes inequality holds for every posterior. One that learns along k directions U, (n, k), of which K U is known,
has a divergence in U'KU, means in K U and variances in the diagonal of K and K U: no other number of K is needed, and
nothing has to be near an eigenvector. (pac_bayes.18)
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from ntkseq import _checks
from ntkseq._bound import Assumption
from ntkseq._outward import outward
from ntkseq._types import ArrayLike, GramLike
from ntkseq.bounds.assumptions import independent
from ntkseq.bounds.gibbs_losses import GibbsLoss
from ntkseq.bounds.processes import EPS, Process
from ntkseq.bounds.system import rounded
from ntkseq.grams.arrays import at_hand, products
from ntkseq.grams.base import Gram
from ntkseq.grams.protocol import IMPLICIT

RANK = 256
"""Directions where none were asked for."""
PASSES = 2
"""Products that turn the directions towards the leading eigenvectors; one more gives K U."""


@dataclasses.dataclass(frozen=True, eq=False)
class Products:
    """A Gram matrix known by products, with labels: what `System` is to one whose entries are held.

    Attributes:
        gram: the matrix.
        y: labels, (n,), or (n, k) of several outputs.
        least: the least value of u'Ku that was met, u a unit vector, and how far it may be off.
    """

    gram: Gram
    y: Float[np.ndarray, "n ..."]
    least: tuple[float, float] = (0.0, 0.0)

    @property
    def n(self) -> int:
        """The number of examples."""
        return len(self.y)

    @property
    def targets(self) -> Float[np.ndarray, "n k"]:
        """The labels as a matrix, one column per output."""
        return self.y.reshape(self.n, -1)

    def independent(self) -> Assumption:
        """The assumption no data can show; copies are not looked for."""
        return independent()

    def semidefinite(self) -> Assumption:
        """The assumption that K comes from a kernel; these products may contradict it."""
        value, off = self.least
        said = "K is the Gram matrix of a positive semi-definite kernel"
        return Assumption(
            "kernel", said, "fails" if value < -off else "declared", f"u'Ku >= {value:.3g} where looked at"
        )

    def arithmetic(self) -> Assumption:
        """The assumption that the carrier states its rounding rightly."""
        K = self.gram
        statement = f"|K computed - K exact| <= {outward(float(K.rounding), lower=True, digits=3)}"
        return rounded(statement, K.sampling is not None, K.estimated, K.stated, K.chance)


def wanted(K: GramLike, rank: int | None) -> int | None:
    """How many directions a posterior is made of; None: all, by a decomposition of entries that are held."""
    if rank is not None:
        return _checks.positive_int("rank", rank)
    if at_hand(K):
        return None
    entries = math.prod(K.shape)  # pyright: ignore[reportAttributeAccessIssue]
    return RANK if np.dtype(np.float64).itemsize * entries > IMPLICIT else None


def of_products(K: GramLike, y: ArrayLike, loss: GibbsLoss) -> Products:
    """K and y at the door.

    Raises:
        ValueError: K not square, or not symmetric; labels that do not fit the loss.
    """
    gram = products(K)
    values = (_checks.targets if loss.outputs else _checks.labels)("y", y, gram.shape[0])
    if why := loss.check(values):
        raise ValueError(f"{why}; loss {loss.name!r} asks for that.")
    return Products(gram, values)


@dataclasses.dataclass(frozen=True, eq=False)
class Projected(Process):
    """A Gaussian process on the examples that pay whose posterior moves along k directions only.

    `values` is the diagonal of U'KU, `basis` is U, (n, k), and `rounding` bounds the error of U'KU in spectral norm.

    Attributes:
        moved: K U, (n, k).
        column, row: upper estimates of the error of `moved` in spectral norm, and in length for each row, (n,).
        arithmetic: of these, what float64 does to a product with a unit vector.
        corner: upper estimate of the error of each diagonal entry, (n,).
        entry: as `grams.Gram.entrywise`; None where errors are not known entry by entry.
    """

    moved: Any = None
    column: float = 0.0
    row: Any = None
    arithmetic: float = 0.0
    corner: Any = None
    entry: float | None = None

    @property
    def n(self) -> int:
        return len(self.diagonal)

    @property
    def beyond(self) -> Float[np.ndarray, " n"]:
        """The variance at each example that is outside of the directions."""
        return np.maximum(self.diagonal - self.squares @ self.values, 0.0)

    def deviation(self, scale: float) -> Float[np.ndarray, " n"]:
        return np.sqrt(np.maximum(scale * (self.diagonal + self.corner), 0.0)) * (1 + 4 * EPS)

    def mean_at(self, b: Float[np.ndarray, "k o"] | None) -> tuple[Float[np.ndarray, "n o"], Float[np.ndarray, " n"]]:
        mean, error = self.mean, np.full(self.n, self.mean_error)
        if b is not None:
            size = float(np.linalg.norm(b, axis=0).max())
            off: Any = self.column * size
            if self.entry is not None:  # E (U b), entry by entry
                own = np.sqrt(np.maximum(self.diagonal, 0.0))
                along = float((own @ np.abs(self.basis @ b)).max())
                off = np.minimum(off, self.entry * own * along + self.arithmetic * size)
            mean = mean + self.moved @ b
            error = error + off + 2 * EPS * len(self.values) * np.linalg.norm(self.moved, axis=1) * size
        return mean, error + 4 * EPS * np.abs(mean).max(axis=1)

    def variance_at(self, removed: Float[np.ndarray, " k"]) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        taken = self.moved**2 @ removed
        length, most = np.sqrt(taken), math.sqrt(float(removed.max(initial=0.0)))
        off = self.corner + (2.0 * length + most * self.row) * most * self.row
        return np.maximum(self.diagonal - taken, 0.0), off + 8 * EPS * len(self.values) * (self.diagonal + taken)


def projected(known: Products, units: Int[np.ndarray, " n"], rank: int) -> tuple[Projected, Products]:
    """The prior N(0, K) with a posterior along `rank` directions: the labels, and a sketch of the leading eigenvectors.

    Three products with `rank` vectors each. The directions may be anything; they are better the more of the spectrum
    they hold.
    """
    K, n = known.gram, known.n
    rank = min(rank, n)
    start = np.random.default_rng(0).standard_normal((n, rank))
    few = min(known.targets.shape[1], rank)
    start[:, :few] = known.targets[:, :few]
    U = np.linalg.qr(start)[0]
    for _ in range(PASSES - 1):
        U = np.linalg.qr(K.times(U))[0]
    U = np.linalg.qr(K.times(U))[0]
    T = K.times(U)
    inner = U.T @ T
    turn = np.linalg.eigh(0.5 * (inner + inner.T))[1]
    U, T = U @ turn, T @ turn
    inner = 0.5 * (U.T @ T + T.T @ U)
    values = np.diagonal(inner).copy()
    own, k = np.asarray(K.diag(), np.float64), U.shape[1]
    r, e = min(float(K.rounding), 1e20 * max(1.0, float(np.abs(own).sum()))), K.entrywise  # inf times 0: no number
    size = max(K.known_norm() or 0.0, float(np.linalg.norm(T)), float(np.abs(own).sum()))
    arithmetic = (8 * n + 16 * k) * EPS * size
    column = (math.sqrt(k) * r if K.by_product else r) * (1 + 1e-9) + math.sqrt(k) * arithmetic
    row, corner = np.full(n, column), np.full(n, r)
    if e is not None:
        root = np.sqrt(np.maximum(own, 0.0))
        row = np.minimum(row, e * root * float(np.linalg.norm(root @ np.abs(U))) + math.sqrt(k) * arithmetic)
        corner = np.minimum(corner, e * root**2)
    long = float(np.linalg.norm(U.T @ U - np.eye(k), 2))  # |U|^2 is at most 1 + long
    off = float(np.linalg.norm(inner - np.diag(values), 2)) + (1 + long) * column + 4 * n * EPS * math.sqrt(k) * size
    least = float(values.min(initial=0.0))
    zeros = np.zeros(known.targets.shape)
    kept = {"moved": T, "column": column, "row": row, "arithmetic": arithmetic, "corner": corner, "entry": e}
    made = Projected(
        np.maximum(values, 0.0), U, off + max(0.0, -least), own, known.targets, zeros, 0.0,
        units=units, paying=np.arange(n), **kept,
    )  # fmt: skip
    return made, dataclasses.replace(known, least=(least, off))
