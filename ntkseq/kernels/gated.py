"""What is the infinite-width kernel of a GRU or an LSTM? No recursion closes, so it is sampled, with its error."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkseq import _checks, cells
from ntkseq._layers import check_letters
from ntkseq._struct import fill, static, struct
from ntkseq._types import AnyModel, Inputs, Key, Lengths
from ntkseq.kernels import gated_batch
from ntkseq.kernels import particles as sampling
from ntkseq.kernels.base import Kernel, Side
from ntkseq.kernels.gated_batch import Batch
from ntkseq.kernels.layers import read_weights
from ntkseq.kernels.parts import Parts, largest, some, student

READS = ("last", "mean", "sum")
_MOST_PER_BATCH = 4096  # its matrices are 6 or 8 x 4096^2 numbers: half a gigabyte in float32


@struct
class Gated(Kernel):
    """The limit of a GRU or an LSTM of infinite width, `models.Gated`, as a Monte Carlo estimate with a standard error.

    The gates of the limit are Gaussian and correlated through all of time, and expectations of their products are
    integrals of as many dimensions as steps. They are estimated by the particles of `ntkseq.kernels.particles`:
    independent batches of P = particles / batches coordinates each, whose mean is the kernel and whose spread is
    `standard_error`. The standard error was 0.4 to 3 sqrt(K_ii K_jj) / sqrt(particles) on three data sets of 3 to 5
    steps, largest on the diagonal. Each batch has a bias of order 1/P from the covariances that it estimates from
    itself: there at most (0.4 +- 0.2) sqrt(K_ii K_jj) / P, measured at P = 16. To keep it behind the standard error,
    let batches grow no faster than sqrt(particles) / 8.

    The random numbers depend on the seed alone, not on the sequences: the matrix of values is symmetric and positive
    semi-definite, a value depends on its two sequences only, and equal sequences have equal values. Errors of different
    entries are therefore correlated. Values can be differentiated with respect to inputs and hyper-parameters: what
    comes out is the derivative of the estimate, which is an estimate of the derivative.

    Cost, for M particles in batches of P, t steps and the gates of the cell: O(gates M (P + d) t) operations for each
    sequence and O(gates M min(P, 64)) for each pair, however many steps: a gradient is paired with the states of 64 of
    the particles, which leaves the standard error as it is to within 1 percent (see `ntkseq.kernels.particle_pairs`).
    Memory O(gates P^2) for the random numbers, and beyond that half a gigabyte, however many sequences, twice in a
    Gram matrix (in reverse mode: more, like t P for each sequence of a chunk and each batch).

    Args:
        cell: a `cells.GRU` or a `cells.LSTM` with its scales, or "gru" or "lstm" for one with all defaults.
        sigma_r: standard deviation of the read-out, before the 1/sqrt(width). A leaf.
        particles: number M of samples, a multiple of `batches`.
        batches: number of independent batches, at least 2. A batch has 2 to 4096 particles.
        seed: a number; the same seed gives the same kernel.
        read: "last" step, or "mean" or "sum" over the sequence's own steps with one shared read-out.
        train: trained parameter groups, letters out of "WUbR".
        input_scale: "dim" for <x, x'> / d, "none" for <x, x'>.
        kind: "ntk" or "nngp" (covariance of the outputs; `train` plays no role).
        param: "ntk" (gradients of the raw parameters carry their sigma) or "raw" (sigmas sit in the prior and
            gradients are taken without them: a bias then counts 1 even if sigma_b = 0).

    Raises:
        ValueError: negative or non-finite scales, unknown words, train letters out of place, particles that do not
            divide into batches.

    Reference: yang2020tp2 (existence of the limit for every such architecture; recalled).

    Example:
        >>> import jax
        >>> from ntkseq import kernels
        >>> from ntkseq.cells import LSTM
        >>> x = jax.random.normal(jax.random.key(0), (3, 4, 2))  # n = 3 sequences, t = 4 steps, d = 2 features
        >>> kernel = kernels.Gated(LSTM(sigma_w=1.3, forget=1.0), particles=512)
        >>> side = kernel.prepare(x)
        >>> kernel.tile(side, side).shape, kernel.standard_error(side, side).shape
        ((3, 3), (3, 3))
    """

    cell: Any = "gru"
    sigma_r: Any = 1.0
    particles: int = static(default=4096)
    batches: int = static(default=8)
    seed: int = static(default=0)
    read: str = static(default="last")
    train: str = static(default="WUbR")
    input_scale: str = static(default="dim")
    kind: str = static(default="ntk")
    param: str = static(default="ntk")

    references = ("yang2020tp2",)

    def __post_init__(self) -> None:
        fill(self, cell=cells.gated(self.cell))
        _checks.scale("sigma_r", self.sigma_r)
        for name, allowed in (
            ("read", READS),
            ("input_scale", ("dim", "none")),
            ("kind", ("ntk", "nngp")),
            ("param", ("ntk", "raw")),
        ):
            _checks.choice(name, getattr(self, name), allowed)
        check_letters(self.train, "WUbR")
        fill(self, **{name: _checks.positive_int(name, getattr(self, name)) for name in ("particles", "batches")})
        if isinstance(self.seed, bool) or not isinstance(self.seed, (int, np.integer)) or not 0 <= self.seed < 2**31:
            raise ValueError(f"seed must be an integer in 0..2^31 - 1; got {_checks.shown(self.seed)}.")
        fill(self, seed=int(self.seed))
        if self.batches < 2:
            raise ValueError(f"batches must be at least 2, for their spread is the error; got {self.batches}.")
        each, left = divmod(self.particles, self.batches)
        if left or not 2 <= each <= _MOST_PER_BATCH:
            raise ValueError(
                f"particles must be a multiple of batches, 2 to {_MOST_PER_BATCH} for each; got "
                f"particles={self.particles}, batches={self.batches}. For more particles raise batches as well."
            )

    def prepare(self, x: Inputs, lengths: Lengths = None) -> Side:
        """Check the sequences and keep them, scaled, with the weight of each step in the output.

        Args:
            x: (n, t, d), padded on the right.
            lengths: (n,) integers in 1..t; None means all t. What stands behind a length is never looked at.

        Returns:
            "x" (n, t, d) and "read" (n, t).

        Raises:
            ValueError: wrong rank, NaN or infinity, lengths out of range, variances that overflow the dtype.
        """
        x, lengths = _checks.sequences("x", x, lengths)
        side, fits = _prepare(self._without_seed()[0], x, lengths)
        _checks.no_overflow(fits, x.dtype, "the first step", "sigma_u or sigma_b")
        return side

    def tile(self, left: Side, right: Side) -> Float[Array, "n m"]:
        return _estimate(*self._without_seed(), left, right)[0]

    def diag_side(self, side: Side) -> Float[Array, " n"]:
        return _estimate(*self._without_seed(), side, None)[0]

    def standard_error(self, left: Side, right: Side) -> Float[Array, "n m"]:
        """Standard error of every entry of `tile(left, right)`, from the spread of the independent batches.

        It is itself an estimate, with a relative error of about 1/sqrt(2 batches), and does not hold the bias of
        order batches / particles.
        """
        return _estimate(*self._without_seed(), left, right)[1]

    def entry_rounding(self, side: Side) -> float:
        """Upper estimate of |computed - exact| / sqrt(K_ii K_jj): rounding, and the sampling.

        The largest relative standard error over the pairs of up to four of the sequences is taken for all, times
        Student's factor for so few batches: 11 for 8, 5.3 for 32.
        """
        n = side["x"].shape[0]
        few = jax.tree.map(lambda leaf: leaf[some(n)], side)
        values, error = (np.asarray(a, np.float64) for a in _estimate(*self._without_seed(), few, few))
        return _rounding(side) + student(self.batches) * largest(values, error)

    def scales(self) -> list[Any]:
        leaves = jax.tree.leaves(self)
        if not isinstance(self.cell, cells.LSTM):
            return leaves
        return [leaf for leaf in leaves if leaf is not self.cell.forget]

    @property
    def sampled(self) -> bool:
        return True

    def parts(self, side: Side) -> Parts:
        """The batches: their mean is the kernel. What all of them are off alike is taken as 1 / P.

        Their roundings differ, so that much of it goes into the spread: what is stated beside it is a third of what
        `entry_rounding` states, three times the largest that one batch of 512 had, 5.7 eps in 20 steps.
        """
        bare, key = self._without_seed()
        kernels = tuple(Batch(bare, key, jnp.int32(b)) for b in range(self.batches))
        each = self.particles // self.batches
        rounded = _rounding(side) / 2.6
        return Parts(kernels, (side,) * self.batches, self.particles, "particles", True, rounded, 1.0 / each)

    def entries_per_pair(self, side: Side) -> int:
        return max(16, side["x"].shape[1])  # so many that a batch of small tiles holds few sequences

    def steps(self, side: Side) -> int:
        return len(self.cell.gates) * self.particles * side["x"].shape[1]

    def finite(self, width: int) -> AnyModel:
        """The network of that width whose limit this kernel is: a `models.Gated`.

        Raises:
            ValueError: `kind="nngp"` or `param="raw"`, which no gradient in NTK parametrisation has as its limit.
        """
        from ntkseq import models

        self._check_limit()
        names = ("cell", "sigma_r", "read", "train", "input_scale")
        return models.Gated(width=width, **{name: getattr(self, name) for name in names})

    def _without_seed(self) -> tuple[Gated, Array]:
        """The kernel and its key, apart: a second seed compiles nothing."""
        bare = jax.tree.unflatten(jax.tree.structure(Gated(**_choices(self))), jax.tree.leaves(self))
        return bare, jax.random.key(self.seed)


def _rounding(side: Side) -> float:
    """Upper estimate of |computed - exact| / sqrt(K_ii K_jj) for the same draws."""
    return float(jnp.finfo(side["x"].dtype).eps) * (32.0 + 2.0 * side["x"].shape[1] ** 0.5)


def _choices(kernel: Gated) -> dict[str, Any]:
    names = ("cell", "particles", "batches", "read", "train", "input_scale", "kind", "param")
    return {name: getattr(kernel, name) for name in names}


@jax.jit
def _prepare(kernel: Gated, x: Array, lengths: Array) -> tuple[Side, Array]:
    inside = jnp.arange(x.shape[1], dtype=lengths.dtype)[None, :] < lengths[:, None]
    read = read_weights(kernel.read, inside, lengths, x.dtype)
    x = x * (x.shape[2] ** -0.5 if kernel.input_scale == "dim" else 1.0)
    scales = gated_batch.scales(kernel, x.dtype)
    most = [jnp.max(scale) ** 2 for scale in scales[:3]]
    variance = most[1] * jnp.sum(x * x, axis=2) + most[2] + most[0]
    return {"x": x, "read": read}, jnp.isfinite(variance).all()


@jax.jit
def _estimate(kernel: Gated, key: Key, left: Side, right: Side | None) -> tuple[Array, Array]:
    """Mean over the batches and its standard error: (n, m), or of each sequence with itself, (n,), without `right`."""
    given = left["x"].dtype
    left, right = gated_batch.widened(left), None if right is None else gated_batch.widened(right)
    (n, _, d), dtype = left["x"].shape, left["x"].dtype
    each = kernel.particles // kernel.batches

    def add(carry: tuple[Array, Array], batch: Array) -> tuple[tuple[Array, Array], None]:
        mean, squares = carry
        draws = sampling.draw(jax.random.fold_in(key, batch), kernel.cell, d, each, dtype)
        values = (
            gated_batch.diagonal(kernel, draws, left)
            if right is None
            else gated_batch.block(kernel, draws, left, right)
        )
        step = values - mean
        mean = mean + step / (batch + 1).astype(dtype)
        return (mean, squares + step * (values - mean)), None

    zero = jnp.zeros((n,) if right is None else (n, right["x"].shape[0]), dtype)
    (mean, squares), _ = jax.lax.scan(jax.checkpoint(add), (zero, zero), jnp.arange(kernel.batches, dtype=jnp.int32))
    count = kernel.batches * (kernel.batches - 1)
    return mean.astype(given), jnp.sqrt(jnp.maximum(squares, 0) / count).astype(given)
