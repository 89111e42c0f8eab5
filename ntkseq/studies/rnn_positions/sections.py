"""Which figures and tables show errors at each step, their bounds, and the use of earlier tokens?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ntkseq._outward import at_most
from ntkseq.reports import Figure, Section, Table, learning
from ntkseq.reports.learning import LearningCurve
from ntkseq.studies.recurrent.cases import (
    NETWORK_COLUMNS,
    bound_curve,
    network_curves,
    network_row,
    risk_curve,
    spread_curve,
)
from ntkseq.studies.rnn_positions.cases import PositionsCase, TrainedSteps
from ntkseq.studies.rnn_positions.options import FIRST, PositionsOptions

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HALF = 0.5  # an error that says something: f = 0 errs about as much
TOP = 10.0  # upper end of curves of errors: bounds above it say nothing
WORDS = {"near": "the token before", "far": "the second token", "all": "all tokens from the second on"}
LOSS = "mean min(1, |f - y|)"


def by_step(study: PositionsOptions, found: Sequence[PositionsCase]) -> Section:
    """The error at each step, at the largest n."""
    figures = []
    n, small = max(study.examples), max(study.sgd_examples)
    for name in study.functions:
        draw = [_panel(_steps(study, c), c.source, "position of the output", LOSS, top=TOP) for c in _of(found, name)]
        caption = (
            f"Error at each position (counted from 0), {name}. Dots: one kernel predictor of all steps, n = {n}, mean "
            f"and range of {study.draws} draws; squares: kernel regression fitted to that step alone. Open: one "
            f"network for all steps by SGD, n = {small}, mean and range of {study.seeds} starts. Solid line: certified "
            f"bound of each step, all at once; above {TOP:g} not shown. Thin line: the error of f = 0."
        )
        figures.append(Figure(f"steps-{name}", lambda d=draw: learning.panels(d), caption, wide=True))
    return Section("Error at each step", tuple(f"{one}: a step reads {WORDS[one]}." for one in study.sources),
                   tuple(figures))  # fmt: skip


def _of(found: Sequence[PositionsCase], name: str) -> list[PositionsCase]:
    return [case for case in found if case.name == name]


def _panel(curves: list[LearningCurve], title: str, xlabel: str, ylabel: str, **options: Any) -> Callable[[Axes], Axes]:
    """A picture with a linear lower axis."""

    def draw(ax: Axes) -> Axes:
        learning.learning(curves, ax, legend=False, title=title, xlabel=xlabel, ylabel=ylabel, **options)
        return _linear(ax, curves)

    return draw


def _linear(ax: Axes, curves: Sequence[LearningCurve]) -> Axes:
    x = sorted({float(value) for one in curves for value in np.asarray(one.x, np.float64)})
    shown = x[:: -(-len(x) // 8)]
    ax.set_xscale("linear")
    ax.set_xticks(shown, [f"{value:g}" for value in shown])
    ax.set_xlim(x[0] - 0.5, x[-1] + 0.5)
    return ax


def _steps(study: PositionsOptions, case: PositionsCase) -> list[LearningCurve]:
    """Kernel, step alone, networks, bound and the error of 0 over positions."""
    at = np.arange(FIRST, study.length)
    errors = np.array([fits[-1].by_step for fits in case.fits])
    curves = [
        spread_curve("kernel, all steps", at, errors),
        LearningCurve("kernel, that step alone", at, [one.errors.mean for one in case.alone], colour=2, marker=1),
        bound_curve("bound of a step", at, case.steps),
        LearningCurve("f = 0", at, case.zero, style="line", colour=5, thin=True),
    ]
    for k, width in enumerate(sorted(study.widths)):
        runs = _runs(case, width, max(study.sgd_examples))
        if runs:
            steps, label = np.array([one.by_step for one in runs]), f"SGD, width {width}"
            curves.append(spread_curve(label, at, steps, style="hollow", colour=1, marker=k + 2))
    return curves


def _runs(case: PositionsCase, width: int, n: int) -> list[TrainedSteps]:
    return [one for one in case.trained if (one.network.width, one.network.n) == (width, n)
            and one.network.diverged_at is None]  # fmt: skip


def curves(study: PositionsOptions, found: Sequence[PositionsCase]) -> Section:
    """The mean error over steps against n, and a table of the networks."""
    figures = []
    for name in study.functions:
        draw = [_against_n(study, case) for case in _of(found, name)]
        caption = (
            f"Mean error over all steps against the number n of sequences, {name}: kernel regression on all steps "
            f"(dots, {study.draws} draws), networks by SGD (open). Lines: bounds with sequences as the independent "
            f"unit, from y'K^-1 y and from the norm of the target before any label; solid: certified. Above {TOP:g} "
            "nothing is shown."
        )
        figures.append(Figure(f"learning-{name}", lambda d=draw: learning.panels(d), caption, wide=True))
    rows = tuple((c.name, c.source, *network_row(one, c.fits[0])) for c in found for one in c.trained)
    header = ("function", "reads", *NETWORK_COLUMNS, "own K", "diverged at")
    caption = (
        "Networks by SGD on W, the loss of a sequence summed over its steps, beside kernel gradient flow for the same "
        "time and the interpolant. Own K: K(x, x) summed over steps, largest at the start over the first sequences, in "
        "units of the limit; where it is above 1 the step was divided by it."
    )
    return Section("Error against examples", (), tuple(figures), (Table(header, rows, caption),) if rows else ())


def _against_n(study: PositionsOptions, case: PositionsCase) -> Callable[[Axes], Axes]:
    lines = [
        risk_curve("|f| bound", case, colour=3),
        spread_curve("kernel, all steps", case.sizes, case.mean_errors),
        bound_curve("y'K^-1 y bound", case.sizes, [fit.bound for fit in case.fits[0]]),
        *network_curves(case.trained, study.widths, marker=2, colour=1),
    ]
    return lambda ax: learning.learning(lines, ax, legend=False, title=case.source, ylabel=LOSS, top=TOP)


def tokens(study: PositionsOptions, found: Sequence[PositionsCase]) -> Section:
    """How much of the effect of earlier tokens is learnt, against how long ago they were."""
    figures = []
    wide, n = max(study.widths), max(study.sgd_examples)
    for name in study.functions:
        here = _of(found, name)
        case = next((one for one in here if one.source == "all"), here[0])
        runs = _runs(case, wide, n)
        gains = [("kernel, all steps", case.used.gain)]
        effects = [("target", case.of_target.effect), ("kernel", case.used.effect)]
        if runs:
            gains.append((f"SGD, width {wide}", np.mean([one.used.gain for one in runs], axis=0)))
            effects.append((f"SGD, width {wide}", np.mean([one.used.effect for one in runs], axis=0)))
        draw = [_gain(study, title, values) for title, values in gains]
        caption = (
            f"Replacing one token by another draw changes target and predictor: slope of the one change over the "
            f"other, {name}, {WORDS[case.source]}. 1: the effect of that token is learnt; 0: it is not. Kernel with "
            f"n = {max(study.examples)} sequences, networks with {n}."
        )
        figures.append(Figure(f"gain-{name}", lambda d=draw: learning.panels(d), caption, wide=True))
        caption = (
            f"Share of each token (down) in the variance of each output (across), {name}, {WORDS[case.source]}: half "
            "the mean squared change when the token is replaced."
        )
        figures.append(Figure(f"effect-{name}", lambda e=effects: _maps(e), caption, kind="png", wide=True))
    return Section("Use of earlier tokens", (), tuple(figures))


def _gain(study: PositionsOptions, title: str, gain: np.ndarray) -> Callable[[Axes], Axes]:
    """Gains over how many steps ago the token was, one curve per output position."""
    curves = []
    chosen = np.unique(np.linspace(0, study.steps - 1, min(study.steps, 6)).round().astype(int))
    for k, a in enumerate(chosen):
        position = a + FIRST
        lags = np.arange(1, position)  # token i = position - lag >= 1
        curves.append(LearningCurve(f"output at {position}", lags, gain[position - lags - 1, a], colour=k, marker=k))

    def draw(ax: Axes) -> Axes:
        learning.learning(
            curves, ax, legend=False, title=title, xlabel="steps ago", ylabel="share of the effect learnt"
        )
        ax.set_yscale("linear")
        ax.set_ylim(-0.1, 1.2)
        ax.axhline(1.0, color="black", lw=0.8, ls=":")
        return _linear(ax, curves)

    return draw


def _maps(effects: Sequence[tuple[str, np.ndarray]]) -> Axes:
    """Heat maps of token by output position with one scale."""
    from matplotlib.figure import Figure as Picture

    picture = Picture(figsize=(7.6, 3.0), layout="constrained")
    row = picture.subplots(1, len(effects), sharey=True, squeeze=False)[0]
    top = max(float(values.max()) for _, values in effects)
    tokens, steps = effects[0][1].shape
    ends = (FIRST - 0.5, FIRST + steps - 0.5, tokens + 0.5, 0.5)
    for ax, (title, values) in zip(row, effects, strict=True):
        image = ax.imshow(values, cmap="Blues", vmin=0, vmax=top, extent=ends, aspect="auto", interpolation="none")
        ax.set_title(title, fontsize="medium", loc="left")
        ax.set_xlabel("position of the output")
        for axis, first, count in ((ax.xaxis, FIRST, steps), (ax.yaxis, 1, tokens)):
            axis.set_ticks(range(first, first + count, -(-count // 8)))
    row[0].set_ylabel("token")
    picture.colorbar(image, ax=list(row), label="variance", shrink=0.9)  # pyright: ignore[reportPossiblyUnboundVariable]
    return row[0]


def norms(study: PositionsOptions, found: Sequence[PositionsCase]) -> Section:
    """What one function for all steps costs: its norm against those of the steps alone."""
    figures = []
    for name in study.functions:
        lines = []
        for k, case in enumerate(_of(found, name)):
            unit = case.kappa**2
            size = [fit.bound.constants.norm_squared * unit for fit in case.fits[0]]
            alone = max(one.norm_squared.estimate for one in case.alone) * unit
            lines.append(LearningCurve(f"all steps, {case.source}", case.sizes, size, colour=k, marker=k))
            lines.append(
                LearningCurve(
                    f"largest of a step alone, {case.source}",
                    case.sizes[-1:],
                    [alone],
                    style="hollow",
                    colour=k,
                    marker=k,
                )
            )
            if math.isfinite(case.norm):
                lines.append(
                    LearningCurve(
                        f"bound of |f|^2, {case.source}",
                        case.sizes,
                        [case.norm] * len(case.sizes),
                        style="line",
                        certified=case.risk.certified,
                        colour=k,
                    )
                )
        names: Any = {"ylabel": "squared norm times K(x, x)"}
        caption = (
            f"Squared norm of the one interpolant of all steps against n, {name}, beside those of "
            "single steps and what is proved before any label (solid: certified)."
        )
        figures.append(Figure(f"norms-{name}", lambda c=lines, o=names: learning.learning(c, **o), caption))
    rows = []
    for case in found:
        unit = case.kappa**2
        for a, (one, said) in enumerate(zip(case.alone, case.norms, strict=True)):
            rows.append((case.name, case.source, a + FIRST, float(case.zero[a]), float(case.fits[0][-1].by_step[a]),
                         one.errors.mean, case.steps[a].value, one.norm_squared.estimate * unit,
                         math.inf if said.value is None else said.value * unit))  # fmt: skip
    header = ("function", "reads", "position", "error of 0", "error, all steps", "error, step alone",
              "bound, all steps", "y'K^-1 y, step alone", "bound of |f|^2, step alone")  # fmt: skip
    caption = (
        f"First draw, n = {max(study.examples)}. Norms in units of 1/K(x, x) of the last step. The bound of |f|^2 by "
        "power series is that of one step; that of all steps must tell them apart, by the first token."
    )
    return Section("One function for all steps", (), tuple(figures), (Table(header, tuple(rows), caption),))


def proved(study: PositionsOptions, found: Sequence[PositionsCase]) -> Section:
    """What is proved before and after the labels are seen, and how many sequences a useful bound takes."""
    rows, n = [], max(study.examples)
    for case in found:
        needed = n * (case.risk_at(n) / HALF) ** 2
        own = case.fits[0][-1].bound
        rows.append((case.name, case.source, case.norm, own.constants.norm_squared * case.kappa**2, case.risk_at(n),
                     own.value, float(case.mean_errors[:, -1].mean()), math.ceil(needed) if math.isfinite(needed) else
                     math.inf))  # fmt: skip
    header = ("function", "reads", "bound of |f|^2 K(x, x)", "y'K^-1 y K(x, x)", "|f| bound of the error",
              "y'K^-1 y bound", "error", f"certified n for {HALF:g}")  # fmt: skip
    caption = (
        f"All steps, n = {n}, delta = {at_most(study.delta)}. Before any label: norm and error bound from the target "
        f"alone, and the number of sequences for which that bound of the error is {HALF:g}."
    )
    case = found[-1]
    bounds = {"rademacher_steps": case.fits[0][-1].bound, "every_step_risk": case.risk}
    measured = dict.fromkeys(bounds, case.fits[0][-1].errors.mean)
    text = (f"The two bounds in full are those of {case.name}, {case.source}.",)
    return Section("What is proved", text, (), (Table(header, tuple(rows), caption),), bounds, measured)
