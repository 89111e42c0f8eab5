"""Is the bound of the machine of a few examples that of exact arithmetic, and does it pay for its choice?"""

from __future__ import annotations

import itertools
import math

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
import scipy.stats

from ntkseq import gram, kernels
from ntkseq.bounds import compressed as module
from ntkseq.bounds import compression
from ntkseq.bounds.svm import hard_margin
from ntkseq.bounds.system import system
from ntkseq.grams.base import DenseGram
from tests.bounds import risk_worlds

pytestmark = pytest.mark.usefixtures("x64")


def problem(seed: int, n: int = 40, noise: float = 0.1, d: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Two classes that overlap, by the kernel exp(x.x') on the sphere."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, d))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return np.exp(x @ x.T), np.where(x[:, 0] + noise * rng.standard_normal(n) > 0, 1.0, -1.0)


def status(bound, name):
    return next(a.status for a in bound.assumptions if a.name == name)


def test_the_value_is_the_exact_tail_at_the_share_of_delta_that_is_left_to_one_set():
    K, y = problem(0)
    bound = compression(K, y, reg=0.5, members=[3, 30, 7], delta=0.1, tried=2)
    c = bound.constants
    assert c.members == (3, 7, 30) and c.size == 3
    share = 0.1 / (2 * 4 * 5 * math.comb(40, 3))
    expected = scipy.stats.beta.isf(share, c.errors + 1, 40 - 3 - c.errors)
    assert bound.value == pytest.approx(expected, rel=1e-9) and bound.certified
    assert bound.value < next(t.value for t in bound.terms if t.name == "Hoeffding form")


def test_the_errors_are_those_of_the_machine_of_the_members_alone():
    K, y = problem(1)
    members = [2, 5, 11, 20]
    bound = compression(K, y, reg=1.0, members=members)
    own, signs = K[np.ix_(members, members)] + np.eye(4), y[members]
    L = np.linalg.cholesky(signs[:, None] * own * signs)
    a, _ = scipy.optimize.nnls(L.T, np.linalg.solve(L, np.ones(4)))  # max 2 1'a - a'Qa over a >= 0
    rest = np.setdiff1d(np.arange(40), members)
    wrong = y[rest] * (K[np.ix_(rest, members)] @ (signs * a)) <= 0
    assert bound.constants.errors == wrong.sum()
    np.testing.assert_allclose(np.asarray(bound.constants.dual), signs * a, rtol=1e-9)


def test_without_errors_it_is_the_consistent_form():
    y = np.where(np.arange(60) < 30, 1.0, -1.0)
    bound = compression(np.outer(y, y), y, reg=0.1)
    assert bound.constants.size == 1 and bound.constants.errors == 0
    assert bound.value == pytest.approx(1 - (0.05 / (6 * 60)) ** (1 / 59), rel=1e-9)


def test_the_search_says_at_least_as_much_as_the_support_vectors():
    K, y = problem(2, 60)
    said = {how: compression(K, y, reg=0.1, members=how) for how in ("support", "greedy", "best")}
    assert said["best"].value == min(said["support"].value, said["greedy"].value)
    assert said["greedy"].value < 0.5 < said["support"].value
    assert not said["greedy"].vacuous


def test_the_support_vectors_alone_make_the_machine_of_all_examples():
    K, y = problem(3, 40, noise=0.0)
    bound = compression(K, y, members="support")  # hard margin: no example is on the wrong side
    assert bound.certified and bound.constants.errors == 0 and bound.constants.size < 40


def test_the_value_does_not_change_with_the_order_of_the_examples():
    K, y = problem(4)
    order = np.random.default_rng(0).permutation(40)
    for how in ("support", "greedy"):
        first = compression(K, y, reg=0.3, members=how)
        second = compression(K[np.ix_(order, order)], y[order], reg=0.3, members=how)
        assert first.value == second.value
        assert first.constants.members == tuple(sorted(int(order[i]) for i in second.constants.members))


def test_where_rounding_hides_a_sign_the_example_counts_as_wrong():
    K, y = problem(5)
    errors = [
        compression(DenseGram(jnp.asarray(K), rounding=r), y, reg=0.5, members=[0, 1, 2]).constants.errors
        for r in (0.0, 1e-6, 0.05, 0.3)
    ]
    assert errors[0] == errors[1] < errors[2] < errors[3]


def test_no_matrix_within_the_rounding_has_more_errors_than_are_counted():
    K, y = problem(6, 150)
    rounding, members = 0.04, np.array([0, 1, 2, 9])
    bound = compression(DenseGram(jnp.asarray(K), rounding=rounding), y, reg=5.0, members=members)
    direction = np.zeros(150)
    direction[members] = np.asarray(bound.constants.dual) / np.linalg.norm(bound.constants.dual)
    plain, wrong = compression(K, y, reg=5.0, members=members).constants.errors, 0
    for j in np.setdiff1d(np.arange(150), members):
        move = np.outer(np.eye(150)[j], direction)
        other = K - y[j] * rounding * (move + move.T)  # of spectral norm `rounding`: it turns example j against f
        dual = hard_margin(other[np.ix_(members, members)], y[members], reg=5.0).dual
        wrong += bool(y[j] * (other[j, members] @ dual) <= 0)
    assert plain < wrong <= bound.constants.errors < 146


def best_pair(seed: int) -> float:
    """The least value over all pairs of examples whose labels are drawn apart from inputs."""
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((16, 3)), rng.choice([-1.0, 1.0], 16)
    setting = module._Setting(system(np.exp(x @ x.T / 3), y, signs=True), 0.5, math.log(0.2))
    return min(module._machine(setting, np.array(pair)).value for pair in itertools.combinations(range(16), 2))


@pytest.mark.slow
def test_labels_without_sense_are_never_said_to_be_learned_though_every_pair_is_tried(monkeypatch):
    assert min(best_pair(seed) for seed in range(6)) >= 0.5, "every machine errs half of the time"
    monkeypatch.setattr(module, "log_choose", lambda n, d: 0.0)
    assert min(best_pair(seed) for seed in range(4)) < 0.5, "a bound that does not pay for its choice would be wrong"


@pytest.mark.slow
def test_no_certified_bound_is_below_the_exact_risk_in_many_worlds():
    played = [risk_worlds.compressed(np.random.default_rng([11, case])) for case in range(300)]
    assert [case for case in played if case.violated] == []
    assert np.mean([case.bound.certified for case in played]) > 0.9
    assert max(case.used for case in played) > 0.5, "none of the worlds is near to its bound"


def test_a_machine_that_is_not_known_to_exist_has_a_reason():
    bound = compression(np.ones((4, 4)), [1.0, -1.0, 1.0, -1.0], members=[0, 1])
    assert math.isnan(bound.value) and "reg > 0" in bound.reason and not bound.certified
    assert "no value" in bound.verdict


def test_all_examples_as_members_leave_none_to_test_on():
    K, y = problem(7, 6)
    bound = compression(K, y, reg=1.0, members=range(6))
    assert bound.value == 1.0 and bound.vacuous


@pytest.mark.slow
def test_an_array_of_unknown_rounding_and_a_matrix_that_is_no_kernel_certify_nothing():
    x = np.random.default_rng(0).standard_normal((10, 3)).astype(np.float32)
    y = np.where(x[:, 0] > 0, 1.0, -1.0)
    K = gram(kernels.Dense(), x)
    assert compression(K, y, reg=0.1).certified
    with pytest.warns(UserWarning, match="unknown rounding"):
        bare = compression(jnp.array(np.asarray(K), jnp.float32), y, reg=0.1)
    assert status(bare, "rounding") == "unchecked" and not bare.certified
    wrong = compression([[1.0, 2.0], [2.0, 1.0]], [1.0, 1.0], reg=1.5, members=[0])
    assert status(wrong, "kernel") == "fails" and not wrong.certified


@pytest.mark.parametrize("members", ["all", [0, 0], [0.5], [-1], [4], [[0, 1]], None])
def test_members_that_are_none_are_refused(members):
    with pytest.raises(ValueError, match="members"):
        compression(np.eye(4), [1.0, -1.0, 1.0, 1.0], members=members)


def test_labels_that_are_no_signs_are_refused():
    with pytest.raises(ValueError, match=r"-1 and \+1"):
        compression(np.eye(2), [0.0, 1.0])
