"""How fast are the effective ranks of many attention matrices, beside NumPy's singular values?

Softmax matrices of random scores, as a model with many layers, heads and examples has them; every definition of
effective rank that needs singular values, and one that does not. How time grows with the number of tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import ntkseq
from benchmarks.machine import Work
from benchmarks.report import Report
from benchmarks.timing import measure_in_turn, peak_memory
from ntkseq import spectra

SECONDS = (11, 300)
FASTER = 5.0


def run(quick: bool) -> Report:
    """Each definition agrees with NumPy, then both are timed in turn; then growth."""
    report = Report("attention")
    count, t = (300, 64) if quick else (10_000, 128)
    ranks(report, count, t, quick)
    growths(report, 200 if quick else 1000, (32, 64) if quick else (32, 64, 128, 256))
    return report


def matrices(count: int, t: int) -> jax.Array:
    """Attention of random queries and keys of 16 features, causal in every second matrix."""
    query, key = jax.random.normal(jax.random.key(0), (2, count, t, 16))
    scores = jnp.einsum("aik,ajk->aij", query, key) / 4
    hidden = (jnp.arange(count) % 2 == 1)[:, None, None] & (jnp.arange(t)[:, None] < jnp.arange(t)[None])[None]
    return jax.nn.softmax(jnp.where(hidden, -jnp.inf, scores))


DEFINITIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "entropy": lambda s: np.exp(-np.sum(_shares(s) * np.log(np.maximum(_shares(s), 1e-30)), axis=-1)),
    "participation": lambda s: np.sum(s, axis=-1) ** 2 / np.sum(s * s, axis=-1),
    "stable": lambda s: np.sum(s * s, axis=-1) / s[..., 0] ** 2,
}


def _shares(s: np.ndarray) -> np.ndarray:
    return s / np.sum(s, axis=-1, keepdims=True)


def ranks(report: Report, count: int, t: int, quick: bool) -> None:
    """All matrices in one call; a tenth of them by the other definitions."""
    report.table(
        "Effective ranks",
        f"Seconds for matrices of {t} x {t}, beside NumPy: singular values in float32, and the definition.",
    )
    everything = matrices(count, t)
    few = np.asarray(everything[:50], np.float64)
    for name, definition in list(DEFINITIONS.items())[: 1 if quick else None]:
        A = everything if name == "entropy" else everything[: count // 10]
        held = np.asarray(A)
        ours = partial(spectra.effective_ranks, A, name)
        truth = definition(np.linalg.svd(few, compute_uv=False))
        away = float(np.max(np.abs(np.asarray(spectra.effective_ranks(A[:50], name)) / truth - 1)))
        report.agree(f"{name}, 50 of them", away, 1e-3, peer="NumPy in float64")
        theirs = partial(_by_numpy, held, definition)
        times = measure_in_turn({"ours": ours, "numpy": theirs}, repeats=3)
        # the Gram matrix of one side, symmetric, and its tridiagonal form: the least that gives all singular values
        work = Work(flops=len(A) * (t**3 + 4 / 3 * t**3), bytes=4.0 * len(A) * t * t)
        report.time(
            f"{name}, {len(A)} of {t} x {t}", times["ours"], times["numpy"], peer="numpy.linalg.svd", work=work,
            memory=peak_memory(ours), least=None if quick else FASTER,
        )  # fmt: skip
    values = ntkseq.effective_rank(np.asarray(everything[0]))
    apart = abs(values / float(spectra.effective_ranks(everything[0])) - 1)
    report.agree("one matrix by effective_rank", apart, 1e-3, peer="the batch")


def _by_numpy(A: np.ndarray, definition: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    return definition(np.linalg.svd(A, compute_uv=False))


def growths(report: Report, count: int, sizes: tuple[int, ...]) -> None:
    """The exponent of time in the number of tokens."""
    report.table("Growth", "Exponent of seconds in the number of tokens, beside that of the count of operations.")
    calls: dict[str, Callable[[], Any]] = {str(t): partial(spectra.effective_ranks, matrices(count, t)) for t in sizes}
    times = measure_in_turn(calls, repeats=3)
    seconds = [timing.median for timing in times.values()]
    report.growth(f"in t, {count} matrices, from {sizes[0]}", "t", list(map(float, sizes)), seconds, 3.0)
