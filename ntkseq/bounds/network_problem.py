"""Which networks and which examples is a certificate made of? What `bounds.network` is given, checked and counted."""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ntkseq import _checks
from ntkseq._types import ArrayLike, Inputs, Key, Lengths, PyTree
from ntkseq.bounds import network_inputs as given
from ntkseq.bounds.network_draws import shares, wrong
from ntkseq.bounds.network_posterior import NetworkPosterior, flattened
from ntkseq.empirical.function import Function


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
    """The networks and the examples.

    Attributes:
        start, paths: f at w0, and at every w.
        x, y: all examples, as f takes them, and their labels.
        before: what is subtracted from the answers of f: f(w0, x), or zero.
        classes: of which an answer is one.
        centred: whether it is f(w0, x).
        paying: the examples that pay.
        seen_known: whether it is known which do not.
        copies: how many of those that pay repeat another example.
        errors: of the networks at every w, on the examples that pay.
    """

    start: Function
    paths: list[Function]
    x: PyTree
    y: Int[Array, " n"]
    before: Float[Array, "n o"]
    classes: int
    centred: bool
    paying: Int[np.ndarray, " k"]
    seen_known: bool
    copies: int
    errors: tuple[float, ...]

    @property
    def n(self) -> int:
        """The number of examples that pay."""
        return len(self.paying)

    def losses(
        self, posterior: NetworkPosterior, keys: Key, which: Int[np.ndarray, " k"]
    ) -> tuple[Float[np.ndarray, " m"], int]:
        """The share of `which` that each draw gets wrong, and how many of its answers were no numbers."""
        function = posterior.function
        x = jax.tree.map(lambda leaf: leaf[which], self.x)
        law = (flattened(function.weights), posterior.roots, posterior.rows, posterior.shrink_of)
        return shares(function, law, keys, x, self.y[which], self.before[which])


def problem(
    start: Function, paths: list[Function], x: Inputs, y: ArrayLike, lengths: Lengths, seen: ArrayLike | None,
    centred: bool,
) -> Problem:  # fmt: skip
    """Check the examples against the networks, and count.

    Raises:
        ValueError: x, y, lengths or seen that do not fit, answers that are not finite.
    """
    for leaf in jax.tree.leaves(x):
        _checks.outside("x", leaf, "")
    inputs = start.inputs(x, lengths)
    n, outputs = len(jax.tree.leaves(inputs)[0]), start.width(inputs)
    labels, left = given.labels(y, n, outputs), given.unseen(seen, n)
    values = [function.values(inputs) for function in (start, *paths)]
    for name, out in zip(("w0", *("w",) * len(paths)), values, strict=True):
        if (bad := ~np.isfinite(np.asarray(out)).all(axis=1)).any():
            first = int(np.flatnonzero(bad)[0])
            raise ValueError(
                f"f at {name} must answer with finite numbers; got {int(bad.sum())} answers of {n} that are not, the "
                f"first for x[{first}]. Look at f({name}, x[{first}])."
            )
    before = values[0] if centred else jnp.zeros_like(values[0])
    classes = jnp.asarray(labels)
    missed = [np.asarray(wrong(value - before, classes))[left] for value in values[1:]]
    return Problem(
        start,
        paths,
        inputs,
        classes,
        before,
        max(2, outputs),
        centred,
        left,
        seen is not None,
        given.copies(inputs, labels, left),
        tuple(float(one.mean()) if len(left) else math.nan for one in missed),
    )
