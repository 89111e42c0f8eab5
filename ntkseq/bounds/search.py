"""The least of many PAC-Bayes bounds at one delta: what is tried is declared first, and each trial pays."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Int

from ntkseq import _checks, _display
from ntkseq._bound import Bound
from ntkseq._types import ArrayLike, GramLike
from ntkseq.bounds.gibbs import (
    PacBayesConstants,
    as_bound,
    forms_of,
    named,
    of_prior,
    prepared,
    rows_of,
)
from ntkseq.bounds.gibbs_losses import GibbsLoss
from ntkseq.bounds.inequalities import Catoni, Inequality, Kl
from ntkseq.bounds.posteriors import Problem, Regression, Statement, choose, improved
from ntkseq.bounds.processes import LearnedPrior, Prior, Process, least_left_out
from ntkseq.bounds.system import System

ONLY = "K"
IMPROVED = 2
"""Settings whose posteriors are searched by gradients, the best by regression; a posterior costs nothing."""


@dataclasses.dataclass(frozen=True)
class Search:
    """A declared set of kernels, priors and inequalities, of which the best bound is certified at one delta.

    The set is fixed before the examples that pay are seen. Each setting then gets its share of delta: priors equal
    ones, each divided among the kernels, inequalities and forms that go with it. All bounds hold at once, so that the
    least does.

    A kernel added because of what another gave is not in the set, and no count of trials makes up for it: a next kernel
    that depends on the data may be any of very many. Declare both. A `LearnedPrior` picks its kernel and ridge on its
    own share of the examples by leave-one-out, which costs nothing.

    Attributes:
        kernels: names of the kernels that will be compared.
        priors: those that will be compared.
        inequalities: those of which the best is taken.
        loss, delta, predictor: as of `pac_bayes`.

    Raises:
        ValueError: no kernel, prior or inequality; two kernels of one name; a delta outside (0, 1); unknown
            words.

    Example:
        >>> import numpy as np
        >>> x = np.linspace(-1.0, 1.0, 200)
        >>> search = Search(kernels=("linear", "flat"))
        >>> best = search.best({"linear": np.outer(x, x), "flat": np.ones((200, 200))}, np.sign(x))
        >>> best.constants.kernel, best.value < 0.1
        ('linear', True)
    """

    kernels: tuple[str, ...] = (ONLY,)
    priors: tuple[Prior | LearnedPrior, ...] = (
        Prior(),
        LearnedPrior(0.2, scale=0.1),
        LearnedPrior(0.4, scale=0.03),
        LearnedPrior(0.4, scale=0.0),
    )
    inequalities: tuple[Inequality, ...] = (Kl(), Catoni(0.5), Catoni(1.0), Catoni(2.0))
    loss: str | GibbsLoss = "zero-one"
    delta: float = 0.05
    predictor: str = "gibbs"

    __repr__ = _display.record

    def __post_init__(self) -> None:
        names = _checks.listed("kernels", self.kernels, "names of kernels")
        for name in names:
            _checks.text("kernels", name)
        if not names or len(set(names)) < len(names):
            raise ValueError(f"kernels must be different names, at least one; got {names!r}.")
        for name, kinds, such in (
            ("priors", (Prior, LearnedPrior), "bounds.Prior() or bounds.LearnedPrior(share)"),
            ("inequalities", (Inequality,), "bounds.Kl() or bounds.Catoni(strength)"),
        ):
            given = _checks.listed(name, getattr(self, name), such)
            for one in given:
                _checks.kind(name, one, kinds, f"Its members are {such}.")
            if not given:
                raise ValueError(f"{name} must have one member at least; got none.")
            object.__setattr__(self, name, given)
        object.__setattr__(self, "kernels", names)
        _checks.probability("delta", self.delta)
        _checks.choice("predictor", self.predictor, ("gibbs", "mean"))
        forms_of(named(self.loss), self.predictor)

    @property
    def settings(self) -> int:
        """How many statements share delta."""
        return sum(len(tuple(self._kernels(prior))) * self._ways(prior) for prior in self.priors)

    def best(
        self, K: GramLike | Mapping[str, GramLike], y: ArrayLike, *, units: ArrayLike | None = None
    ) -> Bound[PacBayesConstants]:
        """The least bound, certified at delta.

        Args:
            K: a Gram matrix for each kernel by its name, all of the same examples; or the only one.
            y, units: labels, and what is independent, as of `pac_bayes`.

        Raises:
            ValueError: Gram matrices other than those declared; what `pac_bayes` refuses.
        """
        return self.bounds(K, y, units=units)[0]

    def bounds(
        self, K: GramLike | Mapping[str, GramLike], y: ArrayLike, *, units: ArrayLike | None = None
    ) -> tuple[Bound[PacBayesConstants], ...]:
        """One bound for each prior and kernel, the least first; all hold at once with probability 1 - delta.

        A prior whose share leaves no example on one side has no bound; its share of delta is kept for it.

        Args:
            K, y, units: as for `best`.

        Raises:
            ValueError: as `best`.
        """
        loss = named(self.loss)
        known = {name: prepared(one, y, loss) for name, one in self._grams(K).items()}
        if len({one.n for one in known.values()}) > 1:
            raise ValueError("K must have the same examples for each kernel; got matrices of different sizes.")
        which = rows_of(units, next(iter(known.values())).n)
        return self.searched(known, which)

    def searched(self, known: dict[str, System], units: Int[np.ndarray, " n"]) -> tuple[Bound[PacBayesConstants], ...]:
        """`bounds` of Gram matrices `known` by name and `units`, (n,), that were checked already."""
        loss = named(self.loss)
        priors = [prior for prior in self.priors if isinstance(prior, Prior) or prior.divides(units)]
        # of a few examples some shares leave none on one side; all of them, and `split` says so
        trials = [trial for prior in priors or self.priors for trial in self._trials(prior, known, loss, units)]
        order = sorted(range(len(trials)), key=lambda i: trials[i].statement.value)
        for i in order[:IMPROVED]:
            trials[i] = trials[i].improved()
        trials.sort(key=lambda trial: trial.statement.value)
        return tuple(self._bound(trial, loss) for trial in trials)

    def _grams(self, K: Any) -> dict[str, Any]:
        if not isinstance(K, Mapping):
            K = {self.kernels[0]: K} if len(self.kernels) == 1 else {}
        if set(K) != set(self.kernels):
            raise ValueError(
                f"K must hold one Gram matrix for each kernel declared, {list(self.kernels)}; got "
                f"{list(K) or 'one matrix'}. "
                "Declare all kernels that are compared, in Search(kernels=...)."
            )
        return {name: K[name] for name in self.kernels}

    def _kernels(self, prior: Prior | LearnedPrior) -> tuple[str, ...]:
        """Those that pay: a prior that learns picks its kernel where it learns."""
        return self.kernels if isinstance(prior, Prior) else self.kernels[:1]

    def _ways(self, prior: Prior | LearnedPrior) -> int:
        return 1 if prior.scale == 0 else len(self.inequalities) * len(forms_of(named(self.loss), self.predictor))

    def _trials(
        self, prior: Prior | LearnedPrior, known: dict[str, System], loss: GibbsLoss, units: np.ndarray
    ) -> list[_Trial]:
        names = self.kernels if isinstance(prior, Prior) else (_picked(prior, known, units),)
        shares = len(self.priors) * len(self._kernels(prior)) * self._ways(prior)
        price = math.log(shares) - math.log(self.delta)
        found = []
        for name in names:
            process = prior.process(known[name], units)
            problem, ways = None, forms_of(loss, self.predictor)
            if prior.scale == 0:
                statement = of_prior(process, 0.0, loss, self.predictor, price)
            else:
                problem = Problem(process, float(prior.scale) / process.unit, ways, tuple(self.inequalities), price)
                statement = choose(problem, Regression())
            found.append(_Trial(name, known[name], prior, process, problem, statement, price))
        return found

    def _bound(self, trial: _Trial, loss: GibbsLoss) -> Bound[PacBayesConstants]:
        made = as_bound(
            trial.known, trial.process, trial.prior, trial.statement, loss, self.predictor, self.delta, trial.price,
            self.settings,
        )  # fmt: skip
        return dataclasses.replace(made, constants=dataclasses.replace(made.constants, kernel=trial.kernel))


@dataclasses.dataclass(frozen=True, eq=False)
class _Trial:
    """One prior with one kernel, and the best statement about it so far."""

    kernel: str
    known: System
    prior: Prior | LearnedPrior
    process: Process
    problem: Problem | None
    statement: Statement
    price: float

    def improved(self) -> _Trial:
        """With the posterior searched by gradients."""
        if self.problem is None:
            return self
        # the grid of regressions is behind `statement` already: the descent starts from there
        return dataclasses.replace(self, statement=improved(self.problem, self.statement))


def _picked(prior: LearnedPrior, known: dict[str, System], units: np.ndarray) -> str:
    """The kernel of least leave-one-out error on the share of the prior."""
    if len(known) == 1:
        return next(iter(known))
    errors = {}
    for name, one in known.items():
        seen = one.rows(prior.split(units)[0])
        own = one.matrix[np.ix_(seen, seen)]
        errors[name] = least_left_out(own, (one.targets - one.centres)[seen], *one.usual(seen))[1]
    return min(errors, key=lambda name: errors[name])
