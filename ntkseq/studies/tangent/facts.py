"""What a reader must know of the data of a study: their numbers, and warnings before believing a result."""

from __future__ import annotations

import dataclasses
from typing import Any

from ntkseq.data import Dataset
from ntkseq.data.splits import distinct
from ntkseq.reports import Prediction, sentences
from ntkseq.spectra import FullSpectrum
from ntkseq.studies.tangent.fits import Fit
from ntkseq.studies.tangent.inputs import Problem
from ntkseq.studies.tangent.spec import Study


def facts(posed: Problem) -> dict[str, Any]:
    """The examples in numbers."""
    (n, t, d), m = posed.train.x.shape, len(posed.test.y)
    ragged = posed.train.lengths is not None or posed.test.lengths is not None
    counts = {
        name: [int((posed.train.y == code).sum()), int((posed.test.y == code).sum())]
        for code, name in enumerate(posed.classes)
    }
    return {
        "name": posed.name,
        "summary": posed.summary,
        "read_as": posed.origin,
        "n_train": n,
        "n_test": m,
        "t": t,
        "d": d,
        "ragged": ragged,
        "dtype": str(posed.train.x.dtype),
        "classes": list(posed.classes),
        "positive": posed.classes[posed.positive],
        "examples_per_class": counts,
        "split": posed.split,
        "divided_by": posed.scale,
        "repeated_in_test": posed.repeated,
    }


def question(posed: Problem, words: str) -> str:
    """What the study asks, in a sentence."""
    k = len(posed.classes)
    what = f"class {posed.classes[0]!r} from class {posed.classes[1]!r}" if k == 2 else f"{k} classes apart"
    return (
        f"Does this kernel tell {what}, are its directions resolved, and what can be proved of its error? "
        f"{posed.summary}. {words}."
    )


def advice(study: Study, posed: Problem, one: Fit, *, well: bool, compared: int = 1) -> str:
    """What to do next: resolve what is not, choose a better kernel, compare with others, or the reader's own file.

    Args:
        study: what was asked.
        posed: the examples.
        one: the kernel.
        well: whether it predicts better than always saying the most frequent class, or the mean.
        compared: among how many kernels it was chosen, which bounds of what comes next count, too.
    """
    eigen, precise = one.eigen, study.dtype == "float64"
    hint = {"tune": True} if not study.tune and one.choice.takes else None
    unresolved = one.K.sampling is None and not precise and not eigen.min_eigenvalue.positive
    if unresolved and _resolvable(posed, eigen):
        return f"Next: resolve the rest in float64: {on_examples(study, dtype='float64')}"
    if hint and not well:
        return f"Next: choose the scales by leave-one-out, which the bounds count: {on_examples(study, **hint)}"
    others = _others(study, posed, one)
    if study.kernel == "recurrent" and not study.tune and others:
        return f"Next: other kernels on the same examples: {on_examples(study, kernel=others)}"
    if hint:
        return f"Next: choose the scales by leave-one-out, which the bounds count: {on_examples(study, **hint)}"
    if study.source == "digits":
        return "Next: your own sequences: ntkseq study FILE.npz"
    changes = {"tune": False, "kernel": others, "tried": study.tried * compared}
    return f"Next: others beside it: {on_examples(study, **changes)}" if others else ""


def _others(study: Study, posed: Problem, one: Fit) -> str:
    """The kernel with two others that take these examples and what was set; empty if there is none."""
    ragged = posed.train.lengths is not None or posed.test.lengths is not None
    names = []
    for name in ("dense", "transformer", "leaky"):
        if not one.choice.takes or name == one.choice.entry or (name == "dense" and ragged):
            continue
        try:
            dataclasses.replace(study, tune=False, kernel=f"{one.choice.text},{name}")
        except ValueError:  # a value that this kernel refuses, as --read steps
            continue
        names.append(name)
    return ",".join([one.choice.text, *names[:2]]) if names else ""


def on_examples(study: Study, **changes: Any) -> str:
    """The command of a study with some options changed; for data in memory the call."""
    wide = "dtype" in changes
    if isinstance(study.source, Dataset) or not isinstance(study.kernel, str):
        moved = {name: value for name, value in changes.items() if value != getattr(study, name)}
        said = "".join(f", {name}={value!r}" for name, value in moved.items())
        return f"run(Study(...{said})){' with JAX_ENABLE_X64=1' if wide else ''}"
    changed = dataclasses.replace(study, out=None, overwrite=False, **changes)
    return f"{'JAX_ENABLE_X64=1 ' if wide else ''}{changed.command}"


def equal(posed: Problem) -> str:
    """What equal training examples do to the least eigenvalue, with a blank in front; empty where there are none."""
    n, k = len(posed.train.y), distinct(posed.train.x, posed.train.lengths)
    said = f" Only {k} of {n} training sequences differ: {n - k} eigenvalues are zero, in any precision."
    return said if k < n else ""


def _resolvable(posed: Problem, eigen: FullSpectrum) -> bool:
    """Whether more eigenvalues than are told from zero may be positive: those of equal examples are not."""
    count = distinct(posed.train.x, posed.train.lengths)
    return count == len(posed.train.y) or count > sentences.resolved(eigen)


def reason(posed: Problem) -> str:
    """Why the least eigenvalue cannot be told from zero, with a blank in front."""
    return equal(posed) or " Near-duplicate sequences do that, or float32; float64 may resolve it."


def caution(posed: Problem) -> list[str]:
    """What to know where test examples were trained on."""
    if not posed.repeated:
        return []
    return [f"{posed.warning.strip()} No interval is stated for it, and nothing is measured beside the bounds."]


def notes(posed: Problem, eigen: FullSpectrum, found: Prediction) -> tuple[str, ...]:
    """What a reader must know before believing a number."""
    told = [f"The file: {note}." for note in posed.notes]
    if not eigen.min_eigenvalue.positive:
        told.append(
            "The least eigenvalue cannot be told from zero: bounds that divide by it have no value." + reason(posed)
        )
    if len(posed.classes) > 2:
        told.append(
            f"The prediction is among all {len(posed.classes)} classes (one-vs-rest); the bounds speak of two: "
            f"{posed.question}."
        )
    if found.reg_from != "given":
        told.append(
            "The ridge was chosen on the training labels. That costs the Rademacher and margin bounds nothing: they "
            "hold for all functions of the kernel's space at once. Kernel settings compared on these labels are not "
            "free; say how many with --tried."
        )
    told += caution(posed)
    if posed.scale is not None:
        told.append("Inputs were divided by the largest training norm, so the kernel depends on the sample.")
    return tuple(told)
