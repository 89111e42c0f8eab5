"""What do the published bounds for transformers say of a head? Rates only, with the sizes that enter beside them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from ntkseq import _checks
from ntkseq._bound import Assumption, Bound, Constants, Term
from ntkseq._types import AnyHead
from ntkseq.bounds.assumptions import independent
from ntkseq.bounds.attention_head import AttentionHead

STATES = "the constants of the paper are not at hand: a rate only"


def edelman2022(head: AnyHead, n: int, t: int, *, Bx: float) -> Bound[EdelmanConstants]:
    """State the rate of Edelman, Goel, Kakade & Zhang for one head; it has no number.

        gap ~ sqrt(C log(n t)/n),    C = (L Bx)^2 (|V|_21^(2/3) + (|W|_21 |V| Bx)^(2/3))^3

    The length of the sequences enters through its logarithm. |.|_21: the sum of the norms of the columns.

    Args:
        head: the head; its (2,1)-norms stand beside the rate.
        n: the number of examples.
        t: the length of the sequences.
        Bx: largest token norm.

    Returns:
        Bound without a value, never certified.

    Raises:
        ValueError: no `AttentionHead`; counts or norms that do not fit.

    Reference: edelman2022; log t as in its abstract, the rest recalled, and so which way its norms are taken.

    Example:
        >>> import numpy as np
        >>> bound = edelman2022(AttentionHead([1.0], [[1.0]], [[0.0]]), 1000, 8, Bx=1.0)
        >>> bound.value is None
        True
    """
    n, t = _checks.positive_int("n", n), _checks.positive_int("t", t)
    _is_head(head)
    Bx = _checks.nonnegative("Bx", Bx, positive=True)
    V21, W21 = (float(np.sum(np.linalg.norm(matrix, axis=0))) for matrix in (head.V, head.W))
    C = (head.L * Bx) ** 2 * (V21 ** (2 / 3) + (W21 * head.norm("V_op") * Bx) ** (2 / 3)) ** 3
    return _rate(
        "Edelman et al. 2022, recalled",
        Term("rate", "O~(sqrt(C log(n t)/n))", None, explicit=False, provenance="recalled"),
        (
            Term(
                "C",
                "(L Bx)^2 (|V|_21^(2/3) + (|W|_21 |V|_op Bx)^(2/3))^3",
                C,
                explicit=False,
                provenance="recalled",
                counted=False,
            ),
            Term(
                "shape",
                "sqrt(C log(n t)/n)",
                math.sqrt(C * math.log(n * t) / n),
                explicit=False,
                provenance="recalled",
                counted=False,
            ),
        ),
        "edelman2022",
        EdelmanConstants(n, t, V21, W21, Bx),
    )


def trauger_tewari2024(head: AnyHead, n: int) -> Bound[TraugerTewariConstants]:
    """State what Trauger & Tewari say of norms and length: norm-based, and free of the length; it has no number.

    Their cover of matrices with a bounded sum of absolute entries is proved again in (attention.4), and
    `attention_norm` is the explicit bound that follows for one head.

    Args:
        head: the head; the norms that enter stand beside the rate.
        n: the number of examples.

    Returns:
        Bound without a value, never certified.

    Raises:
        ValueError: no `AttentionHead`; n below 1.

    Reference: trauger2024, the abstract.

    Example:
        >>> trauger_tewari2024(AttentionHead([1.0], [[1.0]], [[0.0]]), 1000).certified
        False
    """
    n = _checks.positive_int("n", n)
    _is_head(head)
    norms = {name: head.norm(name) for name in ("w_1", "V_11", "W_11")}
    return _rate(
        "Trauger & Tewari 2024, the abstract",
        Term("rate", "O~(poly(norms)/sqrt(n)), free of t", None, explicit=False, provenance="recalled"),
        tuple(
            Term(name, f"|{name[0]}|_{name[2:]}", value, explicit=True, provenance="exact", counted=False)
            for name, value in norms.items()
        ),
        "trauger2024",
        TraugerTewariConstants(n, **norms),
    )


def truong2024(head: AnyHead, n: int, *, tol: float | None = None) -> Bound[TruongConstants]:
    """State what Truong says of ranks: O(1/sqrt n) and O(log r_W), free of the length; it has no number.

    `attention_rank` is an explicit bound by ranks. It grows like sqrt(r), not log r.

    Args:
        head: the head; the rank r_W of its scores stands beside the rate.
        n: the number of examples.
        tol: singular values up to tol times the largest do not count; None: those of the size of rounding.

    Returns:
        Bound without a value, never certified.

    Raises:
        ValueError: no `AttentionHead`; n below 1.

    Reference: truong2024, the abstract.

    Example:
        >>> truong2024(AttentionHead([1.0], [[1.0]], [[2.0]]), 1000).constants.r_W
        1
    """
    n = _checks.positive_int("n", n)
    _is_head(head)
    s = np.linalg.svd(head.W, compute_uv=False)
    share = len(s) * float(np.finfo(np.float64).eps) if tol is None else _checks.nonnegative("tol", tol)
    rank = int(np.sum(s > share * s[0]))
    return _rate(
        "Truong 2024, the abstract",
        Term("rate", "O(1/sqrt(n)), O(log r_W), free of t", None, explicit=False, provenance="recalled"),
        (
            Term(
                "r_W",
                "rank of the product of query and key weights",
                float(rank),
                explicit=True,
                provenance="exact",
                counted=False,
            ),
        ),
        "truong2024",
        TruongConstants(n, rank),
    )


def sakai_imaizumi2026(head: AnyHead, n: int, *, p: float = 1.0) -> Bound[SakaiImaizumiConstants]:
    """State what Sakai & Imaizumi say of spectra: Schatten norms with p chosen after training; it has no number.

    Layer by layer, under control of spectral norms, for query-key, value and feed-forward matrices. The formula was not
    at hand. `attention_schatten` is a bound of that kind proved here, for one head.

    Args:
        head: the head; Schatten norms of its V and W stand beside the rate.
        n: the number of examples.
        p: which Schatten norm to show.

    Returns:
        Bound without a value, never certified.

    Raises:
        ValueError: no `AttentionHead`; n below 1; p not positive.

    Reference: sakai2026, the abstract.

    Example:
        >>> sakai_imaizumi2026(AttentionHead([1.0], [[1.0]], [[2.0]]), 1000).vacuous
        True
    """
    n, p = _checks.positive_int("n", n), _checks.nonnegative("p", p, positive=True)
    _is_head(head)
    norms = {f"{part}_{which}": head.norm(f"{part}_{which}") for part in "VW" for which in ("op", repr(p))}
    return _rate(
        "Sakai & Imaizumi 2026, the abstract",
        Term(
            "rate",
            "grows with Schatten norms, p chosen after training; formula not at hand",
            None,
            explicit=False,
            provenance="recalled",
        ),
        tuple(
            Term(
                name,
                f"|{name[0]}|_{'op' if name.endswith('op') else f'S{p:g}'}",
                value,
                explicit=True,
                provenance="exact",
                counted=False,
            )
            for name, value in norms.items()
        ),
        "sakai2026",
        SakaiImaizumiConstants(n, p, norms),
    )


@dataclass(frozen=True)
class EdelmanConstants(Constants):
    """Numbers of examples and steps, (2,1)-norms, the largest token norm."""

    n: int
    t: int
    V_21: float
    W_21: float
    Bx: float


@dataclass(frozen=True)
class TraugerTewariConstants(Constants):
    """The number of examples, and sums of absolute weights."""

    n: int
    w_1: float
    V_11: float
    W_11: float


@dataclass(frozen=True)
class TruongConstants(Constants):
    """The number of examples, and the rank of the scores."""

    n: int
    r_W: int


@dataclass(frozen=True)
class SakaiImaizumiConstants(Constants):
    """The number of examples, p, and operator and Schatten norms by name."""

    n: int
    p: float
    norms: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """The numbers by name, the norms among them."""
        return {"n": self.n, "p": self.p, **self.norms}


C = TypeVar("C", bound=Constants)


def _rate(name: str, stated: Term, beside: tuple[Term, ...], key: str, constants: C) -> Bound[C]:
    return Bound(
        name=name,
        quantity="test loss - training loss",
        value=None,
        terms=(stated, *beside),
        assumptions=(
            independent(),
            Assumption("class", "the head and its loss are of the class of the paper", "unchecked", "text not at hand"),
        ),
        applies_to="transformers as in the paper",
        references=(key,),
        constants=constants,
        reason=STATES,
    )


def _is_head(head: AnyHead) -> None:
    if not isinstance(head, AttentionHead):
        raise ValueError(f"head must be a bounds.AttentionHead; got {type(head).__name__}.")
