"""Every verb takes its matrix through one door: checked once, symmetrised once, whatever it comes as."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ntkseq
from ntkseq import _checks, bounds, grams, predictors, spectra
from ntkseq.grams.arrays import symmetric

Y = np.array([1.0, -1.0, 1.0, 1.0])
VERBS: dict[str, Callable[[Any], Any]] = {
    "spectrum": lambda K: ntkseq.spectrum(K).values,
    "matrix-free": lambda K: ntkseq.spectrum(K, spectra.MatrixFree(k=2)).values,
    "nystrom": lambda K: spectra.nystrom(K, 2).values,
    "compare": lambda K: spectra.compare(K, np.eye(4), k=1).frobenius.estimate,
    "centred": lambda K: np.asarray(spectra.centred(K)),
    "classwise": lambda K: spectra.classwise(K, Y).means,
    "positive_definite": spectra.positive_definite,
    "ridge": lambda K: ntkseq.ridge(K, Y, reg=0.1).dual,
    "interpolant": lambda K: ntkseq.ridge(K, Y, reg=0.0).dual,
    "select_reg": lambda K: predictors.select_reg(K, Y, [0.1, 1.0]).loo_errors,
    "gaussian_process": lambda K: predictors.gaussian_process(K, Y, noise=0.1).dual,
    "flow": lambda K: predictors.gradient_flow(K, Y, time=1.0).dual,
    "flow, matrix-free": lambda K: predictors.gradient_flow(K, Y, time=1.0, method="matrix-free").dual,
    "early_stopping": lambda K: predictors.early_stopping(K, Y, np.ones((1, 4)), [1.0], [1.0]).errors,
    "rademacher": lambda K: bounds.rademacher(K, Y, reg=0.1).value,
    "arora2019": lambda K: bounds.arora2019(K, Y).value,
}
MATRIX = np.array([[9, 1, 2, 0], [1, 8, 0, 3], [2, 0, 7, 1], [0, 3, 1, 9]])
EXACT = grams.DenseGram(MATRIX.astype(np.float64), rounding=0.0)


@pytest.mark.parametrize("verb", VERBS)
def test_a_matrix_is_looked_at_once(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[str] = []
    for name in ("finite", "symmetrised"):
        look = getattr(_checks, name)
        monkeypatch.setattr(
            _checks, name, lambda of, *rest, name=name, look=look: looks.append(f"{name} {of}") or look(of, *rest)
        )
    name = "K1" if verb == "compare" else "K"
    for K in (MATRIX.astype(np.float64), EXACT):
        looks.clear()
        VERBS[verb](K)
        assert sorted(look for look in looks if look.endswith(f" {name}")) == [f"finite {name}", f"symmetrised {name}"]


@pytest.mark.parametrize("verb", VERBS)
def test_integers_and_matrices_over_steps_are_what_they_are_in_float64(verb: str) -> None:
    wanted = VERBS[verb](EXACT)
    steps = MATRIX.reshape(2, 2, 2, 2).transpose(0, 2, 1, 3)  # (n, n, t, t)
    for K in (MATRIX, MATRIX.tolist(), steps, steps.astype(np.float64)):
        np.testing.assert_allclose(VERBS[verb](K), wanted, rtol=1e-12)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.zeros((3, 2)), r"must be square and symmetric, .*; got shape \(3, 2\)"),
        (np.zeros((0, 0)), r"must have at least one row; got shape \(0, 0\)"),
        (np.ones(4), r"must be a matrix of floats, shape \(n, m\); got shape \(4,\)"),
        (MATRIX * 1j, r"must be a matrix of floats, .* dtype complex128"),
        (np.diag([1.0, 2.0, np.nan, 4.0]), r"must be finite; got 1 NaN or infinite value\(s\), .* \(2, 2\)"),
        (MATRIX + np.eye(4, k=1), r"must be symmetric; got .*; the largest difference is between entries \(0, 1\)"),
    ],
    ids=["not square", "empty", "a vector", "complex", "NaN", "not symmetric"],
)
def test_what_is_no_gram_matrix_is_refused_in_the_same_words(verb: str, bad: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=f"^K1? {message}"):
        VERBS[verb](bad)


def test_what_is_averaged_away_widens_the_rounding_and_no_more_than_that() -> None:
    A = EXACT.array + 1e-9 * np.eye(4, k=1)
    held = symmetric(grams.DenseGram(A, rounding=2e-9))
    np.testing.assert_array_equal(held.matrix, (A + A.T) / 2)
    assert held.asymmetry == pytest.approx(1e-9 * np.sqrt(6), rel=1e-6)
    assert held.rounding == pytest.approx(2e-9, rel=1e-4) and held.gram.rounding == 2e-9
    wider = symmetric(grams.DenseGram(A, rounding=7e-10))
    assert wider.rounding == pytest.approx(0.5 * wider.asymmetry, rel=1e-4)
    assert wider.rounding > wider.gram.rounding


def test_a_ridge_does_not_ask_for_the_rounding_of_an_array_and_does_not_warn() -> None:
    K = (MATRIX + 0.1 * np.eye(4)).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        VERBS["ridge"](K)
    with pytest.warns(grams.PrecisionWarning, match="K holds float32 numbers of unknown rounding"):
        VERBS["spectrum"](K)
