"""What is the tangent kernel of a given function at given parameters? Exact, by the cheapest method for it."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkseq import _checks, _keys
from ntkseq._struct import replace, static, struct
from ntkseq.empirical import choose, late, products, sketch, structure
from ntkseq.empirical.backoff import halving
from ntkseq.empirical.function import Function, check_outputs, function
from ntkseq.empirical.late import Late
from ntkseq.empirical.plan import Plan, plan
from ntkseq.empirical.rounding import measured
from ntkseq.empirical.structure import Choice, Prepared
from ntkseq.kernels.base import Kernel, Side

METHODS = ("auto", "structured", "jacobian", "products", "sketch")
ONE_PIECE = 4096
"""Rows of a tile: products of matrices this large run at full speed, and the machine's cores are theirs already."""


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
        outputs: "trace", the mean over outputs of K[o, o], (n, m); "full", (n, m, o, o); "diagonal", K[o, o],
            (n, m, o); an index, one output, (n, m); "pseudo", the kernel of the sum of the outputs over sqrt(o),
            (n, m).
        method: "auto"; "structured", factors wherever there is structure; "jacobian", per-example gradients (n p
            memory); "products", by forward and reverse derivatives (no gradient per example is held); "sketch", an
            estimate from `directions` random projections, at a cost linear in n, with its sampling error.
        trainable: which leaves count: a regular expression searched in a leaf's path, as `jax.tree_util.keystr` writes
            it, or a function of the path; None: all floating leaves.
        rates: learning rates of the leaves, {regular expression: rate} (1 where none is found) or a pytree like
            params; 0 freezes a leaf. With rates the kernel is that of a network trained with them.
        orders: {regular expression: "gram", "weights" or "jacobian"}, to decide for some leaves yourself.
        memory: bytes that factors may take; what exceeds it is made again block by block. None: half of what is free.
        key: random key of the sketch.
        directions: random projections of the sketch; its relative error is about sqrt(2 / directions).

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
    key: Any = None
    method: str = static(default="auto")
    orders: tuple[tuple[str, str], ...] = static(default=())
    memory: int | None = static(default=None)
    directions: int = static(default=256)

    def __init__(
        self,
        f: Any,
        params: Any,
        *,
        outputs: str | int = "trace",
        method: str = "auto",
        trainable: Any = None,
        rates: Any = None,
        orders: Any = None,
        memory: int | None = None,
        key: Any = None,
        directions: int = 256,
    ) -> None:
        made = function(f, params, trainable, rates, outputs)
        self._fill(made, key, method, choose.check_orders(orders, made.names), memory, directions)

    def _fill(self, made: Function, key: Any, method: Any, orders: Any, memory: Any, directions: Any) -> None:
        _checks.choice("method", method, METHODS)
        if method == "sketch":
            if key is None:
                raise ValueError('method="sketch" needs key=jax.random.key(seed): two sides of a kernel share it.')
            key = _checks.prng_key("key", key)
        elif key is not None:
            raise ValueError(f'key is for method="sketch"; got one with method={method!r}. Leave it out.')
        memory = None if memory is None else _checks.positive_int("memory", memory)
        values = (made, key, method, orders, memory, _checks.positive_int("directions", directions))
        for name, value in zip(("function", "key", "method", "orders", "memory", "directions"), values, strict=True):
            object.__setattr__(self, name, value)

    def with_(self, **changes: Any) -> NTK:
        """A copy with another params, outputs, method, orders, memory, key or directions.

        Raises:
            ValueError: params unlike those there are, or another argument, for which a new NTK is to be made.
        """
        made = self.function
        if "params" in changes:
            made = made.at(changes.pop("params"))
        if "outputs" in changes:
            made = replace(made, outputs=check_outputs(changes.pop("outputs")))
        if "orders" in changes:
            changes["orders"] = choose.check_orders(changes["orders"], made.names)
        given = {name: getattr(self, name) for name in ("key", "method", "orders", "memory", "directions")}
        if unknown := set(changes) - set(given):
            raise ValueError(f"with_ changes params, outputs, {', '.join(given)}; got {', '.join(sorted(unknown))}.")
        if changes.get("method", "sketch") != "sketch":
            given["key"] = None
        copy = object.__new__(NTK)
        copy._fill(made, **(given | changes))
        return copy

    def __repr__(self) -> str:
        leaves, weights = self.function.leaves, self.function.weights
        held = sum(int(leaf.size) for leaf in leaves)
        counted = sum(int(weight.size) for weight in weights)
        many = "leaf" if len(weights) == 1 else "leaves"
        of = f"{counted:,} parameters in {len(weights)} {many}" + (f" of {held:,}" if counted < held else "")
        rates = ", with rates" if self.function.roots is not None else ""
        how = f"outputs={self.outputs!r}, method={self.method!r}"
        return f"NTK({_name(self.function.f)}, {of}{rates}, {how})"

    @property
    def outputs(self) -> str | int:
        """What becomes of the outputs."""
        return self.function.outputs

    @property
    def params(self) -> Any:
        """The parameters at which the kernel is taken."""
        return _keys.made_again(jax.tree.unflatten(self.function.tree, self.function.leaves))

    def prepare(self, x: Any, lengths: Any = None) -> Side:
        x = self.function.inputs(x, lengths)
        if self.method == "products":
            return x
        if self.method == "sketch":
            return sketch.features(self.function, x, self.key, self.directions)
        choice = self._choice(x)
        size = choose.block(self.function, x, choice, self.memory)
        run = lambda size: _prepare(self.function, x, choice) if size is None else Late(x, choice, size)  # noqa: E731
        return halving(run, size, _count(x))

    def tile(self, left: Side, right: Side) -> Float[Array, "n m ..."]:
        if self.method == "products":
            return products.rows(self.function, left, right)
        if self.method == "sketch":
            return sketch.estimate(left, right, self._kept)
        sides = (left, right)

        def run(size: int | None) -> Array:
            if size is None:
                return _tile(left, right)
            return late.tile(self.function, *(Late(side.inputs, side.choice, size) for side in sides))

        return halving(run, _block(*sides), max(_count(side.inputs) for side in sides))

    def square_side(self, side: Side) -> Float[Array, "n n ..."]:
        """The kernel of a prepared batch with itself; half of the work where it can be halved."""
        if not isinstance(side, (Prepared, Late)):
            return self.tile(side, side)
        late_ = lambda size: late.square(self.function, Late(side.inputs, side.choice, size))  # noqa: E731
        return halving(lambda size: _square(side) if size is None else late_(size), _block(side), _count(side.inputs))

    def diag_side(self, side: Side) -> Float[Array, "n ..."]:
        if self.method == "products":
            return products.diagonal(self.function, side)
        if self.method == "sketch":
            return sketch.diagonal(side, self._kept)
        return late.diagonal(self.function, side) if isinstance(side, Late) else _own(side)

    def trace(self, x: Any, lengths: Any = None) -> Float[Array, "..."]:
        """The trace of K(x, x), without K: a number, (o,) for "diagonal", the sum over outputs too for "full"."""
        values = self.diag(x, lengths)
        if self.outputs == "full":
            values = jnp.trace(values, axis1=1, axis2=2)
        return jnp.sum(values, axis=0)

    def mv(self, x: Any, v: Any, x2: Any = None, *, lengths: Any = None, lengths2: Any = None) -> Float[Array, "n ..."]:
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
        self, x: Any, x2: Any = None, *, lengths: Any = None, lengths2: Any = None
    ) -> dict[str, Float[Array, "n m ..."]]:
        """The kernel as a sum over leaves of the parameters: {path: its part}, by structure or Jacobian.

        Leaves of which the computation sees only one part, such as matrices that f puts together, stand apart as well.
        """
        left = self.function.inputs(x, lengths)
        choice = self._choice(left, join=False)
        mine = _prepare(self.function, left, choice)
        theirs = None if x2 is None else _prepare(self.function, self.function.inputs(x2, lengths2, "x2"), choice)
        parts = _terms(mine, theirs)
        return {self.function.names[k]: parts[(k,)] for (k,) in sorted(parts)}

    def plan(self, x: Any, lengths: Any = None) -> Plan:
        """What is done with each leaf for these inputs, and why, with predicted time and memory; print it."""
        x = self.function.inputs(x, lengths)
        return plan(self.function, x, self._choice(x), self.method, self.memory, self.directions)

    @property
    def estimated(self) -> str:
        sampled = "a sampling error, right but for probability 1e-6; rounding was not looked at"
        return sampled if self.method == "sketch" else "measured at every example in another precision, not proved"

    def entry_rounding(self, side: Side) -> float:
        """Estimate of |computed - exact| / sqrt(K_ii K_jj), see `empirical.rounding`, `sketch.entry_error`."""
        if self.method == "sketch":
            return sketch.entry_error(side, self._kept)
        if self.method == "products":
            return measured(self.function, side, choose.choose(self.function, side, "jacobian"), structure.examine)
        find = partial(structure.examine, beside=not self.orders)
        return measured(self.function, side.inputs, side.choice, find, side)

    by_token = False

    def scales(self) -> list[Any]:
        return []  # parameters are as small as training makes them

    def kept(self, side: Side) -> Side:
        return Late(side.inputs, side.choice, min(32, _count(side.inputs))) if isinstance(side, Prepared) else side

    def standard_error(self, left: Side, right: Side) -> Float[Array, "n m ..."] | None:
        return sketch.standard_error(left, right, self._kept) if self.method == "sketch" else None

    def check_pair(self, left: Side, right: Side) -> None:
        left, right = (getattr(side, "inputs", side) for side in (left, right))
        super().check_pair(left, right)
        one, two = ([str(leaf.dtype) for leaf in jax.tree.leaves(side)] for side in (left, right))
        if one != two:
            raise ValueError(f"x1 and x2 must have the same dtypes; got {one} and {two}. Cast one of them.")

    def tile_rows(self, side: Side) -> int:
        return ONE_PIECE

    @property
    def _kept(self) -> str:
        return str(self.outputs) if self.outputs in ("full", "diagonal") else "trace"

    def _choice(self, x: Any, join: bool = True) -> Choice:
        return self._chosen(self.function, x, join)

    def _chosen(self, function: Function, x: Any, join: bool = True) -> Choice:
        method = self.method if self.method in ("structured", "jacobian") else "auto"
        return choose.choose(function, x, method, self.orders, join)


def _name(f: Any) -> str:
    """A function in a word or two."""
    while hasattr(f, "func"):  # functools.partial
        f = f.func
    name = getattr(f, "__qualname__", None)
    return f"{name.replace('<locals>.', '')}" if isinstance(name, str) else type(f).__name__


def _block(*sides: Prepared | Late) -> int | None:
    """Examples held at once: the fewest that a side asks for."""
    return min((side.block for side in sides if isinstance(side, Late)), default=None)


def _count(x: Any) -> int:
    return jax.tree.leaves(x)[0].shape[0]


@partial(jax.jit, static_argnames="choice")
def _prepare(function: Function, x: Any, choice: Choice) -> Prepared:
    return structure.prepare(function, x, choice)


@jax.jit
def _tile(left: Prepared, right: Prepared) -> Array:
    return structure.total(left, right)


@jax.jit
def _square(side: Prepared) -> Array:
    return structure.total(side, None)


@jax.jit
def _terms(left: Prepared, right: Prepared | None) -> dict[tuple[int, ...], Array]:
    return structure.terms(left, right)


@jax.jit
def _own(side: Prepared) -> Array:
    return late.own(side)
