"""Tests of `ntkseq.studies.memory.study` as a whole, and of its sheet."""

from __future__ import annotations

import pytest

from ntkseq import kernels
from ntkseq.reports import Folder
from ntkseq.studies.memory import curves
from ntkseq.studies.memory.study import Memory

SMALL = Memory(t=5, widths=(8,), seeds=2, particles=64)
FEW = {"a line": kernels.Recurrent(activation="identity", sigma_w=0.8), "erf": kernels.Recurrent(activation="erf")}


@pytest.mark.slow
@pytest.mark.parametrize("few", (True, False))
def test_every_network_is_on_the_sheet_and_in_the_pictures(few: bool, monkeypatch, tmp_path) -> None:
    if few:
        monkeypatch.setattr(curves, "families", lambda particles, seed: FEW)
    names = list(curves.families(64, 0))
    sheet = SMALL.run()
    assert [fact[1].split(":")[0] for fact in sheet.facts] == names
    laws = sheet.sections[0].tables[0]
    assert [row[0] for row in laws.rows] == names
    assert list(sheet.numbers["limits"]) == ["ntk", "nngp"]
    assert len(sheet.numbers["finite"]["8"][names[0]]) == 2
    assert len(sheet.sections[0].tables[1].rows) == len(names) * 4  # lags 0, 1, 2, 4
    with Folder(tmp_path / "report") as folder:
        folder.write(sheet)
    assert (tmp_path / "report" / "report.html").read_text().count("<img") == len(sheet.figures) == 4
    if few:
        line = sheet.numbers["limits"]["nngp"]["a line"]["laws"]["geometric"]
        assert line == [pytest.approx(0.64, rel=1e-3), pytest.approx(0, abs=1e-3)]
        assert sheet.arrays["nngp.a-line"].shape == (5,)


def test_the_command_does_it_again() -> None:
    assert Memory(quick=True).command == "ntkseq study memory --quick"
    assert SMALL.command == "ntkseq study memory --t 5 --widths 8 --seeds 2 --particles 64"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"t": 4}, "t must be 5 or more"),
        ({"particles": 100}, "particles must be a multiple of 32"),
        ({"particles": 32}, "particles must be a multiple of 32"),
        ({"widths": ()}, "widths must be different ones"),
        ({"seeds": 0}, "seeds must be"),
    ],
)
def test_bad_options_are_turned_away(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        Memory(**options)
