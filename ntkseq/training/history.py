"""What did the probes see while a network trained? Rows by step, one table per probe."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from ntkseq import _checks, _display
from ntkseq._types import DataFrame, Integer, Number, PyTree
from ntkseq.training import checkpoint, history_files, history_store
from ntkseq.training.probes import Probe, beside
from ntkseq.training.state import check_like, check_state, shapes_of, warn_of_held
from ntkseq.training.tables import EMPTY, ProbeTable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ntkseq.training.tape import Tape

LOGGED = "logged"
"""The table of the numbers that a loop passes to `update` by name."""


@dataclasses.dataclass(frozen=True, eq=False)
class Reference:
    """What one probe keeps of the start."""

    start: Any
    """For `Probe.measure`: arrays of JAX."""
    first: Any
    """The first measurement, NumPy arrays."""
    memory: Any
    """What `Probe.remember` made of it."""


@dataclasses.dataclass(frozen=True, eq=False)
class History:
    """Tables of measurements over the steps of a training run. Made by `track`; `update` returns a longer one.

        history = training.track(probes, params)
        for step in range(1, 1001):
            params, state = ...                             # any loop, any optimizer
            history = history.update(step, params)          # looks only where a probe is due

    A network whose training moves more than its parameters, such as running averages, has them passed along:
    `track(probes, params, state)`, `history.update(step, params, state)`.

    `history["kernel"]["min_eigenvalue"]` is a column; `history["kernel"].steps` are its steps. Inside `jax.jit` or
    `lax.scan` carry a `tape` instead.
    """

    tables: Mapping[str, ProbeTable]
    """By the name of the probe."""
    about: Mapping[str, Mapping[str, Any]]
    """What each probe was set to, in words and numbers that JSON holds."""
    probes: tuple[Probe, ...] = ()
    """Empty in a history that was loaded from a file: it can be read and not continued."""
    references: tuple[Reference, ...] = ()
    """What each probe keeps of the start."""
    like: Any = None
    """The parameters as shapes and dtypes."""
    like_state: Any = None
    """What is passed along beside them, likewise; None where nothing is."""
    store: history_store.HistoryStore | None = None
    """The file in which every row is as soon as it is measured; None: there is none."""

    def __getitem__(self, name: str) -> ProbeTable:
        if name not in self.tables:
            raise KeyError(f"no table {name!r}; there are {', '.join(sorted(self.tables)) or 'none'}.")
        return self.tables[name]

    def __contains__(self, name: object) -> bool:
        """Whether there is a table of that name."""
        return name in self.tables

    def __iter__(self) -> Iterator[str]:
        """The names of the tables."""
        return iter(self.tables)

    def due(self, step: int) -> bool:
        """Whether a probe looks after this many steps."""
        return any(probe.due(step) for probe in self.probes)

    def next_due(self, step: int) -> int | None:
        """The next step after `step` at which a probe looks; None if there is none."""
        coming = [due for probe in self.probes if (due := probe.next_due(step)) is not None]
        return min(coming, default=None)

    def update(self, step: Number, params: PyTree, state: PyTree = None, **logged: Any) -> History:
        """Let every probe look that is due; with a store, write what they saw, and read what is there already.

        Args:
            step: steps of training done; not below the last one, unless a store has the rows of that step.
            params: the parameters after them.
            state: what training moves beside them, after these steps, where tracking began with one.
            **logged: numbers of the loop's own, such as its loss; kept in the table "logged" where a probe is due.

        Raises:
            ValueError: a step in a trace or before the last one, other parameters or another state than at the start,
                a number that is none; a history that was loaded; parameters that are not those of the store.
            OSError: the store cannot be written.
        """
        step = self._step(step)
        if not self.due(step):
            return self
        check_state(state, self.like_state is not None)
        check_like("params", params, self.like)
        check_like("state", state, self.like_state)
        tables = dict(self.tables)
        if self.store is not None:
            self.store.check(step, params)
        for probe, reference in zip(self.probes, self.references, strict=True):
            if probe.due(step) and step not in tables[probe.name].steps:
                row = probe.row(probe.look(params, reference.start, *beside(state)), reference.memory)
                tables[probe.name] = tables[probe.name].with_row(step, row)
        if logged:
            row = {name: _number(name, value) for name, value in logged.items()}
            tables[LOGGED] = self._logged(step, tables.get(LOGGED, EMPTY), row)
        return self._with(tables)

    def tape(self, slots: Integer) -> Tape:
        """An empty record of `slots` rows per probe, to be carried through `jax.jit` and `lax.scan`; see `Tape`.

        Raises:
            ValueError: slots below 1; a history that was loaded from a file.
        """
        from ntkseq.training.tape import blank

        self._continuable()
        slots = _checks.positive_int("slots", slots)
        return blank(self.probes, self.references, self.like, self.like_state, slots)

    def extend(self, tape: Tape) -> History:
        """This history with the rows of a tape. What the tape held no room for is refused; what a store has, stays.

        Raises:
            ValueError: a tape in a trace, or one that ran over; rows before the last ones here.
        """
        from ntkseq.training.tape import rows

        tables = dict(self.tables)
        for probe, (steps, found) in zip(self.probes, rows(tape, self.probes, self.references), strict=True):
            for step, row in zip(steps, found, strict=True):
                table = tables[probe.name]
                if step in table.steps if self.store is not None else step in table.steps[-1:]:
                    continue
                self._after(step, table)
                tables[probe.name] = table.with_row(step, row)
        return self._with(tables)

    def state(self) -> dict[str, np.ndarray]:
        """All rows and references as named arrays, for a checkpoint."""
        arrays = history_files.flat(self.tables)
        return arrays | {f"reference/{i}": np.asarray(leaf) for i, leaf in enumerate(self._kept())}

    def restored(self, state: Mapping[str, np.ndarray]) -> History:
        """This history with the rows and references of a `state`.

        Raises:
            ValueError: a state of other probes.
        """
        own = self._kept()
        kept = [state.get(f"reference/{i}") for i in range(len(own))]
        shapes = [(np.shape(leaf), np.asarray(leaf).dtype) for leaf in own]
        came = [None if leaf is None else (leaf.shape, leaf.dtype) for leaf in kept]
        if f"reference/{len(own)}" in state or came != shapes:
            raise ValueError("the state is that of other probes or parameters; make the history with the same ones.")
        tree = jax.tree.structure([(reference.start, reference.first) for reference in self.references])
        references = []
        for probe, (start, first) in zip(self.probes, jax.tree.unflatten(tree, kept), strict=True):
            references.append(Reference(jax.tree.map(jnp.asarray, start), first, probe.remember(first)))
        tables = dict.fromkeys(self.tables, EMPTY) | history_files.tables_of(state)
        return dataclasses.replace(self, tables=tables, references=tuple(references))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the tables: exact in an .npz, readable in a .json (no NaN there: null).

        Args:
            path: of the file, .npz or .json.

        Raises:
            ValueError: another suffix.
            OSError: it cannot be written; then nothing is left there.
        """
        history_files.save(path, self.tables, self.about)

    @staticmethod
    def load(path: str | os.PathLike[str]) -> History:
        """Read what `save` wrote.

        Args:
            path: of the file.

        Raises:
            ValueError: no such file, or not a history.
        """
        tables, about = history_files.load(path)
        return History(tables, about)

    def to_pandas(self, name: str) -> DataFrame:
        """One table as a pandas DataFrame with the steps as index; columns of several numbers become "name[i]".

        Raises:
            ImportError: pandas is not installed.
        """
        return history_files.frame(self[name])

    def __repr__(self) -> str:
        tables = ", ".join(f"{name}: {len(table)} rows" for name, table in self.tables.items())
        return "\n".join(_display.cut(_display.wrapped(f"History({tables})")))

    def plot(self, table: str, *columns: str, ax: Axes | None = None) -> Axes:
        """Columns of a table over the steps, as `ProbeTable.plot`; `reports.trajectories` has a picture of each probe.

        Args:
            table: its name.
            *columns: of that table; all columns of numbers if none.
            ax: matplotlib Axes to draw into; new ones of pyplot if None.

        Raises:
            ValueError: a table or column that is not there; something else than Axes.
            ImportError: matplotlib is not installed.
        """
        _checks.choice("table", table, tuple(self.tables))
        return self.tables[table].plot(*columns, ax=ax)

    def _repr_html_(self) -> str:
        rows = [(name, repr(table)) for name, table in self.tables.items()]
        return _display.table("History", rows, ("table", "holds"), ['history["NAME"] shows its numbers'])

    def _kept(self) -> list[Any]:
        return jax.tree.leaves([(reference.start, reference.first) for reference in self.references])

    def _step(self, step: Number) -> int:
        self._continuable()
        if not _checks.is_concrete(step):
            raise ValueError(
                "history.update looks at numbers on the host and cannot be traced. Inside jit or scan carry "
                "tape = history.tape(slots), call tape.update(step, params), and history.extend(tape) outside."
            )
        step = int(step)
        if step < 0:
            raise ValueError(f"step must be >= 0, the number of steps done; got {step}.")
        for name, table in self.tables.items():
            if self.store is None or (name != LOGGED and self._lacks(step, name)):
                self._after(step, table)
        return step

    def _lacks(self, step: int, name: str) -> bool:
        """Whether a row of this step belongs into a table, and is not there."""
        (probe,) = (probe for probe in self.probes if probe.name == name)
        return probe.due(step) and step not in self.tables[name].steps

    def _with(self, tables: dict[str, ProbeTable]) -> History:
        """This history with these tables, written if there is a store."""
        if self.store is not None:
            self.store.write(tables, self.about)
        return dataclasses.replace(self, tables=tables)

    @staticmethod
    def _after(step: int, table: ProbeTable) -> None:
        if len(table) and step < table.steps[-1]:
            raise ValueError(f"step must not go back; got {step} after {table.steps[-1]}. Track each run by itself.")

    def _continuable(self) -> None:
        if not self.probes:
            raise ValueError("this history has no probes: it was loaded from a file, and can be read only.")

    @staticmethod
    def _logged(step: int, table: ProbeTable, row: dict[str, float]) -> ProbeTable:
        if len(table) and set(row) != set(table.columns):
            raise ValueError(f"the logged names must stay the same, {sorted(table.columns)}; got {sorted(row)}.")
        if step in table.steps:
            return table
        History._after(step, table)
        return table.with_row(step, row)


def track(probes: Any, params: PyTree, state: PyTree = None, *, store: str | os.PathLike[str] | None = None) -> History:
    """Begin to track a training run: look once at the initial parameters, and remember them.

    With `store=` the rows lie in a file as soon as they are measured. After a kill the same call reads them, and
    `update` measures nothing again at a step whose rows are there: begin the loop where you have parameters, at the
    latest at the first step that is missing.

    Args:
        probes: `KernelProbe`, `AttentionRankProbe`, `LossProbe`, `MovementProbe` or your own, each with its own name.
        params: at the start; copied, so a loop may donate them.
        state: what training moves beside the parameters and f needs: running averages of batch normalisation, spectral
            norms, caches, a `State` of equinox; any pytree of arrays. Every f of a probe is then called as
            f(params, state, x), and `update` wants the state of that step; no derivative is taken in it.
            `interop.flax.stateful` and `interop.equinox.stateful` make such an f.
        store: path of an .npz file, of one run; made where it is not there, else gone on with. It is what `save`
            writes: `History.load` and `ntkseq report` read it at any time.

    Returns:
        A `History` with one row per probe, at step 0; of a store with those that are there.

    Warns:
        UserWarning: without state, where the f of a probe holds such numbers: its rows would be those of a network
            that is not trained.

    Raises:
        ValueError: no probe, two of one name, something that is no probe; what the probes say of their inputs; a store
            of other probes or first parameters, with what differs.
        OSError: the store cannot be written.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ntkseq import models, training
        >>> net = models.Recurrent(width=16)
        >>> x, y = jax.random.normal(jax.random.key(0), (5, 4, 2)), jnp.array([1.0, -1, 1, -1, 1])
        >>> params = net.init(jax.random.key(1), x[0])
        >>> history = training.track([training.KernelProbe(net.apply, x, y=y, every=10)], params)
        >>> for step in range(1, 21):
        ...     params = jax.tree.map(lambda leaf: 0.99 * leaf, params)  # a step of your own loop
        ...     history = history.update(step, params)
        >>> history
        History(kernel: 3 rows)
        >>> table = history["kernel"]
        >>> table["distance"].shape
        (3,)
    """
    if not isinstance(probes, (list, tuple)):
        raise ValueError(f"probes must be a list of probes; got {_checks.shown(probes)}.")
    probes = tuple(probes)
    path = None if store is None else checkpoint.check_path(store, "store")
    if state is None:
        warn_of_held(probes)
    history = begin(probes, params, state)
    return history if path is None else _stored(history, path, params, state)


def _stored(history: History, path: pathlib.Path, params: PyTree, state: PyTree) -> History:
    """A history that has just begun, with the rows of its store."""
    starts = [reference.start for reference in history.references]
    params = jax.tree.map(jnp.asarray, params)
    run = history_store.identity(history.probes, starts, history.about, params, state)
    store = history_store.HistoryStore(path, run)
    history = dataclasses.replace(history, tables={**history.tables, **store.read()}, store=store)
    store.check(0, params)
    return history._with(dict(history.tables))


def begin(probes: Any, params: PyTree, state: PyTree = None) -> History:
    """`track` without its warning."""
    probes = tuple(probes)
    for probe in probes:
        if not isinstance(probe, Probe):
            raise ValueError(f"probes must be probes, such as training.KernelProbe; got {type(probe).__name__}.")
    names = [probe.name for probe in probes]
    if not probes or len(set(names)) != len(names) or LOGGED in names:
        raise ValueError(
            f"probes must be one or more, of different names, none of them {LOGGED!r}; got {names}. Pass name=."
        )
    for leaf in jax.tree.leaves(params):
        if not isinstance(leaf, jax.Array):
            leaf = _checks.numbers("params", leaf)
        if jnp.issubdtype(leaf.dtype, jnp.inexact):
            _checks.finite("params", leaf)
    params, state = jax.tree.map(jnp.array, _checks.leaves("params", params)), _checks.leaves("state", state)
    references, tables = [], {}
    for probe in probes:
        start = probe.start(params, *beside(state))
        first = probe.look(params, start, *beside(state))
        references.append(Reference(start, first, probe.remember(first)))
        tables[probe.name] = EMPTY.with_row(0, probe.row(first, references[-1].memory))
    about = {probe.name: probe.about() for probe in probes}
    return History(tables, about, probes, tuple(references), shapes_of(params), shapes_of(state))


def _number(name: str, value: object) -> float:
    array = np.asarray(value)
    if array.shape != () or array.dtype.kind not in "fiub":
        raise ValueError(f"logged {name} must be one number; got shape {array.shape}, dtype {array.dtype}.")
    return float(array)
