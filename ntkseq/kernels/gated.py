"""What is the infinite-width kernel of a GRU or an LSTM? No recursion closes, so it is sampled, with its error."""

from __future__ import annotations

from typing import Any, ClassVar

from jaxtyping import Array, Float

from ntkseq import _checks, blocks
from ntkseq._struct import fill, static, struct
from ntkseq._types import AnyModel, Inputs, Lengths
from ntkseq.cells.gates import gated
from ntkseq.kernels import particle_batches
from ntkseq.kernels.base import Kernel, Side
from ntkseq.kernels.finite_width import check_limit
from ntkseq.kernels.particle_network import Network
from ntkseq.kernels.parts import Parts

READS = ("last", "mean", "sum")


@struct
class Gated(Kernel):
    """The limit of a GRU or an LSTM of infinite width, `models.Gated`, as a Monte Carlo estimate with a standard error.

    It is the `Serial` of one `blocks.Recurrent`; there layers stack. The gates of the limit are Gaussian and correlated
    through all of time, and expectations of their products are integrals of as many dimensions as steps. They are
    estimated by the particles of `ntkseq.kernels.particles`: independent batches of P = particles / batches coordinates
    each, whose mean is the kernel and whose spread is `standard_error`. The standard error was 0.4 to 3
    sqrt(K_ii K_jj) / sqrt(particles) on three data sets of 3 to 5 steps, largest on the diagonal. Each batch has a bias
    of order 1/P from the covariances that it estimates from itself: there at most (0.4 +- 0.2) sqrt(K_ii K_jj) / P,
    measured at P = 16. To keep it behind the standard error, let batches grow no faster than sqrt(particles) / 8.

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
        train_readout: whether the read-out is trained; the cell has a `train` of its own.
        input_scale: "dim" for <x, x'> / d, "none" for <x, x'>.
        kind: "ntk" or "nngp" (covariance of the outputs; what is trained plays no role).
        param: "ntk" (gradients of the raw parameters carry their sigma) or "raw" (sigmas sit in the prior and
            gradients are taken without them: a bias then counts 1 even if sigma_b = 0).

    Raises:
        ValueError: negative or non-finite scales, unknown words, particles that do not
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

    _elsewhere: ClassVar[dict[str, str]] = {
        **Kernel._elsewhere,
        **dict.fromkeys(("depth", "layers", "num_layers"), "Deep gated networks are kernels.Serial("
                        "blocks.Recurrent(cells.GRU()), blocks.Recurrent(cells.GRU()))."),
        **dict.fromkeys(("sigma_w", "sigma_u", "sigma_b", "forget", "reset", "train", "activation"),
                        "Scales and choices of the cell are its own: kernels.Gated(cells.LSTM(sigma_w=1.3))."),
    }  # fmt: skip

    cell: Any = "gru"
    sigma_r: Any = 1.0
    particles: int = static(default=4096)
    batches: int = static(default=8)
    seed: int = static(default=0)
    read: str = static(default="last")
    train_readout: bool = static(default=True)
    input_scale: str = static(default="dim")
    kind: str = static(default="ntk")
    param: str = static(default="ntk")

    references = ("yang2020tp2",)

    def __post_init__(self) -> None:
        fill(self, cell=gated(self.cell))
        _checks.scale("sigma_r", self.sigma_r)
        for name, allowed in (
            ("read", READS),
            ("input_scale", ("dim", "none")),
            ("kind", ("ntk", "nngp")),
            ("param", ("ntk", "raw")),
        ):
            _checks.choice(name, getattr(self, name), allowed)
        particles, batches, seed = particle_batches.check(self.particles, self.batches, self.seed)
        fill(self, particles=particles, batches=batches, seed=seed)
        fill(self, train_readout=_checks.flag("train_readout", self.train_readout))

    def network(self) -> Network:
        """The layer and its read-out, by the particles of one batch."""
        return particle_batches.network(self, (blocks.Recurrent(self.cell),))

    def prepare(self, x: Inputs, lengths: Lengths = None) -> Side:
        """Check the sequences and keep them, scaled, with the weight of each step in the output.

        Args:
            x: (n, t, d), padded on the right.
            lengths: (n,) integers in 1..t; None means all t. What stands behind a length is never looked at.

        Returns:
            "x" (n, t, d), "read" and "inside" (n, t).

        Raises:
            ValueError: wrong rank, NaN or infinity, lengths out of range, variances that overflow the dtype.
        """
        return particle_batches.prepare(self, x, lengths)

    def tile(self, left: Side, right: Side) -> Float[Array, "n m"]:
        return particle_batches.tile(self, left, right)

    def diag_side(self, side: Side) -> Float[Array, " n"]:
        return particle_batches.tile(self, side, None)

    def standard_error(self, left: Side, right: Side) -> Float[Array, "n m"]:
        """Standard error of every entry of `tile(left, right)`, from the spread of the independent batches.

        It is itself an estimate, with a relative error of about 1/sqrt(2 batches), and does not hold the bias of
        order batches / particles.
        """
        return particle_batches.standard_error(self, left, right)

    def entry_rounding(self, side: Side) -> float:
        """Upper estimate of |computed - exact| / sqrt(K_ii K_jj): rounding, and the sampling.

        The largest relative standard error over the pairs of up to four of the sequences is taken for all, times
        Student's factor for so few batches: 11 for 8, 5.3 for 32.
        """
        return particle_batches.entry_rounding(self, side)

    def scales(self) -> list[Any]:
        return particle_batches.squares(self)

    @property
    def sampled(self) -> bool:
        return True

    def parts(self, side: Side) -> Parts:
        return particle_batches.parts(self, side)

    def entries_per_pair(self, side: Side) -> int:
        return max(16, side["x"].shape[1])  # so many that a batch of small tiles holds few sequences

    def steps(self, side: Side) -> int:
        return particle_batches.steps(self, side)

    def finite(self, width: int) -> AnyModel:
        """The network of that width whose limit this kernel is: a `models.Gated`.

        Raises:
            ValueError: `kind="nngp"` or `param="raw"`, which no gradient in NTK parametrisation has as its limit.
        """
        from ntkseq import models

        check_limit(self)
        names = ("cell", "sigma_r", "read", "train_readout", "input_scale")
        return models.Gated(width=width, **{name: getattr(self, name) for name in names})
