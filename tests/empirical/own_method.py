"""What does a method look like that is not the library's?"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from ntkseq.empirical import Method
from ntkseq.empirical.function import Function

PAIRS = {"mean": "nop,mop->nm", "diagonal": "nop,mop->nmo", "full": "nop,mqp->nmoq"}


@dataclasses.dataclass(frozen=True)
class Gradients(Method):
    """One gradient per example and output, times what an array says of each. It has `prepare` and `tile`."""

    leaves: ClassVar[tuple[str, ...]] = ("scale",)

    scale: Any = np.float32(1.0)
    precision: str = "highest"

    def prepare(self, function: Function, x: Any) -> Any:
        def one(example: Any) -> jax.Array:
            rows = jax.jacrev(lambda weights: function.outputs_at(weights, example))(function.weights)
            roots = [function.root(k) for k in range(len(rows))]
            rows = [row if root is None else row * root for row, root in zip(rows, roots, strict=True)]
            return self.scale * jnp.concatenate([row.reshape(len(row), -1) for row in rows], axis=1)

        return jax.vmap(one)(x)

    def tile(self, function: Function, left: Any, right: Any) -> jax.Array:
        value = jnp.einsum(PAIRS[function.kept], left, right, precision=self.precision)
        return value / left.shape[1] if function.kept == "mean" else value
