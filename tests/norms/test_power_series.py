"""Are the coefficients of the kernel's power series the golden ones, those of the kernel itself, and never negative?"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import activations, kernels
from ntkseq.norms.power_series import centre, diagonal, expand
from ntkseq.norms.relu_series import multi_indices
from ntkseq.norms.tokens import Tokens

PAPER = kernels.Recurrent.preset("allen-zhu-li")
COMMON_FIRST = Tokens.declared([1.0] * 5, common=[1.0, 0, 0, 0, 0])
GOLDEN = [1.29228692091, 0.4118209971514, 0.07950539689301, 0.01457052415177, 0.003426050291136, 0.0009785648823]
KERNELS = [
    PAPER,
    kernels.Recurrent(sigma_w=1.4, sigma_u=1.1, sigma_b=0.3, sigma_r=0.9, depth=2),
    kernels.Recurrent(kind="nngp", sigma_b=0.3),
    kernels.Recurrent(sigma_w=1.2, param="raw", h0="shared", sigma_h=0.5, activation=activations.LeakyRelu(0.2)),
    kernels.Recurrent(sigma_w=(1.2, 1.0), depth=2, train=("W", "UbR"), sigma_b=0.1),
]


def pair(y, squares):
    """Two sequences with |x[t]|^2 = squares_t and <x[t], x'[t]> = y_t, every step in a plane."""
    x = np.zeros((2, len(y), 2))
    for t, (inner, square) in enumerate(zip(y, squares, strict=True)):
        x[:, t, 0] = np.sqrt(square), inner / np.sqrt(square)
        x[1, t, 1] = np.sqrt(max(square - x[1, t, 0] ** 2, 0.0))
    return x


def test_coefficients_of_one_token_are_the_golden_numbers():
    found = expand(PAPER, COMMON_FIRST, [[2]], degree=5).coefficients[0]
    np.testing.assert_allclose(found, GOLDEN, rtol=1e-9)


def test_mixed_coefficients_are_the_golden_numbers():
    series = expand(PAPER, COMMON_FIRST, [[2, 4]], degree=3)
    found = dict(zip(map(tuple, series.exponents.tolist()), series.coefficients[0], strict=True))
    assert found[0, 1] == pytest.approx(0.142032728646, rel=1e-9)
    assert found[1, 1] == pytest.approx(0.0452355999104, rel=1e-9)
    assert found[2, 1] == pytest.approx(0.00957087685661, rel=1e-9)
    assert found[1, 2] == pytest.approx(0.00457584043563, rel=1e-9)


def test_the_series_adds_up_to_the_golden_kernel():
    found = expand(PAPER, COMMON_FIRST, [[2]], degree=70).coefficients[0]
    assert np.sum(found * 0.6 ** np.arange(71)) == pytest.approx(1.5716883203749, rel=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("kernel", KERNELS)
def test_the_series_adds_up_to_the_kernel_for_every_parametrisation(x64, kernel):
    squares, y = [1.0, 0.5, 2.0, 1.3], [1.0, 0.2, 0.0, 0.4]
    tokens = Tokens.declared(np.sqrt(squares), common=[1.0, 0, 0, 0], features=2)
    series = expand(kernel, tokens, [[1, 3]], degree=24)
    found = np.sum(series.coefficients[0] * np.prod(np.array([0.2, 0.4]) ** series.exponents, axis=1))
    expected = np.asarray(kernel(jnp.asarray(pair(y, squares))))
    assert found == pytest.approx(expected[0, 1], rel=1e-10)
    assert diagonal(kernel, tokens) == pytest.approx(expected[1, 1], rel=1e-10)
    assert np.all(series.scaled >= 0) and np.sum(series.scaled) <= diagonal(kernel, tokens)


@pytest.mark.slow
@pytest.mark.parametrize("kernel", KERNELS[:3])
def test_first_coefficients_are_the_derivatives_of_the_kernel(x64, kernel):
    squares = np.array([1.0, 0.5, 2.0])

    def value(y2):
        x = jnp.asarray(pair([0.3, 0.0, 0.0], squares))
        second = jnp.stack([y2 / squares[1] ** 0.5, (squares[1] - y2**2 / squares[1]) ** 0.5])
        return kernel(x[:1], x[1:].at[0, 1].set(second))[0, 0]

    tokens = Tokens.declared(np.sqrt(squares), common=[0.3, 0, 0], features=2)
    found = expand(kernel, tokens, [[1]], degree=2).coefficients[0]
    assert centre(kernel, tokens) == pytest.approx(float(value(0.0)), rel=1e-11)
    assert found[1] == pytest.approx(float(jax.grad(value)(0.0)), rel=1e-9)
    step = 1e-3
    second = (float(value(step)) - 2 * float(value(0.0)) + float(value(-step))) / (2 * step**2)
    assert found[2] == pytest.approx(second, rel=1e-4)


def test_the_coefficients_of_a_two_layer_network_are_those_of_arora():
    # T = 1, U trained: z (pi - arccos z)/(2 pi), of which 1/sqrt a_p is known for p = 1, 2, 4, 6, 8
    kernel = kernels.Recurrent(sigma_w=0.0, train="U", input_scale="none")
    found = expand(kernel, Tokens.declared([1.0]), [[0]], degree=8).coefficients[0][[1, 2, 4, 6, 8]]
    np.testing.assert_allclose(1 / np.sqrt(found), [2, 2.507, 6.140, 9.153, 11.864], atol=6e-4)


@pytest.mark.parametrize("common", [0.0, 0.9, 1 - 1e-9])
def test_the_stated_rounding_covers_the_difference_to_extended_precision(common):
    tokens = Tokens.declared([1.0] * 12, common=[1.0] + [common] * 11)
    low = expand(PAPER, tokens, [[1, 6]], degree=10)
    high = expand(PAPER, tokens, [[1, 6]], degree=10, real=np.longdouble)
    assert np.max(np.abs(low.scaled / high.scaled - 1)) <= low.rounding


@pytest.mark.slow(but=["kernel0", "kernel1"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_the_lower_bound_of_coefficients_never_overstates_one(kernel):
    tokens = Tokens.declared([1.0, 0.8, 1.5, 1.0], common=[1.0, 0.1, 0, 0], features=2)
    series = expand(kernel, tokens, [[1, 3], [2, 3]], degree=16)
    lower, _ = series.head.log_lower(16) or pytest.fail("no bound")
    factorials = np.cumprod(np.r_[1.0, np.arange(1, 17)])
    for row in range(2):
        for alpha, scaled in zip(series.exponents[1:], series.scaled[row, 1:], strict=True):
            multinomial = factorials[alpha.sum()] / np.prod(factorials[alpha])
            bound = np.exp(lower[alpha.sum() - 1]) * multinomial * np.prod(series.head.slopes[row] ** alpha)
            assert bound <= scaled * (1 + 1e-10)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("degree", [2, 5, 40])
def test_the_lower_bound_grows_at_least_by_its_ratio(kernel, degree):
    head = expand(kernel, Tokens.declared([1.0] * 4, features=2), [[1]], degree=1).head
    _, ratio = head.log_lower(degree) or pytest.fail("no bound")
    longer, _ = head.log_lower(degree + 200) or pytest.fail("no bound")
    assert np.all(np.diff(longer[degree - 1 :]) >= np.log(ratio))


def test_multi_indices_begin_with_the_units_and_are_complete():
    found = multi_indices(3, 4)
    assert found[1:4].tolist() == np.eye(3, dtype=int).tolist()
    assert len({tuple(row) for row in found.tolist()}) == len(found) == 35
    assert np.all(np.diff(found.sum(axis=1)) >= 0) and found.max() == 4


def test_only_kernels_with_a_power_series_are_taken():
    law = Tokens.declared([1.0] * 3)
    for kernel, match in (
        (kernels.Recurrent(activation="erf"), "must have the relu activation"),
        (kernels.Recurrent(activation="abs"), "opposite sign"),
        (kernels.Recurrent(read="mean"), 'read="last"'),
        (kernels.Recurrent(direction="both"), 'direction="forward"'),
        (kernels.Recurrent(h0="independent", sigma_h=1.0), "no function of the inputs"),
        (2.0 * kernels.Recurrent(), "must be a kernels.Recurrent; |whose series is known"),
    ):
        with pytest.raises(ValueError, match=match):
            expand(kernel, law, [[1]], degree=2)


def test_positions_that_are_not_there_or_do_not_vary_are_refused():
    for positions, match in (
        ([[5]], r"positions must lie in 0\.\.4"),
        ([[-1]], r"positions must lie in 0\.\.4"),
        ([[0]], "nothing varies at position 0"),
        ([[1, 1]], "must be different"),
        ([[1], [2, 3]], "groups of one size"),
    ):
        with pytest.raises(ValueError, match=match):
            expand(PAPER, COMMON_FIRST, positions, degree=2)
    with pytest.raises(ValueError, match="more than 1200"):
        expand(PAPER, COMMON_FIRST, [[1, 2, 3, 4]], degree=20)
