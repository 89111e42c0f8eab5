"""Which examples meet which, and in which tiles? Checked and prepared once, for every carrier of a Gram matrix."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from ntkseq import _checks, _devices, _meshes, _precision, _provenance
from ntkseq._types import AnyKernel, DType, Inputs, Lengths, PyTree
from ntkseq.grams import blockwise, device, digits, host, meshes, notes, panels, tiles
from ntkseq.kernels import span
from ntkseq.kernels.base import Kernel, Scaled, Side
from ntkseq.kernels.origin import Origin


@dataclasses.dataclass(frozen=True, eq=False)
class Sides:
    """Two prepared batches of examples, or one with itself, and the exact diagonal of the left one.

    Of a kernel between all o outputs, (n, m, o, o), the matrix has (n o) rows and (m o) columns, those of an example
    next to each other.

    `x64`: whether JAX was in its 64-bit mode, under which whatever is computed from them is computed.
    `mesh`: of one axis, the devices that compute the tiles; None: where the examples lie. A pickle is without it.
    """

    kernel: Kernel
    left: Side
    right: Side
    diagonal: jax.Array
    symmetric: bool
    outputs: int | None = None
    x64: bool = dataclasses.field(default_factory=_precision.x64)
    mesh: Mesh | None = None

    def __getstate__(self) -> dict[str, Any]:
        """In NumPy: JAX would read float64 back as float32 where it is in its 32-bit mode."""
        state = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        state["mesh"] = None  # devices are those of this process
        return state | {name: in_numpy(state[name]) for name in ("kernel", "left", "right", "diagonal")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        with _precision.setting(state["x64"]):
            for name, value in state.items():
                sides = jax.tree.map(jnp.asarray, value) if name in ("left", "right", "diagonal") else value
                object.__setattr__(self, name, sides)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the matrix of all pairs."""
        n, m = (jax.tree.leaves(side)[0].shape[0] * (self.outputs or 1) for side in (self.left, self.right))
        return n, m

    @property
    def on_cpu(self) -> bool:
        """Whether the tiles are computed by processors of the host."""
        if self.mesh is not None:
            return _meshes.is_cpu(self.mesh)
        return _devices.on_cpu(jax.tree.leaves(self.left)[0])

    @property
    def block_rows(self) -> int | None:
        """Rows of a block where examples are prepared block by block; None: all of them at once, as they were here."""
        return None

    def named(self, record: Any, path: pathlib.Path) -> Sides:
        """The same for the store of this record at this path; see `stores.block_sides`."""
        return self

    def begin(self) -> None:
        """Make what the store needs beside its chunks; only while nobody else writes there."""

    def sparing(self) -> contextlib.AbstractContextManager[None]:
        """A `with` in which tiles are computed: where memory is tight, what they took goes back to the system."""
        return contextlib.nullcontext()

    def seen(self, x: tuple[Any, Any], lengths: tuple[Any, Any]) -> Sides:
        """The same with diagonal and rounding known, after every example was prepared."""
        return self

    def known(self, read: Callable[[], np.ndarray | None]) -> Sides:
        """The same with the diagonal that a store holds, which is read where no example was prepared yet."""
        return self

    @property
    def devices(self) -> int:
        """How many of them compute."""
        return 1 if self.mesh is None else self.mesh.size

    def on(self, mesh: Mesh) -> Sides:
        """The same examples, for the devices of a mesh of one axis."""
        return dataclasses.replace(self, mesh=mesh)

    @property
    def ready(self) -> bool:
        """Whether the program of a tile is compiled for sure."""
        return False

    def tiles(self, pairs: np.ndarray, size: int) -> np.ndarray:
        """The tiles (k, size, size) at block index pairs (k, 2)."""
        return np.asarray(tiles.compute(self.kernel, self.left, self.right, pairs, size))

    def order(self, pairs: np.ndarray) -> np.ndarray:
        """Tiles in the order in which they are best computed, as block index pairs (k, 2)."""
        return pairs

    def task(self, tile: int | None, workers: int | None) -> tuple[tiles.Task, int]:
        """The tiles of the whole matrix, and how many calls run at once."""
        calls = self.mesh.size if self.mesh is not None else (workers or host.cores()) if self.on_cpu else 1
        rows = tiles.even(self.kernel.tile_rows(self.left), *self.shape, self.symmetric, self.devices)
        plan = tiles.plan(
            *self.shape,
            symmetric=self.symmetric,
            entries=self.kernel.entries_per_pair(self.left),
            on_cpu=self.on_cpu,
            size=tile or rows,
            workers=calls,
        )
        if rows is not None:  # whole matrix products: one tile at a time, in memory and in a store
            plan = dataclasses.replace(plan, batch=1)
        made = tiles.Task(self.kernel, self.left, self.right, plan, self.shape, self.diagonal, self.symmetric)
        return made, calls

    def in_one_piece(self, tile: int | None) -> bool:
        """Whether the kernel asks for all pairs at once, and nobody for tiles or several devices."""
        rows = self.kernel.tile_rows(self.left) if tile is None and self.devices == 1 else None
        return rows is not None and max(self.shape) <= rows

    def values(self, tile: int | None, workers: int | None, tick: Callable[[int], Any]) -> tuple[jax.Array, bool]:
        """The whole matrix, and whether all its values are finite."""
        with _precision.setting(self.x64), notes.told(self.kernel, "tile", left=self.left, right=self.right):
            task, calls = self.task(tile, workers)
            if self.mesh is not None:
                return meshes.run(task, self.mesh, tick)
            return host.run(task, calls, tick) if self.on_cpu else device.run(task, tick)

    def take(self, which: np.ndarray) -> Sides:
        """Some rows against all columns, where no row is the diagonal's any more."""
        with _precision.setting(self.x64):
            left = jax.tree.map(lambda leaf: leaf[which], self.left)
            return dataclasses.replace(self, left=left, diagonal=self.diagonal[which], symmetric=False)

    def turned(self) -> Sides:
        """The columns as rows and the rows as columns."""
        with _precision.setting(self.x64):
            diagonal = self.kernel.diag_side(self.right)
            return dataclasses.replace(self, left=self.right, right=self.left, diagonal=diagonal)

    def times(self, factor: float) -> Sides:
        """The same examples under a multiple of the kernel."""
        with _precision.setting(self.x64):
            kernel = Scaled(self.kernel, factor)
            return dataclasses.replace(self, kernel=kernel, diagonal=kernel.diag_side(self.left))

    def entry_rounding(self) -> float:
        """e with |computed_ij - exact_ij| <= e sqrt(K_ii K'_jj), as the kernel states it."""
        with _precision.setting(self.x64), notes.told(self.kernel, "entry_rounding", left=self.left):
            if self.symmetric:
                return self.kernel.entry_rounding(self.left)
            return self.kernel.cross_rounding(self.left, self.right)

    def rounding(self, e: float) -> float:
        """|E|_2 <= |E|_F <= e sqrt(tr K tr K'), with |E_ij| <= e sqrt(K_ii K'_jj)."""
        traces = [float(np.sum(np.asarray(self.diagonal, np.float64)))]
        if not self.symmetric:
            traces.append(self.trace_of_columns())
        return digits.in_norm(e, float(np.sqrt(traces[0] * traces[-1])))

    def trace_of_columns(self) -> float:
        """The trace of the columns with themselves."""
        with _precision.setting(self.x64):
            return float(np.sum(np.asarray(own(self.kernel, self.right), np.float64)))

    def remember(self, values: jax.Array, e: float) -> None:
        """Let the array itself state what the Gram states."""
        size = self.rounding(1.0)  # sqrt(tr K tr K')
        traces = None if self.symmetric else (size, size)
        _provenance.remember(values, Origin.known(e, traces, self.kernel.estimated, self.kernel.sampled))

    def work(self, task: tiles.Task) -> int:
        """Pair-steps of all tiles: what a progress bar counts."""
        per_pair = self.kernel.entries_per_pair(self.left) * self.kernel.steps(self.left)
        return len(task.plan.pairs) * task.plan.size**2 * per_pair


def in_numpy(tree: PyTree) -> Any:
    """The arrays of a tree in NumPy; keys of random numbers, which it has none of, as they are."""

    def one(leaf: Any) -> Any:
        key = isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return np.asarray(leaf) if isinstance(leaf, jax.Array) and not key else leaf

    return jax.tree.map(one, tree)


def own(kernel: Kernel, side: Side) -> jax.Array:
    """The kernel of each example with itself, (n,); of all o outputs each with itself, (n o,)."""
    values = kernel.diag_side(side)
    return jnp.diagonal(values, axis1=1, axis2=2).reshape(-1) if values.ndim == 3 else values


def prepare(
    kernel: AnyKernel,
    x: Inputs,
    x2: Inputs | None,
    lengths: Lengths,
    lengths2: Lengths,
    *,
    full: bool = False,
    wanted: str = "this Gram",
    later: bool = False,
    mesh: Mesh | None = None,
    rows: int | None = None,
) -> Sides:
    """Check and prepare the examples of a Gram matrix; with `full`, of a kernel between all outputs, too.

    `later`: of a sampled kernel with itself the diagonal is left out: a zero stands for it. `rows`: of a tile, where
    the caller asked for tiles: what takes much memory is then prepared as for a store.

    Raises:
        ValueError: no kernel, bad inputs, or a kernel with several numbers per pair.
    """
    if not isinstance(kernel, Kernel):
        raise ValueError(f"kernel must be an ntkseq Kernel; got {type(kernel).__name__}. See ntkseq.kernels.")
    if x2 is None and lengths2 is not None:
        raise ValueError("lengths2 belongs to x2, which is None; got lengths2. Pass x2, or lengths= for x.")
    symmetric = x2 is None
    with notes.told(kernel, "prepare", x=x):
        left, diagonal = _prepared(kernel, x, lengths, rows)
        right = left
    if not symmetric:
        with notes.told(kernel, "prepare", x2=x2):
            right, _ = _prepared(kernel, x2, lengths2, rows)
    if not symmetric:
        kernel.check_pair(left, right)
    pair = Sides(kernel, left, right, jnp.zeros(()), symmetric, mesh=mesh)
    if later and symmetric and kernel.sampled:
        return pair
    with notes.told(kernel, "diag_side", x=x):
        diagonal = kernel.diag_side(left) if diagonal is None else diagonal
    return completed(pair, diagonal, (x, x2), (lengths, lengths2), full=full, wanted=wanted)


def _prepared(kernel: Kernel, x: Any, lengths: Lengths, rows: int | None) -> tuple[Side, Any]:
    """Prepared examples; where they were prepared block by block, their diagonal as well."""
    found = None if rows is None or _devices.ambient() is not None else blockwise.whole(kernel, x, lengths, rows)
    return (kernel.prepare(x, lengths), None) if found is None else found


def completed(
    pair: Sides, values: jax.Array, x: tuple[Any, Any], lengths: tuple[Any, Any], *, full: bool, wanted: str
) -> Sides:
    """The pair with its exact diagonal, as `diag_side` gives it, for the inputs that it was prepared from.

    Raises:
        ValueError: a kernel with several numbers per pair, or inputs that leave the range of the dtype.
    """
    square = one_number(values.shape, full=full, wanted=wanted)
    diagonal = jnp.diagonal(values, axis1=1, axis2=2).reshape(-1) if square else values
    each = diagonal.reshape(values.shape[0], -1) if square else diagonal
    span.check(pair.kernel, x[0], lengths[0], diagonal.dtype, each)
    if not pair.symmetric:
        span.check(pair.kernel, x[1], lengths[1], diagonal.dtype, None)
    if pair.mesh is not None:
        diagonal = _meshes.at_first(diagonal, pair.mesh)
    return dataclasses.replace(pair, diagonal=diagonal, outputs=values.shape[1] if square else None)


def one_number(shape: tuple[int, ...], *, full: bool, wanted: str) -> bool:
    """Whether the diagonal of a kernel, of this shape, is that between all outputs.

    Raises:
        ValueError: several numbers per pair, unless they are a matrix and `full` allows it.
    """
    square = len(shape) == 3 and shape[1] == shape[2]
    if len(shape) != 1 and not (square and full):
        raise ValueError(
            f"{wanted} has one number per pair of inputs; got {shape[1:]} of them. Take "
            'outputs="mean" or the index of one output'
            + (", or gram(kernel, x), which is the matrix of all outputs." if square else ', or outputs="full".')
        )
    return square


def on_host(kernel: AnyKernel, x: Inputs, x2: Inputs | None, lengths: Lengths, lengths2: Lengths) -> None:
    """Raise where something is traced, or where the inputs lie on different devices.

    Raises:
        ValueError: so it is.
    """
    given = {"kernel": kernel, "x": x, "x2": x2, "lengths": lengths, "lengths2": lengths2}
    for name, value in given.items():
        _checks.outside(name, value, "; inside, kernel(x) is the matrix")
    one, two = ({device for leaf in jax.tree.leaves(side) if isinstance(leaf, jax.Array) and leaf.committed
                 for device in leaf.devices()} for side in (x, x2))  # fmt: skip
    if len(one) == len(two) == 1 and one != two:
        raise ValueError(
            f"x2 must lie on the device of x; got x on {_listed(one)} and x2 on {_listed(two)}. "
            "Pass jax.device_put(x2, x.sharding)."
        )


def _listed(devices: set[Any]) -> str:
    return ", ".join(sorted(map(str, devices)))


def devices(mesh: object, workers: int | None, x: Inputs, x2: Inputs | None) -> Mesh | None:
    """The mesh that was asked for, as one of one axis; None where none was.

    Raises:
        ValueError: no mesh of this process, `workers` beside it, or inputs that were put on other devices.
    """
    if mesh is None:
        return None
    flat = _meshes.flat(mesh)
    if workers is not None:
        raise ValueError(f"workers are threads of one device; got workers={workers} and a mesh. Pass one of the two.")
    own = set(flat.devices.flat)
    for name, value in (("x", x), ("x2", x2)):
        leaves = [leaf for leaf in jax.tree.leaves(value) if isinstance(leaf, jax.Array) and leaf.committed]
        if others := {device for leaf in leaves for device in leaf.devices()} - own:
            raise ValueError(
                f"{name} must lie on devices of mesh, or be a NumPy array; got {name} on {_listed(others)} and a mesh "
                f"of {_listed(own)}. Pass numpy.asarray({name})."
            )
    return flat


def shared(kernel: Any, mesh: Mesh | None) -> Any:
    """A kernel that keeps to the memory it was allowed where the devices of a mesh all work in that of the host."""
    return (
        kernel.beside(mesh.size) if mesh is not None and _meshes.is_cpu(mesh) and isinstance(kernel, Kernel) else kernel
    )


def at_home(mesh: Mesh | None, inputs: Any) -> Any:
    """A `with` under which examples are prepared: on the first device of the mesh, or on the host if they fill that."""
    return contextlib.nullcontext() if mesh is None else _meshes.at(panels.home(mesh, inputs))


def sizes(tile: object, workers: object) -> tuple[int | None, int | None]:
    """Check the sizes a user may give."""
    given = (("tile", tile), ("workers", workers))
    tile, workers = (None if value is None else _checks.positive_int(name, value) for name, value in given)
    return tile, workers


def overflow(dtype: DType) -> _checks.Overflow:
    """The error for kernel values that are not finite."""
    return _checks.Overflow(
        f"kernel values overflow {dtype}. Lower the scales of the kernel or of the inputs, or use float64."
    )
