"""How is one function fitted to all steps of many sequences, and which tokens does it use?"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import scipy.linalg
from jaxtyping import Float

from ntkseq import bounds, kernels
from ntkseq._types import AnyArray, ArrayLike, GramLike
from ntkseq.bounds import Bound
from ntkseq.bounds.steps import StepsConstants
from ntkseq.grams import DenseGram
from ntkseq.predictors.kernel_ridge import factorise
from ntkseq.studies.recurrent.kernel_regression import EPS, BoundedFit, KernelFit, errors, kernel_fits, leading
from ntkseq.studies.recurrent.targets import KERNEL
from ntkseq.studies.rnn_positions.options import FIRST

CHUNK = 128  # test sequences whose kernel is computed at once


@dataclasses.dataclass(frozen=True, eq=False)
class StepsFit(KernelFit):
    """Kernel regression of all steps at once from n sequences: errors of their mean; probes are predicted too.

    Attributes:
        by_step: mean of min(1, |f_t - y_t|) at each step.
        bound: `bounds.rademacher_steps` of this predictor.
    """

    by_step: Float[np.ndarray, " steps"]
    bound: Bound[StepsConstants]


@dataclasses.dataclass(frozen=True, eq=False)
class Used:
    """What replacing one token of a test sequence by another draw does, for token i = 1, 2, ... and each step.

    Attributes:
        effect: mean squared change of the output, halved: the part of its variance that needs the token.
        gain: slope of that change over the target's; 1 if the effect of the token is learnt, 0 if it is not. NaN where
            the target does not change.
    """

    effect: Float[np.ndarray, "token steps"]
    gain: Float[np.ndarray, "token steps"]


def points(K: GramLike, *, relative: float, square: bool) -> DenseGram:
    """A kernel (n, m, t, s) of all steps without the first two as a matrix of points, and its rounding.

    relative: |K_ij computed - exact| / sqrt(K_ii K_jj).
    """
    K = np.asarray(K)[:, :, FIRST:, FIRST:]
    n, m, t, s = K.shape
    matrix = K.transpose(0, 2, 1, 3).reshape(n * t, m * s)
    off = relative * float(np.trace(matrix.astype(np.float64))) if square else 0.0  # |E|_F <= e tr K
    return DenseGram(matrix, rounding=off, symmetric=square, frobenius=square, entrywise=relative if square else None)


def cross_points(x: AnyArray, other: Any) -> Float[np.ndarray, "mt ns"]:
    """Kernel between all steps of test and training sequences as a matrix, a few sequences at a time."""
    parts = [
        np.asarray(points(kernels.every_step(KERNEL, x[i : i + CHUNK], other), relative=0.0, square=False).array)
        for i in range(0, len(x), CHUNK)
    ]
    return np.concatenate(parts).astype(np.float64)


def fit(K: DenseGram, cross: AnyArray, y: AnyArray, y_test: AnyArray, n: int, **options: Any) -> StepsFit:
    """Fit one function to all steps of the first n sequences: the interpolant, or with the least ridge where K asks.

    Args:
        K: all points of all training sequences; see `points`.
        cross: points of tests and probes with training points.
        y, y_test: labels (n, steps) and (m, steps); probes come after the m tests.
        n: how many sequences.
        **options: delta, B0 and kappa of `bounds.rademacher_steps`.
    """
    steps = y.shape[1]
    part, labels = leading(K, n * steps), np.asarray(y[:n], np.float64)
    bound, reg, reason = bounds.rademacher_steps(part, labels, **options), 0.0, ""
    if bound.reason:
        reg = 2 * (float(part.rounding) + 4 * n * steps * EPS * float(np.trace(np.asarray(part, np.float64))))
        reason = f"{bound.reason.split(';')[0]}: ridge regression with reg = {reg:.3g} in place of the interpolant"
        bound = bounds.rademacher_steps(part, labels, reg=reg, **options)
    dual = scipy.linalg.cho_solve(factorise(np.asarray(part, np.float64), reg), labels.ravel())
    f = (cross[:, : n * steps] @ dual).reshape(-1, steps)
    m = len(y_test)
    return StepsFit(n, errors(f[:m], y_test), f, reg, reason, by_step(f[:m], y_test), bound)


def by_step(f: Float[np.ndarray, "m steps"], y: AnyArray) -> Float[np.ndarray, " steps"]:
    """Mean of min(1, |f_t - y_t|) over sequences."""
    return np.minimum(1.0, np.abs(f - np.asarray(y, np.float64))).mean(axis=0)


def probed(x: AnyArray, k: int) -> Any:
    """The first k sequences as they are, then with token 1 replaced by that of the next sequence, then token 2, ...

    Tokens are independent, so each of these is a sequence of the same law.
    """
    x = np.asarray(x)[:k]
    changed = [x]
    for i in range(1, x.shape[1]):
        one = x.copy()
        one[:, i] = np.roll(x[:, i], 1, axis=0)
        changed.append(one)
    return np.concatenate(changed)


def used(f: ArrayLike, y: AnyArray, k: int) -> Used:
    """The use of tokens from outputs f and target values y at `probed` sequences, (k t, steps) each."""
    f, y = (np.asarray(one, np.float64).reshape(-1, k, np.shape(one)[1]) for one in (f, y))
    change, wanted = f[1:] - f[:1], y[1:] - y[:1]  # (token, k, steps)
    own = np.sum(wanted**2, axis=1)
    gain = np.full(own.shape, np.nan)
    np.divide(np.sum(change * wanted, axis=1), own, out=gain, where=own > 0)
    return Used(0.5 * np.mean(change**2, axis=1), gain)


def alone(K: DenseGram, cross: AnyArray, y: AnyArray, y_test: AnyArray, a: int, n: int) -> BoundedFit:
    """Kernel regression of one step by itself."""
    steps = y.shape[1]
    own = K.take(slice(a, None, steps))
    return kernel_fits(own, cross[a : len(y_test) * steps : steps, a::steps], y[:, a], y_test[:, a], [n])[0]
