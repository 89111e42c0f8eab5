"""Is the page what the program writes from the results that are kept?"""

from __future__ import annotations

import dataclasses
import re

import pytest

from benchmarks import plots, readme
from benchmarks.records import Case, Results
from benchmarks.report import Row


def results() -> Results:
    machine = {"device": "cpu cpu", "processor": "A processor", "cores": 2, "python": "3", "jax": "1", "numpy": "2"}
    details = {"share of the limit": 0.25, "spread": 0.1}
    rows = (
        Row("Speed", "won", "s", 0.5, 1.0, "a loop", 2.0, timing={"median": 0.5}, details=details, limit="exp"),
        Row("Speed", "lost", "s", 1.0, 0.5, "a loop", 0.5, timing={"median": 1.0}),
        Row("Speed", "error | here", ours=1.0, wanted="<= 0.5", reached=False),
        Row("Growth", "in n", ours=1.9, other=2.0, peer="counted", points=((1.0, 1.0), (2.0, 3.8))),
    )
    rates = {"products": 1e11, "copies": 1e10, "exponentials": 1e9, "roots": 1e9}
    return Results(
        machine, False, {"recurrent": Case("abc", 0.1, 5.0, rates, {"Speed": "Seconds.", "Growth": "p."}, rows)}
    )


@pytest.mark.slow
def test_the_page_is_what_the_program_writes():
    assert readme.README.read_text(encoding="utf-8") == readme.page(readme.results(), readme.small(readme.results()))


def test_pictures_of_the_page_are_there():
    for name in re.findall(r"!\[[^]]*\]\(([^)]*)\)", readme.README.read_text(encoding="utf-8")):
        assert (readme.FOLDER / name).is_file(), name


def test_losses_stand_first_and_rows_are_tables():
    text = readme.page({"a": results()}, {})
    lost = text.index("| 0.5x | recurrent | lost | a loop |")
    assert lost < text.index("### recurrent: Is the recurrent kernel right")
    assert "| won | 500 ms | 1 s | 2x |" in text and "| lost | 1 s | 500 ms | **0.5x** |" in text
    assert "error / here" in text.replace("error | here", "error / here") and "**missed**" in text


def test_a_case_of_small_sizes_alone_says_so_and_its_losses_count():
    one = results()
    text = readme.page({"a": dataclasses.replace(one, cases={})}, {"a": one})
    assert "| 0.5x | recurrent | lost | a loop |" in text
    assert "At small sizes alone (`--quick`). Commit" in text


def test_rows_under_no_heading_are_a_table_too():
    one = results()
    case = dataclasses.replace(one.cases["recurrent"], sentences={})
    text = readme.page({"a": dataclasses.replace(one, cases={"recurrent": case})}, {})
    assert "| won | 500 ms | 1 s | 2x |" in text


def test_without_results_the_page_says_how_to_have_some():
    assert "None are kept here yet" in readme.page({}, {})


def test_pictures_are_the_same_when_drawn_again(tmp_path):
    first = {path.name: path.read_bytes() for path in plots.draw({"a": results()}, tmp_path)}
    second = {path.name: path.read_bytes() for path in plots.draw({"a": results()}, tmp_path)}
    assert len(first) == 3 and first == second
