"""What is asked of a study? One frozen record: arguments in Python, options on the command line, what is saved."""

from __future__ import annotations

import dataclasses
import os
from typing import Any, Literal

from ntkseq import _checks, _display
from ntkseq._struct import fill
from ntkseq._types import ArrayLike, Lengths
from ntkseq.data import Dataset
from ntkseq.studies.kernel_options import KernelOptions
from ntkseq.studies.records import Reading, check_fields, command_line
from ntkseq.studies.tangent import arrays


@dataclasses.dataclass(frozen=True)
class Study(KernelOptions, Reading):
    """From data to a report: kernel, Gram matrix, spectrum, generalization bounds and prediction.

    Writes report.html (one file, no external parts), report.json and arrays.npz into the folder --out, and prints what
    was found. A file with a test split keeps it; otherwise a stratified quarter is held out, drawn with --seed. The
    ridge, unless given, is the one of least leave-one-out error on the training examples. Bounds speak of a two-class
    problem: the two classes, or one class (--positive) against the rest. With --targets values the report is of squared
    errors, with the bound that holds for them, and the targets are centred by their training mean.

    Args:
        y, lengths: in Python, labels and lengths, (n,), of sequences in memory; what else there is stands
            below.

    Raises:
        ValueError: an option of another type, out of range, or that does not go with another.
    """

    source: Any
    """"digits" (bundled, 8 steps of 8 pixels; 3 against 8 unless --classes says otherwise) or a file: .npz with x, y
    (and lengths, x_test, ...), X_train, y_train, ... or NAME_TRAIN, y_TRAIN, ...; .ts; .arff; .csv, .tsv, .txt or
    .parquet, a sequence and its label per row, or a step per row with --id and --time.
    NaN at the end of a sequence (? in .ts) is its end. In Python also a data.Dataset, or arrays in memory."""
    y: dataclasses.InitVar[Any] = None
    lengths: dataclasses.InitVar[Any] = None
    out: str | None = None
    """Folder to write. Default: NAME-report in the working directory."""
    overwrite: bool = False
    """Replace the three files of an earlier report in --out; other files there are left alone."""
    classes: tuple[str, ...] = ()
    """Names of the classes to keep, two or more. Default: 3 8 for digits, all for a file; "all" keeps all."""
    positive: str | None = None
    """The class that is +1 in the bounds, against the rest at -1. Default: the second of two, the first of more."""
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
    tune: bool = False
    """Choose the kernel by leave-one-out on the training examples, from a grid of scales and read-outs fixed
    beforehand; the bounds count its settings."""
    n_train: int | None = None
    """Use at most so many training examples."""
    n_test: int | None = None
    """Use at most so many test examples, or hold out so many. Default: 100 for digits, a quarter without a split."""
    seed: int = 0
    """Seed of the split and of the choice of a part."""

    __repr__ = _display.record

    def __post_init__(self, y: Any, lengths: Any) -> None:
        _checks.probability("delta", self.delta)
        _checks.nonnegative("norm_grid", self.norm_grid, positive=True)
        if self.reg is not None:
            _checks.nonnegative("reg", self.reg)
        for name in ("tried", "n_train", "n_test"):
            if getattr(self, name) is not None:
                _checks.positive_int(name, getattr(self, name))
        self._settle_source(y, lengths)
        check_fields(self)
        _checks.integer("seed", self.seed, 0, 2**32 - 1)
        if isinstance(self.source, Dataset):
            alien = [name for name in self.said_of_file if name != "targets"]
            if alien:
                raise ValueError(f"{alien[0]} is for files; got a data set in memory. Leave it out.")
        for name in ("classes", "positive") if self.targets == "values" else ():
            if getattr(self, name) not in ((), ("all",), None):
                raise ValueError(f"{name} picks classes; targets='values' has none. Leave one of them out.")
        named = [one for one in self.kernels if one.takes]  # refused now what makes no kernel
        if self.tune and not named:
            raise ValueError("tune changes the scales of kernels with a short name; got kernel objects alone.")

    def _settle_source(self, y: ArrayLike | None, lengths: Lengths) -> None:
        """A path as text, arrays as a data set."""
        if isinstance(self.source, os.PathLike):
            fill(self, source=os.fspath(self.source))
        if isinstance(self.source, (str, Dataset)):
            if y is not None or lengths is not None:
                what = "a data set" if isinstance(self.source, Dataset) else f"{self.source!r}, which holds its own"
                raise ValueError(f"y and lengths belong to arrays in memory; got {what}. Leave them out.")
            return
        if y is None:
            raise ValueError(
                f"source must be 'digits', the path of a file, a data.Dataset or arrays with their labels, "
                f"Study(x, y); got {_checks.shown(self.source)} alone."
            )
        self.check_dtype()
        options = {name: getattr(self, name) for name in ("layout", "targets", "tokens", "dtype")}
        fill(self, source=arrays.dataset(self.source, y, lengths, **options), layout="auto", tokens="auto")

    @property
    def command(self) -> str:
        """The command line that asks for this study."""
        source = f"({self.source.name or 'data'}, in memory)" if isinstance(self.source, Dataset) else self.source
        return command_line(["ntkseq", "study", source], self, without=("source",), texts={"kernel": self.kernel_text})
