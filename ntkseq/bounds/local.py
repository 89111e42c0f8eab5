"""How large can the test loss be where few eigenvalues hold most of the kernel? Localised Rademacher complexity."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ntkseq import _checks
from ntkseq._bound import Bound, Constants, Term, total
from ntkseq._outward import outward
from ntkseq._types import ArrayLike, GramLike
from ntkseq.bounds.assumptions import beforehand, ceiling
from ntkseq.bounds.losses import named
from ntkseq.bounds.system import EPS, System, system
from ntkseq.bounds.uniform import measured, moderate, multiple, ridge_dual

_UP = 1.0 + 64.0 * EPS  # of a few dozen float64 operations


def local_rademacher(
    K: GramLike,
    y: ArrayLike,
    *,
    kappa: float,
    delta: float = 0.05,
    B0: float = 1.0,
    reg: float = 0.0,
    loss: str = "absolute",
    gamma: float | None = None,
    tried: int = 1,
) -> Bound[LocalConstants]:
    """Bound the expected loss of a kernel predictor by the tail of the spectrum and the size of f, rigorously.

    With probability at least 1 - delta, for every f in the function space of the kernel and every rank h,

        E l(f) <= mean l(f(x_i), y_i) + 2 L (sqrt(r h/n) + B sqrt(tail_h/n))
                  + sqrt(log(2 i (i+1)(j+1)(j+2) tried/delta) / (2n)),         B = i B0,  r = kappa^2 B^2 2^(-j/2)

    with i = max(1, ceil(|f| / B0)), r above the mean of f^2 and tail_h above the sum of all but the h largest
    eigenvalues of the kernel's integral operator: of both it is known what they are on these data and how far they may
    be off, kappa^2/sqrt(n) times sqrt(h) s + sqrt(log(6 h (h+1) tried/delta)/2), with s <= 1 from the entries of K. So
    of the leading h directions only the size of f counts, not its norm: this is below `rademacher` where they hold
    most of the trace and n is large. h = 0 is (bounds.4), with a larger last term.

    Args:
        K: Gram matrix of the training examples, (n, n).
        y: labels, (n,).
        kappa: sup of sqrt(K(x, x)) over all inputs.
        delta: the probability that the bound fails.
        B0: grid of the norm, fixed before seeing the labels, see `rademacher`.
        reg: the ridge, added to the diagonal; 0 for the interpolant.
        loss: "absolute", "squared", or "margin" for labels -1/+1, as in `stability`.
        gamma: the margin of loss="margin", fixed beforehand; None: 1.
        tried: how many kernels, hyper-parameter settings, margins or B0 were looked at with these labels.

    Returns:
        Bound, certified unless kappa or K is contradicted by these data; NaN with the reason if reg = 0 and the least
        eigenvalue of K cannot be told from zero. The fixed point r* of the local complexity of the sample, and with it
        the rate of Bartlett, Bousquet and Mendelson, stand beside it.

    Raises:
        ValueError: shapes or options that do not fit.

    Reference: bartlett2005local, mendelson2003kernel, for the ingredients; constants: risk_bounds.11 to 16.

    Example:
        >>> import numpy as np
        >>> from ntkseq import bounds
        >>> K, y = 25 * (0.95 + 0.05 * np.eye(600)), 0.2 * np.ones(600)
        >>> local = local_rademacher(K, y, kappa=5.0)
        >>> local.constants.h, local.value < bounds.rademacher(K, y, kappa=5.0).value
        (1, True)
    """
    chosen, delta = named(loss, gamma), _checks.probability("delta", delta)
    B0, reg = moderate("B0", B0), _checks.nonnegative("reg", reg)
    kappa, tried = moderate("kappa", kappa), _checks.positive_int("tried", tried)
    known = system(K, y, signs=chosen.signs)
    log = math.log(tried) - math.log(delta)
    dual = ridge_dual(known, known.y, reg)
    tails, moved = _tails(known, kappa, log)
    training = norm = i = capacity = sure = r = tail = math.nan
    h, j, reason = 0, 0, dual if isinstance(dual, str) else ""
    if not isinstance(dual, str):
        fit = measured(known, dual)
        training, norm = fit.mean_loss(chosen, known.y), math.sqrt(fit.norm_squared)
        i = multiple(norm, B0)
        B = i * B0
        largest = kappa * B * (kappa * B)
        wanted = (fit.mean_square + norm**2 * moved) * _UP
        ratio = largest / wanted if wanted > 0 else 1.0
        j = math.floor(2 * math.log2(ratio) - 1e-9) if 1.0 < ratio < math.inf else 0
        j = max(0, min(j, 1000))
        r = largest * 2.0 ** (-j / 2)
        sizes = np.sqrt(r * np.arange(known.n) / known.n) + B * np.sqrt(tails / known.n)
        h = int(np.argmin(sizes))
        capacity, tail = 2 * chosen.lipschitz * float(sizes[h]) * _UP, float(tails[h])
        union = math.log(2) + math.log(i * (i + 1)) + math.log((j + 1) * (j + 2)) + log
        sure = math.sqrt(union / (2 * known.n)) * _UP
        reason = "" if math.isfinite(capacity) else "numbers leave the range of float64: give K other units"
    star = _fixed_point(known, i * B0)
    slope = "2" if chosen.lipschitz == 1 else f"{2 * chosen.lipschitz:g}"
    terms = (
        chosen.measured(training, "K"),
        Term("local capacity", f"{slope} (sqrt(r h/n) + i B0 sqrt(tail_h/n))", capacity, explicit=True,
             provenance="derived", note="" if reason else f"h = {h}, i = {i}, r = {r:.3g}, tail_h = {tail:.3g}, "
             f"|f| <= {outward(norm)}"),
        Term("confidence", "sqrt(log(2 i(i+1)(j+1)(j+2) tried/delta)/(2n))", sure, explicit=True, provenance="derived"),
        Term("fixed point", "r* = sqrt(2/n sum min(r*, B^2 l_i/n))", star, explicit=True, provenance="exact",
             counted=False, note="of the eigenvalues of the sample"),
        Term("Bartlett, Bousquet and Mendelson 2005", "2 mean l + c (r* + log(1/delta)/n)",
             2 * training + star + log / known.n, explicit=False, provenance="recalled", counted=False,
             note="c = 1 taken; the published constants are in the hundreds"),
    )  # fmt: skip
    what = "kernel, loss, delta, B0, kappa" + (", gamma" if chosen.signs else "")
    assumptions = [
        known.independent(),
        beforehand(what, tried),
        ceiling(np.diagonal(known.matrix), kappa, known.rounding),
        known.semidefinite(),
        known.arithmetic(),
    ]
    if reg == 0.0:
        assumptions.append(known.positive())
    return Bound(
        name="local Rademacher bound, kernel " + ("interpolant" if reg == 0 else f"ridge regression, reg = {reg:.3g}"),
        quantity=chosen.risk(),
        value=total(terms),
        terms=terms,
        assumptions=tuple(assumptions),
        delta=delta,
        applies_to="the kernel predictor with these coefficients (not a network of finite width)",
        references=("bartlett2005local", "mendelson2003kernel", "bartlett2002rademacher", "hoeffding1963"),
        constants=LocalConstants(known.n, norm, i, B0, h, r, tail, star, reg, kappa, tried),
        reason=reason,
    )


@dataclass(frozen=True)
class LocalConstants(Constants):
    """Numbers of a local Rademacher bound.

    Attributes:
        n: the number of examples.
        norm: |f|, raised by its rounding.
        i: the step of the grid of the norm, the least with |f| <= i B0.
        h: how many leading directions are counted by the size of f.
        r: the step of the grid above the mean of f^2 over the law.
        tail: upper estimate of the sum of all eigenvalues of the integral operator but the h largest.
        fixed_point: r* of the sample, at the norm i B0.
        B0, reg, kappa, tried: as given.
    """

    n: int
    norm: float
    i: float
    B0: float
    h: int
    r: float
    tail: float
    fixed_point: float
    reg: float
    kappa: float
    tried: int


def _tails(known: System, kappa: float, log: float) -> tuple[np.ndarray, float]:
    """Upper estimates of tail_h for h = 0, .., n - 1, and of sup over |g| = 1 of E g^2 - mean g^2; (risk_bounds.13).

    `log` is that of tried/delta. The events behind them fail with probability delta/(2 tried) at most.
    """
    n, top = known.n, kappa * kappa
    share = math.log(6) + log
    spread = top
    if n > 1:  # (risk_bounds.14)
        off = known.matrix - np.diag(np.diagonal(known.matrix))
        size = max(0.0, float(np.linalg.norm(off)) * (1 - n * EPS) - math.sqrt(n) * known.rounding)
        alike = (size / top) ** 2 / (n * (n - 1)) - math.sqrt(share / (2 * (n // 2)))
        spread = top * math.sqrt(min(1.0, max(0.0, 1.0 - alike)))
    values, errors = np.sort(np.asarray(known.spectrum.values))[::-1], float(np.max(known.spectrum.errors))
    upper = np.maximum(values + errors, 0.0)
    behind = np.cumsum(upper[::-1])[::-1] * (1 + 2 * n * EPS) / n  # [h]: all but the h largest
    h = np.arange(1.0, n)
    room = (np.sqrt(h) * spread + top * np.sqrt((share + np.log(h * (h + 1))) / 2)) / math.sqrt(n)
    tails = np.minimum(top, np.concatenate([[top], behind[1:] + room])) * _UP
    return tails, (spread + top * math.sqrt(share / 2)) / math.sqrt(n) * _UP


def _fixed_point(known: System, B: float) -> float:
    """r with r^2 = 2/n sum_i min(r, B^2 l_i/n) of the sample: the least root over h of r^2 = 2/n (r h + tail)."""
    n, values = known.n, np.maximum(np.sort(np.asarray(known.spectrum.values))[::-1], 0.0)
    behind = np.append(np.cumsum(values[::-1])[::-1], 0.0) / n
    h = np.arange(n + 1.0) / n
    return float(np.min(h + np.sqrt(h**2 + 2 * B * B * behind / n))) if math.isfinite(B) else math.nan
