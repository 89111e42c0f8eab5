"""Is the probability that a class is missed never understated, and exact where outputs share nothing or one thing?"""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special
import scipy.stats

from ntkseq.bounds.gibbs_losses import Argmax, Gaussians
from ntkseq.bounds.orthants import some_negative, trapezoid

RNG = np.random.default_rng(0)


def leads(covariance: np.ndarray, mean: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """By how much the first output is ahead of the others, and the covariance of that."""
    k = mean.shape[1]
    against = np.eye(k)[0] - np.eye(k)[1:]
    return mean @ against.T, against @ covariance @ against.T


def upper(mean: np.ndarray, covariance: np.ndarray, off: float = 0.0) -> np.ndarray:
    return some_negative(mean, np.full(mean.shape, off), covariance, np.full(covariance.shape, off))


@pytest.mark.parametrize("k", [3, 10])
def test_outputs_without_correlation_have_the_exact_integral(k: int):
    mean = RNG.standard_normal((40, k)) + 2 * np.eye(k)[0]
    same = upper(*leads(np.eye(k)[None].repeat(40, 0), mean))
    none = np.zeros(40)
    assert same == pytest.approx(
        Argmax().upper(Gaussians(mean, none + 1, none, none), np.eye(k)[none.astype(int)]), abs=1e-9
    )


def test_two_margins_of_any_positive_correlation_are_exact_and_others_are_not_understated():
    z = scipy.special.ndtri((np.arange(20_000) + 0.5) / 20_000)
    for rho in (-0.7, -0.2, 0.0, 0.3, 0.75):
        h = RNG.uniform(-1, 2, 2)
        right = np.mean((z > -h[0]) * scipy.special.ndtr((h[1] + rho * z) / np.sqrt(1 - rho**2)))
        said = upper(h[None], np.array([[[1, rho], [rho, 1]]]))[0]
        assert said > 1 - right - 1e-4 and (rho < 0 or said < 1 - right + 1e-4)
        assert said <= min(1, scipy.special.ndtr(-h).sum()) + 1e-12


def test_it_is_above_what_draws_show():
    for k in (3, 5, 8):
        root = RNG.standard_normal((30, k, k + 1)) / np.sqrt(k)
        mean = RNG.standard_normal((30, k)) + 2 * np.eye(k)[0]
        said = upper(*leads(root @ np.swapaxes(root, 1, 2), mean))
        drawn = mean + np.einsum("nab,snb->sna", root, RNG.standard_normal((4000, 30, k + 1)))
        wrong = (drawn.argmax(axis=2) != 0).mean(axis=0)
        assert (said > wrong - 4.5 * np.sqrt(wrong * (1 - wrong) / 4000) - 1e-4).all()
        assert said.mean() < wrong.mean() + 0.15


def test_what_is_known_to_within_errors_is_covered():
    root = RNG.standard_normal((30, 4, 5))
    mean, covariance = RNG.standard_normal((30, 4)) + 1.0, root @ np.swapaxes(root, 1, 2)
    said = upper(mean, covariance, 0.03)
    for _ in range(20):
        shift = RNG.uniform(-1, 1, covariance.shape) * 0.015
        moved = covariance + shift + np.swapaxes(shift, 1, 2)
        assert (said >= upper(mean + RNG.uniform(-0.03, 0.03, mean.shape), moved) - 1e-9).all()
    pair = np.array([[[1.0, 0.5], [0.5, 1.0]], [[1.0, 0.2], [0.2, 1.0]]])
    lead, unsure = np.ones((2, 2)), np.array([[[0.0, 0.3], [0.3, 0.0]], [[0.0, 0.0], [0.0, 0.0]]])
    either = some_negative(lead, 0 * lead, pair, unsure)
    assert either[0] == pytest.approx(either[1], abs=1e-9)  # correlations, too, are taken at the worse end


def test_margins_without_variance_are_positive_or_not():
    nothing = np.zeros((2, 2, 2))
    assert upper(np.array([[1.0, 0.5], [1.0, 0.0]]), nothing).tolist() == [0.0, 1.0]


@pytest.mark.parametrize("slope", [1.0, 2.0])
def test_the_rule_is_off_by_less_than_stated(slope: float):
    for k in (3, 10):
        start, steep = RNG.standard_normal(k - 1), RNG.uniform(0, slope, k - 1)
        step, error = trapezoid(k, slope)
        sums = []
        for h in (step, step / 7):
            z = np.arange(-9.0, 9.0 + h, h)
            sums.append(
                h * np.sum(scipy.stats.norm.pdf(z) * np.prod(scipy.special.ndtr(start + z[:, None] * steep), axis=1))
            )
        assert abs(sums[0] - sums[1]) < error
