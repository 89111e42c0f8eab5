"""The numbers behind a picture, as tables, and the size at which its text can be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Int

from ntkseq._types import ArrayLike
from ntkseq.bounds import Bound
from ntkseq.reports import plots
from ntkseq.reports.record import Prediction, bound_standing
from ntkseq.reports.sheet import Table
from ntkseq.spectra import FullSpectrum

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEAST_TEXT = 11.0
"""Pixels of the smallest letters of a picture on a page."""
MOST_ROWS = 40
"""Rows of one table; of a longer curve some are shown, evenly by their index on a logarithmic scale."""
MOST_CELLS = 12
"""Rows and columns of a table of a heat map."""


def drawn(ax: Axes) -> tuple[Table, ...]:
    """The lines, bars and small heat maps of all panels of a figure, a table each."""
    found: list[Table] = []
    figure: Any = ax.figure
    for panel in figure.axes:
        if hasattr(panel, "_colorbar"):
            continue
        found += _curves(panel)
        found += _maps(panel)
    return tuple(found)


def _curves(panel: Any) -> list[Table]:
    names = (panel.get_xlabel() or "x", panel.get_ylabel() or "y")
    columns = ("curve", *_words(names))
    rows: list[tuple[Any, ...]] = []
    for i, line in enumerate(panel.get_lines(), 1):
        x, y = np.atleast_1d(line.get_xdata(orig=True)), np.atleast_1d(line.get_ydata(orig=True))
        if len(x) == 0 or len(x) != len(y) or line.get_transform() != panel.transData:  # a level, not data
            continue
        label = _label(line, panel, i)
        rows += [(label, _cell(x[k]), _cell(y[k])) for k in some(len(x))]
    for bar in panel.containers:
        heights = [patch.get_height() for patch in bar if hasattr(patch, "get_height")]
        lengths = [patch.get_width() for patch in bar if hasattr(patch, "get_width")]
        if not heights:
            continue
        values = heights if len(set(lengths)) <= 1 else lengths
        label = str(bar.get_label())
        label = "bars" if label.startswith("_") else label
        rows += [(label, k, float(values[k])) for k in some(len(values))]
    return [Table(columns, tuple(rows), caption=panel.get_title())] if rows else []


def _label(line: Any, panel: Any, i: int) -> str:
    """The name of a line; that of the error bars it belongs to where it has none."""
    label = str(line.get_label())
    for one in panel.containers:
        if line in one.get_children() or (len(one) and one[0] is line):
            label = str(one.get_label())
    return f"line {i}" if label.startswith("_") else label.replace(r"\$", "$")


def _maps(panel: Any) -> list[Table]:
    found = []
    for image in panel.images:
        values = np.ma.filled(np.ma.asarray(image.get_array(), dtype=float), np.nan)
        if values.ndim == 2 and max(values.shape) <= MOST_CELLS:
            rows = tuple((i, *(_cell(cell) for cell in row)) for i, row in enumerate(values))
            found.append(Table(("row", *map(str, range(values.shape[1]))), rows, caption=panel.get_title()))
    return found


def _words(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(name.replace("$", "").replace("\n", " ") for name in names)


def _cell(value: object) -> object:
    return float(value) if isinstance(value, (int, float, np.number)) else str(value)


def some(count: int) -> list[int]:
    """The indices of at most `MOST_ROWS` of so many rows: the first ones, then ever fewer."""
    if count <= MOST_ROWS:
        return list(range(count))
    return sorted(set((np.geomspace(1, count, MOST_ROWS).round().astype(int) - 1).tolist()))


def predictions(said: Prediction, y_test: Int[np.ndarray, " m"], classes: Sequence[str]) -> Table:
    """The value of each test example for two classes; for more, how often each is taken for which."""
    if said.scores.ndim == 1:
        rows = tuple(
            (i, classes[truth], float(said.scores[i]), bool(said.codes[i] == truth)) for i, truth in enumerate(y_test)
        )
        return Table(("test example", "true class", "f(x)", "right"), rows)
    counts = np.zeros((len(classes), len(classes)), int)
    np.add.at(counts, (y_test, said.codes), 1)
    rows = tuple((classes[i], classes[j], int(counts[i, j])) for i, j in np.argwhere(counts > 0))
    return Table(("true class", "predicted class", "test examples"), rows)


def correlations(K: ArrayLike, y: Int[np.ndarray, " n"], classes: Sequence[str]) -> Table:
    """The mean correlation between examples of each two classes."""
    values, kept = plots.correlations(np.asarray(K, np.float64)), min(len(classes), MOST_CELLS)
    members = [np.flatnonzero(y == code) for code in range(kept)]
    rows = tuple(
        (classes[i], *(float(values[np.ix_(members[i], members[j])].mean()) for j in range(kept))) for i in range(kept)
    )
    return Table(("mean correlation", *classes[:kept]), rows)


def eigenvalues(spectrum: FullSpectrum) -> Table:
    """Eigenvalues with their errors."""
    values, errors = np.asarray(spectrum.values), np.asarray(spectrum.errors)
    rows = tuple((i + 1, float(values[i]), float(errors[i]), bool(values[i] > errors[i])) for i in some(len(values)))
    return Table(("index", "eigenvalue", "error at most", "told from zero"), rows)


def bounds(found: Mapping[str, Bound], measured: Mapping[str, float]) -> Table:
    """Bounds with what they are worth, and their quantities on the test examples."""
    rows = tuple(
        (key, bound.quantity, bound.value, bound.trivial, bound_standing(bound), measured.get(key))
        for key, bound in found.items()
    )
    return Table(("bound", "quantity", "value", "says nothing from", "standing", "on the test examples"), rows)


def widths(ax: Axes) -> tuple[int, int]:
    """The least and the largest width of a picture on the page, in pixels: letters from `LEAST_TEXT` to half more."""
    import matplotlib.text

    figure: Any = ax.figure
    across = 72.0 * float(figure.get_figwidth())  # points
    texts = [one for one in figure.findobj(matplotlib.text.Text) if one.get_visible() and one.get_text().strip()]
    sizes = [float(one.get_fontsize()) for one in texts]
    least = LEAST_TEXT / min(sizes, default=10.0)
    return int(np.ceil(least * across)), int(np.ceil(1.45 * max(least, 0.9) * across))
