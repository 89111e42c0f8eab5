"""How do gaps, effective ranks and bounds of trained attention come onto one sheet?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np

from ntkseq.reports import Figure, Section, Sheet, Table, trajectories
from ntkseq.studies.attention_rank import plots
from ntkseq.studies.attention_rank.bound_section import bound_section, certified_numbers
from ntkseq.studies.attention_rank.correlations import exponent
from ntkseq.studies.attention_rank.networks import KINDS, Measured
from ntkseq.studies.attention_rank.options import RankOptions
from ntkseq.studies.attention_rank.sentences import Speaking, Summary, findings
from ntkseq.studies.attention_rank.task_runs import TaskRuns


def sheet(study: RankOptions, found: Sequence[TaskRuns]) -> Sheet:
    """What came of all tasks."""
    tests = [(one, name) for part in found for one in part.certified for name, b in one.bounds.items() if b.certified]
    violations = sum(one.violated(name) for one, name in tests)
    boxes = [
        (
            f"{violations} of {len(tests)}",
            "certified bounds with the whole interval of the test loss above them: none should be",
        )
    ]
    numbers: dict[str, Any] = {"certified_checks": len(tests), "violations": violations}
    arrays: dict[str, np.ndarray] = {}
    sections, notes = [], []
    for part in found:
        name, everywhere, within = part.task.name, part.everywhere, part.within
        boxes.append((str(part.fit), f"{name}: the gap of test over training loss goes with n to this power"))
        if within.best:
            rho = within.rho[within.best]
            what = (
                f"{name}: rank correlation with the gap at equal n of {within.best}, the largest of {len(within.rho)} "
                f"that were tried; {'not told from 0' if not rho.resolved else 'its interval does not count that'}"
            )
            boxes.append((f"{rho.estimate:.2f} [{rho.lower:.2f}, {rho.upper:.2f}]", what))
        if part.lost or part.lost_heads:
            notes.append(f"{name}: {part.lost} transformers and {part.lost_heads} heads diverged and are left out.")
        sections += [_gap_section(part), _rank_section(part), bound_section(part)]
        numbers[name] = {
            "exponent": part.fit,
            "exponent_clipped": exponent(part.n, part.column(lambda run: run.gap_clipped.estimate)),
            "spearman": {**everywhere.rho, "n": part.n_alone},
            "spearman_within_n": within.rho,
            "best": everywhere.best, "best_share": everywhere.share,
            "best_within_n": within.best, "best_within_n_share": within.share,
            "runs": [_numbers(run) for run in part.runs],
            "certified": [certified_numbers(one) for one in part.certified],
        }  # fmt: skip
        arrays |= _arrays(part)
    notes += [
        "A gap is a test loss minus a training loss; its interval is that of the mean over test examples, which are "
        "the same for all runs: they err together. An exponent's interval holds the scatter of the runs around a power "
        "law; it says nothing on whether that is the right law, and all networks train for the same number of steps.",
        "Many definitions of effective rank are compared on the same runs: the largest correlation of many is too "
        "large on average, and no interval here makes up for it. The share of resamples in which the best stays the "
        "best says whether it can be told from the others.",
        "The template has no theorem behind it. It is no bound and counts nowhere as one.",
        "Each certified bound may fail with the probability delta that it states: of many, a violation would be no "
        "contradiction by itself. Windows of text are independent by construction; of a file it is assumed.",
    ]
    return Sheet(
        title="effective rank of attention and the generalization gap", question="",
        findings=findings(study, [_summary(part) for part in found], violated=violations, checks=len(tests)),
        facts=tuple(boxes),
        notes=tuple(notes), sections=tuple(sections), numbers=numbers, arrays=arrays,
    )  # fmt: skip


def _summary(part: TaskRuns) -> Summary:
    """What the sentences say of a task."""
    saying = [
        Speaking(key, one.n, float(bound.value or np.nan), one.test.estimate)
        for one in part.certified for key, bound in one.bounds.items() if bound.certified and not bound.vacuous
    ]  # fmt: skip
    best = min(saying, key=lambda one: one.value, default=None)
    runs = len(part.runs) + part.lost + len(part.certified)
    return Summary(part.task.name, part.fit, part.within, best, part.lost, runs, part.lost_heads)


def _gap_section(part: TaskRuns) -> Section:
    task, name = part.task, part.task.name
    sigmas = [run.sigma for run in part.runs]
    left = f" {part.fit.left_out} runs without a gap above 0 are left out." if part.fit.left_out else ""
    losses = {
        "training": (part.n, part.column(lambda r: r.train)),
        "test": (part.n, part.column(lambda r: r.test.estimate)),
    }
    if all(run.apart is not None for run in part.runs):
        losses["text set apart"] = (part.n, part.column(lambda r: r.apart.estimate if r.apart else np.nan))
    figures = (
        Figure(f"gap-{name}", partial(plots.gaps, part.n, part.gap, sigmas, part.fit, ylabel="test - training loss"),
               f"{name}: gap of the cross-entropy against n, exponent {part.fit}.{left}"),
        Figure(f"loss-{name}", partial(plots.lines, losses, ylabel="cross-entropy", log=True),
               f"{name}: losses of the trained transformers, means and single runs."),
    )  # fmt: skip
    header = ("n", "sigma", "runs", "training loss", "test loss", "gap", "gap, clipped", "training error", "test error",
              "loss on text apart")  # fmt: skip
    rows = []
    for n, sigma in sorted({(run.n, run.sigma) for run in part.runs}):
        some = [run for run in part.runs if (run.n, run.sigma) == (n, sigma)]
        apart = [run.apart.estimate for run in some if run.apart is not None]
        rows.append((
            n, sigma, len(some), _mean(r.train for r in some), _mean(r.test.estimate for r in some),
            _mean(r.gap.estimate for r in some), _mean(r.gap_clipped.estimate for r in some),
            _mean(r.train_error for r in some), _mean(r.test_error.estimate for r in some),
            _mean(apart) if apart else None,
        ))  # fmt: skip
    last = part.runs[-1]
    text = (
        task.summary,
        "sigma multiplies the queries at the start: it makes attention sharper or flatter, so that effective ranks "
        "differ among runs with the same n. The clipped loss is min(1, cross-entropy / log classes), in [0, 1]. Of one "
        f"run (n = {last.n}, seed {last.seed}, sigma = {last.sigma:g}) the gap is {last.gap}: the interval of the test "
        "mean.",
    )
    return Section(f"{name}: gap", text, figures, (Table(header, tuple(rows), "Means over seeds."),))


def _rank_section(part: TaskRuns) -> Section:
    name, sigmas = part.task.name, sorted({run.sigma for run in part.runs})
    everywhere, within = part.everywhere, part.within
    curves = {}
    for kind in ("entropy", "stable"):
        for sigma in (sigmas[0], sigmas[-1])[: len(sigmas)]:
            some = [run for run in part.runs if run.sigma == sigma]
            curves[f"{kind}, sigma = {sigma:g}"] = ([r.n for r in some], [r.ranks.aggregate(kind) for r in some])
    watched = next((run for run in part.runs if run.history is not None), None)
    figures = [
        Figure(f"spearman-{name}", partial(plots.correlations, {"n": part.n_alone, **everywhere.rho}, within.rho),
               f"{name}: Spearman correlation of each effective rank with the gap. Grey: n itself, to compare.",
               wide=True),
        Figure(f"ranks-{name}", partial(plots.lines, curves, ylabel="effective rank of attention"),
               f"{name}: effective rank after training, mean over layers, heads and 64 test examples."),
    ]  # fmt: skip
    if watched is not None and watched.history is not None:
        figures.append(Figure(
            f"attention-{name}", partial(trajectories.attention, watched.history),
            f"{name}: entropy rank by layer while the transformer trains, n = {watched.n}, sigma = {watched.sigma:g}; "
            "thin: heads."))  # fmt: skip
    said = [
        f"{len(everywhere.rho)} numbers are compared ({len(everywhere.rho) // 2} definitions, mean and maximum over "
        f"layers and heads), on {everywhere.runs} runs."
    ]
    for one, what in ((everywhere, "Over all runs"), (within, "Among runs with the same n")):
        if one.best:
            shared = "" if np.isnan(one.share) else f", and stays first in {one.share:.0%} of resamples"
            said.append(f"{what} the best is {one.best}, rho = {one.rho[one.best]}{shared}.")
    said.append(f"n alone has rho = {part.n_alone} over all runs: what ranks add to it, only the second shows.")
    rows = [(key, everywhere.rho[key], within.rho[key]) for key in everywhere.rho]
    tables = [Table(("effective rank", "all runs", "same n"), tuple(rows), "Spearman correlations, 95 % intervals.")]
    for sigma in (sigmas[0], sigmas[-1])[: len(sigmas)]:
        run = [one for one in part.runs if one.sigma == sigma][-1]
        tables.append(_by_head(run))
    return Section(f"{name}: effective ranks", (" ".join(said),), tuple(figures), tuple(tables))


def _by_head(run: Measured) -> Table:
    rows = []
    for k, layer in enumerate(run.ranks.layers):
        for h in range(len(layer.mean[KINDS[0]])):
            cells = [f"{layer.mean[kind][h]:.3g} ± {layer.error[kind][h]:.1g}" for kind in KINDS]
            rows.append((f"{k + 1}.{h + 1}", *cells, float(layer.residual[h])))
    caption = (
        f"By layer.head, n = {run.n}, sigma = {run.sigma:g}, one seed: mean and standard error over test examples."
    )
    return Table(("head", *(kind.replace("_", " ") for kind in KINDS), "|A - 1a'|/|A|"), tuple(rows), caption)


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def _numbers(run: Measured) -> dict[str, Any]:
    return {
        "n": run.n, "seed": run.seed, "sigma": run.sigma, "train": run.train, "test": run.test, "gap": run.gap,
        "gap_clipped": run.gap_clipped, "train_error": run.train_error, "test_error": run.test_error,
        "apart": run.apart, "ranks": run.numbers(),
    }  # fmt: skip


def _arrays(part: TaskRuns) -> dict[str, np.ndarray]:
    name = part.task.name
    arrays = {f"{name}.n": part.n, f"{name}.gap": part.gap, f"{name}.sigma": part.column(lambda r: r.sigma),
              f"{name}.seed": part.column(lambda r: r.seed),
              f"{name}.gap_clipped": part.column(lambda r: r.gap_clipped.estimate)}  # fmt: skip
    for kind in KINDS:
        means = [np.stack([np.asarray(layer.mean[kind]) for layer in run.ranks.layers]) for run in part.runs]
        arrays[f"{name}.rank_{kind}"] = np.stack(means)  # (runs, layers, heads)
    return arrays
