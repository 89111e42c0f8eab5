"""Where does a model look? The attention matrices inside any function f(params, x), without editing the model."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
from jaxtyping import Array

from ntkseq import _display
from ntkseq._types import AnyFunction, PyTree, Text
from ntkseq.empirical.attention_sites import Run, Site
from ntkseq.empirical.trace import trace


@dataclasses.dataclass(frozen=True)
class AttentionWeights:
    """attention(params, x) -> the attention matrices of f for one example, one array (..., queries, keys) per layer.

    Made by `attention_weights`. Two of the same f and tag are equal and share their compiled programs.

    Attributes:
        f: the network.
        tag: what its attention matrices are tagged with.
    """

    f: Callable[..., Any]
    tag: str

    __repr__ = _display.record

    def __call__(self, params: PyTree, *x: Any) -> tuple[Array, ...]:
        """The matrices in the order in which f makes them; layers in a `lax.scan` are one array, stacked in front.

        Axes of length 1 in front of a matrix, such as a batch axis of a model that wants one, are dropped.

        Args:
            params: of f.
            *x: one example; whatever f takes behind the parameters.

        Raises:
            ValueError: f has no attention that can be seen.
        """
        return self.with_output(params, *x)[1]

    def with_output(self, params: PyTree, *x: Any) -> tuple[Any, tuple[Array, ...]]:
        """f(params, *x) and the matrices, from one run."""
        found, out = self._run(params, x)
        return out, tuple(array for _, array in found)

    def sites(self, params: PyTree, *x: Any) -> tuple[Site, ...]:
        """What was found where, without computing anything."""
        told: list[Site] = []

        def look(*arguments: Any) -> Any:
            found, _ = self._run(arguments[0], arguments[1:])
            told[:] = [site for site, _ in found]
            return [array for _, array in found]

        jax.eval_shape(look, params, *x)
        return tuple(told)

    def _run(self, params: PyTree, x: tuple[Any, ...]) -> tuple[list[tuple[Site, Array]], Any]:
        leaves, tree = jax.tree.flatten((params, x))
        out_tree: list[Any] = []

        def flat(*values: Any) -> list[Any]:
            params, x = jax.tree.unflatten(tree, values)
            out, shape = jax.tree.flatten(self.f(params, *x))
            out_tree[:] = [shape]
            return out

        traced = trace(flat, *leaves)
        run = Run(self.tag)
        found, out = run.run(traced, list(leaves))
        named = [pair for pair in found if pair[0].tagged]
        if hidden := [text for text, tagged in run.hidden if tagged or not named]:
            raise ValueError(
                f"f has attention that cannot be handed out: {'; '.join(dict.fromkeys(hidden))}. Take it out of there, "
                "make matrices of one shape in every branch, or mark those that you want, elsewhere in f: "
                f'A = checkpoint_name(A, "{self.tag}").'
            )
        if not found:
            raise ValueError(
                "no attention matrix was found in f: no values that are divided by their own sum and then multiplied "
                "with values along that axis. Mark the matrices in your model: "
                f'A = checkpoint_name(A, "{self.tag}"), from jax.ad_checkpoint import checkpoint_name.'
            )
        found = named or found  # whoever marks matrices says which they are
        return found, jax.tree.unflatten(out_tree[0], out)


def attention_weights(f: AnyFunction, *, tag: Text = "attention") -> AttentionWeights:
    """The function (params, x) -> attention matrices of a model, read off its equations.

    Nothing in the model changes. An attention matrix is what is divided by its own sum and then contracted with other
    values along that axis: a softmax, or the exponential of a log-softmax, with masks, dropout and casts on the way,
    in a `vmap`, a `scan` or a rematerialised block. Where you normalise otherwise, or not at all (linear or relu
    attention), or where a softmax of another kind is taken for attention, mark the matrices (..., queries, keys)
    yourself, by a tag that JAX carries along and that costs nothing:

        from jax.ad_checkpoint import checkpoint_name
        A = checkpoint_name(A, "attention")

    If one matrix is marked, only marked ones are returned.

    Args:
        f: f(params, x) for one example, as `empirical.NTK` takes it; for flax and equinox what `interop.flax.function`
            and `interop.equinox.function` return. Dropout must be off, or the matrices are those behind it.
        tag: the name that marks matrices.

    Returns:
        AttentionWeights: a function for `training.AttentionRankProbe` and `spectra.attention_ranks`, to be called,
        jitted and vmapped.

    Raises:
        ValueError: f is not callable; when called, no attention was found, or some stands where its matrices cannot be
            handed out: in some branches of a conditional only, or of other shapes than in the rest; in a while loop, a
            shard_map, a fused kernel. Of a conditional with like matrices in all branches, those of the branch that
            ran are returned.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ntkseq import empirical
        >>> def f(params, x):  # x (t, d)
        ...     A = jax.nn.softmax(x @ params @ x.T)
        ...     return (A @ x).mean(0)
        >>> x = jax.random.normal(jax.random.key(0), (5, 3))
        >>> (A,) = empirical.attention_weights(f)(jnp.eye(3), x)
        >>> A.shape, A.sum(1).round(3).tolist()
        ((5, 5), [1.0, 1.0, 1.0, 1.0, 1.0])
    """
    if not callable(f):
        raise ValueError(f"f must be a function f(params, x); got {type(f).__name__}.")
    if not isinstance(tag, str) or not tag:
        raise ValueError(f"tag must be a name; got {tag!r}.")
    return AttentionWeights(f, tag)
