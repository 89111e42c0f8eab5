from __future__ import annotations

import sys

import pytest

from ntkseq import _progress

LONG, SHORT = 2 * _progress.LONG_WORK, 0.5 * _progress.LONG_WORK


def shown(wanted: bool | None, work: float) -> bool:
    """Whether there is a bar that is not switched off; the standard error of a test is no terminal."""
    with _progress.bar(wanted, work, 3, unit="step", name="fit") as bar:
        return bar is not None and not bar.disable


@pytest.mark.parametrize(("wanted", "there"), [(True, True), (False, False), (None, False)])
@pytest.mark.parametrize("work", [SHORT, LONG])
def test_a_bar_is_shown_when_asked_for_and_never_off_a_terminal_by_itself(wanted, there, work, capsys) -> None:
    assert shown(wanted, work) is there
    assert ("fit" in capsys.readouterr().err) is there


def test_on_a_terminal_long_work_has_a_bar_and_short_work_has_none(monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert shown(None, LONG)
    assert not shown(None, SHORT)


def test_without_tqdm_only_a_bar_that_was_asked_for_is_missed(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    assert not shown(None, LONG)
    assert not shown(False, LONG)
    with pytest.raises(ImportError, match=r"progress=True needs tqdm; install it with"):
        shown(True, SHORT)
