"""How a Parquet file becomes sequences: a row or a list for each of them, or a row for each step."""

from __future__ import annotations

import dataclasses
import importlib
import re
from pathlib import Path
from typing import Any

import numpy as np

from ntkseq.data import gather, npz, tables, tidy
from ntkseq.data.columns import LABELS, plain
from ntkseq.data.delimiters import Rows
from ntkseq.data.splits import Columns, Found, Split, check_size, pad, shown, split

INSTALL = 'reading .parquet needs pyarrow, which is not installed. Run: pip install "ntkseq[parquet]"'


def read(
    path: Path,
    *,
    label: str | None,
    layout: str,
    targets: str,
    steps: gather.Steps,
    max_bytes: int,
    like: Columns | None = None,
) -> Found:
    """The sequences of a Parquet file; `files.load` describes the arguments.

    Columns of lists are sequences, one feature each, or lists of steps; else a row is a sequence, or a step.

    Raises:
        ImportError: pyarrow is not installed.
        ValueError: no Parquet file, too large, or columns that are no numbers, text, dates or lists of numbers.
    """
    where = str(path)
    table = _table(path, max_bytes)
    titles = [str(name) for name in table.column_names]
    doubled = next((name for name in titles if titles.count(name) > 1), None)
    if doubled is not None:
        raise ValueError(f"{where}: two columns are named {doubled!r}. Rename one of them.")
    if not titles or not table.num_rows:
        raise ValueError(f"{where}: {table.num_rows} rows of {len(titles)} columns; wanted one row at least.")
    kinds = {name: _kind(table.schema.field(name).type, name, where) for name in titles}
    lists = [name for name in titles if kinds[name] in ("list", "steps")]
    options: dict[str, Any] = {"where": where, "name": path.stem, "max_bytes": max_bytes, "label": label, "like": like}
    if lists and steps.asked:
        raise ValueError(f"{where}: column {lists[0]!r} holds lists, which are sequences. Leave id and time out.")
    if lists:
        return _lists(table, titles, kinds, layout=layout, **options)
    if layout not in ("auto", "rows"):
        raise ValueError(f"{where}: layout={layout!r} is for arrays; its columns hold one value a row. Leave it out.")
    try:
        rows = _rows(table)
        if steps.asked:
            found = gather.read(rows, titles, steps, **options)
        else:
            every = [(0, titles), *rows]
            found = tables.wide(every, (), header=True, layout=layout, targets=targets, suffix=".csv", **options)
    except tidy.Tidy:
        raise
    except ValueError as error:
        raise ValueError(re.sub(r"\bline (\d+)", r"row \1", str(error))) from None
    assert found.columns is not None
    apart = {found.columns.label, *steps.id, steps.time} if steps.asked else {found.columns.label}
    last = titles[-1] if found.columns.label == "last" else titles[0] if found.columns.label == "first" else None
    used = [name for name in titles[0 if steps.asked else found.columns.index :] if name not in (*apart, last)]
    used = [name for name in used if name in found.columns.titles] if steps.asked and found.columns.titles else used
    return dataclasses.replace(found, train=_narrowed(found.train, {kinds[name] for name in used}))


def _table(path: Path, max_bytes: int) -> Any:
    """The file as an Arrow table, after what it promises to take was compared with the limit."""
    arrow, parquet = _arrow(""), _arrow(".parquet")
    try:
        file = parquet.ParquetFile(path)  # read_table would take folders in the path for columns
        groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
        values = sum(group.column(i).num_values for group in groups for i in range(group.num_columns))
        size = max(8 * values, sum(group.total_byte_size for group in groups))
        if size <= max_bytes:
            return file.read()
    except (arrow.ArrowException, OSError, ValueError) as error:
        raise ValueError(
            f"{path}: not a whole Parquet file ({type(error).__name__}: {shown(str(error))}). Copy or save it again."
        ) from error
    check_size(size, max_bytes, f"{path}: its columns, unpacked,")
    raise AssertionError


def _arrow(part: str) -> Any:
    """pyarrow, or a part of it."""
    try:
        return importlib.import_module(f"pyarrow{part}")
    except ImportError as error:
        raise ImportError(INSTALL) from error


def _kind(of: Any, name: str, where: str) -> str:
    """What a column holds: a NumPy type of number, "text", "list" or "steps" (a list for each step)."""
    types = _arrow(".types")
    if types.is_dictionary(of):
        of = of.value_type
    if types.is_floating(of) or types.is_integer(of):
        return str(of.to_pandas_dtype().__name__)
    if types.is_boolean(of) or types.is_string(of) or types.is_large_string(of) or types.is_null(of):
        return "text"
    if types.is_temporal(of) or types.is_decimal(of):
        return "text"
    if _is_list(of):
        inner = of.value_type
        if types.is_floating(inner) or types.is_integer(inner):
            return "list"
        if _is_list(inner) and (types.is_floating(inner.value_type) or types.is_integer(inner.value_type)):
            return "steps"
    raise ValueError(
        f"{where}: column {name!r} holds {shown(str(of))}; wanted numbers, text, dates, or lists of numbers. Drop it."
    )


def _is_list(of: Any) -> bool:
    types = _arrow(".types")
    return types.is_list(of) or types.is_large_list(of) or types.is_fixed_size_list(of)


def _rows(table: Any) -> Rows:
    """The cells as text, which every number of the file comes back from."""
    made = []
    for column in table.columns:
        if str(column.type) in ("float", "halffloat"):
            values = column.to_numpy()  # missing: NaN
            made.append(["" if value != value else str(value) for value in values])
        else:
            made.append(["" if value is None else str(value).strip() for value in column.to_pylist()])
    return [(i, list(cells)) for i, cells in enumerate(zip(*made, strict=True), 1)]


def _narrowed(one: Split, kinds: set[str]) -> Split:
    """The split with sequences in a type that holds those of its columns, as a file of arrays has it."""
    if "text" in kinds or not kinds:
        return one
    return dataclasses.replace(one, x=one.x.astype(np.result_type(*map(np.dtype, kinds))))


def _lists(
    table: Any,
    titles: list[str],
    kinds: dict[str, str],
    *,
    where: str,
    name: str,
    max_bytes: int,
    label: str | None,
    layout: str,
    like: Columns | None,
) -> Found:
    """A row is a sequence: each column of lists a feature, or one of lists of steps."""
    features = [title for title in titles if kinds[title] in ("list", "steps")]
    if len(features) > 1 and any(kinds[title] == "steps" for title in features):
        raise ValueError(
            f"{where}: columns {', '.join(map(shown, features))} hold lists, one a list of steps. Keep one."
        )
    nested = kinds[features[0]] == "steps"
    if layout not in (("auto", "ntd", "nct") if nested else ("auto",)):
        raise ValueError(f"{where}: layout={layout!r} says nothing of columns of {kinds[features[0]]}. Leave it out.")
    if like is not None and like.titles != tuple(features):
        raise ValueError(f"{where}: the two tables have different columns of lists. Bring them to one form.")
    place = _label(label if like is None else like.label, titles, kinds, where)
    sequences = _nested(table, features[0], layout, where) if nested else _features(table, features, where)
    ended, cut = 0, []
    for i, one in enumerate(sequences, 1):
        held = np.flatnonzero(~np.isnan(one).all(axis=1)) if one.dtype.kind == "f" else np.arange(len(one))
        if not len(held):
            raise ValueError(f"{where}, row {i}: the sequence holds nothing. Drop the row.")
        cut.append(one[: held[-1] + 1])
        ended += len(cut[-1]) < len(one)
    said = npz.one_step_or_wide((len(cut), max(map(len, cut)), cut[0].shape[1]), features[0], layout, where)
    labels = None if place is None else np.array(["" if v is None else str(v) for v in table[place].to_pylist()])
    x, lengths = pad(cut, where, max_bytes)
    found = dataclasses.replace(split(x, labels, lengths, where, "the table"), ended=ended)
    aside = [title for title in titles if title not in features and title != place]
    axes = "a list of channels" if layout == "nct" else "a list of steps" if nested else "a list for each feature"
    origin = f"a row is a sequence, {axes} in {', '.join(map(shown, features))}; " + (
        "no labels" if place is None else f"the label in column {shown(place)}"
    )
    origin += f"; {', '.join(map(shown, aside))} left aside" if aside else ""
    found = _narrowed(found, {str(one.dtype) for one in cut})
    return Found(name, found, origin=origin, said=said, columns=Columns(place, tuple(features), 0))


def _label(label: str | None, titles: list[str], kinds: dict[str, str], where: str) -> str | None:
    """The column of the label, one that holds no lists."""
    if label is None:
        return None
    free = [title for title in titles if kinds[title] not in ("list", "steps")]
    if label == "auto":
        likely = [one for one in free if not (tidy.is_id(one) or tidy.is_time(one) or tidy.is_row_index(one))]
        named = [one for one in free if plain(one) in LABELS] or likely
        if len(named) != 1:
            raise ValueError(
                f"{where}: the label may be one of {', '.join(map(shown, free)) or 'no column'}. Pass label='NAME'."
            )
        return named[0]
    if label not in free:
        raise ValueError(f"{where}: no column of labels named {label!r}; there are {', '.join(map(shown, free))}.")
    return label


def _features(table: Any, features: list[str], where: str) -> list[np.ndarray]:
    """Sequences (t_i, d) of d columns of lists."""
    columns = [[_array(cell, where, i) for i, cell in enumerate(table[one], 1)] for one in features]
    made = []
    for i, parts in enumerate(zip(*columns, strict=True), 1):
        if len({len(part) for part in parts}) > 1:
            told = ", ".join(f"{shown(one)} {len(part)}" for one, part in zip(features, parts, strict=True))
            raise ValueError(f"{where}, row {i}: lists of one row need one length; got {told}. Cut or impute them.")
        made.append(np.stack(parts, axis=1))
    return made


def _nested(table: Any, feature: str, layout: str, where: str) -> list[np.ndarray]:
    """Sequences (t_i, d) of a column of lists of lists."""
    made: list[np.ndarray] = []
    for i, cell in enumerate(table[feature], 1):
        if cell.values is None:
            raise ValueError(f"{where}, row {i}: no sequence. Drop the row.")
        parts = [_array(one, where, i) for one in cell.values]
        if not parts or len({len(part) for part in parts}) > 1:
            raise ValueError(f"{where}, row {i}: lists of different lengths, or none; wanted numbers of shape (t, d).")
        one = np.stack(parts)
        made.append(one.T if layout == "nct" else one)
    if len({one.shape[1] for one in made}) > 1:
        hint = " If they are (channels, time), pass layout='nct'." if len({len(one) for one in made}) == 1 else ""
        raise ValueError(f"{where}: sequences need one number of features; got {made[0].shape[1]} and others.{hint}")
    return made


def _array(cell: Any, where: str, row: int) -> np.ndarray:
    if cell.values is None:
        raise ValueError(f"{where}, row {row}: no sequence. Drop the row.")
    return cell.values.to_numpy(zero_copy_only=False)
