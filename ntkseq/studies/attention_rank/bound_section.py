"""How do bounds on attention and the true losses come onto one sheet? Certified ones, and a template that is none."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ntkseq.reports import Figure, Section, Table
from ntkseq.studies.attention_rank import plots
from ntkseq.studies.attention_rank.correlations import exponent
from ntkseq.studies.attention_rank.heads import Certified
from ntkseq.studies.attention_rank.networks import KINDS
from ntkseq.studies.attention_rank.task_runs import TaskRuns

PREDICTOR = {"head": "trained head", "frozen": "read-out, attention frozen"}


def bound_section(part: TaskRuns) -> Section:
    """Certified bounds of all runs against the truth, one run of the largest n in full, and the template."""
    name = part.task.name
    by_kind = {kind: [one for one in part.certified if one.kind == kind] for kind in PREDICTOR}
    said = {f"{name}, {key}": (bound, one) for one in _last(by_kind) for key, bound in one.bounds.items()}
    last = part.runs[-1]
    template = f"{name}, template"
    curves = {
        key: ([one.n for one in some], [one.bounds[key].value for one in some])
        for some in by_kind.values()
        if some
        for key in some[0].bounds
    }
    measured = {
        PREDICTOR[kind]: ([one.test for one in some], [one.n for one in some]) for kind, some in by_kind.items() if some
    }
    text = (
        "Certified bounds speak of a single head f(X) = w' relu(V' X' softmax(X W x_q)), all of it trained, and of a "
        "linear read-out <U, A(X) X> behind attention as it was before training. Labels: "
        f"{part.task.signs}. Loss: the ramp "
        "min(1, max(0, 1 - y f)), in [0, 1] and above the share of wrong signs. Tokens are no longer than 1 by "
        "construction. A value of 1 or more says nothing.",
        "The template stands beside the gap of the clipped loss of the transformers. Nothing certifies it.",
    )
    caption = f"{name}: certified bounds and test losses against n. Lines: means over runs."
    figure = Figure(f"bounds-{name}", partial(plots.bounds, curves, measured), caption, wide=True)
    return Section(
        f"{name}: bounds",
        text,
        (figure,),
        (_checked(by_kind), _templates(part)),
        {**{key: bound for key, (bound, _) in said.items()}, template: part.template(last, "entropy")},
        {**{key: one.test.estimate for key, (_, one) in said.items()}, template: last.gap_clipped.estimate},
    )


def _last(by_kind: dict[str, list[Certified]]) -> list[Certified]:
    return [some[-1] for some in by_kind.values() if some]


def _checked(by_kind: dict[str, list[Certified]]) -> Table:
    rows = []
    for kind, some in by_kind.items():
        for key in some[0].bounds if some else ():
            sure = [one for one in some if one.bounds[key].certified]
            rows.append((
                key, PREDICTOR[kind], len(sure), sum(one.violated(key) for one in sure),
                sum(one.beyond(key) for one in sure), sum(one.bounds[key].vacuous for one in some),
                min(float(one.bounds[key].value or np.nan) for one in some),
                min(one.allowed(key) for one in some), max(one.gap.estimate for one in some),
                min(one.allowed(key) / max(one.gap.upper, 1e-12) for one in some),
            ))  # fmt: skip
    header = ("bound", "predictor", "certified", "violated", "test loss above", "vacuous", "least value",
              "least gap allowed", "largest gap", "least ratio")  # fmt: skip
    caption = (
        "Certified bounds against the truth, over all runs. Violated: the whole interval of the test loss is above. "
        "Ratio: gap allowed over the upper end of the gap measured."
    )
    return Table(header, tuple(rows), caption)


def _templates(part: TaskRuns) -> Table:
    gap, rows = part.column(lambda run: run.gap_clipped.estimate), []
    for kind in KINDS:
        values = np.array([part.template(run, kind).value for run in part.runs], float)
        ratio = float(np.median(values / np.maximum(gap, 1e-3)))
        above = int(np.sum(gap > values))
        rows.append((kind.replace("_", " "), str(exponent(part.n, values)), ratio, above, len(gap)))
    columns = ("template with", "its exponent in n", "median of template / gap", "gap above it", "of runs")
    caption = "The template (no theorem, constant 1, delta = 0.05) against the gap of the clipped loss."
    return Table(columns, tuple(rows), caption)


def certified_numbers(one: Certified) -> dict[str, Any]:
    """One predictor and its bounds, for report.json."""
    said = {
        key: {"value": bound.value, "certified": bound.certified, "violated": one.violated(key)}
        for key, bound in one.bounds.items()
    }
    return {
        "n": one.n, "seed": one.seed, "sigma": one.sigma, "predictor": one.kind, "train": one.train, "test": one.test,
        "gap": one.gap, "test_error": one.test_error, "bounds": said,
    }  # fmt: skip
