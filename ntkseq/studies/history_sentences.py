"""What happened to a network while it trained, in plain sentences made of the rows of its history."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ntkseq._outward import outward
from ntkseq._types import Text
from ntkseq.training import ProbeTable

NEXT = "Next: whether kernels of wider networks move less: ntkseq study training --quick"


def findings(tables: Mapping[str, tuple[Text, ProbeTable]]) -> tuple[str, ...]:
    """Losses, how far kernels moved, and what of them is resolved; the last says what to look at next.

    Args:
        tables: by name, each with its kind.
    """
    told: list[str] = []
    for name, (kind, table) in tables.items():
        if kind == "loss":
            told += _losses(table)
        elif kind == "kernel":
            told += _kernel(name, table)
    moved = any(kind == "kernel" and "distance" in table.columns for kind, table in tables.values())
    return (*told[:4], NEXT) if moved and told else tuple(told[:5])


def _losses(table: ProbeTable) -> list[str]:
    """One sentence for all losses of a table."""
    said = []
    for column in table.columns:
        values = np.asarray(table[column], np.float64)
        if not column.endswith("_loss") or not np.isfinite(values).any():
            continue
        first, last = values[0], values[-1]
        if not np.isfinite(last):
            said.append(f"the {column.replace('_', ' ')} is no number at the end: the run diverged")
            continue
        turned = int(np.nanargmin(values))
        least = "" if values[turned] >= 0.99 * last else f", least {values[turned]:.3g} at step {table.steps[turned]}"
        said.append(f"the {column.replace('_', ' ')} went from {first:.3g} to {last:.3g}{least}")
    if not said:
        return []
    return [f"From step {table.steps[0]} to {table.steps[-1]} {'; '.join(said)}."]


def _kernel(name: str, table: ProbeTable) -> list[str]:
    told = []
    if "distance" in table.columns and "distance_error" in table.columns and np.isfinite(table["distance"][-1]):
        drift, error = float(table["distance"][-1]), float(table["distance_error"][-1])
        error = f" (+- {outward(100 * error, digits=2)} %)" if np.isfinite(error) else ""
        told.append(
            f"The kernel of probe {name!r} ended {100 * drift:.3g} %{error} of its size away from where it began."
        )
    if "resolved" in table.columns:
        clear, of = int(np.sum(np.asarray(table["resolved"], bool))), len(table.steps)
        where = "at every step" if clear == of else f"at {clear} of {of} steps"
        told.append(
            f"Its least eigenvalue is told from zero {where} looked at"
            + ("." if clear == of else "; float64 may help.")
        )
    return told
