"""What did one probe write? A row per step at which it looked."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import Int


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
        return f"ProbeTable({len(self)} rows, {at}; columns {', '.join(self.columns) or 'none'})"

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
