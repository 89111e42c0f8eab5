"""Do the published bounds on transformers show no number of their own, only sizes beside?"""

from __future__ import annotations

import math

import numpy as np
import pytest

from ntkseq import references
from ntkseq.bounds.attention_head import AttentionHead
from ntkseq.bounds.attention_theorems import edelman2022, sakai_imaizumi2026, trauger_tewari2024, truong2024

HEAD = AttentionHead([1.0, -2.0], [[3.0, 0.0], [4.0, 1.0]], [[2.0, 0.0], [0.0, 0.0]])


def reports():
    return (
        edelman2022(HEAD, 1000, 8, Bx=2.0),
        trauger_tewari2024(HEAD, 1000),
        truong2024(HEAD, 1000),
        sakai_imaizumi2026(HEAD, 1000),
    )


def named(bound, name):
    return next(term for term in bound.terms if term.name == name)


def test_no_paper_shows_a_number_or_is_certified():
    for bound in reports():
        assert bound.value is None and not bound.certified and bound.vacuous and bound.provenance == "recalled"
        assert "<=" not in bound.verdict and "rate only" in str(bound)
        assert all(term.value is None for term in bound.terms if term.counted)
        assert references.cite(bound).count("@") == 1
        bound.to_dict()


def test_the_sizes_beside_are_those_of_the_weights():
    first, second, third, fourth = reports()
    V21, W21, V_op = 5.0 + 1.0, 2.0, np.linalg.norm(HEAD.V, 2)
    C = 4 * (V21 ** (2 / 3) + (W21 * V_op * 2) ** (2 / 3)) ** 3
    assert named(first, "C").value == pytest.approx(C, rel=1e-12)
    assert named(first, "shape").value == pytest.approx(math.sqrt(C * math.log(8000) / 1000), rel=1e-12)
    assert [named(second, name).value for name in ("w_1", "V_11", "W_11")] == pytest.approx([3, 8, 2])
    assert named(third, "r_W").value == 1
    assert named(fourth, "V_1.0").value == pytest.approx(np.linalg.svd(HEAD.V, compute_uv=False).sum())


def test_the_tolerance_of_the_rank_is_relative():
    head = AttentionHead([1.0], [[1.0], [0.0]], [[100.0, 0.0], [0.0, 1.0]])
    assert truong2024(head, 10).constants.r_W == 2 and truong2024(head, 10, tol=0.02).constants.r_W == 1
    assert truong2024(AttentionHead([1.0], [[1.0]], [[0.0]]), 10).constants.r_W == 0


def test_bad_arguments_are_turned_away():
    for report in (trauger_tewari2024, truong2024, sakai_imaizumi2026):
        with pytest.raises(ValueError, match=r"must be a bounds\.AttentionHead"):
            report(None, 10)
        with pytest.raises(ValueError, match="n must be an integer"):
            report(HEAD, 0)
    with pytest.raises(ValueError, match="t must be an integer"):
        edelman2022(HEAD, 10, 0, Bx=1.0)
    with pytest.raises(ValueError, match="Bx must be"):
        edelman2022(HEAD, 10, 3, Bx=-1.0)
    with pytest.raises(ValueError, match="p must be"):
        sakai_imaizumi2026(HEAD, 10, p=0.0)
