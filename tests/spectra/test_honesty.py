"""Does every interval of a spectrum hold the truth, over methods, dtypes and spectra that are made to be hard?

The truth is a matrix with known eigenvalues, rounded by a known error; it is checked against the intervals exactly as a
user would read them. `cases` makes any number of seeded cases: 5,000 of them were run once (docs/theory/numerics.md).
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from ntkseq.grams import DenseGram, Operator
from ntkseq.spectra import MatrixFree, nystrom, positive_definite, spectrum
from ntkseq.spectra.ranks import Dimension, Entropy, Intrinsic, Numerical, Participation, Stable

EPS32 = float(np.finfo(np.float32).eps)


def eigenvalues(rng: np.random.Generator, n: int) -> np.ndarray:
    """Descending: power laws, clusters, gaps, near-duplicates, low rank, one large, flat."""
    kind = rng.integers(7)
    k = np.arange(1, n + 1.0)
    if kind == 0:
        lam = k ** -rng.uniform(0.3, 4)
    elif kind == 1:
        lam = rng.choice([1.0, 0.5, 1e-3], n) * (1 + 1e-9 * rng.random(n))
    elif kind == 2:
        lam = np.where(k <= max(1, n // 3), 1.0, 1e-6) * rng.random(n)
    elif kind == 3:
        lam = np.append(rng.random(n - 1) + 0.1, 10.0 ** rng.uniform(-12, -3))
    elif kind == 4:
        lam = np.where(k <= max(1, n // 2), rng.random(n), 0.0)
    elif kind == 5:
        lam = np.append(n * 1.0, 1e-4 * rng.random(n - 1))
    else:
        lam = np.full(n, 1.0) + 1e-8 * rng.random(n)
    return -np.sort(-lam) * 10.0 ** rng.uniform(-6, 6)


def case(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, float, str]:
    """Exact eigenvalues and eigenvectors, the matrix as it is held, its stated rounding, the method."""
    rng = np.random.default_rng(seed)
    n = int(rng.choice([1, 2, 3, 5, 8, 13, 30, 60]))
    lam = eigenvalues(rng, n)
    Q = np.linalg.qr(rng.standard_normal((n, n)))[0]
    A = Q * lam @ Q.T
    A = (A + A.T) / 2
    made = 4 * n * np.finfo(np.float64).eps * lam[0]  # Q is orthogonal to rounding, and the product rounds
    if rng.random() < 0.5:
        held, rounding = A.astype(np.float32).astype(np.float64), 0.5 * EPS32 * float(np.linalg.norm(A))
    else:
        E = rng.standard_normal((n, n))
        E = (E + E.T) / 2
        rounding = 10.0 ** rng.uniform(-12, -4) * lam[0]
        held = A + rounding * E / np.linalg.norm(E, 2)
    method = str(rng.choice(["dense", "matrix-free", "operator"]))
    return lam, Q, held, rounding + made, method


def violations(seed: int) -> tuple[list[str], float]:
    """Which statements of one case are wrong; the width of the least eigenvalue's interval over its error."""
    lam, Q, held, rounding, method = case(seed)
    rng = np.random.default_rng((seed, 1))
    n = lam.size
    if method == "operator":
        K = Operator(lambda V: held @ V, n, rounding=rounding, diagonal=np.diagonal(held), dtype=np.float64)
    else:
        K = DenseGram(held, rounding=rounding)  # pyright: ignore[reportArgumentType]
    if method == "dense":
        s = spectrum(K, method="dense")
    else:
        options = {
            "k": int(rng.integers(1, 9)),
            "steps": int(rng.integers(2, 20)),
            "k_smallest": int(rng.integers(0, 3)),
        }
        s = spectrum(K, MatrixFree(probes=int(rng.integers(2, 8)), seed=seed, **options))
    slack = 1e-14 * lam[0] * n  # of the sums here
    wrong = []

    def check(name: str, truth: float, low: float, high: float) -> None:
        if not low - slack <= truth <= high + slack:
            wrong.append(f"{name}: {truth!r} not in [{low!r}, {high!r}] (seed {seed}, {method}, n {n})")

    for i, (value, error) in enumerate(zip(s.values, s.errors, strict=True)):
        check(f"eigenvalue {i}", lam[i], value - error, value + error)
    least = s.min_eigenvalue
    check("least", lam[-1], least.lower, least.upper)
    if not s.semidefinite:
        wrong.append(f"called indefinite (seed {seed}, {method}, n {n})")
        return wrong, 0.0
    condition = s.condition
    if lam[-1] > 0:
        check("condition", lam[0] / lam[-1], condition.lower * (1 - 1e-12), condition.upper * (1 + 1e-12))
    p = lam[lam > 0] / lam.sum()
    level = lam[0] * 10.0 ** rng.uniform(-4, 0)
    ridge = max(level, 4 * rounding)
    truths = {
        Entropy(): float(np.exp(-np.sum(p * np.log(p)))),
        Stable(): float(np.sum((lam / lam[0]) ** 2)),
        Intrinsic(): float(lam.sum() / lam[0]),
        Participation(): float(lam.sum() ** 2 / np.sum(lam**2)),
        Dimension(ridge): float(np.sum(lam / (lam + ridge))),
        Dimension(ridge, power=2): float(np.sum((lam / (lam + ridge)) ** 2)),
        Numerical(level / lam[0]): float(np.sum(lam > level)),
    }
    for rank, truth in truths.items():
        if method == "operator" and isinstance(rank, (Stable, Participation)):
            continue  # the norm of an Operator is not known
        if isinstance(rank, Numerical) and np.abs(lam - level).min() < 1e-12 * lam[0]:
            continue
        interval = s.effective_rank_interval(rank)
        check(rank.name, truth, interval.lower * (1 - 1e-12), interval.upper * (1 + 1e-12))
    if method != "dense":
        truth = float(np.sum(np.log1p(lam / ridge)))
        interval = s.log_det(ridge)
        check("log det", truth, interval.lower * (1 - 1e-12) - 1e-12, interval.upper * (1 + 1e-12) + 1e-12)
        for i, (value, error) in enumerate(zip(s.bottom, s.bottom_errors, strict=True)):
            check(f"least eigenvalue {i}", lam[n - 1 - i], value - error, value + error)
        y = Q @ (rng.standard_normal(n) * lam ** rng.choice([0.0, 0.5]))
        shares = (Q.T @ y) ** 2 / (y @ y)
        curve, above = s.alignment_curve_interval(y), s.share_above(y, steps=int(rng.integers(1, 30)))
        if method != "operator":
            fit = s.alignment(y)
            check("alignment", shares @ lam / np.linalg.norm(lam), fit.lower - 1e-12, fit.upper + 1e-12)
        for k, low, high in zip(curve.at, curve.lower, curve.upper, strict=True):
            check(f"share of the first {k}", shares[: int(k)].sum(), low - 1e-12, high + 1e-12)
        for level, low, high in zip(above.at, above.lower, above.upper, strict=True):
            if np.abs(lam - level).min() > 1e-12 * lam[0]:
                check(f"share above {level}", shares[lam >= level].sum(), low - 1e-12, high + 1e-12)
    rank, more = int(rng.integers(1, 12)), int(rng.integers(0, 9))
    found = nystrom(K, rank, oversample=more, power=int(rng.integers(0, 3)), seed=seed)
    left = np.linalg.eigvalsh((Q * lam) @ Q.T - found.times(np.eye(n)))
    check("low rank, below", float(left[0]), -found.below, math.inf)
    check("low rank, above", float(np.abs(left).max()), 0.0, found.error)
    check("low rank, sum", float(np.abs(left).sum()), found.nuclear.lower - n * slack, found.nuclear.upper + n * slack)
    for i in range(n):
        interval = found.eigenvalue(i)
        check(f"low rank, eigenvalue {i}", lam[i], interval.lower, interval.upper)
    if not found.semidefinite:
        wrong.append(f"low rank called indefinite (seed {seed}, {method}, n {n})")
    else:
        interval = found.effective_dimension(ridge)
        check(
            "low rank, dimension", truths[Dimension(ridge)], interval.lower * (1 - 1e-12), interval.upper * (1 + 1e-12)
        )
    if positive_definite(K) and not lam[-1] > -made_of(lam):
        wrong.append(f"certified (seed {seed})")
    return wrong, (least.upper - least.lower) / max(abs(least.estimate - lam[-1]), 1e-16 * lam[0])


def made_of(lam: np.ndarray) -> float:
    return 4 * lam.size * float(np.finfo(np.float64).eps) * float(lam[0])


@pytest.mark.slow(but=["0"])
@pytest.mark.parametrize("part", range(4))
def test_no_statement_is_wrong_in_a_hundred_cases(part: int):
    wrong = [line for seed in range(25 * part, 25 * part + 25) for line in violations(seed)[0]]
    assert not wrong


@pytest.mark.slow
def test_no_statement_is_wrong_in_five_hundred_cases():
    found = [violations(seed) for seed in range(1000, 1500)]
    assert not [line for wrong, _ in found for line in wrong]
    assert np.median([width for _, width in found]) < 100
