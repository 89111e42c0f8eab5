"""Which cases of a table run by default? A few; all of them with the slow tests."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Any

import pytest


def few(cases: Iterable[Any], first: int = 1) -> list[Any]:
    """The first cases as they are, the others marked slow."""
    kept = list(cases)
    return kept[:first] + [_slow(case) for case in kept[first:]]


def among(cases: Iterable[Any], now: Container[Any]) -> list[Any]:
    """The cases that are among `now` as they are, the others marked slow."""
    return [case if case in now else _slow(case) for case in cases]


def _slow(case: Any) -> Any:
    if isinstance(case, type(pytest.param())):
        return pytest.param(*case.values, marks=(*case.marks, pytest.mark.slow), id=case.id)
    values = case if isinstance(case, tuple) else (case,)
    return pytest.param(*values, marks=pytest.mark.slow)
