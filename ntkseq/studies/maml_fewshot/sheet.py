"""How do few-shot answers, spectra of meta-kernels, networks and bounds come onto one sheet?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from ntkseq import _statistics
from ntkseq.reports import Figure, Section, Sheet, Table, comparisons
from ntkseq.reports.learning import LearningCurve, learning
from ntkseq.spectra import Interval
from ntkseq.studies.maml_fewshot.meta_kernels import ALGORITHMS, PLACES, Kernels, Network
from ntkseq.studies.maml_fewshot.options import FewShotOptions
from ntkseq.studies.maml_fewshot.sentences import findings, gain
from ntkseq.training.lazy_training import Laziness, laziness
from ntkseq.training.maml import FewShotAccuracy

SHOWN = {"none": "Theta", "maml": "MAML", "anil": "ANIL"}


def sheet(study: FewShotOptions, found: Sequence[Kernels], trained: Sequence[Network]) -> Sheet:
    """What came of all settings, and of the networks trained in the first of them."""
    settled = [one for one in trained if one.diverged_at is None]
    slopes = {a: fit for a in ALGORITHMS if (fit := _slope([o for o in settled if o.algorithm == a])) is not None}
    notes = [
        f"Above: {found[0].name}, tasks of new classes.",
        "The meta-kernel does not see support labels: what it adds to adaptation is a function of the inputs of a "
        "task. Where tasks name their classes at random it has nothing to learn, and finite networks that gain by "
        "meta-training do it by moving their kernel.",
        "Bounds hold for new tasks of seen classes, drawn from the same examples; new classes are another law.",
    ]
    if len(settled) < len(trained):
        notes.append(f"{len(trained) - len(settled)} of {len(trained)} networks diverged; lower --outer-rate.")
    sections = [_answers(study, found, settled), _spectra(found)]
    if settled:
        sections.append(_networks(study, found[0], settled, slopes))
    sections += [_bounds(one) for one in found if one.drawn.permuted == found[0].drawn.permuted]
    return Sheet(
        title="few-shot tasks, kernels and networks",
        question="",
        findings=_findings(study, found, trained, slopes),
        facts=tuple(_facts(found, settled, slopes)),
        notes=tuple(notes),
        sections=tuple(sections),
        numbers=_numbers(found, trained, slopes),
        arrays=_arrays(found, trained),
    )


def _findings(
    study: FewShotOptions, found: Sequence[Kernels], trained: Sequence[Network], slopes: dict[str, Laziness]
) -> tuple[str, ...]:
    """The sentences: gains of the fewest shots, of the widest networks on the tasks of the first setting."""
    settled = [one for one in trained if one.diverged_at is None]
    fewest, gains = min(one.drawn.shots for one in found), []
    for one in (k for k in found if k.drawn.shots == fewest):
        for a in ALGORITHMS:
            alone, after = (one.accuracy[f"{SHOWN[a]}: {what}"] for what in ("adaptation alone", "meta-kernel"))
            setting = f"labels {'permuted' if one.drawn.permuted else 'fixed'}"
            gains += [gain(setting, f"meta-kernel of {SHOWN[a]}", place, alone[place].per_task, after[place].per_task)
                      for place in PLACES]  # fmt: skip
    for a in ALGORITHMS:
        runs = [one for one in settled if one.algorithm == a]
        wide = [one for one in runs if one.width == max(o.width for o in runs)]
        for place in PLACES if wide else ():
            alone = found[0].accuracy[f"{SHOWN[a]}: adaptation alone"][place].per_task
            pooled = _pooled([one.accuracy[place] for one in wide]).per_task
            gains.append(gain(found[0].name, f"{SHOWN[a]} networks of width {wide[0].width}", place, alone, pooled))
    return findings(
        study, gains=gains, slopes={SHOWN[a]: fit for a, fit in slopes.items()},
        scores={SHOWN[a]: float(s.score.value) for a, s in found[0].spectra.items()}, bounds=found[0].bounds,
        measured=found[0].measured, diverged=len(trained) - len(settled), runs=len(trained),
    )  # fmt: skip


def share(found: FewShotAccuracy, queries: int) -> Interval:
    """The share of right answers with a 95 % interval of Wilson's form, tasks as independent units.

    Its number of draws is that of tasks, or as many more as answers within a task differ from one another: a standard
    error alone is 0 where all tasks were answered rightly.
    """
    p, N, z = found.value, len(found.per_task), 1.96
    scatter = float(np.var(found.per_task, ddof=1)) if N > 1 else 0.0
    n = N * min(max(1.0, p * (1 - p) / scatter), queries) if scatter > 0 else N
    center, half = (p + z * z / (2 * n)) / (1 + z * z / n), z * math.sqrt(p * (1 - p) / n + (z / (2 * n)) ** 2)
    half /= 1 + z * z / n
    return Interval(max(center - half, 0.0), p, min(center + half, 1.0))


def _answers(study: FewShotOptions, found: Sequence[Kernels], trained: Sequence[Network]) -> Section:
    q, rows = study.ways * study.queries, []
    for one in found:
        rows += [(one.name, name, *(share(by[place], q) for place in PLACES)) for name, by in one.accuracy.items()]
    for a in ALGORITHMS:
        for width in sorted({o.width for o in trained}):
            runs = [o for o in trained if (o.algorithm, o.width) == (a, width)]
            if runs:
                means = (share(_pooled([o.accuracy[place] for o in runs]), q) for place in PLACES)
                rows.append((found[0].name, f"{SHOWN[a]}: network, width {width}", *means))
    table = Table(
        ("tasks", "method", *PLACES),
        tuple(rows),
        f"Share of right answers, 95 % intervals over {study.test_tasks} tasks; chance is 1/{study.ways}.",
    )
    figures = []
    for words in dict.fromkeys(one.drawn.permuted for one in found):
        some = [one for one in found if one.drawn.permuted == words]
        if len(some) > 1:
            name = "permuted" if words else "fixed"
            options = {
                "xlabel": "support examples per class",
                "ylabel": "share of wrong answers, new classes",
                "ticks": [one.drawn.shots for one in some],
                "legend": words == found[0].drawn.permuted,
            }
            caption = f"Wrong answers on tasks of new classes against shots, labels {name}."
            figures.append(Figure(f"shots-{name}", partial(learning, _curves(study, some), **options), caption))
    text = (
        "Adaptation alone is R y', what the infinitely wide network answers when it starts from zero and is not "
        "meta-trained. The ridge of the meta-kernel has the least error at training tasks left out.",
    )
    return Section("Right answers", text, tuple(figures), (table,))


def _curves(study: FewShotOptions, some: Sequence[Kernels]) -> list[LearningCurve]:
    curves = []
    for i, method in enumerate(some[0].accuracy):
        shares = [share(one.accuracy[method][PLACES[1]], study.ways * study.queries) for one in some]
        wrong, low, high = (np.array([1 - getattr(s, end) for s in shares]) for end in ("estimate", "upper", "lower"))
        shots = np.array([one.drawn.shots for one in some], float) * 1.02**i  # beside each other
        curves.append(LearningCurve(method, shots, wrong, low, high, colour=i, marker=i))
    return curves


def _spectra(found: Sequence[Kernels]) -> Section:
    first, rows = found[0], []
    for one in found:
        for name, s in one.spectra.items():
            w = s.spectrum
            ends = (w.trace / w.n, w.max_eigenvalue, w.min_eigenvalue, w.effective_rank("entropy"))
            rows.append((one.name, SHOWN[name], *ends, str(s.score)))
    curves = []
    for i, (name, s) in enumerate(first.spectra.items()):
        clear = s.spectrum.values > s.spectrum.errors
        curves.append(
            LearningCurve(
                SHOWN[name], np.arange(1, s.spectrum.n + 1)[clear], s.spectrum.values[clear], style="line", colour=i
            )
        )
    draw = partial(
        learning, curves, xlabel="index of the eigenvalue, largest first", ylabel="eigenvalue", ticks=(1, 10, 100)
    )
    figure = Figure(
        "spectra", draw, f"Eigenvalues told from zero, {first.name}: adaptation takes away what all supports share."
    )
    header = ("tasks", "kernel", "trace/n", "largest", "least", "entropy rank", "condition score")
    caption = (
        "Condition score: the condition number of the kernel of three tasks, averaged; small is said to train quickly."
    )
    return Section("Theta and the meta-kernels", (), (figure,), (Table(header, tuple(rows), caption),))


def _networks(
    study: FewShotOptions, first: Kernels, trained: Sequence[Network], slopes: dict[str, Laziness]
) -> Section:
    figures, rows = [], []
    for a in ALGORITHMS:
        widths = sorted({o.width for o in trained if o.algorithm == a})
        runs = [[o for o in trained if (o.algorithm, o.width) == (a, w)] for w in widths]
        if a in slopes:
            values = [[o.deviation for o in some] for some in runs]
            most = max(map(len, values))
            filled = np.array([[*row, *[math.nan] * (most - len(row))] for row in values])
            draw = partial(
                comparisons.width, widths, filled, slope=slopes[a], ylabel="|F - F_kernel| / |F_kernel|, new classes"
            )
            figures.append(Figure(f"width-{a}", draw, f"Network against its limit, {SHOWN[a]}: {slopes[a].verdict}."))
        for width, some in zip(widths, runs, strict=True):
            start, end = (
                float(np.mean([o.losses[part].mean() for o in some])) for part in (slice(10), slice(-10, None))
            )
            rows.append((SHOWN[a], width, float(np.mean([o.deviation for o in some])), start, end,
                         *(float(np.mean([o.accuracy[p].value for o in some])) for p in PLACES)))  # fmt: skip
    text = (
        f"{first.name}. Networks f - f_0 are meta-trained by SGD on {study.batch} tasks a step, {study.steps} steps, "
        "as long as the flow of the meta-kernel (here without a ridge) that they are compared with.",
    )
    header = ("algorithm", "width", "distance from the limit", "loss at the start", "loss in the end", *PLACES)
    return Section("Finite networks", text, tuple(figures), (Table(header, tuple(rows), "Means over seeds."),))


def _bounds(one: Kernels) -> Section:
    text = (
        "The sample size is the number of tasks. Of two ridges, that of the predictions and one that leaves adaptation "
        "alone, the bound with the smaller value is shown; it holds for both. Recalled forms are no guarantee.",
    )
    return Section(f"Bounds: {one.name}", text, bounds=one.bounds, measured=one.measured)


def _facts(found: Sequence[Kernels], trained: Sequence[Network], slopes: dict[str, Laziness]) -> list[tuple[str, str]]:
    first = found[0]
    boxes = [
        (f"{100 * by[PLACES[1]].value:.1f} %", f"right on tasks of new classes by {name}")
        for name, by in first.accuracy.items()
    ]
    for a in ALGORITHMS:
        runs = [o for o in trained if o.algorithm == a]
        if runs:
            width = max(o.width for o in runs)
            value = np.mean([o.accuracy[PLACES[1]].value for o in runs if o.width == width])
            boxes.append(
                (f"{100 * value:.1f} %", f"right on tasks of new classes by {SHOWN[a]} networks of width {width}")
            )
    return boxes + [
        (
            f"{fit.slope:.2f}",
            f"{SHOWN[a]}: distance of networks from their limit, as a power of the width ({fit.verdict})",
        )
        for a, fit in slopes.items()
    ]


def _slope(runs: Sequence[Network]) -> Laziness | None:
    if len({o.width for o in runs}) < 2:
        return None
    return laziness([o.width for o in runs], [o.deviation for o in runs])


def _pooled(runs: Sequence[FewShotAccuracy]) -> FewShotAccuracy:
    """Of several networks on the same tasks: the scatter over tasks of their mean."""
    per_task = np.mean([one.per_task for one in runs], axis=0)
    return FewShotAccuracy(float(per_task.mean()), _statistics.standard_error(per_task), per_task)


def _numbers(found: Sequence[Kernels], trained: Sequence[Network], slopes: dict[str, Laziness]) -> dict[str, Any]:
    told = {}
    for one in found:
        told[one.name] = {
            "accuracy": {m: {p: [a.value, a.error] for p, a in by.items()} for m, by in one.accuracy.items()},
            "inner_lr": one.lr,
            "reg": one.reg,
            "score": {a: [s.score.value, s.score.error, s.score.resolved] for a, s in one.spectra.items()},
            "bounds": {name: bound.to_dict() for name, bound in one.bounds.items()},
            "measured": one.measured,
        }
    runs = [
        {"algorithm": o.algorithm, "width": o.width, "seed": o.seed, "deviation": o.deviation,
         "diverged_at": o.diverged_at, "accuracy": {p: a.value for p, a in o.accuracy.items()}}
        for o in trained
    ]  # fmt: skip
    return {"settings": told, "networks": runs, "slopes": {a: fit.slope for a, fit in slopes.items()}}


def _arrays(found: Sequence[Kernels], trained: Sequence[Network]) -> dict[str, np.ndarray]:
    arrays = {f"{o.algorithm}-{o.width}-{o.seed}.losses": o.losses for o in trained}
    for one in found:
        head = f"{one.drawn.shots}-shot-{'permuted' if one.drawn.permuted else 'fixed'}"
        arrays |= {f"{head}.{a}.eigenvalues": s.spectrum.values for a, s in one.spectra.items()}
    return arrays
