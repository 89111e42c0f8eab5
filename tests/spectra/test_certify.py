"""Is a certificate of positive definiteness a proof, and is it given where it can be?"""

from __future__ import annotations

import numpy as np
import pytest

from ntkseq.spectra.certify import above, positive_definite
from tests.spectra.truths import brownian, declared, inertia, second_difference

EPS = float(np.finfo(np.float64).eps)


def test_what_is_certified_is_true_by_exact_inertia_counts():
    rng = np.random.default_rng(0)
    given = 0
    for trial in range(300):
        n = 1 + trial % 6
        X = rng.standard_normal((n, n))
        if n > 1 and trial % 2:
            X[-1] = X[0] * (1 + 10.0 ** rng.uniform(-9, -5))
        A = X @ X.T * 10.0 ** rng.uniform(-5, 5)
        A = (A + A.T) / 2
        least = np.linalg.eigvalsh(A)[0]
        bound = float(least + rng.standard_normal() * 10.0 ** rng.uniform(-1, 3) * EPS * n * np.trace(A))
        if above(A, bound):
            given += 1
            assert inertia(A, bound)[1] == n
    assert given > 60


@pytest.mark.parametrize("matrix", [second_difference, brownian])
@pytest.mark.parametrize("n", [1, 10, 200])
def test_it_is_given_close_to_the_least_eigenvalue_and_not_above_it(matrix, n: int):
    A, exact = matrix(n)
    slack = (2 * n + 8) * EPS * np.trace(A)
    assert above(A, exact[-1] - slack)
    assert not above(A, exact[-1] + slack)


@pytest.mark.filterwarnings("ignore:K holds float32 numbers")
def test_the_rounding_of_a_gram_counts():
    A, exact = second_difference(30)
    assert positive_definite(declared(A, 0.9 * exact[-1]))
    assert not positive_definite(declared(A, 1.1 * exact[-1]))
    assert positive_definite(A)
    third = (A / 3).astype(np.float32)
    assert positive_definite(third)
    assert not positive_definite(np.ones((3, 3)))
    assert not positive_definite(np.zeros((3, 3)))
    assert not positive_definite(np.diag([1.0, -1.0]))


def test_one_rounding_away_from_singular_is_not_certified():
    K = np.array([[1.0, 1.0 - EPS / 2], [1.0 - EPS / 2, 1.0]])  # least eigenvalue EPS / 2
    assert inertia(K, 0.0) == (0, 2) and not above(K, 0.0)
    assert above(K + np.diag([1e-14, 1e-14]), 0.0)


@pytest.mark.parametrize(
    "bad", [np.zeros((2, 3)), np.array([[1.0, np.nan], [np.nan, 1.0]]), np.array([[1.0, 2], [0, 1]])]
)
def test_bad_matrices_are_turned_away(bad):
    with pytest.raises(ValueError, match="K must be"):
        positive_definite(bad)
