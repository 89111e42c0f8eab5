"""Is a sampled rounding right as often as it says, far below the stated one, and does it notice a wrong matrix?"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import ntkseq
from ntkseq import bounds, grams, kernels, predictors
from ntkseq.grams.auditing import above

KERNEL = kernels.Recurrent(sigma_w=1.4, sigma_b=0.1)


N = 40  # always the same: compiling is what takes time here


def examples() -> np.ndarray:
    n = N
    x = np.random.default_rng(0).standard_normal((n, 6, 2))
    x[: n // 4] *= 30.0
    x[1] = x[0] * (1 + 1e-3)
    return x.astype(np.float32)


@functools.cache
def known() -> tuple[np.ndarray, grams.DenseGram, np.ndarray]:
    """Examples, their Gram in float32 and its entries in float64."""
    x = examples()
    return x, ntkseq.gram(KERNEL, x), double(KERNEL, x)


def words(K: object) -> str:
    """Its `repr` in one line."""
    return " ".join(repr(K).split())


def double(kernel: kernels.Kernel, x: np.ndarray, lengths: np.ndarray | None = None) -> np.ndarray:
    """All entries in float64, by the kernel called in one piece."""
    with jax.enable_x64(True):
        return np.asarray(kernel(jnp.asarray(x, jnp.float64), lengths=lengths))


@pytest.mark.slow(but=["0.01-0.02"])
@pytest.mark.parametrize("p", [1e-3, 0.02, 0.3, 0.9])
@pytest.mark.parametrize("delta", [1e-6, 1e-2, 0.3])
def test_the_bound_of_a_mean_fails_no_more_often_than_it_says_and_not_much_less(p: float, delta: float):
    m = 200
    hits = np.arange(m + 1)
    bounds = np.array([above(int(k) / m, m, delta) for k in hits])
    failing = float(np.sum(stats.binom.pmf(hits[bounds < p], m, p)))  # exact, for hits and misses
    assert failing <= delta
    exact = float(stats.binom.isf(1 - delta, m, p))  # hits of which fewer are seen with probability delta
    if exact > 3:
        assert above((exact - 1) / m, m, delta) < 2.0 * p + 5.0 * np.log(1 / delta) / m


def test_the_bound_of_a_mean_of_zeros_is_the_closed_form():
    assert above(0.0, 1000, 1e-6) == pytest.approx(1 - 1e-6 ** (1 / 1000), rel=1e-9)
    assert above(1.0, 1000, 1e-6) >= 1.0


@pytest.mark.slow
def test_the_rounding_bounds_the_error_and_is_far_below_the_stated_one():
    x, K, exact = known()
    gap = np.asarray(K, np.float64) - exact
    for seed in range(5):
        A = grams.audit(K, KERNEL, x, pairs=4000, seed=seed)
        assert np.linalg.norm(gap) <= A.rounding < 0.1 * K.rounding
    assert A.frobenius and A.symmetric and A.entrywise == K.entrywise
    np.testing.assert_array_equal(np.asarray(A), np.asarray(K))
    more = grams.audit(K, KERNEL, x, pairs=40_000)
    assert more.rounding < 0.6 * A.rounding
    assert "AuditedGram(DenseGram(40 x 40, symmetric, float32" in words(A) and "4000 pairs" in words(A)


@pytest.mark.slow
def test_a_part_is_audited_as_the_whole_and_says_so_wherever_it_goes():
    x, K, exact = known()
    A = grams.audit(K, KERNEL, x, pairs=4000, delta=1e-4)
    which = np.array([7, 1, 0, 20, 33])
    part = A.take(which)
    want = exact[np.ix_(which, which)]
    assert (
        np.linalg.norm(np.asarray(part, np.float64) - want) <= part.rounding <= min(A.rounding, K.take(which).rounding)
    )
    assert "AuditedGram(DenseGram(5 x 5" in words(part) and "but for probability 0.0001" in words(part)
    assert "but for probability 0.0001" in words(A.take(slice(3, 5)).take([1]))
    i, j = part.audit.draw(np.ones(5), stream=1).i, np.arange(5)
    assert i.max() == 4
    np.testing.assert_allclose(part.audit.reference(j, j[::-1]), want[j, j[::-1]], rtol=1e-12)
    found = ntkseq.spectrum(part)
    assert "but for probability 0.0001" in found.method
    assert np.all(np.abs(found.values - np.linalg.eigvalsh(want)[::-1]) <= found.errors)
    said = [a.evidence for a in bounds.rademacher(part, np.ones(5), reg=1.0).assumptions if a.name == "rounding"]
    assert said == ["as the Gram matrix states it, but for probability 0.0001"]
    process = predictors.gaussian_process(part, np.ones(5), noise=1.0)
    assert process.estimated == "the rounding was audited, and holds but for probability 0.0001"


def planted(kind: str, seed: int, e: float = 1e-3) -> tuple[grams.DenseGram, float]:
    """A Gram with errors that are made to be missed, within |E_ij| <= e d_i d_j, and their norm."""
    rng = np.random.default_rng(seed)
    exact = known()[2]
    d = np.sqrt(np.diagonal(exact))
    n = len(d)
    E = rng.uniform(-1e-3, 1e-3, (n, n))
    if kind == "few":  # as large as allowed, where a sample hardly looks
        E[rng.random((n, n)) < 0.02] = 0.99
    elif kind == "signs":
        E = 0.99 * np.sign(np.outer(*rng.standard_normal((2, n))))
    elif kind == "row":
        E[int(rng.integers(n))] = 0.99
    E = np.triu(E) + np.triu(E, 1).T
    held = exact + e * E * np.outer(d, d)
    norm = float(np.linalg.norm(held.astype(np.float32) - exact))
    stated = dict(rounding=e * float(np.sum(d**2)), symmetric=True, frobenius=True, entrywise=e)
    return grams.DenseGram(held.astype(np.float32), **stated), norm  # pyright: ignore[reportArgumentType]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["even", "few", "signs", "row"])
def test_errors_that_are_made_to_be_missed_lie_within_the_rounding(kind: str):
    x = known()[0]
    for seed in range(30):
        K, norm = planted(kind, seed)
        rounding = grams.audit(K, KERNEL, x, pairs=300, delta=1e-3, seed=seed).rounding
        assert norm <= rounding <= K.rounding


@pytest.mark.slow
def test_the_same_seed_gives_the_same_rounding_and_streams_differ():
    x, K, _ = known()
    A, B = (grams.audit(K, KERNEL, x, pairs=500) for _ in range(2))
    assert A.rounding == B.rounding != grams.audit(K, KERNEL, x, pairs=500, seed=1).rounding
    one, other = (A.audit.draw(A.audit.size, stream) for stream in (1, 2))
    assert not np.array_equal(one.i, other.i)


def test_pairs_are_drawn_as_often_as_their_weights_say_and_never_where_they_are_zero():
    x, K, _ = known()
    audit = grams.audit(K, KERNEL, x, pairs=40_000).audit
    weight = np.zeros(N)
    weight[[1, 2, 30]] = 1.0, 5.0, 2.0
    sample = audit.draw(weight, stream=3)
    counts = np.zeros((N, N))
    np.add.at(counts, (sample.i, sample.j), 1)
    np.testing.assert_allclose(counts / 40_000, np.outer(weight, weight) / 64, atol=0.012)  # 5 standard deviations


def test_errors_of_a_sample_are_those_of_the_entries():
    x, K, exact = known()
    audit = grams.audit(K, KERNEL, x, pairs=300).audit
    sample = audit.draw(np.ones(N), stream=1)
    d = np.sqrt(np.diagonal(exact))
    want = (np.asarray(K, np.float64) - exact)[sample.i, sample.j] / (audit.entrywise * d[sample.i] * d[sample.j])
    np.testing.assert_allclose(sample.error, want, atol=1e-7)  # float64 in tiles of another shape, in units of e
    assert np.abs(want).max() > 1e-3


OTHERS = [
    2.0 * kernels.Recurrent(sigma_w=jnp.float32(1.3)) + kernels.LinearRecurrent(),
    *(
        pytest.param(kernel, marks=pytest.mark.slow)
        for kernel in (
            kernels.Recurrent(sigma_w=0.9, activation="erf", read="mean", depth=2),
            kernels.Bidirectional(),
        )
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("kernel", OTHERS, ids=lambda k: type(k).__name__)
def test_other_kernels_and_lengths_are_audited(kernel: kernels.Kernel):
    x = examples()
    lengths = np.random.default_rng(0).integers(2, 7, N)
    K = ntkseq.gram(kernel, x, lengths=lengths)
    A = grams.audit(K, kernel, x.astype(np.float64), lengths=lengths, pairs=500)
    gap = np.asarray(K, np.float64) - double(kernel, x, lengths)
    assert np.linalg.norm(gap) <= A.rounding < 0.5 * K.rounding


@pytest.mark.slow
def test_a_kernel_that_is_sampled_keeps_its_rounding():
    """Its error is that of sampling, in float64 too."""
    x = examples()
    kernel = kernels.Gated()
    K = ntkseq.gram(kernel, x)
    assert grams.audit(K, kernel, x, pairs=500).rounding == K.rounding


def test_a_matrix_of_zeros_keeps_its_rounding_of_zero():
    x = np.zeros((N, 6, 2), np.float32)
    kernel = kernels.Recurrent(sigma_b=0.0)
    A = grams.audit(ntkseq.gram(kernel, x), kernel, x, pairs=10)
    assert A.rounding == 0.0
    assert ntkseq.spectrum(A).errors.max() < 1e-300


@pytest.mark.slow
def test_what_cannot_be_audited_is_turned_away_at_the_door():
    x, K, _ = known()
    with pytest.raises(ValueError, match=r"times what K.entrywise allows. Either K was not computed from"):
        grams.audit(K, KERNEL.with_(sigma_w=1.3), x)
    with pytest.raises(ValueError, match=r"got K of shape .40, 40. and 39 examples"):
        grams.audit(K, KERNEL, x[:39])
    with pytest.raises(ValueError, match=r"got LazyGram. Hold it"):
        grams.audit(ntkseq.lazy(KERNEL, x), KERNEL, x)
    with pytest.raises(ValueError, match=r"got ndarray. Pass what gram"):
        grams.audit(np.asarray(K), KERNEL, x)
    with pytest.raises(ValueError, match="symmetric=False"):
        grams.audit(ntkseq.gram(KERNEL, x, x[:5]), KERNEL, x)
    with pytest.raises(ValueError, match=r"got entrywise=None. Compute in float64"):
        grams.audit(grams.DenseGram(np.eye(N, dtype=np.float32), rounding=0.0), KERNEL, x)
    with pytest.raises(ValueError, match="pairs must be an integer >= 1"):
        grams.audit(K, KERNEL, x, pairs=0)
    with pytest.raises(ValueError, match="delta must lie strictly between"):
        grams.audit(K, KERNEL, x, delta=1.0)
    with jax.enable_x64(True):
        fine = grams.DenseGram(jnp.eye(N, dtype=jnp.float64), entrywise=1e-15)
        with pytest.raises(ValueError, match="coarser than float64"):
            grams.audit(fine, KERNEL, x.astype(np.float64))
