"""Do the pictures of objects show their numbers with their errors, in the axes that were given?"""

from __future__ import annotations

import pathlib
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from matplotlib import pyplot as plt

import ntkseq
from ntkseq import bounds, kernels, spectra, training
from ntkseq.grams import plots as gram_plots
from tests import objects

PLOTTED: dict[str, Callable[[], Any]] = {
    "Gram": objects.gram,
    "FullSpectrum": lambda: ntkseq.spectrum(objects.gram()),
    "Bound": objects.bound,
    "BoundTable": objects.MAKERS["BoundTable"],
    "RiskCurve": objects.curve,
    "ProbeTable": lambda: objects.history()["movement"],
}


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    plt.close("all")


@pytest.mark.slow(but=["BoundTable"])
@pytest.mark.parametrize("name", PLOTTED)
def test_a_picture_is_in_the_axes_that_were_given_or_in_new_ones_that_are_shown(name: str) -> None:
    obj = PLOTTED[name]()
    ax = obj.plot()
    assert plt.fignum_exists(ax.figure.number) and ax.figure.get_size_inches()[0] == 6.0
    own = plt.figure().subplots()
    assert obj.plot(ax=own) is own and own.has_data()
    with pytest.raises(ValueError, match=r"^ax must be Axes of matplotlib, or None for new ones; got 'left'"):
        obj.plot(ax="left")


def test_without_matplotlib_a_picture_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"^a picture needs matplotlib, .* pip install \"ntkseq\[study\]\"$"):
        objects.gram().plot()


def test_the_map_of_a_gram_is_its_entries_sorted_and_its_rounding_is_not_understated() -> None:
    K = objects.gram()
    ax = K.plot()
    assert np.array_equal(ax.images[0].get_array(), np.asarray(K, np.float64))
    said = float(ax.get_title(loc="left").rsplit(" ", 1)[1])
    assert float(K.rounding) <= said <= 1.1 * float(K.rounding) and "rounding at most" in ax.get_title(loc="left")
    order = np.argsort(objects.Y, kind="stable")
    shown = K.plot(y=objects.Y, correlations=True)
    own = np.sqrt(np.asarray(K).diagonal()[order].astype(np.float64))
    wanted = np.asarray(K, np.float64)[np.ix_(order, order)] / np.outer(own, own)
    np.testing.assert_allclose(shown.images[0].get_array(), wanted, rtol=1e-12)
    assert [label.get_text() for label in shown.get_xticklabels()] == ["-1.0", "1.0"]


@pytest.mark.slow
def test_of_a_large_lazy_gram_some_rows_are_computed_and_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gram_plots, "MOST_CELLS", 8)
    K, asked = ntkseq.lazy(kernels.Dense(), objects.X), []
    rows = type(K).rows
    monkeypatch.setattr(type(K), "rows", lambda self, which: asked.append(which) or rows(self, which))
    shown = K.plot().images[0]
    assert shown.get_array().shape == (8, 8) and [len(which) for which in asked] == [8]
    assert list(shown.get_extent()) == [0, objects.N, objects.N, 0]


@pytest.mark.slow
def test_labels_belong_to_one_set_of_examples() -> None:
    cross = ntkseq.gram(kernels.Dense(), objects.X, objects.X[:5])
    assert cross.plot().images[0].get_array().shape == (objects.N, 5)
    with pytest.raises(ValueError, match="y belongs to a Gram of one set"):
        cross.plot(y=objects.Y)
    with pytest.raises(ValueError, match="correlations belongs to a Gram of one set"):
        cross.plot(correlations=True)
    with pytest.raises(ValueError, match=r"y must have shape \(24,\)"):
        objects.gram().plot(y=[1, 2])


def test_a_spectrum_in_part_shows_the_interval_of_the_least_eigenvalue_at_the_end() -> None:
    spectrum = ntkseq.spectrum(objects.gram(), spectra.MatrixFree(k=4, probes=4, steps=8))
    (mark,) = (line for line in spectrum.plot().lines if line.get_label().startswith("least, not told"))
    assert list(mark.get_xdata()) == [objects.N] and list(mark.get_ydata()) == [spectrum.min_eigenvalue.upper]


def test_a_bound_shows_its_terms_and_is_written_with_a_sign_only_where_it_is_certified() -> None:
    bound = objects.bound()
    widths = [patch.get_width() for patch in bound.plot().patches]
    np.testing.assert_allclose(widths, [*(term.value for term in bound.terms if term.counted), bound.value])
    said = [text.get_text() for text in bound.plot().texts]
    assert f"<= {bound.shown}" in said and "says nothing from here" in said
    guess = bounds.arora2019(objects.gram(), objects.Y).plot()
    assert not any("<=" in text.get_text() for text in guess.texts) and {p.get_hatch() for p in guess.patches} == {
        "////"
    }
    nothing = bounds.rademacher(objects.gram() - objects.gram(), objects.Y).plot()
    assert [text.get_text() for text in nothing.texts].count("no value") == 4


def test_a_column_lies_in_the_band_of_its_error() -> None:
    steps, values = np.arange(5), np.array([1.0, 2.0, np.nan, 4.0, 5.0])
    columns = {"loss": values, "loss_error": np.full(5, 0.5), "least": values, "least_lower": values / 2,
               "least_upper": values * 2, "wide": np.ones((5, 2)), "resolved": np.ones(5, bool)}  # fmt: skip
    table = training.ProbeTable(steps, columns)
    ax = table.plot()
    assert [line.get_label() for line in ax.lines] == ["loss", "least"] and ax.get_yscale() == "log"
    ends = [np.vstack([path.vertices for path in band.get_paths()]) for band in ax.collections]
    assert (ends[0][:, 1].min(), ends[0][:, 1].max()) == (0.5, 5.5) and (ends[1][:, 1].min(), ends[1][:, 1].max()) == (
        0.5,
        10,
    )
    assert training.History({"a": table}, {}).plot("a", "loss").get_ylabel() == "loss"
    for names, said in ((("wide",), "columns must be one of 'loss'"), (("los",), "columns must be one of 'loss'")):
        with pytest.raises(ValueError, match=said):
            table.plot(*names)
    with pytest.raises(ValueError, match="columns must hold a finite number; this table has 0 rows"):
        training.ProbeTable(steps[:0], {"loss": values[:0]}).plot()


def test_colours_and_grids_of_all_pictures_come_from_the_one_style_file() -> None:
    root = pathlib.Path(ntkseq.__file__).parents[1]
    files = [path for folder in ("ntkseq", "benchmarks") for path in (root / folder).rglob("*.py")]
    own = re.compile(r"\"#[0-9a-fA-F]{6}\"|\b(?:ax|axes)\.grid\(")
    styled = [str(path.relative_to(root)) for path in files if own.search(path.read_text(encoding="utf-8"))]
    assert len(files) > 300 and styled == ["ntkseq/_plots.py"]
