"""What are the kernels of networks on tokens by brute force? All pairs of all tokens, in NumPy, slow and plain.

Nothing here is shared with the library but the description of the blocks: covariances over (n t) x (n t) tokens
instead of features and chords, softmax row by row, textbook duals.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ntkseq import blocks
from tests import oracles

Pair = tuple[np.ndarray, np.ndarray]
NAMES = {"Rectifier": "relu", "Erf": "erf"}


def attention_matrix(b: blocks.Attention, kap: np.ndarray, n: int, t: int, lengths: np.ndarray) -> np.ndarray:
    A = np.zeros_like(kap)
    for i in range(n):
        for a in range(lengths[i]):
            last = a + 1 if b.causal else lengths[i]
            scores = b.sigma_qk * kap[i * t + a, i * t : i * t + last]
            weights = {
                "softmax": np.exp(scores) / np.exp(scores).sum(),
                "identity": scores,
                "relu": np.maximum(scores, 0),
                "abs": np.abs(scores),
            }[b.weights]
            A[i * t + a, i * t : i * t + last] = weights
    return A


def root(b: blocks.Attention, kap: np.ndarray, th: np.ndarray, n: int, t: int, lengths: np.ndarray) -> Pair:
    out, tangent = np.zeros_like(kap), np.zeros_like(kap)
    for i in range(n):
        for j in range(n):
            for a in range(lengths[i]):
                for c in range(lengths[j]):
                    rows = i * t + np.arange(a + 1 if b.causal else lengths[i])
                    columns = j * t + np.arange(c + 1 if b.causal else lengths[j])
                    k, h = kap[np.ix_(rows, columns)], th[np.ix_(rows, columns)]
                    at = (i * t + a, j * t + c)
                    fade = np.ones_like(k)
                    if b.decay is not None:
                        fades = [np.outer(g ** (a - rows % t), g ** (c - columns % t)) for g in b.decay]
                        fade = sum(fades) / len(fades)
                    S, T = np.sum(fade * k * k), np.sum(fade * k * h)
                    out[at] = S * kap[at]
                    tangent[at] = S * th[at] + 2 * T * kap[at]
                    tangent[at] += sum(letter in b.train for letter in "QKVO") * out[at]
    scale = (b.sigma_qk * b.sigma_ov) ** 2
    return scale * out, scale * tangent


def dual(activation: Any, kap: np.ndarray) -> Pair:
    p, same = np.diagonal(kap), np.eye(len(kap), dtype=bool)
    return oracles.DUALS[NAMES[type(activation).__name__]](kap, p[:, None], p[None, :], same)


def states(cell: Any, kap: np.ndarray, th: np.ndarray, n: int, order: np.ndarray, raw: bool) -> Pair:
    """Behind a cell that visits the tokens of each sequence in an order of its own, (n, t): step by step."""
    t = order.shape[1]
    w2, u2, b2 = cell.sigma_w**2, cell.sigma_u**2, cell.sigma_b**2
    own = {"W": 1 if raw else w2, "U": 1 if raw else u2, "b": 1 if raw else b2}
    at = order + t * np.arange(n)[:, None]
    phi = type(cell.activation).__name__
    p, last = np.zeros((t, n)), np.zeros(n)  # variances of the pre-activations
    for a in range(t):
        p[a] = w2 * last + u2 * kap[at[:, a], at[:, a]] + b2
        same = np.ones(n, bool)
        last = p[a] if phi == "Identity" else oracles.DUALS[NAMES[phi]](p[a], p[a], p[a], same)[0]
    k_h, th_h = np.zeros_like(kap), np.zeros_like(th)
    for a in range(t):
        for c in range(t):
            here = np.ix_(at[:, a], at[:, c])
            k, h = (k_h[before], th_h[before]) if (before := a and c and np.ix_(at[:, a - 1], at[:, c - 1])) else (0, 0)
            k_u, th_u = w2 * k + u2 * kap[here] + b2, w2 * h + u2 * th[here]
            th_u = th_u + sum(own[g] * {"W": k, "U": kap[here], "b": 1.0}[g] for g in cell.train)
            slope = 1.0
            if phi != "Identity":
                same = np.eye(n, dtype=bool) & (a == c)
                k_u, slope = oracles.DUALS[NAMES[phi]](k_u, p[a][:, None], p[c][None, :], same)
            k_h[here], th_h[here] = k_u, slope * th_u
    return k_h, th_h


def recurrent(part: blocks.Recurrent, kap: np.ndarray, th: np.ndarray, n: int, t: int, lengths: Any, raw: bool) -> Pair:
    ahead = np.tile(np.arange(t), (n, 1))
    back = np.array([[*range(length)[::-1], *range(length, t)] for length in lengths])
    orders = {"forward": (ahead,), "reversed": (back,), "both": (ahead, back)}[part.direction]
    found = [states(part.cell, kap, th, n, order, raw) for order in orders]
    return sum(k for k, _ in found) / len(found), sum(h for _, h in found) / len(found)


def convolution(
    b: blocks.Convolution, kap: np.ndarray, th: np.ndarray, n: int, t: int, lengths: Any, raw: bool
) -> Pair:
    w2, b2 = b.sigma_w**2, b.sigma_b**2
    k, h = np.full_like(kap, b2), np.full_like(kap, ("b" in b.train) * (1 if raw else b2))
    lags = range(b.size) if b.causal else range(-(b.size // 2), b.size // 2 + 1)
    for i, j in np.ndindex(n, n):
        for a, c in np.ndindex(t, t):
            for lag in lags:
                one, two = a - lag, c - lag
                if 0 <= one < lengths[i] and 0 <= two < lengths[j]:
                    here, at = (i * t + a, j * t + c), (i * t + one, j * t + two)
                    k[here] += w2 / b.size * kap[at]
                    h[here] += (w2 * th[at] + ("W" in b.train) * (1 if raw else w2) * kap[at]) / b.size
    return k, h


def through(part: Any, kap: np.ndarray, th: np.ndarray, n: int, t: int, lengths: np.ndarray, raw: bool) -> Pair:
    if isinstance(part, blocks.Linear):
        w2, b2 = part.sigma_w**2, part.sigma_b**2
        own = ("W" in part.train) * (1 if raw else w2) * kap + ("b" in part.train) * (1 if raw else b2)
        return w2 * kap + b2, w2 * th + own
    if isinstance(part, blocks.Convolution):
        return convolution(part, kap, th, n, t, lengths, raw)
    if isinstance(part, blocks.GLU):
        (k1, h1), (k2, h2) = (through(one, kap, th, n, t, lengths, raw) for one in (part.value, part.gate))
        k, slope = dual(part.activation, k2)
        return k1 * k, h1 * k + k1 * slope * h2
    if isinstance(part, blocks.Nonlinearity):
        k, slope = dual(part.activation, kap)
        return k, slope * th
    if isinstance(part, blocks.Recurrent):
        return recurrent(part, kap, th, n, t, lengths, raw)
    if isinstance(part, blocks.LayerNorm):
        v = np.diagonal(kap) + part.eps
        d = np.where(v > 0, 1 / np.sqrt(np.where(v > 0, v, 1)), 0)  # padding has no variance
        return kap * np.outer(d, d), th * np.outer(d, d)
    if isinstance(part, blocks.Positions):
        gap = np.arange(t)[:, None] - np.arange(t)[None]
        R = (gap == 0) * 1.0 if part.decay is None else np.exp(-part.decay * gap**2)
        return (1 - part.share) * kap + part.share * np.tile(R, (n, n)), (1 - part.share) * th
    if isinstance(part, blocks.Residual):
        k, h = kap, th
        for inner in part.blocks:
            k, h = through(inner, k, h, n, t, lengths, raw)
        return kap + k, th + h
    assert isinstance(part, blocks.Attention)
    if part.scaling == "root":
        k, h = root(part, kap, th, n, t, lengths)
    else:
        B = attention_matrix(part, kap, n, t, lengths)
        if not part.project:
            B = B + np.eye(n * t) * part.skip
            return B @ kap @ B.T, B @ th @ B.T
        k = part.sigma_ov**2 * B @ kap @ B.T
        h = part.sigma_ov**2 * B @ th @ B.T + sum(letter in part.train for letter in "VO") * k
    k, h = k + part.sigma_b**2, h + ("b" in part.train) * part.sigma_b**2
    return (k + kap, h + th) if part.skip else (k, h)


def serial(
    parts: tuple[Any, ...],
    x: np.ndarray,
    lengths: np.ndarray | None = None,
    read: str = "mean",
    sigma_r: float = 1.0,
    train_readout: bool = True,
    input_scale: str = "dim",
    kind: str = "ntk",
    param: str = "ntk",
) -> np.ndarray:
    n, t, d = x.shape
    lengths = np.full(n, t) if lengths is None else lengths
    flat = x.reshape(n * t, d)
    kap = flat @ flat.T / (d if input_scale == "dim" else 1)
    th = np.zeros_like(kap)
    for part in blocks.sequence("oracle", parts):
        kap, th = through(part, kap, th, n, t, lengths, param == "raw")
    own = 1 if param == "raw" and kind == "ntk" else sigma_r**2
    total = own * kap if kind == "nngp" else train_readout * own * kap + sigma_r**2 * th
    weights = np.zeros((n, n * t))
    for i, length in enumerate(lengths):
        at = {"last": [length - 1], "first": [0]}.get(read, range(length))
        for a in at:
            weights[i, i * t + a] = 1 / length if read == "mean" else 1
    return weights @ total @ weights.T
