"""Is progress plain text where there is no terminal?"""

from __future__ import annotations

import threading

import jax
import jax.numpy as jnp

from ntkseq.reports import progress
from ntkseq.reports.progress import Progress


def test_lines_come_at_once_and_stages_with_their_time(capsys):
    with Progress() as progress:
        progress.say("[bold] is no mark-up")
        assert capsys.readouterr().err == "  [bold] is no mark-up\n"
        with progress.stage("kernel"):
            pass
    err = capsys.readouterr().err
    assert err.startswith("  kernel: ") and err.endswith(" s\n") and "\x1b" not in err


def test_a_stage_says_how_long_it_compiled(capsys, monkeypatch):
    monkeypatch.setattr(progress, "LEAST_COMPILING", 1e-6)
    with Progress() as shown:
        with shown.stage("new"):
            program = jax.jit(lambda x: x * 3 + 1)
            program(jnp.ones(7))
        with shown.stage("old"):
            program(jnp.ones(7))
    new, old = capsys.readouterr().err.splitlines()
    assert new.startswith("  new: ") and new.endswith(" s of it compiling") and "compiling" not in old


def test_a_quiet_one_says_nothing(capsys):
    with Progress(quiet=True) as shown, shown.stage("kernel"):
        shown.say("a line")
    assert capsys.readouterr().err == ""


def test_what_others_do_is_a_line_each_minute(capsys, monkeypatch):
    monkeypatch.setattr(progress, "MINUTE", 0.02)
    seen = iter([None, (10, 40), (20, 40), (30, 40)])
    looked = threading.Event()

    def look():
        if (found := next(seen, "none left")) == "none left":
            looked.set()
            return None
        return found

    with Progress() as shown, shown.counting(look, "chunks"):
        assert looked.wait(20)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "  10 of 40 chunks are there" and len(lines) == 3
    assert lines[1].startswith("  20 of 40 chunks (50.0 %), ") and lines[1].endswith(" s left")


def test_a_time_is_told_in_the_units_that_matter():
    wanted = {-3: "0 s", 45.2: "45 s", 720: "12 min", 12_000: "3 h 20 min", 371_000: "4 d 7 h"}
    assert {seconds: progress.ago(seconds) for seconds in wanted} == wanted
