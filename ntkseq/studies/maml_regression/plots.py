"""How do risks of MAML look between their bounds? Line: exact; band: derived; dots: simulated; dashed: paper's form."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ntkseq._plots import COLOURS, DASHES, FAINT, NEUTRAL, axes, finish
from ntkseq._types import ArrayLike
from ntkseq.studies.maml_regression.adaptation import Adaptation
from ntkseq.studies.maml_regression.risks import Course, Sweep, lower, upper

if TYPE_CHECKING:
    from matplotlib.axes import Axes

REACH = 2.0  # standard errors that a bar shows to each side
DECADES = 30.0  # by so much the paper's form may stretch a picture beyond the derived bound


def horizons(found: Mapping[str, Course], ax: Axes | None = None) -> Axes:
    """Excess risk against the horizon: exact, derived band, simulated, and the paper's form where its conditions hold.

    Args:
        found: label -> a problem.
        ax: where to draw.
    """
    ax = axes(ax)
    ax.set_xscale("log")
    ax.set_yscale("log")
    highest, silent = 0.0, False
    for i, (label, one) in enumerate(found.items()):
        colour = COLOURS[i % len(COLOURS)]
        T = np.arange(1, len(one.exact.total) + 1)
        ax.fill_between(T, lower(one.derived), upper(one.derived), color=colour, alpha=0.18, lw=0)
        ax.plot(T, one.exact.total, color=colour, lw=1.6, label=label)
        ax.plot(T, upper(one.paper), color=colour, lw=1.1, ls="--")
        _dots(ax, one.horizons, one.mean, one.error, colour)
        silent = silent or bool(np.isnan(upper(one.paper)).all())
        highest = max(highest, np.nanmax(upper(one.derived), initial=0.0), one.exact.total.max())
    _meaning(ax, paper="paper's form" + (" (none where its conditions fail)" if silent else ""))
    least = min(float(one.exact.total.min()) for one in found.values())
    tall = max((np.nanmax(upper(one.paper), initial=0.0) for one in found.values()), default=0.0)
    ax.set_ylim(0.6 * least, 1.6 * max(highest, min(tall, DECADES * highest)))
    ax.set_xlabel("horizon T")
    ax.set_ylabel("excess risk of the average")
    return finish(ax)


def rates(found: Sweep, courses: Sequence[Course], ax: Axes | None = None) -> Axes:
    """Excess risk against the inner rate of training, with its two parts; grey: where the paper's conditions fail.

    Args:
        found: over rates, at one horizon.
        courses: problems that were simulated, at some of the rates.
        ax: where to draw.
    """
    ax = axes(ax)
    ax.set_yscale("log")
    x = found.rates
    ax.fill_between(x, lower(found.derived), upper(found.derived), color=COLOURS[0], alpha=0.18, lw=0)
    ax.plot(x, found.total, color=COLOURS[0], lw=1.8, label="risk")
    for values, label, colour in ((found.bias, "bias", COLOURS[1]), (found.variance, "variance", COLOURS[2])):
        ax.plot(x, values, color=colour, lw=1.3, ls="-.", label=label)
    ax.plot(x, upper(found.paper), color=COLOURS[0], lw=1.1, ls="--")
    for one in courses:
        _dots(ax, [one.rate], one.mean[-1:], one.error[-1:], COLOURS[0])
    best = int(np.argmin(found.total))
    ax.plot(x[best], found.total[best], "*", ms=11, color=COLOURS[0], mec="white", zorder=6, label="least risk")
    for holds, colour, form in (
        (found.paper.upper_holds, NEUTRAL, "the paper's form"),
        (found.derived.upper_holds, COLOURS[3], "the derived bound"),
    ):
        for k, (start, stop) in enumerate(_spans(x, ~np.asarray(holds))):
            label = f"a condition of {form} fails" if k == 0 else "_again"
            ax.axvspan(start, stop, lw=0, color=colour, alpha=0.13, label=label)
    _meaning(ax)
    ax.set_xlim(x[0], x[-1])
    positive = np.concatenate([found.bias, found.variance])
    ax.set_ylim(bottom=0.6 * positive[positive > 0].min())
    ax.set_xlabel("inner rate of training beta_tr, in units of 1/lambda_1")
    ax.set_ylabel("excess risk of the average")
    return finish(ax)


def stopping(found: Mapping[str, Course], eps: float, ax: Axes | None = None) -> Axes:
    """Excess risk against the horizon for several rates, the target, and when it is reached: exactly, and between
    which horizons by the bounds alone.

    Args:
        found: label -> a problem.
        eps: the target.
        ax: where to draw.
    """
    ax = axes(ax)
    ax.set_xscale("log")
    ax.set_yscale("log")
    for i, (label, one) in enumerate(found.items()):
        colour, T = COLOURS[i % len(COLOURS)], np.arange(1, len(one.exact.total) + 1)
        ax.plot(T, one.exact.total, color=colour, lw=1.5, label=label)
        _dots(ax, one.horizons, one.mean, one.error, colour)
        early, exact, late = one.stopping(eps)
        height = eps * 0.86 ** (i + 1)  # one below the other
        if early is not None:
            ax.plot([early, late or T[-1]], [height, height], color=colour, lw=1.2, solid_capstyle="butt")
            ax.plot([early], [height], "|", color=colour, ms=6)
            ax.plot([late or T[-1]], [height], "|" if late else ">", color=colour, ms=6 if late else 5)
        if exact is not None:
            ax.plot([exact], [height], "D", color=colour, ms=4.5, mec="white", zorder=6)
    ax.axhline(eps, color="black", lw=1.0, ls=":", label="target")
    ax.plot([], [], "D", color=NEUTRAL, ms=4.5, label="reached; bar: by the bounds (arrow: beyond)")
    ax.plot([], [], "o", ms=4, color=NEUTRAL, label="simulated")
    ax.set_xlabel("horizon T")
    ax.set_ylabel("excess risk of the average")
    return finish(ax)


def adaptation(found: Mapping[str, Adaptation], early: int, ax: Axes | None = None) -> Axes:
    """Loss on a new task against the rate at which it is adapted to, over that without adapting: at theta*, and after a
    short training, over the same.

    Args:
        found: label -> losses.
        early: after how many steps.
        ax: where to draw.
    """
    ax = axes(ax)
    for i, (label, one) in enumerate(found.items()):
        colour, unit = COLOURS[i % len(COLOURS)], one.unadapted
        ax.plot(one.rates, one.least / unit, color=colour, lw=1.6, label=label)
        ax.plot(one.rates, one.trained / unit, color=colour, lw=1.1, ls="-.")
        _dots(ax, one.drawn, one.mean / unit, one.error / unit, colour)
        if math.isfinite(one.best) and one.rates[0] <= one.best <= one.rates[-1]:
            height = float(np.interp(one.best, one.rates, one.least))
            ax.plot([one.best], [height / unit], "*", ms=11, color=colour, mec="white", zorder=6)
    ax.plot([], [], "*", ms=10, color=NEUTRAL, label="best rate for theta*")
    ax.plot([], [], color=NEUTRAL, lw=1.1, ls="-.", label=f"with the excess risk after {early} steps")
    ax.plot([], [], "o", ms=4, color=NEUTRAL, label="drawn tasks")
    ax.set_xlabel("rate at test time beta_te, in units of 1/lambda_1")
    ax.set_ylabel("loss after adaptation / loss of theta*")
    return finish(ax)


def weights(found: Mapping[str, Course], ax: Axes | None = None) -> Axes:
    """Effective meta weights by coordinate; the mark is at k*, how many coordinates have alpha T mu >= 1.

    Args:
        found: label -> a problem, at its last horizon.
        ax: where to draw.
    """
    ax = axes(ax)
    ax.set_xscale("log")
    ax.set_yscale("log")
    for i, (label, one) in enumerate(found.items()):
        Xi, count = one.weights()
        index = np.arange(1, len(Xi) + 1)
        colour = COLOURS[i % len(COLOURS)]
        ax.plot(index, Xi, color=colour, lw=1.4, ls=DASHES[(i // len(COLOURS)) % 4], label=label)
        if count:
            ax.plot([count], [Xi[count - 1]], "o", ms=6, mfc="white", mew=1.5, color=colour, zorder=5)
    ax.plot([], [], "o", ms=6, mfc="white", mew=1.5, color=NEUTRAL, label="k*")
    ax.set_xlabel("coordinate i")
    ax.set_ylabel("effective meta weight Xi_i")
    return finish(ax)


def _dots(ax: Axes, x: ArrayLike, mean: np.ndarray, error: np.ndarray, colour: str) -> None:
    ax.errorbar(x, mean, yerr=REACH * np.asarray(error), fmt="o", ms=3.6, color=colour, lw=1.0, zorder=4)


def _meaning(ax: Axes, paper: str = "paper's form") -> None:
    """What line, band, dots and dashes are, in one colour."""
    ax.fill_between([], [], [], color=NEUTRAL, alpha=0.25, lw=0, label="derived bounds")
    ax.plot([], [], "o", ms=3.6, color=NEUTRAL, label="simulated")
    ax.plot([], [], color=FAINT, lw=1.1, ls="--", label=paper)


def _spans(x: np.ndarray, bad: np.ndarray) -> list[tuple[float, float]]:
    """Stretches of neighbours that are bad, up to the middle between them and the good ones."""
    edges = np.concatenate([x[:1], (x[1:] + x[:-1]) / 2, x[-1:]])
    starts = np.flatnonzero(bad & ~np.concatenate([[False], bad[:-1]]))
    stops = np.flatnonzero(bad & ~np.concatenate([bad[1:], [False]]))
    return [(float(edges[i]), float(edges[j + 1])) for i, j in zip(starts, stops, strict=True)]
