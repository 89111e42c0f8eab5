"""Tables of real data as kernel matrices of training and test examples, for the tests that are marked `data`."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterator

import numpy as np

from ntkseq.predictors import one_hot

SIZES = (200, 500, 1200)  # examples taken of a table: the largest that it has
MOST_CLASSES = 30


@dataclasses.dataclass(frozen=True)
class Table:
    """Kernel matrix of all examples taken, and targets of one kind; the first m are for training."""

    name: str
    kernel: str
    targets: str
    K: np.ndarray
    y: np.ndarray
    m: int


def relu(x: np.ndarray, depth: int) -> np.ndarray:
    """The neural tangent kernel of a relu network with so many hidden layers, in closed form."""
    S = x @ x.T / x.shape[1] + 0.1
    T = S.copy()
    for _ in range(depth):
        norms = np.sqrt(np.outer(np.diag(S), np.diag(S)))
        angle = np.arccos(np.clip(S / norms, -1.0, 1.0))
        S, T = norms * (np.sin(angle) + (np.pi - angle) * np.cos(angle)) / np.pi, T * (np.pi - angle) / np.pi
        T = T + S
    return 0.5 * (T + T.T)


def gaussian(x: np.ndarray) -> np.ndarray:
    """exp(-|x - x'|^2 / w), w half of the median square of the distances."""
    squares = np.sum(x**2, axis=1)
    apart = np.maximum(squares[:, None] + squares - 2.0 * x @ x.T, 0.0)
    K = np.exp(-2.0 * apart / np.median(apart))
    return 0.5 * (K + K.T)


KERNELS = {"relu, 1": lambda x: relu(x, 1), "relu, 3": lambda x: relu(x, 3), "Gaussian": gaussian}


def tables(folder: pathlib.Path, seed: int = 0, most: int = SIZES[-1]) -> Iterator[Table]:
    """Every table with 200 examples or more: two classes as signs, more as one-hot, and their numbers as values."""
    rng = np.random.default_rng(seed)
    for file in sorted((folder / "uci90").glob("*.npz")):
        with np.load(file) as held:
            x, labels = held["X"].astype(np.float64) / held["max_norm"], held["y"].astype(int)
        classes = len(np.unique(labels))
        if len(x) < SIZES[0] or classes > MOST_CLASSES:
            continue
        taken = rng.permutation(len(x))[: max(size for size in SIZES if size <= min(len(x), most))]
        x, labels = x[taken], labels[taken]
        m = min(len(x) // 2, 250)
        targets = (
            {"one-hot": one_hot(labels)} if classes > 2 else {"signs": np.where(labels == labels.min(), 1.0, -1.0)}
        )
        if classes >= 5:
            targets["values"] = (labels - labels[:m].mean()) / labels[:m].std()
        for kernel, of in KERNELS.items():
            K = of(x)
            for kind, y in targets.items():
                yield Table(file.stem, kernel, kind, K, y, m)
