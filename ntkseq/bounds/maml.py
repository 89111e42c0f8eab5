"""How large, and how small, can the excess risk of MAML trained by averaged SGD be on mixed linear regression?"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np

from ntkseq import _checks
from ntkseq._bound import Assumption, Bound, Constants, Term, total
from ntkseq._types import ArrayLike, Problem
from ntkseq.bounds import maml_forms
from ntkseq.bounds.assumptions import gaussian
from ntkseq.bounds.maml_forms import OUTWARD, Sides
from ntkseq.risks import MixedRegression, grids

FORMS = ("derived", "paper")
QUANTITY = "E excess risk of the averaged iterate"


def maml_upper(problem: Problem, steps: int, *, form: str = "derived", **constants: Any) -> Bound[MamlConstants]:
    """Bound the excess risk after `steps` steps from above.

        derived   sum Xi start^2/mu / (2 alpha^2 T) + sum Xi (f + c s0) / (1 - alpha c tr Sigma)             (maml.14)
        paper     2 sum Xi start^2/mu / (alpha^2 T) + 2 sum Xi (f + 2 c s0) / (1 - alpha c tr Sigma)         (maml.16)

    Xi = mu_te/(T mu) min(1, (alpha T mu)^2) are the effective meta weights and s0 = sum min(1, 1/(alpha T mu)) lam
    start^2. c and f differ between the forms: of the first they are computed from the moments of the gradients, of the
    second from assumption constants of the paper, recalled.

    Args:
        problem: see `risks.MixedRegression`; one made by `of_kernel` says that its inputs are no Gaussians.
        steps: T.
        form: "derived", certified where its conditions hold, or "paper", never certified.
        **constants: of the paper's form: c1 (3), b1 (1), sigma_x (1), the values of Gaussian inputs, and C (computed).

    Returns:
        Bound of the expectation over training; NaN with the reason where a condition fails: beyond the limit of the
        step size the formula gives negative numbers.

    Raises:
        ValueError: an unknown form, constants that the form does not have.

    Reference: huang2022maml; derived: maml.12 to maml.14.

    Example:
        >>> from ntkseq import risks
        >>> problem = risks.MixedRegression([1.0, 0.5, 0.25], 1.0, noise=0.5, n1=4, n2=3, beta_tr=0.3, alpha=0.05)
        >>> bound = maml_upper(problem, 50)
        >>> bound.certified, bool(bound.value > risks.risk(problem, 50).total[-1])
        (True, True)
    """
    steps, found = _found(problem, steps, form, constants)
    factor = "2 sum Xi start^2/mu / (alpha^2 T)" if form == "paper" else "sum Xi start^2/mu / (2 alpha^2 T)"
    rest = "2 sum Xi (f + 2 c s0)" if form == "paper" else "sum Xi (f + c s0)"
    provenance = "recalled" if form == "paper" else "derived"
    terms = (
        Term("bias", factor, float(found.upper_bias), explicit=True, provenance=provenance),
        Term(
            "variance",
            f"{rest} / (1 - alpha c tr Sigma)",
            float(found.upper_variance),
            explicit=True,
            provenance=provenance,
        ),
    )
    return _bound(
        f"upper bound for MAML, {form} form", problem, steps, form, found, terms, bool(found.upper_holds), False
    )


def maml_lower(problem: Problem, steps: int, *, form: str = "derived", **constants: Any) -> Bound[MamlConstants]:
    """Bound the excess risk after `steps` steps from below.

        derived   sum mu_te [start^2 (1-a^T)^2/x^2 + alpha^2 pi V_T(a)/((1-a^2) T^2)] / 2                    (maml.15)
        paper     sum Xi start^2/mu / (100 alpha^2 T) + sum Xi (g/100 + b1 s0/1000) / n2                     (maml.16)

    a = 1 - alpha mu, x = alpha T mu. The paper's form, as recalled, has a factor 1/(1 - alpha c tr Sigma) on its
    variance with which it is false near the limit of the step size; it is left out here. It speaks of T >= 2, for at
    T = 1 the variance is 0.

    The bound's `lower` is True: certified, it prints `>=`.

    Args:
        problem, steps, form, **constants: as for `maml_upper`.

    Raises:
        ValueError: as for `maml_upper`.

    Reference: huang2022maml; derived: maml.15.

    Example:
        >>> from ntkseq import risks
        >>> problem = risks.MixedRegression([1.0, 0.5, 0.25], 1.0, noise=0.5, n1=4, n2=3, beta_tr=0.3, alpha=0.05)
        >>> bound = maml_lower(problem, 50)
        >>> bound.certified, bool(bound.value < risks.risk(problem, 50).total[-1])
        (True, True)
    """
    steps, found = _found(problem, steps, form, constants)
    if form == "paper":
        parts = "sum Xi start^2/mu / (100 alpha^2 T)", "sum Xi (g/100 + b1 s0/1000) / n2"
    else:
        parts = "sum mu_te start^2 (1-a^T)^2/x^2 / 2", "sum mu_te alpha^2 pi V_T(a)/((1-a^2) T^2) / 2"
    provenance = "recalled" if form == "paper" else "derived"
    note = "without the factor 1/(1 - alpha c tr Sigma), with which it is false" if form == "paper" else ""
    terms = (
        Term("bias", parts[0], float(found.lower_bias), explicit=True, provenance=provenance),
        Term("variance", parts[1], float(found.lower_variance), explicit=True, provenance=provenance, note=note),
    )
    name = "lower bound for MAML, " + ("paper's form, factor-free" if form == "paper" else "derived form")
    return _bound(name, problem, steps, form, found, terms, bool(found.lower_holds), True)


def maml_sides(
    problem: Problem,
    horizons: ArrayLike,
    *,
    form: str = "derived",
    axes: Mapping[str, Any] | None = None,
    **constants: Any,
) -> Sides:
    """Both bounds at many horizons at once, as arrays: for curves and grids. NaN where a condition fails.

    Args:
        problem, form, **constants: as for `maml_upper`.
        horizons: T, any shape, integers of 1 or more.
        axes: numbers of the problem that vary -> their values, as for `risks.grid`; all combinations are taken.

    Returns:
        Sides, whose arrays have one axis for each of `axes` and then the shape of horizons. Without axes it has the
        constants behind the bounds, too.

    Raises:
        ValueError: horizons below 1; as for `maml_upper` and `risks.grid`.

    Reference: huang2022maml.

    Example:
        >>> from ntkseq import risks
        >>> problem = risks.MixedRegression([1.0, 0.5], 1.0, noise=0.5, n1=4, n2=3, alpha=0.05)
        >>> maml_sides(problem, [10, 100], axes={"beta_tr": [-0.3, 0.0, 0.3]}).upper_bias.shape
        (3, 2)
    """
    horizons = _checks.integers("horizons", horizons, 1)
    if axes is None:
        return _sides(problem, horizons, form, constants)
    shape, problems = grids.variants(problem, axes)
    found = [_sides(one, horizons, form, constants) for one in problems]
    names = [field.name for field in dataclasses.fields(Sides) if field.name != "constants"]
    stacked = {name: np.stack([getattr(one, name) for one in found]) for name in names}
    return Sides(**{name: a.reshape(*shape, *horizons.shape) for name, a in stacked.items()}, constants=None)


def _found(problem: Problem, steps: ArrayLike, form: str, constants: dict[str, Any]) -> tuple[int, Sides]:
    steps = _checks.positive_int("steps", steps)
    return steps, _sides(problem, np.asarray(steps), form, constants)


def _sides(problem: Problem, T: np.ndarray, form: str, constants: dict[str, Any]) -> Sides:
    if not isinstance(problem, MixedRegression):
        raise ValueError(f"problem must be a risks.MixedRegression; got {type(problem).__name__}.")
    _checks.choice("form", form, FORMS)
    if form == "derived":
        if constants:
            raise ValueError(f"the derived form has no constants to give; got {', '.join(constants)}.")
        return maml_forms.derived(problem, T)
    unknown = set(constants) - {"c1", "b1", "sigma_x", "C"}
    if unknown:
        raise ValueError(f"constants of the paper's form are c1, b1, sigma_x and C; got {', '.join(sorted(unknown))}.")
    return maml_forms.paper(problem, T, **constants)


def _bound(
    name: str, problem: Problem, steps: int, form: str, found: Sides, terms: Any, holds: bool, lower: bool
) -> Bound[MamlConstants]:
    assumptions = [*_law(problem), *_conditions(problem, steps, form, found, lower)]
    failed = [a.statement for a in assumptions if a.status in ("fails", "unresolved")]
    given = found.constants
    if isinstance(given, maml_forms.Paper):
        numbers = PaperConstants(steps, problem.alpha, problem.alpha_max, **dataclasses.asdict(given))
    else:
        assert given is not None  # the two sides of one problem
        numbers = MamlConstants(steps, problem.alpha, problem.alpha_max, given.c, given.f)
    return Bound(
        name=name,
        quantity=f"{QUANTITY}, T = {steps}",
        value=total(terms) if holds else math.nan,
        terms=terms,
        assumptions=tuple(assumptions),
        applies_to="MAML on linear models with Gaussian inputs, averaged SGD, one fresh task per step",
        references=("huang2022maml",),
        constants=numbers,
        trivial=0.0 if lower else None,
        reason="" if holds else f"a condition fails: {'; '.join(failed)}",
        lower=lower,
    )


@dataclasses.dataclass(frozen=True)
class MamlConstants(Constants):
    """Steps, step size and its limit, and the c and f of the form."""

    T: int
    alpha: float
    alpha_max: float
    c: float
    f: float


@dataclasses.dataclass(frozen=True)
class PaperConstants(MamlConstants):
    """`MamlConstants` with what the paper's form has besides: g, C, the limit of its step size, and b1."""

    g: float
    C: float
    alpha_limit: float
    b1: float


def _law(problem: Problem) -> list[Assumption]:
    if problem.surrogate:
        return [gaussian("unchecked", problem.surrogate)]
    return [gaussian("declared", "the spectrum is that of their law")]


def _conditions(problem: Problem, steps: int, form: str, found: Sides, lower: bool) -> list[Assumption]:
    """All that the form asks for, each with the number it is about."""
    alpha, mu, lam = problem.alpha, problem.mu_tr, problem.spectrum
    lam_1, total_variance = float(lam.max(initial=0.0)), float(lam.sum())

    def one(name: str, statement: str, holds: bool, evidence: str) -> Assumption:
        return Assumption(name, statement, "holds" if holds else "fails", evidence)

    def below(name: str, statement: str, value: float, evidence: str = "") -> Assumption:
        """Whether value <= 1, as far as its rounding tells."""
        known = "holds" if value * (1 + OUTWARD) <= 1 else "fails" if value * (1 - OUTWARD) > 1 else "unresolved"
        return Assumption(name, statement, known, evidence or f"{value:.4g}")

    least = float(mu.min()) if problem.d else math.inf
    listed = [one("mu > 0", "every eigenvalue of H_{n1, beta_tr} is positive", least > 0, f"the least is {least:.4g}")]
    if form == "derived":
        most = alpha * float(mu.max(initial=0.0))
        listed.append(below("monotone", "alpha mu_max <= 1", most))
        if not lower:
            assert isinstance(found.constants, maml_forms.Derived)
            listed.append(below("step size", "alpha c tr Sigma < 1", found.constants.share))
        return listed
    for which, beta in (("beta_tr", problem.beta_tr), ("beta_te", problem.beta_te)):
        inside = Fraction(abs(beta)) * Fraction(lam_1) < 1  # of the numbers that were given, exactly
        listed.append(one(which, f"|{which}| lambda_1 < 1", inside, f"{abs(beta) * lam_1:.4g}"))
    assert isinstance(found.constants, maml_forms.Paper)
    share = alpha * found.constants.c * total_variance
    listed.append(below("step size", "0 < alpha c tr Sigma < 1", share if share > 0 else math.inf, f"{share:.4g}"))
    listed.append(one("commuting", "E[x x' Sigma x x'] commutes with Sigma", True, "so it is for Gaussian inputs"))
    constants = "c1 (fourth moments), b1, sigma_x (tails), C (higher moments) are those of the inputs"
    listed.append(Assumption("constants", constants, "declared", "defaults and C belong to Gaussian inputs"))
    if lower:
        listed.append(one("two steps", "T >= 2", steps >= 2, f"T = {steps}"))
    return listed
