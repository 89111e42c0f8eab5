"""What is asked of a study? One frozen record: arguments in Python, options on the command line, what is saved."""

from __future__ import annotations

import dataclasses
import os
import shlex
import types
from typing import Any, Literal, get_args, get_origin, get_type_hints

from ntkseq import _checks, kernels
from ntkseq.data import Dataset


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reading:
    """How a file with sequences is read: the options of `data.load` that every study has which takes a file."""

    test: str | None = None
    """A second file with the test split (NAME_TEST.ts beside NAME_TRAIN.ts)."""
    label: str = "auto"
    """Tables, .arff: where the label is, "first", "last" or a column name. auto: by names and contents, or it asks."""
    delimiter: str = "auto"
    """Tables: what stands between cells, comma, semicolon, tab, space (any blanks) or one character. auto looks."""
    layout: Literal["auto", "ntd", "nct", "rows"] = "auto"
    """Axes of arrays: ntd, (n, t, d), or nct, (n, channels, time). Tables: rows, each row is a sequence. auto looks."""
    targets: Literal["auto", "classes", "values"] = "auto"
    """classes, or values: numbers (regression). auto: classes, and it asks where labels look like numbers."""
    tokens: Literal["auto", "real", "one-hot"] = "auto"
    """Whole numbers: real, measured values; one-hot, ids of tokens. auto asks where they look like ids."""

    @property
    def reading(self) -> dict[str, Any]:
        """These options, by name."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(Reading)}


@dataclasses.dataclass(frozen=True)
class Study(Reading):
    """From data to a report: kernel, Gram matrix, spectrum, generalization bounds and prediction.

    Writes report.html (one file, no external parts), report.json and kernel.npz into the folder --out, and prints a
    summary of ten lines. A file with a test split keeps it; otherwise a stratified quarter is held out, drawn with
    --seed. The ridge, unless given, is the one of least leave-one-out error on the training examples. Bounds speak of a
    two-class problem: the two classes, or one class (--positive) against the rest. With --targets values the report is
    of squared errors, with the bound that holds for them, the targets are centred by their training mean, and the
    arrays are in arrays.npz.
    """

    source: str | Dataset
    """"digits" (bundled, 8 steps of 8 pixels; 3 against 8 unless --classes says otherwise) or a file: .npz with x, y
    (and lengths, x_test, ...), X_train, y_train, ... or NAME_TRAIN, y_TRAIN, ...; .ts; .arff; .csv, .tsv or .txt, a
    sequence and its label per row.
    NaN at the end of a sequence (? in .ts) is its end. In Python also a data.Dataset."""
    out: str | None = None
    """Folder to write. Default: NAME-report in the working directory."""
    overwrite: bool = False
    """Replace the three files of an earlier report in --out; other files there are left alone."""
    classes: tuple[str, ...] = ()
    """Names of the classes to keep, two or more. Default: 3 8 for digits, all for a file; "all" keeps all."""
    positive: str | None = None
    """The class that is +1 in the bounds, against the rest at -1. Default: the second of two, the first of more."""
    kernel: Literal["recurrent", "dense"] = "recurrent"
    """Elman network over the steps; or a fully connected network on each sequence laid out as one vector."""
    sigma_w: float = 1.4
    """Standard deviation of the recurrent weights (dense: of all weights), before 1/sqrt(width)."""
    sigma_u: float = 1.0
    """Standard deviation of the input weights."""
    sigma_b: float = 0.1
    """Standard deviation of the biases."""
    sigma_v: float = 1.0
    """Standard deviation of the read-out."""
    sigma_h: float = 0.0
    """Standard deviation of the initial state; counts with --h0 shared or independent."""
    h0: Literal["zero", "shared", "independent"] = "zero"
    """Initial state: none, one random state for all sequences, or one for each."""
    depth: int = 1
    """Number of layers."""
    activation: str = "relu"
    """Name of the activation: relu, erf, sin, gelu, tanh, ..."""
    read: Literal["last", "mean", "sum", "steps"] = "mean"
    """What is read out: the last step, the mean or sum over steps (cost grows with t squared), or each step alone."""
    direction: Literal["forward", "reversed", "both"] = "forward"
    """Order in which the steps are read."""
    train: str | None = None
    """Trained groups, letters of WUbV (recurrent, input, bias, read-out; dense: WbV). Default: all."""
    kind: Literal["ntk", "nngp"] = "ntk"
    """Neural tangent kernel, or the covariance of the network's output at initialisation."""
    normalise: Literal["none", "max-norm"] = "none"
    """Divide all sequences by the largest training norm. The kernel then depends on the sample: no certified bound."""
    reg: float | None = None
    """Ridge, added to the diagonal; 0 interpolates. Default: by leave-one-out from tr K/n times 1e-6, ..., 1e2, and
    further where the error still falls at an end."""
    delta: float = 0.05
    """Probability that a bound fails."""
    norm_grid: float = 1.0
    """B0 of the Rademacher and margin bounds, to be fixed before seeing the labels."""
    tried: int = 1
    """How many settings (kernels, norm grids, positive classes) you compared on these data; the bounds count them."""
    n_train: int | None = None
    """Use at most so many training examples."""
    n_test: int | None = None
    """Use at most so many test examples, or hold out so many. Default: 100 for digits, a quarter without a split."""
    seed: int = 0
    """Seed of the split and of the choice of a part."""
    dtype: Literal["float32", "float64"] = "float32"
    """Precision of the kernel. float64 needs JAX's 64-bit mode: set the environment variable JAX_ENABLE_X64=1."""

    def __post_init__(self) -> None:
        _checks.probability("delta", self.delta)
        _checks.nonnegative("norm_grid", self.norm_grid, positive=True)
        if self.reg is not None:
            _checks.nonnegative("reg", self.reg)
        for name in ("tried", "n_train", "n_test"):
            if getattr(self, name) is not None:
                _checks.positive_int(name, getattr(self, name))
        if isinstance(self.source, os.PathLike):
            object.__setattr__(self, "source", os.fspath(self.source))
        if not isinstance(self.source, (str, Dataset)):
            raise ValueError(
                f"source must be 'digits', the path of a file or a data.Dataset; got {_checks.shown(self.source)}. "
                "Arrays in memory: Study(data.Dataset(x, y))."
            )
        check_fields(self)
        _checks.integer("seed", self.seed, 0, 2**32 - 1)
        if isinstance(self.source, Dataset):
            alien = [name for name, value in self.reading.items() if name != "targets" and value not in ("auto", None)]
            if alien:
                raise ValueError(f"{alien[0]} is for files; got a data set in memory. Leave it out.")
        for name in ("classes", "positive") if self.targets == "values" else ():
            if getattr(self, name) not in ((), ("all",), None):
                raise ValueError(f"{name} picks classes; targets='values' has none. Leave one of them out.")
        self.build()

    def build(self) -> kernels.Kernel:
        """The kernel that is asked for.

        Raises:
            ValueError: negative or non-finite scales, unknown words; an option that the kernel does not have.
        """
        common: dict[str, Any] = {
            "sigma_w": self.sigma_w,
            "sigma_b": self.sigma_b,
            "sigma_v": self.sigma_v,
            "depth": self.depth,
            "activation": self.activation,
            "kind": self.kind,
        }
        if self.kernel == "dense":
            alien = [name for name in ("sigma_u", "sigma_h", "h0", "read", "direction") if self._changed(name)]
            if alien:
                raise ValueError(
                    f"kernel 'dense' has no {alien[0]}; got {getattr(self, alien[0])!r}. Leave it out, or take "
                    "kernel 'recurrent'."
                )
            return kernels.Dense(train="WbV" if self.train is None else self.train, **common)
        names = ("sigma_u", "sigma_h", "h0", "read", "direction")
        return kernels.Recurrent(
            train="WUbV" if self.train is None else self.train,
            **common,
            **{name: getattr(self, name) for name in names},
        )

    def _changed(self, name: str) -> bool:
        return getattr(self, name) != _DEFAULTS[name]

    def describe(self) -> str:
        """The kernel in one line: what differs from nothing."""
        shown = f"{'Recurrent' if self.kernel == 'recurrent' else 'Dense'} {self.kind.upper()}, {self.activation}"
        shown += f", {self.depth} layer{'s' if self.depth > 1 else ''}, sigma_w = {self.sigma_w:g}"
        if self.kernel == "recurrent":
            shown += f", sigma_u = {self.sigma_u:g}"
        shown += f", sigma_b = {self.sigma_b:g}"
        if self.kernel == "recurrent":
            shown += f", read-out: {self.read}, direction: {self.direction}"
            if self.h0 != "zero":
                shown += f", {self.h0} initial state, sigma_h = {self.sigma_h:g}"
        if self.sigma_v != 1.0:
            shown += f", sigma_v = {self.sigma_v:g}"
        if self.train is not None:
            shown += f", trained: {self.train or 'nothing'}"
        return shown

    @property
    def command(self) -> str:
        """The command line that asks for this study."""
        source = f"({self.source.name or 'data'}, in memory)" if isinstance(self.source, Dataset) else self.source
        return command_line(["ntkseq", "study", source], self)


def check_fields(record: Any) -> None:
    """Check the words, texts, paths, flags and whole numbers of a record by the types of its fields.

    Raises:
        ValueError: a value of another type.
    """
    hints = get_type_hints(type(record))
    for name in (field.name for field in dataclasses.fields(record)):
        value, hint = getattr(record, name), hints[name]
        kinds = get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
        if (value is None and types.NoneType in kinds) or isinstance(value, tuple(k for k in kinds if k is Dataset)):
            continue
        if get_origin(kinds[0]) is tuple:
            for one in _checks.listed(name, value, f"{get_args(kinds[0])[0].__name__} values"):
                _check_field(name, one, get_args(kinds[0])[0])
        else:
            _check_field(name, value, kinds[0])


def _check_field(name: str, value: Any, kind: Any) -> None:
    if get_origin(kind) is Literal:
        _checks.choice(name, value, get_args(kind))
    elif kind is bool:
        _checks.flag(name, value)
    elif kind is int:
        _checks.integer(name, value, -(2**63))
    elif kind is str and not isinstance(value, os.PathLike):
        _checks.text(name, value)


def command_line(words: list[str], record: Any, usual: Any = None) -> str:
    """The words of a command, then the options of its record that are not as they stand by default.

    Args:
        words: the command, with the arguments that go without a name: fields without a default.
        record: a dataclass.
        usual: a record with the defaults, where they are not those of the fields.
    """
    words = list(words)
    for field in dataclasses.fields(record):
        value, option = getattr(record, field.name), field.name.replace("_", "-")
        made = field.default_factory is not dataclasses.MISSING
        default = field.default_factory() if made else field.default  # pyright: ignore[reportCallIssue]
        default = default if usual is None else getattr(usual, field.name)
        if default is dataclasses.MISSING or value == default:
            continue
        if isinstance(value, bool):
            words.append(f"--{'' if value else 'no-'}{option}")
        else:
            words += [f"--{option}", *(str(part) for part in (value if isinstance(value, tuple) else (value,)))]
    return shlex.join(words)


_DEFAULTS = {field.name: field.default for field in dataclasses.fields(Study)}
