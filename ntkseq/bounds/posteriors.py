"""Posteriors on the examples that pay: regression at the noise that serves the bound best, or the best Gaussian found.

A PAC-Bayes inequality holds for all posteriors at once: nothing here is paid for, however it looks at the data.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

import numpy as np
import scipy  # its parts load when they are first used
from jaxtyping import Float

from ntkseq import _checks, _display
from ntkseq._types import ArrayLike
from ntkseq.bounds.class_margins import Margins
from ntkseq.bounds.gibbs_losses import Argmax, Gaussians, GibbsLoss, ZeroOne
from ntkseq.bounds.inequalities import Inequality
from ntkseq.bounds.processes import Process

NOISES = 12
"""Values of the noise that are looked at, between the rounding of K and its largest eigenvalue."""
SIZES = (0.5, 1.0, 2.0, 4.0)
"""Sizes of the labels that are looked at where the loss does not know the size of a function, in prior deviations."""
KEPT = 3
"""Posteriors of the grid that are looked at closely."""


@dataclasses.dataclass(frozen=True)
class Regression:
    """The posterior of Gaussian process regression on the labels.

    Attributes:
        noise: variance of the noise, in units of the prior before it is scaled; None: of a grid the one that serves the
            bound best, for the mean and for the covariance apart. For classes, whose labels have no size, theirs too.

    Raises:
        ValueError: a noise that is not positive.

    Reference: seeger2002.

    Example:
        >>> import numpy as np
        >>> from ntkseq import bounds
        >>> x = np.linspace(-1.0, 1.0, 200)
        >>> bounds.pac_bayes(np.outer(x, x), np.sign(x), posterior=bounds.Regression(noise=1.0)).value < 0.2
        True
    """

    noise: float | None = None

    __repr__ = _display.record

    def __post_init__(self) -> None:
        if self.noise is not None:
            _checks.nonnegative("noise", self.noise, positive=True)


@dataclasses.dataclass(frozen=True)
class Optimal:
    """The Gaussian of smallest bound found by gradients (L-BFGS): mean, and variance along each eigenvector.

    It starts from `Regression()`; for losses other than the zero-one loss of two classes it is that.

    Attributes:
        steps: of the search at most.

    Raises:
        ValueError: steps below 1.

    Example:
        >>> import numpy as np
        >>> from ntkseq import bounds
        >>> x = np.linspace(-1.0, 1.0, 200)
        >>> best = bounds.pac_bayes(np.outer(x, x), np.sign(x), posterior=bounds.Optimal())
        >>> best.value <= bounds.pac_bayes(np.outer(x, x), np.sign(x), posterior=bounds.Regression()).value
        True
    """

    steps: int = 200

    __repr__ = _display.record

    def __post_init__(self) -> None:
        _checks.positive_int("steps", self.steps)


@dataclasses.dataclass(frozen=True, eq=False)
class Centred:
    """A posterior around a predictor of your own, sum_j dual_j K(., x_j): a ridge fit, a support vector machine.

    Attributes:
        dual: its coefficients, (n,) or (n, k).
        noise: of the covariance, as of `Regression`; None: of a grid the one that serves the bound best.

    Raises:
        ValueError: coefficients that are not finite numbers, a noise that is not positive.

    Reference: langford2002margins.

    Example:
        >>> import numpy as np
        >>> from ntkseq import bounds
        >>> x = np.linspace(-1.0, 1.0, 200)
        >>> dual = np.sign(x) / 100  # of a predictor of your own
        >>> bounds.pac_bayes(np.outer(x, x), np.sign(x), posterior=bounds.Centred(dual)).certified
        True
    """

    dual: ArrayLike
    noise: float | None = None

    __repr__ = _display.record

    def __post_init__(self) -> None:
        if self.noise is not None:
            _checks.nonnegative("noise", self.noise, positive=True)


SHORT = {"regression": Regression(), "optimal": Optimal(), "prior": None}
Choice = Regression | Optimal | Centred | None
"""None is the prior itself."""


def as_choice(given: str | Regression | Optimal | Centred) -> Choice:
    """The posterior of a short name or an object."""
    kinds: Any = (Regression, Optimal, Centred)
    return _checks.named("posterior", given, kinds, SHORT, "bounds.Regression(noise)")


@dataclasses.dataclass(frozen=True)
class Form:
    """How a Gibbs loss bounds what the statement speaks of: factor E loss^draws, at `draws` times the relative entropy.

    Attributes:
        words: as printed.
        loss: of a drawn function.
        factor: by which it is multiplied.
        draws: independent functions, all of which err.
    """

    words: str
    loss: GibbsLoss
    factor: float = 1.0
    draws: int = 1

    @property
    def classifies(self) -> bool:
        """Whether the loss is of signs or of the largest output, which do not know the size of a function."""
        return isinstance(self.loss, (ZeroOne, Argmax))

    def means(
        self, f: Gaussians, y: Float[np.ndarray, "n ..."], scale: Float[np.ndarray, " n"], weights: Any
    ) -> tuple[float, float]:
        """Upper estimates of the mean of the losses to the power `draws`, and of their squares, by weights of rows."""
        if isinstance(self.loss, ZeroOne):
            first = second = self.loss.upper(f, y, scale) ** self.draws
        else:
            first = self.loss.upper(f, y) ** self.draws
            second = first if self.loss.outputs or self.draws > 1 else self.loss.second(f, y)
        q = min(1.0, math.fsum((first * weights).tolist()) * (1 + 1e-15))
        if first is second:
            return q, q
        # the square of a mean within a unit is at most the mean of the squares
        return q, min(1.0, math.fsum((second * weights).tolist()) * (1 + 1e-15))


@dataclasses.dataclass(frozen=True, eq=False)
class Statement:
    """One upper bound, and where it comes from.

    Attributes:
        value: what is at most the quantity, or 1.
        loss: the mean on the examples.
        divergence: KL(posterior || prior).
        information, dimension, norm: its parts.
        form, inequality: what it was read with.
        b, removed: the posterior, None for the prior itself.
    """

    value: float
    loss: float
    divergence: float
    information: float
    dimension: float
    norm: float
    form: Form
    inequality: Inequality
    b: Any
    removed: Any


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
    """What a posterior is chosen for: a scaled prior on the examples that pay, and what will be read from it."""

    process: Process
    scale: float
    forms: tuple[Form, ...]
    inequalities: tuple[Inequality, ...]
    price: float

    @property
    def labels(self) -> Float[np.ndarray, "n ..."]:
        """As the losses want them: (n,) of one output."""
        y = self.process.targets
        return y if self.forms[0].loss.outputs else y[:, 0]

    def predictions(self, mean: tuple[np.ndarray, np.ndarray], variance: tuple[np.ndarray, np.ndarray]) -> Gaussians:
        """The predictions at the examples from `mean_at` and `variance_at`."""
        values = mean[0] if self.forms[0].loss.outputs else mean[0][:, 0]
        return Gaussians(values, self.scale * variance[0], mean[1], self.scale * variance[1])

    def read(self, b: Any, removed: Float[np.ndarray, " r"]) -> Statement:
        """The best statement about a posterior over forms and inequalities."""
        information, dimension = self.process.information_of(removed)
        norm = self.process.norm_of(b) / self.scale
        total = divergence(self.process.targets.shape[1], information, dimension, norm)
        f = self.predictions(self.process.mean_at(b), self.process.variance_at(removed))
        scale, n, best = self.process.deviation(self.scale), self.process.count, None
        for form in self.forms:
            loss, second = form.means(f, self.labels, scale, self.process.weights)
            for one in self.inequalities:
                value = form.factor * one.upper(loss, second, form.draws * total, self.price, n)
                if best is None or value < best.value:
                    best = Statement(value, loss, total, information, dimension, norm, form, one, b, removed)
        assert best is not None
        return best


def divergence(outputs: int, information: float, dimension: float, norm: float) -> float:
    """KL of the posterior and the scaled prior, (pac_bayes.1); infinite where rounding swamps it."""
    if not math.isfinite(information + norm):
        return math.inf
    return (outputs * max(0.0, information - 0.5 * dimension) + norm) * (1 + 1e-14)


def choose(problem: Problem, choice: Choice) -> Statement:
    """The best statement about the posterior of a choice; for the prior itself, that it is no posterior at all."""
    process = problem.process
    if isinstance(choice, Centred):
        given = _checks.targets("dual", choice.dual, process.n).reshape(process.n, -1)
        if given.shape != process.targets.shape:
            raise ValueError(f"dual must have the shape of y, {process.targets.shape}; got {given.shape}.")
        means: list[Any] = [process.basis.T @ given]
        centre: list[Any] = _noises(process) if choice.noise is None else [choice.noise]
        return _of_grid(problem, means, centre)[0]
    noise = choice.noise if isinstance(choice, Regression) else None
    noises: list[Any] = _noises(process) if noise is None else [noise]
    means = [size * process.regression(one) for size in _sizes(problem, noise) for one in noises]
    means += [None] if noise is None else []
    found = _of_grid(problem, means, [*noises, None] if noise is None else noises)
    return improved(problem, found[0], choice.steps) if isinstance(choice, Optimal) else found[0]


def _noises(process: Process) -> list[float]:
    top = float(process.values.max())
    if top <= 0.0 or not process.told.any():
        return [1.0]
    low = max(32 * process.rounding, 1e-3 * float(np.mean(process.values)), 1e-12 * top)
    return np.geomspace(min(low, top), 10 * top, NOISES).tolist()


def _sizes(problem: Problem, noise: float | None) -> tuple[float, ...]:
    """What the labels are multiplied by: they have no size for a classifier whose prior has seen none."""
    process = problem.process
    top = float(np.mean(process.values))
    given = noise is not None or process.seen is not None or bool(process.mean.any())
    if given or not problem.forms[0].classifies or top <= 0.0:
        return (1.0,)
    return tuple(size * math.sqrt(problem.scale) * math.sqrt(top) for size in SIZES)


def _of_grid(problem: Problem, means: list[Any], noises: list[float | None]) -> list[Statement]:
    """The statements about the best few pairs of a mean and a covariance, best first."""
    process, n = problem.process, problem.process.rank
    removed = [np.zeros(n) if noise is None else process.removed(noise) for noise in noises]
    of_mean = [(b, process.mean_at(b), process.norm_of(b) / problem.scale) for b in means]
    of_noise = [(e, process.variance_at(e), process.information_of(e)) for e in removed]
    pairs = list(itertools.product(of_mean, of_noise))
    if not isinstance(problem.forms[0].loss, ZeroOne) and len(means) > 1:
        # a loss that takes its time: the same noise for both, or none
        pairs = [(one, of_noise[i % (len(of_noise) - 1)]) for i, one in enumerate(of_mean[:-1])]
        pairs += [(of_mean[-1], one) for one in of_noise]
    scale, first, rated = process.deviation(problem.scale), problem.inequalities[0], []
    for (b, mean, norm), (e, variance, known) in pairs:
        total = divergence(process.targets.shape[1], *known, norm)
        if not math.isfinite(total):
            continue
        f = problem.predictions(mean, variance)
        for form in problem.forms:
            loss, second = form.means(f, problem.labels, scale, process.weights)
            value = form.factor * first.upper(loss, second, form.draws * total, problem.price, process.count)
            rated.append((value, len(rated), b, e))
    rated.sort(key=lambda one: one[:2])
    chosen = [problem.read(b, e) for _, _, b, e in rated[:KEPT]] or [problem.read(None, np.zeros(n))]
    return sorted(chosen, key=lambda one: one.value)


def improved(problem: Problem, start: Statement, steps: int = Optimal.steps) -> Statement:
    """The statement about a posterior that descends from `start` along the gradient of its form and inequality.

    For losses other than the zero-one loss of two classes, or of several by their margins, it is `start`.
    """
    process, form, told = problem.process, start.form, problem.process.told
    by_margins = isinstance(process, Margins) and isinstance(form.loss, Argmax)
    if not (isinstance(form.loss, ZeroOne) or by_margins) or not told.any() or not math.isfinite(start.value):
        return start
    spectrum, rows = process.values[told], process.contrasts if isinstance(process, Margins) else process.basis
    basis = rows[:, told]
    floor = np.log(np.maximum(64 * process.rounding / spectrum, 1e-12))
    root = math.sqrt(problem.scale)
    first = np.zeros(len(spectrum)) if start.b is None else np.sqrt(spectrum) * start.b[told, 0] / root
    left = np.clip(np.log(np.maximum(1.0 - start.removed[told] * spectrum, 1e-300)), np.minimum(floor, 0.0), 0.0)
    objective = _Objective(problem, form, start.inequality, spectrum, basis, basis**2)
    limits = [(None, None)] * len(spectrum) + [(min(low, 0.0), 0.0) for low in floor]
    found = scipy.optimize.minimize(
        objective, np.concatenate([first, left]), jac=True, method="L-BFGS-B", bounds=limits, options={"maxiter": steps}
    ).x
    w, g = found[: len(spectrum)], found[len(spectrum) :]
    b, removed = np.zeros((process.rank, 1)), np.zeros(process.rank)
    b[told, 0], removed[told] = root * w / np.sqrt(spectrum), -np.expm1(g) / spectrum
    return min(start, problem.read(b, removed), key=lambda one: one.value)


@dataclasses.dataclass(frozen=True, eq=False)
class _Objective:
    """The bound as a function of the mean's coordinates w, in prior deviations, and the log shares g of the variance
    that are left. Several margins of one example fail as if they were independent: it is a guide, and no bound."""

    problem: Problem
    form: Form
    inequality: Inequality
    spectrum: Float[np.ndarray, " r"]
    basis: Float[np.ndarray, "n r"]
    squares: Float[np.ndarray, "n r"]

    def __call__(self, at: Float[np.ndarray, " p"]) -> tuple[float, Float[np.ndarray, " p"]]:
        problem, r = self.problem, len(self.spectrum)
        w, g = at[:r], at[r:]
        scale, weights = problem.scale, problem.process.weights
        root = math.sqrt(scale) * np.sqrt(self.spectrum)
        shares, (y, start, threshold, several) = np.exp(g), self._read()
        left = self.squares @ (self.spectrum * shares) + problem.process.beyond
        sigma = np.maximum(np.sqrt(scale * left), 1e-150)
        z = (threshold - y * (start + self.basis @ (root * w))) / sigma
        wrong, density = scipy.special.ndtr(z), np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
        if several > 1:
            right = np.maximum(scipy.special.ndtr(-z), 1e-150).reshape(-1, several)
            all_right = np.prod(right, axis=1)
            wrong, density = 1.0 - all_right, density * (all_right[:, None] / right).ravel()
        k = self.form.draws
        loss = float(weights @ wrong**k)
        total = 0.5 * float(np.sum(shares - 1.0 - g)) + 0.5 * float(w @ w)
        value, of_loss, of_total = self.inequality.slopes(loss, k * total, problem.price, problem.process.count)
        outer = np.repeat(of_loss * k * wrong ** (k - 1) * weights, several) * density
        slope_w = -root * (self.basis.T @ (outer * y / sigma)) + k * of_total * w
        of_variance = self.squares.T @ (-0.5 * outer * z / sigma**2 * scale)
        slope_g = of_variance * self.spectrum * shares + 0.5 * k * of_total * (shares - 1.0)
        return value, np.concatenate([slope_w, slope_g])

    def _read(self) -> tuple[Any, np.ndarray, Any, int]:
        """Signs, prior means and thresholds of the rows, and how many of them are one example's."""
        process, loss = self.problem.process, self.form.loss
        if isinstance(process, Margins):
            start = process.mean_at(None)[0]
            return 1.0, start.ravel(), 0.0, start.shape[1]
        assert isinstance(loss, ZeroOne)
        return self.problem.labels, process.mean[:, 0], loss.margin * process.deviation(self.problem.scale), 1
