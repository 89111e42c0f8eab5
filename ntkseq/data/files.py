"""How do sequences in a file become a `Dataset`? The suffix decides; nothing is ever downloaded or unpickled."""

from __future__ import annotations

import os
import stat
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from ntkseq import _checks
from ntkseq._types import DType
from ntkseq.data import arff, gather, npz, parquet, tables, ts
from ntkseq.data import tokens as token
from ntkseq.data.dataset import Dataset
from ntkseq.data.labels import encode, number
from ntkseq.data.splits import LAYOUTS, MAX_BYTES, Columns, Found, Split, check_size, joined, shown

SUFFIXES = (".npz", ".csv", ".tsv", ".ts", ".arff", ".txt", ".parquet")


class Doubt(UserWarning):
    """A file was read in the likeliest way, and another is possible; the message says which option settles it."""


def load(
    path: str | os.PathLike[str],
    *,
    test: str | os.PathLike[str] | None = None,
    targets: str = "auto",
    label: str | None = "auto",
    layout: str = "auto",
    tokens: str = "auto",
    header: bool | None = None,
    delimiter: str = "auto",
    id: str | Sequence[str] | None = None,
    time: str | None = None,
    columns: Sequence[str] = (),
    dtype: DType | None = None,
    max_bytes: int = MAX_BYTES,
) -> Dataset:
    """Read sequences and labels from an npz, csv, tsv, txt, parquet, ts or arff file.

    npz: arrays `x` (n, t, d), or (n, t) for scalar tokens, and `y` (n,); if present `lengths`, `x_test`, `y_test`,
    `lengths_test`. `X` in place of `x` does as well, so a tabular data set is read with its features as scalar time
    steps. Or the names of UCR collections: `NAME_TRAIN`, `y_TRAIN`, `NAME_TEST`, `y_TEST`, `len_TRAIN`, `len_TEST`.
    Or `X_train`, `y_train`, `X_test`, `y_test`, in capitals or not. Other arrays are left aside; `npz.arrays` reads
    them.

    csv, tsv, txt: each row is a sequence of scalar tokens and one cell its label. Shorter rows, and rows that end in
    empty cells or NaN, give shorter sequences.

    parquet: columns of numbers, rows as in csv; or columns of lists, a row for each sequence and a column for each
    feature, or one column of lists of steps. Needs pyarrow.

    Tidy (long) tables, a row for each step, are read by the names of their columns: `id`, `time`, `label`. Sequences
    stand in the order of their first rows.

    ts: the text format of the UEA and UCR collections, with one or more dimensions. Time stamps of even steps are left
    out; uneven ones are refused.

    arff: Weka's format as the UEA and UCR collections have it: a numeric attribute for each step, or one relational
    attribute with a line for each dimension; one more attribute, the only nominal one or the last, is the label.

    NaN in all features (`?` in .ts) from some step to the last is the end of a sequence; a missing value inside one is
    refused. What was taken for what stands in `origin` and `notes` of the result, which print with it. What may well be
    meant otherwise is refused, or read with a warning, `data.Doubt`, that names the option which settles it: tidy
    tables without `id` or `time`, row indices, labels at either end, ids of tokens, (n, channels, time).

    Args:
        path: the file.
        test: a second file, with the test split (`NAME_TEST.ts` beside `NAME_TRAIN.ts`).
        targets: "classes" returns class codes and names; "values" returns the labels as numbers (regression). "auto" is
            "classes", but refuses labels of which nearly every example has its own, and more than 20 numbers with gaps.
        label: tables, arff: where the label is: "first", "last" (the last cell of its row), a column name, or
            None for sequences without labels. "auto": a column called label, class or target; else the end of the rows
            that holds text; else the first cell of a .tsv or .txt and the last of a .csv, unless the other end looks as
            much or more like class codes.
        layout: "ntd" or "nct": the axes of arrays in an npz are (n, t, d), or (n, channels, time) as aeon has them.
            "rows": each row of a table is a sequence, all its cells but the label are steps. "auto" looks.
        tokens: "real": whole numbers are measured values; "one-hot": they are ids of tokens, to become unit vectors,
            d = the largest id + 1. "auto" refuses what looks like ids: numbers of an integer dtype with one per step,
            or of which nearly all of 0, 1, ..., V - 1 occur.
        header: csv, tsv, txt: whether the first row holds column names. None looks: it does if none of its values is a
            number, or if its label is text and all others are numbers.
        delimiter: csv, tsv, txt: what stands between cells, one character or "comma", "semicolon", "tab", "space" (any
            blanks). "auto" is a comma for `.csv`, a tab for `.tsv` and blanks for `.txt`, unless only another of
            these makes numbers of the cells, which is said.
        id: tidy tables: the column, or columns, that name a sequence; the rows of one may stand anywhere. In a table
            without column names, numbers from 1 on name them: "1", "2", ....
        time: tidy tables: the column of times, numbers or dates, by which the rows of a sequence are ordered; None
            takes them as they stand. Without `id` a sequence begins wherever the time does not rise.
        columns: tidy tables: the columns of the values, d of them. None named: all but id, time and label, where no
            name among them looks like one of these.
        dtype: floating dtype of the sequences. None keeps the file's, where JAX's mode allows; text and integers
            become the default float.
        max_bytes: refuse files whose arrays, unpacked and padded, would take more.

    Returns:
        A `Dataset`. Class codes count the class names in sorted order: by value if all are numbers, else by letters.
        A `.ts` file's own list of classes counts in full, also where a class does not occur.

    Raises:
        OSError: no such file, a directory, not permitted.
        ImportError: a parquet file, and pyarrow is not installed.
        ValueError: an unknown suffix, or contents that are not what is described above.

    Example:
        >>> import tempfile, pathlib
        >>> folder = tempfile.TemporaryDirectory()
        >>> table = pathlib.Path(folder.name, "walks.csv")
        >>> _ = table.write_text("0.1,0.2,0.3,up\\n0.3,0.1,,down\\n")
        >>> load(table)
        Dataset(walks: 2 examples, t=3 (ragged), d=1, float32, 2 classes)
          read as: a row is a sequence, the label its last cell
          note: 1 sequence(s) end in missing values, which were taken for their ends
        >>> load(table).signs().y.tolist()
        [1.0, -1.0]

        A row for each step:

        >>> table = pathlib.Path(folder.name, "motion.csv")
        >>> _ = table.write_text("id,time,ax,ay,label\\na,0,1.5,2.5,up\\na,1,1.25,2,up\\nb,0,3.5,0.5,down\\n")
        >>> load(table, id="id", time="time").x.tolist()
        [[[1.5, 2.5], [1.25, 2.0]], [[3.5, 0.5], [0.0, 0.0]]]
        >>> folder.cleanup()
    """
    _checks.choice("targets", targets, ("auto", "classes", "values"))
    if dtype is not None:
        dtype = _checks.float_dtype("dtype", dtype)
    max_bytes = _checks.positive_int("max_bytes", max_bytes)
    _checks.choice("layout", layout, LAYOUTS)
    _checks.choice("tokens", tokens, token.TOKENS)
    for given, name in ((path, "path"), (test, "test")):
        if given is not None or name == "path":
            _checks.path(name, given)
    if label is not None:
        _checks.text("label", label)
    if header is not None:
        _checks.flag("header", header)
    _checks.text("delimiter", delimiter)
    steps = gather.steps(id, time, columns, layout)
    options = {"targets": targets, "header": header, "delimiter": delimiter, "layout": layout, "max_bytes": max_bytes}
    options |= {"steps": steps}
    found = _find(Path(path), label=label, **options)
    where = str(path)
    train, held_out = found.train, found.test
    if test is not None:
        other = _find(Path(test), label=label, like=found.columns, **options)
        if held_out is not None or other.test is not None:
            raise ValueError(f"{where}: test={str(test)!r} was given, but there is a test split in the file already.")
        where = f"{where} with {test}"
        train, held_out = joined(train, other.train, where)
        if _listed(found.declared) != _listed(other.declared):
            raise ValueError(
                f"{where}: the two files list different classes, {shown(found.declared)} and {shown(other.declared)}."
            )
    parts = [train] if held_out is None else [train, held_out]
    for part in parts:
        _finite(part, where)
    measured = Path(path).suffix.lower() in (".npz", ".parquet") and all(part.x.dtype.kind == "f" for part in parts)
    parts, remarks, doubts = token.settle(parts, tokens, measured=measured, where=where, max_bytes=max_bytes)
    codes, classes, said = encode(
        [part.labels for part in parts], found.declared, targets, where, named=label != "auto"
    )
    if ended := sum(part.ended for part in parts):
        remarks += (f"{ended} sequence(s) end in missing values, which were taken for their ends",)
    doubts = found.said + doubts
    for doubt in doubts:
        warnings.warn(f"{where}: {doubt}", Doubt, stacklevel=2)
    arrays: dict[str, Any] = {}
    for part, code, end in zip(parts, codes, ("", "_test"), strict=False):
        x = _floating(part, dtype, where)
        lengths = None if part.lengths is None else jnp.asarray(part.lengths)
        arrays |= {f"x{end}": x, f"y{end}": _label_array(code, x.dtype), f"lengths{end}": lengths}
    notes = (*doubts, *remarks, *said)
    return Dataset(**arrays, name=found.name, classes=classes, origin=found.origin, notes=notes)


def _listed(declared: tuple[str, ...] | None) -> set[str] | None:
    return None if declared is None else {number(name) or name for name in declared}


def _find(
    path: Path,
    *,
    targets: str,
    label: Any,
    layout: str,
    header: Any,
    delimiter: Any,
    max_bytes: int,
    steps: gather.Steps,
    like: Columns | None = None,
) -> Found:
    """Open the door, choose the reader."""
    size = _door(path)
    suffix, where = path.suffix.lower(), str(path)
    if suffix not in SUFFIXES:
        hint = " Is it text, a sequence per line? Then call it .txt." if suffix in ("", ".dat", ".data") else ""
        raise ValueError(f"{where}: no reader for suffix {shown(suffix)}; wanted one of {', '.join(SUFFIXES)}.{hint}")
    if size == 0:
        raise ValueError(f"{where}: the file is empty (0 bytes). Copy or save it again.")
    table = suffix in (".csv", ".tsv", ".txt", ".parquet")
    if suffix != ".parquet" and layout not in (
        ("auto", "rows") if table else ("auto", "ntd", "nct") if suffix == ".npz" else ("auto",)
    ):
        raise ValueError(f"{where}: layout={layout!r} is for {'tables' if suffix == '.npz' else '.npz'}. Leave it out.")
    for option, value in (("label", label), ("delimiter", delimiter)) if like is None else ():
        takes = (table and suffix != ".parquet") if option == "delimiter" else (table or suffix == ".arff")
        if value not in ("auto", None) and not takes:
            says = "where a table has its labels" if option == "label" else "what stands between cells of a table"
            raise ValueError(f"{option} says {says}; {where} is none. Leave it out.")
    if steps.asked and not table:
        raise ValueError(f"id, time and columns name those of a table; {where} is none. Leave them out.")
    if suffix == ".npz":
        return npz.read(path, layout=layout, max_bytes=max_bytes)
    if suffix == ".parquet":
        columns = {"label": label, "layout": layout, "targets": targets, "steps": steps}
        return parquet.read(path, max_bytes=max_bytes, like=like, **columns)
    check_size(size, max_bytes, where)
    text = _text(path)
    if suffix == ".ts":
        return ts.read(text, where=where, name=path.stem, targets=targets, max_bytes=max_bytes)
    if suffix == ".arff":
        return arff.read(text, where=where, name=path.stem, label=label, targets=targets, max_bytes=max_bytes)
    return tables.read(
        text,
        where=where,
        name=path.stem,
        label=label,
        header=header,
        delimiter=delimiter,
        max_bytes=max_bytes,
        layout=layout,
        targets=targets,
        suffix=suffix,
        like=like,
        steps=steps,
    )


def _door(path: Path) -> int:
    """The size of a regular file that may be read."""
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(f"{path}: is a directory; wanted one file ({', '.join(SUFFIXES)}).")
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"{path}: is not a regular file; wanted one of {', '.join(SUFFIXES)}.")
        with open(path, "rb"):
            return status.st_size
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file. Look at the spelling and the working directory.") from None
    except PermissionError:
        raise PermissionError(f"{path}: may not be read. Ask for the permission, or copy it.") from None


def _text(path: Path) -> str:
    data = path.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{path}, line {line}: byte {data[error.start]:#04x} is not UTF-8. Save the file as UTF-8 text."
        ) from None


def _finite(part: Split, where: str) -> None:
    try:
        _checks.finite("the file's sequences", part.x)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _floating(part: Split, dtype: DType | None, where: str) -> Any:
    """The sequences as a JAX array, finite in the dtype they end in."""
    if dtype is None:
        floating = part.x.dtype.kind == "f" and part.x.dtype.itemsize <= np.dtype(jnp.result_type(float)).itemsize
        dtype = part.x.dtype if floating else jnp.result_type(float)
    with np.errstate(over="ignore"):  # looked at in the next line
        x = part.x.astype(dtype)
    if not np.isfinite(x).all():
        raise ValueError(f"{where}: values too large for {np.dtype(dtype)}. Rescale them, or ask for a wider dtype.")
    return jnp.asarray(x)


def _label_array(codes: np.ndarray | None, dtype: DType) -> Any:
    if codes is None:
        return None
    return jnp.asarray(codes, jnp.int32 if codes.dtype.kind == "i" else dtype)
