"""What is the tangent kernel of a given function at given parameters? Exact or estimated, by one of several methods."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkseq import _calls, _display, _keys
from ntkseq._struct import fill, replace, struct
from ntkseq._types import AnyArray, AnyFunction, Lengths, PyTree, Trainable
from ntkseq.empirical import products
from ntkseq.empirical.function import Function, check_outputs, function
from ntkseq.empirical.methods.base import Method
from ntkseq.empirical.methods.held import Cheapest, Held
from ntkseq.empirical.methods.short import as_method
from ntkseq.empirical.plan import Plan
from ntkseq.empirical.rounding import compared
from ntkseq.kernels.base import Kernel, Side
from ntkseq.kernels.footprint import Footprint

ONE_PIECE = 4096
"""Rows of a tile: products of matrices this large run at full speed, and the machine's cores are theirs already."""


@struct
class Unstated:
    """A side of a method that states no rounding, with the inputs by which it is measured."""

    inputs: Any
    side: Side


@struct
class NTK(Kernel):
    """The empirical neural tangent kernel of a function f at parameters theta.

        K(x, x')[o, q] = sum_i rate_i  d f(x)_o / d theta_i  d f(x')_q / d theta_i

    f is any pure JAX function of parameters and ONE example: through `lax.scan`, attention, convolutions, embeddings,
    conditionals, inner loops of meta-learning. Where parameters meet data in matrix products, convolutions and row
    look-ups, the Jacobian is a sum of outer products over time steps or tokens, which is contracted without being
    formed; the rest goes through its Jacobian. `plan(x)` says what is done with every leaf, and why.

    Args:
        f: f(params, x) -> (o,), or f(params, x, length) where lengths are passed.
        params: any pytree of arrays, float32, float64 or bfloat16; integer leaves are constants. A complex parameter
            is two real leaves, joined by `lax.complex` inside f; a held one may be complex.
        outputs: "mean", the mean over outputs of K[o, o], (n, m); "full", (n, m, o, o); "diagonal", K[o, o],
            (n, m, o); an index, one output, (n, m); "pseudo", the kernel of the sum of the outputs over sqrt(o),
            (n, m).
        method: an object that holds its options, or a short name: `Cheapest(memory=..., orders=...)`, "auto", for each
            leaf what is cheaper; `Structured(...)`, "structured", factors wherever there is structure;
            `Jacobian(...)`, "jacobian", per-example gradients (n p memory); `Products()`, "products", by forward and
            reverse derivatives (no gradient per example is held); `Sketch(key, directions=256)`, an estimate from
            random projections, at a cost linear in n, with its sampling error; or a `Method` of your own.
        trainable: which leaves count: a regular expression searched in a leaf's path, as `jax.tree_util.keystr` writes
            it, or a function of the path; None: all floating leaves.
        rates: learning rates of the leaves, {regular expression: rate} (1 where none is found) or a pytree like
            params; 0 freezes a leaf. With rates the kernel is that of a network trained with them. An array of the
            shape of a leaf is a rate for each of its numbers, J P J' with a diagonal P, as of Adam:
            `preconditioner`; such a leaf goes by its gradients.

    Raises:
        ValueError: f that is no function, params that hold nothing to train, or NaN; unknown words; and at the first
            input an f that takes no single example or does not return (o,) real numbers.

    Reference:
        Jacot, Gabriel & Hongler, 2018 (`jacot2018`); the contraction of structured Jacobians, Novak, Sohl-Dickstein &
        Schoenholz, 2022 (`novak2022`).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ntkseq import empirical
        >>> def f(params, x):  # a recurrent network read out at its last step
        ...     def step(h, u):
        ...         return jnp.tanh(params["W"] @ h + params["U"] @ u), None
        ...
        ...     h, _ = jax.lax.scan(step, jnp.zeros(32), x)
        ...     return params["V"] @ h
        >>> keys = jax.random.split(jax.random.key(0), 4)
        >>> params = {k: jax.random.normal(key, s) / 6 for k, key, s in zip("WUV", keys, ((32, 32), (32, 3), (2, 32)))}
        >>> kernel = empirical.NTK(f, params)
        >>> x = jax.random.normal(keys[3], (5, 8, 3))
        >>> kernel(x).shape, sorted(kernel.by_leaf(x))
        ((5, 5), ["['U']", "['V']", "['W']"])
    """

    function: Function
    method: Method

    def __init__(
        self,
        f: AnyFunction,
        params: PyTree,
        *,
        outputs: str | int = "mean",
        method: str | Method = "auto",
        trainable: Trainable = None,
        rates: PyTree = None,
    ) -> None:
        self._fill(function(f, params, trainable, rates, outputs), as_method(method))

    def _fill(self, function: Function, method: Method) -> None:
        method.check(function)
        fill(self, function=function, method=method)

    def with_(self, **changes: Any) -> NTK:
        """A copy with another params, outputs or method.

        Args:
            **changes: params, outputs or method.

        Raises:
            ValueError: params unlike those there are, or another argument, for which a new NTK is to be made.
        """
        if unknown := set(changes) - {"params", "outputs", "method"}:
            raise ValueError(f"with_ changes params, outputs and method; got {', '.join(sorted(unknown))}.")
        made = self.function
        if "params" in changes:
            made = made.at(changes["params"])
        if "outputs" in changes:
            made = replace(made, outputs=check_outputs(changes["outputs"]))
        copy = object.__new__(NTK)
        copy._fill(made, as_method(changes.get("method", self.method)))
        return copy

    def __repr__(self) -> str:
        leaves, weights = self.function.leaves, self.function.weights
        held = sum(int(leaf.size) for leaf in leaves)
        counted = sum(int(weight.size) for weight in weights)
        many = "leaf" if len(weights) == 1 else "leaves"
        of = f"{counted:,} parameters in {len(weights)} {many}" + (f" of {held:,}" if counted < held else "")
        rates = ", with rates" if self.function.roots is not None else ""
        how = f"outputs={self.outputs!r}, method={self.method!r}"
        return _display.folded(f"NTK({_calls.name(self.function.f)}, {of}{rates}, {how})")

    @property
    def outputs(self) -> str | int:
        """What becomes of the outputs."""
        return self.function.outputs

    @property
    def params(self) -> PyTree:
        """The parameters at which the kernel is taken."""
        return _keys.made_again(jax.tree.unflatten(self.function.tree, self.function.leaves))

    def prepare(self, x: PyTree, lengths: Lengths = None) -> Side:
        x = self.function.inputs(x, lengths)
        side = self.method.prepare(self.function, x)
        return side if self.method.states_rounding else Unstated(x, side)

    def tile(self, left: Side, right: Side) -> Float[Array, "n m ..."]:
        return self.method.tile(self.function, _side(left), _side(right))

    def square_side(self, side: Side) -> Float[Array, "n n ..."]:
        """The kernel of a prepared batch with itself; half of the work where it can be halved."""
        return self.method.square(self.function, _side(side))

    def diag_side(self, side: Side) -> Float[Array, "n ..."]:
        return self.method.diagonal(self.function, _side(side))

    def trace(self, x: PyTree, lengths: Lengths = None) -> Float[Array, "..."]:
        """The trace of K(x, x), without K: a number, (o,) for "diagonal", the sum over outputs too for "full"."""
        values = self.diag(x, lengths)
        if self.outputs == "full":
            values = jnp.trace(values, axis1=1, axis2=2)
        return jnp.sum(values, axis=0)

    def mv(
        self, x: PyTree, v: AnyArray, x2: PyTree = None, *, lengths: Lengths = None, lengths2: Lengths = None
    ) -> Float[Array, "n ..."]:
        """K(x, x2) v without K, by one reverse and one forward derivative; `x2=None`: x.

        Args:
            x: n inputs.
            v: (m,) or (m, k); for outputs "full" and "diagonal" (m, o) or (m, o, k).
            x2: m inputs.
            lengths, lengths2: of the sequences.
        """
        left = self.function.inputs(x, lengths)
        right = None if x2 is None else self.function.inputs(x2, lengths2, "x2")
        return products.kernel_vector(self.function, left, right, v)

    def by_leaf(
        self, x: PyTree, x2: PyTree = None, *, lengths: Lengths = None, lengths2: Lengths = None
    ) -> dict[str, Float[Array, "n m ..."]]:
        """The kernel as a sum over leaves of the parameters: {path: its part}, by structure or Jacobian.

        Leaves of which the computation sees only one part, such as matrices that f puts together, stand apart as well.

        Args:
            x, x2: n and m inputs; `x2=None`: x.
            lengths, lengths2: of the sequences.
        """
        held = self.method if isinstance(self.method, Held) else Cheapest()
        left = self.function.inputs(x, lengths)
        return held.by_leaf(self.function, left, None if x2 is None else self.function.inputs(x2, lengths2, "x2"))

    def plan(self, x: PyTree, lengths: Lengths = None) -> Plan:
        """What is done with each leaf for these inputs, and why, with predicted time and memory; print it."""
        return self.method.plan(self.function, self.function.inputs(x, lengths))

    @property
    def estimated(self) -> str:
        return self.method.estimated

    def entry_rounding(self, side: Side) -> float:
        """Estimate of |computed - exact| / sqrt(K_ii K_jj): of the method, see `empirical.rounding`, `sketch`."""
        stated = self.method.entry_rounding(self.function, _side(side))
        if stated is None:
            return compared(self.function, side.inputs, side.side, self.method.tile)
        return stated

    by_token = False
    takes_trees = True

    def scales(self) -> list[Any]:
        return []  # parameters are as small as training makes them

    def kept(self, side: Side) -> Side:
        if isinstance(side, Unstated):
            return replace(side, side=self.method.kept(side.side))
        return self.method.kept(side)

    def standard_error(self, left: Side, right: Side) -> Float[Array, "n m ..."] | None:
        return self.method.standard_error(self.function, _side(left), _side(right))

    def check_pair(self, left: Side, right: Side) -> None:
        left, right = (getattr(side, "inputs", side) for side in (left, right))
        super().check_pair(left, right)
        one, two = ([str(leaf.dtype) for leaf in jax.tree.leaves(side)] for side in (left, right))
        if one != two:
            raise ValueError(f"x1 and x2 must have the same dtypes; got {one} and {two}. Cast one of them.")

    def tile_rows(self, side: Side) -> int:
        return ONE_PIECE

    def footprint(self, x: PyTree, lengths: Lengths = None) -> Footprint | None:
        return self.method.footprint(self.function, self.function.inputs(x, lengths))

    def beside(self, count: int) -> NTK:
        return self.with_(method=self.method.beside(count))


def _side(side: Side) -> Side:
    """What the method made."""
    return side.side if isinstance(side, Unstated) else side
