"""Where does the history of a long training lie while it is measured? In one .npz, whole at every moment.

Who trains has the parameters, and goes on from a checkpoint of its own or from the start. What a store can give back is
what was measured. That a loop which goes on is the one that was measured is seen by the first parameters, bit by bit,
by what the probes are and compute, and at every step by how large the parameters are that are passed.
"""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from ntkseq import _files
from ntkseq._precision import eps
from ntkseq._types import PyTree
from ntkseq.empirical import fingerprint
from ntkseq.training import checkpoint, history_files
from ntkseq.training.probes import Probe, beside, distance
from ntkseq.training.tables import ProbeTable

_APART = float(eps(np.float32) ** 0.5)
"""Relative difference of |theta| from which a loop is another one: rounding that was otherwise moves it by less."""


class HistoryStore:
    """The file of the history of one run. It moves.

    Attributes:
        path: of the file, an .npz.
        run: by what the run is known.
    """

    def __init__(self, path: pathlib.Path, run: Mapping[str, Any]) -> None:
        self.path, self.run = path, dict(run)
        self._sizes: dict[int, float] = {}
        self._steps: dict[str, np.ndarray] = {}
        self._mark = _files.mark(path)

    def read(self) -> dict[str, ProbeTable]:
        """The tables that are there; none where there is no file.

        Raises:
            ValueError: it is no history, or that of another run; says in what they differ.
        """
        if self._mark is None:
            return {}
        arrays, settings = history_files.read(self.path)
        if "run" not in settings or "sizes" not in arrays:
            raise ValueError(
                f"{self.path} is a history that was saved, and says not of which run it is. Pass another store=, or "
                "read it with training.History.load."
            )
        checkpoint.compare(self.path, "history", "store", settings["run"], self.run)
        self._sizes = {int(step): float(size) for step, size in arrays["sizes"]}
        tables = history_files.tables_of(arrays)
        self._steps = {name: table.steps for name, table in tables.items()}
        return tables

    def check(self, step: int, params: PyTree) -> None:
        """Note how large the parameters are at a step, or see that they are as large as they were.

        Raises:
            ValueError: they are not.
        """
        size = float(_size(params))
        was = self._sizes.setdefault(step, size)
        if not np.isclose(size, was, rtol=_APART, atol=0.0, equal_nan=True):
            raise ValueError(
                f"params at step {step} must be those that {self.path} was measured at, of norm {was:.6g}; got norm "
                f"{size:.6g}. Go on from a checkpoint of the same run, or pass another store=."
            )

    def write(self, tables: Mapping[str, ProbeTable], about: Mapping[str, Any]) -> None:
        """Replace the file, in one move; where nothing is new it stays.

        Raises:
            ValueError: rows that are there would be lost.
            OSError: it cannot be written, or another process writes it as well.
        """
        steps = {name: table.steps for name, table in tables.items()}
        lost = [name for name, there in self._steps.items() if not np.isin(there, steps.get(name, ())).all()]
        if lost:
            raise ValueError(
                f"{self.path} holds rows of {', '.join(lost)} that this history has not: it is not the longest one. "
                "Go on from what the last update returned."
            )
        if self._mark is not None and all(len(one) == len(self._steps.get(name, ())) for name, one in steps.items()):
            return
        if _files.mark(self.path) != self._mark:
            raise OSError(
                f"{self.path} was changed by somebody else since this run read or wrote it. Let one training at a time "
                "write there, and pass another store= for another one."
            )
        sizes = np.array(sorted(self._sizes.items()), np.float64).reshape(-1, 2)
        history_files.write(self.path, tables, about, run=self.run, sizes=sizes)
        self._steps, self._mark = steps, _files.mark(self.path)


def identity(
    probes: Sequence[Probe], starts: Sequence[Any], about: Mapping[str, Any], params: PyTree, state: PyTree
) -> dict[str, Any]:
    """By what the history of a run is known again.

    Args:
        probes, starts, about: what looks, what each keeps of the start, and what it was set to.
        params, state: at the start.
    """
    return {
        "version": checkpoint.version(),
        "params": checkpoint.digest(params),
        "leaves of params": checkpoint.kinds(params),
        "state": None if state is None else checkpoint.digest(state),
        "probes": of_probes(probes, starts, about, params, state),
    }


def of_probes(
    probes: Sequence[Probe], starts: Sequence[Any], about: Mapping[str, Any], params: PyTree, state: PyTree = None
) -> dict[str, Any]:
    """What each probe was set to, what it holds, and what it computes: rows of two probes make no table."""
    found = {}
    for probe, start in zip(probes, starts, strict=True):
        held = {jax.tree_util.keystr(path).lstrip("."): leaf for path, leaf in jax.tree.leaves_with_path(probe)}
        computes = fingerprint.fingerprint(
            lambda probe, params, start, *state: probe.computed(params, start, *state),
            probe,
            params,
            start,
            *beside(state),
        )
        found[probe.name] = (
            dict(about[probe.name])
            | {name: checkpoint.digest(leaf) for name, leaf in held.items()}
            | {"what it computes": computes}
        )
    return found


@jax.jit
def _size(params: PyTree) -> jax.Array:
    return distance(params, params)[1]
