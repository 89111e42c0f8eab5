"""Does an interruption end a command even where a callback swallows it?"""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time

import pytest

from ntkseq import _interrupts


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_raises_and_is_remembered_only_within(number: int) -> None:
    before = signal.getsignal(number)
    with _interrupts.watched():
        _interrupts.look()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
            time.sleep(1.0)
        assert _interrupts.asked()
        with pytest.raises(KeyboardInterrupt):
            _interrupts.look()
    assert not _interrupts.asked() and signal.getsignal(number) is before


@pytest.mark.slow
def test_an_interruption_dropped_by_the_collector_comes_again(capsys) -> None:
    def collecting(phase: str, info: object) -> None:
        gc.callbacks.remove(collecting)
        os.kill(os.getpid(), signal.SIGTERM)

    hook = sys.unraisablehook
    with pytest.raises(KeyboardInterrupt), _interrupts.watched():
        gc.callbacks.append(collecting)
        gc.collect()
        assert _interrupts.asked()  # dropped: the line is reached
        start = time.monotonic()
        try:
            time.sleep(10.0)
        finally:
            assert time.monotonic() - start < 5.0  # it slept on, to the end
    assert sys.unraisablehook is hook and "ignored" not in capsys.readouterr().err


LOADING = """
import os, signal, sys, threading, time
from ntkseq.cli import main
assert "jax" not in sys.modules
threading.Thread(target=lambda: (time.sleep({after}), os.kill(os.getpid(), {number})), daemon=True).start()
sys.exit(main(["study", "digits"]))
"""


# while extensions in C load, which print what is raised in them, and while modules of Python do
@pytest.mark.parametrize(("after", "number"), [(0.03, 2), (0.1, 2), (0.2, 15), (0.4, 15)])
def test_an_interruption_while_modules_load_is_answered_in_one_line(tmp_path, after: float, number: int) -> None:
    code = LOADING.format(after=after, number=int(number))
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (130, "")
    assert run.stderr == "ntkseq: interrupted; nothing was written.\n"
    assert list(tmp_path.iterdir()) == []
