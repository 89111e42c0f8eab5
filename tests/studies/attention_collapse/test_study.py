"""Tests of `ntkseq.studies.attention_collapse.study` as a whole, and of its sheet."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ntkseq.reports import Folder, Sheet
from ntkseq.studies.attention_collapse.study import AttentionCollapse

SMALL = AttentionCollapse(
    depths=(2,), sigmas=(0.5, 8.0), masks=("none",), widths=(8,), seeds=2, n=6, classes=("0", "1")
)


@pytest.fixture(scope="module")
def sheet() -> Sheet:
    return SMALL.run()


def test_kernel_and_ranks_of_every_setting_stand_together(sheet: Sheet):
    cells = sheet.numbers["cells"]
    assert [(cell["skip"], cell["sigma"]) for cell in cells] == [(False, 0.5), (False, 8.0), (True, 0.5), (True, 8.0)]
    for cell in cells:
        assert [layer["width"] for layer in cell["layers"]] == [None, 8]
        assert len(cell["kernels"]) == 1 + 2
    assert sheet.expect.startswith("Without mask and skip")
    overview = sheet.sections[0].tables[0]
    assert len(overview.rows) == 4 and overview.header[-1] == "distance at width 8"
    collapsed = {(row[1], row[2]): row[4] for row in overview.rows}  # (skip, sigma): entropy rank
    assert collapsed[False, 0.5] < collapsed[True, 0.5] < collapsed[False, 8.0]
    assert sheet.arrays["none-plain.sigma-0.5.infinite.rank_entropy"].shape == (2,)
    assert sheet.arrays["none-skip.sigma-8.8.seed-1.depth-2.eigenvalues"].shape == (6,)


def test_it_can_be_written_with_all_its_pictures(sheet: Sheet, tmp_path):
    with Folder(tmp_path / "report") as folder:
        folder.write(sheet)
    page = (tmp_path / "report" / "report.html").read_text()
    assert page.count("<img") >= len(sheet.figures) == 1 + 2 * 6


def test_the_command_does_it_again():
    assert AttentionCollapse(quick=True).command == "ntkseq study attention-collapse --quick"
    assert SMALL.command.startswith("ntkseq study attention-collapse --classes 0 1 --depths 2 --sigmas 0.5 8.0")
    assert AttentionCollapse(quick=True, n=10).n == 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depths": (0, 1)}, "depths must be"),
        ({"depths": ()}, "depths must be different ones"),
        ({"depths": (2, 2)}, "depths must be different ones"),
        ({"sigmas": (0.0,)}, "sigmas must be"),
        ({"sigmas": (-1.0,)}, "sigmas must be"),
        ({"sigmas": (1.0, 1.0)}, "sigmas must be different ones"),
        ({"masks": ()}, "masks must be different ones"),
        ({"widths": ()}, "widths must be different ones"),
        ({"n": 1}, "n must be 2 or more"),
        ({"seeds": 0}, "seeds must be"),
        ({"seed": -1}, "seed must be"),
    ],
)
def test_bad_options_are_turned_away(options, message):
    with pytest.raises(ValueError, match=message):
        AttentionCollapse(**options)


def test_data_that_do_not_fit_are_turned_away(tmp_path):
    one = tmp_path / "one.npz"
    np.savez(one, x=np.random.default_rng(0).standard_normal((40, 1, 2)), y=np.arange(40) % 2)
    with pytest.raises(ValueError, match="attention over one token is always 1"):
        dataclasses.replace(SMALL, source=str(one), classes=(), layout="ntd").run()
    with pytest.raises(ValueError, match=r"n must be at most .* Lower --n"):
        dataclasses.replace(SMALL, n=5000).run()
