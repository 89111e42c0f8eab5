"""All bounds that a Gram matrix and labels give, side by side: what is certified first, then what says most."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from ntkseq import _checks, _display, _plots
from ntkseq._bound import Bound, columns
from ntkseq._bound_plots import bound_bars
from ntkseq._outward import at_least
from ntkseq._types import ArrayLike, GramLike
from ntkseq.bounds.assumptions import beforehand
from ntkseq.bounds.compressed import compression
from ntkseq.bounds.gibbs import PacBayesConstants
from ntkseq.bounds.kernel import margin, rademacher
from ntkseq.bounds.networks import arora2019, cao_gu2019
from ntkseq.bounds.processes import LearnedPrior, Prior
from ntkseq.bounds.search import Search
from ntkseq.bounds.system import system
from ntkseq.grams.arrays import symmetric

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Rows = dict[str, Bound[Any]]
PRIORS: tuple[Prior | LearnedPrior, ...] = Search().priors


@dataclasses.dataclass(frozen=True, eq=False)
class BoundTable:
    """Bounds on one sample that hold at once, the best first.

    Attributes:
        rows: by short name: certified ones by their value, then estimates by theirs, then those without a value.
        delta: with at least 1 - delta all certified rows hold at once. Estimates are evaluated at delta each.
        n: the number of examples.
        majority_error: the share of examples outside the most frequent class, which a bound below says more than;
            None where labels are numbers.
    """

    rows: Mapping[str, Bound[Any]]
    delta: float
    n: int
    majority_error: float | None

    __repr__ = _display.printed

    @property
    def best(self) -> Bound[Any] | None:
        """The least certified bound that says something; None if each is vacuous."""
        first = next(iter(self.rows.values()))
        return first if first.certified and not first.vacuous else None

    def __str__(self) -> str:
        share = "" if self.majority_error is None else f", share outside the largest class {self.majority_error:.4g}"
        lines = [f"Bounds, n = {self.n}{share}"]
        lines += columns([(_value(one), key, _standing(one), one.quantity) for key, one in self.rows.items()])
        lines.append(f"with probability at least {at_least(self.delta)} all certified ones hold at once")
        if self.best is None:
            return "\n".join([*lines, "none of them is certified and says something"])
        return "\n".join([*lines, f"best: {self.best.verdict}, of {self.best.applies_to}"])

    def plot(self, ax: Axes | None = None) -> Axes:
        """The bounds as bars of their terms, in units of the level from where on they say nothing; hatched: estimates.

        Args:
            ax: matplotlib Axes to draw into; new ones of pyplot if None.

        Raises:
            ValueError: something else than Axes.
            ImportError: matplotlib is not installed.
        """
        return bound_bars(self.rows, _plots.shown(ax, height=1.9 + 0.36 * max(len(self.rows), 2)))

    def _repr_html_(self) -> str:
        rows = [(key, _value(one), _standing(one), one.quantity) for key, one in self.rows.items()]
        known = f"with probability at least {at_least(self.delta)} all certified ones hold at once"
        return _display.table(f"Bounds, n = {self.n}", rows, ("bound", "value", "standing", "of"), [known])

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON-ready values; the rows as `Bound.to_dict`."""
        return {
            "n": self.n,
            "delta": self.delta,
            "majority_error": self.majority_error,
            "best": None if self.best is None else next(iter(self.rows)),
            "rows": {key: one.to_dict() for key, one in self.rows.items()},
        }


def table(
    K: GramLike,
    y: ArrayLike,
    *,
    delta: float = 0.05,
    reg: float = 0.0,
    B0: float = 1.0,
    depth: int = 1,
    tried: int = 1,
) -> BoundTable:
    """Every bound that speaks of a Gram matrix and labels, in one table at one delta: which of them says something?

    The parts that can be certified share delta equally, so that all of them hold at once and the least may be picked
    after they are seen: the declared `Search` of Gibbs predictors, that of their means, compression, and the
    norm-based bounds. Forms of theorems that are recalled certify nothing; each is evaluated at delta, as if alone.

        gibbs            prior without data
        gibbs 20 %      prior learned from that share of the examples, the others pay
        tested 40 %     ridge regression on that share, tested on the others
        mean             mean of a posterior, the least over the priors that are not such a test
        rademacher, margin                    kernel ridge regression with `reg`
        compression      the support vector machine of a few examples, of hard margin
        arora2019, cao_gu2019                 wide trained networks, recalled

    Labels -1/+1 are two classes; rows with one 1 are several classes; floats are numbers, bounded in min(1, |f - y|).

    Args:
        K: Gram matrix of all examples, a Gram or an array, (n, n).
        y: labels -1/+1, or numbers, (n,); one-hot classes, (n, k).
        delta: the probability that one of the certified rows fails.
        reg: the ridge of `rademacher` and `margin`; 0 for the interpolant. It may be chosen on these data.
        B0: grid of the norm of these, fixed beforehand.
        depth: of the network, for `cao_gu2019`.
        tried: how many kernels or other settings, fixed beforehand, were looked at with these examples; delta is
            divided by it. A kernel picked because of what another gave is not among such: see `Search`.

    Raises:
        ValueError: shapes, labels or options that do not fit.

    Reference: maurer2004; bartlett2002rademacher; arora2019finegrained; cao2019sgd.

    Example:
        >>> import numpy as np
        >>> x = np.linspace(-1.0, 1.0, 200)
        >>> made = table(np.outer(x, x), np.sign(x), reg=0.1)
        >>> next(iter(made.rows)), made.best.certified, made.best.value < 0.1
        ('tested 40 %', True, True)
    """
    held = symmetric(K, "K")
    n = len(held.matrix)
    values = _numbers(y, n)
    delta, tried = _checks.probability("delta", delta), _checks.positive_int("tried", tried)
    reg, B0 = _checks.nonnegative("reg", reg), _checks.nonnegative("B0", B0, positive=True)
    depth = _checks.positive_int("depth", depth)
    signs = values.ndim == 1 and bool(np.isin(values, (-1.0, 1.0)).all())
    loss = "argmax" if values.ndim == 2 else "zero-one" if signs else "absolute"
    known: Any = system(held, values, vectors=True, outputs=values.ndim == 2)  # decomposed once, for all rows
    parts: list[Callable[[int], Rows]] = [lambda count: _gibbs(known, values, n, loss, delta, count)]
    if loss != "absolute":
        parts.append(lambda count: _mean(known, values, n, loss, delta, count))
    options: dict[str, Any] = {"delta": delta, "B0": B0, "reg": reg}
    if values.ndim == 1:
        parts.append(lambda count: {"rademacher": rademacher(known, values, **options, tried=count)})
    if signs:
        parts.append(lambda count: {"margin": margin(known, values, **options, tried=count)})
        few: dict[str, Any] = {"delta": delta, "members": "greedy"}  # not at `reg`, which these data may have chosen
        parts.append(lambda count: {"compression": compression(known, values, **few, tried=count)})
    rows: Rows = {}
    for part in parts:
        rows |= part(len(parts) * tried)
    if values.ndim == 1:
        rows["arora2019"] = arora2019(known, values, delta=delta)
    if signs:
        rows["cao_gu2019"] = cao_gu2019(known, values, delta=delta, depth=depth)
    return BoundTable(dict(sorted(rows.items(), key=lambda row: _rank(row[1]))), delta, n, _majority(values, loss))


def _numbers(y: ArrayLike, n: int) -> Float[np.ndarray, "n ..."]:
    """Labels at the door; names of classes that would be taken for numbers are refused."""
    values, kind = _checks.targets("y", y, n), _checks.host("y", y).dtype.kind
    if values.ndim == 1 and kind in "iub" and not np.isin(values, (-1.0, 1.0)).all():
        raise ValueError(
            f"y must hold class labels -1 and +1, rows of predictors.one_hot(y), or floats; got {_checks.shown(y)}. "
            "Encode classes; pass y.astype(float) if these are numbers to be predicted."
        )
    return values


def _gibbs(K: Any, y: ArrayLike, n: int, loss: str, delta: float, count: int) -> Rows:
    """One row for each prior of the declared search."""
    names: dict[tuple[int, float], str] = {}
    for prior in _priors(n):
        share = f" {100 * prior.share:g} %" if isinstance(prior, LearnedPrior) else ""
        names[len(prior.split(np.arange(n))[0]), float(prior.scale)] = (
            "tested" if prior.scale == 0 else "gibbs"
        ) + share
    found = _searched(K, y, _priors(n), loss, "gibbs", delta, count)
    return {names[one.constants.seen, one.constants.scale]: one for one in found}


def _mean(K: Any, y: ArrayLike, n: int, loss: str, delta: float, count: int) -> Rows:
    """The least of the mean predictors; those of a tested share are in the table already."""
    priors = tuple(prior for prior in _priors(n) if prior.scale > 0)
    return {"mean": _searched(K, y, priors, loss, "mean", delta, count)[0]}


def _priors(n: int) -> tuple[Prior | LearnedPrior, ...]:
    """Those of the declared search that leave examples on both sides: of a few examples, the one without data."""
    return tuple(one for one in PRIORS if isinstance(one, Prior) or one.divides(np.arange(n)))


def _searched(
    K: Any,
    y: ArrayLike,
    priors: tuple[Prior | LearnedPrior, ...],
    loss: str,
    predictor: str,
    delta: float,
    count: int,
) -> list[Bound[PacBayesConstants]]:
    """The bounds of a search at a share 1/count of delta, said at delta, with which all the shares hold at once."""
    search = Search(priors=priors, loss=loss, delta=delta / count, predictor=predictor)
    settings, found = search.settings * count, []
    for one in search.bounds(K, y):
        counted = beforehand("kernel, prior, loss, delta, inequality", settings)
        known = tuple(counted if a.name == counted.name else a for a in one.assumptions)
        constants = dataclasses.replace(one.constants, settings=settings)
        found.append(dataclasses.replace(one, delta=delta, assumptions=known, constants=constants))
    return found


def _majority(y: Float[np.ndarray, "n ..."], loss: str) -> float | None:
    if loss == "absolute":
        return None
    classes = np.sign(y) if y.ndim == 1 else np.argmax(y, axis=1)
    return 1.0 - float(np.unique(classes, return_counts=True)[1].max()) / len(y)


def _rank(one: Bound[Any]) -> tuple[int, float]:
    if not one.computable:
        return 2, 0.0
    return int(not one.certified), float(one.value or 0.0) / (one.trivial or 1.0)


def _value(one: Bound[Any]) -> str:
    if not one.computable:
        return "no value"
    return f"<= {one.shown}" if one.certified else f"~  {one.value:.4g}"


def _standing(one: Bound[Any]) -> str:
    empty = ", vacuous" if one.computable and one.vacuous else ""
    return ("certified" if one.certified else "estimate" if one.computable else "-") + empty
