"""Do the theorems on recurrent networks show no number of their own, and are their assumptions looked at?"""

from __future__ import annotations

import math

import jax
import numpy as np
import pytest

from ntkseq import concepts, kernels
from ntkseq.bounds.kernel import rademacher
from ntkseq.bounds.known_target import target_risk
from ntkseq.bounds.recurrent import allen_zhu_li2019, panigrahi_goyal2021, wang_shen2021
from ntkseq.concepts import series
from ntkseq.norms.tokens import Tokens

T, D, EPS_X = 4, 3, 0.1
TARGET = concepts.Additive([(1, [1.0, 0.0, 0.0], "sin"), (2, [0.0, 1.0, 0.0], "sin")])
WHOLE = concepts.WholeSequence("sin", np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]) / math.sqrt(2), start=1)


def paper_inputs(n=12, seed=0, last=False):
    """In the format of the papers: a common unit token, then tokens of norm eps_x."""
    x = np.random.default_rng(seed).normal(size=(n, T, D))
    x *= EPS_X / np.linalg.norm(x, axis=2, keepdims=True)
    for step in (0, -1) if last else (0,):
        x[:, step] = np.eye(D)[2]
    return x


def data(target: concepts.Target = TARGET, **options):
    x = paper_inputs(**options)
    return x, np.asarray(jax.vmap(target)(x), np.float64)


def status(bound, name):
    return next(a.status for a in bound.assumptions if a.name == name)


def named(bound, name):
    return next(term for term in bound.terms if term.name == name)


def reports():
    x, y = data()
    z, w = data(WHOLE, last=True)
    return (
        allen_zhu_li2019(TARGET, x, y, width=4096),
        wang_shen2021(TARGET, x, np.sign(y)),
        panigrahi_goyal2021(WHOLE, z, w, width=4096),
    )


@pytest.mark.slow
def test_no_theorem_shows_a_number_or_is_certified():
    for bound in reports():
        assert bound.value is None and not bound.certified and bound.vacuous
        assert bound.provenance == "recalled" and "rate only" in str(bound)
        assert "<=" not in bound.verdict
        assert all(term.value is None for term in bound.terms if term.counted)
        bound.to_dict()


@pytest.mark.slow
def test_what_the_papers_ask_of_the_inputs_is_looked_at():
    allen, _, panigrahi = reports()
    for bound, names in (
        (allen, ("first token", "target", "loss")),
        (panigrahi, ("first token", "last token", "target", "loss")),
    ):
        assert {status(bound, name) for name in names} == {"holds"}
        # tokens divided by their norms, and a target in float32: within rounding
        assert {status(bound, name) for name in ("token norms", "later tokens", "noiseless")} == {"unresolved"}
        assert status(bound, "eps_x") == status(bound, "width, steps") == "unchecked"


@pytest.mark.slow
def test_inputs_in_another_format_fail():
    x, y = data()
    assert status(allen_zhu_li2019(TARGET, 2 * x, y), "first token") == "fails"
    changed = x.copy()
    changed[:, 2] *= 0.5
    assert status(allen_zhu_li2019(TARGET, changed, y), "later tokens") == "fails"
    changed[0, 1] *= 0.5
    assert status(allen_zhu_li2019(TARGET, changed, y), "token norms") == "fails"
    assert status(panigrahi_goyal2021(WHOLE, x, y), "last token") == "fails"
    late = concepts.Additive([(T - 1, [1.0, 0, 0], "sin")])
    assert status(allen_zhu_li2019(late, x, y), "target") == "fails"
    half = concepts.WholeSequence("cos", 0.5 * np.ones((2, D)), start=1)
    assert status(panigrahi_goyal2021(half, x, y), "target") == "fails"


def test_labels_outside_the_range_of_the_loss_fail():
    x, y = data()
    big = np.where(np.arange(len(y)) == 0, 1.5, y)
    assert status(allen_zhu_li2019(TARGET, x, big), "loss") == "fails"
    assert status(allen_zhu_li2019(TARGET, x, big), "noiseless") == "fails"
    assert status(wang_shen2021(TARGET, x, y), "labels") == "fails"
    assert status(wang_shen2021(TARGET, x, np.sign(y)), "labels") == "holds"


def test_the_factors_the_papers_state_are_the_formulas():
    x, y = data()
    bound = allen_zhu_li2019(TARGET, x, y, eps=0.05, width=1000, outputs=2)
    rho = 100 * T * 2 * math.log(1000)
    assert named(bound, "rho").value == pytest.approx(rho)
    assert named(bound, "lambda").value == pytest.approx(0.05 / (10 * T * rho))
    expected = concepts.complexity(TARGET, math.sqrt(T), kind="epsilon", eps=0.05).log
    assert named(bound, "ln C").value == expected
    assert "low confidence" in named(bound, "ln C").note and named(bound, "ln C").provenance == "recalled"
    assert "rho" not in {term.name for term in allen_zhu_li2019(TARGET, x, y).terms}
    z, w = data(WHOLE, last=True)
    whole = named(panigrahi_goyal2021(WHOLE, z, w), "ln C")
    assert whole.value == pytest.approx(concepts.complexity(WHOLE, 1 / EPS_X, kind="epsilon", eps=0.1).log, rel=1e-6)


@pytest.mark.slow
def test_what_is_proved_here_stands_beside_the_theorem(x64):
    x, y = data()
    kernel = kernels.Recurrent.preset("allen-zhu-li")
    K = np.asarray(kernel(x))
    bound = allen_zhu_li2019(TARGET, x, y, K=K, delta=0.1, B0=0.5)
    ours, measured = named(bound, "from |f|_K"), named(bound, "from y'K^-1 y")
    assert ours.value == target_risk(TARGET, kernel, x, delta=0.1, B0=0.5).value
    assert not ours.explicit and "token norms: unresolved" in ours.note and measured.explicit
    assert measured.value == rademacher(K, y, delta=0.1, B0=0.5).value
    assert not ours.counted and ours.provenance == "derived"
    wrong = named(allen_zhu_li2019(TARGET, x, -y), "from |f|_K")
    assert not wrong.explicit and "not those of the target" in wrong.note


def test_the_span_of_functions_of_many_tokens_is_shown():
    target = concepts.NVariable((1, 3), 0.5 * np.eye(D)[:2], "sin")
    x, y = data(target)
    assert wang_shen2021(target, x, y).constants.to_dict() == {"n": 12, "steps": T, "variables": 2, "span": 2}


def test_other_targets_and_declared_tokens_are_refused():
    x, y = data()
    for call, match in (
        (lambda: allen_zhu_li2019(WHOLE, x, y), "concepts.Additive in allen_zhu_li2019; got WholeSequence"),
        (lambda: panigrahi_goyal2021(TARGET, x, y), "concepts.WholeSequence in panigrahi_goyal2021; got Additive"),
        (
            lambda: wang_shen2021(WHOLE, x, y),
            "concepts.Additive or concepts.NVariable in wang_shen2021; got WholeSequence",
        ),
        (lambda: wang_shen2021(TARGET, Tokens.declared([1.0] * T), y), "must be the inputs"),
        (lambda: wang_shen2021(TARGET, x, y[:3]), "y must have shape"),
        (lambda: wang_shen2021(TARGET, x, y, gamma=1), "unknown options"),
        (lambda: allen_zhu_li2019(TARGET, x, y, eps=2.0), "eps must lie"),
        (lambda: allen_zhu_li2019(concepts.Additive([(9, [1.0, 0, 0], series.sin())]), x, y), "at least 10 steps"),
    ):
        with pytest.raises(ValueError, match=match):
            call()
