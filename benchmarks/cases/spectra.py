"""Do spectra from products alone agree with all eigenvalues, and what do they cost beside SciPy and matfree?

All eigenvalues with their errors beside NumPy's eigvalsh; a product of a Gram matrix that is never held beside the
tiles it is made of; the leading eigenvalues beside SciPy's ARPACK, counted in passes over the matrix; a
log-determinant beside matfree's quadrature; how time grows with n.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np

import ntkseq
from benchmarks.counts import gram_work
from benchmarks.machine import Work
from benchmarks.report import Report
from benchmarks.timing import measure_in_turn, peak_memory
from ntkseq import kernels
from ntkseq.spectra import Full, MatrixFree, ranks

SECONDS = (21, 300)
KERNEL = kernels.Recurrent(sigma_w=1.0, sigma_u=1.0, sigma_b=0.1)
T, D = 32, 4
PEER_TOL = 1e-6


def run(quick: bool) -> Report:
    """All eigenvalues, a lazy Gram beside the held one, the matrix-free spectrum beside dense and beside the peers."""
    report = Report("spectra")
    n = 512 if quick else 4096
    dense(report, n)
    products(report, 1024 if quick else 4096, quick)
    agreement(report, n // 2 if quick else n)
    peers(report, n // 2 if quick else n)
    return report


def inputs(n: int) -> np.ndarray:
    """n random sequences."""
    return np.random.default_rng(0).standard_normal((n, T, D)).astype(np.float32)


def dense(report: Report, n: int) -> None:
    """All eigenvalues with an error for each, beside eigenvalues alone."""
    report.table(
        "All eigenvalues",
        "Seconds of spectrum, which gives an error with each value, beside NumPy's eigvalsh in float64, "
        "which gives none.",
    )
    K = ntkseq.gram(KERNEL, inputs(n))
    held = np.asarray(K.dense(), np.float64)
    ours = ntkseq.spectrum(K, Full())
    apart = np.abs(ours.values[::-1] - np.linalg.eigvalsh(held)) / ours.errors[::-1]
    report.add(f"n = {n}: difference from NumPy over the stated error", float(apart.max()), most=1.0)
    calls: dict[str, Callable[[], Any]] = {
        "ours": lambda: ntkseq.spectrum(K, Full()), "numpy": lambda: np.linalg.eigvalsh(held),
    }  # fmt: skip
    times = measure_in_turn(calls, repeats=5 if n <= 1024 else 2)
    work = Work(flops=4 / 3 * n**3, double=True)  # to tridiagonal form: what eigenvalues alone need
    report.time(
        f"n = {n}", times["ours"], times["numpy"], peer="eigvalsh", work=work, memory=peak_memory(calls["ours"])
    )
    sizes = [n // 8, n // 4, n // 2]
    parts = {str(m): partial(ntkseq.spectrum, K.take(slice(0, m)), Full()) for m in sizes}
    taken = measure_in_turn(parts, repeats=3)
    report.growth(f"growth in n, up to {n // 2}", "n", list(map(float, sizes)), [t.median for t in taken.values()], 3.0)


def products(report: Report, n: int, quick: bool) -> None:
    """What a product costs beside the tiles it is made of."""
    report.table(
        "Products with a matrix that is not held",
        "Seconds of a product with a lazy Gram matrix, beside gram, which computes the same tiles and keeps them.",
    )
    x = inputs(n)
    lazy, V = ntkseq.lazy(KERNEL, x), np.random.default_rng(1).standard_normal((n, 64))
    held = np.asarray(ntkseq.gram(KERNEL, x).dense(), np.float64) @ V
    error = float(np.abs(lazy.times(V) - held).max() / np.abs(held).max())
    report.agree(f"n = {n}: largest difference", error, 1e-13, peer="the held matrix")
    calls: dict[str, Callable[[], Any]] = {
        "gram": lambda: ntkseq.gram(KERNEL, x),
        "one": lambda: lazy.times(V[:, 0]),
        "block": lambda: lazy.times(V[:, :28]),
    }
    times = measure_in_turn(calls, repeats=5)
    for name, columns, text in (("one", 1, "one vector"), ("block", 28, "28 vectors")):
        work = gram_work(KERNEL, n, T, D)
        work = Work(work.flops + 2.0 * n * n * columns, roots=work.roots, pair_steps=work.pair_steps)
        memory = peak_memory(lambda c=columns: lazy.times(V[:, :c]))
        report.time(f"with {text}, n = {n}, t = {T}", times[name], times["gram"], peer="gram", work=work, memory=memory,
                    least=None if quick else 0.67)  # fmt: skip


def agreement(report: Report, n: int) -> None:
    """The matrix-free path and all eigenvalues: how far apart, and how wide the intervals are."""
    report.table(
        "From products alone",
        "Both ends and the density of the spectrum: how far from all eigenvalues, over what both say of "
        "their error (at most 1).",
    )
    K = ntkseq.gram(KERNEL, inputs(n))
    dense = ntkseq.spectrum(K, Full())
    start = time.perf_counter()
    free = ntkseq.spectrum(K, MatrixFree(k_smallest=1, steps=min(200, n // 5), max_iterations=200))
    report.add(f"seconds, first call, n = {n}", time.perf_counter() - start, "s", note=free.method)
    apart = np.abs(free.values - dense.values[:20]) / (free.errors + dense.errors[:20])
    report.add(f"leading 20, n = {n}", float(apart.max()), "", most=1.0)
    a, b = free.min_eigenvalue, dense.min_eigenvalue
    gap = abs(a.estimate - b.estimate) / ((a.upper - a.lower + b.upper - b.lower) / 2)
    report.add(f"least, n = {n}", gap, "", most=1.0, note=f"{a} against {b}")
    for ridge in (1.0, 0.1):
        truth = float(np.sum(dense.values / (dense.values + ridge)))
        interval = free.effective_rank_interval(ranks.Dimension(ridge))
        away = abs(interval.estimate - truth) / max(interval.upper - interval.lower, 1e-300) * 2
        note = f"{truth:.6g} in [{interval.lower:.6g}, {interval.upper:.6g}]"
        report.add(f"effective dimension at {ridge:g}, n = {n}", away, "", most=2.0, note=note)


def peers(report: Report, n: int) -> None:
    """The leading eigenvalues beside SciPy's ARPACK, and a trace of a function beside matfree's quadrature."""
    import scipy.sparse.linalg

    report.table(
        "Beside SciPy and matfree",
        "Passes over the matrix for the leading 20 eigenvalues, and the error of log det(I + K) from ten "
        "random vectors and sixteen products each.",
    )
    K = ntkseq.gram(KERNEL, inputs(n))
    A = np.asarray(K.dense(), np.float64)
    count = [0]

    def product(v: np.ndarray) -> np.ndarray:
        count[0] += 1
        return A @ v

    operator = scipy.sparse.linalg.LinearOperator(A.shape, matvec=product, dtype=np.float64)
    theirs = scipy.sparse.linalg.eigsh(operator, k=20, tol=PEER_TOL, return_eigenvectors=False)[::-1]
    from ntkseq.spectra.krylov import pairs

    ours = pairs(lambda V: A @ V, n, 20, tol=PEER_TOL)
    report.agree(f"leading 20, n = {n}", float(np.abs(ours.values / theirs - 1).max()), 1e-6, peer="ARPACK")
    report.versus(f"passes over the matrix, n = {n}", ours.products, count[0], "passes", peer="ARPACK, a vector each",
                  steady=True)  # fmt: skip
    calls: dict[str, Callable[[], Any]] = {
        "ours": lambda: pairs(lambda V: A @ V, n, 20, tol=PEER_TOL),
        "arpack": lambda: scipy.sparse.linalg.eigsh(operator, k=20, tol=PEER_TOL, return_eigenvectors=False),
    }
    times = measure_in_turn(calls, repeats=3)
    report.time(f"leading 20 of a held matrix, n = {n}", times["ours"], times["arpack"], peer="ARPACK")
    try:
        from matfree import decomp, funm, stochtrace
    except ImportError:
        report.left_out("matfree, which is not installed (pip install matfree)")
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
    spectrum = ntkseq.spectrum(K, MatrixFree(steps=16))
    truth = float(np.sum(np.log1p(np.maximum(np.linalg.eigvalsh(A), 0) / ridge)))
    ours_ = spectrum.log_det(ridge)
    report.versus(f"log det(I + K), n = {n}: error", abs(ours_.estimate / truth - 1), abs(found / truth - 1), "",
                  peer="matfree, no interval", note=f"{truth:.6g} in {ours_}")  # fmt: skip
