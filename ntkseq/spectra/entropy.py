"""Between which entropies lies a distribution whose weights are known each within an interval?

H = log S - (1/S) sum s_i log s_i with S = sum s_i. For any c, and any s,

    H(s) >= 1 - c + log sum s_i (c - log s_i),   equal at c = 1 + (1/S) sum s_i log s_i,            (numerics.19)

as log x <= x - 1; each term is concave in s_i, so that its least value over an interval is at an end. From above,
Gibbs: H(p) <= -sum p_i log q_i for any distribution q, a quotient of two linear functions, whose largest value over a
box takes every weight at one end.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

_TRIES = 200


def bounds(low: Float[np.ndarray, " n"], high: Float[np.ndarray, " n"]) -> tuple[float, float]:
    """Lower and upper bound of the entropy of s / sum(s) over all s with low <= s <= high.

    Args:
        low, high: 0 <= low <= high, high > 0 somewhere.
    """
    some = high > 0
    low, high = low[some], high[some]
    if not low.max() > 0:  # all weight may be on one
        return 0.0, float(np.log(len(high)))
    return _lower(low, high), _upper(low, high)


def _terms(s: np.ndarray) -> np.ndarray:
    """s log s, 0 at 0."""
    return s * np.log(np.where(s > 0, s, 1.0))


def _lower(low: np.ndarray, high: np.ndarray) -> float:
    ends = (low, _terms(low)), (high, _terms(high))
    best = 0.0
    # c - 1 = log S - H, and S / exp(H) is between S / n and the largest
    for c in 1.0 + np.linspace(np.log(low.sum() / len(low)), np.log(high.max()), _TRIES):
        total = float(np.sum(np.minimum(*(c * s - t for s, t in ends))))
        if total > 0:
            best = max(best, 1.0 - c + float(np.log(total)))
    return best


def _upper(low: np.ndarray, high: np.ndarray) -> float:
    best = float(np.log(len(high)))
    for level in np.exp(np.linspace(np.log(low.sum() / len(low)), np.log(high.max()), _TRIES)):
        q = np.clip(level, low, high)  # the weights of the largest entropy, at the right level
        cost = np.log(q.sum()) - np.log(q)  # the quotient may underflow
        order = np.argsort(-cost)  # dearest first: these at their upper ends, the others at their lower ones
        cost, top, rest = cost[order], high[order], low[order]
        paid = _split(cost * top, cost * rest)
        weight = _split(top, rest)
        some = weight > 0
        best = min(best, float(np.max(paid[some] / weight[some])))
    return best


def _split(head: np.ndarray, tail: np.ndarray) -> np.ndarray:
    """The sum of the first k of `head` and of all but the first k of `tail`, for k = 0..n."""
    return np.append(0.0, np.cumsum(head)) + np.append(np.cumsum(tail[::-1])[::-1], 0.0)
