"""How far does the sampling of a kernel move each eigenvalue? By a share of it: batches left out one by one tell it.

A sampled Gram is a mean of B independent batches, K = sum_b K_b / B, whose error is multiplicative: K_hat lies between
(1 - a) K and (1 + a) K in the order of quadratic forms, whatever the condition of K. So errors are those of
g_i = log(lambda_i + rho), rho the rounding, below which nothing is told apart. With g_i^b that of the matrix without
batch b, and their mean g_i^.,

    s_i^2 = (B - 1) / B sum_b (g_i^b - g_i^.)^2,   b_i = (B - 1) (g_i^. - g_i),
    e_i = F max(s_i, s) + 2 |b_i| + c / P,                                                          (numerics.18)

s the root mean square of the s_i of all eigenvalues beyond rounding, F Student's factor at `MISS` with
(B - 1) min(n, 3) degrees of freedom, c / P the relative bias that batches of P samples have in common. The exact value
is lambda_i, up or down by the factor exp(e_i), and the rounding. This is a calibration, not a proof: see
`docs/theory/numerics.md` for the cases it was tried on.

Where the matrix is singular to rounding because samples are too few, leaving out a batch shows it at the least
eigenvalue that is not zero: below an eigenvalue with e_i >= 1 nothing is said of any.
"""

from __future__ import annotations

import math

import numpy as np
import scipy  # its parts load when they are first used
from jaxtyping import Float

from ntkseq._struct import static, struct
from ntkseq.grams.base import Gram
from ntkseq.grams.sampling import Sampling
from ntkseq.kernels.parts import MISS

_DIRECTIONS = 3
"""Eigenvalues whose errors count as independent, of all that are pooled."""


@struct
class Sampled:
    """The part of the errors of a `Spectrum` that comes from sampling the kernel.

    Right but for about 1 case in 100,000 by design, and in all 5,000 of a calibration: an estimate, no proof.
    """

    relative: Float[np.ndarray, " n"] | None
    """e_i, largest eigenvalue first. Below 1 the exact eigenvalue is within the factor exp(e_i), up to rounding; from 1
    on the error of K as a whole counts; inf: nothing is known. None where the batches of K are not known."""
    batches: int = static(default=0)
    """The number of independent batches."""
    samples: int = static(default=0)
    """Random samples in all."""
    noun: str = static(default="samples")
    """What they are called: particles, draws."""
    why: str = static(default="")
    """Why the batches are not known."""

    def samples_for(self, relative: float = 0.1) -> float:
        """How many samples would give the least eigenvalue to this relative error: errors fall like 1/sqrt(samples).

        inf where nothing is known of it.
        """
        if self.relative is None or not np.isfinite(self.relative[-1]):
            return math.inf
        return self.samples * max(1.0, (float(self.relative[-1]) / relative) ** 2)

    def __str__(self) -> str:
        if self.relative is None:
            return f"as large as the worst entry has it: {self.why}"
        least, worst = float(self.relative[-1]), float(np.max(self.relative))
        known = f"{self.samples} {self.noun} in {self.batches} batches"
        if not least < 1:
            known += ", too few for the least eigenvalue"
        share = (
            f"{_percent(least)} of the least eigenvalue, at most {_percent(worst)} of any" if least < 1 else "unknown"
        )
        needed = self.samples_for()
        enough = f"; 10 % takes about {_rounded(needed)}" if np.isfinite(needed) and least > 0.1 else ""
        if not np.isfinite(needed):
            enough = f"; take 16 times as many, {16 * self.samples}, and look again"
        return f"{share} ({known}{enough}); calibrated, not proved"


def of(K: Gram, relative: Float[np.ndarray, " n"] | None) -> Sampled | None:
    """What a spectrum says of the sampling of K; None where nothing is sampled."""
    known: Sampling | None = K.sampling
    if known is None:
        return None
    count = 0 if known.batches is None else len(known.batches)
    why = known.why or "its own error is larger"
    return Sampled(relative, count, known.samples, known.noun, why)


def relative(
    A: Float[np.ndarray, "n n"],
    values: Float[np.ndarray, " n"],
    batches: Float[np.ndarray, "b n n"],
    *,
    rho: float,
    bias: float,
) -> Float[np.ndarray, " n"]:
    """e_i of numerics.18, in the order of the eigenvalues, which is ascending.

    Args:
        A: the matrix whose eigenvalues are `values`.
        values: ascending.
        batches: independent estimates of the same matrix, whose mean is A or, up to a bias of order 1 / samples, near.
        rho: rounding, in spectral norm, > 0.
        bias: c / P.

    Time B times that of all eigenvalues.
    """
    count = len(batches)
    mean = batches.mean(axis=0)
    left_out = np.stack([np.linalg.eigvalsh(A + (mean - one) / (count - 1)) for one in batches])  # (b, n)
    with np.errstate(divide="ignore", invalid="ignore"):
        own = np.log(values + rho)
        g = np.log(left_out + rho)
        centre = g.mean(axis=0)
        spread = np.sqrt((count - 1) / count * np.sum((g - centre) ** 2, axis=0))
        skew = (count - 1) * np.abs(centre - own)
        apart = np.abs(np.log(np.linalg.eigvalsh(mean) + rho) - own) / (count - 1)
    seen = values > rho
    known = np.isfinite(spread) & seen
    if not known.any():
        return np.full(len(values), np.inf)
    pooled = float(np.sqrt(np.mean(spread[known] ** 2)))
    error = factor(count, len(values)) * np.maximum(spread, pooled) + 2 * (skew + apart) + bias
    error = np.where(np.isfinite(error), error, np.inf)
    lost = np.flatnonzero(error >= 1)
    if lost.size:
        error[: lost[-1]] = np.inf
    return error


def factor(batches: int, n: int) -> float:
    """F of numerics.18."""
    return float(scipy.stats.t.isf(MISS / 2, (batches - 1) * min(n, _DIRECTIONS)))


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 1 else "more than all"


def _rounded(number: float) -> str:
    digits = 10.0 ** max(0, math.floor(math.log10(number)) - 1)
    return f"{math.ceil(number / digits) * digits:,.0f}"
