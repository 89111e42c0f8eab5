"""What does a report without a study look like? A small one with a known kernel, for the tests of the reports."""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np

from ntkseq import bounds
from ntkseq.grams import DenseGram
from ntkseq.reports import Figure, Prediction, Rank, Report, Section, Sheet, Table, plots
from ntkseq.spectra import Interval, spectrum

EVIL = "<script>alert(1)</script>"


def report(*, classes=("a", "b"), name="made", singular=False) -> Report:
    """Six training and four test examples; the kernel is a Gram matrix of random vectors."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(10, 8))
    if singular:
        z[1] = z[0]
    K, cross = z[:6] @ z[:6].T + np.ones((6, 6)), z[6:] @ z[:6].T + 1.0
    k = len(classes)
    y, y_test = np.arange(6) % k, np.arange(4) % k
    gram = DenseGram(jnp.asarray(K, jnp.float32), rounding=1e-5)
    eigen = spectrum(gram)
    signs = np.where(y == 1, 1.0, -1.0)
    said = {
        "rademacher": bounds.rademacher(gram, signs, reg=0.1),
        "arora2019": bounds.arora2019(gram, signs),
        "du2019": bounds.du2019(gram, signs),
    }
    scores = np.array([0.5, -0.5, 0.1, -2.0]) if k == 2 else np.eye(k)[y_test]
    prediction = Prediction(
        reg=0.1,
        reg_from="given",
        scores=scores,
        codes=np.where(scores > 0, 1, 0) if k == 2 else y_test,
        test_error=0.25,
        test_interval=(0.1, 0.6),
        train_error=0.0,
        loo_error=0.5,
        majority_error=0.5,
        rkhs_norm=2.0,
        effective_dimension=3.0,
    )
    ranks = [
        Rank(kind, "formula", eigen.effective_rank_interval(kind)) for kind in ("entropy", "stable", "participation")
    ]
    counts = {c: [int((y == i).sum()), int((y_test == i).sum())] for i, c in enumerate(classes)}
    return Report(
        title=f"{name}: study",
        question="Is it told?",
        data={
            "name": name, "summary": f"{name}: 6 training and 4 test sequences", "n_train": 6, "n_test": 4,
            "t": 3, "d": 1, "ragged": False, "classes": list(classes), "positive": classes[1],
            "examples_per_class": counts, "split": "given", "divided_by": None,
        },
        kernel="a made kernel",
        problem=f"class {classes[0]!r} is -1, class {classes[1]!r} is +1",
        gram=gram,
        cross=DenseGram(jnp.asarray(cross, jnp.float32), rounding=1e-6, symmetric=False),
        y=y,
        y_test=y_test,
        classes=tuple(classes),
        spectrum=eigen,
        alignment=0.1,
        ranks=(*ranks, Rank("r_1", "formula", None, "not resolved")),
        bounds=said,
        measured={"rademacher": 0.4},
        prediction=prediction,
        provenance={"command": f"ntkseq study {name}", "config": {"source": name}, "seconds": {"gram": 0.1}},
        notes=("a note",),
    )  # fmt: skip


def sheet(**changes) -> Sheet:
    """A sheet with one of everything."""
    made = report()

    def curve():
        ax = plots.axes()
        ax.plot([1.0, 2.0], [1.0, 0.5])
        return ax

    first = Section(
        "Drift",
        text=(f"The kernel of {EVIL} drifts.",),
        figures=(
            Figure("curve", curve, 'a "curve"'),
            Figure("second", curve, "another", alt="words for another"),
            Figure("map", plots.kernel_map(np.eye(3), np.arange(3) % 2, ("a", "b")), "a map", kind="png", wide=True),
        ),
        tables=(
            Table(
                ("width", "drift", "least eigenvalue", "resolved", EVIL),
                ((64, 0.123456, Interval(-1e-3, 1e-4, 2e-3), False, None), (128, math.nan, "", True, EVIL)),
                "by width",
            ),
        ),
    )
    second = Section("Bounds", bounds=made.bounds, measured=made.measured)
    given = {
        "title": "Made",
        "question": "Does the kernel stand still?",
        "expect": "A slope of -1/2.\n\nAnd nothing else.",
        "command": "ntkseq study made",
        "facts": (("0.12", "drift at width 64"), ("-0.5", "slope")),
        "notes": ("The least eigenvalue is not resolved.",),
        "sections": (first, second),
        "numbers": {"slope": Interval(-0.6, -0.5, -0.4), "worst": math.inf, "runs": [{"drift": math.nan}]},
        "arrays": {"drift": np.array([0.1, math.nan]), "kernel.names": np.array(["a", "b"])},
        "provenance": {"seed": 0, "versions": {"jax": "1"}},
    }
    return Sheet(**given | changes)
