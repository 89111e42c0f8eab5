"""Do marks by the name of a case fall on these cases alone, and are names that no case has noticed?"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests import marks


def table(mark: pytest.MarkDecorator, cases: str = "abc") -> dict[str, Any]:
    named = {case: SimpleNamespace(id=case) for case in cases}
    return {
        case: SimpleNamespace(nodeid=f"tests/t.py::test_it[{case}]", own_markers=[mark.mark], callspec=call)
        for case, call in named.items()
    }


def slow(items: dict[str, Any]) -> str:
    return "".join(case for case, item in items.items() if any(mark.name == "slow" for mark in item.own_markers))


@pytest.mark.parametrize(
    ("mark", "wanted"),
    [
        (pytest.mark.slow, "abc"),
        (pytest.mark.slow(but=["b"]), "ac"),
        (pytest.mark.slow(cases=["b", "c"]), "bc"),
        (pytest.mark.data(cases=["b"]), ""),
    ],
)
def test_a_mark_is_on_the_cases_that_it_names_or_on_all_but_these(mark: pytest.MarkDecorator, wanted: str):
    items = table(mark)
    marks.by_case(items.values(), whole=True)
    assert slow(items) == wanted


@pytest.mark.parametrize(
    ("mark", "message"),
    [
        (pytest.mark.slow(but=["b", "d"]), r"names cases that are not there: \['d'\]"),
        (pytest.mark.slow(case=["b"]), "takes but= or cases="),
        (pytest.mark.slow(but=["a"], cases=["b"]), "takes but= or cases="),
    ],
)
def test_a_mark_that_speaks_of_no_case_is_an_error_where_all_cases_are_seen(mark: pytest.MarkDecorator, message: str):
    with pytest.raises(pytest.UsageError, match=message):
        marks.by_case(table(mark).values(), whole=True)


def test_where_one_case_was_asked_for_the_others_are_not_missed():
    items = table(pytest.mark.slow(but=["b"]), cases="c")
    marks.by_case(items.values(), whole=False)
    assert slow(items) == "c"
