"""How much does a token that two sequences share count, by how long ago it was?"""

from __future__ import annotations

import dataclasses
import math
import warnings

import jax
import numpy as np
from jaxtyping import Float

from ntkseq import blocks, cells, empirical, kernels
from ntkseq._types import AnyKernel
from ntkseq.kernels.base import Side
from ntkseq.kernels.parts import student

BATCHES = 32
"""Of the samples of the GRU's kernel."""
FEWEST = 4
"""Lags that must be told from zero for a law of forgetting to be fitted."""


def families(particles: int, seed: int) -> dict[str, AnyKernel]:
    """The kernels, each read at the last token, by the name of its network."""
    recurrent, serial = blocks.Recurrent, kernels.Serial
    return {
        "Elman, relu, at sigma_w = sqrt 2": kernels.Recurrent(sigma_w=2**0.5),
        "Elman, erf": kernels.Recurrent(activation="erf"),
        "leaky, erf": kernels.LeakyRecurrent(keep=0.9, gate=0.1, activation="erf"),
        "GRU": kernels.Gated("gru", particles=particles, batches=BATCHES, seed=seed),
        "LRU, whole disc": serial(recurrent(cells.LRU()), read="last"),
        "LRU, ring": serial(recurrent(cells.LRU(0.9, 0.999, 0.3)), read="last"),
        "S4D": serial(blocks.Linear(), recurrent(cells.S4D()), read="last"),
        "attention": serial(blocks.Linear(), blocks.Attention(causal=True), read="last"),
    }


def sequences(t: int) -> Float[np.ndarray, "n t d"]:
    """A sequence of orthogonal tokens; one that shares none of them; and those that share the token p steps ago."""
    axes = np.eye(2 * t) * (2 * t) ** 0.5  # <x, x> / d = 1
    one, other = axes[:t], axes[t:]
    share = np.tile(other, (t, 1, 1))
    for p in range(t):
        share[p, t - 1 - p] = one[t - 1 - p]
    return np.concatenate([one[None], other[None], share]).astype(np.float32)


@dataclasses.dataclass(frozen=True, eq=False)
class Curve:
    """What is left of a token p steps ago: (K(x, x_p) - K(x, x')) / (K(x, x) - K(x, x')), x_p shares it and x' none.

    Attributes:
        left: by lag p.
        error: what rounding and sampling may have moved it by.
    """

    left: Float[np.ndarray, " t"]
    error: Float[np.ndarray, " t"]

    @property
    def told(self) -> np.ndarray:
        """The lags whose value is told from zero."""
        return self.left > self.error

    def laws(self) -> tuple[tuple[float, float], tuple[float, float]] | None:
        """The factor per step of a geometric law and the exponent of a power of p, each with its misfit.

        Least squares in the logarithm over the lags from 1 on that are told from zero; the misfit is the root of the
        mean square. None where these are fewer than 4.
        """
        lags = np.flatnonzero(self.told)
        lags = lags[lags >= 1]
        if len(lags) < FEWEST:
            return None
        fits = []
        for at in (lags.astype(float), np.log(lags)):
            slope, level = np.polyfit(at, np.log(self.left[lags]), 1)
            miss = np.log(self.left[lags]) - slope * at - level
            fits.append((float(slope), float(np.sqrt(np.mean(miss**2)))))
        (rate, first), (exponent, second) = fits
        return (math.exp(rate), first), (exponent, second)


def limit(kernel: AnyKernel, x: Float[np.ndarray, "n t d"]) -> Curve:
    """The curve of a kernel at infinite width."""
    side = kernel.prepare(x)
    row = _row(kernel, side)
    sizes = np.sqrt(np.asarray(kernel.diag_side(side), np.float64))
    parts = kernel.parts(side)
    if parts is None:
        return _curve(row, kernel.entry_rounding(side) * sizes[0] * sizes)
    # independent groups of draws; in each, sequences share them, and most of their errors cancel in differences
    each = np.stack([_row(one, own) for one, own in zip(parts.kernels, parts.sides, strict=True)])
    few = len(each)
    spread = student(few) * np.std(each[:, 2:] - each[:, 1:2], axis=0, ddof=1) / few**0.5
    rounded = parts.entrywise * sizes[0] * (sizes[2:] + sizes[1])
    made = _curve(row, np.zeros_like(row))
    alike = parts.bias * np.abs(row[2:] - row[1])
    return Curve(made.left, (spread + rounded + alike) / abs(row[0] - row[1]))


def finite(kernel: AnyKernel, width: int, x: Float[np.ndarray, "n t d"], seeds: int, seed: int) -> list[Curve]:
    """The curves of networks of a width: of their empirical tangent kernels at the start."""
    with warnings.catch_warnings():  # the sheet says that networks without saturation scatter
        warnings.simplefilter("ignore", empirical.HeavyTails)
        model = kernel.finite(width)  # pyright: ignore[reportAttributeAccessIssue]
    found = []
    for i in range(seeds):
        params = model.init(jax.random.key(seed + i), x[0])
        ntk = empirical.NTK(model.apply, params)
        side = ntk.prepare(x)
        row = _row(ntk, side)
        found.append(_curve(row, np.zeros_like(row)))
    return found


def _row(kernel: AnyKernel, side: Side) -> Float[np.ndarray, " n"]:
    """The first sequence with all of them."""
    return np.asarray(kernel.tile(jax.tree.map(lambda leaf: leaf[:1], side), side), np.float64)[0]


def _curve(row: np.ndarray, error: np.ndarray) -> Curve:
    whole = row[0] - row[1]
    return Curve((row[2:] - row[1]) / whole, (error[2:] + error[1]) / abs(whole))
