"""What a reader must know of the data of a study: their numbers, and warnings before believing a result."""

from __future__ import annotations

from typing import Any

from ntkseq.reports import Prediction
from ntkseq.spectra import FullSpectrum
from ntkseq.studies.tangent.inputs import Problem


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


def notes(posed: Problem, eigen: FullSpectrum, found: Prediction) -> tuple[str, ...]:
    """What a reader must know before believing a number."""
    told = [f"The file: {note}." for note in posed.notes]
    if not eigen.min_eigenvalue.positive:
        told.append(
            "The least eigenvalue cannot be told from zero: bounds that divide by it have no value. Near-duplicate "
            "sequences do that, or float32; float64 may resolve it."
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
    if posed.repeated:
        told.append(f"{posed.warning.strip()} No interval is stated for it, and nothing is measured beside the bounds.")
    if posed.scale is not None:
        told.append("Inputs were divided by the largest training norm, so the kernel depends on the sample.")
    return tuple(told)
