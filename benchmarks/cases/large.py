"""Do the leading eigenvalues and the density of 100,000 sequences come in O(n) memory, and in which time?

No matrix is held: at 40 GB it would not fit. Takes about an hour on two cores.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

import ntkseq
from benchmarks.cases.spectra import KERNEL, D, T, inputs
from benchmarks.counts import gram_work
from benchmarks.report import Report
from benchmarks.timing import measure, peak_memory
from ntkseq.spectra import MatrixFree, ranks

SECONDS = (60, 4000)
NAMED_ONLY = True


def run(quick: bool) -> Report:
    """One product, then the spectrum; quick: of 4,096 sequences."""
    report = Report("large")
    n = 4096 if quick else 100_000
    report.table("A spectrum from tiles", f"Of the Gram matrix of {n:,} sequences of {T} steps, which is never held.")
    lazy = ntkseq.lazy(KERNEL, inputs(n))
    V = np.random.default_rng(0).standard_normal((n, 1))
    taken = measure(lambda: lazy.times(V), repeats=1, seconds=0.0)
    report.time(f"one product, n = {n}", taken, work=gram_work(KERNEL, n, T, D))
    found: list[Any] = []
    start = time.perf_counter()
    memory = peak_memory(
        lambda: found.append(ntkseq.spectrum(lazy, MatrixFree(steps=8, max_iterations=8, tol=1e-3))), interval=0.05
    )
    report.add(f"the leading 20 and the density, n = {n}", time.perf_counter() - start, "s")
    report.add("  peak memory beyond the data", memory / 2**30, "GiB", most=2.0)
    spectrum = found[0]
    report.add("  largest eigenvalue", spectrum.values[0], note=f"+- {spectrum.errors[0]:.1e}")
    report.add("  the 20th", spectrum.values[19], note=f"+- {spectrum.errors[19]:.1e}")
    rank = spectrum.effective_rank_interval("entropy")
    report.add("  effective rank (entropy)", rank.estimate, note=f"in [{rank.lower:.4g}, {rank.upper:.4g}]")
    ridge = float(spectrum.trace.estimate) / n
    rank = spectrum.effective_rank_interval(ranks.Dimension(ridge))
    report.add(f"  effective dimension at {ridge:.3g}", rank.estimate, note=f"in [{rank.lower:.4g}, {rank.upper:.4g}]")
    return report
