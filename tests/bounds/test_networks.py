"""Do the recalled theorems give the golden numbers, independent of the kernel's units, and never a certificate?"""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq.bounds import arora2019, cao_gu2019
from ntkseq.grams.base import DenseGram

# "relu last" of the theory's golden numbers
GOLDEN = np.array(
    [
        [5.213941522885513, 2.425448414818013, 1.266685472247238],
        [2.425448414818013, 4.900023011963991, 1.8898886080451844],
        [1.266685472247238, 1.8898886080451844, 3.075277020456515],
    ]
)
LABELS = np.array([1.0, -1.0, 0.5])
SIGNS = np.array([1.0, -1.0, 1.0])


def status(bound, name):
    return next(a.status for a in bound.assumptions if a.name == name)


def test_arora_on_the_golden_kernel_gives_the_golden_numbers():
    bound = arora2019(GOLDEN, LABELS)
    assert bound.constants.norm_squared == pytest.approx(1.0115521450705445, rel=1e-12)
    assert bound.constants.trace == pytest.approx(13.189241555306019, rel=1e-12)
    assert bound.terms[0].value == pytest.approx(2.435077510710068, rel=1e-12)
    least = 1.8596302346205358 * 1.5 / 13.189241555306019
    assert bound.terms[1].value == pytest.approx(math.sqrt(math.log(3 / (least * 0.05)) / 3), rel=1e-12)


def test_arora_is_the_formula_of_the_source_when_the_diagonal_is_one_half():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 5))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    cosine = np.clip(x @ x.T, -1, 1)
    np.fill_diagonal(cosine, 1.0)
    K = cosine * (np.pi - np.arccos(cosine)) / (2 * np.pi)
    y = x[:, 0]
    bound = arora2019((K + K.T) / 2, y)
    assert bound.terms[0].value == pytest.approx(math.sqrt(2 * (y @ np.linalg.solve(K, y)) / 40), rel=1e-8)
    assert status(bound, "unit inputs") == "unresolved"  # K is known to rounding only
    assert status(bound, "labels") == "holds"


@pytest.mark.parametrize("factor", [1e-3, 0.1, 7.0, 1e4])
def test_no_value_depends_on_the_units_of_the_kernel(factor):
    assert arora2019(factor * GOLDEN, LABELS).value == pytest.approx(arora2019(GOLDEN, LABELS).value, rel=1e-12)
    assert cao_gu2019(factor * GOLDEN, SIGNS).value == pytest.approx(cao_gu2019(GOLDEN, SIGNS).value, rel=1e-12)


def test_the_infimum_on_the_golden_kernel_is_the_golden_number():
    bound = cao_gu2019(GOLDEN, SIGNS)
    found = bound.constants
    assert found.infimum == pytest.approx(1.4480755851381077, rel=1e-12)
    assert found.infimum_lower <= 1.4480755851381077 * (1 + 1e-14)
    assert found.infimum_upper >= 1.4480755851381077 * (1 - 1e-14)
    margin_term = math.sqrt(1.4480755851381077 * 13.189241555306019) / 3
    assert bound.terms[0].value == pytest.approx(margin_term, rel=1e-12)
    assert bound.terms[1].value == pytest.approx(math.sqrt(math.log(20) / 3), rel=1e-12)


def test_depth_and_constant_enter_as_printed():
    one, other = cao_gu2019(GOLDEN, SIGNS), cao_gu2019(GOLDEN, SIGNS, depth=3, constant=2.0)
    assert other.terms[0].value == pytest.approx(6 * one.terms[0].value)
    assert other.terms[1].value == pytest.approx(2 * one.terms[1].value)
    assert arora2019(GOLDEN, LABELS, constant=2.0).terms[1].value == pytest.approx(
        2 * arora2019(GOLDEN, LABELS).terms[1].value
    )


def test_a_recalled_theorem_is_never_certified_even_when_all_that_can_be_checked_holds():
    for bound in (arora2019(np.eye(50), np.ones(50)), cao_gu2019(np.eye(50), np.ones(50))):
        assert "fails" not in {a.status for a in bound.assumptions}
        assert not bound.certified
        assert bound.provenance == "recalled"
        assert "<=" not in bound.verdict and "estimate" in bound.verdict
        assert any(not term.explicit for term in bound.terms)
        assert status(bound, "width") == "unchecked"


def test_what_the_data_contradict_is_said():
    assert status(arora2019(GOLDEN, 3 * LABELS), "labels") == "fails"
    assert status(arora2019(GOLDEN, LABELS), "unit inputs") == "fails"


def test_the_rounding_of_the_gram_raises_the_norm_by_what_it_may_hide(x64):
    rounding, rng = 0.2, np.random.default_rng(0)
    norms = []
    for _ in range(200):
        E = rng.normal(size=(3, 3))
        E = E + E.T
        norms.append(LABELS @ np.linalg.solve(GOLDEN + rounding * E / np.linalg.norm(E, 2), LABELS))
    found = arora2019(DenseGram(jnp.asarray(GOLDEN), rounding=rounding), LABELS).constants
    assert found.norm_squared < max(norms) <= found.norm_squared_upper < 1.3 * max(norms)


@pytest.mark.parametrize("function", [arora2019, cao_gu2019])
def test_duplicate_inputs_with_different_labels_give_nan_with_the_reason(function):
    bound = function(np.ones((2, 2)), [1.0, -1.0])
    assert math.isnan(bound.value)
    assert "cannot be told from zero" in bound.reason
    assert status(bound, "positive definite") == "unresolved"
    assert bound.to_dict()["value"] is None


def test_cao_and_gu_name_the_explicit_alternative():
    assert "margin(" in str(cao_gu2019(GOLDEN, SIGNS))


def test_wrong_input_is_refused_at_the_door():
    with pytest.raises(ValueError, match=r"-1 and \+1"):
        cao_gu2019(GOLDEN, LABELS)
    with pytest.raises(ValueError, match="depth"):
        cao_gu2019(GOLDEN, SIGNS, depth=0)
    for function in (arora2019, cao_gu2019):
        with pytest.raises(ValueError, match="delta"):
            function(GOLDEN, SIGNS, delta=1.0)
        with pytest.raises(ValueError, match="constant"):
            function(GOLDEN, SIGNS, constant=0.0)
        with pytest.raises(ValueError, match="one label per example"):
            function(GOLDEN, SIGNS[:, None])
