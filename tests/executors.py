"""For tests of many processes: executors, one of which loses a process, inputs, a free port."""

from __future__ import annotations

import os
import pickle
import signal
import socket
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool

import numpy as np


def inputs(n: int = 75, t: int = 5, d: int = 2, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, t, d)).astype(np.float32)


class Sending(Executor):
    """Sends each task and its result through pickle, as processes do, and counts."""

    def __init__(self, break_at: int | None = None, error: type[BaseException] = BrokenProcessPool):
        self.futures: list[Future] = []
        self.break_at, self.error = break_at, error

    def submit(self, fn, /, *args, **kwargs):
        future: Future = Future()
        self.futures.append(future)
        if self.break_at is not None and len(self.futures) > self.break_at:
            if len(self.futures) == self.break_at + 1:
                future.set_exception(self.error("gone"))
            return future
        future.set_running_or_notify_cancel()
        fn, args, kwargs = pickle.loads(pickle.dumps((fn, args, kwargs)))
        future.set_result(pickle.loads(pickle.dumps(fn(*args, **kwargs))))
        return future


class Killing(Executor):
    """Another executor; one process is killed when so many of its tasks are done."""

    def __init__(self, inner: Executor, pid: int, after: int):
        self.inner, self.pid, self.left = inner, pid, after

    def submit(self, fn, /, *args, **kwargs):
        future = self.inner.submit(fn, *args, **kwargs)
        future.add_done_callback(self.count)
        return future

    def count(self, future):
        self.left -= 1
        if self.left == 0:
            os.kill(self.pid, signal.SIGKILL)


def free_port() -> int:
    """A port of this machine at which nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]
