"""What can be proved from a Gram matrix that lies in a file, and labels?"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from ntkseq import _checks, bounds, data
from ntkseq.data import npz
from ntkseq.grams import as_gram
from ntkseq.studies import two_classes
from ntkseq.studies.records import check_fields
from ntkseq.studies.stored_grams import Matrix, matrix_of
from ntkseq.studies.tangent.ridge import choose_ridge


@dataclasses.dataclass(frozen=True)
class GramBounds(Matrix):
    """Generalization bounds from a stored Gram matrix and labels, those that hold at once first.

    FILE is an .npz with K and y, such as the arrays.npz of a study, an .npy, or the folder that ntkseq gram filled;
    these two need --labels. The kernel must have been fixed before the examples were seen; the bounds count what you
    compared on them by --tried.
    """

    labels: str | None = None
    """A file with the labels, in the order of the matrix: .npy, .npz with y, or the file with the sequences. Default: y
    of FILE."""
    positive: str | None = None
    """The class that is +1, against the rest at -1. Default: the second of two, the first of more."""
    reg: float | None = None
    """Ridge of the predictor. Default: by leave-one-out."""
    delta: float = 0.05
    """Probability that a bound fails."""
    norm_grid: float = 1.0
    """B0 of the Rademacher and margin bounds, to be fixed before seeing the labels."""
    depth: int = 1
    """Number of layers of the network, for the bounds of networks."""
    tried: int = 1
    """How many settings you compared on these data; the bounds count them."""

    def __post_init__(self) -> None:
        check_fields(self)
        _checks.probability("delta", self.delta)
        _checks.nonnegative("norm_grid", self.norm_grid, positive=True)
        for name in ("depth", "tried"):
            _checks.positive_int(name, getattr(self, name))
        for name in ("rounding", "reg"):
            if getattr(self, name) is not None:
                _checks.nonnegative(name, getattr(self, name))


def gram_bounds(asked: GramBounds, *, say: Callable[[str], Any] | None = None) -> bounds.BoundTable:
    """The table of bounds.

    Args:
        asked: what is asked.
        say: called with lines on the matrix and the labels before anything is computed.

    Raises:
        ValueError: no such array, no symmetric matrix, labels of another number, one class only.
        OSError: a file that cannot be read.
    """
    say = say or (lambda line: None)
    K, _ = matrix_of(asked, say)
    y, classes = _labels(asked)
    n = K.shape[0]
    if y.shape != (n,):
        raise ValueError(f"{asked.labels or asked.file}: {n} labels are wanted, one for each row; got {y.shape}.")
    aims = _targets(asked, y, classes, say)
    K = as_gram(K).hold()
    trace = float(np.trace(np.asarray(K.array, np.float64)))
    reg, how = choose_ridge(K, aims, trace, asked.reg)
    say(f"ridge {reg:.3g}, {how}")
    return bounds.table(K, aims, delta=asked.delta, reg=reg, B0=asked.norm_grid, depth=asked.depth, tried=asked.tried)


def _labels(asked: GramBounds) -> tuple[np.ndarray, tuple[str, ...]]:
    """The labels as they lie there, and the names of their classes."""
    path = pathlib.Path(asked.labels or asked.file)
    if path.suffix == ".npy" and asked.labels:
        try:
            return np.load(path, allow_pickle=False), ()
        except ValueError as error:
            raise ValueError(f"{path} is no array of labels: {error}") from None
    names = npz.names(path) if path.suffix == ".npz" else ()
    if "y" in names:
        held = npz.arrays(path, [name for name in ("y", "classes") if name in names])
        return held["y"], tuple(map(str, held.get("classes", ())))
    if not asked.labels:
        raise ValueError(f"{asked.file} holds no labels y. Pass --labels FILE.")
    loaded = data.load(path)
    if loaded.y is None:
        raise ValueError(f"{path} holds no labels.")
    return np.asarray(loaded.y), loaded.classes


def _targets(asked: GramBounds, y: np.ndarray, classes: tuple[str, ...], say: Callable[[str], Any]) -> np.ndarray:
    """Signs of the two-class problem, or numbers to predict."""
    kinds = np.unique(y)
    if y.dtype.kind == "f" and len(kinds) > 2 and not classes:
        if asked.positive is not None:
            raise ValueError("positive picks a class; the labels are numbers. Leave it out.")
        say(f"{len(y)} labels, numbers from {y.min():.4g} to {y.max():.4g}")
        return y.astype(np.float64)
    names = tuple(classes[int(code)] if classes else str(code) for code in kinds.tolist())
    if len(kinds) < 2:
        raise ValueError(f"the labels need two classes; got {', '.join(names)} alone.")
    chosen = two_classes.positive(names, asked.positive)
    say(f"{len(y)} labels: {two_classes.words(names, chosen)}")
    return np.where(y == kinds[chosen], 1.0, -1.0)
