"""Is the power-series norm of a target never below y'K^-1 y, and the golden number where one is known?"""

from __future__ import annotations

import math

import jax
import numpy as np
import pytest

from ntkseq import concepts, kernels
from ntkseq.concepts import series
from ntkseq.norms.power_series import expand
from ntkseq.norms.rkhs import rkhs_norm
from ntkseq.norms.tokens import Tokens

PAPER = kernels.Recurrent.preset("allen-zhu-li")
LAW = Tokens.declared([1.0] * 4, common=[1.0, 0, 0, 0], features=3)


def sphere(rng, *shape):
    x = rng.normal(size=shape)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def inputs(rng, n, t, d, first="common", bias=False):
    x = sphere(rng, n, t, d)
    if bias:
        x[:, :, -1] = 0.5
        x[:, :, :-1] = sphere(rng, n, t, d - 1) * math.sqrt(0.75)
    if first == "common":
        x[:, 0] = x[0, 0]
    return x


def number(bound):
    """The value, which is not None here."""
    assert bound.value is not None
    return bound.value


def random_target(rng, t, d, low):
    """One of the classes, with a few positions from `low` on."""
    phi = [series.exp(), series.sin(), series.cos(), series.polynomial([0.3, -1, 0.5, 0.2]), series.erf()]
    pick = lambda: phi[int(rng.integers(len(phi)))]  # noqa: E731
    kind = int(rng.integers(4))
    positions = [int(p) for p in rng.permutation(np.arange(low, t))[: 1 + kind % 2]]
    if kind < 2 or len(positions) == 1:
        chosen = [*positions, positions[0]] if rng.random() < 0.3 else positions  # a position may occur twice
        return concepts.Additive([(p, rng.uniform(0.3, 1.2) * sphere(rng, d), pick()) for p in chosen])
    if kind == 2:
        return concepts.WholeSequence(
            [pick(), pick()], 0.5 * sphere(rng, 2, 2, d), weights=[0.7, -0.4], start=int(rng.integers(low, t - 1))
        )
    return concepts.NVariable(positions, rng.uniform(0.3, 0.9) * sphere(rng, 2, d), pick())


def labels(target, x):
    """The target at every input, in plain NumPy."""
    if isinstance(target, concepts.Additive):
        return sum(phi(x[:, p] @ beta) for p, beta, phi in target.parts)
    terms = target.parts if isinstance(target, concepts.WholeSequence) else [(1.0, target)]
    return sum(w * f.series(sum(x[:, p] @ b for p, b in f.blocks)) for w, f in terms)


def never_below(seed, n=60):
    """A random case: kernel, inputs, target; returns y'K^-1 y and its bound."""
    rng = np.random.default_rng(seed)
    t, d = 4, 4  # of one size, so that a kernel compiles once
    bias, first = bool(rng.random() < 0.3), "common" if rng.random() < 0.5 else "free"
    x = inputs(rng, n, t, d, first, bias)
    kernel = [
        PAPER,
        kernels.Recurrent.preset("panigrahi-goyal"),
        kernels.Recurrent(sigma_w=1.3, sigma_b=0.4, sigma_u=1.2),
        kernels.Recurrent(sigma_w=1.3, sigma_b=0.4, depth=2),
        kernels.Recurrent(sigma_w=1.4, kind="nngp"),
    ][int(rng.integers(5))]
    # with a common first token its part of the target is a constant, which the norm counts as one
    target = random_target(rng, t, d, low=0 if first == "free" else 1)
    K = np.asarray(kernel(x), np.float64)
    y = labels(target, x)
    return float(y @ np.linalg.solve(K, y)), rkhs_norm(target, kernel, Tokens.measured(x, rounded=True))


@pytest.mark.slow
def test_the_interpolant_never_has_a_larger_norm_than_the_bound(x64):
    for seed in range(12):
        found, bound = never_below(seed)
        assert bound.certified
        assert found <= number(bound), seed


@pytest.mark.slow
def test_the_interpolant_never_has_a_larger_norm_than_the_bound_in_many_cases(x64):
    ratios = []
    for seed in range(1000, 1300):
        found, bound = never_below(seed)
        ratios.append(found / number(bound))
    assert max(ratios) <= 1
    assert np.median(ratios) > 0.02  # and the bound is not empty


def test_norms_are_those_of_the_theory_page(x64):
    rng = np.random.default_rng(0)
    for t, expected in ((3, 8.85), (6, 7.19), (12, 22.5)):  # exp of the second token
        law = Tokens.declared([1.0] * t, common=[1.0] + [0.0] * (t - 1), features=5)
        assert rkhs_norm(concepts.Additive([(1, sphere(rng, 5), "exp")]), PAPER, law).value == pytest.approx(
            expected, rel=2e-3
        )
    for t, expected in ((3, 11.05), (6, 23.8)):
        law = Tokens.declared([1.0] * t, common=[1.0] + [0.0] * (t - 1), features=5)
        target = concepts.NVariable((1, t - 1), 0.7 * sphere(rng, 2, 5), "sin")
        assert rkhs_norm(target, PAPER, law).value == pytest.approx(expected, rel=2e-3)


def test_one_monomial_has_the_norm_that_the_coefficient_gives():
    a = expand(PAPER, LAW, [[2]], degree=3).coefficients[0]
    for p in range(4):
        phi = series.polynomial([0.0] * p + [1.5])
        bound = rkhs_norm(concepts.Additive([(2, [0.0, 2.0, 0.0], phi)]), PAPER, LAW)
        assert bound.value == pytest.approx(1.5**2 * 4.0**p / a[p], rel=1e-9)
        assert number(bound) >= 1.5**2 * 4.0**p / a[p]


def test_functions_of_two_tokens_follow_the_plain_double_sum():
    expansion = expand(PAPER, LAW, [[1, 3]], degree=3)
    a = dict(zip(map(tuple, expansion.exponents.tolist()), expansion.coefficients[0], strict=True))
    b, beta = [0.2, 1.0, -0.5, 0.25], (0.6, 0.9)
    expected = sum(
        (b[i + j] * math.comb(i + j, i)) ** 2 * beta[0] ** (2 * i) * beta[1] ** (2 * j) / a[i, j]
        for i in range(4)
        for j in range(4 - i)
    )
    target = concepts.NVariable((3, 1), [[beta[1], 0, 0], [0, beta[0], 0]], series.polynomial(b))
    bound = rkhs_norm(target, PAPER, LAW)
    assert bound.value == pytest.approx(expected, rel=1e-9)
    assert sum(bound.constants.by_degree) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("degree", [1, 3, 8])
def test_what_lies_beyond_the_degree_is_never_understated(degree):
    for target in (
        concepts.Additive([(1, [0.9, 0, 0], "exp"), (3, [0.5, 0.5, 0], "sin")]),
        concepts.NVariable((1, 3), [[0.5, 0, 0], [0, 0.5, 0]], "exp"),
        concepts.Additive([(3, [0.15, 0, 0], "geometric")]),
    ):
        full = rkhs_norm(target, PAPER, LAW)
        cut = rkhs_norm(target, PAPER, LAW, degree=degree)
        assert cut.certified
        missing = sum(full.constants.by_degree[degree + 1 :])
        assert cut.constants.beyond >= missing > 0
        assert number(cut) >= number(full) * (1 - 1e-12)


def test_equal_positions_add_up_before_they_are_squared():
    one = number(rkhs_norm(concepts.Additive([(1, [1.0, 0, 0], "sin")]), PAPER, LAW))
    two = rkhs_norm(concepts.Additive([(1, [1.0, 0, 0], "sin"), (1, [1.0, 0, 0], "sin")]), PAPER, LAW).value
    apart = rkhs_norm(concepts.Additive([(1, [1.0, 0, 0], "sin"), (3, [1.0, 0, 0], "sin")]), PAPER, LAW)
    other = number(rkhs_norm(concepts.Additive([(3, [1.0, 0, 0], "sin")]), PAPER, LAW))
    assert two == pytest.approx(4 * one, rel=1e-6)
    assert apart.value == pytest.approx(one + other, rel=1e-6)


@pytest.mark.slow
def test_the_shared_part_is_kept_where_the_target_reads_it(x64):
    x = inputs(np.random.default_rng(5), 40, 3, 4, bias=True)
    target = concepts.Additive([(1, [0.5, 0.2, 0.0, 0.6], "exp")])
    bound = rkhs_norm(target, PAPER, x)
    y = np.asarray(jax.vmap(target)(x))
    assert "not split off at positions [1]" in str(bound)
    assert y @ np.linalg.solve(np.asarray(PAPER(x)), y) <= number(bound)
    free = rkhs_norm(concepts.Additive([(1, [0.5, 0.2, 0.0, 0.0], "exp")]), PAPER, x)
    assert "not split off" not in str(free)


def test_a_constant_target_needs_only_the_constant():
    bound = rkhs_norm(concepts.Additive([(1, [1.0, 0, 0], series.polynomial([2.0]))]), PAPER, LAW)
    a0 = expand(PAPER, LAW, [[1]], degree=1).coefficients[0, 0]
    assert bound.value == pytest.approx(4 / a0) and bound.constants.by_degree == (pytest.approx(4 / a0),)


def test_varying_token_norms_leave_an_estimate_and_say_so():
    x = inputs(np.random.default_rng(1), 30, 4, 3)
    x[:, 2] *= np.linspace(0.8, 1.2, 30)[:, None]
    bound = rkhs_norm(concepts.Additive([(1, [1.0, 0, 0], "sin")]), PAPER, x)
    assert not bound.certified and "token norms: fails" in bound.verdict and "estimate" in bound.verdict


def test_a_series_that_falls_too_slowly_has_no_number_and_the_reason():
    bound = rkhs_norm(concepts.Additive([(1, [1.0, 0, 0], "geometric")]), PAPER, LAW)
    assert bound.value == math.inf and not bound.certified and bound.vacuous
    assert "not proven to fall faster" in bound.verdict


def test_a_monomial_that_the_kernel_does_not_hold_has_no_number():
    # one step, U trained: a_3 = 0
    kernel = kernels.Recurrent(sigma_w=0.0, train="U", input_scale="none")
    law = Tokens.declared([1.0], features=2)
    bound = rkhs_norm(concepts.Additive([(0, [1.0, 0.0], series.polynomial([0, 0, 0, 1.0]))]), kernel, law)
    assert bound.value == math.inf and "zero or underflows" in bound.verdict


def test_targets_that_do_not_fit_are_refused():
    x = inputs(np.random.default_rng(1), 5, 4, 3)
    for target, match in (
        (concepts.Additive([(7, [1.0, 0, 0], "sin")]), "position 7, counted from 0; the sequences have 4"),
        (concepts.Additive([(1, [1.0, 0], "sin")]), "x must have tokens of 2 features, as the target reads; got 3"),
        (concepts.PositionToPosition([(0, 2, 0, [1.0, 0.0, 0.0], "exp")]), "must be a concepts.Additive"),
        (np.sin, "must be a concepts.Additive"),
    ):
        with pytest.raises(ValueError, match=match):
            rkhs_norm(target, PAPER, x)
    with pytest.raises(ValueError, match="must have the relu activation"):
        rkhs_norm(concepts.Additive([(1, [1.0, 0, 0], "sin")]), kernels.Recurrent(activation="erf"), x)
