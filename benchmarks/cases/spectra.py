"""Do spectra from products alone agree with all eigenvalues, and what do they cost, up to sizes where nothing fits?"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

import ntkseq
from benchmarks.report import Report
from benchmarks.timing import measure_in_turn, peak_memory
from ntkseq import kernels
from ntkseq.spectra import Full, MatrixFree, ranks

KERNEL = kernels.Recurrent(sigma_w=1.0, sigma_u=1.0, sigma_b=0.1)
T, D = 32, 4
PEER_TOL = 1e-6


def run(quick: bool) -> Report:
    """A lazy Gram beside the held one, then the matrix-free spectrum beside dense and beside the peers."""
    report = Report("spectra")
    products(report, 1024 if quick else 4096)
    agreement(report, 512 if quick else 4096)
    peers(report, 512 if quick else 4096)
    return report


def large() -> Report:
    """n = 100,000 sequences: the leading 20 eigenvalues and a density in O(n) memory. Takes about an hour."""
    report = Report("spectra-large")
    n = 100_000
    lazy = ntkseq.lazy(KERNEL, inputs(n))
    start = time.perf_counter()
    lazy.times(np.random.default_rng(0).standard_normal((n, 1)))
    once = time.perf_counter() - start
    report.add(f"one product, n = {n}, t = {T}", once, "s")
    report.add("  per pair and step, of the full square", once / (n * n * T) * 1e9, "ns")
    found: list[Any] = []
    start = time.perf_counter()
    memory = peak_memory(
        lambda: found.append(ntkseq.spectrum(lazy, MatrixFree(steps=8, max_iterations=8, tol=1e-3))), interval=0.05
    )
    report.add("the leading 20 and the density", time.perf_counter() - start, "s")
    report.add("  peak memory beyond the data", memory / 2**30, "GiB", most=2.0)
    spectrum = found[0]
    report.add("  largest eigenvalue", spectrum.values[0], note=f"+- {spectrum.errors[0]:.1e}")
    report.add("  the 20th", spectrum.values[19], note=f"+- {spectrum.errors[19]:.1e}")
    rank = spectrum.effective_rank_interval("entropy")
    report.add("  effective rank (entropy)", rank.estimate, note=f"in [{rank.lower:.4g}, {rank.upper:.4g}]")
    ridge = float(spectrum.trace.estimate) / n
    rank = spectrum.effective_rank_interval(ranks.Dimension(ridge))
    report.add(f"  effective dimension at {ridge:.3g}", rank.estimate, note=f"in [{rank.lower:.4g}, {rank.upper:.4g}]")
    print(spectrum)
    return report


def inputs(n: int) -> np.ndarray:
    """n random sequences."""
    return np.random.default_rng(0).standard_normal((n, T, D)).astype(np.float32)


def products(report: Report, n: int) -> None:
    """What a product costs beside the tiles it is made of."""
    x = inputs(n)
    lazy, V = ntkseq.lazy(KERNEL, x), np.random.default_rng(1).standard_normal((n, 64))
    held = np.asarray(ntkseq.gram(KERNEL, x).dense(), np.float64) @ V
    error = float(np.abs(lazy.times(V) - held).max() / np.abs(held).max())
    report.add(f"lazy product, n = {n}: difference from the held matrix", error, "rel", most=1e-13)
    calls: dict[str, Callable[[], Any]] = {
        "gram": lambda: ntkseq.gram(KERNEL, x),
        "one": lambda: lazy.times(V[:, 0]),
        "block": lambda: lazy.times(V[:, :28]),
    }
    times = measure_in_turn(calls, repeats=5)
    report.add("  the tiles alone (gram)", times["gram"].median / (n * n * T) * 1e9, "ns/pair-step")
    for name, text in (("one", "one vector"), ("block", "28 vectors")):
        report.add(f"  a product with {text}", times[name].median / (n * n * T) * 1e9, "ns/pair-step")
        report.add("    over the tiles alone", times[name].median / times["gram"].median, "x", most=1.5)
    report.add("  peak memory of a product", peak_memory(lambda: lazy.times(V[:, :28])) / 2**20, "MiB")


def agreement(report: Report, n: int) -> None:
    """The matrix-free path and all eigenvalues: how far apart, and how wide the intervals are."""
    K = ntkseq.gram(KERNEL, inputs(n))
    start = time.perf_counter()
    dense = ntkseq.spectrum(K, Full())
    report.add(f"all eigenvalues, n = {n}", time.perf_counter() - start, "s")
    start = time.perf_counter()
    free = ntkseq.spectrum(K, MatrixFree(k_smallest=1, steps=200, max_iterations=200))
    report.add("  both ends and the density, matrix-free", time.perf_counter() - start, "s", note=free.method)
    apart = np.abs(free.values - dense.values[:20]) / (free.errors + dense.errors[:20])
    report.add("  leading 20: difference over the stated errors", float(apart.max()), "", most=1.0)
    a, b = free.min_eigenvalue, dense.min_eigenvalue
    gap = abs(a.estimate - b.estimate) / ((a.upper - a.lower + b.upper - b.lower) / 2)
    report.add("  least: difference over the stated errors", gap, "", most=1.0, note=f"{a} against {b}")
    for ridge in (1.0, 0.1):
        truth = float(np.sum(dense.values / (dense.values + ridge)))
        interval = free.effective_rank_interval(ranks.Dimension(ridge))
        away = abs(interval.estimate - truth) / max(interval.upper - interval.lower, 1e-300) * 2
        note = f"{truth:.6g} in [{interval.lower:.6g}, {interval.upper:.6g}]"
        report.add(f"  effective dimension at {ridge:g}: difference over the error", away, "", most=2.0, note=note)


def peers(report: Report, n: int) -> None:
    """The leading eigenvalues beside SciPy's ARPACK, and a trace of a function beside matfree's quadrature."""
    import scipy.sparse.linalg

    A = np.asarray(ntkseq.gram(KERNEL, inputs(n)).dense(), np.float64)
    count = [0]

    def product(v: np.ndarray) -> np.ndarray:
        count[0] += 1
        return A @ v

    operator = scipy.sparse.linalg.LinearOperator(A.shape, matvec=product, dtype=np.float64)
    theirs = scipy.sparse.linalg.eigsh(operator, k=20, tol=PEER_TOL, return_eigenvectors=False)[::-1]
    from ntkseq.spectra.krylov import pairs

    ours = pairs(lambda V: A @ V, n, 20, tol=PEER_TOL)
    report.add("leading 20 beside ARPACK: difference", float(np.abs(ours.values / theirs - 1).max()), "rel", most=1e-6)
    report.add("  products, ours (a block each)", ours.products)
    report.add("  products, ARPACK (a vector each)", count[0])
    report.add("  passes over a lazy Gram saved", count[0] / ours.products, "x")
    try:
        from matfree import decomp, funm, stochtrace
    except ImportError:
        print("matfree is left out: it is not installed")
        return
    with jax.enable_x64(True):
        import jax.numpy as jnp

        matrix = jnp.asarray(A)
        tridiagonal = decomp.tridiag_sym(16)
        problem = funm.monte_carlo_funm_sym_logdet(tridiagonal)
        sampler = stochtrace.sampler_normal(jnp.ones(n), num=10)
        estimate = stochtrace.estimator_monte_carlo(problem, sampler=sampler)
        ridge = 1.0
        found = float(estimate(lambda v: matrix @ v / ridge + v, jax.random.key(0)))
    spectrum = ntkseq.spectrum(np.asarray(A), MatrixFree(steps=16))
    truth = float(np.sum(np.log1p(np.maximum(np.linalg.eigvalsh(A), 0) / ridge)))
    ours_ = spectrum.log_det(ridge)
    report.add("log det(I + K), ours: error", abs(ours_.estimate / truth - 1), "rel", note=f"{truth:.6g} in {ours_}")
    report.add("  matfree with as many probes and steps: error", abs(found / truth - 1), "rel", note="no interval")
