"""What is the lazy Gram matrix of few-shot tasks? That of all their points, between the sums over each support."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float

from ntkseq import _checks, _precision
from ntkseq._types import ArrayLike, Index, Lengths, Tasks
from ntkseq.grams import meta, sampling
from ntkseq.grams.base import column_block
from ntkseq.grams.recomputed import LazyGram
from ntkseq.kernels.base import Scaled

_ROWS = 1 << 24  # entries of the base kernel that are held at once for rows


@dataclasses.dataclass(eq=False)
class LazyTasks(LazyGram):
    """The meta-kernel P Theta P', Theta the lazy Gram of the points of all tasks, P the rows [I, -R] of each.

    Every point is prepared once, and a product takes one pass over (N (q + s))^2 pairs of points; by rows that carry
    their support it was (N q (1 + s))^2. Sums over supports are taken in float64.
    """

    mine: Any = None
    theirs: Any = None
    own: Any = None
    """(N, q, q + s) and (M, p, p + s'): the signed rows; (N q): Phi of each query with itself."""
    reason: str = ""

    @property
    def estimated(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.reason

    @property
    def shape(self) -> tuple[int, int]:
        return self.mine.shape[0] * self.mine.shape[1], self.theirs.shape[0] * self.theirs.shape[1]

    def times(self, V: ArrayLike) -> Float[np.ndarray, "n ..."]:
        V, single = column_block(V, self.shape)
        (M, p, b), k = self.theirs.shape, V.shape[1]
        inside = np.matmul(self.theirs.transpose(0, 2, 1), V.reshape(M, p, k)).reshape(M * b, k)
        product = self._points().times(inside).reshape(*self.mine.shape[::2], k)
        found = np.matmul(self.mine, product).reshape(self.shape[0], k)
        return found[:, 0] if single else found

    def norm_fro(self) -> float:
        if self._norm is None:
            parts = (np.asarray(self._wide(tasks)) for tasks in self._some(np.arange(len(self.mine))))
            self._norm = float(np.sqrt(sum(float(np.sum(part**2)) for part in parts)))
        return self._norm

    def diag(self) -> Float[Array | np.ndarray, " k"]:
        if self.symmetric:
            return self._handed(self.own)
        return super().diag()  # which refuses

    def rows(self, which: Index) -> Float[Array | np.ndarray, "k m"]:
        index = np.arange(self.shape[0])[which].reshape(-1)
        q = self.mine.shape[1]
        found = np.empty((len(index), self.shape[1]))
        for tasks in self._some(np.unique(index // q)):
            wide, here = self._wide(tasks), np.isin(index // q, tasks)
            found[here] = wide[np.searchsorted(tasks, index[here] // q) * q + index[here] % q]
        if self.symmetric:
            found[np.arange(len(index)), index] = self.own[index]
        return self._handed(found)

    def dense(self) -> Float[Array | np.ndarray, "n m"]:
        values = np.asarray(self.rows(slice(None)), np.float64)
        if self.symmetric:  # halves of other blocks may differ in the last digit
            values = np.triu(values) + np.triu(values, 1).T
        return self._handed(values)

    def _transposed(self) -> LazyTasks:
        return dataclasses.replace(self, sides=self.sides.turned(), mine=self.theirs, theirs=self.mine, own=None)

    def multiple(self, factor: float) -> LazyTasks | None:
        """The lazy Gram of `factor` times the kernel; None where its diagonal would leave the range of the dtype."""
        info = jnp.finfo(self.dtype)
        size = np.asarray([]) if self.own is None else factor * self.own[self.own > 0]
        if not np.isfinite(size.astype(self.dtype)).all() or (size < float(info.tiny / info.eps)).any():
            return None
        e = 1.01 * self.entrywise + 2.0 * float(info.eps)
        own = None if self.own is None else factor * self.own
        known = {"rounding": factor * self.rounding * e / self.entrywise, "entrywise": e, "_norm": None}
        return dataclasses.replace(self, mine=factor * self.mine, own=own, **known)

    def _points(self) -> LazyGram:
        return LazyGram(self.sides, 0.0, 0.0, self.tile, self.workers, self.progress)

    def _some(self, tasks: np.ndarray) -> list[np.ndarray]:
        """Tasks, so many at a time that their points' rows may be held."""
        step = max(1, _ROWS // (self.mine.shape[2] * self.sides.shape[1]))
        return [tasks[i : i + step] for i in range(0, len(tasks), step)]

    def _wide(self, tasks: np.ndarray) -> np.ndarray:
        """The rows of all queries of some tasks, in float64."""
        a = self.mine.shape[2]
        points = (tasks[:, None] * a + np.arange(a)).reshape(-1)
        return meta.sums(self.mine[tasks], np.asarray(self._points().rows(points)), self.theirs, False)

    def _handed(self, values: np.ndarray) -> Any:
        if not np.isfinite(values).all():
            raise meta.overflow()
        values = values.astype(self.dtype)
        with _precision.setting(self.sides.x64):
            return _precision.handed(jnp.asarray(values))

    def __repr__(self) -> str:
        return super().__repr__().replace(type(self.sides.kernel).__name__, "Meta", 1)


def of_tasks(
    kernel: Any,
    tasks: Tasks,
    tasks2: Tasks | None,
    lengths: Lengths,
    lengths2: Lengths,
    *,
    tile: int | None,
    workers: int | None,
    progress: bool | None,
    mesh: Mesh | None,
) -> LazyTasks:
    """The lazy Gram of `kernels.Meta`, or of a multiple of one; arguments and errors as `lazy`."""
    if isinstance(kernel, Scaled):
        options = {"tile": tile, "workers": workers, "progress": progress, "mesh": mesh}
        found = of_tasks(kernel.kernel, tasks, tasks2, lengths, lengths2, **options).multiple(float(kernel.factor))
        if found is None:
            raise _checks.Overflow(
                f"the factor {float(kernel.factor):.3g} takes the kernel out of the range of its dtype."
            )
        return found
    left, right, whole = meta.posed(kernel, tasks, tasks2, lengths, lengths2, mesh)
    mine = kernel.solved(left, wide=True)
    theirs = mine if whole.symmetric else kernel.solved(right, wide=True)
    if not (np.isfinite(mine.net).all() and np.isfinite(theirs.net).all()):
        raise meta.overflow()
    e, rounding = meta.stated(kernel, (left, mine), None if whole.symmetric else (right, theirs), whole.diagonal.dtype)
    return LazyTasks(
        whole,
        rounding,
        e,
        tile,
        workers,
        progress,
        sampling.Sampling(why="what is behind an inner loop is no mean of batches") if kernel.sampled else None,
        mine=meta.signed_rows(mine),
        theirs=meta.signed_rows(theirs),
        own=np.asarray(mine.net, np.float64).reshape(-1) if whole.symmetric else None,
        reason=kernel.estimated,
    )
