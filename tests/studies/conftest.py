"""Which tests of studies take long? Those that run a whole study with a name, by the fixture `sheet`."""

from __future__ import annotations

import pathlib

import pytest

HERE = pathlib.Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents and "sheet" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)
