"""Are the coefficients, tails and values of the series those of the functions?"""

from __future__ import annotations

import math
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import activations
from ntkseq.concepts import Series, series
from ntkseq.concepts._families import FAMILIES

NAMED = [series.get(name) for name in series.names()]
ALL = [*NAMED, -2.5 * series.tanh(), series.polynomial([1, -2, 0, 0.5])]
by_name = pytest.mark.parametrize("phi", ALL, ids=repr)


def tanh_exactly(degree: int) -> list[Fraction]:
    """Taylor coefficients of tanh from tanh' = 1 - tanh^2, in exact fractions."""
    c = [Fraction(0)]
    for i in range(degree):
        square = sum((c[j] * c[i - j] for j in range(i + 1)), Fraction(0))
        c.append(((1 if i == 0 else 0) - square) / (i + 1))
    return c


def exactly(name: str, degree: int) -> list[float]:
    """Taylor coefficients by recursions in exact fractions, apart from the final sqrt(pi) and log 2."""
    i = range(degree + 1)
    tanh = tanh_exactly(degree)
    sigmoid = [Fraction(int(k == 0), 2) + tanh[k] / 2 ** (k + 1) for k in i]
    if name == "erf":  # integral of 2/sqrt(pi) e^(-z^2)
        odd = [Fraction((-1) ** (k // 2), math.factorial(k // 2) * k) if k % 2 else Fraction(0) for k in i]
        return [2 / math.sqrt(math.pi) * float(c) for c in odd]
    exact = {
        "exp": [Fraction(1, math.factorial(k)) for k in i],
        "sin": [Fraction((0, 1, 0, -1)[k % 4], math.factorial(k)) for k in i],
        "cos": [Fraction((1, 0, -1, 0)[k % 4], math.factorial(k)) for k in i],
        "tanh": tanh,
        "sigmoid": sigmoid,
        "softplus": [Fraction(0)] + [sigmoid[k - 1] / k for k in i if k],
        "geometric": [Fraction(1) for k in i],
    }[name]
    return [math.log(2) if name == "softplus" and k == 0 else float(exact[k]) for k in i]


@pytest.mark.parametrize("name", series.names())
def test_coefficients_equal_those_of_exact_recursions(name: str):
    phi, exact = series.get(name), np.array(exactly(name, 40))
    # coefficients go over logarithms of up to 110, each off by a few roundings
    np.testing.assert_allclose(phi.coefficients(40), exact, rtol=1e-13, atol=0)
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(phi.log_abs(40), np.log(np.abs(exact)), rtol=1e-13, atol=1e-14)


@by_name
def test_the_series_sums_to_the_function(phi: Series):
    z = np.linspace(-0.8, 0.8, 9)
    summed = np.polynomial.polynomial.polyval(z, phi.coefficients(300))
    np.testing.assert_allclose(summed, phi(z), rtol=1e-13, atol=1e-14)


@by_name
def test_numpy_and_jax_give_one_function(phi: Series, x64):
    z = np.linspace(-0.9, 0.9, 7)
    assert isinstance(phi(jnp.asarray(z)), jax.Array) and isinstance(phi(z), np.ndarray)
    np.testing.assert_allclose(np.asarray(jax.jit(phi)(jnp.asarray(z))), phi(z), rtol=1e-13, atol=1e-15)
    assert phi(jnp.zeros(3, jnp.float32)).dtype == jnp.float32


@by_name
@pytest.mark.parametrize("share", [0.05, 0.5, 0.99])
def test_a_tail_never_understates_and_hardly_overstates(phi: Series, share: float):
    R = share * min(phi.radius, 12.0)
    terms = np.exp(phi.log_abs(6000).astype(np.longdouble) + np.arange(6001) * np.log(np.longdouble(R)))
    for degree in (0, 1, 2, 3, 4, 7, 20, 61, 64, 200):
        left = float(terms[degree + 1 :].sum())  # only less than the whole tail
        bound = phi.tail(R, degree)
        # at most the rounding of logarithms of up to 3000 lies between
        assert left * (1 - 1e-12) <= bound <= left * (1 + 1e-10) + 1e-300


def test_tails_never_understate_closed_forms():
    for R, degrees in ((0.1, range(30)), (0.5, range(30)), (0.999, range(0, 30, 7)), (1 - 1e-6, (3,))):
        assert all(series.geometric().tail(R, k) >= R ** (k + 1) / (1 - R) * (1 - 1e-14) for k in degrees)
    # the whole of exp but c_0, where more and more terms are needed
    assert all(series.exp().tail(R, 0) >= math.expm1(R) for R in (1e-3, 1.0, 30.0, 300.0, 700.0))
    assert all(series.tanh().tail(R, 0) >= math.tan(R) * (1 - 1e-13) for R in (0.1, 1.0, 1.5, 1.57))


@pytest.mark.parametrize("name", series.names())
def test_the_ratios_that_prove_tails_bound_all_later_ratios(name: str):
    family = FAMILIES[name]
    logs = family.log_abs(np.arange(2000))
    settled = logs[family.settled :]
    support = np.arange(len(settled)) % family.stride == 0
    assert np.isfinite(settled[support]).all() and (settled[~support] == -np.inf).all()
    ratios = np.diff(settled[support])
    bounds = [family.log_ratio(family.settled + family.stride * k) for k in range(len(ratios))]
    largest_to_come = np.maximum.accumulate(ratios[::-1])[::-1]
    assert (largest_to_come <= np.array(bounds) + 1e-11).all()  # differences of logarithms of up to 1e4


def test_a_tail_is_infinite_from_the_radius_on_and_ends_with_a_polynomial():
    assert series.tanh().tail(math.pi / 2, 50) == math.inf == series.geometric().tail(1.0, 3)
    assert math.isfinite(series.tanh().tail(1.5707, 50))
    assert series.exp().tail(1e4, 0) == math.inf  # e^1e4 overflows
    cubic = series.polynomial([1, -2, 0, 0.5])
    assert cubic.tail(1e9, 3) == 0 and cubic.tail(2.0, 1) == pytest.approx(4, rel=1e-13)
    assert [phi.tail(0.0, 0) for phi in ALL] == [0.0] * len(ALL)


def test_sums_of_too_many_terms_are_still_enclosed():
    for R in (1e7, 1e9):  # sum is e^R
        found = series.exp().log_sum(R)
        assert found.lower <= R <= found.upper and found.upper - found.lower < 30
    found = series.geometric().log_sum(1 - 1e-9)
    assert found.lower <= -math.log1p(-(1 - 1e-9)) <= found.upper


def test_radius_and_degree_are_those_of_the_functions():
    radii = {"tanh": math.pi / 2, "sigmoid": math.pi, "softplus": math.pi, "geometric": 1.0}
    assert {name: series.get(name).radius for name in series.names()} == {
        name: radii.get(name, math.inf) for name in series.names()
    }
    assert [phi.degree for phi in NAMED] == [None] * len(NAMED)
    assert series.polynomial([0, 1, 2, 0, 0]).degree == 2 and series.polynomial([0]).degree == 0
    assert series.polynomial([1]).radius == math.inf


def test_equal_series_are_equal_and_multiples_multiply_everything():
    assert series.exp() == series.get("exp") == Series("exp") != 2 * series.exp()
    assert 2 * series.polynomial([1, 3]) == series.polynomial([2, 6])
    phi = -3 * series.sin()
    np.testing.assert_allclose(phi.coefficients(5), -3 * series.sin().coefficients(5), rtol=1e-15)
    assert phi.tail(1.0, 2) == pytest.approx(3 * series.sin().tail(1.0, 2), rel=1e-13)
    assert jax.tree.leaves(phi) == [] and phi(2.0) == -3 * math.sin(2.0)


@pytest.mark.parametrize("name", ["relu", "abs", "leaky_relu", "sign"])
def test_what_is_not_analytic_is_refused_with_the_reason(name: str):
    with pytest.raises(ValueError, match=r"must be analytic at 0; got .*(kink|jumps).*no Taylor series.*Take"):
        series.get(name)


@pytest.mark.parametrize("given", [activations.get("relu"), activations.get("tanh"), jnp.tanh, 3.0, None])
def test_what_is_no_series_is_refused(given):
    with pytest.raises(ValueError, match=r"series must be a name .*polynomial\(coefficients\)"):
        series.get(given)


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match=r"series must be one of 'exp'.*got 'swish'"):
        series.get("swish")


@pytest.mark.parametrize("given", [[], [1, math.nan], (math.inf,)])
def test_coefficients_that_are_no_finite_numbers_are_refused(given):
    with pytest.raises(ValueError, match="coefficients must be"):
        series.polynomial(given)


@pytest.mark.parametrize("factor", [0, math.inf, math.nan])
def test_a_factor_that_leaves_no_series_is_refused(factor: float):
    with pytest.raises(ValueError, match="finite number other than 0"):
        factor * series.exp()


def test_a_bad_degree_or_radius_is_refused():
    with pytest.raises(ValueError, match=r"degree must be an integer >= 0; got -1"):
        series.exp().coefficients(-1)
    with pytest.raises(ValueError, match="R must be a finite number >= 0"):
        series.exp().tail(-1.0, 2)
    with pytest.raises(ValueError, match=r"make a series with get\(name\)"):
        Series("swish")
