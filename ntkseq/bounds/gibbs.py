"""A certified statement about the error of a Gaussian process with this kernel: PAC-Bayes, its terms the spectrum."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy  # its parts load when they are first used
from jaxtyping import Int

from ntkseq import _checks
from ntkseq._bound import Assumption, Bound, Constants, Term
from ntkseq._types import ArrayLike, GramLike
from ntkseq.bounds.assumptions import beforehand
from ntkseq.bounds.binary_kl import kl_inverse
from ntkseq.bounds.gibbs_losses import Argmax, Clipped, Gaussians, GibbsLoss, ZeroOne
from ntkseq.bounds.gibbs_predictor import GibbsPredictor
from ntkseq.bounds.inequalities import Inequality, as_inequalities
from ntkseq.bounds.posteriors import Centred, Form, Optimal, Problem, Regression, Statement, as_choice, choose
from ntkseq.bounds.processes import LearnedPrior, Prior, Process
from ntkseq.bounds.projected import Products, of_products, projected, wanted
from ntkseq.bounds.system import System, system
from ntkseq.bounds.tails import binomial_upper

MARGINS = (0.5, 1.0, 1.5, 2.0, 3.0)
"""Margins for the mean predictor, in standard deviations of the prior; it pays for the choice."""


@dataclass(frozen=True)
class PacBayesConstants(Constants):
    """Numbers of a PAC-Bayes bound.

    Attributes:
        n: the number of independent units that pay: of examples, where each is one.
        rows: the number of rows that pay.
        seen: the number of rows that the prior has learned from.
        scale: of the prior.
        reg: the ridge of a prior that learned; None for one without data.
        loss: the mean loss of the drawn functions on the examples that pay.
        divergence: KL(posterior || prior).
        information_gain: 1/2 sum log(1 + l/s^2), or what stands for it in a posterior that is none of regression.
        effective_dimension: sum l/(l + s^2), likewise.
        norm: 1/2 |mean - mean of the prior|^2 in the space of the prior.
        price: log of one over the share of delta that this statement has.
        settings: how many statements share delta.
        inequality, form: what the value was read with.
        predictor: the posterior as a predictor; not written to files.
        kernel: its name in a `Search`.
    """

    n: int
    rows: int
    seen: int
    scale: float
    reg: float | None
    loss: float
    divergence: float
    information_gain: float
    effective_dimension: float
    norm: float
    price: float
    settings: int
    inequality: str
    form: str
    predictor: GibbsPredictor
    kernel: str = ""

    def to_dict(self) -> dict[str, Any]:
        known = super().to_dict()
        del known["predictor"]
        return known


def pac_bayes(
    K: GramLike,
    y: ArrayLike,
    *,
    delta: float = 0.05,
    loss: str | GibbsLoss = "zero-one",
    prior: Prior | LearnedPrior = Prior(),  # noqa: B008 - frozen
    posterior: str | Regression | Optimal | Centred = "optimal",
    inequality: str | Inequality = "kl",
    predictor: str = "gibbs",
    units: ArrayLike | None = None,
    tried: int | None = 1,
    rank: int | None = None,
) -> Bound[PacBayesConstants]:
    """Bound the expected loss of a Gaussian process posterior, rigorously, by what it learned: certified and not empty.

    With probability at least 1 - delta over the n examples that pay, for every posterior at once,

        kl(q || p) <= (KL + log(xi(n)/delta))/n,      xi(n) <= 2 sqrt(n)
        KL = 1/2 [sum log(1 + l_i/s^2) - sum l_i/(l_i + s^2) + |mean|^2]

    where q is the mean loss of functions drawn from the posterior on the examples, p their expected loss, l_i the
    eigenvalues of the prior's covariance on the examples, s^2 the noise of the posterior, and |mean| its norm in the
    space of the prior. The three summands are the information gain, the effective dimension and the norm of the mean.

    The posterior may look at the examples as it likes and costs what its KL says. The prior may look at neither labels
    nor inputs of the examples that pay: not at a kernel picked on them, nor a scale read off them, nor columns that
    were standardised with them. A `LearnedPrior` looks at a share of the examples, and the others pay.

    Args:
        K: Gram matrix of all examples, a Gram or an array, (n, n).
        y: labels -1/+1, (n,); one-hot classes, (n, k), for "argmax"; numbers, (n,), for the others.
        delta: the probability that the bound fails.
        loss: "zero-one", "argmax" (several classes), "absolute" or "squared", both clipped at 1, or a `GibbsLoss`.
        prior: `Prior(scale)`, or `LearnedPrior(share)`.
        posterior: "optimal", found by gradients; "regression", at the noise that serves best; "prior"; or an object.
        inequality: "kl", "catoni", "bernstein", an object, or "best" of several, which pays for its choice.
        predictor: "gibbs", a function drawn from the posterior for each input; or "mean", the sign (or the largest)
            of its mean, at a factor between 1 and 2 for margins, or 4 for pairs that err together.
        units: which rows are of one independent unit, (n,) names: the queries of a task, the steps of a sequence, the
            windows of a series. The loss of a unit is the mean over its rows, and n above counts units.
        tried: how many kernels, priors or other settings were looked at with these examples; None if not counted. See
            `Search`, which counts.
        rank: directions along which the posterior learns, by three products with so many vectors, for a K whose
            entries are not held (`lazy`, `grams.Operator`) and a `Prior`; None: all of them, or 256 where the entries
            would take more than 1 GiB.

    Returns:
        Bound, certified unless K is contradicted by its own numbers; `constants.predictor` predicts.

    Raises:
        ValueError: labels that do not fit the loss; shapes or options that do not fit; a share that leaves no example.

    Reference: maurer2004; seeger2002; the terms, their rounding and the other forms: pac_bayes.1 to 14.

    Example:
        >>> import numpy as np
        >>> x = np.linspace(-1.0, 1.0, 200)
        >>> bound = pac_bayes(np.outer(x, x), np.sign(x))
        >>> bound.certified and bound.value < 0.2
        True
    """
    _checks.choice("predictor", predictor, ("gibbs", "mean"))
    _checks.kind("prior", prior, (Prior, LearnedPrior), "Pass bounds.Prior() or bounds.LearnedPrior(share).")
    delta = _checks.probability("delta", delta)
    settings = 1 if tried is None else _checks.positive_int("tried", tried)
    chosen, inequalities = named(loss), as_inequalities(inequality)
    choice = as_choice(posterior)
    directions = wanted(K, rank)
    known: Any = prepared(K, y, chosen) if directions is None else of_products(K, y, chosen)
    if directions is not None and (not isinstance(prior, Prior) or isinstance(choice, Centred)):
        raise ValueError(
            "prior must be a Prior, and posterior none that is Centred, where K is known by products or rank is given; "
            "pass K.hold(), whose entries are held."
        )
    if isinstance(choice, Centred) and not isinstance(prior, Prior):
        raise ValueError(
            "posterior Centred(dual) is around a predictor from 0; pass it with a Prior, not a LearnedPrior."
        )
    forms = forms_of(chosen, predictor)
    price = math.log(settings * (len(inequalities) * len(forms))) - math.log(delta)
    if directions is None:
        process = prior.process(known, rows_of(units, known.n))
    else:
        process, known = projected(known, rows_of(units, known.n), directions)
    if choice is None or prior.scale == 0:
        price = math.log(settings) - math.log(delta)
        statement = of_prior(process, prior.scale / process.unit, chosen, predictor, price)
    else:
        statement = choose(Problem(process, prior.scale / process.unit, forms, inequalities, price), choice)
    return as_bound(known, process, prior, statement, chosen, predictor, delta, price, tried)


def named(loss: str | GibbsLoss) -> GibbsLoss:
    """The loss of a short name."""
    names = {"zero-one": ZeroOne(), "argmax": Argmax(), "absolute": Clipped(1), "squared": Clipped(2)}
    return _checks.named("loss", loss, GibbsLoss, names, "bounds.LipschitzLoss(function, lipschitz)")


def prepared(K: GramLike, y: ArrayLike, loss: GibbsLoss) -> System:
    """K and y at the door, with the spectrum of K."""
    known = system(K, y, vectors=True, outputs=loss.outputs)
    if why := loss.check(known.y):
        raise ValueError(f"{why}; loss {loss.name!r} asks for that.")
    return known


def rows_of(units: ArrayLike | None, n: int) -> Int[np.ndarray, " n"]:
    """The unit of each row as a number from 0, in the order in which they come.

    Raises:
        ValueError: not one name per row.
    """
    if units is None:
        return np.arange(n)
    given = _checks.host("units", units)
    if given.shape != (n,) or given.dtype.kind not in "iubUS":
        raise ValueError(
            f"units must have shape ({n},), a whole number or a name for each row of the Gram matrix; got "
            f"{_checks.shown(units)}."
        )
    _, first, which = np.unique(given, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[which]


def forms_of(loss: GibbsLoss, predictor: str) -> tuple[Form, ...]:
    """The ways to the quantity, among which a bound of the mean predictor pays for its choice."""
    if predictor == "gibbs":
        return (Form("Gibbs", loss),)
    if not isinstance(loss, (ZeroOne, Argmax)):
        raise ValueError(f"predictor='mean' is of classifiers, loss 'zero-one' or 'argmax'; got {loss.name!r}.")
    found = [Form("twice the Gibbs error", loss, 2.0), Form("four times the error of pairs", loss, 4.0, 2)]
    if isinstance(loss, ZeroOne):
        for margin in MARGINS:  # (pac_bayes.14)
            factor = 1.0 / float(scipy.special.ndtr(margin)) * (1 + 1e-14)
            found.append(Form(f"margin of {margin:g} deviations", ZeroOne(margin), factor))
    return tuple(found)


def of_prior(process: Process, scale: float, loss: GibbsLoss, predictor: str, price: float) -> Statement:
    """The prior itself, tested on the examples: no xi(n), and for its mean alone the exact binomial tail."""
    n, count = process.examples, process.count
    y = process.targets if loss.outputs else process.targets[:, 0]
    mean, error = process.mean_at(None)
    values = mean if loss.outputs else mean[:, 0]
    nothing = np.zeros(process.rank)
    variance = (process.still, process.still) if scale == 0 else process.variance_at(nothing)
    f = Gaussians(values, scale * variance[0], error, scale * variance[1])
    form = Form("the prior itself", loss, 1.0 if predictor == "gibbs" or scale == 0 else 2.0)
    if scale == 0 and count == n and isinstance(loss, (ZeroOne, Argmax)):
        wrong = int(np.sum(loss.upper(f, y) > 0.25))  # 0 or 1 each, 1 where rounding leaves it open
        value, q = binomial_upper(wrong, n, -price), wrong / n
    else:
        q, _ = form.means(f, y, np.zeros(process.n), process.weights)
        value = form.factor * kl_inverse(q, price / count * (1 + 1e-14))
    return Statement(value, q, 0.0, 0.0, 0.0, 0.0, form, as_inequalities("kl")[0], None, nothing)


def as_bound(
    known: System | Products,
    process: Process,
    prior: Prior | LearnedPrior,
    statement: Statement,
    loss: GibbsLoss,
    predictor: str,
    delta: float,
    price: float,
    tried: int | None,
) -> Bound[PacBayesConstants]:
    """The statement with its terms and assumptions."""
    value, form = min(statement.value, 1.0), statement.form
    learned = isinstance(prior, LearnedPrior)
    alone = statement.divergence == 0.0 and form.words == "the prior itself"
    room = value - form.factor * statement.loss
    reading = "kl(q || p) <= log(1/delta)/n" if alone else statement.inequality.formula
    share = f"{form.factor:.4g} " if form.factor != 1.0 else ""
    terms = (
        Term("training loss", f"{share}mean of the losses, {form.words}", form.factor * statement.loss,
             explicit=True, provenance="exact", note="raised by the rounding of K"),
        Term("room above it", reading, room, explicit=True, provenance="derived"),
        _shown("KL", "KL(posterior || prior)", statement.divergence),
        _shown("information gain", "1/2 sum log(1 + l/s^2)", statement.information),
        _shown("effective dimension", "sum l/(l + s^2)", statement.dimension),
        _shown("norm of the mean", "1/2 |mean|^2", statement.norm),
        _shown("price", "log of one over its share of delta", price),
    )  # fmt: skip
    drawn = "the sign of the mean" if not loss.outputs else "the largest of the means"
    within = "" if process.count == process.examples else ", on a row of a new unit"
    speaks = f"a function drawn from the posterior; prior: {prior.words}" if predictor == "gibbs" else drawn
    speaks = prior.words if prior.scale == 0 else speaks
    constants = PacBayesConstants(
        n=process.count,
        rows=process.examples,
        seen=0 if process.seen is None else len(process.seen) // process.width,
        scale=float(prior.scale),
        reg=process.reg,
        loss=statement.loss,
        divergence=statement.divergence,
        information_gain=statement.information,
        effective_dimension=statement.dimension,
        norm=statement.norm,
        price=price,
        settings=tried or 1,
        inequality="prior itself" if alone else statement.inequality.name,
        form=form.words,
        predictor=GibbsPredictor.of(known, process, statement, float(prior.scale) / process.unit),
    )
    return Bound(
        name=f"PAC-Bayes bound, {'Gibbs' if predictor == 'gibbs' else 'mean'} predictor",
        quantity=loss.quantity("f" if predictor == "gibbs" else "mean f"),
        value=value,
        terms=terms,
        assumptions=(
            known.independent() if process.count == process.examples else _units(process),
            _chosen(tried),
            _blind(learned, process.count),
            known.semidefinite(),
            known.arithmetic(),
        ),
        delta=delta,
        applies_to=speaks + within,
        references=("maurer2004", "catoni2007") if "Catoni" in statement.inequality.name else ("maurer2004",),
        constants=constants,
    )


def _shown(name: str, formula: str, value: float) -> Term:
    return Term(name, formula, value, explicit=True, provenance="derived", counted=False)


def _chosen(tried: int | None) -> Assumption:
    what = "kernel, prior, loss, delta, inequality"
    if tried is None:
        statement = f"{what} were chosen without the examples that pay"
        return Assumption(
            "fixed beforehand", statement, "unchecked", "what was tried was not counted; use bounds.Search"
        )
    return beforehand(what, tried)


def _units(process: Process) -> Assumption:
    of = f"the {process.count} units of {process.examples} rows that pay"
    said = f"{of} and the new unit are independent draws of one law"
    return Assumption("i.i.d. units", said, "declared", "rows of one unit may depend on each other")


def _blind(learned: bool, n: int) -> Assumption:
    which = f"the {n} examples that pay" if learned else "the examples"
    return Assumption(
        "blind prior",
        f"the prior has seen neither inputs nor labels of {which}",
        "declared",
        "columns standardised, scales or kernels picked, weights trained with them would be such a look",
    )
