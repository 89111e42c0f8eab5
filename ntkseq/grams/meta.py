"""How is the Gram matrix of few-shot tasks computed, each pair of their points looked at once?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from ntkseq import _checks, _progress
from ntkseq._types import DType, Lengths, Tasks
from ntkseq.grams import sampling, sides
from ntkseq.grams.base import DenseGram
from ntkseq.grams.digits import in_norm
from ntkseq.kernels import meta_rounding, signed
from ntkseq.kernels.base import Kernel, Scaled, Side
from ntkseq.kernels.meta import Meta
from ntkseq.kernels.signed import Points

HELD = 8192
"""Points of tasks between which the base kernel is held at once, in rows and in columns."""


def between_tasks(kernel: object) -> bool:
    """Whether this is a `kernels.Meta`, or a multiple of one."""
    return isinstance(kernel, Meta) or (isinstance(kernel, Scaled) and between_tasks(kernel.kernel))


def of_tasks(
    kernel: Kernel,
    tasks: Tasks,
    tasks2: Tasks | None,
    lengths: Lengths,
    lengths2: Lengths,
    *,
    tile: int | None,
    workers: int | None,
    progress: bool | None,
    mesh: Mesh | None,
) -> DenseGram:
    """The meta-kernel between all queries of all tasks, task by task, with an upper estimate of its rounding.

    One Gram matrix of the base kernel between all points, by its tiles, and the sums over each task's support in
    float64: N (q + s) rows where the rows of a tile have N q (1 + s). Beyond `HELD` points a few tasks at a time.

    Args: those of `gram`; kernel: `between_tasks`.

    Raises:
        ValueError: what the kernel refuses, or values that overflow where the inner loop diverges.
    """
    if isinstance(kernel, Scaled):
        options: Any = {"tile": tile, "workers": workers, "progress": progress, "mesh": mesh}
        inner = of_tasks(kernel.kernel, tasks, tasks2, lengths, lengths2, **options)
        return _times(inner, float(kernel.factor))
    assert isinstance(kernel, Meta)
    left, right, whole = posed(kernel, tasks, tasks2, lengths, lengths2, mesh)
    same, diagonal = whole.symmetric, whole.diagonal
    pieces = _pieces(whole, left, right)
    works = [(pair, pair.task(tile, workers)[0]) for pair, _, _ in pieces]
    total, calls = sum(pair.work(task) for pair, task in works), sum(task.plan.calls for _, task in works)
    with _progress.bar(progress, total, calls, unit="batch", name="gram") as bar:
        tick: Callable[[int], Any] = (lambda count: None) if bar is None else bar.update
        values = [_base(pair, tile, workers, tick) for pair, _, _ in pieces[:1]]
        at_hand = same and len(pieces) == 1
        own = signed.diagonal_blocks(np.asarray(values[0]), left.sizes[0]) if at_hand else None
        mine = kernel.solved(left, own, wide=True)
        theirs = mine if same else kernel.solved(right, wide=True)
        phi = np.empty((mine.net.size, theirs.net.size), diagonal.dtype)
        rows, columns = (signed_rows(parts) for parts in (mine, theirs))
        (q, p) = rows.shape[1], columns.shape[1]
        for k, (pair, i, j) in enumerate(pieces):
            base = values[0] if k == 0 else _base(pair, tile, workers, tick)
            with np.errstate(over="ignore", invalid="ignore"):  # where the inner loop diverges
                part = sums(rows[i], np.asarray(base), columns[j], pair.symmetric)
                phi[i.start * q : i.stop * q, j.start * p : j.stop * p] = part
                if same and i != j:
                    phi[j.start * p : j.stop * p, i.start * q : i.stop * q] = part.T
    if not np.isfinite(phi).all():
        raise overflow()
    if same:
        mine = theirs = mine._replace(net=phi.diagonal().reshape(mine.net.shape))
    e, rounding = stated(kernel, (left, mine), None if same else (right, theirs), phi.dtype)
    of = sampling.Sampling(why="what is behind an inner loop is no mean of batches") if kernel.sampled else None
    known = {"frobenius": True, "entrywise": e, "estimated": kernel.estimated, "sampling": of}
    return DenseGram(jax.device_put(phi, _device(left)), rounding, same, **known)


def posed(
    kernel: Meta, tasks: Tasks, tasks2: Tasks | None, lengths: Lengths, lengths2: Lengths, mesh: Mesh | None = None
) -> tuple[Points, Points, sides.Sides]:
    """The points of the tasks on either side, checked and each prepared once, and the base kernel between them."""
    kernel.check_symmetric()
    if tasks2 is None and lengths2 is not None:
        raise ValueError("lengths2 belongs to x2, which is None; got lengths2. Pass x2, or lengths= for x.")
    left = kernel.points(tasks, lengths, "x")
    right = left if tasks2 is None else kernel.points(tasks2, lengths2, "x2")
    if tasks2 is not None:
        kernel.base.check_pair(left.base, right.base)
        kernel.check_range(right, None)
    diagonal = kernel.base.diag_side(left.base)
    kernel.check_range(left, diagonal)
    return left, right, sides.Sides(kernel.base, left.base, right.base, diagonal, tasks2 is None, mesh=mesh)


def stated(kernel: Meta, mine: Any, theirs: Any, dtype: DType) -> tuple[float, float]:
    """e with |error_ij| <= e sqrt(Phi_ii Phi'_jj), and |E|_F <= e sqrt(tr Phi tr Phi'), from (points, parts)."""
    both = (mine,) if theirs is None else (mine, theirs)
    e = meta_rounding.rounding(kernel, meta_rounding.of_tasks(*both))
    e += 0.51 * float(jnp.finfo(dtype).eps)  # rounded to the dtype of the data
    traces = [float(np.sum(np.maximum(np.asarray(parts.net, np.float64), 0.0))) for _, parts in both]
    return e, in_norm(e, float(np.sqrt(traces[0] * traces[-1])))


def overflow() -> _checks.Overflow:
    """The error for values that are not finite."""
    return _checks.Overflow("the meta-kernel overflows: the inner loop diverges. Lower lr, or take kernels.Flow.")


def _pieces(whole: sides.Sides, left: Points, right: Points) -> list[tuple[sides.Sides, slice, slice]]:
    """The base kernel in blocks of whole tasks: its points, and which tasks stand in rows and columns."""
    starts = []
    for points in (left, right):
        (N, q, s) = points.sizes
        step = max(1, HELD // (q + s))
        starts.append([slice(i, min(i + step, N)) for i in range(0, N, step)])
    if len(starts[0]) == len(starts[1]) == 1:
        return [(whole, starts[0][0], starts[1][0])]
    a, b = (points.sizes[1] + points.sizes[2] for points in (left, right))
    found = []
    for k, i in enumerate(starts[0]):
        mine = _cut(left.base, i, a)
        for j in starts[1][k:] if whole.symmetric else starts[1]:
            own = whole.symmetric and i == j
            theirs = mine if own else _cut(right.base, j, b)
            diagonal = whole.diagonal[i.start * a : i.stop * a]
            found.append((sides.Sides(whole.kernel, mine, theirs, diagonal, own, mesh=whole.mesh), i, j))
    return found


def _cut(side: Side, tasks: slice, a: int) -> Any:
    return jax.tree.map(lambda leaf: leaf[tasks.start * a : tasks.stop * a], side)


def _base(pair: sides.Sides, tile: int | None, workers: int | None, tick: Callable[[int], Any]) -> Any:
    values, finite = sampling.whole(pair, tile, workers, tick)
    if not finite:
        raise sides.overflow(values.dtype)
    return values


def sums(rows: np.ndarray, values: np.ndarray, columns: np.ndarray, same: bool) -> np.ndarray:
    """Phi (N q, M p) in float64 from weights (N, q, a) and (M, p, b) and the base kernel (N a, M b)."""
    (N, q, a), (M, p, b) = rows.shape, columns.shape
    found = np.empty((N * q, M * p))
    for i in range(N):
        mine, first = slice(i * q, (i + 1) * q), i if same else 0
        half = (rows[i] @ values[i * a : (i + 1) * a, first * b :].astype(np.float64)).reshape(q, M - first, b)
        part = np.matmul(half.transpose(1, 0, 2), columns[first:].transpose(0, 2, 1)).transpose(1, 0, 2)
        found[mine, first * p :] = part.reshape(q, -1)
        if same:
            found[mine, mine] = (found[mine, mine] + found[mine, mine].T) / 2
            found[mine.stop :, mine] = found[mine, mine.stop :].T
    return found


def signed_rows(parts: Any) -> np.ndarray:
    """(N, q, q + s) in float64: the rows [I, -R]."""
    R = np.asarray(parts.R, np.float64)
    N, q, _ = R.shape
    return np.concatenate([np.broadcast_to(np.eye(q), (N, q, q)), -R], axis=2)


def _device(points: Points) -> Any:
    return next(iter(jax.tree.leaves(points.base)[0].devices()))


def _times(gram: DenseGram, factor: float) -> DenseGram:
    """A Gram matrix times a number >= 0, rounded once more per entry."""
    values = np.asarray(gram.array, np.float64) * factor
    array = jax.device_put(values.astype(gram.dtype))
    assert gram.entrywise is not None
    known = {"frobenius": True, "entrywise": 1.01 * gram.entrywise, "estimated": gram.estimated}
    return DenseGram(array, 1.01 * factor * float(gram.rounding), gram.symmetric, **known, sampling=gram.sampling)
