"""How accurate is a support vector machine with a recurrent kernel, chosen and tested by the published protocols?

Question: does the kernel reach the accuracies that are published for it on time series (UCR) and on tables read as
sequences (UCI), when no choice is made on test data?

Command: ntkseq accuracy FILE.npz

Time: 5 to 20 seconds a data set on two cores.

Numbers to expect (test, %; in brackets the published code, ported, on a larger grid): SmoothSubspace 96.0 [94.67],
Coffee 100 [100], GunPoint 95.3 [96.67], ECG200 87.0 [83 to 89], SyntheticControl 97.7 [97.67]; ItalyPowerDemand 96.3,
ArrowHead 78.9 (1-NN: 80.0), JapaneseVowels 96, BasicMotions 95, PickupGestureWiimoteZ 64; iris 97.3 [96.62], wine 99.4
[99.43].
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import pathlib
import time
from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int

from ntkseq import _checks, _display, data, kernels
from ntkseq.data import npz
from ntkseq.grams import gram
from ntkseq.studies.records import Reading
from ntkseq.studies.tangent.size import SHORT, about

PENALTIES = (0.01, 0.1, 1.0, 10.0, 100.0)
PENALTIES_UCI = tuple(10.0**k for k in range(-2, 7))
FOLDS = 10


@dataclasses.dataclass(frozen=True)
class Scored(Reading):
    """Test accuracy of a support vector machine by the published protocols (UCR time series, UCI tables).

    Kernel settings and penalty are chosen on training data only, by cross-validation or on the file's validation fold.
    """

    file: str
    """A file with a test split, or an .npz with folds."""
    protocol: Literal["auto", "ucr", "uci"] = "auto"
    """Which protocol. auto: uci if the file names its folds."""
    seed: int = 0
    """Seed of the cross-validation folds."""


@dataclasses.dataclass(frozen=True)
class Accuracy:
    """What a protocol found. All accuracies in percent.

    Attributes:
        name: of the data set.
        protocol: "ucr" or "uci".
        validation: cross-validated accuracy of the chosen settings ("uci": on the validation fold).
        test: median test accuracy over the chosen settings ("uci": mean over the folds of their vote).
        test_range: least and largest test accuracy among the chosen settings ("uci": among the folds).
        settings: the settings tied at the best validation accuracy.
        tried: how many settings were compared.
    """

    name: str
    protocol: str
    validation: float
    test: float
    test_range: tuple[float, float]
    settings: tuple[str, ...]
    tried: int

    __repr__ = _display.printed

    def __str__(self) -> str:
        low, high = self.test_range
        return (
            f"{self.name}: {'cross-validation' if self.protocol == 'ucr' else 'validation'} {self.validation:.2f} %, "
            f"test {self.test:.2f} % ({low:.2f} .. {high:.2f}), {len(self.settings)} of {self.tried} settings tied"
        )


@dataclasses.dataclass(frozen=True)
class _Setting:
    """A kernel, whether inputs are divided by the largest training norm, and the penalty of the machine."""

    kernel: kernels.Recurrent
    divided: bool
    C: float
    words: str


def accuracy(
    path: str | os.PathLike[str],
    *,
    protocol: Literal["auto", "ucr", "uci"] = "auto",
    seed: int = 0,
    say: Callable[[str], Any] | None = None,
    **reading: Any,
) -> Accuracy:
    """Choose a recurrent kernel and the penalty of a support vector machine without test data, then test once.

    "ucr": stratified 10-fold cross-validation on the training split over the penalty C and a grid of kernel settings;
    the median test accuracy over the settings tied at the best. The grid is a part of the published one: sigma_u = 1,
    sigma_w 1.34, sqrt 2, 2, sigma_b 0, 0.1, 0.5, sigma_h 0, 0.5, one or two layers, inputs as they are or divided by
    the largest training norm; the last step is read out and each example draws its own initial state. Kernels that
    overflow float32 (sigma_w = 2 on long sequences) are left out.

    "uci": the file names its folds (`train_fold`, `val_fold`, `k0_train` ... `k3_test`) and `max_norm`, by which inputs
    are divided; settings are chosen on the validation fold; those tied vote, and the mean over the four folds counts.

    Args:
        path: a file that `data.load` reads, with a test split ("ucr"), or an .npz with folds ("uci").
        protocol: "auto" takes "uci" where the file has folds.
        seed: of the cross-validation folds.
        say: called with lines on the data before anything is computed.
        **reading: the options of `data.load` that `Reading` has.

    Raises:
        ImportError: scikit-learn is not installed.
        OSError, ValueError: a file that cannot be read, or without what the protocol needs.

    Reference: alemohammad2021rntk, for the kernel and the protocols.
    """
    _checks.choice("protocol", protocol, ("auto", "ucr", "uci"))
    try:
        import sklearn
    except ImportError as error:
        raise ImportError(
            'the support vector machine needs scikit-learn, which is not installed. Run: pip install "ntkseq[study]"'
        ) from error
    path = pathlib.Path(path)
    loaded = data.load(path, dtype="float32", **reading)
    if say is not None:
        for line in str(loaded).splitlines():
            say(line.strip())
    if loaded.y is not None and not loaded.classes:
        raise ValueError(f"{path}: an accuracy is one of classes; got targets that are numbers. Take ntkseq study.")
    if loaded.y is None or len(loaded.classes) < 2:
        raise ValueError(f"{path}: accuracy needs labels of at least two classes; got {len(loaded.classes)}.")
    if protocol == "auto":
        protocol = "uci" if path.suffix.lower() == ".npz" and "k0_train" in npz.names(path) else "ucr"
    with sklearn.config_context(assume_finite=True, skip_parameter_validation=True):  # thousands of small fits
        pace = _Pace(
            say or (lambda line: None), sum(1 for _ in (_uci_kernels() if protocol == "uci" else _ucr_kernels()))
        )
        return _uci(loaded, path, pace) if protocol == "uci" else _ucr(loaded, seed, pace)


class _Pace:
    """Says how long the kernels take, by the second of them: the first is compiled."""

    def __init__(self, say: Callable[[str], Any], total: int) -> None:
        self.say, self.total, self.count, self.last = say, total, 0, 0.0

    def tick(self) -> None:
        """One more is done."""
        self.count, before, self.last = self.count + 1, self.last, time.perf_counter()
        rest = (self.last - before) * (self.total - 2) * 1.5  # half of them have two layers
        if self.count == 2 and rest >= SHORT:
            self.say(f"estimate: {about(rest)}, for the other {self.total - 2} kernels")


def _ucr(loaded: data.Dataset, seed: int, pace: _Pace) -> Accuracy:
    if loaded.x_test is None or loaded.y_test is None:
        raise ValueError(
            f"{loaded.name}: protocol 'ucr' needs a test split; the file has none. Store x_test and y_test, or "
            "NAME_TEST and y_TEST."
        )
    y, y_test = np.asarray(loaded.y), np.asarray(loaded.y_test)
    folds = _folds(y, seed)
    best, tried = 0, 0
    tied: list[_Setting] = []
    for kernel, divided, words in _ucr_kernels():
        try:
            K = np.asarray(_gram(kernel, loaded, divided), np.float64)
        except _checks.Overflow:
            continue  # sigma_w = 2 doubles the variance at every step
        for C in PENALTIES:
            tried += 1
            right = _cross_validated(K, y, folds, C, least=best)
            if right > best:
                best, tied = right, []
            if right == best:
                tied.append(_Setting(kernel, divided, C, f"{words}, C {C:g}"))
        pace.tick()
    tests = []
    for (kernel, divided), same in itertools.groupby(tied, lambda s: (s.kernel, s.divided)):
        K, cross = (np.asarray(_gram(kernel, loaded, divided, test=test), np.float64) for test in (False, True))
        tests += [100 * float(np.mean(_fitted(K, y, setting.C).predict(cross) == y_test)) for setting in same]
    return Accuracy(
        name=loaded.name,
        protocol="ucr",
        validation=100 * best / len(y),
        test=float(np.median(tests)),
        test_range=(min(tests), max(tests)),
        settings=tuple(setting.words for setting in tied),
        tried=tried,
    )


def _ucr_kernels() -> Iterator[tuple[kernels.Recurrent, bool, str]]:
    grid = itertools.product((1, 2), (False, True), (1.34, 2**0.5, 2.0), (0.0, 0.1, 0.5), (0.0, 0.5))
    for depth, divided, w, b, h in grid:
        kernel = kernels.Recurrent.preset("rntk", sigma_w=w, sigma_u=1.0, sigma_b=b, sigma_h=h, depth=depth)
        words = f"sigma_w {w:.4g}, sigma_b {b:g}, sigma_h {h:g}, {depth} layer(s), {'divided' if divided else 'as is'}"
        yield kernel, divided, words


def _gram(kernel: kernels.Recurrent, loaded: data.Dataset, divided: bool, test: bool = False) -> Any:
    x = np.asarray(loaded.x)
    scale = 1.0
    if divided:
        scale = float(np.sqrt(np.square(x, dtype=np.float64).sum(axis=(1, 2)).max())) or 1.0
    x = (x / scale).astype(x.dtype)
    if not test:
        return gram(kernel, x, lengths=loaded.lengths)
    x_test = (np.asarray(loaded.x_test) / scale).astype(x.dtype)
    return gram(kernel, x_test, x, lengths=loaded.lengths_test, lengths2=loaded.lengths)


def _folds(y: Int[np.ndarray, " n"], seed: int) -> Int[np.ndarray, " n"]:
    """The fold of each example, each class dealt out in turn, so that folds are stratified whatever the class sizes."""
    order = np.random.default_rng(seed).permutation(len(y))
    order = order[np.argsort(y[order], kind="stable")]
    folds = np.empty(len(y), int)
    folds[order] = np.arange(len(y)) % min(FOLDS, len(y))
    return folds


def _cross_validated(K: Float[np.ndarray, "n n"], y: np.ndarray, folds: np.ndarray, C: float, least: int = 0) -> int:
    """How many examples are right when left out; -1 as soon as `least` is out of reach."""
    wrong = 0
    for fold in range(int(folds.max()) + 1):
        out, rest = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        if len(np.unique(y[rest])) < 2:
            wrong += len(out)
        else:
            said = _fitted(K[np.ix_(rest, rest)], y[rest], C).predict(K[np.ix_(out, rest)])
            wrong += int((said != y[out]).sum())
        if len(y) - wrong < least:
            return -1
    return len(y) - wrong


def _fitted(K: np.ndarray, y: np.ndarray, C: float) -> Any:
    from sklearn.svm import SVC

    return SVC(C=C, kernel="precomputed", cache_size=500).fit(K, y)


def _uci(loaded: data.Dataset, path: pathlib.Path, pace: _Pace) -> Accuracy:
    names = ["train_fold", "val_fold", "max_norm", *(f"k{i}_{part}" for i in range(4) for part in ("train", "test"))]
    known = npz.arrays(path, names)
    x, y, n = np.asarray(loaded.x), np.asarray(loaded.y), len(loaded.x)
    for name in names:
        fold = known[name]
        if name != "max_norm" and (fold.dtype.kind not in "iu" or fold.ndim != 1 or fold.min() < 0 or fold.max() >= n):
            raise ValueError(
                f"{path}: {name} must hold indices of examples, 0..{n - 1}; got {fold.dtype} {fold.shape}."
            )
    norm = float(known["max_norm"])
    if not np.isfinite(norm) or norm <= 0:
        raise ValueError(f"{path}: max_norm must be a number > 0; got {norm}.")
    x = (x / norm).astype(x.dtype)
    train, val = known["train_fold"], known["val_fold"]
    best, tried = -1.0, 0
    tied: list[tuple[np.ndarray, float, str]] = []
    for kernel, words in _uci_kernels():
        K = np.asarray(gram(kernel, x), np.float64)
        for C in PENALTIES_UCI:
            tried += 1
            machine = _fitted(K[np.ix_(train, train)], y[train], C)
            score = float(np.mean(machine.predict(K[np.ix_(val, train)]) == y[val]))
            if score > best:
                best, tied = score, []
            if score == best:
                tied.append((K, C, f"{words}, C {C:g}"))
        pace.tick()
    tests = []
    for i in range(4):
        rest, out = known[f"k{i}_train"], known[f"k{i}_test"]
        votes = np.zeros((len(out), len(loaded.classes)))
        for K, C, _ in tied:
            said = _fitted(K[np.ix_(rest, rest)], y[rest], C).predict(K[np.ix_(out, rest)])
            votes[np.arange(len(out)), said] += 1
        tests.append(100 * float(np.mean(votes.argmax(axis=1) == y[out])))
    return Accuracy(
        name=loaded.name,
        protocol="uci",
        validation=100 * best,
        test=float(np.mean(tests)),
        test_range=(min(tests), max(tests)),
        settings=tuple(words for _, _, words in tied),
        tried=tried,
    )


def _uci_kernels() -> Iterator[tuple[kernels.Recurrent, str]]:
    grid = itertools.product((1, 2), (False, True), ("reversed", "forward", "both"), (0.25, 0.5), (0.001, 0.1))
    for depth, frozen, direction, u, b in grid:
        kernel = kernels.Recurrent.preset(
            "rntk", sigma_u=u, sigma_b=b, depth=depth, direction=direction, train="R" if frozen else "WUbR"
        )
        layers = f"{depth} layer(s){', only the read-out trained' if frozen else ''}"
        yield kernel, f"sigma_u {u:g}, sigma_b {b:g}, {layers}, {direction}"
