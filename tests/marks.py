"""Marks by the name of a case: which cases of a table run by default, and which with the slow tests.

A test is slow where it takes a second of processor time, a case beyond the first where it takes a third of one: the
default suite is to end within 5 minutes on two cores. `@pytest.mark.slow` marks a test, `@pytest.mark.slow(but=[...])`
all of its cases but those of these names, `@pytest.mark.slow(cases=[...])` these alone.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest


def by_case(items: Iterable[pytest.Item], whole: bool) -> None:
    """Take the mark `slow` from cases that it does not speak of.

    Args:
        items: tests as collected.
        whole: whether all cases of their functions are among them: then a name that no case has is an error.
    """
    names: dict[str, set[str]] = {}
    marks: dict[str, pytest.Mark] = {}
    for item in items:
        for mark in [one for one in item.own_markers if one.name == "slow" and one.kwargs]:
            case = item.callspec.id if hasattr(item, "callspec") else ""  # pyright: ignore[reportAttributeAccessIssue]
            test = item.nodeid.partition("[")[0]
            marks[test] = mark
            names.setdefault(test, set()).add(case)
            if case in mark.kwargs.get("but", ()) or ("cases" in mark.kwargs and case not in mark.kwargs["cases"]):
                item.own_markers.remove(mark)
    for test, cases in names.items() if whole else ():
        said = marks[test].kwargs
        if len(said) != 1 or not set(said) <= {"but", "cases"}:
            raise pytest.UsageError(f"{test}: slow takes but= or cases=, names of cases; got {said}")
        if unknown := set(*said.values()) - cases:
            raise pytest.UsageError(f"{test}: slow names cases that are not there: {sorted(unknown)}")
