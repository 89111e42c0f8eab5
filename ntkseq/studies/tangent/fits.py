"""What does a study compute of one kernel? Its matrices and spectrum, and how well it predicts."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float

from ntkseq import _statistics, predictors
from ntkseq.grams import DenseGram, gram
from ntkseq.kernels import Kernel
from ntkseq.reports import Prediction, Rank
from ntkseq.spectra import FullSpectrum, ranks, spectrum
from ntkseq.spectra.ranks.short import as_ranks
from ntkseq.studies.kernel_choices import Choice, described
from ntkseq.studies.provenance import Clock
from ntkseq.studies.tangent.inputs import Part, Problem
from ntkseq.studies.tangent.ridge import choose_ridge


@dataclasses.dataclass(frozen=True, eq=False)
class Fit:
    """A kernel on the examples of a study.

    Attributes:
        choice: what was asked for. kernel: the kernel itself.
        K, cross: kernel of the training examples, and of test with training examples.
        eigen: the spectrum of K.
    """

    choice: Choice
    kernel: Kernel
    K: DenseGram
    cross: DenseGram
    eigen: FullSpectrum

    @property
    def words(self) -> str:
        """The kernel in a line, and that it is sampled."""
        return f"{described(self.choice)}{self.sampled and f', sampled ({self.sampled})'}"

    @property
    def kind(self) -> str:
        """ "ntk", or "nngp" where the kernel says so."""
        return str(getattr(self.kernel, "kind", "ntk"))

    @property
    def depth(self) -> int:
        """Its number of layers, where it is asked for by one; 1 otherwise."""
        known = self.choice.settings.get("depth", getattr(self.kernel, "depth", 1))
        return known if isinstance(known, int) else 1

    @property
    def sampled(self) -> str:
        """How many samples the kernel is made of, in words; empty for one in closed form."""
        known = self.K.sampling
        if known is None:
            return ""
        return f"{known.samples} {known.noun}" if known.samples else "their number is not known"

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know of the kernel before believing a number."""
        told = []
        if self.K.sampling is not None:
            told.append(
                f"The kernel of {self.choice.name} is sampled ({self.sampled}), an estimate of the limit. Intervals of "
                "eigenvalues and ranks contain the sampling error as the spread of independent batches tells it, which "
                "is calibrated and not proved: no bound is certified. Predictions, and their test error, are those of "
                "the sampled kernel."
            )
        elif self.K.estimated:
            told.append(
                f"The rounding of {self.choice.name} is an estimate ({self.K.estimated}): no bound is certified."
            )
        if not self.choice.takes:
            told.append(
                "Bounds take the kernel for fixed before the examples. That is yours to vouch for: the kernel of a "
                "network that was trained on them, or was picked by looking at them, is not."
            )
        return tuple(told)

    def diagonal(self, part: Part) -> Float[np.ndarray, " m"]:
        """The kernel of each example with itself."""
        return np.asarray(self.kernel.diag(*self.choice.inputs(part.x, part.lengths)), np.float64)


def fitted(choice: Choice, posed: Problem, clock: Clock, which: str = "") -> Fit:
    """Compute the matrices of a kernel and its spectrum.

    Args:
        choice: the kernel.
        posed: the data.
        clock: times the stages.
        which: the kernel among several, as a word of the stages.
    """
    n, (end, key) = len(posed.train.y), (f" ({which})", f" {which}") if which else ("", "")
    kernel = choice.make(posed.train.x.shape[1:])
    with clock(f"gram{key}", f"kernel matrix {n} x {n}{end}"):
        K = square(choice, kernel, posed)
    return crossed(choice, kernel, K, posed, clock, which)


def square(choice: Choice, kernel: Kernel, posed: Problem) -> DenseGram:
    """The kernel matrix of the training examples."""
    return matrix(choice, kernel, posed.train)


def crossed(choice: Choice, kernel: Kernel, K: DenseGram, posed: Problem, clock: Clock, which: str = "") -> Fit:
    """The rest of a fit, where K is there already."""
    n, m = len(posed.train.y), len(posed.test.y)
    end, key = (f" ({which})", f" {which}") if which else ("", "")
    with clock(f"cross{key}", f"kernel of {m} test with {n} training examples{end}"):
        cross = matrix(choice, kernel, posed.test, posed.train)
    with clock(f"spectrum{key}", f"spectrum{end}"):
        eigen = spectrum(K, vectors=True, method="dense")
    return Fit(choice, kernel, K, cross, eigen)


def matrix(choice: Choice, kernel: Kernel, part: Part, other: Part | None = None) -> DenseGram:
    """The kernel of one part with itself, or of `part` with `other`."""
    (x, lengths), (x2, lengths2) = choice.inputs(part.x, part.lengths), (None, None)
    if other is not None:
        x2, lengths2 = choice.inputs(other.x, other.lengths)
    return gram(kernel, x, x2, lengths=lengths, lengths2=lengths2)


def targets(posed: Problem) -> Float[np.ndarray, "n ..."]:
    """What is regressed on: -1/+1 for two classes, one-hot rows for more."""
    k = len(posed.classes)
    if k == 2:
        return posed.signs(posed.train)
    return np.asarray(predictors.one_hot(posed.train.y, classes=np.arange(k)))


def prediction(one: Fit, posed: Problem, reg: float | None) -> Prediction:
    """How well kernel ridge regression tells the classes.

    Args:
        one: the kernel. posed: the data.
        reg: the ridge; None: by leave-one-out.
    """
    y, y_test, k = posed.train.y, posed.test.y, len(posed.classes)
    aims = targets(posed)
    reg, how = choose_ridge(one.K, aims, one.eigen.trace, reg)
    fit = predictors.ridge(one.K, aims, reg=reg)

    def decide(scores: np.ndarray) -> np.ndarray:
        if k > 2:
            return np.argmax(scores, axis=1)
        return np.where(scores > 0, posed.positive, 1 - posed.positive)

    scores = np.asarray(fit(one.cross))
    codes = decide(scores)
    wrong, m = int((codes != y_test).sum()), len(y_test)
    return Prediction(
        reg=float(reg),
        reg_from=how,
        scores=scores,
        codes=codes,
        test_error=wrong / m,
        test_interval=None if posed.repeated else _statistics.proportion(wrong, m),
        train_error=float(np.mean(decide(fit.y - fit.residuals) != y)),
        loo_error=float(np.mean(decide(fit.loo_predictions) != y)),
        majority_error=float(np.mean(y_test != np.bincount(y).argmax())),
        rkhs_norm=fit.rkhs_norm,
        effective_dimension=fit.effective_dimension,
    )


_RANKS = (
    *("entropy", "energy_entropy", "stable", "intrinsic", "participation", "energy_participation", "numerical"),
    *(ranks.Energy(0.99), ranks.Tail(1), ranks.Tail(1, ranks.Participation())),
)


def effective_ranks(eigen: FullSpectrum, reg: float) -> tuple[Rank, ...]:
    """The effective ranks of a report, those that need a ridge at this one."""
    wanted = as_ranks(_RANKS, "ranks")
    if reg > 0:  # its number is in the formula
        wanted |= {"dimension": ranks.Dimension(reg), "dimension2": ranks.Dimension(reg, power=2)}
    found = []
    for name, rank in wanted.items():
        try:
            value = eigen.effective_rank_interval(rank)
        except ValueError as error:  # not positive semi-definite
            found.append(Rank(name, rank.formula, None, str(error)))
            continue
        if np.isnan(value.estimate):
            found.append(Rank(name, rank.formula, None, "the eigenvalues it needs are not resolved"))
        else:
            found.append(Rank(name, rank.formula, value))
    return tuple(found)
