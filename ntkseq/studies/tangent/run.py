"""How is a study run? Load, kernel, spectrum, prediction, bounds; what it found comes back as a report."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float

from ntkseq import _checks, _statistics, predictors
from ntkseq._types import AnyKernel
from ntkseq.data import Dataset
from ntkseq.grams import DenseGram, gram
from ntkseq.reports import Prediction, Rank, Report, Sheet
from ntkseq.spectra import FullSpectrum, ranks, spectrum
from ntkseq.spectra.ranks.short import as_ranks
from ntkseq.studies.provenance import Clock, Fingerprint, Stage, provenance
from ntkseq.studies.tangent import regression
from ntkseq.studies.tangent.certificates import certificates
from ntkseq.studies.tangent.facts import facts, notes
from ntkseq.studies.tangent.inputs import Part, Problem, problem
from ntkseq.studies.tangent.ridge import Centre, choose_ridge
from ntkseq.studies.tangent.spec import Study


def run(
    study: Study | Dataset, *, stage: Stage | None = None, say: Callable[[str], Any] | None = None
) -> Report | Sheet:
    """Run a study.

    Args:
        study: what is asked; a data set in memory is `Study(dataset)`.
        stage: called with the name of each stage; the context it returns is held while the stage lasts.
        say: called, before anything is computed, with a line on the data, and one for each thing that may be meant
            otherwise.

    Returns:
        The report: print `report.summary()`, or write it with `reports.Folder`. Where the targets are numbers it is a
        `reports.Sheet`, which speaks of squared errors.

    Raises:
        OSError: a file that cannot be read.
        ImportError: digits without scikit-learn.
        ValueError: data or options that do not fit; the message says what came, what was wanted, what to do.

    Example:
        >>> from ntkseq.studies import Study, run
        >>> report = run(Study("digits", n_train=40, n_test=20))
        >>> report.bounds[report.best].value < 0.5
        True
    """
    study = Study(study) if isinstance(study, Dataset) else study
    _checks.kind("study", study, Study)
    clock = Clock(stage)
    with clock("load", "data"):
        posed = problem(study, values=True)
        if say is not None:
            for line in posed.reading:
                say(line)
    mark = Fingerprint(*posed.arrays)
    train, test, kernel = posed.train, posed.test, study.build()
    n, m = len(train.y), len(test.y)
    with clock("gram", f"kernel matrix {n} x {n}"):
        K = _kernel_matrix(kernel, study, train)
    with clock("cross", f"kernel of {m} test with {n} training examples"):
        cross = _kernel_matrix(kernel, study, test, train)
    with clock("spectrum", "spectrum"):
        eigen = spectrum(K, vectors=True, method="dense")
    if not posed.classes:
        with clock("prediction", "prediction and bound"):
            centre = Centre.of(np.asarray(train.y, np.float64))
            reg, how = choose_ridge(K, np.asarray(train.y, np.float64) - centre.value, eigen.trace, study.reg)
            made = provenance(study, mark, clock.seconds)
            more = {"reg": reg, "reg_from": how, "ranks": _ranks(eigen, reg), "provenance": made}
            return regression.report(study, posed, K, cross, eigen, centre, **more)
    signs = posed.signs(train)
    with clock("prediction", "prediction"):
        found = _predict(K, cross, posed, eigen, study.reg)
    with clock("bounds", "bounds"):
        said = certificates(K, cross, _diagonal(kernel, study, test), posed, study, found.reg)
    return Report(
        title=f"{posed.name}: {'neural tangent' if study.kind == 'ntk' else 'NNGP'} kernel study",
        data=facts(posed),
        kernel=study.describe(),
        problem=posed.question,
        gram=K,
        cross=cross,
        y=train.y,
        y_test=test.y,
        classes=posed.classes,
        spectrum=eigen,
        alignment=eigen.alignment(signs),
        ranks=_ranks(eigen, found.reg),
        bounds=said.bounds,
        measured=said.measured,
        best=said.best,
        predicted=said.predicted,
        prediction=found,
        provenance=provenance(study, mark, clock.seconds),
        notes=notes(posed, eigen, found),
    )


def _kernel_matrix(kernel: AnyKernel, study: Study, part: Part, other: Part | None = None) -> DenseGram:
    """The kernel of one part with itself, or of `part` with `other`."""
    (x, lengths), (x2, lengths2) = study.inputs(part.x, part.lengths), (None, None)
    if other is not None:
        x2, lengths2 = study.inputs(other.x, other.lengths)
    return gram(kernel, x, x2, lengths=lengths, lengths2=lengths2)


def _diagonal(kernel: AnyKernel, study: Study, part: Part) -> Float[np.ndarray, " m"]:
    """The kernel of each example with itself."""
    return np.asarray(kernel.diag(*study.inputs(part.x, part.lengths)), np.float64)


def _predict(K: DenseGram, cross: DenseGram, posed: Problem, eigen: FullSpectrum, reg: float | None) -> Prediction:
    y, y_test, k = posed.train.y, posed.test.y, len(posed.classes)
    targets = posed.signs(posed.train) if k == 2 else predictors.one_hot(y, classes=np.arange(k))
    reg, how = choose_ridge(K, targets, eigen.trace, reg)
    fit = predictors.ridge(K, targets, reg=reg)

    def decide(scores: np.ndarray) -> np.ndarray:
        if k > 2:
            return np.argmax(scores, axis=1)
        return np.where(scores > 0, posed.positive, 1 - posed.positive)

    scores = np.asarray(fit(cross))
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


def _ranks(eigen: FullSpectrum, reg: float) -> tuple[Rank, ...]:
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
