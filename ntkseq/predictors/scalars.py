"""Which number is the loss of one example of, and how steep is the loss in it?"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkseq import _checks
from ntkseq._types import AnyFunction, PyTree


@dataclasses.dataclass(frozen=True)
class Scalar:
    """The number that the loss of one example is of, as a function of parameters and (x, label)."""

    f: AnyFunction

    def examples(self, name: str, given: Any) -> tuple[PyTree, np.ndarray]:
        """Examples and labels, checked as far as they can be without f."""
        if not isinstance(given, (tuple, list)) or len(given) != 2:
            raise ValueError(f"{name} must be a pair (x, y) of examples and labels; got {_checks.shown(given)}.")
        return given[0], self.labels(f"y of {name}", given[1])

    def labels(self, name: str, y: Any) -> np.ndarray:
        raise NotImplementedError

    def slope(self, s: Float[np.ndarray, " n"], y: np.ndarray) -> Float[np.ndarray, " n"]:
        """-d loss / d s."""
        raise NotImplementedError

    def check(self, name: str, params: PyTree, x: PyTree, y: np.ndarray) -> None:
        """That the labels fit what f puts out."""


class Margin(Scalar):
    """log p / (1 - p), p the probability of the label; its loss is log(1 + exp(-s))."""

    def __call__(self, params: PyTree, example: PyTree) -> Array:
        x, label = example
        out = self.f(params, x)
        if out.ndim == 1 and out.shape[0] == 1:  # one logit
            return out * label.astype(out.dtype)
        others = jnp.where(jnp.arange(out.shape[0], dtype=label.dtype) == label, -jnp.inf, out)
        return (out[label] - jax.nn.logsumexp(others))[None]  # (attribution.4)

    def labels(self, name: str, y: Any) -> np.ndarray:
        y = _checks.host(name, y)
        if y.ndim != 1 or y.dtype.kind not in "iuf" or not np.isfinite(y).all() or np.any(y != np.round(y)):
            raise ValueError(f"{name} must be whole numbers, one label per example; got {_checks.shown(y)}.")
        return y.astype(np.int32)

    def check(self, name: str, params: PyTree, x: PyTree, y: np.ndarray) -> None:
        one = jax.tree.map(lambda leaf: jnp.asarray(leaf)[0], x)
        (o,) = jax.eval_shape(self.f, params, one).shape
        odd = ~np.isin(y, (-1, 1)) if o == 1 else (y < 0) | (y >= o)
        if odd.any():
            wanted = "-1 or +1 for one logit" if o == 1 else f"in 0..{o - 1} for {o} logits"
            raise ValueError(f"y of {name} must be {wanted}; got {int(y[odd][0])}.")

    def slope(self, s: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.exp(-np.logaddexp(0.0, s))  # 1 - p


class Single(Scalar):
    """The one output itself; its loss is (y - s)^2 / 2."""

    def __call__(self, params: PyTree, example: PyTree) -> Array:
        out = self.f(params, example[0])
        if out.shape != (1,):
            raise ValueError(
                f'loss="squared" needs one output, (1,); f(params, x) has shape {out.shape}. Attribute one at a time.'
            )
        return out

    def labels(self, name: str, y: Any) -> np.ndarray:
        y = _checks.targets(name, y, len(_checks.host(name, y)) if np.ndim(y) else 0)
        if y.ndim != 1:
            raise ValueError(f"{name} must have one target per example, (n,); got shape {y.shape}.")
        return y

    def slope(self, s: np.ndarray, y: np.ndarray) -> np.ndarray:
        return y - s
