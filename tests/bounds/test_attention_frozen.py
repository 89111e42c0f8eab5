"""Does the complexity of frozen attention hold, and what is asked of the matrices?"""

from __future__ import annotations

import math

import numpy as np
import pytest

from ntkseq.bounds.attention_frozen import frozen_attention
from ntkseq.spectra import effective_ranks


def softmax(scores):
    exps = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return exps / exps.sum(axis=-1, keepdims=True)


def made(n=30, t=4, d=3, seed=0):
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(n, t, d))
    return generator.normal(size=(t, d)), softmax(generator.normal(size=(n, t, t))), x, generator.normal(size=n)


def term(bound, name):
    return next(t for t in bound.terms if t.name == name)


def test_the_terms_equal_their_loops():
    U, A, x, y = made()
    found = frozen_attention(U, A, x, y, radius=5.0, delta=0.1)
    f = [sum(U[a] @ (A[i, a] @ x[i]) for a in range(4)) for i in range(30)]
    assert term(found, "training loss").value == pytest.approx(np.mean(np.minimum(1, np.abs(f - y))), rel=1e-10)
    energy = sum(np.linalg.norm(A[i] @ x[i]) ** 2 for i in range(30))
    assert found.constants.energy == pytest.approx(energy, rel=1e-10)
    assert term(found, "capacity").value == pytest.approx(2 * 5 / 30 * math.sqrt(energy), rel=1e-10)
    assert term(found, "confidence").value == pytest.approx(3 * math.sqrt(math.log(20) / 60), rel=1e-12)
    ranks = [np.linalg.norm(a) ** 2 / np.linalg.norm(a, 2) ** 2 for a in A]
    by_rank = sum(
        r * np.linalg.norm(a, 2) ** 2 * np.linalg.norm(b, 2) ** 2 for r, a, b in zip(ranks, A, x, strict=True)
    )
    assert found.constants.energy_by_rank == pytest.approx(by_rank, rel=1e-10) and by_rank >= energy
    np.testing.assert_allclose(found.constants.stable_rank, np.mean(effective_ranks(A, "stable")), rtol=1e-5)
    assert found.constants.stable_rank_error == pytest.approx(np.std(ranks, ddof=1) / math.sqrt(30), rel=1e-10)
    assert found.certified and found.provenance == "derived"


def test_the_rademacher_complexity_by_monte_carlo_is_not_above_the_bound():
    """The supremum over |U|_F <= B is B |sum_i s_i A_i x_i|_F / n, exactly."""
    U, A, x, y = made(n=50)
    found = frozen_attention(U, A, x, y, radius=1.0)
    signs = np.random.default_rng(1).choice([-1.0, 1.0], size=(4000, 50))
    sups = np.linalg.norm((signs @ (A @ x).reshape(50, -1)), axis=1) / 50
    mean, error = sups.mean(), sups.std() / math.sqrt(4000)
    assert mean - 3 * error <= found.constants.complexity
    assert mean + 3 * error >= 0.9 * found.constants.complexity  # and it is not far from it


def test_low_rank_attention_has_a_smaller_bound_by_rank():
    U, _, x, y = made()
    uniform, identity = np.full((30, 4, 4), 0.25), np.broadcast_to(np.eye(4), (30, 4, 4))
    low, high = (frozen_attention(U, A, x, y) for A in (uniform, identity))
    assert low.constants.stable_rank == pytest.approx(1.0) and high.constants.stable_rank == pytest.approx(4.0)
    assert term(high, "capacity by rank").value == pytest.approx(2 * term(low, "capacity by rank").value)


def test_norms_and_examples_change_it_as_they_should():
    U, A, x, y = made()
    base = frozen_attention(U, A, x, y)
    assert frozen_attention(3 * U, A, x, y).constants.complexity > 2 * base.constants.complexity
    four = frozen_attention(U, np.tile(A, (4, 1, 1)), np.tile(x, (4, 1, 1)), np.tile(y, 4))
    assert four.constants.complexity == pytest.approx(base.constants.complexity / 2)
    order = np.random.default_rng(0).permutation(30)
    assert frozen_attention(U, A[order], x[order], y[order]).value == pytest.approx(base.value, rel=1e-12)
    assert math.exp(-base.constants.log_union) < 1


def test_what_stands_behind_a_sequence_is_never_looked_at():
    U, A, x, y = made(n=3)
    lengths = np.array([4, 2, 1])
    padded, broken = x.copy(), A.copy()
    for i, n in enumerate(lengths):
        padded[i, n:] = np.nan
        broken[i, n:] = broken[i, :, n:] = np.nan
    found = frozen_attention(U, broken, padded, y, lengths=lengths)
    f = [sum(U[a] @ sum(A[i, a, c] * x[i, c] for c in range(n)) for a in range(n)) for i, n in enumerate(lengths)]
    assert term(found, "training loss").value == pytest.approx(np.mean(np.minimum(1, np.abs(f - y))), rel=1e-10)


def test_hidden_rows_and_rows_that_are_no_probabilities_are_said():
    U, A, x, y = made()
    good = frozen_attention(U, A, x, y).constants
    assert good.row_error < 1e-12 and not good.negative and good.hidden_rows == 0
    A[3, 2] = 0.0
    A[4] *= -2.0
    found = frozen_attention(U, A, x, y)
    assert found.certified  # the proof asks for no probabilities
    assert found.constants.hidden_rows == 1 and found.constants.negative
    assert found.constants.row_error == pytest.approx(3.0)


def test_one_token_and_a_zero_read_out_are_no_special_case():
    U, A, x, y = made(t=1)
    assert frozen_attention(U, A, x, y).constants.stable_rank == 1.0
    zero = frozen_attention(0 * U, 0 * A, x, y)
    assert zero.constants.complexity == 0.0 and zero.constants.stable_rank == 0.0


def test_a_read_out_beyond_its_radius_is_no_bound():
    U, A, x, y = made()
    found = frozen_attention(U, A, x, y, radius=0.5 * float(np.linalg.norm(U)))
    assert not found.certified and "norm: fails" in found.verdict
    assert frozen_attention(U, A, x, y, radius=float(np.linalg.norm(U))).certified


def test_bad_input_is_turned_away():
    U, A, x, y = made()
    for arguments, options, message in (
        ((U, A[:, :3], x, y), {}, r"A must have shape \(30, 4, 4\)"),
        ((U, A[:, None], x, y), {}, "One head at a time"),
        ((U[:, :2], A, x, y), {}, r"U must have shape \(4, 3\)"),
        ((U, A, x, y[:3]), {}, "y must have shape"),
        ((U, np.where(np.arange(30)[:, None, None] == 7, np.nan, A), x, y), {}, "the first is example 7"),
        ((U, A, x, y), {"grid": 0.5}, "grid must be a ratio"),
        ((U, A, x, y), {"loss": "margin"}, "must hold -1 and"),
        ((U, A, x, y), {"radius": -1.0}, "radius must be"),
        ((U * np.nan, A, x, y), {}, "U must be finite"),
    ):
        with pytest.raises(ValueError, match=message):
            frozen_attention(*arguments, **options)
