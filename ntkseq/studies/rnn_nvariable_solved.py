"""How do many targets share one kernel matrix? Its eigenvalues and its factor are computed once for each n."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import scipy.linalg
from jaxtyping import Float

from ntkseq.grams import Dense
from ntkseq.predictors.ridge import factorise
from ntkseq.spectra import Interval, spectrum
from ntkseq.studies.rnn_learning import EPS, Errors, errors, leading


@dataclasses.dataclass(frozen=True, eq=False)
class Learnt:
    """What kernel regression learnt of one target from n examples; see `rnn_learning.KernelFit`.

    Attributes:
        n: number of examples.
        errors: on the test points.
        norm_squared: y'K^-1 y; the lower end is rigorous, the upper one is inf where K is not told from singular.
        rounded: how far a change of all labels by 1 can move the root of y'K^-1 y.
    """

    n: int
    errors: Errors
    norm_squared: Interval
    rounded: float

    def violates(self, norm_squared: float, *, label_error: float = 0.0) -> bool:
        """Whether y'K^-1 y is certainly above what is said to bound the squared norm of the labels' function."""
        return math.sqrt(max(self.norm_squared.lower, 0.0)) > math.sqrt(norm_squared) + label_error * self.rounded


class Solved:
    """The first n examples of a kernel matrix, ready for any labels.

    Args:
        K: Gram matrix of the training examples, from `gram`.
        cross: kernel values of test with training examples, (m, n) or more columns.
        n: how many examples.

    Attributes:
        reg: 0, or the ridge that rounding asks for where the least eigenvalue is not told from zero.
        reason: why there is a ridge.
    """

    def __init__(self, K: Dense, cross: Any, n: int) -> None:
        self.n, self.part = n, leading(K, n)
        self._cross: Float[np.ndarray, "m n"] = np.asarray(cross, np.float64)[:, :n]
        values = np.asarray(self.part, np.float64)
        least = spectrum(self.part, vectors=False, method="dense").min_eigenvalue
        backward = 4 * n * EPS * float(np.trace(values))  # of a float64 Cholesky solve: |K|_2 <= tr K
        off = float(self.part.rounding) + backward
        self._relative = off / least.lower if least.positive else math.inf
        self.reg = 0.0 if math.isfinite(self._relative) else 2 * off
        self.reason = ""
        if self.reg:
            self.reason = (
                f"least eigenvalue in [{least.lower:.3g}, {least.upper:.3g}], not told from zero (duplicates?): ridge "
                f"regression with reg = {self.reg:.3g} in place of the interpolant"
            )
        self._factor = factorise(values, self.reg)
        # exact K <= computed K + off: nothing with these labels has a smaller norm
        self._raised = scipy.linalg.cho_factor(values + off * np.eye(n), lower=True)
        self._rounded = math.sqrt(n / max(least.lower, backward))

    def learn(self, y: Any, y_test: Any) -> Learnt:
        """The interpolant of the labels of the first n examples, on the test points."""
        y = np.asarray(y, np.float64)[: self.n]
        dual = scipy.linalg.cho_solve(self._factor, y)
        estimate = float(y @ dual)
        lower = float(y @ scipy.linalg.cho_solve(self._raised, y)) * (1 - 4 * self.n * EPS)
        upper = estimate * (1 + self._relative) if math.isfinite(self._relative) else math.inf
        norm = Interval(min(lower, estimate), estimate, upper)
        return Learnt(self.n, errors(self._cross @ dual, y_test), norm, self._rounded)
