"""How does the effective rank of attention matrices change while a network trains?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ntkseq._calls import takes_length
from ntkseq._struct import fill, static, struct
from ntkseq._types import PyTree
from ntkseq.empirical.randomness import traced_shape
from ntkseq.spectra import effective_ranks
from ntkseq.spectra.attention import inside
from ntkseq.spectra.ranks import EffectiveRank
from ntkseq.spectra.ranks.short import as_ranks, several
from ntkseq.training.probes import Probe, beside, check_every, check_examples, check_name

KINDS = ("entropy", "stable", "participation")


@struct
class AttentionRankProbe(Probe):
    """Effective ranks of the attention matrices of a network on n probe examples.

    Columns, for each kind asked for, KIND its short name or `rank.name`: `rank_KIND`, the mean over the probe examples,
    one number per layer and head (or of whatever shape stands before the matrices), `rank_KIND_spread`, its standard
    deviation over examples, and `rank_KIND_error`, spread over sqrt(n): the standard error of the mean if the examples
    are a sample.

    Args:
        attention: attention(params, x) -> (..., rows, columns) for one example, such as (layers, heads, t, t), or a
            tuple of arrays of one shape, one per layer, such as `models.Serial.attention_weights`;
            attention(params, state, x) where tracking began with a state.
        x: n probe examples along the first axis.
        lengths: of the sequences, (n,), as for `spectra.attention_ranks`: a length goes to attention where it takes one
            behind x, and rows and columns behind it do not count.
        every: period in steps, or the steps.
        kinds: definitions of effective rank, objects of `spectra.ranks`, your own, or short names.
        name: of the table.

    Raises:
        ValueError: no examples, unknown kinds; matrices that are none.

    Reference: dhingra2025 for the question; the definitions are those of `spectra.effective_rank`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ntkseq import models, training
        >>> from ntkseq.blocks import Attention, Linear
        >>> net = models.Serial(Linear(), Attention(scaling="root"), width=16, heads=2)
        >>> x = jax.random.normal(jax.random.key(0), (3, 5, 2))
        >>> probe = training.AttentionRankProbe(net.attention_weights, x)
        >>> history = training.track([probe], net.init(jax.random.key(1), x[0]))
        >>> table = history["attention"]
        >>> table["rank_entropy"].shape
        (1, 1, 2)
    """

    attention: Any = static()
    x: Any
    lengths: Any = None
    every: Any = static(default=100)
    kinds: str | EffectiveRank | Sequence[str | EffectiveRank] = static(default=KINDS)
    name: str = static(default="attention")

    kind = "attention"

    def __post_init__(self) -> None:
        fill(self, every=check_every(self.every))
        check_name(self.name)
        if not callable(self.attention):
            raise ValueError(
                f"attention must be a function (params, x) -> matrices; got {type(self.attention).__name__}."
            )
        as_ranks(self.kinds, "kinds")
        fill(self, kinds=several(self.kinds))
        x, _, lengths = check_examples("x", self.x, self.lengths)
        fill(self, x=x, lengths=lengths)

    def about(self) -> dict[str, Any]:
        return super().about() | {
            "n": jax.tree.leaves(self.x)[0].shape[0],
            "kinds": list(as_ranks(self.kinds, "kinds")),
        }

    def start(self, params: PyTree, state: PyTree = None) -> PyTree:
        """Nothing; but that the attention draws nothing is seen here."""
        one = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), self._inputs(state))
        traced_shape(self.attention, (params, *beside(state)), one)
        return ()

    def measure(self, params: PyTree, start: PyTree, state: PyTree = None) -> dict[str, tuple[Array, Array]]:
        named = as_ranks(self.kinds, "kinds")

        def one(example: tuple[tuple[Any, ...], Any]) -> tuple[Array, ...]:
            inputs, length = example
            matrices = _matrices(self.attention(params, *beside(state), *inputs))
            seen = None if length is None else inside(matrices, length)
            return tuple(effective_ranks(matrices, rank, seen=seen) for rank in named.values())

        # one example at a time: the matrices of all of them would be n times as many numbers
        ranks = jax.lax.map(one, (self._inputs(state), self.lengths))
        return {kind: (jnp.mean(r, axis=0), jnp.std(r, axis=0)) for kind, r in zip(named, ranks, strict=True)}

    def _inputs(self, state: PyTree) -> tuple[Any, ...]:
        """What attention is called with behind the parameters and the state, for all examples."""
        takes = self.lengths is not None and takes_length(self.attention, 2 + len(beside(state)))
        return (self.x, self.lengths) if takes else (self.x,)

    def reduce(self, measured: PyTree, memory: PyTree) -> dict[str, Any]:
        n = jax.tree.leaves(self.x)[0].shape[0]
        row = {}
        for kind, (mean, spread) in measured.items():
            spread = np.asarray(spread, np.float64) * (math.sqrt(n / (n - 1)) if n > 1 else math.nan)
            row |= {f"rank_{kind}": mean, f"rank_{kind}_spread": spread, f"rank_{kind}_error": spread / math.sqrt(n)}
        return row


def _matrices(found: PyTree) -> Array:
    """One array (..., rows, columns)."""
    if isinstance(found, (tuple, list)):
        shapes = {getattr(part, "shape", None) for part in found}
        if len(shapes) != 1:
            raise ValueError(
                "attention must return one array, or arrays of one shape, one per layer; got shapes "
                f"{sorted(map(str, shapes))}. Track layers of different shapes with a probe each."
            )
        found = jnp.stack(list(found))
    if getattr(found, "ndim", 0) < 2:
        raise ValueError(
            f"attention must return matrices, shape (..., rows, columns), for one example; got "
            f"{getattr(found, 'shape', type(found).__name__)}."
        )
    return found
