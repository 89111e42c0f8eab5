"""What do theorems on ridge regression and interpolation say of a spectrum? Their forms, recalled, never certified."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ntkseq import _checks
from ntkseq._bound import Assumption, Bound, Constants, Term, total
from ntkseq._types import GramLike
from ntkseq.bounds.assumptions import beforehand, ceiling
from ntkseq.bounds.system import System, system
from ntkseq.grams.arrays import symmetric
from ntkseq.grams.base import DenseGram

_NO_LABELS = "the excess risk over the best function of the space"


def benign_overfitting(
    K: GramLike,
    *,
    n: int | None = None,
    noise: float,
    norm: float,
    b: float = 1.0,
    constant: float = 1.0,
    delta: float = 0.05,
    center: bool = True,
) -> Bound[BenignConstants]:
    """Evaluate the rate of Bartlett, Long, Lugosi and Tsigler for the interpolant of noisy labels, as recalled.

        E (f - f*)^2 <= c |f*|^2 s_1 max(sqrt(r_0/n), r_0/n, sqrt(log(1/delta)/n))
                        + c log(1/delta) noise^2 (k*/n + n/R_k*)

    with s_i the eigenvalues of the covariance, r_k = sum_{i>k} s_i / s_{k+1}, R_k = (sum_{i>k} s_i)^2 /
    sum_{i>k} s_i^2, and k* the least with r_k >= b n. The last term is small where few directions lead and many, of
    equal size, are left to hide the noise: overfitting is benign. c and b are not known; 1 stands for both.

    The eigenvalues are those of K/N of N examples. r_k is then at most N - k: to see k*, N must be a multiple of n.

    Args:
        K: Gram matrix of N examples, (N, N).
        n: how many of them are trained on, 1 <= n <= N; None: N.
        noise: the standard deviation of the labels' noise.
        norm: |f*|, of the target in the function space of the kernel.
        b: the constant in the definition of k*.
        constant: stands for c.
        delta: the probability that the rate fails, above exp(-n/c).
        center: take the mean of the features away, HKH with H = I - 1/N; False: the spectrum of K as it is.

    Returns:
        Bound, an estimate; NaN with the reason where no k has r_k >= b n. `constants` has k*, r_0 and R_k with the
        interval of k* that the errors of the eigenvalues leave.

    Raises:
        ValueError: options that do not fit.

    Reference: bartlett2020benign, Theorem 4; risk_bounds.17.

    Example:
        >>> import numpy as np
        >>> bound = benign_overfitting(np.diag([300.0] + [0.5] * 599), n=50, noise=0.1, norm=0.1, center=False)
        >>> bound.constants.k, bound.certified
        (1, False)
    """
    noise, norm = _checks.nonnegative("noise", noise), _checks.nonnegative("norm", norm)
    b, constant = (
        _checks.nonnegative(name, value, positive=True) for name, value in (("b", b), ("constant", constant))
    )
    delta, center = _checks.probability("delta", delta), _checks.flag("center", center)
    known = _centred(K) if center else system(K, np.zeros(len(symmetric(K).matrix)))
    N = known.n
    n = N if n is None else _checks.integer("n", n, 1)
    if n > N:
        raise ValueError(f"n must be at most the number of rows of K, {N}; got {n}. Pass K of more examples.")
    values, errors = _spectrum(known)
    k, low, high = _leading(values, errors, b * n)
    r0, Rk, bias, variance, reason = math.nan, math.nan, math.nan, math.nan, ""
    log = -math.log(delta)
    if k is None:
        reason = f"no k has r_k >= b n = {b * n:.4g}: of {N} eigenvalues r_k is at most {N} - k; pass more examples"
    else:
        r0, tail = float(values.sum() / values[0]), values[k:]
        Rk = float(tail.sum() ** 2 / np.sum(tail**2))
        size = norm * norm * float(values[0]) / N
        bias = constant * size * max(math.sqrt(r0 / n), r0 / n, math.sqrt(log / n))
        variance = constant * log * noise * noise * (k / n + n / Rk)
    note = "" if k is None else f"k* = {k} in [{low}, {'?' if high is None else high}], R_k = {Rk:.4g}"
    terms = (
        Term("bias", "c |f*|^2 s_1 max(sqrt(r_0/n), r_0/n, sqrt(log(1/delta)/n))", bias, explicit=False,
             provenance="recalled", note="" if k is None else f"r_0 = {r0:.4g}"),
        Term("variance", "c log(1/delta) noise^2 (k*/n + n/R_k*)", variance, explicit=False, provenance="recalled",
             note=note),
    )  # fmt: skip
    return Bound(
        name="benign overfitting, the rate of Bartlett, Long, Lugosi and Tsigler 2020",
        quantity="E (f(x) - f*(x))^2",
        value=total(terms),
        terms=terms,
        assumptions=(
            known.independent(),
            beforehand("kernel, noise, norm, b, delta", 1),
            Assumption("features", "whitened features are independent and sub-Gaussian: no kernel's are", "unchecked"),
            Assumption("well specified", "E y is in the function space, noise is sub-Gaussian", "declared"),
            known.semidefinite(),
            known.arithmetic(),
        ),
        delta=delta,
        applies_to="the interpolant of least norm of noisy labels, " + _NO_LABELS,
        references=("bartlett2020benign",),
        constants=BenignConstants(N, n, k, low, high, r0, Rk, b, constant, noise, norm, center),
        trivial=None,
        reason=reason,
    )


def caponnetto_devito2007(
    K: GramLike,
    *,
    reg: float,
    kappa: float,
    norm: float,
    noise: float,
    M: float,
    delta: float = 0.05,
    decay: float | None = None,
) -> Bound[CaponnettoConstants]:
    """Evaluate the bound of Caponnetto and De Vito for ridge regression by the effective dimension, as recalled.

        E (f - f*)^2 <= C (A (1 + kappa^2/(n l)) + kappa^4 B/(n^2 l) + kappa^2 M^2/(n^2 l) + noise^2 N(l)/n)

    with C = 32 log(6/delta)^2, l = reg/n, N(l) = tr T (T + l)^-1, and A <= l |f*|^2/4, B <= |f*|^2 for a target of
    which no more is known. It asks for n >= 2 C kappa^2 N(l)/l. N(l) is that of the sample, sum l_i/(l_i + reg). For
    eigenvalues like i^-decay the best ridge gives the rate n^(-decay/(decay + 1)), which is shown beside it.

    Args:
        K: Gram matrix of the training examples, (n, n).
        reg: the ridge, added to the diagonal, > 0.
        kappa: sup of sqrt(K(x, x)) over all inputs.
        norm: |f*|, of the target in the function space of the kernel.
        noise: the standard deviation of the labels' noise.
        M: the scale of the noise's tail, its largest size if it is bounded.
        delta: the probability that the bound fails.
        decay: the power of the eigenvalues' decay, > 1; None: no rate.

    Returns:
        Bound, an estimate. `constants` has N(l) with its interval.

    Raises:
        ValueError: options that do not fit.

    Reference: caponnetto2007optimal, Theorem 4; risk_bounds.18.

    Example:
        >>> import numpy as np
        >>> bound = caponnetto_devito2007(np.eye(50), reg=50.0, kappa=1.0, norm=0.1, noise=0.1, M=0.1)
        >>> round(bound.constants.dimension, 4), bound.certified
        (0.9804, False)
    """
    reg, kappa = (_checks.nonnegative(name, value, positive=True) for name, value in (("reg", reg), ("kappa", kappa)))
    norm, noise, M = (_checks.nonnegative(name, value) for name, value in (("norm", norm), ("noise", noise), ("M", M)))
    delta = _checks.probability("delta", delta)
    if decay is not None and _checks.number("decay", decay, "a number > 1") <= 1:
        raise ValueError(f"decay must be a number > 1; got {_checks.shown(decay)}. At 1 the trace is infinite.")
    known = system(K, np.zeros(len(symmetric(K).matrix)))
    n, top = known.n, kappa * kappa
    values, errors = _spectrum(known)
    N, low, high = (
        float(np.sum(one / (one + reg)))
        for one in (values, np.maximum(values - errors, 0.0), np.maximum(values + errors, 0.0))
    )
    share, C = reg / n, 32 * (math.log(6) - math.log(delta)) ** 2
    A, B = share * norm * norm / 4, norm * norm
    parts = (
        ("bias", "C l |f*|^2/4 (1 + kappa^2/(n l))", A * (1 + top / reg)),
        ("norm", "C kappa^4 |f*|^2/(n^2 l)", top * top * B / (n * reg)),
        ("tail of the noise", "C kappa^2 M^2/(n^2 l)", top * M * M / (n * reg)),
        ("variance", "C noise^2 N(l)/n", noise * noise * high / n),
    )
    terms = tuple(Term(name, said, C * one, explicit=True, provenance="recalled") for name, said, one in parts)
    if decay is not None:
        rate = float(n ** (-decay / (decay + 1)))
        terms += (Term("rate of the best ridge", "c n^(-decay/(decay + 1))", rate, explicit=False,
                       provenance="recalled", counted=False, note="c = 1 taken"),)  # fmt: skip
    needed = 2 * C * top * high / share
    enough = Assumption(
        "enough examples", "n >= 2 C kappa^2 N(l)/l", "holds" if n >= needed else "fails", f"asks for {needed:.4g}"
    )
    return Bound(
        name=f"Caponnetto and De Vito 2007, Theorem 4, ridge regression, reg = {reg:.3g}",
        quantity="E (f(x) - f*(x))^2",
        value=total(terms),
        terms=terms,
        assumptions=(
            known.independent(),
            beforehand("kernel, reg, kappa, norm, noise, M, delta", 1),
            enough,
            ceiling(np.diagonal(known.matrix), kappa, known.rounding),
            Assumption("well specified", "E y is in the function space, with norm |f*| at most", "declared"),
            known.semidefinite(),
            known.arithmetic(),
        ),
        delta=delta,
        applies_to="kernel ridge regression, " + _NO_LABELS,
        references=("caponnetto2007optimal",),
        constants=CaponnettoConstants(n, N, low, high, C, reg, kappa, norm, noise, M),
        trivial=None,
    )


@dataclass(frozen=True)
class BenignConstants(Constants):
    """Numbers of the rate of benign overfitting.

    Attributes:
        N: the number of eigenvalues.
        n: of examples that are trained on.
        k: k*, the least k with r_k >= b n; None: there is none.
        k_lower, k_upper: it lies in [k_lower, k_upper], by the errors of the eigenvalues; None: no end is known.
        r_0, R_k: the effective ranks of all, and behind the k* leading ones.
        b, constant, noise, norm, center: as given.
    """

    N: int
    n: int
    k: int | None
    k_lower: int | None
    k_upper: int | None
    r_0: float
    R_k: float
    b: float
    constant: float
    noise: float
    norm: float
    center: bool


@dataclass(frozen=True)
class CaponnettoConstants(Constants):
    """Numbers of the bound by the effective dimension.

    Attributes:
        n: the number of examples.
        dimension: N(l) of the sample.
        dimension_lower, dimension_upper: its interval, by the errors of the eigenvalues.
        factor: C = 32 log(6/delta)^2.
        reg, kappa, norm, noise, M: as given.
    """

    n: int
    dimension: float
    dimension_lower: float
    dimension_upper: float
    factor: float
    reg: float
    kappa: float
    norm: float
    noise: float
    M: float


def _centred(K: GramLike) -> System:
    """The system of HKH, whose rounding is that of K, as |H| = 1, and that of two means."""
    held = symmetric(K)
    matrix, gram = held.matrix, held.gram
    rows = matrix.mean(axis=0)
    centred = matrix - rows[:, None] - rows[None, :] + rows.mean()
    off = held.rounding + 4 * len(matrix) * float(np.finfo(np.float64).eps) * _checks.norm(matrix)
    known = DenseGram(0.5 * (centred + centred.T), rounding=off, estimated=gram.estimated, sampling=gram.sampling)
    found = system(known, np.zeros(len(matrix)))
    return System(found.matrix, found.y, found.spectrum, stated=gram.stated, chance=gram.chance)


def _spectrum(known: System) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Eigenvalues from the largest, at least 0, and their errors."""
    order = np.argsort(np.asarray(known.spectrum.values))[::-1]
    errors = np.broadcast_to(np.asarray(known.spectrum.errors), (known.n,))
    return np.maximum(np.asarray(known.spectrum.values)[order], 0.0), errors[order]


def _leading(
    values: Float[np.ndarray, " n"], errors: Float[np.ndarray, " n"], wanted: float
) -> tuple[int | None, int | None, int | None]:
    """The least k with r_k >= wanted, and its least and largest value for eigenvalues within their errors."""

    def first(tails: np.ndarray, heads: np.ndarray) -> int | None:
        with np.errstate(divide="ignore", invalid="ignore"):
            ranks = np.cumsum(tails[::-1])[::-1] / heads
        found = np.flatnonzero((ranks >= wanted) & (tails > 0))
        return int(found[0]) if found.size else None

    low, high = np.maximum(values - errors, 0.0), values + errors
    resolved = np.where(values > errors, values, 0.0)
    return first(resolved, resolved), first(high, np.maximum(low, 1e-300)), first(low, high)
