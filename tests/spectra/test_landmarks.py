"""Is the randomised Nystrom approximation the one of the textbook, stable, and never further off than it says?"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntkseq
from ntkseq import kernels
from ntkseq.grams import DenseGram, Operator
from ntkseq.spectra import nystrom

POWER = np.arange(1, 201.0) ** -1.5


def matrix(lam: np.ndarray, seed: int = 0) -> np.ndarray:
    Q = np.linalg.qr(np.random.default_rng(seed).standard_normal((lam.size, lam.size)))[0]
    A = Q * lam @ Q.T
    return (A + A.T) / 2


def operator(A: np.ndarray, **options) -> Operator:
    return Operator(lambda V: A @ V, len(A), **{"rounding": 0.0, "dtype": np.float64, **options})


def test_it_is_the_formula_of_the_textbook_where_that_is_stable():
    A, n, columns = matrix(POWER[:30]), 30, 7
    Q = np.linalg.qr(np.random.default_rng(5).standard_normal((n, columns)))[0]
    Y = A @ Q
    N = Y @ np.linalg.solve(Q.T @ Y, Y.T)
    found = nystrom(A, columns, oversample=0, seed=5)
    np.testing.assert_allclose(found.times(np.eye(n)), N, atol=1e-12)
    np.testing.assert_allclose(found.values, np.linalg.eigvalsh(N)[::-1][:columns], atol=1e-12)


@pytest.mark.parametrize("power", [0, 1, 2])
@pytest.mark.parametrize("seed", range(4))
def test_the_difference_lies_within_its_bounds(power: int, seed: int):
    A = matrix(POWER, seed)
    found = nystrom(A, 15, power=power, seed=seed)
    S = np.linalg.eigvalsh(A - found.times(np.eye(200)))
    assert -found.below <= S[0] and S[-1] <= found.error < 10 * S[-1]
    assert np.abs(S).sum() in found.nuclear and found.nuclear.upper < 1.001 * np.abs(S).sum()
    for i in (0, 7, 14, 15, 199):
        assert POWER[i] in found.eigenvalue(i)
    assert found.products == power + 1 and found.semidefinite and found.rank == 15


def test_products_more_sharpen_it():
    errors = [nystrom(matrix(POWER), 15, power=power).error for power in (0, 1, 3)]
    assert errors[2] < 0.95 * errors[1] < 0.3 * errors[0]


def test_a_core_that_is_singular_to_rounding_is_no_danger():
    lam = 10.0 ** -np.arange(60.0)  # (Q' K Q) has condition 1e30 and more
    found = nystrom(matrix(lam), 30, oversample=0, power=1)
    assert found.error < 1e-11 and (np.abs(found.values - lam[:30]) <= found.error).all()
    low = nystrom(matrix(np.append(np.ones(4), np.zeros(56))), 12)
    np.testing.assert_allclose(low.values, np.append(np.ones(4), np.zeros(8)), atol=1e-11)
    assert low.error < 1e-10


def test_rounding_of_the_gram_is_in_the_bounds():
    A = matrix(POWER)
    E = np.random.default_rng(1).standard_normal((200, 200))
    E = 1e-3 * (E + E.T) / np.linalg.norm(E + E.T, 2)
    for K in (DenseGram(A + E, rounding=1e-3), operator(A + E, rounding=1e-3)):  # pyright: ignore[reportArgumentType]
        found = nystrom(K, 100, power=1)  # values down to the rounding
        S = np.linalg.eigvalsh(A - found.times(np.eye(200)))
        assert found.semidefinite and found.below >= 1e-3 and -found.below <= S[0] and S[-1] <= found.error
        assert np.abs(S).sum() <= found.nuclear.upper


@pytest.mark.slow
def test_a_lazy_float32_gram_agrees_with_the_exact_one():
    x = np.random.default_rng(0).standard_normal((90, 6, 2))
    kernel = kernels.Recurrent(sigma_w=1.2, sigma_b=0.1)
    with jax.enable_x64(True):
        A = np.asarray(ntkseq.gram(kernel, jnp.asarray(x)))
    lam = np.linalg.eigvalsh(A)[::-1]
    found = nystrom(ntkseq.lazy(kernel, jnp.asarray(x, jnp.float32)), 12, power=1)
    S = np.linalg.eigvalsh(A - found.times(np.eye(90)))
    assert -found.below <= S[0] and S[-1] <= found.error and np.abs(S).sum() in found.nuclear
    assert all(lam[i] in found.eigenvalue(i) for i in range(90))


def test_an_unknown_trace_is_estimated_by_the_probes_or_said_to_be_unknown():
    A = matrix(POWER)
    known = nystrom(operator(A, diagonal=np.diagonal(A)), 15)
    probed = nystrom(operator(A), 15)
    truth = float(POWER.sum() - known.values.sum())
    assert truth in known.nuclear and known.nuclear.within(2.0)
    assert truth in probed.nuclear and np.isfinite(probed.error) and not probed.nuclear.within(2.0)
    blind = nystrom(operator(A), 15, probes=0)
    assert blind.error == blind.nuclear.upper == np.inf and blind.effective_dimension(0.1).upper == 200


@pytest.mark.slow
def test_the_probes_fail_as_rarely_as_they_say_and_not_never():
    lam = np.append(1.0, np.full(29, 1e-3))  # one direction, which few probes can miss
    A, missed = matrix(lam), 0
    for seed in range(600):
        found = nystrom(operator(A), 1, oversample=0, probes=1, delta=0.4, seed=seed)
        missed += np.linalg.norm(A - found.times(np.eye(30)), 2) > found.error
    assert 0.02 * 600 < missed <= 0.2 * 600  # the trace has the other half of delta


def test_an_indefinite_matrix_is_said_to_be_one_and_bounded_by_the_probes():
    for lam in (np.append(np.ones(5), -1.0), np.append(POWER[:60], np.full(140, -0.3)), -POWER):
        A = matrix(lam)
        found = nystrom(A, 8)
        assert not found.semidefinite and found.below == found.error
        assert np.linalg.norm(A - found.times(np.eye(lam.size)), 2) <= found.error
        with pytest.raises(ValueError, match="negative beyond its rounding"):
            found.effective_dimension(0.1)


@pytest.mark.parametrize("n", [1, 2, 30])
def test_small_and_zero_matrices_are_no_special_case(n: int):
    zero = nystrom(np.zeros((n, n)), 3)
    assert zero.values.max() < 1e-300 and zero.error < 1e-290 and zero.semidefinite
    one = nystrom(np.eye(n), 50)  # the rank is clipped
    assert one.rank == n and abs(one.values - 1).max() < 1e-12 and one.error < 1e-11


def test_the_same_seed_gives_the_same_numbers():
    a, b, c = (nystrom(matrix(POWER), 5, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(a.values, b.values)
    assert a.error == b.error != c.error


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": 0}, "rank must be an integer >= 1"),
        ({"oversample": -1}, "oversample must be an integer"),
        ({"power": -2}, "power must be an integer"),
        ({"probes": -1}, "probes must be an integer"),
        ({"delta": 0.0}, "delta must lie strictly between"),
    ],
)
def test_bad_options_are_turned_away(options, message: str):
    with pytest.raises(ValueError, match=message):
        nystrom(np.eye(4), **{"rank": 2, **options})


@pytest.mark.slow
def test_bad_matrices_are_turned_away():
    for bad, message in (
        (np.zeros((3, 2)), "K must be square"),
        (np.array([[1.0, np.nan], [np.nan, 1.0]]), "K must be finite"),
        (np.array([[1.0, 1.0], [0.0, 1.0]]), "K must be symmetric"),
        (np.zeros((0, 0)), "at least one row"),
    ):
        with pytest.raises(ValueError, match=message):
            nystrom(bad, 1)
    x = jax.random.normal(jax.random.key(0), (8, 4, 2))
    with pytest.raises(ValueError, match="square and symmetric"):
        nystrom(ntkseq.lazy(kernels.Recurrent(), x, x), 2)
    with pytest.raises(ValueError, match="what product returned must be finite"):
        nystrom(operator(np.full((3, 3), np.nan)), 2)
