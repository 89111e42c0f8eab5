"""What did one probe write? A row per step at which it looked."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Int

from ntkseq import _display, _plots
from ntkseq.training import plots

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SHOWN = 10  # rows of a table in a notebook


@dataclasses.dataclass(frozen=True, eq=False)
class ProbeTable:
    """What one probe wrote: a row per step at which it looked."""

    steps: Int[np.ndarray, " r"]
    """Steps of training done before each row, ascending; 0 is the initialisation."""
    columns: Mapping[str, np.ndarray]
    """Arrays (r, ...), host float64 or bool."""

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.columns:
            raise KeyError(f"no column {name!r}; there are {', '.join(sorted(self.columns))}.")
        return self.columns[name]

    def __contains__(self, name: object) -> bool:
        """Whether there is a column of that name."""
        return name in self.columns

    def __iter__(self) -> Iterator[str]:
        """The names of the columns."""
        return iter(self.columns)

    def __repr__(self) -> str:
        at = f"steps {self.steps[0]} to {self.steps[-1]}" if len(self.steps) else "no steps"
        return _display.folded(f"ProbeTable({len(self)} rows, {at}; columns {', '.join(self.columns) or 'none'})")

    def plot(self, *columns: str, ax: Axes | None = None) -> Axes:
        """Columns over the steps, with the band of NAME_lower to NAME_upper, or NAME -+ NAME_error, where there is one.

        Args:
            *columns: their names; all columns of numbers if none.
            ax: matplotlib Axes to draw into; new ones of pyplot if None.

        Raises:
            ValueError: a column that is not there or has more than one number a row; something else than Axes.
            ImportError: matplotlib is not installed.
        """
        return plots.columns(self, columns, _plots.shown(ax))

    def _repr_html_(self) -> str:
        flat = {name: column for name, column in self.columns.items() if column.ndim == 1}
        rows = [(self.steps[i], *(_cell(column[i]) for column in flat.values())) for i in _ends(len(self))]
        wide = [f"{name}: {column.dtype} {column.shape}" for name, column in self.columns.items() if column.ndim > 1]
        left_out = [f"{len(self)} rows, {len(rows)} shown"] if len(rows) < len(self) else []
        return _display.table("", rows, ("step", *flat), [*left_out, *wide])

    def __len__(self) -> int:
        return len(self.steps)

    def with_row(self, step: int, row: Mapping[str, Any]) -> ProbeTable:
        """One row more."""
        columns = {}
        for name, value in row.items():
            new = np.asarray(value)[None]
            columns[name] = np.concatenate([self.columns[name], new]) if len(self.steps) else new
        return ProbeTable(np.append(self.steps, np.int64(step)), columns)


EMPTY = ProbeTable(np.zeros(0, np.int64), {})


def _ends(count: int) -> list[int]:
    """The rows that are shown of a table: all, or the first and the last."""
    return list(range(count)) if count <= _SHOWN else [*range(_SHOWN // 2), *range(count - _SHOWN // 2, count)]


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, np.floating) else str(value)
