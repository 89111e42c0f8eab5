"""How is a support vector machine fitted to a kernel matrix, for one penalty and for a grid of them?"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

ITERATIONS = 1_000_000
"""Steps of libsvm at most. A linear kernel on classes that overlap takes 4e7 at C = 1e4 and n = 100 (15 s)."""


def fitted(K: Float[np.ndarray, "n n"], y: Int[np.ndarray, " n"], C: float, *, iterations: int | None = None) -> Any:
    """A scikit-learn `SVC`, one class against one; `fit_status_` is 1 where it did not converge. -1: no limit."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.svm import SVC

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # asked of the machine by who fits it
        return SVC(C=C, kernel="precomputed", cache_size=500, max_iter=iterations or ITERATIONS).fit(K, y)


def path(K: Float[np.ndarray, "n n"], y: Int[np.ndarray, " n"], penalties: Sequence[float]) -> Iterator[Any]:
    """The machine of each penalty, of which the penalties rise.

    Where no multiplier has reached C the machine is that of every larger penalty, too: the dual problem is convex, and
    a solution off a bound does not ask where the bound stands. It is not fitted again.
    """
    machine, free = None, False
    for C in penalties:
        if machine is None or not free:
            machine = fitted(K, y, C)
            free = machine.fit_status_ == 0 and bool((np.abs(machine.dual_coef_) < C).all())
        yield machine
