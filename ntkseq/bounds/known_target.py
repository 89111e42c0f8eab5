"""How many examples does the recurrent kernel need for a known target? A rigorous bound before any label is seen."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ntkseq import _checks
from ntkseq._bound import Bound, Constants, Term, total
from ntkseq._outward import outward
from ntkseq._types import AnyKernel, AnyTarget, ArrayLike
from ntkseq.bounds.assumptions import beforehand, independent, like_these, noiseless
from ntkseq.bounds.losses import ABSOLUTE
from ntkseq.bounds.uniform import confidence, multiple
from ntkseq.norms.every_step import every_step_norm
from ntkseq.norms.rkhs import rkhs_norm
from ntkseq.norms.tokens import Tokens

KERNEL = "the kernel interpolant of noiseless labels (not a network of finite width)"


def target_risk(
    target: AnyTarget,
    kernel: AnyKernel,
    x: ArrayLike | Tokens,
    *,
    n: int | None = None,
    delta: float = 0.05,
    B0: float = 1.0,
    tried: int = 1,
) -> Bound[RiskConstants]:
    """Bound the test loss of the kernel interpolant of a target before any label is seen, rigorously.

        E min(1, |f_n - f|) <= 2 i B0 kappa/sqrt(n) + sqrt(log(i (i+1) tried/delta)/(2n)),    i = max(1, ceil(|f|/B0))

    with |f| from `norms.rkhs_norm` and kappa^2 = K(x, x), which constant token norms fix. It is (bounds.4) for every
    function of at most the norm of f, of which the interpolant f_n of y_i = f(x_i) is one; `rademacher(K, y,
    kappa=...)` puts the measured y'K^-1 y in its place, which is smaller.

    Args:
        target: the labels' function, see `norms.rkhs_norm`.
        kernel: a `kernels.Recurrent` of the relu family with the last read-out.
        x: inputs (n, t, d), or a `norms.Tokens`.
        n: number of examples; None: those of x.
        delta: the probability that the bound fails.
        B0: grid of the norm, fixed beforehand.
        tried: how many kernels or B0 were looked at with these data.

    Returns:
        Bound; inf with the reason where the norm has no finite bound.

    Raises:
        ValueError: as `norms.rkhs_norm`; no n where x is a `norms.Tokens`.

    Reference: bartlett2002rademacher for the ingredients; recurrent_bounds.10.

    Example:
        >>> from ntkseq import concepts, kernels
        >>> f = concepts.Additive([(2, [0.6, 0.8], concepts.series.polynomial([0, 1]))])
        >>> law = Tokens.declared([1.0] * 3, features=2)
        >>> target_risk(f, kernels.Recurrent.preset("allen-zhu-li"), law, n=10_000).certified
        True
    """
    delta, B0 = _checks.probability("delta", delta), _checks.nonnegative("B0", B0, positive=True)
    tried = _checks.positive_int("tried", tried)
    if n is None:
        if isinstance(x, Tokens):
            raise ValueError("n must be given, the number of examples, since x declares token norms only.")
        n = len(x)  # pyright: ignore[reportArgumentType]
    n = _checks.positive_int("n", n)
    norm = rkhs_norm(target, kernel, x)
    size, kappa = math.sqrt(norm.value or 0.0), math.sqrt(norm.constants.kernel_diagonal)
    i, terms = _terms("2 i B0 kappa/sqrt(n)", size, kappa, n=n, delta=delta, B0=B0, tried=tried)
    return Bound(
        name="risk of the kernel interpolant of a known target",
        quantity=ABSOLUTE.risk("f_n(x)", "f(x)"),
        value=total(terms),
        terms=terms,
        assumptions=(
            independent(),
            beforehand("target, kernel, B0, n, delta", tried),
            noiseless(),
            *norm.assumptions,
            like_these("shared parts"),
        ),
        delta=delta,
        applies_to=KERNEL,
        references=("bartlett2002rademacher", "wang2021rnn"),
        constants=RiskConstants(n, size, i, B0, kappa, tried),
        reason=norm.reason,
    )


def sample_size(
    target: AnyTarget,
    kernel: AnyKernel,
    x: ArrayLike | Tokens,
    *,
    eps: float,
    delta: float = 0.05,
    B0: float = 1.0,
    tried: int = 1,
) -> Bound[SampleSizeConstants]:
    """Bound the number of examples after which the kernel interpolant of a target errs by at most eps.

        n >= ((2 i B0 kappa + sqrt(log(i (i+1) tried/delta)/2)) / eps)^2

    Args:
        target, kernel, x: as in `target_risk`; x may be a `norms.Tokens`.
        eps: the wanted expected loss min(1, |f_n - f|), in (0, 1).
        delta: the probability that it is missed.
        B0: grid of the norm, fixed beforehand.
        tried: how many kernels or B0 are looked at with the data.

    Returns:
        Bound of the least sufficient n, an integer; inf with the reason where the norm has no finite bound.

    Raises:
        ValueError: an eps outside (0, 1); as `target_risk`.

    Reference: recurrent_bounds.11.

    Example:
        >>> from ntkseq import concepts, kernels
        >>> f = concepts.Additive([(2, [0.6, 0.8], concepts.series.polynomial([0, 1]))])
        >>> law = Tokens.declared([1.0] * 3, features=2)
        >>> sample_size(f, kernels.Recurrent.preset("allen-zhu-li"), law, eps=0.1).certified
        True
    """
    eps = _checks.probability("eps", eps)
    one = target_risk(target, kernel, x, n=1, delta=delta, B0=B0, tried=tried)
    value = one.value if one.value is not None else math.inf
    needed = float(math.ceil((value / eps) ** 2 * (1 + 1e-12))) if math.isfinite(value) else math.inf
    term = Term(
        "examples",
        "((2 i B0 kappa + sqrt(log(i(i+1) tried/delta)/2))/eps)^2",
        needed,
        explicit=True,
        provenance="derived",
    )
    return Bound(
        name="sample size for a known target",
        quantity=f"least n with {one.quantity} at most {eps!r}",
        value=needed,
        terms=(term,),
        assumptions=one.assumptions,
        delta=one.delta,
        applies_to=KERNEL,
        references=one.references,
        constants=SampleSizeConstants(**{**one.constants.to_dict(), "n": needed}, eps=eps),
        trivial=None,
        reason=one.reason,
    )


def every_step_risk(
    target: AnyTarget,
    kernel: AnyKernel,
    x: ArrayLike | Tokens,
    *,
    n: int,
    delta: float = 0.05,
    B0: float = 1.0,
    tried: int = 1,
) -> Bound[StepsRiskConstants]:
    """Bound the test loss of the kernel interpolant of a position-to-position target before any label is seen.

        E mean_t min(1, |f_n,t - f_t|) <= (2/T) sum_t i B0 kappa_t/sqrt(n) + sqrt(log(i (i+1) tried/delta)/(2n))

    over the steps that the target feeds, with i = max(1, ceil(|f|/B0)), |f| of `norms.every_step_norm` and
    kappa_t^2 = `K[t, t](x, x)`; see `rademacher_steps`.

    Args:
        target, kernel, x: as in `norms.every_step_norm`.
        n: number of sequences.
        delta, B0, tried: as in `target_risk`.

    Returns:
        Bound; inf with the reason where the norm has no finite bound.

    Raises:
        ValueError: as `norms.every_step_norm`.

    Reference: bartlett2002rademacher.

    Example:
        >>> from ntkseq import concepts, kernels
        >>> f = concepts.PositionToPosition([(1, j, 0, [0.6, 0.8], concepts.series.polynomial([0, 1])) for j in (2, 3)])
        >>> law = Tokens.declared([1.0] * 4, common=[1.0, 0, 0, 0], features=2)
        >>> every_step_risk(f, kernels.Recurrent.preset("allen-zhu-li"), law, n=10_000).certified
        True
    """
    n, tried = _checks.positive_int("n", n), _checks.positive_int("tried", tried)
    delta, B0 = _checks.probability("delta", delta), _checks.nonnegative("B0", B0, positive=True)
    norm = every_step_norm(target, kernel, x)
    size, kappa = norm.constants.norm, np.sqrt(norm.constants.kernel_diagonal)
    formula = "(2/T) sum_t i B0 kappa_t/sqrt(n)"
    i, terms = _terms(formula, size, float(kappa.mean()), n=n, delta=delta, B0=B0, tried=tried)
    return Bound(
        name="risk of the kernel interpolant of a position-to-position target",
        quantity=ABSOLUTE.risk("f_n,t(x)", "f_t(x)", "E mean_t"),
        value=total(terms),
        terms=terms,
        assumptions=(
            independent(),
            beforehand("target, kernel, B0, n, delta", tried),
            noiseless(", at the steps that f feeds"),
            *norm.assumptions,
            like_these("first token"),
        ),
        delta=delta,
        applies_to="the kernel interpolant of noiseless labels of all steps (not a network of finite width)",
        references=("bartlett2002rademacher", "allenzhu2019rnn"),
        constants=StepsRiskConstants(n, size, i, B0, tuple(kappa.tolist()), tried),
        reason=norm.reason,
    )


@dataclass(frozen=True)
class RiskConstants(Constants):
    """Numbers of a bound before any label is seen.

    Attributes:
        n: the number of examples.
        norm: the bound of |f|.
        i: the step of the grid of the norm, the least with norm <= i B0.
        B0, tried: as given.
        kappa: the root of K(x, x).
    """

    n: int
    norm: float
    i: float
    B0: float
    kappa: float
    tried: int


@dataclass(frozen=True)
class SampleSizeConstants(Constants):
    """As `RiskConstants`, with the number of examples that suffices, inf where none is known, and the accuracy."""

    n: float
    norm: float
    i: float
    B0: float
    kappa: float
    tried: int
    eps: float


@dataclass(frozen=True)
class StepsRiskConstants(Constants):
    """As `RiskConstants`, with the root of K[t, t](x, x) of every step that the target feeds."""

    n: int
    norm: float
    i: float
    B0: float
    kappa: tuple[float, ...]
    tried: int


def _terms(
    formula: str, size: float, kappa: float, *, n: int, delta: float, B0: float, tried: int
) -> tuple[float, tuple[Term, Term]]:
    """The step of the grid that holds a norm, and capacity and confidence there; inf where the norm is."""
    capacity = sure = i = math.inf
    if math.isfinite(size):
        i = multiple(size, B0)
        capacity = 2 * i * B0 * kappa / math.sqrt(n)
        sure = confidence(i, tried, delta, n, ceiling=True)
    note = f"i = {i}, |f| <= {outward(size)}"
    return i, (
        Term("capacity", formula, capacity, explicit=True, provenance="derived", note=note),
        Term("confidence", "sqrt(log(i(i+1) tried/delta)/(2n))", sure, explicit=True, provenance="derived"),
    )
