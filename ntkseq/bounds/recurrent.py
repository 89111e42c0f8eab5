"""What do the theorems on trained recurrent networks say of these data, and what is proved here beside them?"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from ntkseq import _checks, _precision
from ntkseq._bound import Assumption, Bound, Constants, Term
from ntkseq._outward import at_most
from ntkseq._types import AnyTarget, ArrayLike, GramLike
from ntkseq.bounds.assumptions import independent, noiseless
from ntkseq.bounds.kernel import rademacher
from ntkseq.bounds.known_target import target_risk
from ntkseq.concepts import Additive, NVariable, WholeSequence, complexity
from ntkseq.kernels import Recurrent
from ntkseq.norms.tokens import Tokens, same_norm

LOW = "recalled with low confidence"
BESIDE = "proved here, for the kernel predictor"

OPTIMUM = Term(
    "optimum",
    "OPT, least loss in the class",
    None,
    explicit=True,
    provenance="recalled",
    note="0 for labels of the class",
)


def allen_zhu_li2019(
    target: AnyTarget,
    x: ArrayLike,
    y: ArrayLike,
    *,
    eps: float = 0.1,
    width: int | None = None,
    outputs: int = 1,
    **own: Any,
) -> Bound[AllenZhuLiConstants]:
    """State the theorem of Allen-Zhu & Li with its checkable assumptions; it has no number.

        E loss of the SGD iterates <= OPT + eps,    m >= poly(C, 1/eps), n >= poly(C, 1/eps, log m)

    C = C_eps(Phi, R) with R = sqrt(t). Degrees and constants of the polynomials are hidden in the paper: those terms
    are rate only. What is proved here for the kernel predictor stands beside them.

    Args:
        target: the labels' function, a `concepts.Additive` of the last step.
        x: inputs (n, t, d), in the paper's format: |x[0]| = 1, later tokens of one small norm eps_x.
        y: labels (n,).
        eps: the accuracy asked for, in (0, 1).
        width: the network's width m, for rho and lambda; None leaves them out.
        outputs: the number of outputs of a step.
        **own: `K`, `delta`, `B0`, `tried` of the bounds beside it; with the Gram matrix `K` of the preset
            "allen-zhu-li" the one from y'K^-1 y is shown, too.

    Returns:
        Bound without a value, never certified.

    Raises:
        ValueError: another target, inputs or labels that do not fit.

    Reference: allenzhu2019rnn, Theorem 1, recalled; its factors rho, lambda, eta as panigrahi2021rnn states them.
    """
    _kind(target, (Additive,), "allen_zhu_li2019")
    facts = _Facts.of(target, x, y, eps, K=own.get("K"))
    R = math.sqrt(facts.tokens.steps)
    return _report(
        facts,
        "Allen-Zhu & Li 2019, Theorem 1, recalled",
        "E of the loss over the SGD iterates",
        (
            OPTIMUM,
            Term(
                "excess",
                "eps, once m and n are large enough",
                None,
                explicit=False,
                provenance="recalled",
                note=f"asked for: {eps:g}",
            ),
        ),
        (*_sizes(facts, target, R, f"R = sqrt(t), {LOW}", "C, 1/eps", width, outputs),),
        (
            *_format(facts),
            Assumption("target", "additive in the tokens before the last one", *_before_last(target, facts)),
            _loss_range(facts),
        ),
        _own(target, "allen-zhu-li", facts, own),
        AllenZhuLiConstants(len(facts.y), eps, R),
        ("allenzhu2019rnn", "panigrahi2021rnn"),
    )


def wang_shen2021(target: AnyTarget, x: ArrayLike, y: ArrayLike, **own: Any) -> Bound[WangShenConstants]:
    """State what is known here of the theorems of Wang, Shen, Hu & Cao; they have no number.

        P(sign f(x) != y) <= O~(poly(t) sqrt(y'K^-1 y/n)) + O(sqrt(log(1/delta)/n))

    Of the paper the abstract was at hand: additive targets without a small token norm, and functions of N tokens with N
    or their span small, are learnt from almost polynomially many examples in t. The exponents of t, N and the span are
    not known here, and for early tokens `norms.rkhs_norm` grows faster than any polynomial in t.

    Args:
        target: the labels' function, a `concepts.Additive` or `NVariable`.
        x: inputs (n, t, d).
        y: labels (n,); the theorem is for -1/+1.
        **own: `K`, `delta`, `B0`, `tried` of the bounds beside it, see `allen_zhu_li2019`.

    Returns:
        Bound without a value, never certified.

    Raises:
        ValueError: another target, inputs or labels that do not fit.

    Reference: wang2021rnn, the abstract; the form of the bound is recalled with low confidence.
    """
    _kind(target, (Additive, NVariable), "wang_shen2021")
    facts = _Facts.of(target, x, y, None, rate_only=True, K=own.get("K"))
    signs = bool(np.isin(facts.y, (-1.0, 1.0)).all())
    constants = WangShenConstants(len(facts.y), facts.tokens.steps)
    if isinstance(target, NVariable):
        constants = NVariableConstants(**constants.to_dict(), variables=target.variables, span=target.span)
    return _report(
        facts,
        "Wang, Shen, Hu & Cao 2021, recalled",
        "P(sign f(x) != y)",
        (
            Term("capacity", "O~(poly(t) sqrt(y'K^-1 y/n))", None, explicit=False, provenance="recalled", note=LOW),
            Term("confidence", "O(sqrt(log(1/delta)/n))", None, explicit=False, provenance="recalled", note=LOW),
        ),
        (),
        (Assumption("labels", "y_i = -1 or +1", "holds" if signs else "fails", facts.range),),
        _own(target, "allen-zhu-li", facts, own),
        constants,
        ("wang2021rnn",),
    )


def panigrahi_goyal2021(
    target: Any,
    x: ArrayLike,
    y: ArrayLike,
    *,
    eps: float = 0.1,
    width: int | None = None,
    outputs: int = 1,
    **own: Any,
) -> Bound[PanigrahiGoyalConstants]:
    """State the theorem of Panigrahi & Goyal with its checkable assumptions; it has no number.

        E loss of the SGD iterates <= OPT + eps + 1/poly(rho),    m, n >= poly(C, p, t, outputs, 1/eps)

    C = C_eps(Phi, O(1/eps_x)); its O(.) is hidden, and C is shown with 1/eps_x in its place.

    Args:
        target: a `concepts.WholeSequence`.
        x, y, eps, width, outputs: as for `allen_zhu_li2019`; the last token has norm 1, too.
        **own: as for `allen_zhu_li2019`, with the preset "panigrahi-goyal".

    Returns:
        As `allen_zhu_li2019`.

    Raises:
        ValueError: another target, inputs or labels that do not fit.

    Reference: panigrahi2021rnn.
    """
    _kind(target, (WholeSequence,), "panigrahi_goyal2021")
    facts = _Facts.of(target, x, y, eps, K=own.get("K"))
    inner = facts.norms[1:-1]
    R = 1 / float(inner.max()) if len(inner) and inner.max() > 0 else math.inf
    departures = target.departures
    return _report(
        facts,
        "Panigrahi & Goyal 2021, recalled",
        "E of the loss over the SGD iterates",
        (
            OPTIMUM,
            Term(
                "excess",
                "eps + 1/poly(rho)",
                None,
                explicit=False,
                provenance="recalled",
                note=f"asked for: eps = {eps:g}",
            ),
        ),
        (*_sizes(facts, target, R, "R = 1/eps_x for O(1/eps_x)", "C, p, t, outputs, 1/eps", width, outputs),),
        (
            *_format(facts, last=True),
            Assumption("target", "weights at most 1, unit directions, 0 at 0", *_listed(departures)),
            _loss_range(facts),
        ),
        _own(target, "panigrahi-goyal", facts, own),
        PanigrahiGoyalConstants(len(facts.y), eps, R, terms=len(target.series)),
        ("panigrahi2021rnn",),
    )


@dataclasses.dataclass(frozen=True)
class AllenZhuLiConstants(Constants):
    """The number of examples, the accuracy asked for, and the radius of the complexity."""

    n: int
    eps: float
    R: float


@dataclasses.dataclass(frozen=True)
class PanigrahiGoyalConstants(AllenZhuLiConstants):
    """`AllenZhuLiConstants` and the number of terms of the target."""

    terms: int


@dataclasses.dataclass(frozen=True)
class WangShenConstants(Constants):
    """Numbers of examples and steps."""

    n: int
    steps: int


@dataclasses.dataclass(frozen=True)
class NVariableConstants(WangShenConstants):
    """`WangShenConstants` with the number of tokens that the target reads, and how far they are apart."""

    variables: int
    span: int


C = TypeVar("C", bound=Constants)


@dataclasses.dataclass(frozen=True, eq=False)
class _Facts:
    """The data as the theorems see them."""

    x: Any
    y: np.ndarray
    tokens: Tokens
    norms: np.ndarray
    eps: float | None
    noiseless: Assumption

    @classmethod
    def of(
        cls, target: AnyTarget, x: ArrayLike, y: ArrayLike, eps: Any, *, K: GramLike | None, rate_only: bool = False
    ) -> _Facts:
        _checks.outside("K", K, "")
        if isinstance(x, Tokens):
            raise ValueError("x must be the inputs (n, t, d) here; got declared tokens. target_risk takes those.")
        tokens = Tokens.measured(x)
        y = _checks.labels("y", y, len(x))  # pyright: ignore[reportArgumentType]
        found = jax.vmap(target)(jnp.asarray(x))  # in the dtype that sets the tolerance below
        gap = float(np.max(np.abs(np.asarray(found, np.float64) - y)))
        allowed = 256 * _precision.eps(found.dtype) * (1.0 + float(np.max(np.abs(y))))
        status = "unresolved" if gap <= allowed else "fails"  # f is known to rounding only
        eps = None if rate_only else _checks.probability("eps", eps)
        said = noiseless("", status, f"largest difference {gap:.2g}")
        return cls(x, y, tokens, np.sqrt(tokens.squares), eps, said)

    @property
    def range(self) -> str:
        return f"labels in [{self.y.min():.4g}, {self.y.max():.4g}]"


def _sizes(facts: _Facts, target: Any, R: float, note: str, within: str, width: int | None, outputs: int) -> list[Term]:
    """The factors the papers state, beside the bound."""
    found = []
    if math.isfinite(R):
        one = complexity(target, R, kind="epsilon", eps=facts.eps)
        reason = f"; {one.reason}" if one.reason else ""
        found.append(
            Term(
                "ln C",
                "ln C_eps(Phi, R), C* = 1e4",
                one.log,
                explicit=False,
                provenance="recalled",
                note=note + reason,
                counted=False,
            )
        )
    for name, formula in (
        ("width", f"m >= poly({within})"),
        ("examples", f"n >= poly({within}, log m)"),
        ("steps of SGD", "Theta(p^2 C^2 poly(rho)/eps^2), eta = Theta(1/(eps rho^2 m))"),
        ("failure", "exp(-Omega(rho^2)) over the initial weights"),
    ):
        found.append(Term(name, formula, None, explicit=False, provenance="recalled", counted=False))
    if width is not None:
        t, outputs = facts.tokens.steps, _checks.positive_int("outputs", outputs)
        rho = 100 * t * outputs * math.log(_checks.positive_int("width", width))
        found.append(Term("rho", "100 t outputs ln m", rho, explicit=True, provenance="recalled", counted=False))
        scale = (facts.eps or 0.0) / (10 * t * rho) if rho > 0 else math.inf
        found.append(Term("lambda", "eps/(10 t rho)", scale, explicit=True, provenance="recalled", counted=False))
    return found


def _format(facts: _Facts, last: bool = False) -> list[Assumption]:
    """The papers' format of inputs: a common unit token, then tokens of one small norm eps_x."""
    norms, shared, x = facts.norms, facts.tokens, np.asarray(facts.x)
    first = same_norm(x[:, 0], norm=1.0) if shared.varying[0] == 0 else "fails"
    rest = norms[1:-1] if last else norms[1:]
    eps_x = float(rest.max()) if len(rest) else math.nan
    same = same_norm(x[:, 1 : -1 if last else None].reshape(-1, x.shape[2])) if eps_x > 0 else "fails"
    ends = [Assumption("last token", "common to all inputs", "holds" if shared.varying[-1] == 0 else "fails")]
    return [
        shared.assumption,
        Assumption("first token", "common, of norm 1", first, f"norm {norms[0]:.9g}"),
        *(ends if last else []),
        Assumption("later tokens", "all of norm eps_x", same, f"largest {eps_x:.4g}"),
        Assumption("eps_x", "small: 1/poly(rho)", "unchecked", f"eps_x = {eps_x:.4g}; the paper hides how small"),
    ]


def _loss_range(facts: _Facts) -> Assumption:
    inside = float(np.abs(facts.y).max()) <= 1
    return Assumption("loss", "G(0, y) in [-1, 1], G convex, 1-Lipschitz", "holds" if inside else "fails", facts.range)


def _before_last(target: Any, facts: _Facts) -> tuple[str, str]:
    late = [p for p, _, _ in target.parts if p >= facts.tokens.steps - 1]
    return ("fails", f"reads position {late[0]}") if late else ("holds", "as declared by the target")


def _listed(departures: tuple[str, ...]) -> tuple[str, str]:
    return ("fails", "; ".join(departures)) if departures else ("holds", "as declared by the target")


def _own(target: Any, preset: str, facts: _Facts, own: dict[str, Any]) -> list[Term]:
    """Our bounds for the kernel predictor, as terms beside the theorem's."""
    if unknown := set(own) - {"K", "delta", "B0", "tried"}:
        raise ValueError(f"unknown options {sorted(unknown)}; there are K, delta, B0, tried.")
    K = own.pop("K", None)
    risk = target_risk(target, Recurrent.preset(preset), facts.x, **own)
    found: list[tuple[str, Bound]] = [("from |f|_K", risk)]
    if K is not None:
        found.append(("from y'K^-1 y", rademacher(K, facts.y, **own)))
    terms = []
    for name, bound in found:
        objections = bound.objections
        if bound is risk and facts.noiseless.status == "fails":
            objections = (*objections, "the labels are not those of the target")
        chance = f", delta = {at_most(bound.delta or 0.0)}"
        note = BESIDE + (f"; not certified: {'; '.join(objections)}" if objections else chance)
        terms.append(
            Term(
                name,
                bound.quantity,
                bound.value,
                explicit=not objections,
                provenance="derived",
                note=note,
                counted=False,
            )
        )
    return terms


def _report(
    facts: _Facts,
    name: str,
    quantity: str,
    stated: tuple[Term, ...],
    beside: tuple[Term, ...],
    assumptions: tuple[Assumption, ...],
    own: list[Term],
    constants: C,
    references: tuple[str, ...],
) -> Bound[C]:
    hidden = Assumption("width, steps", "as large as the paper asks", "unchecked", "degrees and constants are hidden")
    return Bound(
        name=name,
        quantity=quantity,
        value=None,
        terms=(*stated, *beside, *own),
        assumptions=(independent(), facts.noiseless, *assumptions, hidden),
        applies_to="trained recurrent network, width -> infinity",
        references=references,
        constants=constants,
        reason="the paper states a rate only",
    )


def _kind(target: Any, wanted: tuple[type, ...], where: str) -> None:
    if not isinstance(target, wanted):
        names = " or ".join(f"concepts.{one.__name__}" for one in wanted)
        raise ValueError(f"target must be a {names} in {where}; got {type(target).__name__}.")
