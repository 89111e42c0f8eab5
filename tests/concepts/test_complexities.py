"""Are the complexities those of the definition, in the range of numbers and far beyond it?"""

from __future__ import annotations

import math

import numpy as np
import pytest

from ntkseq import references
from ntkseq.concepts import Additive, NVariable, WholeSequence, complexity, series

SQUARE, CUBIC = series.polynomial([0, 0, 1]), series.polynomial([1, -2, 0, 0.5])

# C* = 1: C_s at R = 1, 2; C_eps at R = 1 for eps = .1, .01; at R = 2 the same. From plain sums in float64,
# the last of erf again with 60 digits.
GOLDEN = {
    "exp": (10.6074772887, 57.8127982112, 5.93851456205, 7.39521210558, 14.8879372016, 20.9695969318),
    "sin": (5.44859411764, 28.9958853328, 2.80590195886, 3.64498010268, 7.59717634199, 10.6776871398),
    "cos": (5.15888317106, 28.8169128783, 3.13261260318, 3.75023200291, 7.29076085966, 10.2919097920),
    "erf": (12.0429815017, 765.256272012, 3.63237370325, 4.88557410586, 24.6085826151, 33.0113570128),
}


def plainly(c: np.ndarray, R: float, eps: float | None, C_star: float) -> float:
    """The definition, term by term."""
    total = 0.0
    for i, size in enumerate(np.abs(c)):
        if eps is None:
            total += C_star * (i + 1) ** 1.75 * R**i * size
        else:
            root = (math.sqrt(math.log(1 / eps)) * C_star * R / math.sqrt(i)) ** i if i else 1.0
            total += ((C_star * R) ** i + root) * size
    return total


@pytest.mark.parametrize("name", GOLDEN)
def test_complexities_equal_the_golden_numbers(name: str):
    found = [complexity(name, R, C_star=1.0).value for R in (1.0, 2.0)]
    for R in (1.0, 2.0):
        found += [complexity(name, R, kind="epsilon", eps=eps, C_star=1.0).value for eps in (0.1, 0.01)]
    np.testing.assert_allclose(found, GOLDEN[name], rtol=1e-9)


def test_complexities_of_polynomials_equal_the_golden_numbers():
    found = [complexity(phi, R, C_star=1.0).value for phi in (SQUARE, CUBIC) for R in (1.0, 2.0)]
    np.testing.assert_allclose(found, [6.83852117086, 27.3540846833, 13.3840255715, 59.7091766764], rtol=1e-9)
    found = [
        complexity(phi, R, kind="epsilon", eps=0.01, C_star=1.0).value for phi in (SQUARE, CUBIC) for R in (1.0, 2.0)
    ]
    np.testing.assert_allclose(found, [3.30258509299, 13.2103403720, 9.74287978856, 26.1914459930], rtol=1e-9)


def test_logarithms_at_the_papers_constant_equal_the_golden_numbers():
    assert complexity("exp", 1.0).log == pytest.approx(11.5718995290, rel=1e-10)
    assert complexity("sin", 1.0).log == pytest.approx(10.9056979873, rel=1e-10)
    exp, sin = (complexity(name, 1.0, kind="epsilon", eps=0.01) for name in ("exp", "sin"))
    assert exp.log == pytest.approx(1e4, rel=1e-12) and sin.log == pytest.approx(9999.30685282, rel=1e-12)
    assert exp.value == math.inf and "overflows" in exp.reason


@pytest.mark.parametrize("name", series.names())
@pytest.mark.parametrize("eps", [None, 0.3, 1e-3])
def test_every_complexity_is_within_its_error_of_the_plain_sum(name: str, eps: float | None):
    phi = series.get(name)
    for R, C_star in ((0.2, 0.7), (0.3, 2.1), (0.9, 1.0)):
        kind = "samples" if eps is None else "epsilon"
        found = complexity(phi, R, kind=kind, eps=eps, C_star=C_star)
        plain = math.log(plainly(phi.coefficients(400), R, eps, C_star))
        assert abs(found.log - plain) <= found.log_error + 1e-13  # the plain sum has roundings of its own
        assert found.log_error < 1e-12


def test_the_error_covers_sums_of_millions_of_terms():
    # sum (i+1)^1.75 R^i / i! lies between e^R and e^R (2 R)^1.75 (1 + ...): the log is R + 1.75 log R + O(1/R)
    for R in (1e5, 1e8):
        found = complexity("exp", R, C_star=1.0)
        assert abs(found.log - (R + 1.75 * math.log(R))) <= found.log_error + 10 / R
    assert complexity("exp", 1e8, C_star=1.0).log_error < 50


def test_the_value_is_infinite_beyond_the_radius_and_says_so():
    near, at = complexity("tanh", 1.57), complexity("tanh", math.pi / 2)
    assert math.isfinite(near.log) and near.reason == ""
    assert at.log == at.value == math.inf and "converges below 1.5708" in at.reason and "inf" in str(at)
    # C_eps needs C* R below the radius
    assert complexity("sigmoid", 0.3, kind="epsilon", eps=0.1, C_star=10.0).value < math.inf
    beyond = complexity("sigmoid", 0.4, kind="epsilon", eps=0.1, C_star=10.0)
    assert beyond.log == math.inf and "C* R = 4" in beyond.reason


def test_a_list_has_the_largest_complexity_of_its_members():
    alone = [complexity(name, 0.9) for name in ("sin", "tanh", "cos")]
    together = complexity(["sin", "tanh", "cos"], 0.9)
    assert together.log == max(one.log for one in alone) and together.series == series.tanh()


def test_a_direction_of_another_norm_counts_as_a_larger_radius():
    exact = complexity("exp", 3.0).log
    assert complexity(Additive([(0, [1.8, 2.4], "exp"), (1, [1.0, 0.0], "sin")]), 1.0).log == pytest.approx(exact)
    assert complexity(NVariable((0, 2), [[1.8], [2.4]], "exp"), 1.0).log == pytest.approx(exact)
    assert complexity(Additive([(0, [6.0], "tanh")]), 1.0).log == math.inf


def test_a_weight_above_one_is_part_of_its_function():
    betas = np.array([[[0.6], [0.8]]])
    one, three, less = (complexity(WholeSequence("sin", betas, [w]), 1.0).value for w in (1.0, -3.0, 0.2))
    assert three == pytest.approx(3 * one) and less == one


def test_a_factor_multiplies_both_complexities():
    for options in ({"kind": "samples"}, {"kind": "epsilon", "eps": 0.1}):
        one, four = (complexity(factor * series.erf(), 0.5, C_star=2.0, **options) for factor in (1, -4))
        assert four.value == pytest.approx(4 * one.value, rel=1e-12)


def test_at_radius_zero_only_the_constant_counts():
    assert complexity("exp", 0.0, C_star=3.0).value == pytest.approx(3)
    assert complexity("exp", 0.0, kind="epsilon", eps=0.1).value == pytest.approx(2)
    assert complexity("sin", 0.0).value == 0 == complexity("sin", 0.0, kind="epsilon", eps=0.1).value
    assert complexity(series.polynomial([0]), 5.0).value == 0


def test_the_terms_of_c_eps_add_up():
    found = complexity("erf", 1.3, kind="epsilon", eps=0.05, C_star=2.0)
    assert np.logaddexp(found.terms["powers"], found.terms["roots"]) == pytest.approx(found.log, rel=1e-12)
    assert "2106.00047" in references.cite(found)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "width"}, "kind must be one of 'samples', 'epsilon'"),
        ({"kind": "epsilon"}, "eps belongs to kind"),
        ({"eps": 0.1}, "eps belongs to kind"),
        ({"kind": "epsilon", "eps": 1.5}, "eps must lie strictly between 0 and 1"),
        ({"C_star": 0.0}, "C_star must be a finite number > 0"),
    ],
)
def test_bad_options_are_refused(options: dict, message: str):
    with pytest.raises(ValueError, match=message):
        complexity("exp", 1.0, **options)


def test_bad_functions_and_radii_are_refused():
    with pytest.raises(ValueError, match=r"analytic at 0.*kink"):
        complexity("relu", 1.0)
    with pytest.raises(ValueError, match="at least one series"):
        complexity([], 1.0)
    with pytest.raises(ValueError, match="R must be a finite number"):
        complexity("exp", math.inf)
