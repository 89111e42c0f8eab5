"""Tests of `ntkseq._files`; what a full disk leaves is in training/test_history_files.py."""

from __future__ import annotations

import os
import pathlib

import pytest

from ntkseq import _files


def test_a_file_that_fails_half_way_leaves_nothing(tmp_path: pathlib.Path):
    def half(file) -> None:
        file.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _files.written(tmp_path / "a", half)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_named(tmp_path: pathlib.Path):
    with pytest.raises(OSError, match=r"a cannot be written \(No such file or directory\)"):
        _files.written(tmp_path / "none" / "a", lambda file: None)


def test_the_mask_is_read_and_left():
    before = os.umask(0o027)
    try:
        assert _files.umask() == 0o027 == _files.umask()
    finally:
        os.umask(before)
