"""Are the moments of linear recurrences the integrals over their initialisers?"""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.integrate

from ntkseq.kernels import lag_moments

RINGS = {"disc": (0.0, 1.0, 2 * math.pi), "ring": (0.4, 0.9, math.pi / 10), "no turns": (0.0, 0.99, 1e-3)}


@pytest.mark.parametrize("name", RINGS)
def test_the_moments_are_the_integrals_over_the_initialiser(name: str) -> None:
    a, b, f = RINGS[name]
    found = lag_moments.lru(9, a, b, f).values()
    for p, q in ((0, 0), (1, 0), (3, 3), (2, 5), (8, 8)):
        for got, radius, phase in zip(found, (0, 2, 0), (0, 0, 2), strict=True):
            of_size = scipy.integrate.quad(
                lambda r, p=p, q=q, k=radius: (1 - r) * r ** ((p + q) / 2) * (math.log(r) / 2) ** k, a**2, b**2,
                epsabs=1e-13,
            )[0] / (b**2 - a**2)  # fmt: skip
            of_turn = scipy.integrate.quad(lambda z, p=p, q=q, k=phase: z**k * math.cos(z * (p - q)), 0, f)[0] / f
            want = of_size * of_turn * (p * q if radius or phase else 1)
            assert got[p, q] == pytest.approx(want, rel=1e-9, abs=1e-13)


def test_on_the_whole_disc_memory_fades_like_a_power() -> None:
    lag = np.arange(40)
    found = lag_moments.lru(40, *RINGS["disc"])["plain"]
    np.testing.assert_allclose(found, np.diag(1.0 / ((lag + 1) * (lag + 2))), atol=1e-15)


def response(p: int, states: int, log_dt: float, re: np.ndarray, im: np.ndarray) -> np.ndarray:
    """z_p of every mode, as a network has it."""
    modes, dt = -np.exp(re) + 1j * im, np.exp(log_dt)
    return np.exp(p * dt * modes) * (np.exp(dt * modes) - 1) / modes


@pytest.mark.parametrize("lags", [(0, 0), (1, 3), (7, 7), (12, 30)])
@pytest.mark.parametrize("steps", [(1e-3, 0.1), (0.05, 1.0)])
def test_the_moments_of_a_state_space_model_are_the_integrals_over_its_steps(lags: tuple, steps: tuple) -> None:
    states, eps = 6, 1e-5
    re, im = np.full(3, math.log(0.5)), math.pi * np.arange(3)
    found = lag_moments.s4d(31, states, *steps)

    def slopes(p: int, s: float) -> dict[str, np.ndarray]:
        at = lambda a, b, c: response(p, states, s + a, re + b, im + c)  # noqa: E731
        moved = {"step": (eps, 0, 0), "real": (0, eps, 0), "imaginary": (0, 0, eps)}
        both = {name: at(*move) - at(*(-m for m in move)) for name, move in moved.items()}
        return {"plain": at(0, 0, 0)} | {name: change / (2 * eps) for name, change in both.items()}

    low, high = map(math.log, steps)
    for name in ("plain", "step", "real", "imaginary"):
        product = lambda s, name=name: np.sum(slopes(lags[0], s)[name] * slopes(lags[1], s)[name].conj()).real  # noqa: E731
        want = 2 * scipy.integrate.quad(product, low, high, limit=400, epsabs=1e-14)[0] / (high - low)
        root = math.sqrt(found[name][lags[0], lags[0]] * found[name][lags[1], lags[1]])
        assert found[name][lags] == pytest.approx(want, abs=(1e-10 if name == "plain" else 1e-6) * root)
    assert found["skip"][0, 0] == found["skip"].sum() == 1


@pytest.mark.parametrize("steps", [(1e-3, 0.1), (0.05, 1.0)])
def test_exponential_integrals_and_quadrature_are_one_table(steps: tuple[float, float]) -> None:
    for modes in (4, 9):
        mode = -0.5 + 1j * np.pi * modes
        closed, summed = (of(mode, 80, *steps) for of in (lag_moments._closed, lag_moments._quadrature))
        for name, table in summed.items():
            root = np.sqrt(np.diagonal(table))
            assert np.max(np.abs(closed[name] - table) / np.multiply.outer(root, root)) < 1e-12


def test_short_steps_scale_as_their_expansion_says() -> None:
    """z_p = dt and d z_p / d A = dt^2 (p + 1/2) up to terms of order dt^2, dt^3."""
    found, lags = lag_moments.s4d(6, 8, 1e-9, 1e-8), np.arange(6.0) + 0.5
    span = np.log(10)
    by_step = (1e-16 - 1e-18) / (2 * span)  # E dt^2
    by_mode = (1e-32 - 1e-36) / (4 * span) * np.multiply.outer(lags, lags)
    np.testing.assert_allclose(found["plain"], 2 * 4 * by_step, rtol=1e-6)
    np.testing.assert_allclose(found["step"], 2 * 4 * by_step, rtol=1e-6)
    np.testing.assert_allclose(found["imaginary"], 2 * 4 * by_mode, rtol=1e-6)
    np.testing.assert_allclose(found["real"], found["imaginary"] / 4, rtol=1e-12)


def test_long_memories_of_a_state_space_model_settle_and_are_covariances() -> None:
    found = lag_moments.s4d(200, 16, 1e-3, 0.1)
    for table in found.values():
        assert np.linalg.eigvalsh(table)[0] > -1e-12 * np.trace(table)
    want = lag_moments.s4d(201, 16, 1e-3, 0.1)["plain"][:200, :200]  # of other points
    np.testing.assert_allclose(found["plain"], want, atol=1e-13 * want[0, 0])
