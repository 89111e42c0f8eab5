"""How do the tables of a history lie in a file? Exact in an .npz, readable in a .json, whole or not at all."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from ntkseq import _files
from ntkseq._types import AnyArray, DataFrame, PyTree
from ntkseq.training.tables import ProbeTable

FORMAT = "ntkseq history 1"


def flat(tables: Mapping[str, ProbeTable]) -> dict[str, np.ndarray]:
    """All tables as arrays named "table/NAME/COLUMN"; the steps as column "steps of rows" are "table/NAME/#"."""
    arrays = {}
    for name, table in tables.items():
        arrays[f"table/{name}/#"] = np.asarray(table.steps, np.int64)
        arrays |= {f"table/{name}/{column}": values for column, values in table.columns.items()}
    return arrays


def tables_of(arrays: Mapping[str, np.ndarray]) -> dict[str, ProbeTable]:
    """The tables that `flat` took apart.

    Raises:
        ValueError: columns of other lengths than their steps.
    """
    parts: dict[str, dict[str, np.ndarray]] = {}
    for key, values in arrays.items():
        if key.startswith("table/") and key.count("/") == 2:
            _, name, column = key.split("/")
            parts.setdefault(name, {})[column] = np.asarray(values)
    tables = {}
    for name, columns in parts.items():
        steps = columns.pop("#", None)
        if steps is None or any(values.shape[:1] != steps.shape for values in columns.values()):
            raise ValueError(f"table {name!r} has columns that do not fit its steps.")
        tables[name] = ProbeTable(steps, columns)
    return tables


def save(path: str | os.PathLike[str], tables: Mapping[str, ProbeTable], about: Mapping[str, Any]) -> None:
    """See `History.save`."""
    path = pathlib.Path(path)
    settings = {"format": FORMAT, "about": dict(about)}
    if path.suffix == ".npz":
        write(path, tables, about)
    elif path.suffix == ".json":
        held = {
            name: {"steps": table.steps.tolist(), **{k: _plain(v) for k, v in table.columns.items()}}
            for name, table in tables.items()
        }
        text = json.dumps({**settings, "tables": held}, indent=1, allow_nan=False) + "\n"
        _files.written(path, lambda file: file.write(text.encode()))
    else:
        raise ValueError(f"a history is saved as .npz or .json; got {path.name!r}.")


def write(path: pathlib.Path, tables: Mapping[str, ProbeTable], about: Mapping[str, Any], **more: Any) -> None:
    """Replace an .npz of tables, in one move; `more`: arrays, and `run=`, by what a run is known that goes on.

    Raises:
        OSError: it cannot be written; what was there is as it was.
    """
    run = {"run": more.pop("run")} if "run" in more else {}
    settings = {"format": FORMAT, "about": dict(about)} | run
    arrays: dict[str, Any] = {"settings": np.array(json.dumps(settings)), **more, **flat(tables)}
    _files.written(path, lambda file: np.savez_compressed(file, allow_pickle=False, **arrays))


def load(path: str | os.PathLike[str]) -> tuple[dict[str, ProbeTable], dict[str, Any]]:
    """See `History.load`."""
    path = pathlib.Path(path)
    if path.suffix != ".json":
        arrays, settings = read(path)
        return tables_of(arrays), settings["about"]
    if not path.is_file():
        raise ValueError(f"{path}: no such file.")
    try:
        return _from_json(json.loads(path.read_text(encoding="utf-8")))
    except Exception as error:
        raise _foreign(path, error) from None


def read(path: pathlib.Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays of an .npz of tables, which make tables, and its settings.

    Raises:
        ValueError: no such file, or not a history.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such file.")
    try:
        # a handle of our own: np.load leaves its own open where the file is broken
        with path.open("rb") as file, np.load(file, allow_pickle=False) as held:
            arrays = {name: held[name] for name in held.files}  # all of it: zip checks the sums of what is read
        settings = json.loads(str(arrays.pop("settings")))
        if settings["format"] != FORMAT:
            raise ValueError(f"its format is {settings['format']!r}")
        tables_of(arrays)
        return arrays, dict(settings, about=settings["about"])
    except Exception as error:
        raise _foreign(path, error) from None


def _foreign(path: pathlib.Path, error: Exception) -> ValueError:
    why = f"it has no {error}" if isinstance(error, KeyError) else f"{type(error).__name__} {error}"
    return ValueError(
        f"{path} is no history that this version reads: {why}. History.save and training.track(store=) write one; "
        "report.json and arrays.npz of a study are a report already, and `ntkseq spectrum` reads their matrices."
    )


def _from_json(held: PyTree) -> tuple[dict[str, ProbeTable], dict[str, Any]]:
    if held["format"] != FORMAT:
        raise ValueError(f"its format is {held['format']!r}")
    tables = {}
    for name, columns in held["tables"].items():
        steps = np.asarray(columns.pop("steps"), np.int64)
        arrays = {column: _array(values) for column, values in columns.items()}
        if any(values.shape[:1] != steps.shape for values in arrays.values()):
            raise ValueError(f"table {name!r} has columns that do not fit its steps")
        tables[name] = ProbeTable(steps, arrays)
    return tables, held["about"]


def frame(table: ProbeTable) -> DataFrame:
    """See `History.to_pandas`."""
    try:
        import pandas  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ImportError("a DataFrame needs pandas, which is not installed. Run: pip install pandas") from error
    columns = {}
    for name, values in table.columns.items():
        if values.ndim == 1:
            columns[name] = values
            continue
        for index in np.ndindex(values.shape[1:]):
            columns[f"{name}[{','.join(map(str, index))}]"] = values[(slice(None), *index)]
    return pandas.DataFrame(columns, index=pandas.Index(table.steps, name="step"))


def _plain(values: np.ndarray) -> Any:
    """Nested lists; null for NaN, and the words "inf" and "-inf", which JSON has no numbers for."""
    if values.dtype == bool:
        return values.tolist()

    def one(value: Any) -> Any:
        if isinstance(value, list):
            return [one(part) for part in value]
        if value != value:
            return None
        return value if abs(value) != float("inf") else ("inf" if value > 0 else "-inf")

    return one(values.tolist())


def _array(values: AnyArray) -> np.ndarray:
    flags = bool(values) and isinstance(values[0], bool)

    def one(value: Any) -> Any:
        if isinstance(value, list):
            return [one(part) for part in value]
        return float("nan") if value is None else float(value)

    return np.asarray(values, bool) if flags else np.asarray(one(values), np.float64)
