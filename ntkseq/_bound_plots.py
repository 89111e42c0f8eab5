"""How do bounds look? Their terms as bars, in units of the level from where on they say nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ntkseq._plots import FAINT, INK, NARROW, OTHER_COLOURS, TERM_COLOURS, WARM, axes, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def bound_bars(
    bounds: Mapping[str, Any], ax: Axes | None = None, *, measured: Mapping[str, float] | None = None
) -> Axes:
    """The terms of each bound as a stacked bar, in units of the level from where on the bound says nothing.

    Filled: certified. Hatched: an estimate. A bar that leaves the picture ends in its value.

    Args:
        bounds: by short name.
        ax: where to draw.
        measured: the bound's quantity on test examples, drawn as a diamond.
    """
    ax = axes(ax, width=NARROW, height=1.9 + 0.36 * max(len(bounds), 2))
    relative = {k: (b.value or 0.0) / (b.trivial or 1.0) for k, b in bounds.items() if b.computable}
    limit = min(max([1.25, *(1.15 * value for value in relative.values())]), 6.0)
    colours: dict[str, str] = {}
    for row, (key, bound) in enumerate(bounds.items()):
        if not bound.computable:
            ax.text(0.02, row, "no value: see the table", va="center", color=WARM)
            continue
        left = 0.0
        for term in bound.terms:
            if not term.counted or term.value is None or not math.isfinite(term.value):
                continue
            width = term.value / (bound.trivial or 1.0)
            colour = TERM_COLOURS.get(term.name) or OTHER_COLOURS[len(colours) % len(OTHER_COLOURS)]
            known = term.name in colours
            colour = colours.setdefault(term.name, colour)
            ax.barh(
                row, min(width, limit * 1.2), left=left, height=0.55, color=colour,
                alpha=1.0 if bound.certified else 0.55, hatch=None if bound.certified else "////",
                edgecolor="white", lw=0.5, label=None if known else plain(term.name, 22),
            )  # fmt: skip
            left = min(left + width, limit * 1.2)
        status = "" if bound.certified else " (estimate)"
        outside = relative[key] > limit
        ax.annotate(
            f"{bound.value:.3g}{status}" + (" →" if outside else ""),
            (limit if outside else relative[key], row), (-6 if outside else 5, 0), textcoords="offset points",
            va="center", ha="right" if outside else "left",
            bbox={"fc": "white", "ec": "none", "alpha": 0.85, "pad": 1}, zorder=4,
        )  # fmt: skip
        if measured and key in measured:
            ax.plot([measured[key] / (bound.trivial or 1.0)], [row], "D", ms=6, color=WARM, mec="white", zorder=5)
    ax.axvline(1.0, color="black", lw=1, ls="--")
    ax.annotate(
        "says nothing from here",
        (1.0, 1.0),
        (0, 3),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
    )
    if measured:
        ax.plot([], [], "D", color=WARM, label="on the test examples", ls="none")
    ax.set_xlim(0, limit * 1.25 if all(v <= limit for v in relative.values()) else limit)
    ax.set_yticks(range(len(bounds)), [plain(key) for key in bounds])
    ax.set_ylim(len(bounds) - 0.4, -0.6)
    ax.set_xlabel("bound / trivial level")
    handles, _ = ax.get_legend_handles_labels()
    if handles:
        figure: Any = ax.figure
        figure.legend(frameon=False, loc="outside lower center", ncols=2, columnspacing=0.8, handletextpad=0.5)
    return ax


def terms(bound: Any, ax: Axes) -> Axes:
    """The counted terms of one bound as bars, each with its number, and the bound below them."""
    rows = [(one.name, one.value) for one in bound.terms if one.counted]
    rows.append(("lower bound" if bound.lower else "bound", bound.value))
    known = [abs(value) for _, value in rows if value is not None and math.isfinite(value)]
    level = float(bound.trivial or 0.0)  # from where on it says nothing
    near = level > 0 and max(known, default=0.0) > level / 20  # else it is far beyond the picture
    hatch = None if bound.certified else "////"
    for row, (name, value) in enumerate(rows):
        last = row == len(rows) - 1
        if value is None or not math.isfinite(value):
            ax.annotate("no value", (0.0, row), (5, 0), textcoords="offset points", va="center", color=WARM)
            continue
        colour = INK if last else TERM_COLOURS.get(name, OTHER_COLOURS[row % len(OTHER_COLOURS)])
        shade = 1.0 if bound.certified else 0.55
        ax.barh(row, value, height=0.6, color=colour, alpha=shade, hatch=hatch, edgecolor="white", lw=0.5)
        text = f"{'>=' if bound.lower else '<='} {bound.shown}" if last and bound.certified else f"{value:.4g}"
        text += " (estimate)" if last and not bound.certified else ""
        ax.annotate(text, (max(value, 0.0), row), (5, 0), textcoords="offset points", va="center")
    if near:
        ax.axvline(level, color="black", lw=1, ls="--")
        where = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "ha": "center"}
        ax.annotate(f"says nothing {'up to' if bound.lower else 'from'} here", (level, 1.0), (0, 3), **where)
    low = min([value for _, value in rows if value is not None and math.isfinite(value)], default=0.0)
    ax.set_xlim(1.1 * min(low, 0.0), 1.45 * max(*known, level if near else 0.0, 1e-300))
    ax.axhline(len(rows) - 1.5, color=FAINT, lw=0.8)
    ax.set_yticks(range(len(rows)), [plain(name, 28) for name, _ in rows])
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.set_xlabel(plain(bound.quantity, 60))
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    return ax
