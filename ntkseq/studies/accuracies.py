"""How accurate is a support vector machine with a kernel of this library, chosen and tested by the published protocols?

Question: do recurrent kernels reach the accuracies that are published for them on time series (UCR) and on tables read
as sequences (UCI), and those of fully connected networks theirs on tables, when no choice is made on test data?

Command: ntkseq accuracy FILE.npz [--kernel dense]

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
from ntkseq.studies import folds, support_vectors
from ntkseq.studies.records import Reading
from ntkseq.studies.tangent.size import SHORT, about

PENALTIES = (0.01, 0.1, 1.0, 10.0, 100.0)
FOLDS = 10


@dataclasses.dataclass(frozen=True)
class Scored(Reading):
    """Test accuracy of a support vector machine by the published protocols (UCR time series, UCI tables).

    Kernel settings and penalty are chosen on training data only, by cross-validation or on the file's validation fold.
    """

    file: str
    """A file with a test split, or an .npz with folds."""
    kernel: Literal["recurrent", "dense", "gaussian"] = "recurrent"
    """recurrent: rows are sequences. Files with folds, as vectors: dense, of relu networks; gaussian, a baseline."""
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
        kernel: "recurrent", "dense" or "gaussian".
        validation: cross-validated accuracy of the chosen settings ("uci": on the validation fold).
        test: median test accuracy over the chosen settings ("uci": mean over the folds of their vote).
        test_range: least and largest test accuracy among the chosen settings ("uci": among the folds).
        settings: the settings tied at the best validation accuracy; of vectors the first of them, which is taken.
        tried: how many settings were compared.
        unconverged: how many of them were not chosen from ("uci"), as libsvm did not converge.
    """

    name: str
    protocol: str
    kernel: str
    validation: float
    test: float
    test_range: tuple[float, float]
    settings: tuple[str, ...]
    tried: int
    unconverged: int = 0

    __repr__ = _display.printed

    def __str__(self) -> str:
        low, high = self.test_range
        chosen = "cross-validation" if self.protocol == "ucr" else "validation"
        text = (
            f"{self.name}, {self.kernel}: {chosen} {self.validation:.2f} %, test {self.test:.2f} % "
            f"({low:.2f} .. {high:.2f}), {len(self.settings)} of {self.tried} settings tied"
        )
        return text + f", {self.unconverged} not converged" * bool(self.unconverged)


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
    kernel: Literal["recurrent", "dense", "gaussian"] = "recurrent",
    protocol: Literal["auto", "ucr", "uci"] = "auto",
    seed: int = 0,
    say: Callable[[str], Any] | None = None,
    **reading: Any,
) -> Accuracy:
    """Choose a kernel and the penalty of a support vector machine without test data, then test once.

    "ucr": stratified 10-fold cross-validation on the training split over the penalty C and a grid of kernel settings;
    the median test accuracy over the settings tied at the best. The grid is a part of the published one: sigma_u = 1,
    sigma_w 1.34, sqrt 2, 2, sigma_b 0, 0.1, 0.5, sigma_h 0, 0.5, one or two layers, inputs as they are or divided by
    the largest training norm; the last step is read out and each example draws its own initial state. Kernels that
    overflow float32 (sigma_w = 2 on long sequences) are left out.

    "uci": the file names its folds (`train_fold`, `val_fold`, `k0_train` ... `k3_test`); settings are chosen on the
    validation fold, among those whose machine converged within 10^6 steps, and the mean over the four folds counts.

    - "recurrent": features are scalar steps, inputs are divided by the `max_norm` of the file, settings that tie vote.
    - "dense": inputs are vectors as they stand, the kernels those of fully connected relu networks of one (a linear
      kernel) to five layers without biases, the first 0, 1, ... frozen, C from 1e-2 to 1e4; the first of the best is
      taken.
    - "gaussian": the same with exp(-gamma |x - x'|^2), gamma from 2^-8 / d to 4 / d in factors of 4: a baseline.

    Args:
        path: a file that `data.load` reads, with a test split ("ucr"), or an .npz with folds ("uci").
        kernel: which kernels to choose from; "ucr" has "recurrent" alone.
        protocol: "auto" takes "uci" where the file has folds.
        seed: of the cross-validation folds.
        say: called with lines on the data before anything is computed.
        **reading: the options of `data.load` that `Reading` has.

    Raises:
        ImportError: scikit-learn is not installed.
        OSError, ValueError: a file that cannot be read, or without what the protocol needs.

    Reference: alemohammad2021rntk, for the recurrent kernel and its protocols; arora2020harnessing, for the dense ones.
    """
    _checks.choice("kernel", kernel, tuple(folds.PROTOCOLS))
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
    if protocol == "uci" and loaded.lengths is not None and int(np.min(loaded.lengths)) < loaded.x.shape[1]:
        raise ValueError(f"{path}: protocol 'uci' takes rows of one length; got sequences of unequal length.")
    if protocol == "ucr" and kernel != "recurrent":
        raise ValueError(
            f"kernel={kernel!r} takes tables whose file names its folds (protocol 'uci'); got {path.name} by protocol "
            "'ucr'. Take kernel='recurrent'."
        )
    say = say or (lambda line: None)
    with sklearn.config_context(assume_finite=True, skip_parameter_validation=True):  # thousands of small fits
        if protocol == "ucr":
            return _ucr(loaded, seed, _Pace(say, sum(1 for _ in _ucr_kernels())))
        pace = _Pace(say, *folds.PROTOCOLS[kernel].count)
        found = folds.outcome(loaded, path, kernel, pace.tick)
    return Accuracy(
        name=loaded.name,
        protocol="uci",
        kernel=kernel,
        validation=found.validation,
        test=float(np.mean(found.tests)),
        test_range=(min(found.tests), max(found.tests)),
        settings=found.settings,
        tried=found.tried,
        unconverged=found.unconverged,
    )


class _Pace:
    """Says how long the kernels take, by the second of them, or second few: the first are compiled."""

    def __init__(self, say: Callable[[str], Any], total: int, few: int = 1) -> None:
        self.say, self.total, self.few, self.count, self.last = say, total, few, 0, 0.0

    def tick(self) -> None:
        """One more is done."""
        self.count, before, self.last = self.count + 1, self.last, time.perf_counter()
        rest = (self.last - before) * (self.total - 2) * 1.5  # half of them have two layers
        if self.count == 2 and rest >= SHORT:
            self.say(f"estimate: {about(rest)}, for the other {(self.total - 2) * self.few} kernels")


def _ucr(loaded: data.Dataset, seed: int, pace: _Pace) -> Accuracy:
    if loaded.x_test is None or loaded.y_test is None:
        raise ValueError(
            f"{loaded.name}: protocol 'ucr' needs a test split; the file has none. Store x_test and y_test, or "
            "NAME_TEST and y_TEST."
        )
    y, y_test = np.asarray(loaded.y), np.asarray(loaded.y_test)
    parts = _folds(y, seed)
    best, tried = 0, 0
    tied: list[_Setting] = []
    for kernel, divided, words in _ucr_kernels():
        try:
            K = np.asarray(_gram(kernel, loaded, divided), np.float64)
        except _checks.Overflow:
            continue  # sigma_w = 2 doubles the variance at every step
        for C in PENALTIES:
            tried += 1
            right = _cross_validated(K, y, parts, C, least=best)
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
        kernel="recurrent",
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


def _fitted(K: Float[np.ndarray, "n n"], y: np.ndarray, C: float) -> Any:
    return support_vectors.fitted(K, y, C, iterations=-1)
