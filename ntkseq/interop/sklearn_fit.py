"""How is a kernel machine fitted, its kernel and its ridge chosen by leave-one-out, and its scores calibrated?"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import scipy.optimize
from jaxtyping import Float

from ntkseq import _checks
from ntkseq._types import AnyKernel, Number
from ntkseq.grams.base import DenseGram
from ntkseq.interop import sklearn_store
from ntkseq.interop.sklearn_inputs import Batch
from ntkseq.predictors.kernel_ridge import Ridge, ridge, select_reg

REGS = np.logspace(-6, 2, 17)
"""Candidates for the ridge, in units of the mean of the diagonal of K."""


@dataclasses.dataclass(frozen=True, eq=False)
class Machine:
    """A kernel ridge fit with the kernel of least leave-one-out error.

    Attributes:
        kernel: the chosen one.
        K: its Gram matrix, with `offset` added to every entry.
        offset: the kernel of a constant, so that the mean of the targets costs nothing and leaves with an example.
        fit: the fit to the targets.
        loo_error: mean squared leave-one-out residual.
        loo_errors: that of every kernel.
    """

    kernel: AnyKernel
    K: DenseGram
    offset: float
    fit: Ridge
    loo_error: float
    loo_errors: Float[np.ndarray, " kernels"]


def machine(
    kernels: list[Any], batch: Batch, targets: Float[np.ndarray, "n k"], reg: Any, megabytes: Number
) -> Machine:
    """Fit every kernel and keep the one of least leave-one-out error; of equals the first.

    Raises:
        ValueError: a ridge that is neither "loo" nor a number >= 0, or one that the kernel does not allow.
    """
    if not isinstance(reg, str) or reg != "loo":
        if isinstance(reg, str):
            raise ValueError(f'reg must be "loo" or a number >= 0; got {_checks.shown(reg)}.')
        reg = _checks.nonnegative("reg", reg)
    best, errors = None, []
    for kernel in kernels:
        K, offset, scale = _with_constant(sklearn_store.square(kernel, batch, megabytes))
        if reg != "loo" and len(kernels) == 1:
            return _made(kernel, K, offset, ridge(K, targets, reg=reg), [])
        chosen = select_reg(K, targets, REGS * scale if reg == "loo" else [reg])
        errors.append(float(np.nanmin(chosen.loo_errors)))
        if best is None or errors[-1] < best[-1]:
            best = (kernel, K, offset, chosen.reg, errors[-1])
    assert best is not None
    kernel, K, offset, chosen, _ = best
    return _made(kernel, K, offset, ridge(K, targets, reg=chosen), errors)


def _made(kernel: AnyKernel, K: DenseGram, offset: float, fit: Ridge, errors: list[float]) -> Machine:
    return Machine(kernel, K, offset, fit, fit.loo_error, np.array(errors or [fit.loo_error]))


def _with_constant(K: DenseGram) -> tuple[DenseGram, float, float]:
    """K + offset, the offset, and the scale of K: the mean of its diagonal.

    With ten times the scale the mean of n targets shrinks by about 1 part in 10 n, times the ridge over the scale.
    """
    values = np.asarray(K.array, np.float64)
    scale = float(np.mean(np.diagonal(values)))
    if not scale > 0:
        raise ValueError("kernel must be positive on some example of X; it is zero on all. Take sigma_b > 0.")
    offset = 10.0 * scale
    # |E_ij| <= e sqrt(K_ii K_jj), which the offset only makes larger
    e = None if K.entrywise is None else float(K.entrywise)
    known: dict[str, Any] = {"rounding": float(K.rounding)} if e is None else {"entrywise": e}
    return DenseGram(values + offset, estimated=K.estimated, **known), offset, scale


def temperature(scores: Float[np.ndarray, "n k"], classes: np.ndarray) -> float:
    """s of softmax(s f) that makes left-out labels likeliest, for f the scores of examples that were left out.

    The targets are smoothed as Platt has it, (n_c + 1) / (n_c + 2) in place of 1 for a class of n_c examples, so that
    no label is sure and s is finite where all are right.

    Reference: platt1999; guo2017.
    """
    n, k = scores.shape
    sure = (np.bincount(classes, minlength=k) + 1.0) / (np.bincount(classes, minlength=k) + 2.0)
    wanted = np.repeat(((1.0 - sure[classes]) / (k - 1))[:, None], k, axis=1)
    wanted[np.arange(n), classes] = sure[classes]

    def loss(u: float) -> float:
        return -float(np.mean(np.sum(wanted * log_softmax(math.exp(u) * scores), axis=1)))

    size = float(np.std(scores)) or 1.0
    ends = math.log(1e-4 / size), math.log(1e4 / size)
    found: Any = scipy.optimize.minimize_scalar(loss, bounds=ends, method="bounded")
    return math.exp(found.x)


def log_softmax(z: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
    """log of exp(z) over its sum along the last axis."""
    z = z - np.max(z, axis=1, keepdims=True)
    return z - np.log(np.sum(np.exp(z), axis=1, keepdims=True))
