"""How is the Gram matrix of many inputs computed? Tile by tile, the triangle only, on all cores or on a device."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntkseq import _checks, _progress
from ntkseq.grams import device, host, tiles
from ntkseq.grams.base import Dense
from ntkseq.kernels.base import Kernel, Side


def gram(
    kernel: Kernel,
    x: Any,
    x2: Any = None,
    *,
    lengths: Any = None,
    lengths2: Any = None,
    tile: int | None = None,
    workers: int | None = None,
    progress: bool | None = None,
) -> Dense:
    """The matrix of kernel values between all inputs, with an upper estimate of its rounding.

    With one set of inputs only the upper triangle is computed, and the diagonal is exact. Every tile goes through the
    whole recursion before the next one starts, so memory beyond the result is that of a few tiles.

    Args:
        kernel: any `Kernel`.
        x: n inputs, for sequences (n, t, d).
        x2: m other inputs for a cross Gram (n, m), with the same shape after the first axis.
        lengths, lengths2: (n,) and (m,) lengths of sequences padded on the right.
        tile: rows of a tile; chosen from the shapes if None.
        workers: threads on a CPU; all usable cores if None.
        progress: show a progress bar (needs tqdm); None: on a terminal, for long work.

    Returns:
        A `grams.Dense` with the dtype of the data, usable where an array is.

    Raises:
        ValueError: bad inputs (see `kernel.prepare`), or values that overflow the dtype.

    Example:
        >>> import jax, ntkseq
        >>> from ntkseq import kernels
        >>> x = jax.random.normal(jax.random.key(0), (20, 6, 3))
        >>> ntkseq.gram(kernels.Recurrent(sigma_w=1.4), x).shape
        (20, 20)
    """
    if not isinstance(kernel, Kernel):
        raise ValueError(f"kernel must be an ntkseq Kernel; got {type(kernel).__name__}. See ntkseq.kernels.")
    tile, workers = (
        None if v is None else _checks.positive_int(k, v) for k, v in (("tile", tile), ("workers", workers))
    )
    if x2 is None and lengths2 is not None:
        raise ValueError("lengths2 belongs to x2, which is None; got lengths2. Pass x2, or lengths= for x.")
    left = kernel.prepare(x, lengths)
    symmetric = x2 is None
    right = left if symmetric else kernel.prepare(x2, lengths2)
    if not symmetric:
        kernel.check_pair(left, right)
    n, m = (jax.tree.leaves(side)[0].shape[0] for side in (left, right))
    diagonal = kernel.diag_side(left)
    if diagonal.ndim != 1:
        raise ValueError(
            f"a Gram matrix has one number per pair of inputs; got {diagonal.shape[1:]} of them. Take "
            'outputs="trace" or the index of one output, or kernel(x) in one piece.'
        )
    rows = kernel.tile_rows(left) if tile is None else None
    if rows is not None and max(n, m) <= rows:
        values = kernel.square_side(left) if symmetric else kernel.tile(left, right)
        return _carried(kernel, left, right, values, bool(jnp.isfinite(values).all()), diagonal, symmetric)
    entries = kernel.entries_per_pair(left)
    on_cpu = all(d.platform == "cpu" for d in jax.tree.leaves(left)[0].devices())
    calls = (workers or host.cores()) if on_cpu else 1
    plan = tiles.plan(n, m, symmetric=symmetric, entries=entries, on_cpu=on_cpu, size=tile or rows, workers=calls)
    task = tiles.Task(kernel, left, right, plan, (n, m), diagonal, symmetric)
    work = len(plan.pairs) * plan.size**2 * entries * kernel.steps(left)
    with _progress.bar(progress, work, plan.calls, unit="batch", name="gram") as bar:
        tick = (lambda count: None) if bar is None else bar.update
        values, finite = host.run(task, calls, tick) if on_cpu else device.run(task, tick)
    return _carried(kernel, left, right, values, finite, diagonal, symmetric)


def _carried(
    kernel: Kernel, left: Side, right: Side, values: Any, finite: bool, diagonal: jax.Array, symmetric: bool
) -> Dense:
    if not finite:
        raise _checks.Overflow(
            f"kernel values overflow {values.dtype}. Lower the scales of the kernel or of the inputs, or use float64."
        )
    return Dense(values, rounding=_rounding(kernel, left, right, diagonal, symmetric), symmetric=symmetric)


def _rounding(kernel: Kernel, left: Side, right: Side, diagonal: jax.Array, symmetric: bool) -> float:
    """|E|_2 <= |E|_F <= e sqrt(tr K tr K'), with |E_ij| <= e sqrt(K_ii K'_jj)."""
    traces = [float(np.sum(np.asarray(diagonal, np.float64)))]
    if not symmetric:
        traces.append(float(np.sum(np.asarray(kernel.diag_side(right), np.float64))))
    return kernel.entry_rounding(left) * float(np.sqrt(traces[0] * traces[-1]))
