"""What is the Gram matrix of more inputs than memory holds pairs of? A lazy one."""

from __future__ import annotations

import jax.numpy as jnp
from jax.sharding import Mesh

from ntkseq._types import Inputs, Lengths
from ntkseq.grams import lazy_meta, meta, sampling, sides
from ntkseq.grams.recomputed import LazyGram
from ntkseq.kernels.base import Kernel


def lazy(
    kernel: Kernel,
    x: Inputs,
    x2: Inputs | None = None,
    *,
    lengths: Lengths = None,
    lengths2: Lengths = None,
    tile: int | None = None,
    workers: int | None = None,
    progress: bool | None = None,
    mesh: Mesh | None = None,
) -> LazyGram:
    """The Gram matrix of many inputs, not held: O(n) memory, and its tiles are computed in every product.

    It is the matrix of `gram(kernel, x)` with the same tiles, entry by entry. A product with k vectors at once costs
    one pass over the tiles, hardly more than with one: give it blocks. `spectrum`, `predictors.gradient_flow` and
    `predictors.ridge_cg` do. Between few-shot tasks (`kernels.Meta`) every point is prepared once. Made in JAX's 64-bit
    mode (`jax.enable_x64`), it computes in float64 wherever it is used.

    Args:
        kernel: any `Kernel`.
        x: n inputs, for sequences (n, t, d). Prepared once.
        x2: m other inputs for a cross Gram (n, m).
        lengths, lengths2: (n,) and (m,) lengths of sequences padded on the right.
        tile: rows of a tile; chosen from the shapes if None.
        workers: threads on a CPU; all usable cores if None.
        progress: show a progress bar in each product (needs tqdm); None: on a terminal, for long work.
        mesh: a `jax.sharding.Mesh`, among whose devices every product deals the tiles; sums are taken in one order, so
            that a product is the same each time. None: the device of x.

    Returns:
        A `grams.LazyGram`.

    Raises:
        ValueError: bad inputs (see `kernel.prepare`), or a mesh as `gram` refuses it.

    Example:
        >>> import jax, ntkseq
        >>> from ntkseq import kernels
        >>> x = jax.random.normal(jax.random.key(0), (20, 6, 3))
        >>> ntkseq.lazy(kernels.Recurrent(sigma_w=1.4), x).times(x[:, 0, :2]).shape
        (20, 2)
    """
    sides.on_host(kernel, x, x2, lengths, lengths2)
    tile, workers = sides.sizes(tile, workers)
    with sides.at_home(mesh := sides.devices(mesh, workers, x, x2), (x, x2)):
        kernel = sides.shared(kernel, mesh)
        if meta.between_tasks(kernel):
            options = {"tile": tile, "workers": workers, "progress": progress, "mesh": mesh}
            return lazy_meta.of_tasks(kernel, x, x2, lengths, lengths2, **options)
        pair = sides.prepare(kernel, x, x2, lengths, lengths2, wanted="a lazy Gram", mesh=mesh)
        return _lazy(pair, tile, workers, progress)


def _lazy(pair: sides.Sides, tile: int | None, workers: int | None, progress: bool | None) -> LazyGram:
    if not bool(jnp.isfinite(pair.diagonal).all()):
        raise sides.overflow(pair.diagonal.dtype)
    e = pair.entry_rounding()
    of = sampling.Sampling(why="a lazy Gram holds no batches") if pair.kernel.sampled else None
    return LazyGram(pair, pair.rounding(e), e, tile, workers, progress, of)
