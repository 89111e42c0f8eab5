"""Tests of `ntkseq.norms.every_step`: the norm of a function with an output at every step, and the risk it bounds."""

from __future__ import annotations

import math

import jax
import numpy as np
import pytest

from ntkseq import concepts, kernels
from ntkseq.bounds.known_target import every_step_risk
from ntkseq.bounds.steps import rademacher_steps
from ntkseq.concepts import series
from ntkseq.norms import every_step as norm_of_steps
from ntkseq.norms.every_step import every_step_norm
from ntkseq.norms.power_series import expand
from ntkseq.norms.tokens import Tokens

PAPER = kernels.Recurrent.preset("allen-zhu-li")
ALL = kernels.Recurrent(sigma_w=math.sqrt(2), sigma_u=1.2, sigma_b=0.4, depth=2)
LINEAR = series.polynomial([0.0, 1.0])


def law(t, features=4):
    return Tokens.declared([1.0] * t, common=[1.0] + [0.0] * (t - 1), features=features)


def draw(rng, n, t, d=4):
    """Unit tokens after a common first one that is orthogonal to them."""
    x = np.zeros((n, t, d))
    x[..., :-1] = rng.normal(size=(n, t, d - 1))
    x /= np.linalg.norm(x, axis=-1, keepdims=True)
    x[:, 0] = np.eye(d)[-1]
    return x


def unit(rng, d=4):
    beta = np.append(rng.normal(size=d - 1), 0.0)
    return beta / np.linalg.norm(beta)


def points(K, first):
    K = np.asarray(K, np.float64)[:, :, first:, first:]
    n, m, t, s = K.shape
    return K.transpose(0, 2, 1, 3).reshape(n * t, m * s)


@pytest.mark.slow
@pytest.mark.parametrize("kernel", [PAPER, ALL])
@pytest.mark.parametrize("phi", [series.polynomial([0.5, 0.0, 1.0]), LINEAR, "sin", "exp"])
def test_it_is_above_the_norm_of_every_sample(x64, kernel, phi):
    rng = np.random.default_rng(0)
    for t, n in ((4, 40), (6, 24)):
        parts = [(i, j, 0, unit(rng) * rng.uniform(0.3, 1), phi) for j in range(2, t) for i in range(1, j + 1)]
        f, x = concepts.PositionToPosition(parts), draw(rng, n, t)
        y = np.asarray(jax.vmap(f)(x))[:, 2:, 0]
        bound = every_step_norm(f, kernel, Tokens.measured(x, rounded=True))
        measured = y.ravel() @ np.linalg.solve(points(kernels.every_step(kernel, x), 2), y.ravel())
        assert bound.certified and bound.value is not None
        assert measured <= bound.value < 200 * measured


@pytest.mark.slow
def test_it_is_not_far_above_with_many_samples_of_a_linear_target(x64):
    rng = np.random.default_rng(1)
    f = concepts.PositionToPosition([(1, j, 0, unit(rng), LINEAR) for j in (2, 3)])
    x = draw(rng, 150, 4)
    y = np.asarray(jax.vmap(f)(x))[:, 2:, 0]
    measured = y.ravel() @ np.linalg.solve(points(kernels.every_step(PAPER, x), 2), y.ravel())
    value = every_step_norm(f, PAPER, x).value
    assert value is not None and 0.3 * value < measured <= value


def k0(r):
    return (math.pi - math.acos(max(-1.0, min(1.0, r)))) / math.pi


def k1(r):
    return (math.sqrt(max(0.0, 1 - r * r)) + r * (math.pi - math.acos(max(-1.0, min(1.0, r))))) / math.pi


def loop(x, t, z, s, first=None):
    """K[t, s] of the papers' kernel by its recursion; `first` in place of the inner product of the first tokens."""
    start = max(0, t - s), max(0, s - t)
    power, other = sum(float(v @ v) for v in x[: start[0]]), sum(float(v @ v) for v in z[: start[1]])
    covariance = tangent = 0.0
    for a, b in zip(range(start[0], t + 1), range(start[1], s + 1), strict=True):
        inner = first if (a, b) == (0, 0) and first is not None else float(x[a] @ z[b])
        power, other = power + float(x[a] @ x[a]), other + float(z[b] @ z[b])
        rho = (covariance + inner) / math.sqrt(power * other)
        tangent = k0(rho) * (covariance + tangent)
        covariance = math.sqrt(power * other) * k1(rho)
    return tangent / 2


@pytest.mark.slow
def test_what_is_left_without_the_mark_of_the_first_token_is_a_kernel(x64):
    x, steps = draw(np.random.default_rng(2), 8, 5), range(2, 5)
    at = [(i, t) for i in range(8) for t in steps]
    whole = np.array([[loop(x[i], t, x[j], s) for j, s in at] for i, t in at])
    np.testing.assert_allclose(whole, points(kernels.every_step(PAPER, x), 2), rtol=1e-7, atol=1e-9)
    rest = np.array([[loop(x[i], t, x[j], s, first=0.0 if t == s else None) for j, s in at] for i, t in at])
    marked = whole - rest
    assert np.linalg.eigvalsh(rest)[0] > -1e-10 and np.linalg.eigvalsh(marked)[0] > -1e-10
    step = np.array([t for _, t in at])
    assert (marked[step[:, None] != step[None, :]] == 0).all() and np.diagonal(marked).min() > 0.01


def test_terms_are_the_coefficients_that_contain_the_first_token():
    b = [0.0, 0.7, -0.2, 0.4]
    f = concepts.PositionToPosition(
        [(1, 3, 0, [0.6, 0.8], series.polynomial(b)), (2, 3, 0, [0.0, 2.0], series.polynomial([0.3, 1.0]))]
    )
    found = every_step_norm(f, PAPER, law(4, features=2))
    bare = Tokens.declared([1.0] * 4, features=2)
    wanted = 0.0
    for position, beta, coefficients in ((1, 1.0, b), (2, 2.0, [0.0, 1.0])):
        with_first, without = (
            expand(PAPER, one, [[position]], degree=3).coefficients[0] for one in (law(4, features=2), bare)
        )
        for p in range(1, len(coefficients)):
            wanted += coefficients[p] ** 2 * beta ** (2 * p) / (with_first[p] - without[p])
    with_first, without = (expand(PAPER, one, [[1]], degree=1).coefficients[0] for one in (law(4, features=2), bare))
    wanted += 0.3**2 / (with_first[0] - without[0])
    assert found.value == pytest.approx(wanted, rel=1e-9) and found.constants.steps == (3,)
    assert found.constants.kernel_diagonal == pytest.approx([3.0])


def test_parts_that_share_step_and_token_add_their_norms_and_outputs_their_squares():
    one = concepts.PositionToPosition([(1, 2, 0, [0.6, 0.8], LINEAR)])
    twice = concepts.PositionToPosition([(1, 2, 0, [0.6, 0.8], LINEAR)] * 2)
    apart = concepts.PositionToPosition([(1, 2, o, [0.6, 0.8], LINEAR) for o in (0, 1)])
    value = [every_step_norm(f, PAPER, law(3, features=2)).value or 0.0 for f in (one, twice, apart)]
    assert value[1] == pytest.approx(4 * value[0]) and value[2] == pytest.approx(2 * value[0])


def test_what_comes_from_beyond_the_degree_is_an_upper_bound(monkeypatch):
    f = concepts.PositionToPosition([(2, 4, 0, [0.0, 0.5], "exp")])
    whole = every_step_norm(f, PAPER, law(5, features=2)).value
    for degree in (4, 8, 16):
        monkeypatch.setattr(norm_of_steps, "DEGREES", (degree,))
        early = every_step_norm(f, PAPER, law(5, features=2)).value
        # the exponential series to that degree
        cut = series.polynomial([1 / math.factorial(p) for p in range(degree + 1)])
        inside = every_step_norm(concepts.PositionToPosition([(2, 4, 0, [0.0, 0.5], cut)]), PAPER, law(5, features=2))
        assert whole is not None and early is not None and inside.value is not None
        assert inside.value <= whole * (1 + 1e-9) and whole <= early * (1 + 1e-9)


def test_without_a_proof_it_is_infinite_with_a_reason():
    f = concepts.PositionToPosition([(1, 2, 0, [1.0, 0.0], "geometric")])
    for bound in (every_step_norm(f, PAPER, law(3, features=2)), every_step_risk(f, PAPER, law(3, features=2), n=9)):
        assert bound.value == math.inf and not bound.certified and "not proven" in bound.reason
    # what the kernel holds of a late token hardly depends on the first one: the difference is rounding
    late = concepts.PositionToPosition([(399, 400, 0, [1.0, 0.0], LINEAR)])
    assert every_step_norm(late, PAPER, law(401, features=2)).value == math.inf


def test_a_first_token_that_varies_or_is_not_orthogonal_is_not_certified():
    f = concepts.PositionToPosition([(1, 2, 0, [1.0, 0.0, 0.0, 0.0], LINEAR)])
    x = draw(np.random.default_rng(0), 5, 3)
    found = every_step_norm(f, PAPER, x)
    assert {a.name: a.status for a in found.assumptions} == {"token norms": "unresolved", "first token": "holds"}
    assert every_step_norm(f, PAPER, Tokens.measured(x, rounded=True)).certified
    turned = x @ np.linalg.qr(np.random.default_rng(1).standard_normal((4, 4)))[0]  # orthogonal up to rounding
    turned[:, 0] = turned[0, 0]
    assert every_step_norm(f, PAPER, turned).assumptions[1].status == "unresolved"
    for position, value in (((slice(None), 0), [0.6, 0.0, 0.0, 0.8]), ((0, 0), [0.0, 0.0, 0.0, -1.0])):
        other = x.copy()
        other[position] = value
        bound = every_step_norm(f, PAPER, other)
        assert not bound.certified and any("first token" in one for one in bound.objections)
    bound = every_step_norm(f, PAPER, Tokens.declared([1.0] * 3, features=4))
    assert not bound.certified
    risk = every_step_risk(f, PAPER, Tokens.declared([1.0] * 3, features=4), n=10)
    assert not risk.certified


@pytest.mark.slow
def test_the_risk_bound_is_its_formula_and_above_the_measured_error(x64):
    rng = np.random.default_rng(3)
    f = concepts.PositionToPosition([(1, j, 0, 0.2 * unit(rng), LINEAR) for j in (2, 3)])
    x = draw(rng, 900, 4)
    n, y = 400, np.asarray(jax.vmap(f)(x))[:, 2:, 0]
    bound = every_step_risk(f, PAPER, Tokens.measured(x[:n], rounded=True), n=n, B0=0.1, delta=0.1, tried=2)
    size, kappa = math.sqrt(every_step_norm(f, PAPER, law(4)).value or 0.0), [math.sqrt(1.5), math.sqrt(3.0)]
    i = math.ceil(size / 0.1)
    assert bound.terms[0].value == pytest.approx(2 * i * 0.1 * np.mean(kappa) / math.sqrt(n), rel=1e-6)
    assert bound.terms[1].value == pytest.approx(math.sqrt(math.log(i * (i + 1) * 2 / 0.1) / (2 * n)), rel=1e-9)
    K = kernels.every_step(PAPER, x[:n])
    f_n = points(kernels.every_step(PAPER, x[n:], x[:n]), 2) @ np.linalg.solve(points(K, 2), y[:n].ravel())
    error = np.minimum(1, np.abs(f_n.reshape(-1, 2) - y[n:])).mean()
    assert bound.certified and bound.value is not None and error <= bound.value < 0.5
    own = rademacher_steps(np.asarray(K)[:, :, 2:, 2:], y[:n], B0=0.1, delta=0.1, tried=2, kappa=kappa)
    assert own.value is not None and error <= own.value <= bound.value  # y'K^-1 y is below the bound of the norm


def test_what_does_not_fit_is_refused():
    f = concepts.PositionToPosition([(1, 2, 0, [1.0, 0.0], LINEAR)])
    given = law(3, features=2)
    with pytest.raises(ValueError, match="PositionToPosition; got Additive"):
        every_step_norm(concepts.Additive([(1, [1.0, 0.0], LINEAR)]), PAPER, given)
    with pytest.raises(ValueError, match="token 0"):
        every_step_norm(concepts.PositionToPosition([(0, 2, 0, [1.0, 0.0], LINEAR)]), PAPER, given)
    with pytest.raises(ValueError, match=r"x must have 3 steps or more, .*; got 2"):
        every_step_norm(f, PAPER, law(2, features=2))
    with pytest.raises(ValueError, match="h0"):
        every_step_norm(f, kernels.Recurrent(h0="shared", sigma_h=1.0), given)
    for options, match in (
        ({"n": 0}, "n must be"),
        ({"n": 9, "delta": 0.0}, "delta must"),
        ({"n": 9, "B0": 0.0}, "B0"),
    ):
        with pytest.raises(ValueError, match=match):
            every_step_risk(f, PAPER, given, **options)


def test_rounding_never_makes_the_rest_of_the_first_token_larger_than_it_is():
    for t in (20, 60, 100, 120):
        laws = law(t + 1, features=2), Tokens.declared([1.0] * (t + 1), features=2)
        exact = [expand(PAPER, one, [[t - 1]], degree=1, real=np.longdouble).scaled[0, 1] for one in laws]
        left = exact[0] - exact[1]
        known = (
            2 * np.finfo(np.float64).eps * exact[0] / left
        )  # how well this difference is known: expand ends in float64
        f = concepts.PositionToPosition([(t - 1, t, 0, [1.0, 0.0], LINEAR)])
        value = every_step_norm(f, PAPER, laws[0]).value
        assert value is not None and value * left >= 1 + known
