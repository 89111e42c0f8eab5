"""Is the localised complexity above that of the class, and are tails of the law above what the sample shows?"""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq.bounds import local as module
from ntkseq.bounds import local_rademacher, rademacher
from ntkseq.bounds.system import system
from ntkseq.grams.base import DenseGram
from tests.bounds import risk_worlds

pytestmark = pytest.mark.usefixtures("x64")


def spiked(n: int, total: int = 4000) -> np.ndarray:
    """Examples that share 0.95 of their square and have one direction each for the rest."""
    return 0.95 + 0.05 * np.eye(n, total)[:, :n]


def term(bound, name):
    return next(t.value for t in bound.terms if t.name == name)


def status(bound, name):
    return next(a.status for a in bound.assumptions if a.name == name)


def test_the_terms_are_those_of_the_page():
    n, delta = 400, 0.1
    K, y = spiked(n), np.full(n, 0.2)
    bound = local_rademacher(K, y, kappa=1.0, B0=0.5, delta=delta, tried=2, loss="squared")
    c, log = bound.constants, math.log(6 * 2 / delta)
    spread = math.sqrt(1 - 0.95**2 + math.sqrt(log / n))
    tail = 0.05 * (n - 1) / n + (spread + math.sqrt((log + math.log(2)) / 2)) / math.sqrt(n)
    assert c.h == 1 and c.i == 1 and c.tail == pytest.approx(tail, rel=1e-6)
    wanted = 0.04 + c.norm**2 * (spread + math.sqrt(log / 2)) / math.sqrt(n)
    assert wanted <= c.r < math.sqrt(2) * wanted
    j = round(2 * math.log2(0.25 / c.r))
    assert c.r == pytest.approx(0.25 * 2 ** (-j / 2))
    assert term(bound, "local capacity") == pytest.approx(
        4 * (math.sqrt(c.r / n) + 0.5 * math.sqrt(tail / n)), rel=1e-6
    )
    union = 2 * 1 * 2 * (j + 1) * (j + 2) * 2 / delta
    assert term(bound, "confidence") == pytest.approx(math.sqrt(math.log(union) / (2 * n)))
    assert bound.certified


def test_it_is_below_the_global_bound_where_few_eigenvalues_hold_the_trace_and_never_far_above():
    n = 600
    y = np.full(n, 0.2)
    local, whole = (bound(spiked(n), y, kappa=1.0, B0=2.0) for bound in (local_rademacher, rademacher))
    assert local.certified and term(local, "local capacity") < 0.6 * term(whole, "capacity")
    flat, whole = (bound(np.eye(n), y / 10, kappa=1.0, B0=2.0) for bound in (local_rademacher, rademacher))
    assert flat.constants.h == 0 and term(flat, "local capacity") == pytest.approx(term(whole, "capacity"), rel=1e-9)
    assert flat.value < whole.value + 0.1


def test_the_tails_of_the_law_are_below_their_estimates_in_every_sample():
    """Features of which the law is known: the eigenvalues of their second moments, and sup E g^2 - mean g^2."""
    used = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        atoms = rng.standard_normal((40, 6)) * 2.0 ** -np.arange(6)
        atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
        phi = atoms[rng.integers(40, size=int(rng.choice([10, 100])))]
        n, T = len(phi), atoms.T @ atoms / 40
        law = np.linalg.eigvalsh(T)[::-1]
        tails, moved = module._tails(system(phi @ phi.T, np.zeros(n)), 1.0, -math.log(0.05))
        exact = np.array([law[h:].sum() for h in range(n)])
        assert (exact <= tails).all()
        gap = np.linalg.eigvalsh(T - phi.T @ phi / n)[-1]
        assert gap <= moved
        used.append(gap / moved)
    assert max(used) > 0.15


def test_the_complexity_of_the_class_is_below_what_is_counted():
    """E sup over |f| <= B, E f^2 <= r of sum s_i f(x_i)/n, by a sup that is at least the true one's lower estimate."""
    rng = np.random.default_rng(0)
    atoms = rng.standard_normal((30, 4)) * 2.0 ** -np.arange(4)
    T = atoms.T @ atoms / 30
    law = np.linalg.eigvalsh(T)[::-1]
    n, B, r = 50, 3.0, 0.2
    found = []
    for _ in range(200):
        phi, signs = atoms[rng.integers(30, size=n)], rng.choice([-1.0, 1.0], n)
        v = phi.T @ signs / n
        # a feasible f of the ellipsoid inside the intersection: f'(T/r + 1/B^2) f <= 1
        found.append(math.sqrt(v @ np.linalg.solve(T / r + np.eye(4) / B**2, v)))
    counted = min(math.sqrt(r * h / n) + B * math.sqrt(law[h:].sum() / n) for h in range(5))
    assert 0.4 * counted < np.mean(found) < counted


def test_the_fixed_point_is_one():
    K = np.diag([5.0, 2.0, 1.0, 0.1, 0.1])
    known, B = system(K, np.zeros(5)), 0.7
    star = module._fixed_point(known, B)
    assert star**2 == pytest.approx(2 / 5 * np.sum(np.minimum(star, B**2 * np.diagonal(K) / 5)), rel=1e-12)


def test_the_rounding_of_the_gram_raises_tail_and_size():
    K, y = spiked(200), np.full(200, 0.2)
    plain = local_rademacher(K, y, kappa=1.01, reg=0.1, B0=0.1)
    held = local_rademacher(DenseGram(jnp.asarray(K), rounding=5e-3), y, kappa=1.01, reg=0.1, B0=0.1)
    assert held.value > plain.value and held.constants.norm > plain.constants.norm
    first, second = (module._tails(system(one, y), 1.01, 3.0)[0][1]
                     for one in (K, DenseGram(jnp.asarray(K), rounding=5e-3)))  # fmt: skip
    assert second > first + 4e-3


@pytest.mark.slow
def test_no_certified_bound_is_below_the_exact_risk_in_many_worlds():
    played = [risk_worlds.fitted(np.random.default_rng([14, case]), "local") for case in range(400)]
    assert [case for case in played if case.violated] == []
    assert np.mean([case.bound.certified for case in played]) > 0.9
    assert np.mean([case.bound.vacuous for case in played]) < 0.9


def test_no_certified_bound_is_below_the_exact_risk():
    assert not any(risk_worlds.fitted(np.random.default_rng([15, case]), "local").violated for case in range(15))


def test_what_the_data_contradict_fails():
    K, y = spiked(30), np.full(30, 0.2)
    assert status(local_rademacher(K, y, kappa=0.9), "kappa") == "fails"
    with pytest.warns(UserWarning, match="unknown rounding"):
        bare = local_rademacher(jnp.asarray(K, jnp.float32), y, kappa=1.1)
    assert status(bare, "rounding") == "unchecked" and not bare.certified
    singular = local_rademacher(np.ones((3, 3)), [1.0, -1.0, 0.0], kappa=1.0)
    assert math.isnan(singular.value) and "reg > 0" in singular.reason and not singular.certified


def test_a_single_example_is_answered():
    bound = local_rademacher([[1.0]], [0.5], kappa=1.0)
    assert bound.certified and bound.vacuous and bound.constants.h == 0


@pytest.mark.parametrize(("options", "words"), [({"kappa": 0.0}, "kappa"), ({"B0": 0.0}, "B0"), ({"reg": -1.0}, "reg"),
                                                ({"loss": "hinge"}, "loss"), ({"delta": 0.0}, "delta")])  # fmt: skip
def test_options_outside_their_range_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        local_rademacher(spiked(4), np.ones(4), **({"kappa": 1.0} | options))
