"""The pre-activation u_t = W h_{t-1} + U x_t + b of recurrent units, of one sequence and of a pair (tokens.3).

Of `cells.Elman` and `cells.Leaky` alike: they differ in the states h. Entries hold, at each step, the standard
deviations of the tokens, "in", and the shares of those of u that come from states, tokens and biases: "h", "x", "b".
"""

from __future__ import annotations

from typing import Any

from jaxtyping import Array

from ntkseq import cells
from ntkseq._precision import safe_sqrt
from ntkseq.kernels import tokens
from ntkseq.kernels.tokens import Entry, How, Pair

Unit = cells.Elman | cells.Leaky


def std(cell: Unit, h: Array, x: Array) -> Array:
    """The standard deviation of u from those of the state before and of the token."""
    return safe_sqrt(cell.sigma_w**2 * h**2 + cell.sigma_u**2 * x**2 + cell.sigma_b**2)


def entry(cell: Unit, x: Array, u: Array, before: Array) -> dict[str, Any]:
    """What pairs need of the tokens x, the pre-activations u and the states before, standard deviations."""
    inv = tokens.inverse(u)
    shares = {"h": cell.sigma_w * before * inv, "x": cell.sigma_u * x * inv, "b": cell.sigma_b * inv}
    return shares | {"before": before, "in": x}


def mixed(one: Entry, right: Entry, h: Array, x: Array) -> Array:
    """Folded m of u from those of the states before and of the tokens."""
    return tokens.mix((one["h"], right["h"], h), (one["x"], right["x"], x), (one["b"], right["b"], None))


def tangent(cell: Unit, how: How, one: Entry, right: Entry, states: Array, past: Array, x: Pair) -> Array:
    """th_u of a row.

    Args:
        cell: the unit.
        how: of the pair.
        one, right: entries, at a step of the left side and at all of the right.
        states: kap_h of the states before; it is read where recurrent weights are trained.
        past: th_h of the states before.
        x: the pair of tokens, with its tangent.
    """
    assert x.th is not None
    w2, u2 = cell.sigma_w**2, cell.sigma_u**2
    own_w, own_u, own_b = (1, 1, 1) if how.raw else (w2, u2, cell.sigma_b**2)
    th = w2 * past + u2 * x.th
    if "W" in cell.train:
        th = th + own_w * states
    if "U" in cell.train:
        th = th + own_u * tokens.covariance(one["in"], right["in"], x.z)
    if "b" in cell.train:
        th = th + own_b
    return th
