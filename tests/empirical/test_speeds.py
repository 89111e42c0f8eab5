"""Are the speeds of a device measured once, remembered, and never the reason for an error?"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq.empirical import speeds

LEAF = jnp.zeros(1, jnp.float32)


def forget() -> None:
    """As in a new process."""
    speeds._known.clear()
    speeds._folder.cache_clear()
    speeds._on_disk.cache_clear()


@pytest.fixture
def folder(tmp_path: pathlib.Path, monkeypatch: Any) -> Iterator[pathlib.Path]:
    monkeypatch.setenv("NTKSEQ_CACHE", str(tmp_path / "cache"))
    forget()
    yield tmp_path / "cache"
    monkeypatch.undo()
    forget()


@pytest.mark.slow
def test_what_is_measured_is_known_to_the_next_process(folder: pathlib.Path) -> None:
    assert speeds.known(LEAF).source == "assumed"
    found = speeds.calibrate()
    assert found.source == "measured"
    assert 0 < found.product <= min(found.uses, found.entry, found.written)
    assert found.product < 1e-8  # seconds per multiply-add: no machine is that slow
    forget()
    assert speeds.known(LEAF) == found
    assert list(folder.iterdir()) == [folder / "speeds.json"]
    assert speeds.known(jnp.zeros(1, jnp.bfloat16)) == found  # which is computed in float32
    forget()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": 1}', '{"a": {"b": 1}}', "null"])
def test_a_file_that_cannot_be_read_counts_as_none(folder: pathlib.Path, monkeypatch: Any, text: str) -> None:
    folder.mkdir()
    (folder / "speeds.json").write_text(text)
    assert speeds.known(LEAF).source == "assumed"
    monkeypatch.setattr(speeds, "_seconds", lambda call: 1e-3)
    found = speeds.calibrate()
    forget()
    assert speeds.known(LEAF) == found
    assert json.loads((folder / "speeds.json").read_text())


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: pathlib.Path, monkeypatch: Any) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NTKSEQ_CACHE", str(tmp_path / "file" / "cache"))
    forget()
    monkeypatch.setattr(speeds, "_seconds", lambda call: 1e-3)
    found = speeds.calibrate()
    assert speeds.known(LEAF) == found
    monkeypatch.undo()
    forget()


@pytest.mark.parametrize("leaf", ["float32", 1.0, jnp.arange(3), np.array([None])])
def test_the_precision_is_read_off_an_array_of_floats(leaf: Any) -> None:
    with pytest.raises(ValueError, match="leaf must be an array of floats"):
        speeds.calibrate(leaf)
