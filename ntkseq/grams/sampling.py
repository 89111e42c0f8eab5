"""How far is the Gram matrix of a sampled kernel from that of its limit? Those of its independent batches tell."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float

from ntkseq import _devices, _precision
from ntkseq._struct import static, struct
from ntkseq.grams import executors, notes
from ntkseq.grams.sides import Sides, overflow
from ntkseq.kernels.parts import Parts, largest, some, student

if TYPE_CHECKING:
    from ntkseq.grams.base import Gram
else:  # it imports this file
    Gram = Any

HELD = 1 << 30
"""Bytes up to which the matrices of all batches are held."""


@struct
class Sampling:
    """What a Gram matrix of a sampled kernel knows of its sampling error.

    `rounding` and `entrywise` of the Gram hold the sampling as if it were the worst everywhere; the batches say more.
    """

    batches: Float[Array | np.ndarray, "b n n"] | None = None
    """The matrices of the independent batches; None where they are not held, and `why` says why."""
    samples: int = static(default=0)
    """Random samples in all; 0 if not known."""
    noun: str = static(default="samples")
    """What they are called: particles, draws."""
    entrywise: float = static(default=0.0)
    """e with |computed_ij - exact_ij| <= e sqrt(K_ii K_jj) by rounding alone."""
    bias: float = static(default=0.0)
    """Relative bias that all batches have in common."""
    why: str = static(default="")
    """Why there are no batches."""


def changed(known: Sampling | None, why: str) -> Sampling | None:
    """What is left to say of a matrix that is no longer the mean of the batches; None where nothing was sampled."""
    return None if known is None else Sampling(samples=known.samples, noun=known.noun, why=why)


def kept(gram: Gram, why: str) -> dict[str, Any]:
    """What is known of a Gram beside its rounding, for a matrix made of it: that it is an estimate, or sampled."""
    return {"estimated": gram.estimated, "stated": gram.stated, "sampling": changed(gram.sampling, why)}


def whole(
    pair: Sides, tile: int | None, workers: int | None, tick: Callable[[int], Any], executor: Executor | None = None
) -> tuple[Any, bool]:
    """The matrix of all pairs, in one piece where the kernel asks for it, and whether all its values are finite."""
    if executor is not None:
        return executors.run([pair], executor, tile, workers, tick)[0]
    if pair.in_one_piece(tile):
        square = pair.symmetric
        with notes.told(pair.kernel, "tile", left=pair.left, right=pair.right):
            values = pair.kernel.square_side(pair.left) if square else pair.kernel.tile(pair.left, pair.right)
        return values, bool(jnp.isfinite(values).all())
    return pair.values(tile, workers, tick)


def held(pair: Sides) -> tuple[Parts | None, Sampling | None]:
    """The batches that are worth their memory, and what to say where there are none."""
    if not pair.kernel.sampled:
        return None, None
    if not pair.symmetric:
        return None, Sampling(why="a matrix between two sets of inputs has no eigenvalues")
    parts = pair.kernel.parts(pair.left)
    if parts is None:
        return None, Sampling(why="this kernel is not a sum of its batches")
    widest = max(leaf.dtype.itemsize for leaf in jax.tree.leaves(pair.left) if jnp.issubdtype(leaf.dtype, jnp.floating))
    needed = len(parts.kernels) * pair.shape[0] ** 2 * widest
    if needed > HELD:
        return None, Sampling(samples=parts.samples, noun=parts.noun, why="the matrices of all batches take too much")
    return parts, None


def batches(
    parts: Parts,
    tile: int | None,
    workers: int | None,
    tick: Callable[[int], Any],
    executor: Executor | None = None,
    mesh: Mesh | None = None,
) -> Sampling:
    """The matrices of all batches; with a mesh one after the other, each dealt to its devices.

    Raises:
        ValueError: values that overflow the dtype.
        OSError: workers of the executor were lost.
    """
    x64 = _precision.x64()

    def sides(batch: int) -> Sides:
        kernel, side = parts.kernels[batch], parts.sides[batch]
        pair = Sides(kernel, side, side, jnp.zeros(()), True, mesh=mesh)
        once = pair.in_one_piece(tile)  # then the diagonal comes with the rest
        return pair if once else dataclasses.replace(pair, diagonal=kernel.diag_side(side))

    def checked(values: Any, finite: bool) -> np.ndarray:
        if not finite:
            raise overflow(values.dtype)
        return np.asarray(values)

    def one(batch: int) -> np.ndarray:
        with _precision.setting(x64):
            return checked(*whole(sides(batch), tile, workers, tick))

    every = range(len(parts.kernels))
    if executor is not None:
        made = [checked(*found) for found in executors.run([*map(sides, every)], executor, tile, workers, tick)]
        return Sampling(np.stack(made), parts.samples, parts.noun, parts.entrywise, parts.bias)
    made = [one(0)]  # compiles
    rest = every[1:]
    if tile is not None or workers == 1 or mesh is not None or not _threads(parts):
        made += map(one, rest)
    else:  # one batch keeps no more than one core busy
        with ThreadPoolExecutor(2, thread_name_prefix="ntkseq") as pool:
            made += pool.map(one, rest)
    return Sampling(np.stack(made), parts.samples, parts.noun, parts.entrywise, parts.bias)


def _threads(parts: Parts) -> bool:
    """Whether batches may run beside each other: on CPUs, where tiles have no threads and no setting is the caller's.

    A thread does not see the mesh or the default device of the one that started it.
    """
    pairs = list(zip(parts.kernels, parts.sides, strict=True))
    arrays = [leaf for leaf in jax.tree.leaves(parts.sides) if isinstance(leaf, jax.Array)]
    free = _devices.ambient() is None and getattr(jax.config, "jax_default_device", None) is None
    return free and all(map(_devices.on_cpu, arrays)) and all(k.tile_rows(side) is not None for k, side in pairs)


def mean(of: Sampling) -> Array:
    """The mean of the batches, summed in float64, in their dtype."""
    assert of.batches is not None
    total = np.asarray(of.batches).mean(axis=0, dtype=np.float64)
    return jnp.asarray(total.astype(of.batches.dtype))


def entrywise(of: Sampling) -> float:
    """e with |mean_ij - exact_ij| <= e sqrt(K_ii K_jj): rounding, and the sampling.

    As `kernels.Gated.entry_rounding`, without another run: the largest relative standard error over the pairs of up to
    four of the examples is taken for all, times Student's factor.
    """
    assert of.batches is not None
    count, n, _ = of.batches.shape
    few = some(n)
    values = np.asarray(of.batches)[:, few[:, None], few].astype(np.float64)
    error = values.std(axis=0, ddof=1) / np.sqrt(count)
    return of.entrywise + student(count) * largest(values.mean(axis=0), error)
