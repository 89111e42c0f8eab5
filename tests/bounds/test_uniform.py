"""Do the parts that uniform bounds share decide within rounding, and pay for what was tried?"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from ntkseq import bounds
from ntkseq.bounds import AttentionHead
from ntkseq.bounds.uniform import confidence, multiple

K, X = 0.5 * np.eye(6) + 0.5, np.eye(3)[None].repeat(6, 0)
HEAD = AttentionHead([0.5], [[1.0], [0.5], [0.25]], 0.1 * np.eye(3))
Y = np.array([1.0, -1.0, 1.0, 1.0, -1.0, -1.0])


def test_the_grid_of_norms_reaches_the_norm():
    rng = np.random.default_rng(0)
    for norm, B0 in zip(10.0 ** rng.uniform(-3, 3, 500), 10.0 ** rng.uniform(-3, 1, 500), strict=True):
        for size in (float(norm), float(B0) * int(rng.integers(1, 50))):  # a product that may be rounded down
            i = multiple(size, float(B0))
            assert Fraction(size) <= i * Fraction(float(B0)) and (
                i == 1 or Fraction(size) > (i - 1) * Fraction(float(B0))
            )
    assert math.isnan(multiple(math.nan, 1.0)) and multiple(math.inf, 1.0) == math.inf


def test_a_chance_below_the_range_of_floats_has_a_finite_price():
    assert confidence(1, 1, 5e-324, 100, ceiling=True) == pytest.approx(math.sqrt((math.log(2) + 744.4401) / 200))
    assert bounds.rademacher(K, Y, delta=5e-324).certified


SAID = {
    "rademacher": (bounds.rademacher(K, Y, kappa=1.0), ("kernel", "loss", "delta", "B0", "kappa")),
    "margin": (bounds.margin(K, Y), ("kernel", "loss", "delta", "B0", "gamma")),
    "rademacher_steps": (
        bounds.rademacher_steps(np.eye(12), Y.reshape(6, 1).repeat(2, 1), steps=[1]), ("kernel", "B0", "steps"),
    ),
    "meta_kernel": (bounds.meta_kernel(np.eye(6), Y.reshape(3, 2), kappa=1.0), ("kernel", "loss", "B0", "kappa")),
    "attention_norm": (bounds.attention_norm(HEAD, X, Y, Bx=1.0, loss="margin"), ("Bx", "loss", "gamma", "grid")),
    "attention_rank": (bounds.attention_rank(HEAD, X, Y, Bx=1.0, ranks=(1, 0)), ("Bx", "ranks", "architecture")),
    "attention_schatten": (bounds.attention_schatten(HEAD, X, Y, Bx=1.0), ("Bx", "powers", "delta")),
    "frozen_attention": (
        bounds.frozen_attention(np.eye(3), X, X, Y, loss="margin", radius=2.0), ("gamma", "radius", "delta"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SAID)
def test_every_choice_that_a_theorem_needs_beforehand_is_named(name: str):
    bound, chosen = SAID[name]
    said = next(a for a in bound.assumptions if a.name == "fixed beforehand")
    assert said.status == "declared" and "without these data" in said.statement
    assert all(word in said.statement for word in chosen), said.statement


def test_copies_of_examples_are_said():
    twice = np.concatenate([X[:1] * 0.3, X[:1]] * 2)[:, :, 0]
    again = bounds.rademacher(twice @ twice.T, [1.0, -1.0] * 2, reg=1.0)
    assert "2 of the examples repeat another" in str(again)
    assert "repeat" not in next(a for a in bounds.rademacher(K, Y).assumptions if a.name == "i.i.d.").evidence


def test_tokens_that_were_divided_by_their_norms_are_within_one():
    x = np.random.default_rng(0).standard_normal((200, 3, 3))
    x /= np.linalg.norm(x, axis=2, keepdims=True)
    assert (np.linalg.norm(x, axis=2) > 1).any()  # by a rounding, for which the bound pays
    bound = bounds.attention_norm(HEAD, x, np.resize(Y, 200), Bx=1.0)
    assert bound.certified and bound.constants.Bx > 1
    far = bounds.attention_norm(HEAD, x * (1 + 1e-13), np.resize(Y, 200), Bx=1.0)
    assert next(a.status for a in far.assumptions if a.name == "Bx") == "fails"


@pytest.mark.parametrize(
    ("share", "status"), [(1.0, "holds"), (1 - 2.0**-53, "holds"), (1 - 1e-13, "fails"), (1 - 4e-14, "unresolved")]
)
def test_a_radius_holds_a_norm_or_not_or_it_is_left_open(share: float, status: str):
    U = np.full((3, 3), 0.1)
    bound = bounds.frozen_attention(U, X, X, Y, radius=0.3 * share)
    assert next(a.status for a in bound.assumptions if a.name == "norm") == status
    assert bound.certified == (status == "holds")
