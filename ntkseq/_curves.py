"""How do errors fall with the number of examples, and do they stay below what is proved? Curves, points, panels."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ntkseq import _checks, _display
from ntkseq._plots import COLOURS, axes, finish, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKERS = ("o", "s", "^", "D", "v", "P")


@dataclasses.dataclass(frozen=True, eq=False)
class LearningCurve:
    """Values over sizes: measured ones as points, proved ones as a line.

    Attributes:
        label: for the legend; curves with one label are listed once.
        x, y: (s,); what is not finite is left out.
        low, high: (s,), ends of an interval around each point.
        style: "dots", "hollow" (points of another kind), or "line".
        certified: a line that is not certified is dashed.
        colour, marker: which of `COLOURS` and `MARKERS`.
        thin: a thin line beside a thick one.

    Raises:
        ValueError: arrays that are not of one shape (s,), one of low and high without the other, unknown
            words.
    """

    label: str
    x: Any
    y: Any
    low: Any = None
    high: Any = None
    style: str = "dots"
    certified: bool = True
    colour: int = 0
    marker: int = 0
    thin: bool = False

    __repr__ = _display.record

    def __post_init__(self) -> None:
        _checks.text("label", self.label)
        _checks.choice("style", self.style, ("dots", "hollow", "line"))
        for name in ("certified", "thin"):
            _checks.flag(name, getattr(self, name))
        for name in ("colour", "marker"):
            _checks.integer(name, getattr(self, name), 0)
        for name in ("x", "y", "low", "high"):
            if name in ("x", "y") or getattr(self, name) is not None:
                _checks.numbers(name, getattr(self, name))
        shapes = {np.shape(one) for one in (self.x, self.y, self.low, self.high) if one is not None}
        if len(shapes) != 1 or len(next(iter(shapes))) != 1:
            raise ValueError(f"x, y, low and high must have one shape (s,); curve {self.label!r} has {sorted(shapes)}.")
        if (self.low is None) != (self.high is None):
            raise ValueError(f"give low and high, or neither; curve {self.label!r} has one of them.")


def learning(
    curves: Sequence[LearningCurve],
    ax: Axes | None = None,
    *,
    xlabel: str = "number of examples n",
    ylabel: str = "test error",
    title: str = "",
    top: float | None = None,
    ticks: Sequence[float] | None = None,
    legend: bool = True,
) -> Axes:
    """Curves over sizes, both axes logarithmic: points with their intervals, certified lines solid, others dashed.

    Args:
        curves: what to draw; numbers that are not positive and finite are left out.
        ax: where to draw.
        xlabel, ylabel, title: names.
        top: upper end of the picture; None: what the curves need.
        ticks: of the lower axis; None: the x of all curves, if those are few.
        legend: whether to list the labels above the picture.

    Raises:
        ValueError: no curve.
    """
    curves = _checks.listed("curves", curves, "learning.Curve")
    for one in curves:
        _checks.kind("curves", one, LearningCurve)
    if not curves:
        raise ValueError("curves must hold one or more; got none.")
    _words(xlabel=xlabel, ylabel=ylabel, title=title)
    top = None if top is None else _checks.nonnegative("top", top, positive=True)
    ticks = None if ticks is None else _checks.real("ticks", ticks).ravel().tolist()
    legend = _checks.flag("legend", legend)
    ax = axes(ax)
    ax.set_xscale("log")
    ax.set_yscale("log")
    listed: set[str] = set()
    for one in curves:
        x, y = np.asarray(one.x, np.float64), np.asarray(one.y, np.float64)
        good = np.isfinite(x) & np.isfinite(y) & (x > 0) & (y > 0)
        colour, marker = COLOURS[one.colour % len(COLOURS)], MARKERS[one.marker % len(MARKERS)]
        label = plain(one.label, 60) if one.label not in listed else "_again"
        listed.add(one.label)
        if one.style == "line":
            shown: dict[str, Any] = {"ls": "-" if one.certified else "--", "lw": 0.9 if one.thin else 1.8}
            ax.plot(x[good], y[good], color=colour, label=label, **shown)
            continue
        face = colour if one.style == "dots" else "white"
        ax.plot(x[good], y[good], marker, ms=5, color=colour, mfc=face, label=label, zorder=4)
        if one.low is not None:
            low, high = (np.asarray(end, np.float64)[good] for end in (one.low, one.high))
            low = np.where(low > 0, low, y[good] / 1e6)  # down to zero: out of the picture
            ax.vlines(x[good], low, high, color=colour, lw=1.0, alpha=0.7)
    _limits(ax, curves, top)
    if ticks is None:
        ticks = sorted({float(x) for one in curves for x in np.asarray(one.x, np.float64)})
    ticks = ticks[:: -(-len(ticks) // 8)] if ticks else ticks  # so many can be read
    if len(ticks) > 1:
        ax.set_xticks(ticks, [f"{x:g}" for x in ticks])
        ax.set_xticks([], minor=True)
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    if title:
        ax.set_title(plain(title, 60), fontsize="medium", loc="left")
    return _listed(ax, legend)


def below(
    points: Mapping[str, tuple[Any, Any]],
    ax: Axes | None = None,
    *,
    xlabel: str,
    ylabel: str,
    legend: bool = True,
) -> Axes:
    """Measured numbers against their bounds, both axes logarithmic, with the diagonal that no point may cross.

    Args:
        points: label -> (bounds (k,), measured (k,)); what is not positive and finite is left out.
        ax: where to draw.
        xlabel, ylabel: names of bound and measured number.
        legend: whether to list the labels.

    Raises:
        ValueError: no point with a finite bound.

    Example:
        >>> import matplotlib.pyplot as plt
        >>> ax = below({"ridge": ([0.5, 0.2], [0.1, 0.05])}, xlabel="bound", ylabel="measured")
        >>> ax.get_xscale()
        'log'
        >>> plt.close("all")
    """
    _checks.mapping("points", points, "(bounds, measured)")
    _words(xlabel=xlabel, ylabel=ylabel)
    legend = _checks.flag("legend", legend)
    ax = axes(ax)
    ax.set_xscale("log")
    ax.set_yscale("log")
    seen: list[float] = []
    for i, (label, pair) in enumerate(points.items()):
        x, y = (_checks.numbers("points", one) for one in pair)
        good = np.isfinite(x) & np.isfinite(y) & (x > 0) & (y > 0)
        if good.any():
            ax.plot(x[good], y[good], MARKERS[i % len(MARKERS)], ms=4, alpha=0.75, mew=0,
                    color=COLOURS[i % len(COLOURS)], label=plain(label, 40))  # fmt: skip
            seen += [*x[good], *y[good]]
    if not seen:
        raise ValueError("points must hold one with a finite bound; got none.")
    ends = [min(seen) / 1.5, max(seen) * 1.5]
    ax.plot(ends, ends, color="black", lw=1.2, label="equal")
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    return _listed(ax, legend)


def panels(draw: Sequence[Callable[[Axes], Axes]], *, height: float = 3.2, wide: float = 7.6) -> Axes:
    """Several pictures with one legend above all of them and one vertical axis, three in a row at most.

    Args:
        draw: each draws into the axes it is given and returns them; ask it for no legend of its own.
        height: of a panel, in inches.
        wide: of the whole, in inches.

    Raises:
        ValueError: no picture.

    Example:
        >>> import matplotlib.pyplot as plt
        >>> points = {"ridge": ([0.5, 0.2], [0.1, 0.05])}
        >>> one = lambda ax: below(points, ax, xlabel="bound", ylabel="measured", legend=False)
        >>> len(panels([one, one]).figure.axes)
        2
        >>> plt.close("all")
    """
    from matplotlib.figure import Figure

    draw = [_checks.function("draw", one, "of the axes") for one in _checks.listed("draw", draw, "functions of axes")]
    height, wide = (
        _checks.nonnegative(name, size, positive=True) for name, size in (("height", height), ("wide", wide))
    )
    if not draw:
        raise ValueError("draw must hold one picture or more; got none.")
    count = len(draw)
    columns = count if count <= 3 else 2 if count == 4 else 3
    rows = -(-count // columns)
    figure = Figure(figsize=(wide if columns > 1 else 0.7 * wide, rows * height + 0.8), layout="constrained")
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    listed: dict[str, Any] = {}
    ends: list[float] = []
    for i, ax in enumerate(grid.ravel()):
        if i >= count:
            ax.remove()
            continue
        ends += draw[i](ax).get_ylim()
        if i % columns:
            ax.set_ylabel("")
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            listed.setdefault(label, handle)
    first = grid[0, 0]
    first.set_ylim(min(ends), max(ends))
    _decades(first)
    if listed:
        longest = max(map(len, listed))
        across = max(1, min(len(listed), int(14 * figure.get_size_inches()[0] / (longest + 7))))
        figure.legend(list(listed.values()), list(listed), loc="outside upper left", ncols=across, frameon=False,
                      fontsize="small", columnspacing=1.4, handlelength=1.8)  # fmt: skip
    return first


def _words(**labels: str) -> None:
    for name, label in labels.items():
        _checks.text(name, label)


def _decades(ax: Axes) -> None:
    """Plain numbers at the vertical axis where it spans few decades, at 2 and 5 as well where it spans hardly any."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = ax.get_ylim()
    if low < 1e-4 or high > 1e4:
        return
    few = high / low < 100
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())


def _limits(ax: Axes, curves: Sequence[LearningCurve], top: float | None) -> None:
    """From a little below the least point to `top`; intervals down to zero leave the picture."""
    points = np.concatenate([np.asarray(one.y, np.float64) for one in curves])
    points = points[np.isfinite(points) & (points > 0)]
    if points.size:
        ax.set_ylim(0.6 * points.min(), top if top is not None else 1.6 * points.max())
    _decades(ax)


def _listed(ax: Axes, legend: bool) -> Axes:
    """The axes, finished; without their own legend if it is not wanted."""
    old = finish(ax).get_legend()
    if old is not None and not legend:
        old.remove()
    return ax
