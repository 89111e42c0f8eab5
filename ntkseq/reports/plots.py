"""How do a kernel, its spectrum, its bounds and its predictions look? Each function draws into a matplotlib Axes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from ntkseq._types import ArrayLike
from ntkseq.bounds import Bound
from ntkseq.reports.record import Prediction, Rank
from ntkseq.spectra import FullSpectrum

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, FAINT, WARM = "#1f4e79", "#9aa5b1", "#c2571a"
TERM_COLOURS = {"training loss": "#1f4e79", "capacity": "#4a90c2", "margin": "#4a90c2", "confidence": "#a9cce3"}
OTHER_COLOURS = ("#2e7d6b", "#7fb8a4", "#c9b458", "#8c6bb1")
MOST_CELLS = 512  # of a heat map along one side; more than a screen shows
NARROW = 4.6  # inches across of a picture that fits a phone with letters of 11 pixels
MOST_MARKS = 160  # error bars along one curve


def axes(ax: Axes | None = None, *, width: float = 6.4, height: float = 4.0, square: bool = False) -> Axes:
    """`ax`, or new axes on a figure of their own that needs no display; `square` for cells of equal sides."""
    if ax is not None:
        return ax
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="compressed" if square else "constrained").subplots()


def plain(text: str, most: int = 24) -> str:
    """Foreign text for a label: cut to a glance, without matplotlib's $math$."""
    text = "".join(c if c.isprintable() else "?" for c in text)
    text = text if len(text) <= most else text[: most - 1] + "…"
    return text.replace("$", r"\$")


def correlations(matrix: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "n n"]:
    """K_ij / sqrt(K_ii K_jj), 0 where an example is zero to the kernel."""
    scale = np.sqrt(np.clip(np.diagonal(matrix), 0.0, None))
    product = scale[:, None] * scale[None, :]
    return np.divide(matrix, product, out=np.zeros_like(product), where=product > 0)


def kernel_map(matrix: ArrayLike, y: ArrayLike, classes: Sequence[str], ax: Axes | None = None) -> Axes:
    """The kernel between all examples as correlations K_ij / sqrt(K_ii K_jj), sorted by class.

    Args:
        matrix: Gram matrix, (n, n).
        y: class codes, (n,).
        classes: their names.
        ax: where to draw.
    """
    ax = axes(ax, width=NARROW, height=3.9, square=True)
    matrix, y = np.asarray(matrix, np.float64), np.asarray(y)
    order = np.argsort(y, kind="stable")
    n, step = len(y), -(-len(y) // MOST_CELLS)
    order = order[::step]
    shown = correlations(matrix[np.ix_(order, order)])
    beside = shown[~np.eye(len(order), dtype=bool)]
    low, high = (float(q) for q in np.quantile(beside, (0.01, 0.99))) if len(beside) else (0.0, 1.0)
    image = ax.imshow(
        shown, cmap="viridis", vmin=low, vmax=max(high, low + 1e-3 * max(abs(low), 1.0)), extent=(0, n, n, 0)
    )
    edges = np.searchsorted(y[np.argsort(y, kind="stable")], np.arange(len(classes) + 1))
    for edge in edges[1:-1]:
        ax.axhline(edge, color="white", lw=0.7)
        ax.axvline(edge, color="white", lw=0.7)
    middle = 0.5 * (edges[1:] + edges[:-1])
    shown_classes = [i for i in range(len(classes)) if edges[i + 1] > edges[i]]
    shown_classes = shown_classes[:: -(-len(shown_classes) // 20)]
    names = [plain(classes[i], 12) for i in shown_classes]
    turned = 90 if max(map(len, names), default=0) > 3 and len(names) > 4 else 0
    ax.set_xticks(middle[shown_classes], names, rotation=turned)
    ax.set_yticks(middle[shown_classes], names)
    ax.tick_params(length=0)
    ax.set_xlabel("training examples, by class")
    figure: Any = ax.figure
    figure.colorbar(image, ax=ax, extend="both", label="kernel as correlation", shrink=0.9, pad=0.03)
    return ax


def eigenvalues(spectrum: FullSpectrum, ax: Axes | None = None, *, reg: float | None = None) -> Axes:
    """The eigenvalues with their errors, both axes logarithmic; what is not told from zero is marked.

    Args:
        spectrum: of the Gram matrix.
        ax: where to draw.
        reg: a ridge to be shown as a line.
    """
    ax = axes(ax, width=NARROW, height=3.4)
    values, errors = np.asarray(spectrum.values), np.asarray(spectrum.errors)
    index = np.arange(1, len(values) + 1)
    clear = values > errors
    some = np.unique(np.geomspace(1, len(values), min(len(values), MOST_MARKS)).round().astype(int)) - 1
    marks = some[clear[some]]
    ax.set_xscale("log")
    ax.set_yscale("log")
    if clear.any():
        ax.errorbar(
            index[marks], values[marks], yerr=np.minimum(errors[marks], values[marks] * (1 - 1e-6)),
            fmt="o", ms=2.8, lw=0.9, color=INK, ecolor=FAINT, label="eigenvalue and its error",
        )  # fmt: skip
        ax.plot(index[clear], values[clear], color=INK, lw=0.6)
    open_ = some[~clear[some]]
    ceiling = (values + errors)[open_]
    if (ceiling > 0).any():
        ax.plot(
            index[open_][ceiling > 0],
            ceiling[ceiling > 0],
            "v",
            ms=3.2,
            color=WARM,
            label="not told from zero: upper end",
        )
    if errors.max() > 0:
        ax.axhline(float(errors.max()), color=FAINT, lw=1, ls="--", label="error of every eigenvalue")
    if reg is not None and reg > 0:
        ax.axhline(reg, color=WARM, lw=1, ls=":", label="ridge")
    ax.set_xlabel("index of the eigenvalue, largest first")
    ax.set_ylabel("eigenvalue of K")
    ax.legend(frameon=False)
    ax.grid(alpha=0.25, lw=0.5)
    return ax


def ranks(found: Sequence[Rank], n: int, ax: Axes | None = None) -> Axes:
    """Effective ranks with their intervals on a logarithmic axis up to n.

    Args:
        found: the ranks; those without a value are left out.
        n: the number of examples.
        ax: where to draw.
    """
    ax = axes(ax, width=NARROW, height=0.6 + 0.28 * max(len(found), 3))
    shown = [(rank.kind, rank.value) for rank in found if rank.value is not None and rank.value.estimate > 0]
    top = 1.3 * n
    for row, (_, value) in enumerate(shown):
        low, high = max(value.lower, 1e-3), min(value.upper, top)
        ax.plot([low, high], [row, row], color=FAINT, lw=4, solid_capstyle="butt")
        ax.plot([value.estimate], [row], "o", ms=5, color=INK)
        ax.annotate(
            f"{value.estimate:.4g}",
            (max(value.estimate, high), row),
            (6, 0),
            textcoords="offset points",
            va="center",
        )
    ax.axvline(n, color=WARM, lw=1, ls=":")
    ax.annotate("n", (n, 1.0), (3, 2), xycoords=("data", "axes fraction"), textcoords="offset points", color=WARM)
    ax.set_xscale("log")
    least = min([value.estimate for _, value in shown], default=1.0)
    ax.set_xlim(0.8 * min(least, 1.0), 4.0 * n)
    ax.set_yticks(range(len(shown)), [kind for kind, _ in shown])
    ax.set_ylim(len(shown) - 0.5, -0.5)
    ax.set_xlabel("effective rank")
    ax.grid(axis="x", alpha=0.25, lw=0.5)
    return ax


def bound_bars(
    bounds: Mapping[str, Bound], ax: Axes | None = None, *, measured: Mapping[str, float] | None = None
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


def predictions(
    found: Prediction, y_test: ArrayLike, classes: Sequence[str], positive: int = 1, ax: Axes | None = None
) -> Axes:
    """Prediction against truth on the test examples: values by class for two classes, a confusion matrix for more.

    Args:
        found: the prediction.
        y_test: true class codes, (m,).
        classes: their names.
        positive: the code that is predicted as +1, for two classes.
        ax: where to draw.
    """
    y_test = np.asarray(y_test)
    if found.scores.ndim == 1:
        return _values_by_class(found.scores, y_test, classes, positive, axes(ax, width=NARROW, height=3.0))
    return _confusion(found.codes, y_test, classes, axes(ax, width=NARROW, height=3.9, square=True))


def _values_by_class(scores: np.ndarray, y: np.ndarray, classes: Sequence[str], positive: int, ax: Axes) -> Axes:
    rows = (1 - positive, positive)
    for row, code in enumerate(rows):
        f = scores[y == code]
        spread = 0.28 * np.sin(2.399963 * np.arange(len(f)))  # golden angle: an even scatter without a seed
        right = (f > 0) == (code == positive)
        ax.plot(f[right], row + spread[right], "o", ms=4, alpha=0.65, color=INK, mew=0)
        ax.plot(f[~right], row + spread[~right], "X", ms=7, color=WARM, mew=0)
    ax.axvline(0, color="black", lw=1, ls="--")
    ax.plot([], [], "o", ms=4, color=INK, label="right", ls="none")
    ax.plot([], [], "X", ms=7, color=WARM, label="wrong", ls="none")
    ax.set_yticks((0, 1), [f"{plain(classes[c])}\n({'+1' if c == positive else '-1'})" for c in rows])
    ax.set_ylim(-0.5, 1.5)
    ax.set_xlabel("predicted f(x); the sign decides")
    ax.set_ylabel("true class")
    ax.legend(frameon=False, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    ax.grid(axis="x", alpha=0.25, lw=0.5)
    return ax


def _confusion(codes: np.ndarray, y: np.ndarray, classes: Sequence[str], ax: Axes) -> Axes:
    k = len(classes)
    counts = np.zeros((k, k), int)
    np.add.at(counts, (y, codes), 1)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
    if k <= 12:
        for i, j in np.argwhere(counts > 0):
            ax.text(
                j,
                i,
                str(counts[i, j]),
                ha="center",
                va="center",
                color="white" if share[i, j] > 0.5 else "black",
            )
    some = range(0, k, -(-k // 20))
    names = [plain(classes[i], 12) for i in some]
    ax.set_xticks(list(some), names, rotation=90 if max(map(len, names)) > 3 and k > 4 else 0)
    ax.set_yticks(list(some), names)
    ax.set_xlabel("predicted class")
    ax.set_ylabel("true class")
    figure: Any = ax.figure
    figure.colorbar(image, ax=ax, label="share of the true class", shrink=0.85)
    return ax
