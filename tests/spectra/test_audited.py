"""Do bounds from a sample of the errors hold for errors made to be missed, and are they close for the usual ones?"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import ntkseq
from ntkseq import grams, kernels
from ntkseq.grams.auditing import Audit, AuditedGram, Reference
from ntkseq.spectra import audited, spectrum
from ntkseq.spectra.audited import _coupling, _deviation


class Exact(Reference):
    """A matrix that is known, in place of a kernel in float64."""

    def __init__(self, exact: np.ndarray):
        object.__setattr__(self, "exact", exact)
        object.__setattr__(self, "size", np.sqrt(np.diagonal(exact)))
        object.__setattr__(self, "rounding", 0.0)

    def __call__(self, i: np.ndarray, j: np.ndarray) -> np.ndarray:
        return self.exact[i, j]  # pyright: ignore[reportAttributeAccessIssue]


def matrix(rng: np.random.Generator, n: int) -> np.ndarray:
    """Positive semi-definite: near-duplicates, a duplicate, all norms."""
    X = rng.standard_normal((n, n + 5)) * 10.0 ** rng.uniform(-2, 1, (n, 1) if rng.random() < 0.5 else (1, 1))
    for k in range(int(rng.integers(0, n // 2))):
        X[2 * k + 1] = X[2 * k] * (1 + 10.0 ** rng.uniform(-8, -1) * rng.standard_normal(n + 5))
    if rng.random() < 0.3:
        X[-1] = X[0]
    return X @ X.T


def errors(rng: np.random.Generator, exact: np.ndarray, e: float) -> np.ndarray:
    """|E_ij| <= e d_i d_j: small but for a few, or of the signs that move the least eigenvalue the most."""
    n = len(exact)
    d = np.sqrt(np.diagonal(exact))
    kind = rng.integers(5)
    E = rng.uniform(-1, 1, (n, n)) * 10.0 ** rng.uniform(-3, 0)
    least = np.linalg.eigh(exact)[1][:, int(rng.integers(min(n, 3)))]
    if kind == 1:
        E = np.sign(np.outer(least, least)) * rng.choice([-1, 1])
    elif kind == 2:  # two large ones, where the least vector lives
        i, j = np.argsort(-np.abs(least))[:2]
        E[i, j] = E[j, i] = rng.choice([-1, 1])
    elif kind == 3:
        E[rng.random((n, n)) < 0.05] = 1.0
    elif kind == 4:
        E = np.sign(np.outer(d @ exact, least))
    E = np.triu(E) + np.triu(E, 1).T
    return e * np.outer(d, d) * E


@pytest.mark.parametrize("part", range(3))
def test_every_exact_eigenvalue_lies_within_its_bounds(part: int):
    rng = np.random.default_rng(part)
    narrower = 0
    for trial in range(100):
        n = int(rng.integers(2, 25))
        exact = matrix(rng, n)
        exact = (exact + exact.T) / 2
        e = 10.0 ** rng.uniform(-8, -2)
        E = errors(rng, exact, e)
        held = exact + E
        pairs = int(rng.choice([50, 400, 3000]))
        audit = Audit(held, Exact(exact), e * (1 + 1e-6), pairs, 1e-2, trial)
        values, vectors = np.linalg.eigh(held)
        norm = float(np.linalg.norm(E)) * 1.001 + 1e-300
        low, high = audited.bounds(values, vectors, audit, 1.0, norm)
        truth = np.linalg.eigvalsh(exact)
        slack = 1e-13 * n * truth[-1]
        assert (low - slack <= truth).all() and (truth <= high + slack).all(), trial
        narrower += high[0] - low[0] < norm
    assert narrower > 20


@pytest.mark.parametrize("gap", [1.0, 1e-3, 0.0])
@pytest.mark.parametrize("k", [1, 3, 20])
def test_errors_between_the_followed_vectors_and_the_others_are_not_forgotten(
    gap: float, k: int, monkeypatch: pytest.MonkeyPatch
):
    """The sample for the first vector alone never sees E_1j, which move its eigenvalue by |E_1|^2 / gap."""
    n, e = 20, 1e-2
    held = np.diag(np.append(1.0, 1.0 + gap + 0.01 * np.arange(n - 1)))
    E = np.zeros((n, n))
    E[0, 1:] = E[1:, 0] = 0.9 * e
    exact = held - E
    monkeypatch.setattr(audited, "_plan", lambda *given: (k, np.ones(k)))
    audit = Audit(held, Exact(exact), e, 100_000, 1e-3, 0)
    values, vectors = np.linalg.eigh(held)
    low, high = audited.bounds(values, vectors, audit, 1.0, float(np.linalg.norm(E)))
    truth = np.linalg.eigvalsh(exact)
    assert (low <= truth + 1e-12).all() and (truth <= high + 1e-12).all()
    assert truth[0] < 1.0 - 1e-4
    if gap == 1.0 and k < n:
        assert high[0] - low[0] < 0.3 * np.linalg.norm(E)


@pytest.mark.parametrize("p", [1e-5, 1e-4, 1e-2, 0.3])
def test_a_sample_mean_deviates_no_more_often_than_it_says(p: float):
    m, delta = 100, 1e-3
    hits = np.arange(m + 1)
    off = np.abs(hits / m - p) > _deviation(p, m, 1, delta)
    assert np.sum(stats.binom.pmf(hits, m, p)[off]) <= delta  # exact, for errors that are 0 or e
    assert _deviation(p, m, 8, delta) > _deviation(p, m, 1, delta) < 7 * (p / m) ** 0.5 + 8 / m


def test_bounds_scale_with_the_matrix():
    rng = np.random.default_rng(0)
    exact = matrix(rng, 20)
    held = exact + errors(rng, exact, 1e-5)
    audit = Audit(held, Exact(exact), 2e-5, 1000, 1e-6, 0)
    values, vectors = np.linalg.eigh(held)
    norm = float(np.linalg.norm(held - exact))
    one = audited.bounds(values, vectors, audit, 1.0, norm)
    other = audited.bounds(values / 4, vectors, audit, 0.25, norm / 4)
    np.testing.assert_allclose(np.array(one) / 4, other, rtol=1e-9, atol=1e-12 * values[-1])


def test_what_couples_two_blocks_balances():
    for gap in (-3.0, 0.0, 1e-9, 2.0, 1e12):
        t = _coupling(gap, 0.5)
        assert gap + t == pytest.approx(0.5**2 / (2 * t), rel=1e-9)
    assert _coupling(1.0, 0.0) == _coupling(0.0, 0.0) == 0.0
    assert _coupling(-1.0, 0.0) == 1.0


FAMILIES: list[Any] = [
    (kernels.Recurrent(sigma_w=2**0.5, sigma_u=0.5, sigma_b=0.1), 1.0, 100),
    *(
        pytest.param(kernel, spread, most, marks=pytest.mark.slow)
        for kernel, farthest in (
            (kernels.Recurrent(sigma_w=1.2, sigma_b=0.1, activation="leaky_relu", depth=2), 100),
            (kernels.Recurrent(sigma_w=0.8, sigma_b=0.1, activation="erf"), 300),
            (kernels.Recurrent(sigma_w=1.4, sigma_b=0.1, read="mean"), 100),
        )
        for spread, most in ((0.0, 100), (2.0, farthest))
    ),
]


def near(rng: np.random.Generator, n: int, spread: float) -> np.ndarray:
    x = rng.standard_normal((n, 8, 2)) * 10.0 ** -rng.uniform(0, spread, (n, 1, 1))
    for k in range(int(rng.integers(1, 9))):
        x[2 * k + 1] = x[2 * k] * (1 + 10.0 ** rng.uniform(-4, -1.5) * rng.standard_normal((8, 2)))
    return x.astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize(("kernel", "spread", "most"), FAMILIES)
def test_near_duplicates_in_float32_are_known_to_a_hundred_times_their_error(
    kernel: kernels.Kernel, spread: float, most: float
):
    """20 to 60 in the median of single families, 170 for erf and norms over two decades; before, thousands."""
    ratios, before = [], []
    for seed in range(3):
        x = near(np.random.default_rng(seed), 160, spread)
        K = ntkseq.gram(kernel, x)
        with jax.enable_x64(True):
            truth = np.linalg.eigvalsh(np.asarray(kernel(jnp.asarray(x, jnp.float64))))
        s = spectrum(grams.audit(K, kernel, x, pairs=20_000))
        assert (np.abs(s.values[::-1] - truth) <= s.errors[::-1]).all()
        plain = spectrum(K)
        assert (s.errors <= plain.errors * (1 + 1e-9)).all()
        gap = abs(s.values[-1] - truth[0])
        ratios.append(2 * s.errors[-1] / gap)
        before.append(2 * plain.errors[-1] / gap)
    assert np.median(ratios) < most < np.median(before)


@pytest.mark.slow
def test_a_spectrum_says_that_pairs_were_looked_at_and_how_likely_it_is_wrong():
    x = near(np.random.default_rng(0), 20, 0.0)
    kernel = kernels.Recurrent(sigma_w=1.4)
    A = grams.audit(ntkseq.gram(kernel, x), kernel, x, pairs=300, delta=1e-4)
    s = spectrum(A)
    assert isinstance(A, AuditedGram) and "300 pairs" in s.method and "probability 0.0001" in s.method
    assert spectrum(A).errors.tolist() == s.errors.tolist()  # the same pairs
    assert s.rounding == pytest.approx(A.rounding, rel=1e-6)
