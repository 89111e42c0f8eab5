"""What do all bounds on attention share? Data, loss, declared sizes, and how the chance of failure is split."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from ntkseq import _checks
from ntkseq._bound import Assumption, Bound, Constants, Term, total, worst
from ntkseq._types import AnyHead, ArrayLike, Lengths
from ntkseq.bounds import losses
from ntkseq.bounds.assumptions import beforehand, independent, within
from ntkseq.bounds.attention_covers import Sizes, rounded_up
from ntkseq.bounds.attention_head import AttentionHead, tokens
from ntkseq.bounds.losses import Loss
from ntkseq.bounds.system import EPS

GRID = 2**0.125


def labelled(y: ArrayLike, n: int, loss: Loss) -> np.ndarray:
    """Labels (n,); -1/+1 where the loss asks for them."""
    y = _checks.host("y", y)
    if y.shape != (n,):
        raise ValueError(f"y must have shape ({n},), one label per example of x; got {y.shape}.")
    y = _checks.labels("y", y, n)
    if loss.signs and not np.isin(y, (-1.0, 1.0)).all():
        wrong = float(y[~np.isin(y, (-1.0, 1.0))][0])
        raise ValueError(f'y must hold -1 and +1 for loss="margin"; got {wrong:g}. Encode the two classes as -1/+1.')
    return y


@dataclass(frozen=True)
class HeadConstants(Constants):
    """Numbers of a bound for one attention head.

    Attributes:
        n, d, k: examples, features, coordinates before the read-out.
        Bx: the largest token norm, with room for rounding.
        L, rho: Lipschitz constants of the activation and of the loss.
        b_f: no head of the class exceeds it.
        complexity: the Rademacher complexity of the class, at most.
        log_union: log of one over the share of delta that is left behind all unions.
        norms: of the weights, by name; written to files as norm_NAME.
        radii: their limits, which span the class; written to files as radius_NAME.
    """

    n: int
    d: int
    k: int
    Bx: float
    L: float
    rho: float
    b_f: float
    complexity: float
    log_union: float
    norms: Mapping[str, float]
    radii: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """The numbers by name, norms and radii among them."""
        found: dict[str, Any] = {}
        for name, value in super().to_dict().items():
            within = {"norms": "norm", "radii": "radius"}.get(name)
            found |= {name: value} if within is None else {f"{within}_{key}": one for key, one in value.items()}
        return found


H = TypeVar("H", bound=HeadConstants)


@dataclass(frozen=True, eq=False)
class Setting:
    """A head on data, with the numbers that every bound starts from.

    Attributes:
        radii: upper limits of the norms that span the class.
        log_union: log of one over the share of delta that is left behind the union over radii and settings tried.
    """

    head: AttentionHead
    sizes: Sizes
    Bx: float
    loss: Loss
    delta: float
    training: float
    norms: Mapping[str, float]
    radii: Mapping[str, float]
    log_union: float
    assumptions: tuple[Assumption, ...]

    @property
    def b_f(self) -> float:
        """(attention.2): no head of the class exceeds it on inputs of norm Bx."""
        return self.radii["w_2"] * self.head.L * self.radii["V_op"] * self.Bx

    @property
    def kappa(self) -> float:
        """The largest score of the class."""
        return self.radii["W_op"] * self.Bx**2

    def confidence(self, log_more: float = 0.0) -> float:
        """sqrt(log(1/delta')/(2n)), delta' = delta over the union."""
        return math.sqrt((math.log(1 / self.delta) + self.log_union + log_more) / (2 * self.sizes.n))

    def bound(
        self, name: str, complexity: float, formula: str, *, note: str = "", log_more: float = 0.0, extra: Any = (),
        constants: Callable[..., H], references: tuple[str, ...] = (),
    ) -> Bound[H]:  # fmt: skip
        """Training loss + 2 rho complexity + `extra` + confidence."""
        rho = self.loss.lipschitz
        slope = f"{2 * rho:g}"
        terms = (
            self.loss.measured(self.training, "f"),
            Term(
                "capacity",
                f"{slope} Rad, Rad <= {formula}",
                2 * rho * complexity,
                explicit=True,
                provenance="derived",
                note=note,
            ),
            *extra,
            Term(
                "confidence",
                "sqrt(log(union/delta)/(2n))",
                self.confidence(log_more),
                explicit=True,
                provenance="derived",
            ),
            Term(
                "trivial capacity",
                f"{slope} b_f, b_f = |w| L |V|_op Bx",
                2 * rho * self.b_f,
                explicit=True,
                provenance="derived",
                counted=False,
            ),
        )
        return Bound(
            name=name,
            quantity=self.loss.risk(),
            value=total(terms),
            terms=terms,
            assumptions=self.assumptions,
            delta=self.delta,
            applies_to="the attention head with these weights, in exact arithmetic",
            references=("bartlett2002rademacher", *references),
            constants=constants(
                n=self.sizes.n, d=self.sizes.d, k=self.sizes.k, Bx=self.Bx, L=self.head.L, rho=rho, b_f=self.b_f,
                complexity=complexity, log_union=self.log_union + log_more, norms=self.norms, radii=self.radii,
            ),
        )  # fmt: skip


def setting(
    head: AnyHead, x: ArrayLike, y: ArrayLike, names: tuple[str, ...], *, Bx: float, delta: float, loss: str,
    gamma: float, radii: Mapping[str, float] | None, grid: float, tried: int, lengths: Lengths, more: str = "",
) -> Setting:  # fmt: skip
    """Check everything at the door and look at the data."""
    if not isinstance(head, AttentionHead):
        raise ValueError(
            f"head must be a bounds.AttentionHead; got {type(head).__name__}. "
            "Pass AttentionHead(w, V, W), or AttentionHead.of(model, params) of a models.Serial with one head."
        )
    x, lengths = tokens(x, lengths)
    n = len(x)
    chosen = losses.named(loss, gamma)
    y = labelled(y, n, chosen)
    delta, Bx = _checks.probability("delta", delta), _checks.nonnegative("Bx", Bx, positive=True)
    tried = _checks.positive_int("tried", tried)
    grid = _checks.nonnegative("grid", grid)
    if grid <= 1:
        raise ValueError(f"grid must be a ratio above 1; got {grid:g}.")
    f = head.predict(x, lengths)
    training = min(1.0, float(np.mean(chosen.value(f, y))) + chosen.lipschitz * head.rounding(x))
    norms = {name: head.norm(name) for name in names}
    log_union = math.log(tried)
    if radii is None:
        found = {name: rounded_up(norm, grid) for name, norm in norms.items()}
        limits = {name: radius for name, (radius, _) in found.items()}
        log_union += sum(cost for _, cost in found.values())
    else:
        limits = _declared(radii, names)
    Bx *= 1 + _room(x.shape[2])
    assumptions = [independent(), _token_norms(x, Bx), beforehand(_chosen(chosen, radii is None, more), tried)]
    if radii is not None:
        limits = {name: limit * (1 + head.spread(name)) for name, limit in limits.items()}  # room for a norm's rounding
        assumptions.append(_member(head, norms, limits))
    assumptions.append(_activation(head))
    return Setting(
        head,
        Sizes(head.V.shape[0], head.V.shape[1], n),
        Bx,
        chosen,
        delta,
        training,
        norms,
        limits,
        log_union,
        tuple(assumptions),
    )


def _declared(radii: Mapping[str, float], names: tuple[str, ...]) -> dict[str, float]:
    if set(radii) != set(names):
        raise ValueError(f"radii must name {', '.join(names)}; got {', '.join(radii) or 'none'}.")
    return {name: _checks.nonnegative(f"radii[{name!r}]", radii[name], positive=True) for name in names}


def _room(d: int) -> float:
    """Relative: twice the rounding of a norm of d numbers, theirs and ours."""
    return 2 * (d + 4) * EPS


def _token_norms(x: np.ndarray, Bx: float) -> Assumption:
    """Bx is what was given with `_room`: a token that was divided by its norm may be a little longer than 1."""
    largest, rounding = float(np.sqrt(np.max(np.sum(x**2, axis=2)))), 0.5 * _room(x.shape[2])
    status = within(largest * (1 + rounding), 2 * rounding, Bx)
    return Assumption(
        "Bx",
        f"|x_t| <= {Bx!r} for every token of every input",
        "declared" if status == "holds" else status,
        f"largest on these data: {largest:.9g}",
    )


def _chosen(loss: Loss, post_hoc: bool, more: str) -> str:
    listed = [
        "architecture, Bx, loss, delta",
        "gamma" if loss.signs else "",
        "grid" if post_hoc else "radii",
        more,
    ]
    return ", ".join(name for name in listed if name)


def _member(head: AttentionHead, norms: Mapping[str, float], limits: Mapping[str, float]) -> Assumption:
    listed = {name: within(norm, head.spread(name), limits[name]) for name, norm in norms.items()}
    sign = {"fails": ">", "unresolved": "within rounding of"}
    said = [f"{n} = {norms[n]:.9g} {sign[s]} {limits[n]:.9g}" for n, s in listed.items() if s in sign]
    return Assumption("norms", "no norm exceeds its radius", worst(listed.values()), "; ".join(said) or "all inside")


def _activation(head: AttentionHead) -> Assumption:
    name = type(head.sigma).__name__
    return Assumption(
        "sigma",
        f"{name} is {head.L:.6g}-Lipschitz and 0 at 0",
        "declared" if head.declared else "holds",
        "" if head.declared else "known",
    )
