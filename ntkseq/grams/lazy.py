"""What is a Gram matrix that is too large to hold? Its tiles, made again for every product with a block of vectors."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkseq import _precision, _progress
from ntkseq.grams import meta, sampling, sides, sweep
from ntkseq.grams.base import Gram, column_block
from ntkseq.kernels.base import Kernel


def lazy(
    kernel: Kernel,
    x: Any,
    x2: Any = None,
    *,
    lengths: Any = None,
    lengths2: Any = None,
    tile: int | None = None,
    workers: int | None = None,
    progress: bool | None = None,
) -> Lazy:
    """The Gram matrix of many inputs, not held: O(n) memory, and its tiles are computed in every product.

    It is the matrix of `gram(kernel, x)` with the same tiles, entry by entry. A product with k vectors at once costs
    one pass over the tiles, hardly more than with one: give it blocks. `spectrum`, `predictors.flow` and
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

    Returns:
        A `grams.Lazy`.

    Raises:
        ValueError: bad inputs (see `kernel.prepare`).

    Example:
        >>> import jax, ntkseq
        >>> from ntkseq import kernels
        >>> x = jax.random.normal(jax.random.key(0), (20, 6, 3))
        >>> ntkseq.lazy(kernels.Recurrent(sigma_w=1.4), x).times(x[:, 0, :2]).shape
        (20, 2)
    """
    sides.on_host(kernel, x, x2, lengths, lengths2)
    tile, workers = sides.sizes(tile, workers)
    if meta.between_tasks(kernel):
        from ntkseq.grams import lazy_meta  # here, because it is made of what stands below

        return lazy_meta.of_tasks(kernel, x, x2, lengths, lengths2, tile=tile, workers=workers, progress=progress)
    pair = sides.prepare(kernel, x, x2, lengths, lengths2, wanted="a lazy Gram")
    if not bool(jnp.isfinite(pair.diagonal).all()):
        raise sides.overflow(pair.diagonal.dtype)
    e = pair.entry_rounding()
    of = sampling.Sampling(why="a lazy Gram holds no batches") if kernel.sampled else None
    return Lazy(pair, pair.rounding(e), e, tile, workers, progress, of)


@dataclasses.dataclass(eq=False)
class Lazy(Gram):
    """A Gram matrix that recomputes its tiles in each product. Made by `lazy`."""

    sides: sides.Sides
    rounding: float
    entrywise: float
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
    def dtype(self) -> Any:
        """The dtype of the tiles."""
        return self.sides.diagonal.dtype

    def times(self, V: Any) -> Float[np.ndarray, "n ..."]:
        V, single = column_block(V, self.shape)
        with _precision.setting(self.sides.x64):
            task, calls = self.sides.task(self.tile, self.workers)
            work = self.sides.work(task)
            with _progress.bar(self.progress, work, len(task.plan.pairs), unit="tile", name="product") as bar:
                found = sweep.run(task, V, calls, (lambda count: None) if bar is None else bar.update)
        if not np.isfinite(found.squares):
            raise sides.overflow(self.dtype)
        self._norm = float(np.sqrt(found.squares))
        return found.product[:, 0] if single else found.product

    def norm_fro(self) -> float:
        if self._norm is None:
            self.times(np.zeros((self.shape[1], 0)))
        assert self._norm is not None
        return self._norm

    def diag(self) -> Float[Array | np.ndarray, " k"]:
        if self.symmetric:
            return self.sides.handed(self.sides.diagonal)
        raise ValueError("the diagonal of a cross Gram is not held; got x2. Take lazy(kernel, x).diag().")

    def rows(self, which: Any) -> Float[Array | np.ndarray, "k m"]:
        index = np.arange(self.shape[0])[which].reshape(-1)
        values, finite = self.sides.take(index).values(None, self.workers, lambda count: None)
        if not finite:
            raise sides.overflow(self.dtype)
        if self.symmetric:
            with _precision.setting(self.sides.x64):
                values = values.at[np.arange(len(index)), index].set(self.sides.diagonal[index])
        return self.sides.handed(values)

    def dense(self) -> Float[Array | np.ndarray, "n m"]:
        values, finite = self.sides.values(self.tile, self.workers, lambda count: None)
        if not finite:
            raise sides.overflow(self.dtype)
        self.sides.remember(values, self.entrywise)
        return self.sides.handed(values)

    def _transposed(self) -> Lazy:
        pair = self.sides.turned()
        return dataclasses.replace(self, sides=pair, entrywise=pair.entry_rounding())

    def multiple(self, factor: float) -> Lazy | None:
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
        error = "rounding" if self.sampling is None else "sampling error"
        return f"Lazy({self.shape[0]} x {self.shape[1]}, {kind}{self.dtype}, {name}, {error} {self.rounding:.1e})"
