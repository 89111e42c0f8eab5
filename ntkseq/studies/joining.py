"""Which of how many processes is this one? Asked of JAX's coordinator, or of a scheduler as JAX reads it."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys

from ntkseq import _checks

WAIT = 40
"""Seconds that the processes have to come together."""
MOST = 100_000
AUTO = "auto"

# In a process of its own, on the CPU: JAX ends a process whose partners do not come, or die later. Afterwards nobody is
# bound to anybody, so a process that dies takes no other with it.
_JOIN = """
import sys, jax
address, count, index, wait = sys.argv[1:]
given = {} if address == "auto" else {"coordinator_address": address}
given |= {} if count == "" else {"num_processes": int(count), "process_id": int(index)}
jax.distributed.initialize(**given, initialization_timeout=int(wait), shutdown_timeout_seconds=10)
print("joined", jax.process_index(), jax.process_count(), flush=True)
jax.distributed.shutdown()
"""


def check(coordinator: str | None, process_id: int | None, num_processes: int | None) -> None:
    """Check what a user may say.

    Raises:
        ValueError: no address, or numbers that do not fit each other.
    """
    for name, value in (("process_id", process_id), ("num_processes", num_processes)):
        if value is not None and coordinator is None:
            raise ValueError(f"{name} belongs to coordinator, which is not given; got {value}. Pass --coordinator too.")
    if coordinator is None:
        return
    if (process_id is None) != (num_processes is None):
        raise ValueError("process_id and num_processes go together; got one of them. Pass both, or neither.")
    if num_processes is not None and process_id is not None:
        _checks.integer("num_processes", num_processes, 1, MOST)
        _checks.integer("process_id", process_id, 0, num_processes - 1)
    if coordinator != AUTO:
        _address(coordinator)
        if process_id is None:
            raise ValueError(
                "coordinator HOST:PORT needs to be told which process this is; got neither process_id nor "
                "num_processes. Pass both, or coordinator auto where a scheduler (SLURM, MPI, ...) says it."
            )


def joined(coordinator: str, process_id: int | None, num_processes: int | None) -> tuple[int, int]:
    """(index, count) of this process, once all have come together.

    Args:
        coordinator: HOST:PORT where process 0 listens; "auto": as JAX finds it in the environment.
        process_id, num_processes: which process, of how many; None with "auto".

    Raises:
        OSError: they did not come together within `WAIT` seconds.
    """
    words = [coordinator, *("" if one is None else str(one) for one in (num_processes, process_id)), str(WAIT)]
    run = subprocess.Popen(
        [sys.executable, "-c", _JOIN, *words],
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        out, err = run.communicate(timeout=WAIT + 15)
    except subprocess.TimeoutExpired:
        out, err = "", "timeout"
    finally:
        if run.poll() is None:
            run.kill()
            run.communicate()
    found = re.search(r"^joined (\d+) (\d+)$", out, re.MULTILINE)
    if found is not None:
        index, count = int(found[1]), int(found[2])
        if num_processes not in (None, count):
            raise OSError(
                f"num_processes must be the same for all processes; got {num_processes} here, and process 0 says "
                f"{count}. Start this one again with --num-processes {count}."
            )
        return index, count
    raise OSError(_why(coordinator, process_id, num_processes, err))


def _why(coordinator: str, process_id: int | None, num_processes: int | None, err: str) -> str:
    """What to do, by what JAX said last."""
    if coordinator == AUTO:
        if "coordinator_address should be defined" in err or "Number of processes must be defined" in err:
            return (
                "coordinator auto found no scheduler in the environment that JAX knows (SLURM, Open MPI, Kubernetes, "
                "...). Pass --coordinator HOST:PORT --process-id I --num-processes N."
            )
        return f"the processes of this job did not come together within {WAIT} s: {_last(err)}"
    which = f"process {process_id} of {num_processes}"
    if "ALREADY_EXISTS" in err:
        return f"two processes say that they are {which} at {coordinator}. Give each its own --process-id from 0 on."
    if process_id != 0 and not _listening(coordinator):
        return (
            f"nobody listens at coordinator {coordinator}, or no longer, as {which} found after {WAIT} s. Start "
            "process 0, with the same --coordinator, on that host; see whether a firewall is between."
        )
    if "DEADLINE_EXCEEDED" in err or err == "timeout":
        return (
            f"{which} waited {WAIT} s at {coordinator} for the others, and not all of them came. Start all of them, "
            "with the same --num-processes and each with its own --process-id from 0 on."
        )
    return f"{which} could not join the others at {coordinator}: {_last(err)}"


def _listening(coordinator: str) -> bool:
    host, port = _address(coordinator)
    try:
        socket.create_connection((host, port), timeout=2).close()
    except OSError:
        return False
    return True


def _address(coordinator: str) -> tuple[str, int]:
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"coordinator must be HOST:PORT, or {AUTO}; got {_checks.shown(coordinator)}.")
    return host.strip("[]"), int(port)


def _last(err: str) -> str:
    """The last line of an error that says something."""
    lines = [line.strip() for line in err.splitlines() if line.strip() and not re.match(r"\s*(@|\*\*\*)", line)]
    said = [line for line in lines if "rror" in line]
    text = (said or lines or ["no reason was given"])[-1]
    return text if len(text) <= 300 else text[:297] + "..."
