"""What is a Gram matrix that is too large to hold? Its tiles, made again for every product with a block of vectors."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkseq import _display, _precision, _progress
from ntkseq._types import ArrayLike, Index
from ntkseq.grams import mesh_products, sampling, sides, sweep
from ntkseq.grams.base import Gram, column_block


@dataclasses.dataclass(eq=False)
class LazyGram(Gram):
    """A Gram matrix that recomputes its tiles in each product. Made by `lazy`.

    Attributes:
        sides: the inputs, prepared by the kernel.
        rounding, entrywise, sampling: as of any Gram.
        tile: rows of a tile; None: chosen from the shapes.
        workers: threads; None: the cores.
        progress: whether a bar is shown; None: at a terminal.
    """

    sides: sides.Sides
    rounding: float
    entrywise: float  # pyright: ignore[reportIncompatibleVariableOverride]  fields are not set again
    tile: int | None = None
    workers: int | None = None
    progress: bool | None = None
    sampling: sampling.Sampling | None = None
    _norm: float | None = None
    frobenius = True
    held = False

    @property
    def estimated(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Why `rounding` is an estimate, where it is one."""
        return self.sides.kernel.estimated

    @property
    def symmetric(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether it is the matrix of one set of inputs with itself."""
        return self.sides.symmetric

    @property
    def shape(self) -> tuple[int, int]:
        return self.sides.shape

    @property
    def dtype(self) -> np.dtype:
        """The dtype of the tiles."""
        return self.sides.diagonal.dtype

    def times(self, V: ArrayLike) -> Float[np.ndarray, "n ..."]:
        V, single = column_block(V, self.shape)
        with _precision.setting(self.sides.x64):
            task, calls = self.sides.task(self.tile, self.workers)
            work = self.sides.work(task)
            with _progress.bar(self.progress, work, len(task.plan.pairs), unit="tile", name="product") as bar:
                tick = (lambda count: None) if bar is None else bar.update
                mesh = self.sides.mesh
                found = sweep.run(task, V, calls, tick) if mesh is None else mesh_products.run(task, V, mesh, tick)
        if not np.isfinite(found.squares):
            raise sides.overflow(self.dtype)
        self._norm = float(np.sqrt(found.squares))
        return found.product[:, 0] if single else found.product

    def known_norm(self) -> float | None:
        return self._norm

    def norm_fro(self) -> float:
        if self._norm is None:
            self.times(np.zeros((self.shape[1], 0)))
        assert self._norm is not None
        return self._norm

    def diag(self) -> Float[Array | np.ndarray, " k"]:
        if self.symmetric:
            return _precision.handed(self.sides.diagonal)
        raise ValueError("the diagonal of a cross Gram is not held; got x2. Take lazy(kernel, x).diag().")

    def rows(self, which: Index) -> Float[Array | np.ndarray, "k m"]:
        index = np.arange(self.shape[0])[which].reshape(-1)
        values, finite = self.sides.take(index).values(None, self.workers, lambda count: None)
        if not finite:
            raise sides.overflow(self.dtype)
        if self.symmetric:
            with _precision.setting(self.sides.x64):
                values = values.at[np.arange(len(index)), index].set(self.sides.diagonal[index])
        return _precision.handed(values)

    def dense(self) -> Float[Array | np.ndarray, "n m"]:
        values, finite = self.sides.values(self.tile, self.workers, lambda count: None)
        if not finite:
            raise sides.overflow(self.dtype)
        self.sides.remember(values, self.entrywise)
        return _precision.handed(values)

    def _transposed(self) -> LazyGram:
        pair = self.sides.turned()
        return dataclasses.replace(self, sides=pair, entrywise=pair.entry_rounding())

    def multiple(self, factor: float) -> LazyGram | None:
        """The lazy Gram of `factor` times the kernel; None where its diagonal would underflow."""
        pair = self.sides.times(factor)
        own = np.asarray(pair.diagonal, np.float64)
        info = jnp.finfo(self.dtype)
        if not np.isfinite(own).all() or (own[np.asarray(self.sides.diagonal) > 0] < float(info.tiny / info.eps)).any():
            return None
        e = 1.01 * self.entrywise + 2.0 * float(info.eps)
        return dataclasses.replace(self, sides=pair, entrywise=e, rounding=pair.rounding(e), _norm=None)

    def __repr__(self) -> str:
        kind = "symmetric, " if self.symmetric else ""
        name = type(self.sides.kernel).__name__
        on = f", {self.sides.devices} devices" if self.sides.devices > 1 else ""
        error = "rounding" if self.sampling is None else "sampling error"
        return _display.folded(
            f"LazyGram({self.shape[0]} x {self.shape[1]}, {kind}{self.dtype}, {name}, {error} {self.rounding:.1e}{on})"
        )
