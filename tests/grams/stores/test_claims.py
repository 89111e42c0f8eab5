"""Does one process at a time fill a store, and is the claim of a dead one free?"""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys

import pytest

from ntkseq.grams.stores import claims

pytest.importorskip("fcntl")
HOLD = """
import fcntl, json, os, sys, time
file = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(file, fcntl.LOCK_EX)
os.write(file, json.dumps({"pid": os.getpid(), "host": "elsewhere"}).encode())
print(1, flush=True)
time.sleep(60)
"""


def test_the_claim_of_another_process_is_named_and_free_when_that_is_dead(tmp_path: pathlib.Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, tmp_path / claims.LOCK], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline()
        named = f"process {other.pid} on elsewhere"
        assert claims.writer(tmp_path) == named
        with pytest.raises(OSError, match=f"is being filled by {named}"), claims.claimed(tmp_path):
            pass
        other.send_signal(signal.SIGKILL)
    assert claims.writer(tmp_path) == ""
    with claims.claimed(tmp_path):
        assert claims.writer(tmp_path).startswith(f"process {os.getpid()} on ")
    assert claims.writer(tmp_path) == ""


def test_a_claim_falls_with_an_error(tmp_path: pathlib.Path) -> None:
    with pytest.raises(KeyError), claims.claimed(tmp_path):
        raise KeyError
    with claims.claimed(tmp_path):
        pass
