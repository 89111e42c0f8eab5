"""How are kernel and penalty chosen and tested on a table that names its folds, as the UCI protocols have it?"""

from __future__ import annotations

import dataclasses
import itertools
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from ntkseq import data
from ntkseq.data import npz
from ntkseq.grams import gram
from ntkseq.kernels import Recurrent, depths
from ntkseq.studies import support_vectors

FOLDS = 4
PENALTIES = tuple(10.0**k for k in range(-2, 5))
PENALTIES_RECURRENT = tuple(10.0**k for k in range(-2, 7))
LAYERS = 5
"""Depths of the fully connected networks: layers of weights."""
WIDTHS = tuple(2.0**k for k in (-8, -6, -4, -2, 0, 2))
"""gamma times the number of features, of the Gaussian kernel."""

SIZES = tuple(size for k in range(3, 30) for size in (2**k, 3 * 2 ** (k - 1)))
"""Sizes of arrays for which programs are compiled."""

Grid = Iterator[tuple[Float[np.ndarray, "n n"], str]]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What was chosen on the validation fold and how it did on the others. Accuracies in percent.

    Attributes:
        validation: accuracy on the validation fold.
        tests: accuracy on each of the four folds.
        settings: those that were chosen, in words.
        tried: how many settings there were.
        unconverged: how many of them stood out of the choice, their machines not having converged.
    """

    validation: float
    tests: tuple[float, ...]
    settings: tuple[str, ...]
    tried: int
    unconverged: int


@dataclasses.dataclass(frozen=True)
class Protocol:
    """Kernels and penalties to choose from.

    Attributes:
        grid: (x, the largest norm) -> kernel matrices with their settings in words.
        count: how often `tick` is called, and after how many kernels each time.
        penalties: of the machine.
        vote: whether all settings that tie for best vote, or the first of them is taken.
    """

    grid: Callable[[Any, float, Callable[[], Any]], Grid]
    count: tuple[int, int]
    penalties: tuple[float, ...]
    vote: bool


def outcome(loaded: data.Dataset, path: pathlib.Path, kernel: str, tick: Callable[[], Any]) -> Outcome:
    """Choose on `val_fold` by machines fitted to `train_fold`, then test on `k0_test` .. `k3_test`.

    Raises:
        OSError, ValueError: a file that lacks folds, or whose folds point outside; machines that all do not converge.
    """
    protocol = PROTOCOLS[kernel]
    y, k = np.asarray(loaded.y), len(loaded.classes)
    held, norm = _folds(path, len(y), divided=kernel == "recurrent")
    train, val = held["train_fold"], held["val_fold"]
    best, tried, unconverged = -1.0, 0, 0
    tied: list[tuple[np.ndarray, float, str]] = []
    for K, words in protocol.grid(np.asarray(loaded.x), norm, tick):
        inner, cross = _block(K, train, train), _block(K, val, train)
        machines = support_vectors.path(inner, y[train], protocol.penalties)
        for C, machine in zip(protocol.penalties, machines, strict=True):
            tried += 1
            if machine.fit_status_:
                unconverged += 1
                continue
            score = float(np.mean(machine.predict(cross) == y[val]))
            if score > best:
                best, tied = score, []
            if score == best and (protocol.vote or not tied):
                tied.append((K, C, f"{words}, C {C:g}"))
    if not tied:
        raise ValueError(f"{path}: no machine of {tried} converged on train_fold. Scale X.")
    tests = tuple(
        100 * float(np.mean(_votes(tied, y, held[f"k{i}_train"], held[f"k{i}_test"], k) == y[held[f"k{i}_test"]]))
        for i in range(FOLDS)
    )
    return Outcome(100 * best, tests, tuple(words for _, _, words in tied), tried, unconverged)


def _votes(tied: list[tuple[np.ndarray, float, str]], y: np.ndarray, rest: np.ndarray, out: np.ndarray, k: int) -> Any:
    """The class of most votes for each of `out`, by machines fitted to the `rest`."""
    votes = np.zeros((len(out), k))
    for _, same in itertools.groupby(tied, lambda one: id(one[0])):
        same = list(same)
        inner, cross = _block(same[0][0], rest, rest), _block(same[0][0], out, rest)
        for machine in support_vectors.path(inner, y[rest], [C for _, C, _ in same]):
            votes[np.arange(len(out)), machine.predict(cross)] += 1
    return votes.argmax(axis=1)


def _block(K: Float[np.ndarray, "n n"], rows: np.ndarray, columns: np.ndarray) -> Float[np.ndarray, "r c"]:
    return K[np.ix_(rows, columns)].astype(np.float64)


def _folds(path: pathlib.Path, n: int, *, divided: bool) -> tuple[dict[str, Int[np.ndarray, " k"]], float]:
    """The folds of the file by name, and the norm by which inputs are divided."""
    names = ["train_fold", "val_fold", *(f"k{i}_{part}" for i in range(FOLDS) for part in ("train", "test"))]
    known = npz.arrays(path, [*names, "max_norm"] if divided else names)
    for name in names:
        fold = known[name]
        if fold.dtype.kind not in "iu" or fold.ndim != 1 or not len(fold) or fold.min() < 0 or fold.max() >= n:
            raise ValueError(
                f"{path}: {name} must hold indices of examples, 0..{n - 1}; got {fold.dtype} {fold.shape}."
            )
    norm = float(known["max_norm"]) if divided else 1.0
    if not np.isfinite(norm) or norm <= 0:
        raise ValueError(f"{path}: max_norm must be a number > 0; got {norm}.")
    return known, norm


def _recurrent(x: Float[np.ndarray, "n t d"], norm: float, tick: Callable[[], Any]) -> Grid:
    """Both directions are the sum of the two, as networks that share nothing."""
    x = (x / norm).astype(x.dtype)
    ways = {"reversed": _padded(x[:, ::-1]), "forward": _padded(x)}
    lengths, n = np.full(len(ways["forward"]), x.shape[1], np.int32), len(x)
    for depth, frozen, u, b in itertools.product((1, 2), (False, True), (0.25, 0.5), (0.001, 0.1)):
        kernel = Recurrent.preset("rntk", sigma_u=u, sigma_b=b, depth=depth, train="R" if frozen else "WUbR")
        words = f"sigma_u {u:g}, sigma_b {b:g}, {depth} layer(s){', only the read-out trained' if frozen else ''}"
        found = {way: np.asarray(gram(kernel, one, lengths=lengths))[:n, :n] for way, one in ways.items()}
        found["both"] = found["reversed"] + found["forward"]
        yield from ((K, f"{words}, {way}") for way, K in found.items())
        tick()


def _padded(x: Float[np.ndarray, "n t d"]) -> Float[np.ndarray, "m s d"]:
    """More examples and steps, up to sizes that many tables share: compiling takes longer than most of them do."""
    n, t, _ = x.shape
    rows, steps = (next(size for size in SIZES if size >= k) for k in (max(n, 128), max(t, 8)))
    return np.pad(x, ((0, rows - n), (0, steps - t), (0, 0)))


def _dense(x: Float[np.ndarray, "n t d"], norm: float, tick: Callable[[], Any]) -> Grid:
    for layers, each in enumerate(depths.frozen(x.reshape(len(x), -1), LAYERS), 1):
        for held, K in enumerate(each):
            yield K, f"{layers} layer(s), the first {held} frozen"
            tick()


def _gaussian(x: Float[np.ndarray, "n t d"], norm: float, tick: Callable[[], Any]) -> Grid:
    from sklearn.metrics.pairwise import rbf_kernel

    rows = x.reshape(len(x), -1)
    for width in WIDTHS:
        yield rbf_kernel(rows, gamma=width / rows.shape[1]), f"gamma {width / rows.shape[1]:.4g}"
        tick()


PROTOCOLS = {
    "recurrent": Protocol(_recurrent, (16, 3), PENALTIES_RECURRENT, True),
    "dense": Protocol(_dense, (LAYERS * (LAYERS + 1) // 2, 1), PENALTIES, False),
    "gaussian": Protocol(_gaussian, (len(WIDTHS), 1), PENALTIES, False),
}
