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
                    S, T = np.sum(k * k), np.sum(k * h)
                    out[at] = S * kap[at]
                    tangent[at] = S * th[at] + 2 * T * kap[at]
                    tangent[at] += sum(letter in b.train for letter in "QKVO") * out[at]
    scale = (b.sigma_qk * b.sigma_ov) ** 2
    return scale * out, scale * tangent


def through(part: Any, kap: np.ndarray, th: np.ndarray, n: int, t: int, lengths: np.ndarray, raw: bool) -> Pair:
    if isinstance(part, blocks.Linear):
        w2, b2 = part.sigma_w**2, part.sigma_b**2
        own = ("W" in part.train) * (1 if raw else w2) * kap + ("b" in part.train) * (1 if raw else b2)
        return w2 * kap + b2, w2 * th + own
    if isinstance(part, blocks.Nonlinearity):
        p = np.diagonal(kap)
        name = {"Rectifier": "relu", "Erf": "erf"}[type(part.activation).__name__]
        k, slope = oracles.DUALS[name](kap, p[:, None], p[None, :], np.eye(n * t, dtype=bool))
        return k, slope * th
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
