"""What is a kernel? One interface for every infinite-width and empirical kernel; sums and multiples of them."""

from __future__ import annotations

import abc
from typing import Any, ClassVar, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkseq import _checks, _display
from ntkseq._layers import for_depth
from ntkseq._struct import replace, struct
from ntkseq._types import Inputs, Lengths, Number, Scale
from ntkseq.kernels import lists, span, unstated
from ntkseq.kernels.elsewhere import ELSEWHERE
from ntkseq.kernels.footprint import Footprint
from ntkseq.kernels.origin import note
from ntkseq.kernels.parts import Parts, together

Side = Any
"""A pytree of arrays with leading axis n: all that a kernel needs to know of each input on its own."""

Own = TypeVar("Own", bound="Kernel")  # not Self, which the check of types at run time does not know in a method


class Kernel(abc.ABC):
    """A positive semi-definite function of two inputs, as a frozen pytree.

    Hyper-parameters are leaves (a sweep compiles once, `jax.grad` goes through them); choices are static.
    `kernel(x1, x2)` returns the matrix of values; `ntkseq.gram` does the same tile by tile for many inputs.
    `k1 + k2` and `c * k1` are kernels.

    Inputs `x`, `x1`, `x2` are n and m examples, (n, d) or (n, t, d), and `lengths`, `lengths2` those of sequences, (n,)
    and (m,) integers in 1..t; None: all t. A `side`, `left` or `right` is a batch that `prepare` made of them.
    """

    _elsewhere: ClassVar[dict[str, str]] = ELSEWHERE

    @property
    def estimated(self) -> str:
        """Why `entry_rounding` is an estimate; empty if it is a bound."""
        return unstated.WHY if type(self).entry_rounding is Kernel.entry_rounding else ""

    @abc.abstractmethod
    def prepare(self, x: Inputs, lengths: Lengths = None) -> Side:
        """Check the inputs and compute what depends on one input only. Leading axis n on every leaf."""

    @abc.abstractmethod
    def tile(self, left: Side, right: Side) -> Float[Array, "n m ..."]:
        """The kernel between two prepared batches, taken as different examples."""

    def diag_side(self, side: Side) -> Float[Array, "n ..."]:
        """The kernel of each prepared input with itself: a 1 x 1 tile each."""

        def one(s: Side) -> Array:
            s = jax.tree.map(lambda leaf: leaf[None], s)
            return self.tile(s, s)[0, 0]

        return jax.vmap(one)(side)

    def square_side(self, side: Side) -> Float[Array, "n n ..."]:
        """The kernel of a prepared batch with itself: a tile, with the diagonal from `diag_side`."""
        values = self.tile(side, side)
        index = jnp.arange(values.shape[0])
        return values.at[index, index].set(self.diag_side(side))

    def diag(self, x: Inputs, lengths: Lengths = None) -> Float[Array, "n ..."]:
        """The kernel of each input with itself.

        Raises:
            ValueError: what `prepare` refuses; values beyond the range of their dtype.
        """
        values = self.diag_side(self.prepare(x, lengths))
        span.check(self, x, lengths, values.dtype, values)
        return values

    def entry_rounding(self, side: Side) -> float:
        """Upper estimate of |computed - exact| / sqrt(K_ii K_jj) over the entries, in the dtype of the data.

        A kernel that does not override this states nothing: it is measured on a few examples, `estimated` says so, and
        no bound made of it is certified.
        """
        return unstated.measured(self, side)

    def cross_rounding(self, left: Side, right: Side) -> float:
        """`entry_rounding` of the entries of `tile(left, right)`."""
        return max(self.entry_rounding(left), self.entry_rounding(right))

    by_token = True
    """Whether each token of a sequence (n, t, d) counts by itself; otherwise an input as a whole."""
    takes_trees = False  # whether a list of inputs is a tree of arrays, each of all examples; otherwise one array

    def scales(self) -> list[Any]:
        """The numbers that enter the kernel as squares."""
        return jax.tree.leaves(self)

    def kept(self, side: Side) -> Side:
        """As much of a prepared batch as `entry_rounding` and `diag_side` need, in the least memory."""
        return side

    def standard_error(self, left: Side, right: Side) -> Float[Array, "n m ..."] | None:
        """Monte Carlo standard error of every entry of `tile(left, right)`; None if nothing is sampled."""
        return None

    @property
    def sampled(self) -> bool:
        """Whether values are Monte Carlo estimates, with a `standard_error`."""
        return False

    def parts(self, side: Side) -> Parts | None:
        """The independent batches of a sampled kernel, each a kernel; None if nothing is sampled or they do not part.

        Their Gram matrices tell the error of every eigenvalue: `ntkseq.gram` computes them, `ntkseq.spectrum` reads
        them.
        """
        return None

    def entries_per_pair(self, side: Side) -> int:
        """Numbers held per pair of examples while a tile is computed: what a tile size is chosen from."""
        return 1

    def tile_rows(self, side: Side) -> int | None:
        """Rows of a tile of a Gram matrix, where the kernel knows better than a tile that fits the cache; None: not."""
        return None

    def steps(self, side: Side) -> int:
        """Steps of work per entry: what a progress bar and a benchmark count."""
        return 1

    def footprint(self, x: Inputs, lengths: Lengths = None) -> Footprint | None:
        """What prepared examples take, where it may be more than there is memory for; None: little.

        A stored Gram prepares them block by block, each once, and keeps on disk what is too much.
        """
        return None

    def beside(self: Own, count: int) -> Own:
        """The kernel for `count` devices that work in one memory: each may use its part of what the caller allowed."""
        return self

    def __call__(
        self, x1: Inputs, x2: Inputs | None = None, *, lengths: Lengths = None, lengths2: Lengths = None
    ) -> Float[Array, "n m ..."]:
        """The matrix of kernel values, in one piece and differentiable. `x2=None`: x1 with itself.

        Outside a trace, what the kernel knows of its rounding goes with this very array (not with what an operation
        makes of it): `ntkseq.spectrum(kernel(x))` states what `ntkseq.spectrum(gram(kernel, x))` states.

        Raises:
            ValueError: what `prepare` refuses; x1 and x2 that do not fit together; values beyond the range
                of their dtype.
        """
        left = self.prepare(x1, lengths)
        if x2 is None:
            values, right = self.square_side(left), None
        else:
            right = self.prepare(x2, lengths2)
            self.check_pair(left, right)
            values = self.tile(left, right)
        span.check(self, x1, lengths, values.dtype, span.own(values, right is None))
        if right is not None:
            span.check(self, x2, lengths2, values.dtype, None)
        note(self, values, left, right)
        return values

    def check_pair(self, left: Side, right: Side) -> None:
        """Raise if two prepared batches do not fit together (other features, other dtype)."""
        shapes = [tuple(leaf.shape[1:]) for leaf in jax.tree.leaves(left)]
        others = [tuple(leaf.shape[1:]) for leaf in jax.tree.leaves(right)]
        if shapes != others:
            raise ValueError(
                "x1 and x2 must agree after the first axis; their prepared arrays have shapes "
                f"{shapes} and {others}. Bring them to one length (pad, and pass lengths=) and one number of features."
            )
        kinds = {leaf.dtype for leaf in jax.tree.leaves((left, right)) if jnp.issubdtype(leaf.dtype, jnp.floating)}
        if len(kinds) > 1:
            raise ValueError(f"x1 and x2 must have one dtype; got {sorted(map(str, kinds))}. Cast one of them.")

    def with_(self: Own, **changes: Any) -> Own:
        """A copy with some arguments changed, `**changes` by name."""
        return replace(self, **for_depth(self, changes))

    def __add__(self, other: object) -> Sum:
        if not isinstance(other, Kernel):
            return NotImplemented
        return Sum(self, other)

    def __mul__(self, factor: Number) -> Scaled:
        if isinstance(factor, Kernel):
            return NotImplemented
        return Scaled(self, factor)

    __rmul__ = __mul__


@struct
class Sum(Kernel):
    """The sum of two kernels: the kernel of two independent networks added together.

    Args:
        first, second: the kernels; both see the same inputs.

    Raises:
        ValueError: no kernel where one is wanted.
    """

    first: Kernel
    second: Kernel

    def _short(self) -> str:
        return f"{_display.short(self.first)} + {_display.short(self.second)}"

    def __repr__(self) -> str:
        return _display.folded(self._short())

    def __post_init__(self) -> None:
        _kernel("first", self.first)
        _kernel("second", self.second)

    @property
    def estimated(self) -> str:
        return self.first.estimated or self.second.estimated

    @property
    def takes_trees(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.first.takes_trees and self.second.takes_trees  # what one reads as an array the other does, too

    def prepare(self, x: Inputs, lengths: Lengths = None) -> Side:
        x = lists.read(self, x)
        return (self.first.prepare(x, lengths), self.second.prepare(x, lengths))

    def tile(self, left: Side, right: Side) -> Float[Array, "n m"]:
        return self.first.tile(left[0], right[0]) + self.second.tile(left[1], right[1])

    def diag_side(self, side: Side) -> Float[Array, " n"]:
        return self.first.diag_side(side[0]) + self.second.diag_side(side[1])

    def square_side(self, side: Side) -> Float[Array, "n n"]:
        return self.first.square_side(side[0]) + self.second.square_side(side[1])

    def entry_rounding(self, side: Side) -> float:
        return max(self.first.entry_rounding(side[0]), self.second.entry_rounding(side[1])) * 1.01

    def cross_rounding(self, left: Side, right: Side) -> float:
        both = self.first.cross_rounding(left[0], right[0]), self.second.cross_rounding(left[1], right[1])
        return max(both) * 1.01

    def standard_error(self, left: Side, right: Side) -> Float[Array, "n m"] | None:
        first = self.first.standard_error(left[0], right[0])
        second = self.second.standard_error(left[1], right[1])
        if first is None or second is None:
            return second if first is None else first
        return first + second  # an upper bound: two kernels with one seed are not independent

    @property
    def sampled(self) -> bool:
        return self.first.sampled or self.second.sampled

    def parts(self, side: Side) -> Parts | None:
        """Batch b of the one with batch b of the other, or with all of it where nothing of it is sampled.

        None where both are sampled in different numbers of batches: two kernels with one seed are not independent.
        """
        one, two = self.first.parts(side[0]), self.second.parts(side[1])
        sampled = [part for part in (one, two) if part is not None]
        if not sampled:
            return None
        batches = len(sampled[0].kernels)
        halves = []
        for kernel, own, part in ((self.first, side[0], one), (self.second, side[1], two)):
            if part is None and kernel.sampled:  # without batches it would count as exact
                return None
            halves.append((kernel,) * batches if part is None else part.kernels)
            halves.append((own,) * batches if part is None else part.sides)
        if any(len(half) != batches for half in halves):
            return None
        kernels = tuple(Sum(a, b) for a, b in zip(halves[0], halves[2], strict=True))
        sides = tuple(zip(halves[1], halves[3], strict=True))
        exact = [k.entry_rounding(s) for k, s, p in ((self.first, side[0], one), (self.second, side[1], two)) if not p]
        e = 1.01 * max(*exact, *(part.entrywise for part in sampled))
        if one is not None and two is not None:
            return together(one, two, sides, kernels, e)
        return sampled[0].changed(kernels, sides, e)

    def scales(self) -> list[Any]:
        return [*self.first.scales(), *self.second.scales()]

    def entries_per_pair(self, side: Side) -> int:
        return max(self.first.entries_per_pair(side[0]), self.second.entries_per_pair(side[1]))

    def steps(self, side: Side) -> int:
        return self.first.steps(side[0]) + self.second.steps(side[1])

    def tile_rows(self, side: Side) -> int | None:
        rows = [self.first.tile_rows(side[0]), self.second.tile_rows(side[1])]
        return min((one for one in rows if one is not None), default=None)

    def footprint(self, x: Inputs, lengths: Lengths = None) -> Footprint | None:
        both = [one.footprint(lists.read(self, x), lengths) for one in (self.first, self.second)]
        if not (known := [one for one in both if one is not None]) or self.sampled:  # its draws are of a whole batch
            return None
        return Footprint(sum(one.each for one in known), min(one.memory for one in known))

    def beside(self, count: int) -> Sum:
        return Sum(self.first.beside(count), self.second.beside(count))


def _kernel(name: str, value: object) -> None:
    if not isinstance(value, Kernel):
        raise ValueError(f"{name} must be an ntkseq Kernel; got {_checks.shown(value)}. See ntkseq.kernels.")


@struct
class Scaled(Kernel):
    """A kernel times a number c >= 0: the network's output times sqrt(c).

    Args:
        kernel: any kernel.
        factor: c, a number. A leaf.

    Raises:
        ValueError: no kernel; a factor that is negative or not finite.
    """

    kernel: Kernel
    factor: Scale

    def _short(self) -> str:
        of = _display.short(self.kernel)
        return f"{_display.short(self.factor)} * {f'({of})' if isinstance(self.kernel, Sum) else of}"

    def __repr__(self) -> str:
        return _display.folded(self._short())

    def __post_init__(self) -> None:
        _kernel("kernel", self.kernel)
        _checks.scale("factor", self.factor)

    @property
    def estimated(self) -> str:
        return self.kernel.estimated

    @property
    def takes_trees(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.kernel.takes_trees

    def prepare(self, x: Inputs, lengths: Lengths = None) -> Side:
        return self.kernel.prepare(x, lengths)

    def tile(self, left: Side, right: Side) -> Float[Array, "n m"]:
        return self.factor * self.kernel.tile(left, right)

    def diag_side(self, side: Side) -> Float[Array, " n"]:
        return self.factor * self.kernel.diag_side(side)

    def square_side(self, side: Side) -> Float[Array, "n n"]:
        return self.factor * self.kernel.square_side(side)

    def entry_rounding(self, side: Side) -> float:
        return self.kernel.entry_rounding(side) * 1.01

    def cross_rounding(self, left: Side, right: Side) -> float:
        return self.kernel.cross_rounding(left, right) * 1.01

    def standard_error(self, left: Side, right: Side) -> Float[Array, "n m"] | None:
        error = self.kernel.standard_error(left, right)
        return None if error is None else self.factor * error

    @property
    def sampled(self) -> bool:
        return self.kernel.sampled

    def parts(self, side: Side) -> Parts | None:
        """The batches of the kernel, each times the number."""
        part = self.kernel.parts(side)
        if part is None:
            return None
        return part.changed(tuple(Scaled(one, self.factor) for one in part.kernels), part.sides, 1.01 * part.entrywise)

    def scales(self) -> list[Any]:
        return [*self.kernel.scales(), self.factor]

    def entries_per_pair(self, side: Side) -> int:
        return self.kernel.entries_per_pair(side)

    def steps(self, side: Side) -> int:
        return self.kernel.steps(side)

    def tile_rows(self, side: Side) -> int | None:
        return self.kernel.tile_rows(side)

    def footprint(self, x: Inputs, lengths: Lengths = None) -> Footprint | None:
        return self.kernel.footprint(x, lengths)

    def beside(self, count: int) -> Scaled:
        return Scaled(self.kernel.beside(count), self.factor)
