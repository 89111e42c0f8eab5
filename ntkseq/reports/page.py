"""How does a report become one HTML page that needs nothing else? Plots inlined, every foreign text escaped."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import re
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ntkseq._types import Number
from ntkseq.bounds import Bound
from ntkseq.reports import figure_data
from ntkseq.reports.record import bound_standing
from ntkseq.reports.sheet import Figure, Sheet, Table
from ntkseq.spectra import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes


LETTERS = 10.8
"""Points of the letters of a picture."""


def page(sheet: Sheet) -> str:
    """The report as HTML.

    Raises:
        ImportError: jinja2 or matplotlib is not installed.
    """
    try:
        import jinja2
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f'a report needs {error.name}, which is not installed. Run: pip install "ntkseq[study]"'
        ) from error
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("ntkseq.reports", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"num": number, "verdict": verdict, "standing": bound_standing}
    environment.filters |= {"cell": cell, "rows": rows, "paragraphs": paragraphs, "parts": parts}
    pictures, numbers = _drawn(sheet)
    return environment.get_template("sheet.html.jinja").render(
        {"sheet": sheet, "provenance": _flat(sheet.provenance), "plots": pictures, "numbers": numbers}
    )


def _drawn(sheet: Sheet) -> tuple[dict[str, Picture], dict[str, tuple[Table, ...]]]:
    """The pictures of all figures, and the numbers behind them."""
    pictures, numbers = {}, {}
    with lettering():
        for figure in sheet.figures:
            ax = figure.axes()
            pictures[figure.name] = _picture(ax, figure.kind)
            numbers[figure.name] = figure_data.drawn(ax) if figure.numbers is None else figure.numbers
    return pictures, numbers


def lettering() -> Any:
    """A context in which the letters of new pictures have one size, that of a page."""
    import matplotlib

    return matplotlib.rc_context({"font.size": LETTERS, "legend.fontsize": LETTERS, "legend.handlelength": 1.4})


@dataclasses.dataclass(frozen=True)
class Picture:
    """A figure on the page: its address, and its least and largest width in pixels."""

    address: str
    least: int
    most: int
    kind: str


def _picture(ax: Axes, kind: str) -> Picture:
    address = inlined(ax, kind)
    return Picture(address, *figure_data.widths(ax), kind)


def inlined(ax: Axes, kind: str = "svg") -> str:
    """The figure of these axes as a data address: "svg" for lines, "png" for what has many cells."""
    import matplotlib

    buffer = io.BytesIO()
    figure: Any = ax.figure
    with warnings.catch_warnings(), matplotlib.rc_context({"svg.hashsalt": "ntkseq"}):
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # a name in a script that the font lacks
        unmarked: dict[str, Any] = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
        figure.savefig(buffer, format=kind, dpi=130, metadata=unmarked)
    if kind == "png":
        buffer = _fewer_colours(buffer)
    return f"data:image/{'svg+xml' if kind == 'svg' else kind};base64," + base64.b64encode(buffer.getvalue()).decode()


def _fewer_colours(png: io.BytesIO) -> io.BytesIO:
    """A palette instead of true colours: a quarter of the size, and no difference to be seen on a heat map."""
    from PIL import Image  # comes with matplotlib

    out = io.BytesIO()
    Image.open(png).convert("RGB").quantize(255).save(out, format="png", optimize=True)
    return out


def verdict(bound: Bound) -> str:
    """One word for a bound."""
    if not bound.computable:
        return "no value"
    return "certified" if bound.certified else "estimate"


def number(value: Number | None, digits: int = 4) -> str:
    """A number for a table; a dash for none."""
    if value is None or not np.isfinite(value):
        return "–"
    return f"{value:.{digits}g}"


def cell(value: object) -> str:
    """One cell of a table."""
    if isinstance(value, Interval):
        return "–" if np.isnan(value.estimate) else str(value)
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, (int, np.integer)):
        return f"{value}"
    return number(value) if value is None or isinstance(value, (float, np.floating)) else str(value)


def parts(sentence: str) -> tuple[str, str]:
    """A sentence, and the command at its end if it has one."""
    found = re.search(r"(?:JAX_ENABLE_X64=1 )?(?:ntkseq |run\(Study\().*$", sentence)
    return (sentence, "") if found is None else (sentence[: found.start()], found[0])


def rows(figures: Sequence[Figure]) -> list[list[Figure]]:
    """Figures in the rows of the page: a wide one for itself, others beside each other."""
    found: list[list[Figure]] = []
    for figure in figures:
        if figure.wide or not found or found[-1][0].wide:
            found.append([figure])
        else:
            found[-1].append(figure)
    return found


def paragraphs(text: str) -> list[str]:
    """A text at its empty lines."""
    return [part for part in (" ".join(part.split()) for part in text.split("\n\n")) if part]


def _flat(provenance: Any) -> list[tuple[str, str]]:
    """Name and text, nested mappings joined."""
    rows = []
    for name, value in provenance.items():
        if name == "config":
            value = json.dumps(value, ensure_ascii=False, default=str)
        elif isinstance(value, dict):
            value = ", ".join(f"{key} {item}" for key, item in value.items())
        rows.append((str(name).replace("_", " "), str(value)))
    return rows
