"""Do block Davidson and its restarts find both ends of a spectrum, with residuals that are true?"""

from __future__ import annotations

import numpy as np
import pytest

from ntkseq.spectra.krylov import pairs, ritz


def matrix(lam: np.ndarray, seed: int = 0) -> np.ndarray:
    Q = np.linalg.qr(np.random.default_rng(seed).standard_normal((lam.size, lam.size)))[0]
    A = Q * lam @ Q.T
    return (A + A.T) / 2


LAM = np.sort(np.random.default_rng(1).random(150) ** 6)[::-1] + 1e-3


@pytest.mark.parametrize("columns", [40, 512])
@pytest.mark.parametrize("least", [False, True])
def test_pairs_are_eigenpairs_with_and_without_restarts(columns: int, least: bool):
    lam = LAM[0] + LAM[-1] - LAM if least else LAM
    A = matrix(lam)
    found = pairs(lambda V: A @ V, 150, 4, least=least, tol=1e-9, columns=columns, most=400)
    exact = lam[:4]
    assert found.converged
    np.testing.assert_allclose(found.values, exact, rtol=1e-8)
    R = A @ found.vectors - found.vectors * found.values
    assert np.linalg.norm(R, 2) <= found.residual and (np.linalg.norm(R, axis=0) <= found.residuals).all()


def test_a_ritz_value_is_never_beyond_the_eigenvalue_of_its_number():
    A = matrix(LAM)
    for most in (1, 2, 3):
        top = pairs(lambda V: A @ V, 150, 6, tol=0.0, most=most)
        low = pairs(lambda V: A @ V, 150, 6, tol=0.0, most=most, least=True)
        assert (top.values <= LAM[:6] + top.product).all() and (low.values >= LAM[::-1][:6] - low.product).all()
        assert top.products == most and not top.converged


def test_the_number_of_products_is_counted_and_each_takes_a_block():
    A, seen = matrix(LAM), []
    found = pairs(lambda V: (seen.append(V.shape[1]), A @ V)[1], 150, 4, tol=1e-6)
    assert found.products == len(seen) and max(seen) == 12


@pytest.mark.parametrize("lam", [np.zeros(20), np.ones(20), np.repeat([1.0, 0.0], 10), np.array([2.0])])
def test_degenerate_spectra_end_with_the_right_values(lam: np.ndarray):
    A = matrix(lam)
    for least in (False, True):
        found = pairs(lambda V: A @ V, lam.size, 3, tol=1e-10, least=least)
        exact = (np.sort(lam) if least else -np.sort(-lam))[:3]
        np.testing.assert_allclose(found.values, exact, atol=1e-14)
        assert found.converged


def test_a_preconditioner_saves_products():
    lam = np.append(np.linspace(10, 2, 148), [1.0, 0.5])
    A = np.diag(lam) + 1e-3 * matrix(np.linspace(-1, 1, 150))

    def precondition(R: np.ndarray, shift: np.ndarray) -> np.ndarray:
        return R / (lam[:, None] - 0.4)

    plain, quick = (
        pairs(lambda V: A @ V, 150, 1, least=True, tol=1e-8, extra=1, precondition=p) for p in (None, precondition)
    )
    assert quick.converged and quick.products < plain.products
    assert quick.values[0] == pytest.approx(plain.values[0], rel=1e-9)


def test_both_ends_together_are_orthonormal_pairs():
    A = matrix(LAM)
    ends = [pairs(lambda V: A @ V, 150, 3, tol=1e-2, least=least, most=60).vectors for least in (False, True)]
    both = ritz(lambda V: A @ V, np.concatenate(ends, axis=1), 1.0, 3)
    np.testing.assert_allclose(both.vectors.T @ both.vectors, np.eye(6), atol=1e-13)
    R = A @ both.vectors - both.vectors * both.values
    assert np.linalg.norm(R[:, :3], 2) <= both.parts[0] and np.linalg.norm(R[:, 3:], 2) <= both.parts[1]
    assert (np.diff(both.values) <= 0).all()
