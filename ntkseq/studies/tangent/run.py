"""A study from its data to its sheet: load, kernels, spectra, predictions, bounds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from ntkseq import _checks
from ntkseq.data import Dataset
from ntkseq.reports import Report, Sheet
from ntkseq.studies.provenance import Clock, Fingerprint, Stage, provenance
from ntkseq.studies.tangent import comparison, fits, regression, size
from ntkseq.studies.tangent.certificates import certificates
from ntkseq.studies.tangent.facts import advice, facts, notes, question
from ntkseq.studies.tangent.fits import Fit
from ntkseq.studies.tangent.inputs import Problem, problem
from ntkseq.studies.tangent.spec import Study
from ntkseq.studies.tangent.tuning import Tuned, paid, tuned


def run(study: Study | Dataset, *, stage: Stage | None = None, say: Callable[[str], Any] | None = None) -> Sheet:
    """Run a study.

    Args:
        study: what is asked; a data set in memory is `Study(dataset)`, arrays are `Study(x, y)`.
        stage: called with the name of each stage; the context it returns is held while the stage lasts.
        say: called, before anything is computed, with a line on the data, and one for each thing that may be meant
            otherwise.

    Returns:
        The sheet: print `sheet.summary()`, or write it with `reports.Folder`. Of one kernel on classes it is a
        `reports.Report`, which holds kernel matrix, spectrum, prediction and bounds as well.

    Raises:
        OSError: a file that cannot be read.
        ImportError: digits without scikit-learn; a module of a kernel that is not there.
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
        size.check(study, posed, len(study.kernels), say)
    mark = Fingerprint(*posed.arrays)
    if study.tune:
        found = tuned(study, posed, clock)
        one = fits.crossed(found.choice, found.kernel, found.K, posed, clock)
        return _one(study, posed, one, clock, mark, found)
    every = study.kernels
    if len(every) == 1:
        return _one(study, posed, fits.fitted(every[0], posed, clock), clock, mark)
    several = tuple(fits.fitted(choice, posed, clock, choice.name) for choice in every)
    made = comparison.report(study, posed, several, clock)
    return dataclasses.replace(made, provenance=provenance(study, mark, clock.seconds))


def _one(study: Study, posed: Problem, one: Fit, clock: Clock, mark: Fingerprint, found: Tuned | None = None) -> Sheet:
    """The report on one kernel."""
    compared = () if found is None else found.errors
    told = one.notes if found is None else (paid(len(compared), fair=not posed.repeated), *one.notes)
    kind = "neural tangent" if one.kind == "ntk" else "NNGP"
    if not posed.classes:
        with clock("prediction", "prediction and bound"):
            out = regression.outcome(study, posed, one, max(len(compared), 1))
            return regression.report(
                study, posed, one, title=f"{posed.name}: {kind} kernel regression", found=out,
                ranks=fits.effective_ranks(one.eigen, out.reg), told=told, compared=compared,
                provenance=provenance(study, mark, clock.seconds),
            )  # fmt: skip
    with clock("prediction", "prediction"):
        said = fits.prediction(one, posed, study.reg)
    with clock("bounds", "bounds"):
        proved = certificates(one, posed, study, said.reg, compared=max(len(compared), 1))
    return Report(
        title=f"{posed.name}: {kind} kernel study",
        data=facts(posed),
        kernel=one.words,
        problem=posed.question,
        gram=one.K,
        cross=one.cross,
        y=posed.train.y,
        y_test=posed.test.y,
        classes=posed.classes,
        spectrum=one.eigen,
        alignment=one.eigen.alignment(posed.signs(posed.train)),
        ranks=fits.effective_ranks(one.eigen, said.reg),
        bounds=proved.bounds,
        measured=proved.measured,
        best=proved.best,
        predicted=None if found is not None else proved.predicted,
        prediction=said,
        provenance=provenance(study, mark, clock.seconds),
        notes=(*told, *notes(posed, one.eigen, said)),
        compared=compared,
        question=question(posed, one.words),
        command=study.command,
        advice=advice(study, posed, one, well=said.better, compared=max(len(compared), 1)),
    )
