"""How exactly are the Gram matrix and its least eigenvalue known? What every kernel bound starts from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.linalg
from jaxtyping import Float

from ntkseq import _checks
from ntkseq._bound import Assumption
from ntkseq._outward import at_most, interval, outward
from ntkseq._types import ArrayLike, GramLike
from ntkseq.bounds.assumptions import independent
from ntkseq.grams.arrays import Symmetric, symmetric
from ntkseq.spectra import FullSpectrum
from ntkseq.spectra.dense import dense_spectrum

EPS = float(np.finfo(np.float64).eps)
USUAL = 20.0
"""The rounding of an entry of K in units of eps sqrt(K_ii K_jj), as it is for most kernels."""


@dataclass(frozen=True, eq=False)
class System:
    """A Gram matrix with labels on the host, and how far it may be from the exact one.

    Attributes:
        matrix: K, (n, n) float64, symmetric.
        y: labels, (n,), or (n, k) of several outputs.
        spectrum: its eigenvalues with their errors.
        stated: whether who computed K states its rounding; False for an array of unknown rounding.
        entrywise: as `grams.Gram.entrywise`.
        chance: with what probability its rounding is too small: that of its audit, 0 without one.
        unit: eps of the dtype in which K came.
        centre: values of the function, known for every input, that the prior is centred on, (n, k); None: 0.
        width: rows of each example, one after another: of several outputs that are correlated; 1 otherwise.
    """

    matrix: Float[np.ndarray, "n n"]
    y: Float[np.ndarray, "n ..."]
    spectrum: FullSpectrum
    stated: bool = True
    entrywise: float | None = None
    chance: float = 0.0
    unit: float = EPS
    centre: Any = None
    width: int = 1
    processes: dict[Any, Any] = field(init=False, default_factory=dict)
    """What priors made of it, by what they were made with; a copy with other labels or centre begins anew."""

    @property
    def rounding(self) -> float:
        """Upper estimate of |matrix - exact K| in spectral norm."""
        return float(self.spectrum.rounding)

    @property
    def capped(self) -> float:
        """`rounding`, or a number so large that every bound says nothing: inf times 0 would be none at all."""
        return min(self.rounding, 1e20 * max(1.0, abs(float(np.trace(self.matrix)))))

    @property
    def lower(self) -> float:
        """Lower end of the least eigenvalue of the exact K."""
        return float(self.spectrum.min_eigenvalue.lower)

    @property
    def upper(self) -> float:
        """Upper end of the least eigenvalue of the exact K."""
        return float(self.spectrum.min_eigenvalue.upper)

    @property
    def resolved(self) -> bool:
        """Whether the least eigenvalue is told from zero."""
        return self.spectrum.min_eigenvalue.positive

    @property
    def n(self) -> int:
        """The number of examples."""
        return len(self.y)

    @property
    def targets(self) -> Float[np.ndarray, "n k"]:
        """The labels as a matrix, one column per output."""
        return self.y.reshape(self.n, -1)

    @property
    def centres(self) -> Float[np.ndarray, "n k"]:
        """`centre`, or zeros."""
        return np.zeros(self.targets.shape) if self.centre is None else self.centre

    def rows(self, examples: np.ndarray) -> np.ndarray:
        """The rows of K of some examples."""
        return (examples[:, None] * self.width + np.arange(self.width)).ravel()

    def read(self, process: Any, examples: np.ndarray) -> Any:
        """What losses are taken of, from a `Process` on the rows of some examples: its values, unless overridden."""
        del examples
        return process

    @property
    def pairs(self) -> tuple[np.ndarray, np.ndarray] | None:
        """The eigenvalues with their vectors, where these were kept."""
        basis = self.spectrum.vectors
        return None if basis is None else (self.spectrum.values, basis)

    def usual(self, which: np.ndarray) -> tuple[float, float]:
        """The usual rounding of an entry of K between these examples, and of their Gram matrix in norm.

        No bounds: for choices that may look at these examples only. What K states of its rounding is of all examples.
        """
        own = np.maximum(np.diagonal(self.matrix)[which], 0.0)
        return USUAL * self.unit * float(own.max()), USUAL * self.unit * float(own.sum())

    def rounding_of(self, which: np.ndarray) -> float:
        """`rounding` of the Gram matrix of some of the examples: of few, that of their entries may be less."""
        own = float(np.maximum(np.diagonal(self.matrix)[which], 0.0).sum())
        return self.capped if self.entrywise is None else min(self.capped, float(self.entrywise) * own)

    def moved(self, at: np.ndarray, which: np.ndarray, dual: Float[np.ndarray, " d"]) -> Float[np.ndarray, " m"]:
        """How far sum_j dual_j K(x, x_j) over the examples `which` is off at the examples `at`, at most, (m,)."""
        whole = np.full(len(at), self.capped * float(np.linalg.norm(dual)))
        if self.entrywise is None:
            return whole
        root = np.sqrt(np.maximum(np.diagonal(self.matrix), 0.0))
        return np.minimum(whole, float(self.entrywise) * root[at] * float(root[which] @ np.abs(dual)))

    @property
    def trace(self) -> float:
        """Upper estimate of the exact trace: no diagonal entry is off by more than the spectral norm of the error."""
        return float(np.trace(self.matrix)) + self.n * self.rounding

    @property
    def solve_error(self) -> float:
        """`rounding`, and the backward error of a Cholesky solve with `matrix`, in spectral norm."""
        return self.rounding + 4 * self.n * EPS * float(np.trace(self.matrix))  # |K|_2 <= tr K

    def norm_squared(self) -> tuple[float, float]:
        """y' K^-1 y as computed and an upper estimate for the exact K. Only where `resolved`.

        With |computed - exact| <= e and exact >= lower > 0: computed <= exact + e <= (1 + e/lower) exact, so that
        exact^-1 <= (1 + e/lower) computed^-1.
        """
        value = float(self.y @ scipy.linalg.cho_solve(scipy.linalg.cho_factor(self.matrix), self.y))
        return value, value * (1.0 + self.solve_error / self.lower)

    def positive(self) -> Assumption:
        """The assumption that K is positive definite, as far as its numbers tell."""
        status = "holds" if self.resolved else ("fails" if self.upper < 0 else "unresolved")
        return Assumption("positive definite", "least eigenvalue of K > 0", status, self.interval)

    def semidefinite(self) -> Assumption:
        """The assumption that K comes from a kernel at all."""
        if self.upper < 0:
            status, evidence = "fails", self.interval
        elif self.resolved:
            status, evidence = "holds", self.interval
        else:
            status, evidence = "declared", f"{self.interval}: not contradicted"
        return Assumption("kernel", "K is the Gram matrix of a positive semi-definite kernel", status, evidence)

    def arithmetic(self) -> Assumption:
        """The assumption that the carrier states its rounding rightly; of a sampled kernel no one can say."""
        statement = f"|K computed - K exact| <= {outward(self.rounding, lower=True, digits=3)}"
        sampled = self.spectrum.sampling is not None
        return rounded(statement, sampled, self.spectrum.estimated, self.stated, self.chance)

    def independent(self) -> Assumption:
        """`independent`, with the examples that have the same row of K and the same label as another."""
        count = self.n // self.width
        pairs = zip(self.matrix.reshape(count, -1), self.y.reshape(count, -1), strict=True)
        return independent(count - len({row.tobytes() + label.tobytes() for row, label in pairs}))

    @property
    def interval(self) -> str:
        """The least eigenvalue in words."""
        return f"least eigenvalue in {interval(self.lower, self.upper)}"

    @property
    def singular(self) -> str:
        """Why there is no interpolant, and what to do."""
        return (
            f"the interpolant needs K^-1, but the {self.interval} cannot be told from zero: duplicate inputs, or K "
            "computed in too low a precision; use reg > 0 in rademacher or margin, or compute K in float64"
        )


def rounded(statement: str, sampled: bool, estimated: str, stated: bool, chance: float) -> Assumption:
    """The assumption that a Gram matrix is as exact as it states, by how it knows."""
    if sampled:
        return Assumption(
            "sampling", statement, "unresolved", "K is a Monte Carlo estimate, whose error is itself an estimate"
        )
    if estimated:
        return Assumption("rounding of K", statement, "unresolved", estimated)
    if not stated:
        evidence = "K came as an array of unknown rounding: pass gram(kernel, x) or grams.computed(K, kernel, x)"
        return Assumption("rounding", statement, "unchecked", evidence)
    but = f", but for probability {at_most(chance, 2)}" if chance else ""
    return Assumption("rounding", statement, "declared", f"as the Gram matrix states it{but}")


def system(
    K: GramLike | Symmetric | System,
    y: ArrayLike,
    *,
    name: str = "K",
    signs: bool = False,
    vectors: bool = False,
    outputs: bool = False,
) -> System:
    """Check K and y at the door and bring them to the host; `name` is that of K in messages.

    A `System` of the same labels is taken as it is: what was decomposed already is not decomposed again.

    Raises:
        ValueError: K not square, symmetric and finite; y not (n,) numbers, or with `outputs` not (n, k); with `signs`,
            y not -1/+1.
    """
    held = K if isinstance(K, System) else symmetric(K, name)
    y = (_checks.targets if outputs else _checks.labels)("y", y, len(held.matrix))
    if signs and not np.isin(y, (-1.0, 1.0)).all():
        wrong = float(y[~np.isin(y, (-1.0, 1.0))][0])
        raise ValueError(f"y must hold class labels -1 and +1; got {wrong:g}. Encode the two classes as -1/+1.")
    if isinstance(held, System):
        assert np.array_equal(held.y, y) and (held.pairs is not None or not vectors)
        return held
    eigen, gram = dense_spectrum(held, vectors=vectors), held.gram
    unit = float(np.finfo(gram.dtype).eps) if np.issubdtype(gram.dtype, np.floating) else EPS
    return System(held.matrix, y, eigen, stated=gram.stated, entrywise=gram.entrywise, chance=gram.chance, unit=unit)


def row_numbers(given: ArrayLike) -> tuple[int, ...]:
    """The rows that a prior is given, ascending, each once.

    Raises:
        ValueError: none, or what is no whole number from 0.
    """
    rows = _checks.host("examples", given)
    if rows.ndim != 1 or rows.size == 0 or rows.dtype.kind not in "iu" or int(rows.min()) < 0:
        raise ValueError(f"examples must be rows, whole numbers from 0; got {_checks.shown(given)}.")
    return tuple(sorted({int(row) for row in rows}))
