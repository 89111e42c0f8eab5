"""Which examples does a study look at, how are they split, and which two-class problem do the bounds speak of?"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, Shaped

from ntkseq import data
from ntkseq._types import AnyArray, ArrayLike, Index, Lengths
from ntkseq.data.splits import refuse_the_same, repeats
from ntkseq.studies import two_classes
from ntkseq.studies.provenance import Fingerprint
from ntkseq.studies.tangent.spec import Study

DIGITS_TEST = 100  # of the fixed shuffled order, as in the README
HELD_OUT = 0.25


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """Training or test examples on the host.

    Attributes:
        x: sequences, (n, t, d).
        y: class codes, or targets that are numbers, (n,).
        lengths: (n,), or None when all are t long.
    """

    x: Float[np.ndarray, "n t d"]
    y: Shaped[np.ndarray, " n"]
    lengths: Int[np.ndarray, " n"] | None

    def take(self, which: Index) -> Part:
        """Some of the examples."""
        return Part(self.x[which], self.y[which], None if self.lengths is None else self.lengths[which])


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
    """What a study works on.

    Attributes:
        name: of the data set.
        train, test: the examples.
        classes: name of each class code; none where targets are numbers.
        positive: the code that is +1 for the bounds.
        split: how the test examples were set apart, in words.
        scale: what the sequences were divided by; None for nothing.
        origin: what of the file was taken for what, in words.
        notes: what to know of the reading of the file.
        repeated: how many test examples are training examples, number for number.
    """

    name: str
    train: Part
    test: Part
    classes: tuple[str, ...]
    positive: int
    split: str
    scale: float | None = None
    origin: str = ""
    notes: tuple[str, ...] = ()
    repeated: int = 0

    @property
    def summary(self) -> str:
        """The examples in one line."""
        (n, t, d), m = self.train.x.shape, len(self.test.y)
        ragged = self.train.lengths is not None or self.test.lengths is not None
        shown = f"{self.name}: {n} training and {m} test sequences, t {'<=' if ragged else '='} {t}, d = {d}"
        if not self.classes:
            every = np.concatenate([self.train.y, self.test.y])
            return f"{shown}, targets from {every.min():.4g} to {every.max():.4g}"
        return f"{shown}, {len(self.classes)} classes"

    @property
    def reading(self) -> tuple[str, ...]:
        """What to say before anything is computed: the examples, how they were read, what may be meant otherwise."""
        names = ", ".join(repr(name) for name in self.classes[:8]) + (", ..." if len(self.classes) > 8 else "")
        shortest = [int(part.lengths.min()) for part in (self.train, self.test) if part.lengths is not None]
        ragged = f"lengths from {min(shortest)}" if shortest else "one length, no missing values"
        read = f"{self.summary}{f' ({names})' if names else ''}; {ragged}" + (f"; {self.origin}" if self.origin else "")
        warned = (self.warning.strip(),) if self.repeated else ()
        return (read, *(f"note: {note}" for note in (*self.notes, *warned)))

    @property
    def warning(self) -> str:
        """That test examples were trained on, in a sentence after a blank; empty where none was."""
        if not self.repeated:
            return ""
        return (
            f" {self.repeated} of {len(self.test.y)} test examples are training examples, number for number: the test "
            "error is too small."
        )

    @property
    def question(self) -> str:
        """The two-class problem of the bounds, in words."""
        return two_classes.words(self.classes, self.positive)

    def signs(self, part: Part) -> Float[np.ndarray, " n"]:
        """The labels of the two-class problem."""
        return np.where(part.y == self.positive, 1.0, -1.0)

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """The arrays as the kernel sees them, in a fixed order; lengths that are not given as an empty one."""
        held = (array for part in (self.train, self.test) for array in (part.x, part.y, part.lengths))
        return tuple(np.zeros(0) if array is None else array for array in held)

    def fingerprint(self) -> str:
        """SHA-256 of `arrays`."""
        return Fingerprint(*self.arrays).fingerprint()


def problem(study: Study, *, values: bool = False) -> Problem:
    """Load, choose classes, split, shorten and scale.

    Args:
        study: what is asked.
        values: whether targets may be numbers.

    Raises:
        OSError, ImportError: the data are not there.
        ValueError: the data, or what is asked of them, do not make a classification problem.
    """
    study.check_dtype()
    loaded = _loaded(study)
    if loaded.y is not None and not loaded.classes:
        if not values:
            raise ValueError(f"{loaded.name}: this study is about classes; got targets that are numbers.")
        train, test, classes = *_numbers(loaded, study), ()
    else:
        train, test, classes = _chosen(loaded, study)
    rng = np.random.default_rng(study.seed)
    if test is not None:
        refuse_the_same(train, test, loaded.name)
        split = "the split of the file" if isinstance(study.source, str) else "the split of the data set"
        split = "the first examples of the bundled order" if study.source == "digits" else split
    else:
        train, test = _hold_out(train, study, rng)
        split = f"{'stratified, ' if classes else ''}drawn with seed {study.seed}"
    train, test = _at_most(train, study.n_train, rng), _at_most(test, study.n_test, rng)
    _check(train, test, classes, loaded.name)
    scale = None
    if study.normalise == "max-norm":
        scale = float(np.sqrt(np.square(train.x, dtype=np.float64).sum(axis=(1, 2)).max()))
        if scale == 0.0:
            raise ValueError("normalise 'max-norm' divides by the largest training norm; got 0, all inputs are zero.")
        train, test = (dataclasses.replace(p, x=(p.x / scale).astype(p.x.dtype)) for p in (train, test))
    repeated = int(repeats(train.x, test.x, train.lengths, test.lengths).sum())
    chosen = two_classes.positive(classes, study.positive) if classes else 0
    return Problem(
        loaded.name, train, test, classes, chosen, split, scale, loaded.origin, loaded.notes, repeated=repeated
    )


def _loaded(study: Study) -> data.Dataset:
    if study.source == "digits":
        return _digits(study)
    if isinstance(study.source, str):
        return data.load(study.source, dtype=study.dtype, **study.reading)
    return _in_memory(study.source, study)


def _in_memory(held: data.Dataset, study: Study) -> data.Dataset:
    """A data set with class codes or numbers, in the dtype asked for."""
    name = held.name or "data"
    if held.y is None:
        raise ValueError(f"{name}: a study needs labels; this data set has none.")
    changes: dict[str, Any] = {"name": name, "x": jnp.asarray(np.asarray(held.x).astype(study.dtype))}
    if held.x_test is not None:
        changes["x_test"] = jnp.asarray(np.asarray(held.x_test).astype(study.dtype))
    for key, y in (("y", held.y), ("y_test", held.y_test)):
        if y is None:
            continue
        y = np.asarray(y)
        if not np.isfinite(y).all():
            raise ValueError(f"{name}: {key} must be finite; got {y[~np.isfinite(y)][0]}. Drop such examples.")
        signs = len(held.classes) == 2 and y.dtype.kind == "f"  # after `Dataset.binary`
        changes[key] = jnp.asarray((y > 0).astype(np.int32) if signs else y)
    if held.classes and study.targets == "values":
        raise ValueError(f"{name}: targets='values', but the data set has classes. Leave it out.")
    if not held.classes and study.targets == "classes":
        raise ValueError(f"{name}: targets='classes', but the data set has none. Name them: Dataset(..., classes=).")
    if not held.classes and study.targets == "auto" and changes["y"].dtype.kind != "f":
        raise ValueError(
            f"{name}: y holds whole numbers without classes. Name them, Dataset(..., classes=), or pass "
            "targets='values' to Study."
        )
    return dataclasses.replace(held, **changes)


def _numbers(loaded: data.Dataset, study: Study) -> tuple[Part, Part | None]:
    """The examples with targets that are numbers."""
    for name in ("classes", "positive"):
        if getattr(study, name):
            raise ValueError(f"{loaded.name}: {name} picks classes; the targets are numbers. Leave it out.")

    def part(x: AnyArray, y: ArrayLike | None, lengths: Lengths) -> Part:
        return Part(np.asarray(x), np.asarray(y, np.float64), None if lengths is None else np.asarray(lengths))

    test = None if loaded.x_test is None else part(loaded.x_test, loaded.y_test, loaded.lengths_test)
    return part(loaded.x, loaded.y, loaded.lengths), test


def _digits(study: Study) -> data.Dataset:
    if study.said_of_file:
        raise ValueError(f"{study.said_of_file[0]} is for files; got source 'digits'. Leave it out.")
    x, y = data.bundled.digits(dtype=study.dtype)
    names = study.classes or ("3", "8")
    wanted = range(10) if names == ("all",) else [int(name) for name in names if name in map(str, range(10))]
    kept = np.isin(np.asarray(y), list(wanted))  # the test examples are the first of those kept
    x, y = x[kept], y[kept]
    n_test = min(study.n_test or DIGITS_TEST, len(x) // 2)
    return data.Dataset(
        x[n_test:], y[n_test:], None, x[:n_test], y[:n_test], name="digits", classes=tuple(map(str, range(10)))
    )


def _chosen(loaded: data.Dataset, study: Study) -> tuple[Part, Part | None, tuple[str, ...]]:
    """The examples of the classes asked for, with codes 0, 1, ... in the order asked for."""
    if not loaded.classes or loaded.y is None:
        raise ValueError(f"{loaded.name}: a study needs class labels; this data set has none.")
    names = study.classes or (("3", "8") if study.source == "digits" else ("all",))
    if names == ("all",):
        names = loaded.classes
    unknown = [name for name in names if name not in loaded.classes]
    if unknown:
        shown = ", ".join(loaded.classes[:12]) + (", ..." if len(loaded.classes) > 12 else "")
        raise ValueError(f"{loaded.name}: no class {unknown[0]!r}; the classes are {shown}.")
    if len(names) < 2 or len(set(names)) != len(names):
        raise ValueError(
            f"{loaded.name}: wanted two or more different classes; got "
            f"{'only ' * (len(names) == 1)}{', '.join(map(repr, names)) or 'none'}."
        )
    code = np.full(len(loaded.classes), -1)
    code[[loaded.classes.index(name) for name in names]] = np.arange(len(names))

    def part(x: AnyArray, y: ArrayLike | None, lengths: Lengths) -> Part:
        y = code[np.asarray(y)]
        return Part(np.asarray(x), y, None if lengths is None else np.asarray(lengths)).take(y >= 0)

    train = part(loaded.x, loaded.y, loaded.lengths)
    test = None if loaded.x_test is None else part(loaded.x_test, loaded.y_test, loaded.lengths_test)
    return train, test, tuple(names)


def _hold_out(every: Part, study: Study, rng: np.random.Generator) -> tuple[Part, Part]:
    """A test split with the classes in proportion; at least one example of each class stays to train on."""
    n = len(every.y)
    wanted = study.n_test if study.n_test is not None else max(1, round(HELD_OUT * n))
    order = rng.permutation(n)
    rank = np.empty(n)  # position of each example among its class, in (0, 1): the last ones of every class go
    groups = every.y if every.y.dtype.kind == "i" else np.zeros(n)  # numbers: one group
    for code in np.unique(groups):
        members = order[groups[order] == code]
        rank[members] = (np.arange(len(members)) + 0.5) / len(members)
        rank[members[0]] = -1.0
    by_rank = np.argsort(rank, kind="stable")
    kept = max(n - wanted, 0)
    return every.take(np.sort(by_rank[:kept])), every.take(np.sort(by_rank[kept:]))


def _at_most(part: Part, limit: int | None, rng: np.random.Generator) -> Part:
    """A random part that keeps the order."""
    if limit is None or limit >= len(part.y):
        return part
    return part.take(np.sort(rng.permutation(len(part.y))[:limit]))


def _check(train: Part, test: Part, classes: tuple[str, ...], name: str) -> None:
    if len(train.y) < 2 or len(test.y) < 1:
        raise ValueError(
            f"{name}: a study needs at least 2 training and 1 test example; got {len(train.y)} and {len(test.y)}. "
            "Take more examples or classes, or a smaller --n-test."
        )
    missing = [classes[code] for code in range(len(classes)) if not (train.y == code).any()]
    if missing:
        raise ValueError(
            f"{name}: class {missing[0]!r} has no training example. Choose classes with --classes, or raise --n-train."
        )
