"""The prior and the posterior Gaussian process on the examples that pay, and how exactly each number is known."""

from __future__ import annotations

import dataclasses
import math
from functools import cached_property
from typing import Any

import numpy as np
import scipy.linalg
from jaxtyping import Float, Int

from ntkseq import _checks, _display
from ntkseq.bounds.entries import Entries
from ntkseq.bounds.system import System, row_numbers
from ntkseq.predictors.kernel_ridge import factorise
from ntkseq.spectra.residuals import eigenvalue_error, orthogonality

EPS = float(np.finfo(np.float64).eps)
Pairs = tuple[np.ndarray, np.ndarray] | None
REGS = tuple(10.0**k for k in range(-4, 4))  # times the mean diagonal of K: those tried for a prior that learns


@dataclasses.dataclass(frozen=True)
class Prior:
    """The Gaussian process N(0, scale K): a prior that has seen no data.

    Attributes:
        scale: > 0, fixed beforehand; the mean and the spread of the predictions are in units of its square root.

    Raises:
        ValueError: a scale that is not positive.

    Reference: seeger2002.
    """

    scale: float = 1.0
    __repr__ = _display.record

    def __post_init__(self) -> None:
        _checks.nonnegative("scale", self.scale, positive=True)

    def split(self, units: Int[np.ndarray, " n"]) -> tuple[np.ndarray, np.ndarray]:
        """The rows of the prior and those that pay."""
        return np.arange(0), np.arange(len(units))

    def process(self, known: System, units: Int[np.ndarray, " n"]) -> Process:
        """The prior on the examples of a `known` system that pay, of `units` (n,), before it is scaled."""
        if (key := units.tobytes()) in known.processes:
            return known.processes[key]
        own = np.sqrt(np.maximum(np.diagonal(known.matrix), 0.0))
        entries = None if known.entrywise is None else Entries(float(known.entrywise), own, own, 0.0)
        whole = Process.of(known.matrix, known.capped, known.targets, known.centres, 0.0, entries, known.pairs)
        whole = dataclasses.replace(whole, units=units, width=known.width)
        known.processes[key] = known.read(whole, np.arange(len(units)))
        return known.processes[key]

    @property
    def words(self) -> str:
        """As printed."""
        return f"N(0, {self.scale:.3g} K)"


@dataclasses.dataclass(frozen=True)
class LearnedPrior:
    """The posterior of ridge regression on a share of the examples, as the prior for the rest, which alone pays.

    Attributes:
        share: of the examples that the prior learns from, in (0, 1). They are drawn by `seed`.
        reg: the ridge there; None takes that of least leave-one-out error on these examples, which costs nothing.
        scale: times the covariance of that posterior, of a kernel whose K(x, x) is divided by its mean over these
            examples; 0 leaves the mean alone, which is the ridge fit of a share tested on the rest.
        seed: of the draw of the share.
        examples: rows that the prior learns from, in place of a share: those that the kernel has seen already.

    Raises:
        ValueError: a share outside (0, 1), a reg that is not positive, a negative scale, a seed or examples
            that are no row numbers.

    Reference: ambroladze2006.
    """

    share: float = 0.5
    reg: float | None = None
    scale: float = 1.0
    seed: int = 0
    examples: Any = None
    __repr__ = _display.record

    def __post_init__(self) -> None:
        object.__setattr__(self, "share", _checks.probability("share", self.share))
        if self.examples is not None:
            object.__setattr__(self, "examples", row_numbers(self.examples))
        if self.reg is not None:
            _checks.nonnegative("reg", self.reg, positive=True)
        _checks.nonnegative("scale", self.scale)
        _checks.seed("seed", self.seed)

    def divides(self, units: Int[np.ndarray, " n"]) -> bool:
        """Whether the share leaves one of `units` (n,) to the prior and one to pay."""
        count = int(units.max()) + 1
        return self.examples is not None or 0 < round(self.share * count) < count

    def split(self, units: Int[np.ndarray, " n"]) -> tuple[np.ndarray, np.ndarray]:
        """The rows of the prior and those that pay; the rows of one unit stay together.

        Args:
            units: which rows are of one independent unit, numbers from 0; `np.arange(n)` where each is one.

        Raises:
            ValueError: a share, or examples, that leave one of them without a unit.
        """
        n, count = len(units), int(units.max()) + 1
        if self.examples is not None:
            if max(self.examples) >= n:
                raise ValueError(f"examples must be rows below {n}; got {max(self.examples)}.")
            first = np.unique(units[list(self.examples)])
        else:
            first = np.random.default_rng(self.seed).permutation(count)[: round(self.share * count)]
        if not 0 < len(first) < count:
            what = f"share = {self.share:g}" if self.examples is None else "examples ="
            raise ValueError(
                f"{what} of {count} examples leaves {len(first)} to the prior and {count - len(first)} to pay; both "
                "need one at least."
            )
        seen = np.isin(units, first)
        return np.flatnonzero(seen), np.flatnonzero(~seen)

    def process(self, known: System, units: Int[np.ndarray, " n"]) -> Process:
        """The posterior of a `known` system given the share, on those of `units` (n,) that pay, before it is scaled."""
        key = (self.share, self.reg, self.seed, self.examples, units.tobytes())
        if key not in known.processes:
            known.processes[key] = self._process(known, units)
        return known.processes[key]

    def _process(self, known: System, units: Int[np.ndarray, " n"]) -> Process:
        matrix, rounding = known.matrix, known.capped
        first, others = self.split(units)
        seen, paying = known.rows(first), known.rows(others)
        own, cross, rest = matrix[np.ix_(seen, seen)], matrix[np.ix_(seen, paying)], matrix[np.ix_(paying, paying)]
        root, learned = np.sqrt(np.maximum(np.diagonal(matrix), 0.0)), (known.targets - known.centres)[seen]
        own_rounding = known.rounding_of(seen)
        reg = self.reg if self.reg is not None else least_left_out(own, learned, *known.usual(seen))[0]
        factor = factorise(own, reg)
        dual, W = (scipy.linalg.cho_solve(factor, b) for b in (learned, cross))
        size, length = _checks.norm(matrix), float(np.linalg.norm(W, 2))
        arithmetic = 4 * EPS * len(matrix) * (size + reg) * (1.0 + length) ** 2
        e = math.inf if known.entrywise is None else float(known.entrywise)
        between = min(rounding, e * _size(root, seen, paying))
        left = _checks.norm(own @ W + reg * W - cross) + own_rounding * length + between + arithmetic
        # C(K) is the least over W of [-W; I]'(K + reg P)[-W; I], so that it moves by less than this (pac_bayes.8)
        moved = rounding * (1.0 + (length + left / reg) ** 2) + left * (left / reg) + arithmetic
        mean_error = EPS * len(seen) * float(np.max(np.abs(cross).T @ np.abs(dual)))
        mean_error += EPS * float(np.abs(known.centres).max())
        mean_error += max(float(known.moved(paying, seen, column).max()) for column in dual.T)
        entries = None
        if known.entrywise is not None:
            profile, beyond = root[paying] + root[seen] @ np.abs(W), left * (left / reg) + arithmetic
            entries = Entries(e, profile, root[paying], beyond, root[seen], W)
        inner = cross.T @ W
        process = Process.of(
            rest - 0.5 * (inner + inner.T),
            moved,
            known.targets[paying],
            known.centres[paying] + cross.T @ dual,
            mean_error,
            entries,
        )
        process = dataclasses.replace(
            process,
            units=units[others],
            width=known.width,
            seen=seen,
            paying=paying,
            first=dual,
            smoother=W,
            reg=reg,
            unit=float(np.mean(np.diagonal(own))) or 1.0,
        )
        return known.read(process, others)

    @property
    def words(self) -> str:
        """As printed."""
        scaled = f"{self.scale:.3g} times its covariance"
        given = f"{100 * self.share:g} % of the" if self.examples is None else f"{len(self.examples)}"
        if self.scale == 0:
            return f"ridge regression on {given} examples, tested on the others"
        return f"posterior given {given} examples, {scaled}"


def _size(root: np.ndarray, *sets: np.ndarray) -> float:
    """The norm of the matrix of products sqrt(K_ii K_jj), rows of one set and columns of another."""
    return float(np.prod([np.linalg.norm(root[one]) for one in sets]))


def least_left_out(
    matrix: np.ndarray, targets: np.ndarray, entry: float = 0.0, rounding: float = 0.0
) -> tuple[float, float]:
    """The ridge of least mean squared leave-one-out error, and that error; by one decomposition.

    `entry`: how far a prediction is moved by the rounding of K for coefficients of sum 1; its square is added, so that
    a ridge is not taken that only rounding lives on. `rounding`: of the matrix in norm, of which no ridge is below 64
    times: the covariance of the prior would drown in it. Both must be functions of the same examples (`System.usual`).
    """
    values, basis = np.linalg.eigh(matrix)
    rotated, squares = basis.T @ targets, basis**2
    largest, best = float(np.mean(np.diagonal(matrix))) or 1.0, (np.inf, 1.0)
    for reg in sorted({max(factor * largest, 64.0 * rounding) for factor in REGS}):
        inverse = 1.0 / np.maximum(values + reg, 0.5 * reg)
        dual = basis @ (inverse[:, None] * rotated)
        left_out = dual / (squares @ inverse)[:, None]
        rounded = entry * float(np.abs(dual).sum(axis=0).max())
        best = min(best, (float(np.mean(left_out**2)) + rounded**2, reg))
    return best[1], best[0]


@dataclasses.dataclass(frozen=True, eq=False)
class Process:
    """A Gaussian process on the examples that pay: mean, covariance by its spectrum, and the errors of both.

    Attributes:
        values, basis: eigenvalues of the covariance, clipped at 0, in any order, and orthonormal eigenvectors.
        rounding: upper estimate of |basis diag(values) basis' - exact covariance| in spectral norm.
        diagonal: of the covariance, (n,).
        targets: (n, k).
        mean: of the process, (n, k).
        mean_error: upper estimate of the error of each.
        entries: what is known of single entries, if anything is.
        units: which examples are of one independent unit; None where each is one.
        seen, paying: which rows the prior saw, and which pay.
        width: rows of each example, one after another: of several outputs that are correlated; 1 otherwise.
        first, smoother, reg: coefficients of the mean on `seen`, (K + reg)^-1 K there, and the ridge.
        unit: what the scale of the prior is divided by: the mean of K(x, x) over `seen`.
    """

    values: Float[np.ndarray, " r"]
    basis: Float[np.ndarray, "n r"]
    rounding: float
    diagonal: Float[np.ndarray, " n"]
    targets: Float[np.ndarray, "n k"]
    mean: Float[np.ndarray, "n k"]
    mean_error: float
    entries: Entries | None = None
    units: Any = None
    seen: Any = None
    paying: Any = None
    first: Any = None
    smoother: Any = None
    reg: float | None = None
    unit: float = 1.0
    width: int = 1

    @classmethod
    def of(
        cls,
        matrix: np.ndarray,
        rounding: float,
        targets: np.ndarray,
        mean: np.ndarray,
        mean_error: float,
        entries: Entries | None = None,
        pairs: Pairs = None,
    ) -> Process:
        """Decompose the covariance, if not done; what the solver and the clipping did is added to its rounding."""
        values, basis = np.linalg.eigh(matrix) if pairs is None else pairs
        largest = float(np.abs(values).max())
        solver = eigenvalue_error(matrix, values, basis, enough=np.inf) + 2.0 * orthogonality(basis) * largest
        clipped = max(0.0, -float(values.min()))
        off = rounding + 2.0 * solver + clipped + 4 * EPS * largest
        paying = np.arange(len(matrix))
        own = np.diagonal(matrix).copy()
        if entries is not None:
            entries = dataclasses.replace(entries, beyond=entries.beyond + off - rounding)
        return cls(np.maximum(values, 0.0), basis, off, own, targets, mean, mean_error, entries, paying=paying)

    @property
    def n(self) -> int:
        """How many rows pay."""
        return len(self.values)

    @property
    def examples(self) -> int:
        """How many examples pay."""
        return self.n // self.width

    @property
    def rank(self) -> int:
        """Along how many directions a posterior moves."""
        return len(self.values)

    @property
    def beyond(self) -> Float[np.ndarray, " n"] | float:
        """The variance at each example that is outside of these directions."""
        return 0.0

    @cached_property
    def weights(self) -> Float[np.ndarray, " losses"]:
        """The share of each loss in the mean over units of the mean within a unit: of each row, (n,)."""
        return np.repeat(self.shares, self.width) / self.width

    @cached_property
    def shares(self) -> Float[np.ndarray, " examples"]:
        """The share of each example in that mean."""
        if self.units is None:
            return np.full(self.examples, 1.0 / self.examples)
        _, which, sizes = np.unique(self.units, return_inverse=True, return_counts=True)
        return 1.0 / (len(sizes) * sizes[which])

    @cached_property
    def count(self) -> int:
        """How many independent units pay."""
        return self.examples if self.units is None else len(np.unique(self.units))

    @cached_property
    def squares(self) -> Float[np.ndarray, "n r"]:
        """Squared entries of the basis."""
        return self.basis**2

    @cached_property
    def rotated(self) -> Float[np.ndarray, "r k"]:
        """What the prior's mean leaves of the targets, in the eigenbasis."""
        return self.basis.T @ (self.targets - self.mean)

    @property
    def told(self) -> np.ndarray:
        """Which eigenvalues stand clear of the rounding."""
        return self.values > 8 * self.rounding

    def deviation(self, scale: float) -> Float[np.ndarray, " n"]:
        """Upper estimate of the prior's standard deviation at each example."""
        off = self.rounding if self.entries is None else np.minimum(self.rounding, self.entries.corners()[0])
        return np.sqrt(np.maximum(scale * (self.diagonal + off), 0.0)) * (1 + 4 * EPS)

    def regression(self, noise: float) -> Float[np.ndarray, "r k"]:
        """Coefficients of the mean of regression with this noise, in the eigenbasis."""
        return self.rotated / (self.values + noise)[:, None]

    def removed(self, noise: float) -> Float[np.ndarray, " r"]:
        """What regression with this noise takes from the covariance, in the eigenbasis; nothing below the rounding."""
        return np.where(self.told, 1.0 / (self.values + noise), 0.0)

    # Each of the four rounds outwards, for the exact covariance.

    def mean_at(self, b: Float[np.ndarray, "r k"] | None) -> tuple[Float[np.ndarray, "n k"], Float[np.ndarray, " n"]]:
        """The prior's mean + C basis b at the examples, and the error of each."""
        mean, error = self.mean, self.mean_error
        if b is not None:
            mean = mean + self.basis @ (self.values[:, None] * b)
            size = float(np.linalg.norm(b, axis=0).max())
            moved: Any = self.rounding * size
            if self.entries is not None:
                moved = np.minimum(moved, self.entries.moved(self.basis @ b))
            error = error + moved + 2 * EPS * self.n * float(self.values.max()) * size
        return mean, error + 4 * EPS * np.abs(mean).max(axis=1)

    def norm_of(self, b: Float[np.ndarray, "r k"] | None) -> float:
        """1/2 |C basis b|^2 in the space of C, rounded upwards."""
        if b is None:
            return 0.0
        return 0.5 * float(np.sum((self.values + self.rounding)[:, None] * b**2)) * (1 + 4 * EPS * self.n)

    @property
    def still(self) -> Float[np.ndarray, "n ..."]:
        """Variances that are zero, in the shape of `variance_at`."""
        return np.zeros(self.n)

    def variance_at(self, removed: Float[np.ndarray, " r"]) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        """The diagonal of C - C M C, M = basis diag(removed) basis', and the error of each."""
        size = self.values * removed
        variance = np.maximum(self.squares @ (self.values * (1.0 - size)), 0.0)
        # C + E for C: column i of E is at most `column` long, its entry i at most `own` (pac_bayes.8)
        own = column = np.full(self.n, self.rounding)
        if self.entries is not None:
            one, every = self.entries.corners()
            own, column = np.minimum(own, one), np.minimum(column, every)
        length = np.sqrt(self.squares @ size**2)
        moved = own + 2.0 * length * column + float(removed.max()) * column**2
        return variance, moved + 4 * EPS * self.n * float(self.values.max())

    def information_of(self, removed: Float[np.ndarray, " r"]) -> tuple[float, float]:
        """1/2 sum log(1/d), upwards, and sum (1 - d), downwards; d the shares of variance left. (pac_bayes.7)"""
        left = 1.0 - removed * (self.values + self.rounding)
        if (left <= 0).any():
            return np.inf, 0.0
        gained = -0.5 * float(np.sum(np.log(left))) * (1 + 4 * EPS * self.n) + EPS * float(np.sum(1.0 / left))
        taken = float(np.sum(removed * np.maximum(self.values - self.rounding, 0.0))) * (1 - 4 * EPS * self.n)
        return gained, taken
