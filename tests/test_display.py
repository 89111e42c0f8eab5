"""Is every object a few short lines at the prompt, and an escaped table in a notebook?"""

from __future__ import annotations

import importlib
import inspect
import re
from typing import Any

import jax
import numpy as np
import pytest

from ntkseq import _display, blocks, kernels, predictors, spectra
from tests.objects import MAKERS
from tests.test_public import SURFACE

IN_NOTEBOOKS = ("DenseGram", "FullSpectrum", "PartialSpectrum", "Bound", "BoundTable", "RiskCurve", "History",
                "ProbeTable", "Table", "Sheet")  # fmt: skip


def words(obj: Any) -> str:
    text = repr(obj)
    lines = text.splitlines()
    assert 1 <= len(lines) <= 6 and max(map(len, lines)) <= 100, text
    assert not re.search(r"[aA]rray\(|\[\s*-?\d\S*(,? +-?\d\S*){6}|0x[0-9a-f]{6}", text), text
    return text


@pytest.mark.slow(
    cases=["AuditedGram", "DenseGram", "FullSpectrum", "History", "LazyGram", "PartialSpectrum", "RiskCurve", "Tasks"]
)
@pytest.mark.parametrize("name", MAKERS)
def test_an_object_is_six_lines_of_a_hundred_columns_at_most_and_no_array(name: str) -> None:
    obj = MAKERS[name]()
    assert type(obj).__name__ in words(obj) or isinstance(obj, (kernels.Scaled, predictors.RiskEstimate))
    page = getattr(obj, "_repr_html_", None)
    assert (page is not None) >= (name in IN_NOTEBOOKS)
    if page is not None:
        assert page().startswith("<div>") and "<script" not in page() and "<b>" not in page()


def test_no_public_class_shows_itself_as_dataclasses_do_or_by_its_address() -> None:
    """All fields with all numbers of their arrays: `_display.record` in their place, or words of its own."""
    wrong = set()
    for room, names in SURFACE.items():
        for name in names:
            thing = getattr(importlib.import_module(room), name)
            base = inspect.isclass(thing) and (inspect.isabstract(thing) or name in ("Block", "Cell"))
            if not inspect.isclass(thing) or base or issubclass(thing, Warning):
                continue
            code = getattr(inspect.unwrap(thing.__repr__), "__code__", None)
            made_by_dataclasses = code is not None and code.co_filename == "<string>"
            if made_by_dataclasses or thing.__repr__ is object.__repr__:
                wrong.add(f"{room}.{name}")
    assert wrong == set()


def test_what_is_held_shows_only_what_is_not_the_default() -> None:
    assert repr(blocks.Residual(blocks.LayerNorm(), blocks.Linear(1.5))) == "Residual(LayerNorm(), Linear(sigma_w=1.5))"
    text = repr(kernels.Transformer(depth=12))
    assert "*12 * (" in text and text.startswith("Serial(Linear(")
    assert repr(2.0 * (kernels.Dense(depth=2) + 0.5 * kernels.Dense())) == "2.0 * (Dense(depth=2) + 0.5 * Dense())"


def test_groups_that_differ_in_one_number_are_not_one_group() -> None:
    two = kernels.Serial(blocks.Linear(1.0), "relu", blocks.Linear(1.0 + 1e-12), "relu", blocks.Linear())
    assert "*2" not in repr(two) and "1.000000000001" in repr(two)


def test_the_ends_of_an_interval_keep_all_their_digits() -> None:
    low = 0.1 + 1e-16
    assert repr(low) in repr(spectra.Interval(low, 0.2, 0.3))


def test_tracers_and_placeholders_have_words_too() -> None:
    seen = []
    jax.jit(lambda s: seen.append(repr(kernels.Dense(sigma_w=s))) or s)(1.5)
    assert "traced float" in seen[0]
    structure = jax.tree.structure(kernels.Dense())
    assert "object" in repr(jax.tree.unflatten(structure, [object()] * structure.num_leaves))


def test_a_table_in_a_notebook_escapes_every_text() -> None:
    text = _display.table("<t>", [("<c>", 1)], ("<h>", "&"), ["<n>"])
    assert not re.search("<[tchn]>", text) and text.count("&lt;") == 4 and "&amp;" in text


def test_a_long_page_says_how_much_is_left_out() -> None:
    text = _display.clipped("\n".join(["x" * 200] * 20))
    assert text.splitlines()[-1].strip() == "... 15 more lines: print it" and len(text.splitlines()) == 6


def test_values_are_a_few_letters() -> None:
    shown = {_display.short(one) for one in (np.float32(1.4), np.zeros((3, 2)), [0.5] * 40, {"a": np.ones(3)}, np.sin)}
    assert shown == {"1.4", "float64 (3, 2)", "list of 40", "{a: float64 (3,)}", "sin"}
