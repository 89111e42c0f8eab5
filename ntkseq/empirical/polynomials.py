"""What is a network to first or second order in the change of its parameters? Its Taylor polynomial at params.

    f(theta_0, x) + J(x) (theta - theta_0)  [ + 1/2 (theta - theta_0)^T H(x) (theta - theta_0) ]

The network in the kernel regime is the first: trained on the squared error, it follows the flow of its tangent kernel
exactly, and this kernel is at every theta that of f at theta_0.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkseq import _checks, _keys
from ntkseq._struct import static, struct
from ntkseq._types import AnyFunction, Lengths, Number, PyTree, Trainable
from ntkseq.empirical.function import Function, function
from ntkseq.empirical.lookups import agreed


@struct
class Taylor:
    """The Taylor polynomial of f(params, x) at `params`; like f a function of parameters and one example.

    `at(params2, x)` is (o,), and `at.batch(params2, x)` is (n, o), with one forward pass for all examples. Both are
    pure and differentiable in params2; in the tangents params2 - params only trained leaves count, all other leaves
    stay at `params`.

    Attributes:
        function: f with its parameters, as `taylor` made it.
        degree: of the polynomial.

    Reference: lee2019wide (the linearized network).
    """

    function: Function
    degree: int = static(default=1)

    @property
    def params(self) -> PyTree:
        """The parameters at which the polynomial is taken."""
        return _keys.made_again(jax.tree.unflatten(self.function.tree, self.function.leaves))

    def __call__(self, params: PyTree, x: PyTree, length: Number | None = None) -> Float[Array, " o"]:
        """The outputs for one example.

        Args:
            params: like those of the expansion.
            x: one example.
            length: of a sequence, where f takes one.

        Raises:
            ValueError: params that are not like those of the expansion, an example that f does not take.
        """
        one = jax.tree.map(lambda leaf: leaf[None], _checks.leaves("x", x))
        lengths = None if length is None else jnp.asarray(length)[None]
        return self.batch(params, one, lengths)[0]

    def batch(self, params: PyTree, x: PyTree, lengths: Lengths = None) -> Float[Array, "n o"]:
        """The outputs for n examples along the first axis of x.

        Args:
            params: like those of the expansion.
            x: n examples.
            lengths: of sequences, (n,), where f takes them.

        Raises:
            ValueError: params that are not like those of the expansion, examples that f does not take.
        """
        return _polynomial(self.function, self._trained(params), self.function.inputs(x, lengths), self.degree)

    def _trained(self, params: PyTree) -> list[Array]:
        """The trained leaves of params, if params are like those of the expansion."""
        leaves, tree = jax.tree.flatten(params)
        if tree != self.function.tree:
            raise ValueError(
                f"params must have the structure of the parameters of the expansion, {self.function.tree}; got {tree}. "
                "Start from `.params`."
            )
        chosen = []
        for i, name in zip(self.function.trained, self.function.names, strict=True):
            own, leaf = self.function.leaves[i], leaves[i]
            if np.shape(leaf) != own.shape or jnp.result_type(leaf) != own.dtype:
                raise ValueError(
                    f"params at {name} must have shape {own.shape} and dtype {own.dtype}, as in the expansion; got "
                    f"{np.shape(leaf)} and {jnp.result_type(leaf)}."
                )
            chosen.append(jnp.asarray(leaf))
        return chosen


def taylor(f: AnyFunction, params: PyTree, degree: int = 1, *, trainable: Trainable = None) -> Taylor:
    """The Taylor polynomial of f at params, of degree 1 or 2.

    Costs a forward pass in forward mode, nested once for degree 2; no Jacobian or Hessian is formed.

    Args:
        f: f(params, x) -> (o,) for one example; a pure function of JAX.
        params: any pytree of arrays. Integer leaves are constants.
        degree: 1, the network in the kernel regime; 2, the first correction to it.
        trainable: which leaves count, as in `empirical.NTK`; None: all floating leaves.

    Raises:
        ValueError: f is no function, params hold nothing to train or NaN, another degree.

    Reference: lee2019wide (the linearized network).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ntkseq import _keys, models
        >>> from ntkseq.empirical import taylor
        >>> net = models.Dense(width=32, activation="tanh")
        >>> x = jnp.ones((5, 3))
        >>> params = net.init(jax.random.key(0), x[0])
        >>> moved = jax.tree.map(lambda leaf: leaf + 0.1, params)
        >>> second = taylor(net.apply, params, degree=2)
        >>> second(moved, x[0]).shape, second.batch(moved, x).shape
        ((1,), (5, 1))
    """
    if not isinstance(degree, int) or isinstance(degree, bool) or degree not in (1, 2):
        raise ValueError(f"degree must be 1 or 2; got {_checks.shown(degree)}.")
    return Taylor(function(f, params, trainable), int(degree))


def linearize(f: AnyFunction, params: PyTree, *, trainable: Trainable = None) -> Taylor:
    """The network f linearized in its parameters at params: `taylor` of degree 1.

    Args:
        f, params, trainable: as for `taylor`.

    Raises:
        ValueError: as `taylor`.

    Reference: lee2019wide (the linearized network).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ntkseq.empirical import linearize
        >>> f = lambda params, x: jnp.tanh(x @ params)[None]
        >>> linear = linearize(f, jnp.zeros(3))
        >>> print(linear(jnp.array([1.0, 2.0, 3.0]), jnp.ones(3)))
        [6.]
    """
    return taylor(f, params, trainable=trainable)


@partial(jax.jit, static_argnames="degree")
def _polynomial(function: Function, weights: list[Array], x: PyTree, degree: int) -> Array:
    start = function.weights
    moved = [weight - own for weight, own in zip(weights, start, strict=True)]

    def value(at: list[Array]) -> Array:
        return agreed(lambda at: jax.vmap(lambda one: function.outputs_at(at, one))(x), at)

    def slope(at: list[Array]) -> tuple[Array, Array]:
        return jax.jvp(value, (at,), (moved,))

    if degree == 1:
        out, first = slope(start)
        return out + first
    (out, first), (_, second) = jax.jvp(slope, (start,), (moved,))
    return out + first + second / 2
