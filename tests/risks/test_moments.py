"""Are the closed moments those of Gaussian inputs? Quadrature, exact for polynomials, says so."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from ntkseq.risks import fourth_moment, moments, operator

LAM = np.array([1.3, 0.6, 0.2])


def gauss(dims: int, nodes: int = 5):
    """Nodes (k, dims) and weights of the standard normal: exact to degree 2 nodes - 1 in each coordinate."""
    x, w = np.polynomial.hermite_e.hermegauss(nodes)
    w = w / w.sum()
    return (
        np.array(list(itertools.product(x, repeat=dims))),
        np.array([np.prod(p) for p in itertools.product(w, repeat=dims)]),
    )


def drawn(lam: np.ndarray, beta: float, n1: int, n2: int):
    """Weights, X_in, X_out and M of every node."""
    d = len(lam)
    z, weights = gauss(d * (n1 + n2))
    x = z.reshape(-1, n1 + n2, d) * np.sqrt(lam)
    inner, outer = x[:, :n1], x[:, n1:]
    M = np.eye(d) - beta / n1 * np.einsum("kni,knj->kij", inner, inner)
    return weights, inner, outer, M


@pytest.mark.parametrize("beta", [0.7, -0.4, 1.6])
def test_the_operator_is_its_quadrature(beta: float):
    for lam, n in ((LAM[:2], 2), (LAM, 1)):
        weights, _, _, M = drawn(lam, beta, n, 0)
        H = np.einsum("k,kij,j,kjl->il", weights, M, lam, M)
        np.testing.assert_allclose(H, np.diag(operator(lam, beta, n)), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("d", "n1", "n2"), [(3, 1, 1), (2, 2, 1), (2, 1, 2)])
@pytest.mark.parametrize("beta", [0.7, -0.4, 1.6])
def test_moments_of_the_gradient_are_their_quadrature(d: int, n1: int, n2: int, beta: float):
    lam, spread, variance = LAM[:d], np.array([0.3, 0.1, 0.7])[:d], 0.6
    weights, inner, outer, M = drawn(lam, beta, n1, n2)
    B = outer @ M / np.sqrt(n2)
    G = np.einsum("kni,knj->kij", B, B)
    noise = variance / n2 * (np.eye(n2) + (beta / n1) ** 2 * np.einsum(
        "kai,kni,knj,kbj->kab", outer, inner, inner, outer, optimize=True))  # fmt: skip
    found = moments.second(lam, beta, n1, n2, variance, spread)
    np.testing.assert_allclose(found.Q, np.einsum("k,kij->ij", weights, G**2), rtol=1e-11)
    np.testing.assert_allclose(found.from_tasks, np.einsum("k,kij,j->i", weights, G**2, spread), rtol=1e-11)
    labels = np.einsum("k,kai,kab,kbi->i", weights, B, noise, B, optimize=True)
    np.testing.assert_allclose(found.from_queries + found.from_support, labels, rtol=1e-11)
    np.testing.assert_allclose(found.pi, found.from_tasks + labels, rtol=1e-11)
    # why the diagonal is closed: entries of one row of G are not correlated
    assert abs(np.einsum("k,k->", weights, G[:, 0, 0] * G[:, 0, 1])) < 1e-11


def test_moments_are_the_numbers_of_the_theory_file():
    lam, th = np.array([1, 0.5, 0.25, 0.125]), np.array([0.1, 0.2, 0.3, 0.4])
    found = moments.second(lam, 0.3, 4, 3, 0.25, th)
    row = [0.5873271090189616, 0.08196896959940593, 0.0445487891515096, 0.023287406031290696]
    np.testing.assert_allclose(found.Q[0], row, rtol=1e-12)
    assert found.Q[3, 3] == pytest.approx(0.02389669672648112, rel=1e-12)
    pi = [0.14664485818862916, 0.10598748417854309, 0.05778622297445934, 0.02795916507403056]
    np.testing.assert_allclose(found.pi, pi, rtol=1e-12)
    support = [0.0036401865005493157, 0.0014043293952941895, 0.0006429844379425048, 0.0003290099143981934]
    np.testing.assert_allclose(found.from_support, support, rtol=1e-12)
    np.testing.assert_allclose(operator(lam, 1.0, 1), [2.328125, 0.9140625, 0.48828125, 0.263671875], rtol=1e-13)
    np.testing.assert_allclose(operator(lam, -1.0, 1), [6.328125, 1.9140625, 0.73828125, 0.326171875], rtol=1e-13)


def test_without_an_inner_step_the_moments_are_those_of_plain_regression():
    found = moments.second(LAM, 0.0, 7, 4, 0.5, np.ones(3))
    np.testing.assert_allclose(operator(LAM, 0.0, 7), LAM)
    np.testing.assert_allclose(found.Q, np.outer(LAM, LAM) / 4 + np.diag(LAM**2) * (1 + 1 / 4), rtol=1e-13)
    np.testing.assert_allclose(found.pi, found.Q.sum(axis=1) + 0.5 * LAM / 4, rtol=1e-13)


def test_many_support_examples_leave_no_randomness_in_the_inner_step():
    np.testing.assert_allclose(operator(LAM, 0.7, 10**12), LAM * (1 - 0.7 * LAM) ** 2, rtol=1e-9)


def test_an_operator_takes_many_rates_and_sizes():
    found = operator(LAM, np.array([[0.1], [0.2]]), np.array([1, 5, 9]))
    assert found.shape == (2, 3, 3)
    np.testing.assert_array_equal(found[1, 2], operator(LAM, 0.2, 9))


def test_the_operator_of_signs_is_its_enumeration():
    d, n, beta = 3, 2, 0.8
    H = np.zeros((d, d))
    for z in itertools.product([-1.0, 1.0], repeat=d * n):
        x = np.array(z).reshape(n, d) * np.sqrt(LAM)
        M = np.eye(d) - beta / n * x.T @ x
        H += M @ np.diag(LAM) @ M / 2 ** (d * n)
    np.testing.assert_allclose(H, np.diag(operator(LAM, beta, n, k4=1.0)), atol=1e-13)


def test_the_fourth_moment_of_given_inputs_comes_from_their_gram_matrix():
    x = np.random.default_rng(0).normal(size=(9, 4)) * [2, 1, 0.5, 0.1]
    Sigma = x.T @ x / 9
    F = np.einsum("ka,ab,kb,ki,kj->ij", x, Sigma, x, x, x) / 9
    lam, V = np.linalg.eigh(Sigma)
    found, dual = fourth_moment(x @ x.T)
    np.testing.assert_allclose(found, lam[::-1], rtol=1e-10)
    np.testing.assert_allclose(dual, np.diag(V.T @ F @ V)[::-1], rtol=1e-9)
    np.testing.assert_allclose(
        operator(found, 0.3, 2, F=dual), found * (1 - 0.3 * found) ** 2 + 0.3**2 / 2 * (dual - found**3)
    )


def test_the_quadratic_form_of_higher_moments_is_its_quadrature():
    lam, beta = LAM[:2], 0.7
    weights, _, _, M = drawn(lam, beta, 1, 0)
    root = np.diag(operator(lam, beta, 1) ** -0.5)
    K = root @ np.einsum("kij,j,kjl->kil", M, lam, M) @ root
    Gamma = moments.second_of_quadratic(lam, beta, 1)
    for angle in np.linspace(0, np.pi, 7):
        v = np.array([np.cos(angle), np.sin(angle)])
        exact = np.einsum("k,k->", weights, np.einsum("kij,i,j->k", K, v, v) ** 2)
        assert exact == pytest.approx(v**2 @ Gamma @ v**2, rel=1e-11)
        assert exact <= Gamma.max() * (1 + 1e-12)


def test_laws_that_do_not_exist_are_refused():
    with pytest.raises(ValueError, match="k4"):
        operator(LAM, 0.1, 3, k4=0.5)
    with pytest.raises(ValueError, match="n must"):
        operator(LAM, 0.1, 0)
    with pytest.raises(ValueError, match="spectrum"):
        operator(LAM, 0.1, 3, F=0.5 * LAM**3)
    with pytest.raises(ValueError, match="positive eigenvalue"):
        fourth_moment(np.zeros((2, 2)))
