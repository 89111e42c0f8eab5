"""Is the recalled bound of a trained recurrent network that of its page?"""

from __future__ import annotations

import math

import numpy as np
import pytest

from ntkseq.bounds import tu_he_tao2020

pytestmark = pytest.mark.usefixtures("x64")


def network(seed: int = 0) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    return tuple(0.3 * rng.standard_normal(shape) for shape in ((5, 2), (5, 5), (3, 5)))


def answers(U: np.ndarray, W: np.ndarray, V: np.ndarray, x: np.ndarray) -> np.ndarray:
    h = np.zeros((len(x), 5))
    for t in range(x.shape[1]):
        h = np.maximum(0, x[:, t] @ U.T + h @ W.T)
    return h @ V.T


def test_its_terms_are_those_of_the_page():
    rng = np.random.default_rng(1)
    (U, W, V), x, y = network(), rng.standard_normal((80, 4, 2)), rng.integers(3, size=80)
    bound = tu_he_tao2020(U, W, V, x, y, gamma=0.5, delta=0.1)
    f, up, down = (answers(s * U, s * W, s * V, x) for s in (1.0, 1 + 1e-6, 1 - 1e-6))
    slopes = ((up - down) / 2e-6)[np.arange(80), y]
    flat = x.reshape(80, 8)
    least = np.linalg.eigvalsh(flat.T @ flat / 80)[0]
    one = [float(np.abs(M).sum(axis=0).max()) for M in (U, W, V)]
    margins = f[np.arange(80), y] - np.where(np.arange(3) == y[:, None], -np.inf, f).max(axis=1)
    expected = [
        np.mean(margins < 0.5),
        24 * math.sqrt(np.mean(slopes**2)) * np.linalg.norm(flat) / (160 * math.sqrt(least)),
        24 * one[2] * one[0] * sum(one[1] ** j for j in range(4)) * np.abs(flat).mean(axis=0).max(),
        3 * math.sqrt(math.log(20) / 160),
    ]
    assert [term.value for term in bound.terms] == pytest.approx(expected, rel=1e-6)
    assert not bound.certified and bound.vacuous and bound.provenance == "recalled"


def test_one_term_does_not_shrink_and_the_others_do():
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((6400, 4, 2)), rng.integers(3, size=6400)
    few, many = (tu_he_tao2020(*network(), x[:n], y[:n]).terms for n in (100, 6400))
    assert 0.8 < many[2].value / few[2].value < 1.1
    assert many[1].value < 0.2 * few[1].value and many[3].value == pytest.approx(few[3].value / 8)


def test_fewer_sequences_than_entries_have_no_value():
    bound = tu_he_tao2020(*network(), np.ones((3, 4, 2)), [0, 1, 2])
    assert math.isnan(bound.value) and "singular" in bound.reason


@pytest.mark.parametrize(
    ("change", "words"),
    [({"W": np.eye(4)}, "W must"), ({"V": np.ones((1, 5))}, "V must"), ({"x": np.ones((3, 4, 1))}, "x must"),
     ({"y": [0, 1, 3]}, "y must"), ({"gamma": 0.0}, "gamma")],
)  # fmt: skip
def test_what_does_not_fit_is_refused(change, words):
    U, W, V = network()
    call = {"U": U, "W": W, "V": V, "x": np.ones((3, 4, 2)), "y": [0, 1, 2]} | change
    with pytest.raises(ValueError, match=words):
        tu_he_tao2020(**call)
