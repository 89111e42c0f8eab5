"""Tangent kernels of the steps that optimisers make: the diagonal that Adam puts between gradients, and their signs."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkseq import _checks, _keys, _memory
from ntkseq._precision import eps, product, wide
from ntkseq._struct import fill, replace, static, struct
from ntkseq._types import AnyFunction, Lengths, PyTree, Trainable
from ntkseq.empirical import products
from ntkseq.empirical.function import Function, function
from ntkseq.empirical.versions import moved

DRAWS = 4
"""How often everything is moved by a rounding."""
SAFETY = 8.0
"""What a measured rounding is multiplied by, as for the kernel of SGD."""


def preconditioner(
    state: PyTree, params: PyTree, *, b2: float = 0.999, eps: float = 1e-8, eps_root: float = 0.0
) -> PyTree:
    """The diagonal by which Adam multiplies a gradient, from the state of the optimiser; for `empirical.NTK(rates=)`.

        P = 1 / (sqrt(v / (1 - b2^count) + eps_root) + eps)             v: running mean of the squared gradients

    With P held, K = J P J' is the kernel of Adam's step: one with learning rate lr and b1 = 0 moves f at x by
    -lr sum_i K(x, x_i) dl/df(x_i) (finetuning.5). P is that of the next step as far as a step leaves v as it is; after
    the first step it is the one by which that step was made, 1 / |gradient|. Weight decay, as of adamw, and momenta of
    earlier batches are parts of a step in which no batch has a share, see `first_order_change`.

    Args:
        state: of `optax.adam`, `adamw` or `nadam`, as it stands or within chains; other optimisers that hold a second
            moment `nu` (adamax, amsgrad) divide by something else.
        params: the parameters. Leaves that the optimiser masks out have P = 0, and do not count.
        b2, eps, eps_root: options of the optimiser that its state does not hold; those of optax by default.

    Returns:
        A pytree like params, in the dtype of the second moment.

    Raises:
        ValueError: no state or several states of Adam, parameters of another form, a state before the first step.

    Reference: kingma2015adam; the kernel is derived.

    Example:
        >>> import jax, jax.numpy as jnp, optax
        >>> from ntkseq import empirical
        >>> f = lambda W, x: jnp.tanh(W @ x)
        >>> W, optimizer = jnp.array([[0.1, 0.2]]), optax.adam(1e-3)
        >>> _, state = optimizer.update(jnp.array([[2.0, 0.5]]), optimizer.init(W), W)
        >>> P = empirical.preconditioner(state, W)
        >>> P.round(4).tolist()
        [[0.5, 2.0]]
        >>> empirical.NTK(f, W, rates=P)(jnp.eye(2)).shape
        (2, 2)
    """
    b2 = _checks.number("b2", b2)
    if not 0 <= b2 < 1:
        raise ValueError(f"b2 must lie in [0, 1), as of the optimiser; got {b2:g}.")
    eps, root = _checks.nonnegative("eps", eps), _checks.nonnegative("eps_root", eps_root)
    found = [one for one in jax.tree.leaves(state, is_leaf=_is_adam) if _is_adam(one)]
    if len(found) != 1:
        raise ValueError(
            f"state must hold the state of one Adam of optax; got {len(found)} in {type(state).__name__}. Pass "
            "what optimizer.init or optimizer.update returned; of several, one part each."
        )
    count = int(found[0].count)
    if count < 1:
        raise ValueError("state must have seen a gradient; got one before the first step, whose second moment is 0.")
    scale = 1.0 - b2**count
    import optax

    masked = lambda leaf: isinstance(leaf, optax.MaskedNode)  # noqa: E731
    shapes = jax.tree.structure(jax.tree.map(lambda _: 0, found[0].nu, is_leaf=masked))
    if shapes != jax.tree.structure(params):
        raise ValueError(
            f"params must have the structure of the second moment, {shapes}; got {jax.tree.structure(params)}."
        )

    def one(moment: Any, leaf: Any) -> Array:
        if masked(moment):
            return jnp.zeros(())
        if moment.shape != np.shape(leaf):
            raise ValueError(
                f"params must have the shapes of the second moment; got {np.shape(leaf)} for {moment.shape}."
            )
        held = moment.astype(wide(moment.dtype))
        divisor = jnp.sqrt(held / scale + root) + eps
        return jnp.where(divisor > 0, 1.0 / jnp.where(divisor > 0, divisor, 1.0), 0.0)

    return jax.tree.map(one, found[0].nu, params, is_leaf=masked)


def _is_adam(part: object) -> bool:
    import optax  # late: a fifth of a second that few need

    return isinstance(part, optax.ScaleByAdamState)


def first_order_change(
    f: AnyFunction,
    params: PyTree,
    updates: PyTree,
    x: PyTree,
    *,
    lengths: Lengths = None,
    trainable: Trainable = None,
) -> Float[Array, "n o"]:
    """What a step does to the outputs to first order, J(x) u, for any optimiser and without a Jacobian.

        f(params + u, x) - f(params, x) = J(x) u + O(|u|^2)

    Args:
        f: f(params, x) -> (o,) of one example.
        params: the parameters before the step.
        updates: u, what an optimiser of optax returned: what is added to params.
        x: n examples.
        lengths: of sequences.
        trainable: which leaves count, as for `empirical.NTK`; updates of others are left out.

    Raises:
        ValueError: updates that are not like params, what `empirical.NTK` does not take.

    Reference: malladi2023kernel, section 3.

    Example:
        >>> import jax.numpy as jnp
        >>> from ntkseq import empirical
        >>> f = lambda W, x: W @ x
        >>> print(empirical.first_order_change(f, jnp.ones((1, 2)), jnp.array([[0.5, -0.5]]), jnp.eye(2)).ravel())
        [ 0.5 -0.5]
    """
    made = function(f, params, trainable)
    inputs = made.inputs(x, lengths)
    u = made.at(updates, "updates").weights  # one reading of structure, shapes and numbers for both
    return _pushed(made, inputs, u)


@jax.jit
def _pushed(function: Function, x: PyTree, updates: list[Array]) -> Array:
    n = jax.tree.leaves(x)[0].shape[0]
    pushed = jax.lax.map(lambda some: products.forward(function, some)(updates), products.split(x, products.BATCH))
    return products.join(pushed, n)


@struct
class SignGDKernel:
    """The kernel of a step by the signs of the gradient (SignGD), which Adam's first step is: asymmetric.

        K(x, x')[o, q] = <d f(x)_o / d theta, sign(d f(x')_q / d theta)>

    x is where the outputs are looked at, x' is what was learned: a step on x' with learning rate lr moves f of one
    output at x by -lr sign(dl/df) K(x, x'), whatever the size of the gradient (finetuning.3). A step on a batch goes by
    the signs of the summed gradient, which no kernel of pairs gives: `first_order_change` does. K(x, x) is the 1-norm
    of the gradient. K is not symmetric, hence no `Kernel`; `symmetric` is its relative with signs on both sides.

    Signs need the gradients themselves: n p numbers, in blocks where they exceed `memory`. A coordinate whose gradient
    vanishes but for rounding has the sign of its rounding, here as in the optimiser; `rounding` says what that does.

    Args:
        f: f(params, x) -> (o,) of one example.
        params: any pytree of arrays.
        outputs: "mean", "full", "diagonal", "pseudo" or an index, as for `empirical.NTK`; the signs are those of each
            output by itself.
        trainable: which leaves count, as for `empirical.NTK`.
        memory: bytes for gradients; None: a quarter of what is free.

    Raises:
        ValueError: what `empirical.NTK` does not take, memory below 1.

    Reference: malladi2023kernel (SignGD and asymmetric SignGD kernels).

    Example:
        >>> import jax.numpy as jnp
        >>> from ntkseq import empirical
        >>> kernel = empirical.SignGDKernel(lambda W, x: W @ x, jnp.zeros((1, 2)))
        >>> x = jnp.array([[3.0, -1.0], [0.5, 0.5]])
        >>> kernel(x).tolist(), kernel.symmetric(x).tolist()
        ([[4.0, 2.0], [0.0, 1.0]], [[2.0, 0.0], [0.0, 2.0]])
    """

    function: Function
    memory: int | None = static()

    def __init__(
        self,
        f: AnyFunction,
        params: PyTree,
        *,
        outputs: str | int = "mean",
        trainable: Trainable = None,
        memory: int | None = None,
    ) -> None:
        memory = None if memory is None else _checks.positive_int("memory", memory)
        fill(self, function=function(f, params, trainable, None, outputs), memory=memory)

    @property
    def params(self) -> PyTree:
        """The parameters at which the kernel is taken."""
        return _keys.made_again(jax.tree.unflatten(self.function.tree, self.function.leaves))

    def __call__(
        self, x: PyTree, x2: PyTree = None, *, lengths: Lengths = None, lengths2: Lengths = None
    ) -> Float[Array, "n m ..."]:
        """K(x, x2): outputs at x, steps on x2; `x2=None`: x.

        Args:
            x, x2: n and m examples.
            lengths, lengths2: of sequences.
        """
        return _tiles(self.function, self.memory, *self._inputs(x, x2, lengths, lengths2), both=False)

    def symmetric(
        self, x: PyTree, x2: PyTree = None, *, lengths: Lengths = None, lengths2: Lengths = None
    ) -> Float[Array, "n m ..."]:
        """The SignGD kernel, <sign(d f(x) / d theta), sign(d f(x2) / d theta)>: positive semi-definite.

        Args:
            x, x2: n and m examples.
            lengths, lengths2: of sequences.
        """
        return _tiles(self.function, self.memory, *self._inputs(x, x2, lengths, lengths2), both=True)

    def rounding(
        self, x: PyTree, x2: PyTree = None, *, lengths: Lengths = None, lengths2: Lengths = None
    ) -> Float[np.ndarray, "n m ..."]:
        """How far rounding, with the signs that it turns, may have moved each entry of K(x, x2): an estimate.

        8 times the change when parameters and inputs are moved by a rounding each, four times, relative to |J(x)|_1 and
        the largest of an example's row and column: measured, not proved, at the cost of four more kernels.

        Args:
            x, x2: n and m examples.
            lengths, lengths2: of sequences.

        Raises:
            ValueError: what the kernel refuses; traced inputs or parameters.
        """
        inputs = self._inputs(x, x2, lengths, lengths2)
        if not all(map(_checks.is_concrete, jax.tree.leaves((self.function, inputs)))):
            raise ValueError("x and x2 must be numbers where rounding is measured; got a tracer. Call it outside jit.")
        here = np.asarray(_tiles(self.function, self.memory, *inputs, both=False), np.float64)
        step = max(eps(weight.dtype) for weight in self.function.weights)
        size = np.asarray(_sizes(self.function, self.memory, inputs[0]), np.float64)
        size = size[:, None] if self.function.kept != "full" else size[:, None, :, None]
        change = np.zeros_like(here)
        for draw in range(DRAWS):
            near = replace(self.function, leaves=moved(self.function.leaves, step, draw))
            some = [moved(one, step, draw, whole=False) for one in inputs]
            there = np.asarray(_tiles(near, self.memory, *some, both=False), np.float64)
            change = np.maximum(change, np.abs(there - here))
        change = np.divide(change, size, out=np.zeros_like(change), where=size > 0)
        worst = np.maximum(change.max(axis=0, keepdims=True), change.max(axis=1, keepdims=True))
        return SAFETY * size * worst + 4.0 * step * np.abs(here)

    def _inputs(self, x: PyTree, x2: PyTree, lengths: Lengths, lengths2: Lengths) -> tuple[PyTree, PyTree]:
        left = self.function.inputs(x, lengths)
        return left, left if x2 is None else self.function.inputs(x2, lengths2, "x2")


def _tiles(function: Function, memory: int | None, left: PyTree, right: PyTree, *, both: bool) -> Array:
    """Block by block; the signs of x2 are held where they fit, and made again for every block of x if not."""
    m = jax.tree.leaves(right)[0].shape[0]
    size, held = _block(function, memory, left, m)
    kept = list(_signs(function, right, size)) if held else None
    rows = []
    for some, count in _cut(left, size):
        mine = _gradients(function, some)[:count]
        mine = jnp.sign(mine) if both else mine
        theirs = kept if kept is not None else _signs(function, right, size)
        rows.append(jnp.concatenate([_contracted(mine, signs, function.kept) for signs in theirs], axis=1))
    return jnp.concatenate(rows)


def _sizes(function: Function, memory: int | None, x: PyTree) -> Array:
    """|J(x)|_1 of each output, (n, o), or the mean over outputs, (n,)."""
    size, _ = _block(function, memory, x, jax.tree.leaves(x)[0].shape[0])
    sums = [jnp.sum(jnp.abs(_gradients(function, some)[:count]), axis=2) for some, count in _cut(x, size)]
    found = jnp.concatenate(sums)
    return jnp.mean(found, axis=1) if function.kept == "mean" else found


def _block(function: Function, memory: int | None, x: PyTree, m: int) -> tuple[int, bool]:
    """Examples of a block, and whether all signs of m examples are held beside it."""
    entries = sum(int(weight.size) for weight in function.weights) * function.width(x)
    one = entries * max(wide(weight.dtype).itemsize for weight in function.weights)
    memory = memory if memory is not None else _memory.available(jax.devices()[0]) // 4
    size = int(np.clip(memory // (4 * one), 1, 128))
    return min(size, m), (m + 3 * size) * one <= memory


def _cut(x: PyTree, size: int) -> Iterator[tuple[PyTree, int]]:
    """Blocks of one shape, and how many examples of each count: the last example fills up the last block."""
    n = jax.tree.leaves(x)[0].shape[0]
    for start in range(0, n, size):
        which = np.minimum(np.arange(start, start + size), n - 1)
        yield jax.tree.map(lambda leaf, which=which: leaf[which], x), min(size, n - start)


def _signs(function: Function, x: PyTree, size: int) -> Iterator[Array]:
    return (jnp.sign(_gradients(function, some))[:count] for some, count in _cut(x, size))


@jax.jit
def _gradients(function: Function, x: PyTree) -> Array:
    """(n, o, p): the rows of the Jacobian, in float32 at least."""
    kind = wide(*(weight.dtype for weight in function.weights))

    def one(example: PyTree) -> Array:
        with jax.default_matmul_precision("highest"):
            out, back = jax.vjp(lambda weights: function.outputs_at(weights, example), function.weights)
            (rows,) = jax.vmap(back)(jnp.eye(out.shape[0], dtype=out.dtype))
        return jnp.concatenate([row.reshape(out.shape[0], -1).astype(kind) for row in rows], axis=1)

    return jax.vmap(one)(x)


@partial(jax.jit, static_argnames="kept")
def _contracted(left: Array, right: Array, kept: str) -> Array:
    """(n, o, p) with (m, o, p): (n, m, o, o), (n, m, o) or (n, m)."""
    if kept == "full":
        return product("nop,mqp->nmoq", left, right)
    if kept == "diagonal":
        return product("nop,mop->nmo", left, right)
    return product("nop,mop->nm", left, right) / left.shape[1]
