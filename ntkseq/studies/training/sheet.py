"""How do networks of several widths and their linearisations come onto one sheet?"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from ntkseq._types import AnyFunction
from ntkseq.bounds.trajectory import learning_speed
from ntkseq.reports import Figure, Section, Sheet, Table, comparisons, trajectories
from ntkseq.studies.history import least_eigenvalue
from ntkseq.studies.training.networks import Outcome, Runs, Task
from ntkseq.studies.training.sentences import Summary
from ntkseq.training.lazy_training import Laziness, laziness


def sheet(found: Mapping[str, Runs], task: Task) -> Sheet:
    """What came of all runs, by model; two widths or more of each."""
    drifts = {model: _slope(runs, lambda outcome: outcome.drift) for model, runs in found.items()}
    misses = {model: _slope(runs, lambda outcome: outcome.test_deviation) for model, runs in found.items()}
    boxes = [
        (
            f"{_span(fit)}",
            f"{model}: kernel drift as a power of the width ({fit.verdict}); -0.5 or less in the kernel regime",
        )
        for model, fit in drifts.items()
    ]
    boxes += [
        (f"{_span(fit)}", f"{model}: error of linearisation as a power of the width ({fit.verdict})")
        for model, fit in misses.items()
    ]
    notes = (
        "The rate of Du et al. speaks of full-batch gradient descent with the same learning rate; the networks saw "
        f"batches of {task.batch} of {len(task.y)}. Widths bend the lines: an interval holds the scatter of the seeds, "
        "not the distance from the limit.",
    )
    sections = [_overview(found, drifts, misses)]
    sections += [_section(model, runs, task) for model, runs in found.items()]
    return Sheet(
        title="kernels through training",
        question="",
        facts=tuple(boxes),
        notes=notes,
        sections=tuple(sections),
        numbers={
            "drift_slope": {model: dataclasses.asdict(fit) for model, fit in drifts.items()},
            "deviation_slope": {model: dataclasses.asdict(fit) for model, fit in misses.items()},
            "runs": {
                model: [_numbers(o) for outcomes in runs.values() for o in outcomes] for model, runs in found.items()
            },
        },
        arrays=_arrays(found),
    )


def summary(runs: Runs, lost: int) -> Summary:
    """What the sentences say of a model, of which so many runs diverged."""
    means = {
        name: {width: float(np.mean([value(o) for o in outcomes])) for width, outcomes in sorted(runs.items())}
        for name, value in (("drift", lambda o: o.drift), ("miss", lambda o: o.test_deviation))
    }
    widest = runs[max(runs)][0].history["kernel"]
    return Summary(
        _slope(runs, lambda o: o.drift), _slope(runs, lambda o: o.test_deviation), means["drift"], means["miss"],
        least_eigenvalue(widest, -1), lost, lost + sum(map(len, runs.values())),
    )  # fmt: skip


def _overview(found: Mapping[str, Runs], drifts: Mapping[str, Laziness], misses: Mapping[str, Laziness]) -> Section:
    figures = []
    for model, runs in found.items():
        widths = sorted(runs)
        for name, fits, value, label in (
            ("drift", drifts, lambda o: o.drift, "|K - K_0| / |K_0| after training"),
            ("miss", misses, lambda o: o.test_deviation, "|f - f_linear| / |f_linear|, test set"),
        ):
            fit = fits[model]
            values = [[value(outcome) for outcome in runs[width]] for width in widths]
            draw = partial(comparisons.width, widths, _filled(values), slope=fit, ylabel=label)
            what = "Kernel drift" if name == "drift" else "Error of the linearised prediction"
            caption = f"{what} against width, {model}: {fit.verdict}. Slope {fit.slope:.3g}, {fit.reason}."
            figures.append(Figure(f"{name}-{model}", draw, caption))
    header = ("model", "quantity", "slope", "lower", "upper", "verdict")
    rows = [
        (model, what, fit.slope, fit.lower, fit.upper, fit.verdict)
        for what, fits in (("kernel drift", drifts), ("linearised prediction's error", misses))
        for model, fit in fits.items()
    ]
    text = ("In the kernel regime both fall at least as fast as width^-1/2 (dotted). Verdicts: see training.laziness.",)
    return Section("Against width", text, tuple(figures), (Table(header, tuple(rows), "Slopes with 95 % intervals."),))


def _section(model: str, runs: Runs, task: Task) -> Section:
    ends = {f"width {width}": runs[width][0].history for width in (min(runs), max(runs))}
    narrow, wide = runs[min(runs)][0], runs[max(runs)][0]
    steps = narrow.history["kernel"].steps
    curves = {
        f"width {o.width}: {who}": curve
        for o in (narrow, wide)
        for who, curve in (("network", o.history["loss"]["train_loss"]), ("linearised", o.linear_loss))
    }
    drawn: list[tuple[str, Any, str]] = [
        ("fan", partial(trajectories.leading_eigenvalues, narrow.history), f"Of width {narrow.width}, one seed."),
        ("least", partial(trajectories.min_eigenvalue, ends), "The least eigenvalue with its interval, two widths."),
        ("distance", partial(trajectories.drift, ends), "Distance of kernel and parameters from the start."),
        ("ranks", partial(trajectories.ranks, ends, kinds=("entropy",)), "Effective rank of the kernel (entropy)."),
        ("loss", partial(trajectories.losses, ends), "Mean loss |f - y|^2 / 2 on training and test set."),
        ("linear", partial(comparisons.linearised, steps, curves, ylabel="training loss"),
         "The network and its linearisation, trained by the same batches."),
        ("alignment", partial(trajectories.alignment, ends), "Alignment of the kernel with labels and residuals."),
    ]  # fmt: skip
    if "attention" in wide.history.tables:
        caption = f"Effective rank of attention matrices by layer, width {wide.width}; thin: heads."
        drawn.append(("attention", partial(trajectories.attention, wide.history), caption))
    figures = [Figure(f"{name}-{model}", draw, caption) for name, draw, caption in drawn]
    return Section(model, (_du(narrow, task), _du(wide, task)), tuple(figures), (_table(runs),))


def _du(outcome: Outcome, task: Task) -> str:
    """What the rate of Du et al. says of one run, in a sentence."""
    table = outcome.history["kernel"]
    run = learning_speed(table, lr=outcome.lr, n=len(task.y), whole=True, losses=outcome.history["loss"]["train_loss"])
    count = {word: run.status.count(word) for word in ("holds", "fails", "unresolved")}
    said = f"at width {outcome.width} lambda_min >= lambda_0/2 holds at {count['holds']} of {len(table)} records"
    if count["fails"]:
        said += f", fails first at step {run.first_failure}"
    if count["unresolved"]:
        said += f", is unresolved at {count['unresolved']}"
    assert run.observed is not None
    return (
        f"Du et al.: {said}. The linear rate from the eigenvalues along the run lets expect a residual of "
        f"{run.factor[-1]:.3g} of that at the start in the end, an estimate from above; it was {run.observed[-1]:.3g}."
    )


def _table(runs: Runs) -> Table:
    header = ("width", "kernel drift", "parameters moved", "linear: error on test", "training loss", "test error",
              "linear: test error", "least at start", "least in the end", "entropy rank at start",
              "in the end")  # fmt: skip
    rows = []
    for width, outcomes in sorted(runs.items()):
        numbers = [_numbers(outcome) for outcome in outcomes]
        mean = {key: float(np.mean([one[key] for one in numbers])) for key in numbers[0]}
        least = [least_eigenvalue(outcomes[0].history["kernel"], row) for row in (0, -1)]
        rows.append((
            width, mean["drift"], mean["moved"], mean["test_deviation"], mean["train_loss"], mean["test_error"],
            mean["linear_test_error"], *least, mean["rank_start"], mean["rank_end"],
        ))  # fmt: skip
    return Table(header, tuple(rows), "Means over seeds; the least eigenvalues are those of the first seed.")


def _numbers(outcome: Outcome) -> dict[str, float]:
    kernel, loss, moved = (outcome.history[name] for name in ("kernel", "loss", "movement"))
    return {
        "width": outcome.width,
        "seed": outcome.seed,
        "lr": outcome.lr,
        "drift": outcome.drift,
        "moved": float(moved["relative"][-1]),
        "deviation": float(outcome.deviation[-1]),
        "test_deviation": outcome.test_deviation,
        "train_loss": float(loss["train_loss"][-1]),
        "linear_train_loss": float(outcome.linear_loss[-1]),
        "test_error": float(loss["test_error"][-1]),
        "linear_test_error": outcome.linear_test_error,
        "least_start": float(kernel["min_eigenvalue"][0]),
        "least_end": float(kernel["min_eigenvalue"][-1]),
        "rank_start": float(kernel["rank_entropy"][0]),
        "rank_end": float(kernel["rank_entropy"][-1]),
    }


def _arrays(found: Mapping[str, Runs]) -> dict[str, np.ndarray]:
    """Every row of every run, but the outputs on the examples."""
    arrays: dict[str, np.ndarray] = {}
    for model, runs in found.items():
        for outcome in (o for outcomes in runs.values() for o in outcomes):
            head = f"{model}-{outcome.width}-{outcome.seed}"
            arrays |= {f"{head}.linear_loss": outcome.linear_loss, f"{head}.deviation": outcome.deviation}
            for name, table in outcome.history.tables.items():
                arrays[f"{head}.{name}.steps"] = table.steps
                arrays |= {f"{head}.{name}.{c}": v for c, v in table.columns.items() if c != "outputs"}
    return arrays


def _slope(runs: Runs, value: AnyFunction) -> Laziness:
    widths = [outcome.width for outcomes in runs.values() for outcome in outcomes]
    return laziness(widths, [value(outcome) for outcomes in runs.values() for outcome in outcomes])


def _filled(values: list[list[float]]) -> np.ndarray:
    """Rows of one length, nan behind those where a run diverged."""
    most = max(map(len, values))
    return np.array([[*row, *[math.nan] * (most - len(row))] for row in values])


def _span(fit: Laziness) -> str:
    return f"{fit.slope:.2f} [{fit.lower:.2f}, {fit.upper:.2f}]"
