"""`python -m benchmarks.environments NAME [PIP OPTIONS]`: install a peer in an environment of its own.

A peer whose versions do not go with ours lives in `.venv-NAME` beside this folder; a case finds it there, asks it over
a pipe, and leaves it out with a line where it is not installed.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator
from typing import Any

ROOT = pathlib.Path(__file__).parents[1]
PACKAGES = {"torch": ("torch", "numpy")}
"""Name of an environment -> what pip installs in it."""


def python(name: str) -> pathlib.Path | None:
    """The interpreter of an environment, if it is there."""
    found = ROOT / f".venv-{name}" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    return found if found.exists() else None


def install(name: str, options: list[str]) -> None:
    """Make the environment, or bring it up to date."""
    folder = ROOT / f".venv-{name}"
    if python(name) is None:
        venv.create(folder, with_pip=True)
    subprocess.run([str(python(name)), "-m", "pip", "install", *PACKAGES[name], *options], check=True)


@contextlib.contextmanager
def process(interpreter: str | os.PathLike[str], module: str, *words: str) -> Iterator[Callable[[Any], Any]]:
    """A process that runs a module of this checkout and answers lines of JSON by lines of JSON, to be asked.

    Its threads wait without turning: both sides are timed in turn on the same processors.
    """
    command = [os.fspath(interpreter), "-m", module, *words]
    settings = os.environ | {"OMP_WAIT_POLICY": "PASSIVE", "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=settings
    ) as running:
        words_in, answers = running.stdin, running.stdout
        assert words_in is not None and answers is not None

        def ask(question: Any) -> Any:
            words_in.write(json.dumps(question) + "\n")
            words_in.flush()
            line = answers.readline()
            if not line:
                raise RuntimeError(f"the process of {module} ended; what it said stands above.")
            return json.loads(line)

        try:
            yield ask
        finally:
            words_in.close()


def main(words: list[str]) -> int:
    """Install one. Returns the exit code."""
    if not words or words[0] not in PACKAGES:
        print(f"usage: python -m benchmarks.environments {{{','.join(PACKAGES)}}} [PIP OPTIONS]", file=sys.stderr)
        return 2
    install(words[0], words[1:])
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
