"""By which method are eigenvalues computed, and with which options?"""

from __future__ import annotations

import abc
import dataclasses
import math
from typing import Any

from ntkseq import _checks, _display, _memory
from ntkseq._outward import at_most
from ntkseq._struct import fill, replace
from ntkseq._types import GramLike
from ntkseq.grams.base import Gram
from ntkseq.spectra.base import Spectrum
from ntkseq.spectra.dense import dense_spectrum
from ntkseq.spectra.full import FullSpectrum
from ntkseq.spectra.krylov import summable
from ntkseq.spectra.matrix_free import matrix_free
from ntkseq.spectra.partial import PartialSpectrum


class Method(abc.ABC):
    """A way to compute eigenvalues: a frozen object whose fields are its options, and no others."""

    @abc.abstractmethod
    def spectrum(self, K: GramLike, *, vectors: bool, why: str = "") -> Spectrum:
        """The spectrum of a Gram or an array.

        Args:
            K: as the user gave it, (n, n), or of all outputs or steps (n, n, o, o).
            vectors: keep the eigenvectors.
            why: this method was chosen; stands before its own words in `Spectrum.method`.

        Raises:
            ValueError: no symmetric matrix of finite numbers.
        """


@dataclasses.dataclass(frozen=True)
class Full(Method):
    """All eigenvalues: LAPACK in float64 on the host, whatever the dtype of K. "dense" for short.

    By Weyl's inequality

        |value_i - exact_i| <= K.rounding + solver error,

    the solver error bounded after the fact from the residual and the loss of orthogonality of what the solver
    returned (`residuals.eigenvalue_error`). Time O(n^3), memory about 10 arrays of n x n float64.

    Reference: anderson1999, section 4.7 (what LAPACK promises); parlett1998, chapter 10 (Weyl).

    Example:
        >>> import numpy as np
        >>> from ntkseq import spectra
        >>> spectra.spectrum(np.diag([3.0, 2.0, 1.0]), spectra.Full()).values.tolist()
        [3.0, 2.0, 1.0]
    """

    __repr__ = _display.record

    def spectrum(self, K: GramLike, *, vectors: bool, why: str = "") -> FullSpectrum:
        return dense_spectrum(K, vectors=vectors)


@dataclasses.dataclass(frozen=True)
class MatrixFree(Method):
    """The k largest eigenvalues, bounds of the least, and the density of all others, from products with blocks alone.

    For lazy Grams of any size; "matrix-free" for short. Sums over the spectrum (effective ranks, log-determinants,
    counts) come as intervals that hold but for probability `delta`. K is taken to be positive semi-definite.

    Attributes:
        k: how many leading eigenvalues.
        k_smallest: how many pairs at the lower end, which takes many products; 0 for a bound from the probes alone.
        probes, steps: random vectors of the density, and Lanczos steps of each. Sums narrow with the root of probes,
            and bounds of both ends with the square of steps.
        tol: residual of the leading pairs, relative to the largest eigenvalue.
        max_iterations: products with a block for the pairs of each end, at most.
        delta: probability that some interval is wrong.
        seed: of start vectors and probes.

    Raises:
        ValueError: a count that is no integer >= 1 (`k_smallest`: >= 0), a tol below 0, a delta outside (0, 1).

    Reference: parlett1998, chapters 10 to 13 (Ritz values); golub2010 (quadrature); laurent2000 (the mean over probes).

    Example:
        >>> import numpy as np
        >>> from ntkseq import spectra
        >>> found = spectra.spectrum(np.diag([3.0, 2.0, 1.0]), spectra.MatrixFree(k=1))
        >>> found.values.round(6).tolist(), 6.0 in found.trace
        ([3.0], True)
    """

    k: int = 20
    k_smallest: int = 0
    probes: int = 10
    steps: int = 16
    tol: float = 1e-6
    max_iterations: int = 40
    delta: float = 1e-6
    seed: int = 0

    __repr__ = _display.record

    def __post_init__(self) -> None:
        checked = {name: _checks.positive_int(name, getattr(self, name)) for name in ("k", "probes", "steps")}
        checked |= {"max_iterations": _checks.positive_int("max_iterations", self.max_iterations)}
        checked |= {"k_smallest": _checks.integer("k_smallest", self.k_smallest, 0)}
        checked |= {"tol": _checks.nonnegative("tol", self.tol), "delta": _checks.probability("delta", self.delta)}
        checked |= {"seed": _checks.seed("seed", self.seed)}
        fill(self, **checked)

    def spectrum(self, K: GramLike, *, vectors: bool, why: str = "matrix-free: ") -> PartialSpectrum:
        gram = summable(K)
        found = matrix_free(gram, **dataclasses.asdict(self), vectors=vectors, why=why)
        said = [f"rounding of K {gram.estimated}"] if gram.estimated else []
        if isinstance(K, Gram) and K.chance:
            said.append(f"rounding of K audited, right but for probability {at_most(K.chance, 2)}")
        return replace(found, method="; ".join((found.method, *said))) if said else found


@dataclasses.dataclass(frozen=True)
class Auto(Method):
    """`Full` up to a number of rows, and another method beyond. "auto" for short; `Spectrum.method` says which way.

    Attributes:
        rows: up to which all eigenvalues are computed: about 20 seconds and 1.3 GiB on two cores for 4096.
        beyond: the method for larger matrices.

    Raises:
        ValueError: rows below 1; beyond that is no `MatrixFree`.

    Example:
        >>> import numpy as np
        >>> from ntkseq import spectra
        >>> free = spectra.MatrixFree(k=1)
        >>> tuple(spectra.spectrum(np.eye(n), spectra.Auto(rows=2, beyond=free)).values.size for n in (2, 3))
        (2, 1)
    """

    rows: int = 4096
    beyond: MatrixFree = MatrixFree()

    __repr__ = _display.record

    def __post_init__(self) -> None:
        fill(self, rows=_checks.positive_int("rows", self.rows))
        if not isinstance(self.beyond, MatrixFree):
            raise ValueError(f"beyond must be a MatrixFree(...); got {_checks.shown(self.beyond)}.")

    def spectrum(self, K: GramLike, *, vectors: bool, why: str = "") -> Spectrum:
        shape = _checks.shape("K", K)
        n = math.prod(shape[::2])  # (n, n), or over outputs or steps (n, n, o, o)
        if n <= self.rows:
            return Full().spectrum(K, vectors=vectors)
        why = f"matrix-free, as n = {n} > {self.rows} (dense: {_memory.text(80.0 * n * n)}): "
        return self.beyond.spectrum(K, vectors=vectors, why=why)


SHORT: dict[str, Method] = {"auto": Auto(), "dense": Full(), "matrix-free": MatrixFree()}
"""The methods that a short name stands for."""


def as_method(method: Any) -> Method:
    """The method that a short name stands for, or the object itself.

    Raises:
        ValueError: an unknown name, a class in place of an object.
    """
    return _checks.named("method", method, Method, SHORT, "spectra.MatrixFree(k=20)")
