"""How is the Gram matrix of many inputs computed? Tile by tile, the triangle only, on all cores or on a device."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntkseq import _checks
from ntkseq.grams import tiles
from ntkseq.grams.base import Dense
from ntkseq.kernels.base import Kernel, Side

_LONG_WORK = 2e10  # pair-steps (about ten seconds on one core): from here on a progress bar is shown on a terminal


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
    if tile is not None:
        tile = _checks.positive_int("tile", tile)
    if x2 is None and lengths2 is not None:
        raise ValueError("lengths2 belongs to x2, which is None; got lengths2. Pass x2, or lengths= for x.")
    left = kernel.prepare(x, lengths)
    symmetric = x2 is None
    right = left if symmetric else kernel.prepare(x2, lengths2)
    if not symmetric:
        kernel.check_pair(left, right)
    n, m = (jax.tree.leaves(side)[0].shape[0] for side in (left, right))
    entries = kernel.entries_per_pair(left)
    on_cpu = all(d.platform == "cpu" for d in jax.tree.leaves(left)[0].devices())
    plan = tiles.plan(n, m, symmetric=symmetric, entries=entries, on_cpu=on_cpu, size=tile)
    bar = _progress(progress, len(plan.pairs) * plan.size**2 * entries * kernel.steps(left), len(plan.pairs))
    diagonal = kernel.diag_side(left)
    run = partial(_on_host, workers=workers) if on_cpu else _on_device
    with bar as ticks:
        values = run(kernel, left, right, plan, n, m, symmetric, diagonal, ticks)
    total = jnp.sum(jnp.abs(values))
    if not bool(jnp.isfinite(total)):
        raise ValueError(
            f"kernel values overflow {values.dtype}. Lower the scales of the kernel or of the inputs, or use float64."
        )
    return Dense(values, rounding=_rounding(kernel, left, right, diagonal, symmetric), symmetric=symmetric)


def _rounding(kernel: Kernel, left: Side, right: Side, diagonal: jax.Array, symmetric: bool) -> float:
    """|E|_2 <= |E|_F <= e sqrt(tr K tr K'), with |E_ij| <= e sqrt(K_ii K'_jj)."""
    traces = [float(np.sum(np.asarray(diagonal, np.float64)))]
    if not symmetric:
        traces.append(float(np.sum(np.asarray(kernel.diag_side(right), np.float64))))
    return kernel.entry_rounding(left) * float(np.sqrt(traces[0] * traces[-1]))


def _on_host(
    kernel: Kernel, left: Side, right: Side, plan: tiles.Plan, n: int, m: int, symmetric: bool,
    diagonal: jax.Array, ticks: Any, workers: int | None,
) -> jax.Array:  # fmt: skip
    """Batches of tiles from several threads (XLA leaves small loops on one core) into one host array."""
    size = plan.size
    left = tiles.blocks(left, size)
    right = left if symmetric else tiles.blocks(right, size)
    values = _aligned((n, m), diagonal.dtype)

    x64 = jnp.result_type(float) == jnp.float64  # a setting of the calling thread, which its helpers do not see

    def work(pairs: np.ndarray) -> None:
        with jax.enable_x64(x64):
            block = np.asarray(tiles.compute(kernel, left, right, pairs))
        for (i, j), values_ij in zip(pairs, block, strict=True):
            rows, columns = slice(i * size, min((i + 1) * size, n)), slice(j * size, min((j + 1) * size, m))
            part = values_ij[: rows.stop - rows.start, : columns.stop - columns.start]
            values[rows, columns] = part
            if symmetric and i != j:
                values[columns, rows] = part.T
        if ticks is not None:
            ticks.update(len(pairs))

    batches = plan.batches()
    work(next(batches))  # the first one compiles; the others find it compiled
    pool = ThreadPoolExecutor(workers or _cores())
    try:
        for _ in pool.map(work, batches):
            pass
    finally:
        pool.shutdown(cancel_futures=True)
    if symmetric:
        _mirror_diagonal_blocks(values, size)
        np.fill_diagonal(values, np.asarray(diagonal))
    return jnp.asarray(values)


def _mirror_diagonal_blocks(values: np.ndarray, size: int) -> None:
    """A block on the diagonal is computed whole; its two halves differ in the last digit. Keep the upper one."""
    for start in range(0, len(values), size):
        block = values[start : start + size, start : start + size]
        block[...] = np.triu(block) + np.triu(block, 1).T


def _aligned(shape: tuple[int, int], dtype: Any) -> np.ndarray:
    """An empty array that JAX can take over on a CPU without a copy (64-byte boundary)."""
    dtype = np.dtype(dtype)
    buffer = np.empty(shape[0] * shape[1] * dtype.itemsize + 64, np.uint8)
    offset = -buffer.ctypes.data % 64
    return buffer[offset : offset + shape[0] * shape[1] * dtype.itemsize].view(dtype).reshape(shape)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _on_device(
    kernel: Kernel, left: Side, right: Side, plan: tiles.Plan, n: int, m: int, symmetric: bool,
    diagonal: jax.Array, ticks: Any,
) -> jax.Array:  # fmt: skip
    """Batches of tiles one after the other, placed into one device array that is updated in its place."""
    left = tiles.blocks(left, plan.size)
    right = left if symmetric else tiles.blocks(right, plan.size)
    rows, columns = -(-n // plan.size) * plan.size, -(-m // plan.size) * plan.size
    values = jnp.zeros((rows, columns), diagonal.dtype)
    for pairs in plan.batches():
        values = _place(values, tiles.compute(kernel, left, right, pairs), jnp.asarray(pairs), symmetric)
        if ticks is not None:
            ticks.update(len(pairs))
    values = values[:n, :m]
    if symmetric:
        values = jnp.triu(values) + jnp.triu(values, 1).T
        values = values.at[jnp.arange(n), jnp.arange(n)].set(diagonal)
    return values


@partial(jax.jit, donate_argnums=0, static_argnums=3)
def _place(values: jax.Array, block: jax.Array, pairs: jax.Array, symmetric: bool) -> jax.Array:
    size = block.shape[1]

    def one(k: Any, values: jax.Array) -> jax.Array:
        return jax.lax.dynamic_update_slice(values, block[k], (pairs[k, 0] * size, pairs[k, 1] * size))

    return jax.lax.fori_loop(0, block.shape[0], one, values)


def _progress(wanted: bool | None, work: float, total: int) -> Any:
    """A tqdm bar, or a context that holds nothing."""
    if wanted is None and work < _LONG_WORK:
        return nullcontext()
    try:
        from tqdm.auto import tqdm
    except ImportError:
        if wanted:
            raise ImportError('progress=True needs tqdm; install it with pip install "ntkseq[study]".') from None
        return nullcontext()
    return tqdm(total=total, unit="tile", desc="gram", disable=None if wanted is None else not wanted)
