"""What do certified bounds say on real data sets, and what does a posterior cost beside the eigendecomposition?

On pairs of handwritten digits, which come with the package, and on the two-class tables and series of the folder that
NTKSEQ_DATA names: the best certified bound, that of posteriors that learn from what pays, of the mean predictor, the
error on the tested share, and the share outside the largest class. Then the seconds of a grid of posteriors beside
NumPy's eigendecomposition, from which it starts.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

import ntkseq
from benchmarks.report import Report
from benchmarks.timing import measure_in_turn
from ntkseq import bounds, data, kernels
from ntkseq.bounds import posteriors
from ntkseq.bounds.gibbs import forms_of, named, prepared
from ntkseq.bounds.inequalities import Kl

SECONDS = (40, 1500)
DEPTHS, BIASES = (1, 2, 4), (0.1, 1.0)
KERNELS = {
    f"depth {depth}, bias {bias:g}": kernels.Dense(sigma_w=2**0.5, sigma_b=bias, depth=depth)
    for depth, bias in itertools.product(DEPTHS, BIASES)
}
"""Neural tangent kernels of relu networks, declared before any data are seen."""
LEAST, MOST, QUICK = 100, 1100, 140
"""Numbers of examples of the sets that are taken; the last is the most of a collection with --quick."""
SETTINGS = 500
ROWS, COLUMNS = (256, 1120), (8, 16, 32, 64, 192)
"""To which the inputs of a set are padded."""


def run(quick: bool) -> Report:
    """The table over the data sets, then the time per posterior."""
    report = Report("bounds")
    sets(report, quick)
    for n in (500,) if quick else (1000, 4000):
        cost(report, n, None if quick else 1.0)
    return report


def sets(report: Report, quick: bool) -> None:
    """What is proved on each set, and medians over those of one collection."""
    report.table(
        "Data sets",
        "Certified bounds on the probability of an error at delta = 0.05 (ours), beside the share outside "
        "the largest class, which needs no inputs (other): below it a bound says something.",
    )
    kept: dict[str, list[tuple[float, ...]]] = {}
    for group, name, x, y in (*digits(), *tables(report), *series(report)):
        if quick and len(y) > QUICK and (group != "digits" or "digits" in kept):
            continue
        row = proved(x, y, quick)
        kept.setdefault(group, []).append(row)
        note = f"learned {row[1]:.3f}, mean predictor {row[2]:.3f}, tested {row[3]:.3f}"
        report.versus(f"{name}, n = {len(y)}", row[0], row[4], "", peer="the rarer classes", note=note)
    for group, rows in kept.items():
        if not quick or group == "digits":
            summary(report, group, np.array(rows), quick)
    if "uci" in kept:
        report.left_out(
            "a caution on the uci tables: their publishers standardised the columns over all examples, so that a "
            "prior that is blind to what pays is assumed there, not true"
        )


def summary(report: Report, group: str, values: np.ndarray, quick: bool) -> None:
    """Medians over the sets of a collection."""
    wanted: dict[str, Any] = {"most": 0.33} if group == "uci" and not quick else {}
    name = f"{group}, {len(values)} sets"
    report.add(f"{name}: median of the best certified Gibbs bounds", float(np.median(values[:, 0])), **wanted)
    parts = ("posteriors that learned from what pays", "the mean predictor", "the error on the tested share")
    for column, part in enumerate(parts, 1):
        report.add(f"  median of {part}, {group}", float(np.median(values[:, column])))
    wanted = {"most": 2} if group == "uci" and not quick else {}
    report.add(f"  sets with a best bound of 1/2 or more, {group}", float(np.sum(values[:, 0] >= 0.5)), **wanted)
    wanted = {"least": 0.5} if group == "ucr" else {}
    below = float(np.mean(values[:, 0] < values[:, 4]))
    report.add(f"  share of sets below that of the rarer classes, {group}", below, **wanted)


def proved(x: np.ndarray, y: np.ndarray, quick: bool) -> tuple[float, ...]:
    """The best certified bound, that of posteriors that learn from what pays, of the mean predictor; tested, rarer."""
    codes = np.unique(y, return_inverse=True)[1]
    k = int(codes.max()) + 1
    loss, labels = ("zero-one", 2.0 * codes - 1.0) if k == 2 else ("argmax", np.eye(k)[codes])
    grams: dict[str, Any] = {  # decomposed once, for both searches
        name: prepared(K, labels, named(loss)) for name, K in kernels_of(x, quick).items()
    }
    found = bounds.Search(kernels=tuple(grams), loss=loss).bounds(grams, labels)
    assert all(one.certified for one in found)
    learned = min(float(one.value or 1.0) for one in found if one.constants.scale > 0)
    tested = next(one.constants.loss for one in found if one.constants.scale == 0)
    mean = bounds.Search(kernels=tuple(grams), loss=loss, predictor="mean").best(grams, labels)
    rarer = 1.0 - float(np.bincount(codes).max()) / len(y)
    return float(found[0].value or 1.0), learned, float(mean.value or 1.0), tested, rarer


def kernels_of(x: np.ndarray, quick: bool) -> dict[str, Any]:
    """The Gram matrix of every kernel: of inputs padded to few shapes, for each of which three programs are compiled.

    Columns of zeros leave inner products as they are; that these are divided by the number of columns is undone. Rows
    are repeated, and left out of the matrix again.
    """
    n, d = x.shape
    rows = next((size for size in ROWS if n <= size), n)
    columns = next((size for size in COLUMNS if d <= size), d)  # a program takes 0.1 s to compile for each of them
    wide = np.zeros((rows, columns), np.float32)
    wide[:, :d] = x[np.minimum(np.arange(rows), n - 1)] * np.float32(math.sqrt(columns / d))
    return {
        name: ntkseq.gram(kernel, wide).take(slice(n)) for name, kernel in list(KERNELS.items())[: 2 if quick else None]
    }


Sets = Iterator[tuple[str, str, np.ndarray, np.ndarray]]


def digits() -> Sets:
    """Pairs of digits that come with the package."""
    for pair in ((3, 8), (1, 7), (4, 9), (5, 6)):
        x, y = data.bundled.digits(classes=pair)
        yield "digits", f"digits {pair[0]} and {pair[1]}", np.asarray(x).reshape(len(x), -1), np.asarray(y)


def tables(report: Report) -> Sets:
    """Two-class tables of the UCI collection in the folder NTKSEQ_DATA."""
    for path in _files(report, "uci90"):
        with np.load(path) as held:
            x, y = np.asarray(held["X"], np.float32), np.asarray(held["y"])
        if LEAST <= len(y) <= MOST and len(np.unique(y)) == 2:
            yield "uci", path.stem, x, y


def series(report: Report) -> Sets:
    """Training splits of the UCR collection, laid out as vectors; windows of one series are not among them."""
    for path in _files(report, "ucr"):
        with np.load(path) as held:
            x, y = np.asarray(held[f"{path.stem}_TRAIN"], np.float32), np.asarray(held["y_TRAIN"])
        if len(y) >= LEAST:
            yield "ucr", path.stem, np.nan_to_num(x.reshape(len(x), -1)), y


def _files(report: Report, collection: str) -> list[Path]:
    folder = os.environ.get("NTKSEQ_DATA")
    if not folder:
        report.left_out(f"{collection}: set NTKSEQ_DATA to the folder of data sets to have them")
        return []
    return sorted(Path(folder, collection).glob("*.npz"))


def cost(report: Report, n: int, least: float | None) -> None:
    """A grid of posteriors beside the eigendecomposition that it starts from, on one set."""
    if n <= 1000:
        report.table(
            "Posteriors",
            "Seconds of a grid of posteriors beside the eigendecomposition that it starts from.",
        )
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, 8)).astype(np.float32)
    y = np.sign(x[:, 0] + 0.5 * rng.standard_normal(n))
    K = ntkseq.gram(KERNELS["depth 1, bias 1"], x)
    loss = named("zero-one")
    process = bounds.Prior().process(prepared(K, y, loss), np.arange(len(y)))
    problem = posteriors.Problem(process, 1.0, forms_of(loss, "gibbs"), (Kl(),), 3.0)
    side = math.isqrt(SETTINGS - 1) + 1  # means by covariances
    matrix = np.asarray(K.dense(), np.float64)
    with mock.patch.object(posteriors, "NOISES", side - 1):  # and none
        times = measure_in_turn(
            {"eigh": lambda: np.linalg.eigh(matrix), "grid": lambda: posteriors.choose(problem, bounds.Regression())},
            repeats=3 if n <= 1000 else 1,
        )
    report.time(f"{side**2} posteriors, n = {n}", times["grid"], times["eigh"], peer="numpy.linalg.eigh",
                least=least)  # fmt: skip
    report.add(f"  one posterior of {side**2}, n = {n}", times["grid"].median / side**2, "s")
