"""Gram matrices are compared bit by bit: by tiles, devices, processes, and however many examples there are."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import optimisation


@pytest.fixture(scope="module", autouse=True)
def one_level() -> Iterator[None]:
    """The same program for 250 examples and for 300 has the same last bits."""
    with optimisation.one_level():
        yield
