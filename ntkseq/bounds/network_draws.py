"""What share of the examples do drawn networks get wrong? Counted draw by draw, and the mean over all draws from it."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ntkseq._types import AnyArray, Key, PyTree
from ntkseq.bounds.network_posterior import drawn, unflattened
from ntkseq.empirical.function import Function

EPS = float(np.finfo(np.float64).eps)
STAKES = tuple(2.0**-k for k in range(9))
"""What is laid in each game of `mean_above`; 1 is for losses that hardly vary, 2^-8 for few hundred draws that do."""
_AT_ONCE = 16  # draws, whose products with the rows are made together


def mean_above(losses: Float[np.ndarray, " m"], log_price: float) -> float:
    """The largest mean that losses in [0, 1] of independent draws of one law leave possible, rounded upwards.

    With probability at least 1 - exp(-log_price) the mean q of the law is at most the largest q in [0, 1] with

        1/9 sum_k prod_j (1 + 2^-k (q - X_j)) <= exp(log_price),    k = 0..8.

    Each product has expectation 1 under the mean q, is not negative, and grows with q, so that this is Markov's
    inequality. No variance has to be known: of losses that hardly vary, the excess is about log_price/m, where the
    relative entropy says sqrt(2 q (1 - q) log_price/m).

    Reference: waudbysmith2024betting, for the idea; (pac_bayes_network.7).

    Example:
        >>> mean_above(np.full(1000, 0.1), math.log(100)) < 0.108
        True
    """
    stakes = np.asarray(STAKES)[:, None]

    def wealth(q: float) -> float:
        logs = np.log1p(stakes * (q - losses)[None])  # (k, m); -inf where all is lost: a loss of 1 against q = 0
        sums = logs.sum(axis=1) - 4 * EPS * (len(losses) + 8) * (np.abs(logs).sum(axis=1) + 1)
        most = float(sums.max())
        return most + math.log(float(np.mean(np.exp(sums - most)))) - 16 * EPS * (1 + abs(most))

    low, high = float(np.mean(losses)), 1.0
    with np.errstate(divide="ignore", invalid="ignore"):
        for _ in range(60):
            middle = 0.5 * (low + high)
            low, high = (low, middle) if wealth(middle) >= log_price else (middle, high)
    return high


@jax.jit
def _counted(
    function: Function,
    posterior: tuple[Array, Array, Array, Array],
    keys: Key,
    x: PyTree,
    y: Int[Array, " n"],
    before: Float[Array, "n o"],
) -> tuple[Int[Array, " k"], Int[Array, " k"]]:
    def one(flat: Array) -> tuple[Array, Array]:
        weights = unflattened(function, flat)
        out = jax.vmap(lambda example: function.outputs_at(weights, example))(x) - before
        return jnp.sum(wrong(out, y)), jnp.sum(~jnp.isfinite(out).all(axis=1))

    return jax.lax.map(one, drawn(*posterior, keys))


def wrong(out: Float[Array, "n o"], y: Int[Array, " n"]) -> Array:
    """Which answers are wrong: y f <= 0 for labels -1/+1, or another output at least as large as that of the class.

    What is not a number is wrong.
    """
    if out.shape[1] == 1:
        return ~(out[:, 0] * y.astype(out.dtype) > 0)
    own = jnp.take_along_axis(out, y[:, None], axis=1)
    others = jnp.where(jnp.arange(out.shape[1])[None] == y[:, None], -jnp.inf, out)
    return ~(own[:, 0] > others.max(axis=1)) | jnp.isnan(out).any(axis=1)


def shares(
    function: Function,
    posterior: tuple[Array, Array, Array, Array],
    keys: Key,
    x: PyTree,
    y: AnyArray,
    before: AnyArray,
) -> tuple[Float[np.ndarray, " m"], int]:
    """The share of wrong answers of each drawn network, (m,), and how many answers were no finite numbers.

    posterior: flat weights, roots, rows and shrink, as `drawn` takes them.
    """
    m, counts, odd = len(keys), [], []
    for start in range(0, m, _AT_ONCE):
        some = keys[jnp.arange(start, start + _AT_ONCE) % m]  # one program; what fills the last batch is not looked at
        wrongs, strange = _counted(function, posterior, some, x, y, before)
        counts.append(np.asarray(wrongs, np.float64))
        odd.append(np.asarray(strange, np.int64))
    return np.concatenate(counts)[:m] / len(y), int(np.concatenate(odd)[:m].sum())
