"""What do the networks of the study of attention ranks learn? Characters of real text, and classes of sequences."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from ntkseq.data import text
from ntkseq.studies.tangent.inputs import problem
from ntkseq.studies.tangent.spec import Study

VOWELS = "aeiou"
APART = 0.1
"""Of each document, its end, which is never among the windows to draw from."""


@dataclasses.dataclass(frozen=True, eq=False)
class Examples:
    """Sequences of tokens no longer than 1, with their classes, and a sign for networks with one output.

    Attributes:
        x: tokens (n, t, d), |x_t| <= 1.
        y: classes 0..o-1, (n,).
        signs: -1 or +1, (n,).
        lengths: (n,), or None.
    """

    x: Float[np.ndarray, "n t d"]
    y: Int[np.ndarray, " n"]
    signs: Float[np.ndarray, " n"]
    lengths: Int[np.ndarray, " n"] | None = None

    @property
    def inputs(self) -> tuple[np.ndarray, ...]:
        """What stands behind the parameters when a network is called."""
        return (self.x,) if self.lengths is None else (self.x, self.lengths)

    def data(self, target: np.ndarray) -> tuple[np.ndarray, ...]:
        """As `sgd.train` takes it."""
        return (self.x, target, *self.inputs[1:])

    def first(self, count: int) -> Examples:
        """The first few."""
        cut = None if self.lengths is None else self.lengths[:count]
        return Examples(self.x[:count], self.y[:count], self.signs[:count], cut)


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
    """Examples to draw training sets from, and test examples of the same law.

    Attributes:
        name: a word.
        summary: data, source and licence in a sentence or two.
        signs: what the sign says.
        size: how many examples can be drawn from.
        outputs: number of classes.
        read: which token is read out, "last" or "mean".
        replace: whether training sets are drawn with replacement: then they are independent beyond doubt.
        take: examples at some places 0..size-1.
        test: never chosen by.
        apart: of another law, text that the windows do not come from; None where there is none.
    """

    name: str
    summary: str
    signs: str
    size: int
    outputs: int
    read: str
    replace: bool
    take: Callable[[Any], Examples]
    test: Examples
    apart: Examples | None = None

    def draw(self, n: int, seed: tuple[int, ...]) -> Examples:
        """n training examples.

        Raises:
            ValueError: more than there are.
        """
        if n > self.size:
            raise ValueError(f"{self.name}: n must be at most {self.size}, the examples to draw from; got {n}.")
        rng = np.random.default_rng(seed)
        return self.take(rng.integers(self.size, size=n) if self.replace else rng.permutation(self.size)[:n])

    def fingerprint(self) -> str:
        """SHA-256 of the test examples and the first hundred to draw from."""
        digest = hashlib.sha256()
        for part in (self.test, self.take(np.arange(min(self.size, 100)))):
            for array in (part.x, part.y, part.signs):
                digest.update(f"{array.dtype.str}{array.shape}".encode())
                digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def characters(path: str | None, t: int, n_test: int, seed: int) -> Task:
    """Which character follows a window of t characters? The sign: is it a vowel?

    All windows of the text but those in the last tenth of each document are a finite population; training and test
    examples are drawn from it independently, uniformly, with replacement. So the bounds' assumption of independent
    examples of one law is true, overlapping windows or not. Text of the last tenths is another question, and `apart`.

    Args:
        path: a text file; None: scikit-learn's descriptions.
        t: characters in a window.
        n_test: test examples.
        seed: of the draw of test examples.

    Raises:
        OSError, ImportError: the text is not there.
        ValueError: a text without t + 1 characters before its last tenth.
    """
    texts = text.descriptions() if path is None else text.read(path)
    near, far = [], []
    for words in texts.values():
        codes = text.encode(words)
        cut = round((1 - APART) * len(codes))
        for part, into in ((codes[:cut], near), (codes[cut:], far)):
            if len(part) > t:
                into.append(text.windows(part, t))
    if not near:
        longest = max(len(text.encode(words)) for words in texts.values())
        raise ValueError(
            f"the text must have more than t = {t} characters before its last tenth; got {longest} characters in all. "
            "Take a longer text or a smaller --window."
        )
    x, y = (parts[0] if len(parts) == 1 else np.concatenate(parts) for parts in zip(*near, strict=True))
    rng = np.random.default_rng((seed, 1))
    test = _windows(x, y, rng.integers(len(x), size=n_test))
    apart = None
    if far:
        x_far, y_far = (np.concatenate(parts) for parts in zip(*far, strict=True))
        apart = _windows(x_far, y_far, rng.integers(len(x_far), size=n_test))
    source = f"{text.SOURCE}, licence {text.LICENCE}" if path is None else next(iter(texts))
    return Task(
        name="characters",
        summary=f"Next of {len(text.ALPHABET)} characters after {t}: {source}, {len(x)} windows of {len(texts)} "
        "documents, drawn with replacement.",
        signs="+1 if the next character is one of a, e, i, o, u",
        size=len(x),
        outputs=len(text.ALPHABET),
        read="last",
        replace=True,
        take=lambda which: _windows(x, y, which),
        test=test,
        apart=apart,
    )


def _windows(x: np.ndarray, y: np.ndarray, which: Any) -> Examples:
    vowels = [text.ALPHABET.index(letter) for letter in VOWELS]
    after = y[which]
    signs = np.where(np.isin(after, vowels), 1.0, -1.0).astype(np.float32)
    return Examples(text.one_hot_letters(x[which], positions=True), after, signs)


def classes(source: str, names: tuple[str, ...], n_test: int | None, seed: int, **reading: Any) -> Task:
    """Which class is a sequence of? The sign: is the number of the class odd?

    Tokens x become x / sqrt(1 + |x|^2), which is shorter than 1 whatever the data, so that no bound needs a word on the
    length of tokens never seen.

    Args:
        source, names, n_test, seed: as of `Study`: source, classes, n_test, seed; no names are all classes.
        **reading: how the file is read, the options of `records.Reading`.

    Raises:
        OSError, ImportError: the data are not there.
        ValueError: data that do not make a classification problem.
    """
    posed = problem(Study(source, classes=names or ("all",), n_test=n_test, seed=seed, **reading))

    def examples(part: Any) -> Examples:
        x = np.asarray(part.x, np.float64)
        inside = x / np.sqrt(1 + np.square(x).sum(axis=2, keepdims=True))
        placed = text.placed(inside.astype(np.float32)) * np.float32(1 - 1e-6)  # float32 may round beyond 1
        lengths = None if part.lengths is None else np.asarray(part.lengths, np.int32)
        if lengths is not None:
            placed = np.where((np.arange(x.shape[1]) < lengths[:, None])[..., None], placed, np.float32(0))
        return Examples(placed, part.y.astype(np.int32), np.where(part.y % 2, 1.0, -1.0).astype(np.float32), lengths)

    odd = ", ".join(posed.classes[1::2][:6]) + (", ..." if len(posed.classes) > 12 else "")
    x, size = posed.train.x, len(posed.train.y)
    licence = "scikit-learn's copy of the UCI digits (CC BY 4.0), " if source == "digits" else ""
    return Task(
        name="classes",
        summary=f"Class of a sequence: {posed.name}, {licence}{len(posed.classes)} classes, t = {x.shape[1]}, "
        f"d = {x.shape[2]}, {size} examples to draw from without replacement, {len(posed.test.y)} for the test."
        + posed.warning,
        signs=f"+1 for the classes {odd}, -1 for the others",
        size=size,
        outputs=len(posed.classes),
        read="mean",
        replace=False,
        take=lambda which: examples(posed.train.take(which)),
        test=examples(posed.test),
    )
