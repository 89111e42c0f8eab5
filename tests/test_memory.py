"""Does the system get back what large arrays were in, while memory is tight, and only then?"""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
from typing import Any

import pytest

from ntkseq import _memory

ALONE = """
import ctypes, importlib.util, json, sys, threading

spec = importlib.util.spec_from_file_location("memory", sys.argv[1])
memory = importlib.util.module_from_spec(spec)
spec.loader.exec_module(memory)
names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"

class Usage(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in names.split()]

usage = ctypes.CDLL(None).mallinfo2
usage.restype = Usage

def mapped(size):
    found = []
    def allocate():
        before = usage().hblkhd
        array = bytearray(size)
        found.append(usage().hblkhd >= before + size)
    thread = threading.Thread(target=allocate)
    thread.start()
    thread.join()
    return found[0]

with memory.returned():
    within = [mapped(1 << 20)]
    with memory.returned():
        within.append(mapped(1 << 20))
    within.append(mapped(1 << 20))  # until all have left
print(json.dumps([within, mapped(1 << 20), mapped(48 << 20)]))
"""
"""In a process of its own: an allocator that has free pieces hands these out first."""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="another allocator, or an old one")
def test_large_arrays_are_mapped_by_themselves_within_and_kept_afterwards() -> None:
    command = [sys.executable, "-c", ALONE, str(_memory.__file__)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert json.loads(said) == [[True, True, True], False, True]


def test_what_a_user_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[Any] = []
    monkeypatch.setattr(_memory, "_glibc", lambda *given: called.append(given[0]))
    for name, value in (("MALLOC_MMAP_THRESHOLD_", "65536"), ("GLIBC_TUNABLES", "glibc.malloc.mmap_threshold=65536")):
        with monkeypatch.context() as environment:
            environment.setenv(name, value)
            with _memory.returned():
                pass
        assert called == ["malloc_trim"]
        called.clear()
    with _memory.returned():
        pass
    assert called.count("mallopt") == 4


def test_another_allocator_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_memory.ctypes, "CDLL", lambda name: object())
    with _memory.returned():
        pass
