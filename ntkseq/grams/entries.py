"""How is the Gram matrix of many inputs computed? Tile by tile, the triangle only, on all cores or on a device."""

from __future__ import annotations

import os
from concurrent.futures import Executor
from functools import partial
from typing import Any, overload

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from ntkseq import _checks, _progress
from ntkseq._types import AnyKernel, Inputs, Lengths
from ntkseq.grams import executors, meta, outputs, sampling, sides
from ntkseq.grams.base import DenseGram
from ntkseq.grams.stores import building, dealing, filling, on_devices
from ntkseq.grams.stores.stored import StoredGram
from ntkseq.kernels.base import Kernel


@overload
def gram(
    kernel: Kernel,
    x: Inputs,
    x2: Inputs | None = None,
    *,
    lengths: Lengths = None,
    lengths2: Lengths = None,
    tile: int | None = None,
    workers: int | None = None,
    progress: bool | None = None,
    store: None = None,
    executor: Executor | None = None,
    mesh: Mesh | None = None,
) -> DenseGram: ...


@overload
def gram(
    kernel: Kernel,
    x: Inputs,
    x2: Inputs | None = None,
    *,
    lengths: Lengths = None,
    lengths2: Lengths = None,
    tile: int | None = None,
    workers: int | None = None,
    progress: bool | None = None,
    store: str | os.PathLike[str],
    executor: Executor | None = None,
    mesh: Mesh | None = None,
) -> StoredGram: ...


def gram(
    kernel: Kernel,
    x: Inputs,
    x2: Inputs | None = None,
    *,
    lengths: Lengths = None,
    lengths2: Lengths = None,
    tile: int | None = None,
    workers: int | None = None,
    progress: bool | None = None,
    store: str | os.PathLike[str] | None = None,
    executor: Executor | None = None,
    mesh: Mesh | None = None,
) -> DenseGram | StoredGram:
    """The matrix of kernel values between all inputs, with an upper estimate of its rounding.

    With one set of inputs only the upper triangle is computed, and the diagonal is exact. Every tile goes through the
    whole recursion before the next one starts, so memory beyond the result is that of a few tiles.

    Of a kernel between all o outputs of a network, (n, m, o, o) as `empirical.NTK(..., outputs="full")`, it is the
    matrix (n o, m o), the outputs of an example next to each other: row i o + q is output q of example i.

    Args:
        kernel: any `Kernel`.
        x: n inputs, for sequences (n, t, d).
        x2: m other inputs for a cross Gram (n, m), with the same shape after the first axis.
        lengths, lengths2: (n,) and (m,) lengths of sequences padded on the right.
        tile: rows of a tile; chosen from the shapes if None.
        workers: threads on a CPU; all usable cores if None.
        progress: show a progress bar (needs tqdm); None: on a terminal, for long work.
        store: a folder in which the matrix lies in place of memory (needs `ntkseq[store]`). What is there already is
            not computed again: the same call resumes a run that was killed, computes damaged chunks again, and with
            more examples behind the same ones adds their rows and columns. Takes kernels with one number per pair; of
            a sampled one no batches are kept, as in `lazy`.
        executor: any `concurrent.futures` executor, of threads, processes or a cluster, whose workers compute the
            matrix block by block: the same bits as without, where they are machines of one kind. Each task is sent the
            examples that it needs and runs in `workers` threads, one if None. Not between few-shot tasks, or all
            outputs of a network. With `store` the workers write into it, and must see that folder.
        mesh: a `jax.sharding.Mesh`, to whose devices the tiles are dealt evenly; its axes, of either kind, only number
            them. None: the device of x. With `store` each chunk is written when its tiles are there. Not with
            `executor`.

    Returns:
        A `grams.DenseGram` with the dtype of the data, usable where an array is; with `store` a `grams.StoredGram`.
        With `mesh` its array lies on the first device of it, in one piece, where all that follows takes it. With the
        same `tile` it is bit by bit the matrix of one device. A matrix that one device cannot hold:
        `lazy(..., mesh=mesh)`.

    Raises:
        ValueError: bad inputs (see `kernel.prepare`), values that overflow the dtype, a kernel with several numbers
            per pair that are no matrix, such as outputs="diagonal", a kernel that cannot be sent to other processes, a
            store of another kernel or other inputs; a mesh of other processes' devices, inputs that lie on devices
            that it does not have, `workers` or `executor` beside it, or a kernel between all outputs.
        OSError: the store cannot be written, another process is filling it, or workers of the executor were lost.

    Example:
        >>> import jax, ntkseq
        >>> from ntkseq import kernels
        >>> x = jax.random.normal(jax.random.key(0), (20, 6, 3))
        >>> ntkseq.gram(kernels.Recurrent(sigma_w=1.4), x).shape
        (20, 20)
    """
    sides.on_host(kernel, x, x2, lengths, lengths2)
    tile, workers = sides.sizes(tile, workers)
    devices, fill = sides.devices(mesh, workers, x, x2), filling.fill
    if executor is not None:
        _checks.kind("executor", executor, Executor)
        if mesh is not None:
            raise ValueError("mesh names devices of this process, executor workers beside it; got both. Pass one.")
        fill = partial(dealing.fill, executor=executor)
    elif devices is not None:
        fill = partial(on_devices.fill, mesh=devices)
    with sides.at_home(devices, (x, x2)):
        kernel = sides.shared(kernel, devices)
        if store is None:
            return _gram(kernel, (x, x2), (lengths, lengths2), tile, workers, progress, devices, executor)
        many = jax.process_count() if executor is None else 1
        given: Any = {"store": store, "tile": tile, "workers": workers, "progress": progress, "fill": fill}
        given |= {"blocks": devices is None, "apart": executor is not None}
        given["among"] = (jax.process_index(), many) if many > 1 else None
        return building.build(kernel, x, x2, lengths, lengths2, **given)


def _gram(
    kernel: AnyKernel,
    both: tuple[Any, Any],
    lengths: tuple[Any, Any],
    tile: int | None,
    workers: int | None,
    progress: bool | None,
    mesh: Mesh | None,
    executor: Executor | None,
) -> DenseGram:
    if meta.between_tasks(kernel):
        executors.refuse(executor, "a kernel between few-shot tasks")
        return meta.of_tasks(kernel, *both, *lengths, tile=tile, workers=workers, progress=progress, mesh=mesh)
    asked: Any = {"full": True, "wanted": "a Gram matrix"}
    pair = sides.prepare(kernel, *both, *lengths, later=True, mesh=mesh, rows=tile, **asked)
    parts, sampled = sampling.held(pair)
    alone = parts is not None and parts.whole  # the mean of the batches is the kernel, its diagonal, too
    complete = partial(sides.completed, x=both, lengths=lengths, **asked)
    if kernel.sampled and pair.symmetric and not alone:
        pair = complete(pair, kernel.diag_side(pair.left))
    if pair.outputs is not None:
        executors.refuse(executor, 'a kernel between all outputs (outputs="full")')
        if mesh is not None:
            raise ValueError(
                'mesh deals tiles of one number per pair of inputs; got outputs="full". Leave mesh out, or take '
                'outputs="mean" or the index of one output.'
            )
        return outputs.all_outputs(pair, tile)
    task, _ = pair.task(tile, workers)
    calls = task.plan.calls * ((0 if alone else 1) + (0 if parts is None else len(parts.kernels)))
    with _progress.bar(progress, pair.work(task), calls, unit="batch", name="gram") as bar:
        tick = (lambda count: None) if bar is None else bar.update
        if parts is not None:
            sampled = sampling.batches(parts, tile, workers, tick, executor, mesh)
        if alone and sampled is not None:
            values, finite = sampling.mean(sampled), True
            pair = complete(pair, jnp.diagonal(values))
        else:
            values, finite = sampling.whole(pair, tile, workers, tick, executor)
    if not finite:
        raise sides.overflow(values.dtype)
    e = sampling.entrywise(sampled) if alone and sampled is not None else pair.entry_rounding()
    pair.remember(values, e)
    known = {"frobenius": True, "entrywise": e, "estimated": kernel.estimated, "sampling": sampled}
    return DenseGram(values, pair.rounding(e), pair.symmetric, **known)
